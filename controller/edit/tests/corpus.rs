//! The corpus of edits: `tests/corpus/GROUP/CASE/` holds `edit` (what is asked for), `in.*` (the file) and either `out`
//! (the exact bytes afterwards) or `refused` (the line, and a part of the reason).

use lockkeeper_edit::{Edit, Edited, Marked, Path, Pin, Refusal, edit};
use std::{collections::BTreeMap, fs, path::PathBuf};

struct Case {
    name: String,
    asked: BTreeMap<String, String>,
    file: String,
    before: Vec<u8>,
    out: Option<Vec<u8>>,
    refused: Option<String>,
}

fn cases() -> Vec<Case> {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let list = |folder: &PathBuf| {
        let mut all: Vec<PathBuf> =
            fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
        all.sort();
        all
    };
    let mut found = Vec::new();
    for folder in list(&corpus).iter().flat_map(list) {
        let asked = fs::read_to_string(folder.join("edit")).expect("every case has `edit`");
        let asked = asked.lines().filter_map(|line| line.split_once(": "));
        let input = list(&folder).into_iter().find(|file| file.file_stem().is_some_and(|stem| stem == "in"));
        let input = input.unwrap_or_else(|| panic!("{}: every case has `in.*`", folder.display()));
        let asked: BTreeMap<String, String> =
            asked.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let called = input.file_name().expect("a name").to_string_lossy().into_owned();
        found.push(Case {
            name: folder.strip_prefix(&corpus).expect("below").display().to_string(),
            file: asked.get("file").cloned().unwrap_or(called),
            asked,
            before: fs::read(&input).expect("a file that was listed"),
            out: fs::read(folder.join("out")).ok(),
            refused: fs::read_to_string(folder.join("refused")).ok(),
        });
    }
    found
}

impl Case {
    fn run(&self, bytes: &[u8]) -> Result<Edited, Refusal> {
        let get = |key: &str| self.asked.get(key).map(String::as_str);
        let document = get("document").map(|number| number.parse().expect("a number"));
        let path = get("path").or(get("helm-values")).map(|text| text.parse::<Path>().expect("a path"));
        let pin = get("image").map(|text| {
            let image = text.parse().unwrap_or_else(|error| panic!("{}: {error}", self.name));
            match get("repositories") {
                Some(all) => Pin::of_policy(image, all.split(' ').map(|one| one.parse().unwrap()).collect()),
                None => Pin::of_image(image),
            }
        });
        let policy = get("marker").map(|text| text.parse::<Marked>().expect("namespace:name"));
        let asked = match (&path, &pin, &policy) {
            (Some(path), None, _) => Edit::Path { path, value: get("value").unwrap_or_default() },
            (Some(path), Some(pin), _) => Edit::HelmValues { path, pin },
            (None, Some(pin), Some(policy)) => Edit::Marker { policy, pin },
            (None, Some(pin), None) if get("containers").is_some() => Edit::Containers { pin },
            (None, Some(pin), None) => Edit::Kustomize { pin, name: get("name") },
            _ => panic!("{}: what is asked for?", self.name),
        };
        edit(&self.file, bytes, document, &asked)
    }
}

#[test]
fn every_case_has_the_exact_bytes_or_the_refusal() {
    let cases = cases();
    let mut wrong = Vec::new();
    for case in &cases {
        let name = &case.name;
        match (case.run(&case.before), &case.out, &case.refused) {
            (Ok(edited), Some(out), None) => {
                if edited.bytes != *out {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    wrong.push(format!("{name}: got\n{}\nwanted\n{}", text(&edited.bytes), text(out)));
                }
                if edited.changes.is_empty() != (case.before == *out)
                    || edited.found == 0 && *out != case.before
                {
                    wrong.push(format!("{name}: {:?} places, changes {:?}", edited.found, edited.changes));
                }
                // An edit that was made is no change.
                match case.run(out) {
                    Ok(again) if again.bytes == *out && again.changes.is_empty() => {}
                    again => wrong.push(format!("{name}: twice: {again:?}")),
                }
            }
            (Err(refusal), None, Some(refused)) => {
                let (line, part) = refused.trim_end().split_once(' ').expect("line and reason");
                let found = refusal.line.map_or("-".to_owned(), |line| line.to_string());
                if found != line || !refusal.reason.contains(part) {
                    wrong.push(format!("{name}: refused as {refusal}, wanted {refused}"));
                }
            }
            (got, ..) => wrong.push(format!("{name}: {got:?}")),
        }
    }
    assert!(cases.len() > 100, "{} cases", cases.len());
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n\n"));
}

/// The seeds of the fuzz target, cut and torn: nothing panics, and nothing is edited that cannot be read.
#[test]
fn torn_files_are_refused_or_edited_and_never_panic() {
    for case in cases() {
        let length = case.before.len();
        for cut in (0..length).step_by(1 + length / 40) {
            let mut torn = case.before[..cut].to_vec();
            drop(case.run(&torn));
            torn.extend_from_slice(&case.before[(cut + 1).min(length)..]);
            drop(case.run(&torn));
        }
    }
}
