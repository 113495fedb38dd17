//! The files that are made from the kinds: `crds/`, their copies in the chart, the reference of every field.
//!
//! `UPDATE=1 cargo test -p lockkeeper-api --test generated` writes them; without it a difference fails.

mod reference;

use std::{fs, path::PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compares one file, or writes it.
fn check(path: &str, wanted: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, wanted).unwrap();
        return;
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == wanted,
        "{path} is not what the kinds say; write it anew by: UPDATE=1 cargo test -p lockkeeper-api --test generated"
    );
}

/// No file but these may lie there: a kind that is gone must not stay installed.
fn nothing_else(folder: &str, names: &[String]) {
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&name), "{folder}/{name} belongs to no kind; remove it");
    }
}

#[test]
fn the_crds_and_their_copies_are_up_to_date() {
    let crds = lockkeeper_api::crds();
    assert_eq!(crds.len(), 4);
    for folder in ["crds", "charts/lockkeeper/crds"] {
        for (name, yaml) in &crds {
            check(&format!("{folder}/{name}"), yaml);
        }
        nothing_else(folder, &crds.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    }
}

#[test]
fn the_reference_of_the_fields_is_up_to_date() {
    check("docs/reference/fields.md", &reference::page());
}

#[test]
fn the_texts_of_the_crds_read_back_as_the_definitions() {
    for ((name, yaml), (_, definition)) in lockkeeper_api::crds().iter().zip(lockkeeper_api::definitions()) {
        let read: serde_json::Value = serde_saphyr::from_str(yaml).unwrap();
        assert_eq!(read, definition, "{name}");
    }
}
