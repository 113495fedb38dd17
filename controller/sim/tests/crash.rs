//! P1: the controller is killed after every single effect of the incident's replay, and started again.

mod common;

use common::incident::walk;
use lockkeeper_sim::Effect;

#[test]
fn p1_killed_after_every_single_effect_the_end_is_the_same() {
    let mut effects = 0;
    let ends = walk(|pass, ends| {
        // One branch per write after which the controller dies; of passes that only move a clock on, after the first.
        let kills = if pass.acted { 1..=pass.writes } else { 1..=usize::from(pass.telling) };
        for k in kills {
            let (mut branch, mut oracle) = pass.before.clone();
            assert!(branch.reconcile(Some(k)).killed);
            oracle.look(&branch);
            effects += usize::from(pass.acted);
            ends.judge(branch, oracle);
        }
    });
    ends.are_all_the_same();
    let all = ends.clean.records.iter().filter(|r| is_write(&r.what)).count();
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
