//! P7: an older and a newer version of the controller take turns, as in an upgrade that is taken back. They meet in the
//! status alone, and each writes only the fields that it knows: `tests/versions/` has those of the controller of commit
//! df3b15b, taken from its definition. What that controller would decide itself is not played here.

mod common;

use common::incident::{STEP, end_of, play, story, world};
use lockkeeper_core::status::Status;
use lockkeeper_sim::{World, release, watchman::Watchman};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// One path a line; `[]` is any item of a list, `*` any key of a map.
const FIELDS: &str = include_str!("versions/fields-of-df3b15b.txt");
/// The fields of the older version.
struct Fields(BTreeSet<&'static str>);

impl Fields {
    fn older() -> Self {
        Self(FIELDS.lines().collect())
    }

    /// Where the value of this key is, if the older version has such a field.
    fn path(&self, at: &str, key: &str) -> Option<String> {
        let dot = if at.is_empty() { "" } else { "." };
        let paths = [format!("{at}{dot}{key}"), format!("{at}{dot}*")];
        paths.into_iter().find(|path| self.0.contains(path.as_str()))
    }

    fn is_map(&self, at: &str) -> bool {
        self.0.contains(format!("{at}.*").as_str())
    }

    /// What is left of a value after the older version has read and written it. Counts what is lost.
    fn kept(&self, value: Value, at: &str, lost: &mut usize) -> Value {
        match value {
            Value::Object(fields) => {
                let kept = fields.into_iter().filter_map(|(key, value)| {
                    let path = self.path(at, &key);
                    *lost += usize::from(path.is_none());
                    path.map(|path| (key, self.kept(value, &path, lost)))
                });
                Value::Object(kept.collect::<Map<_, _>>())
            }
            Value::Array(items) => {
                let at = format!("{at}[]");
                Value::Array(items.into_iter().map(|item| self.kept(item, &at, lost)).collect())
            }
            other => other,
        }
    }

    /// The value with a field more in every object that has fixed fields.
    fn with_more(&self, value: Value, at: &str) -> Value {
        match value {
            Value::Object(fields) => {
                let with = fields.into_iter().map(|(key, value)| {
                    let path = self.path(at, &key).unwrap_or_else(|| format!("{at}.{key}"));
                    (key, self.with_more(value, &path))
                });
                let mut with: Map<_, _> = with.collect();
                if !self.is_map(at) {
                    with.insert("ofANewerVersion".into(), json!({"of": ["anything", 1, null]}));
                }
                Value::Object(with)
            }
            Value::Array(items) => {
                let at = format!("{at}[]");
                Value::Array(items.into_iter().map(|item| self.with_more(item, &at)).collect())
            }
            other => other,
        }
    }
}

/// The older version took over, wrote the status as it knows it, and gave back.
fn an_older_one_was_here(world: &mut World, fields: &Fields) -> usize {
    let mut lost = 0;
    let stored = fields.kept(serde_json::to_value(&world.stored).unwrap(), "", &mut lost);
    world.stored = serde_json::from_value(stored).unwrap();
    world.kill_controller();
    lost
}

/// A status with fields that this version does not know is read as if they were not there.
fn what_a_newer_version_adds_is_passed_over(world: &World, fields: &Fields) {
    let plain = serde_json::to_value(&world.stored).unwrap();
    let more = fields.with_more(plain.clone(), "");
    assert_ne!(more, plain);
    let read = |status: Value| serde_json::from_value::<Status>(status).unwrap();
    assert_eq!(read(more), read(plain));
}

#[test]
fn p7_whatever_an_older_version_drops_and_a_newer_one_adds_the_end_is_the_same() {
    let fields = Fields::older();
    let start = world().now;
    let (mut clean, mut watchman) = (world(), Watchman::default());
    play(&mut clean, &mut watchman, start);
    let expected = end_of(&clean);
    assert_eq!(clean.running(&release("0.29.1")), 14, "{expected:#?}");

    let (mut trunk, mut watchman) = (world(), Watchman::default());
    let (mut branches, mut lost) = (0, 0);
    let mut events = story(start).into_iter().peekable();
    let mut wrong = Vec::new();
    while let Some((at, event)) = events.peek().copied() {
        if trunk.now >= at {
            event(&mut trunk);
            events.next();
        } else {
            trunk.pass_time(STEP);
        }
        for _ in 0..8 {
            let (asked, records) = (trunk.questions.clone(), trunk.records.len());
            let writes = trunk.reconcile(None).writes;
            watchman.look(&trunk);
            what_a_newer_version_adds_is_passed_over(&trunk, &fields);
            // Passes that only move the soak's clock on are all alike: one in ten.
            branches += usize::from(writes > 0);
            if trunk.records.len() > records || (writes > 0 && branches % 10 == 0) {
                let (mut branch, mut oracle) = (trunk.clone(), watchman.clone());
                lost += an_older_one_was_here(&mut branch, &fields);
                play(&mut branch, &mut oracle, start);
                let end = end_of(&branch);
                if end != expected || !oracle.violations.is_empty() {
                    wrong.push((trunk.now, end, oracle.violations));
                }
            }
            if writes == 0 && asked == trunk.questions {
                break;
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} ends differ; the first: {:#?}\nexpected {expected:#?}",
        wrong.len(),
        wrong[0]
    );
    assert!(lost > 0, "the older version knew every field that was written");
}
