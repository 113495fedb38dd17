//! P7: an older and a newer version of the controller take turns, as in an upgrade that is taken back. They meet in the
//! status alone, and each writes only the fields that it knows: `tests/versions/` has those of the controller of commit
//! df3b15b, taken from its definition. What that controller would decide itself is not played here: `make test-upgrade` is that.

mod common;

use common::incident::{walk, world};
use lockkeeper_core::status::Status;
use lockkeeper_sim::World;
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
    let (fields, mut lost) = (Fields::older(), 0);
    let ends = walk(&world(), |pass, ends| {
        let (world, oracle) = &pass.after;
        what_a_newer_version_adds_is_passed_over(world, &fields);
        if pass.telling {
            let mut branch = world.clone();
            lost += an_older_one_was_here(&mut branch, &fields);
            ends.judge(branch, oracle.clone());
        }
    });
    ends.are_all_the_same();
    assert!(lost > 0, "the older version knew every field that was written");
}
