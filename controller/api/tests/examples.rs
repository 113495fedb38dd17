//! Every policy that people are shown is one that works: the README's, and those under `examples/`.

use lockkeeper_api::{ImagePolicy, parse};
use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn check(place: &str, text: &str) -> usize {
    let mut policies = 0;
    for document in text.split("\n---") {
        if !document.contains("\nkind: ImagePolicy\n") {
            continue;
        }
        let policy: ImagePolicy = serde_saphyr::from_str(document).unwrap_or_else(|e| panic!("{place}: {e}"));
        if let Err(mistakes) = parse(&policy) {
            let all: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            panic!("{place}: {}", all.join("\n"));
        }
        policies += 1;
    }
    policies
}

#[test]
fn the_first_policy_of_the_readme() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let block =
        readme.split("```yaml").nth(1).and_then(|rest| rest.split("```").next()).expect("a yaml block");
    assert_eq!(check("README.md", block), 1);
    assert!(block.trim().lines().count() <= 10, "a first policy in ten lines");
}

#[test]
fn the_policies_under_examples() {
    let mut folders = vec![root().join("examples")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "yaml") {
                check(&path.display().to_string(), &fs::read_to_string(&path).unwrap());
            }
        }
    }
}
