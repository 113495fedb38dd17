//! The bill of materials of the controller's image, in the format `CycloneDX`.
//!
//! Guarantees: it names every crate that cargo links into the binary, with version, licence and the checksum of the lock
//! file, and what owns the programs beside it; the same sources give the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::release::Parts;
use super::{digest_of, programs};
use crate::install::checkout;

/// Of an image with a binary of this checkout.
pub(crate) fn of(parts: &Parts) -> Result<Vec<u8>> {
    let lock = std::fs::read_to_string(checkout("Cargo.lock")).context("no Cargo.lock")?;
    let mut components = components(&linked()?, &checksums(&lock));
    components.extend(programs::components(&parts.programs));
    let digest = digest_of(&parts.binary);
    let document = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"component": {
            "type": "application", "name": "lockkeeper", "version": parts.version,
            "hashes": [{"alg": "SHA-256", "content": digest.trim_start_matches("sha256:")}],
        }},
        "components": components,
    });
    Ok(serde_json::to_vec(&document)?)
}

/// What cargo links: lines of `name vVERSION…|licence`.
fn linked() -> Result<String> {
    let output = Command::new("cargo")
        .args(["tree", "--locked", "-p", "lockkeeper", "--edges", "normal,no-proc-macro"])
        .args(["--prefix", "none", "--format", "{p}|{l}"])
        .current_dir(checkout("."))
        .output()
        .context("cargo could not be run")?;
    ensure!(output.status.success(), "cargo tree failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn components(linked: &str, checksums: &BTreeMap<(String, String), String>) -> Vec<Value> {
    let lines: BTreeSet<(String, String, String)> = linked.lines().filter_map(crate_of).collect();
    lines
        .into_iter()
        .map(|(name, version, licence)| {
            let mut component = json!({
                "type": "library", "name": name, "version": version,
                "purl": format!("pkg:cargo/{name}@{version}"),
            });
            if !licence.is_empty() {
                component["licenses"] = json!([{"expression": licence}]);
            }
            if let Some(checksum) = checksums.get(&(name, version)) {
                component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
            }
            component
        })
        .collect()
}

/// Name, version and licence of one line.
fn crate_of(line: &str) -> Option<(String, String, String)> {
    let (package, licence) = line.split_once('|')?;
    let mut words = package.split(' ');
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    // A crate that was listed before ends with (*).
    let licence = licence.trim_end_matches(" (*)").trim().replace('/', " OR ");
    Some((name.to_owned(), version.to_owned(), licence))
}

/// The checksums of a lock file, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    lock.split("[[package]]")
        .filter_map(|package| {
            let field = |name: &str| {
                let found = package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
                found.map(|text| text.trim_end_matches('"').to_owned())
            };
            Some(((field("name")?, field("version")?), field("checksum")?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_named_once_with_licence_and_checksum() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"ff\"\n\n[[package]]\nname = \"b\"\nversion = \"2.0.0\"\n";
        let linked = "b v2.0.0 (/src/b)|Apache-2.0\na v1.0.0|MIT/Apache-2.0\na v1.0.0|MIT/Apache-2.0 (*)\n\n";
        let found = components(linked, &checksums(lock));
        assert_eq!(
            found,
            [
                json!({"type": "library", "name": "a", "version": "1.0.0", "purl": "pkg:cargo/a@1.0.0",
                    "licenses": [{"expression": "MIT OR Apache-2.0"}], "hashes": [{"alg": "SHA-256", "content": "ff"}]}),
                json!({"type": "library", "name": "b", "version": "2.0.0", "purl": "pkg:cargo/b@2.0.0",
                    "licenses": [{"expression": "Apache-2.0"}]}),
            ]
        );
    }
}
