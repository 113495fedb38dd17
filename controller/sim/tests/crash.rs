//! P1: the controller is killed after every single effect of the incident's replay, and started again.

mod common;

use common::incident::{STEP, end_of, play, story, world};
use lockkeeper_sim::{Effect, release, watchman::Watchman};

#[test]
fn p1_killed_after_every_single_effect_the_end_is_the_same() {
    let start = world().now;
    let (mut clean, mut watchman) = (world(), Watchman::default());
    play(&mut clean, &mut watchman, start);
    assert_eq!(watchman.violations, Vec::<String>::new());
    let expected = end_of(&clean);
    assert_eq!(clean.running(&release("0.29.1")), 14, "{expected:#?}");
    assert_eq!(clean.quarantines.len(), 1);

    // Along the clean run, before every pass that writes: one branch per write after which the controller dies.
    let (mut trunk, mut watchman) = (world(), Watchman::default());
    let (mut branches, mut effects) = (0, 0);
    let mut wrong = Vec::new();
    let mut events = story(start).into_iter().peekable();
    while let Some((at, event)) = events.peek().copied() {
        if trunk.now >= at {
            event(&mut trunk);
            events.next();
        } else {
            trunk.pass_time(STEP);
        }
        for _ in 0..8 {
            let asked = trunk.questions.clone();
            let (before, oracle) = (trunk.clone(), watchman.clone());
            let writes = trunk.reconcile(None).writes;
            watchman.look(&trunk);
            let acted = trunk.records.len() > before.records.len();
            // A pass that only moves the soak's clock on is one branch in ten: they are all alike.
            let kills = if acted { 1..=writes } else { 1..=usize::from(writes > 0 && branches % 10 == 0) };
            for k in kills {
                let (mut branch, mut oracle) = (before.clone(), oracle.clone());
                assert!(branch.reconcile(Some(k)).killed);
                oracle.look(&branch);
                branches += 1;
                effects += usize::from(acted);
                play(&mut branch, &mut oracle, start);
                let end = end_of(&branch);
                if end != expected || !oracle.violations.is_empty() {
                    wrong.push((before.now, k, end, oracle.violations));
                }
            }
            branches += usize::from(!acted && writes > 0);
            if writes == 0 && asked == trunk.questions {
                break;
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} branches end differently; the first: {:#?}\nexpected {expected:#?}",
        wrong.len(),
        wrong[0]
    );
    let all = clean.records.iter().filter(|r| is_write(&r.what)).count();
    assert!(effects > all, "{effects} positions for {all} effects");
}

fn is_write(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Moved { .. }
            | Effect::Pinned { .. }
            | Effect::Unpinned { .. }
            | Effect::Orphaned { .. }
            | Effect::Quarantined { .. }
    )
}
