//! Programs of this machine for an image: git and what it runs, where policies have targets in Git.
//!
//! Guarantees: a program comes with its loader and every library it is linked to, each at the path at which it is looked
//! for; each file is named in the bill of materials, by the package that owns it where this machine knows. May not: bring
//! anything that was not named or linked; what a program loads by name at run time stays out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{File, digest_of};

/// Programs with their libraries: each file once, in the order of their paths.
pub fn of(programs: &[PathBuf]) -> Result<Vec<File>> {
    let mut files = BTreeMap::new();
    for program in programs {
        ensure!(
            program.is_absolute(),
            "{}: a program is named by its absolute path, at which the image has it, too",
            program.display()
        );
        for file in [file(program)?].into_iter().chain(libraries(program)?) {
            files.insert(file.path.clone(), file);
        }
    }
    Ok(files.into_values().collect())
}

/// The loader and the libraries of a program, at the paths at which it finds them. None of one that is static.
pub fn libraries(program: &Path) -> Result<Vec<File>> {
    let output = Command::new("ldd").arg(program).output().context("ldd could not be run")?;
    let said = String::from_utf8(output.stdout)?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    if complaint.contains("not a dynamic executable") {
        return Ok(Vec::new());
    }
    ensure!(output.status.success(), "ldd {}: {said}{complaint}", program.display());
    ensure!(!said.contains("not found"), "{}: a library is missing: {said}", program.display());
    let paths = said.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    paths.map(|path| file(Path::new(path))).collect()
}

fn file(path: &Path) -> Result<File> {
    let contents = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let path = path.to_str().context("a path that is no UTF-8")?.trim_start_matches('/').to_owned();
    Ok(File { path, contents, mode: 0o755 })
}

/// What the bill of materials says of these files: the packages that own them, or a file with its sum.
pub(crate) fn components(files: &[File]) -> Vec<Value> {
    let system = system();
    let mut found = BTreeMap::new();
    for file in files {
        let path = format!("/{}", file.path);
        let (key, component) = match package(&path) {
            Some([name, version, architecture]) => {
                let purl = format!("pkg:deb/{system}/{name}@{version}?arch={architecture}");
                (purl.clone(), json!({"type": "library", "name": name, "version": version, "purl": purl}))
            }
            None => {
                let sum = digest_of(&file.contents);
                let hash = json!({"alg": "SHA-256", "content": sum.trim_start_matches("sha256:")});
                (path.clone(), json!({"type": "file", "name": path, "hashes": [hash]}))
            }
        };
        found.insert(key, component);
    }
    found.into_values().collect()
}

/// `debian`, `ubuntu`, …
fn system() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let id = text.lines().find_map(|line| line.strip_prefix("ID="));
    id.map_or_else(|| "debian".to_owned(), |id| id.trim_matches('"').to_owned())
}

/// Name, version and architecture of the Debian package that owns a file. No other kind of package is known.
fn package(path: &str) -> Option<[String; 3]> {
    let query = |arguments: &[&str]| {
        let output = Command::new("dpkg-query").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8(output.stdout).ok())?
    };
    // /lib may be a link to /usr/lib, and a package know its file by the other name.
    let other = path.strip_prefix("/usr").map_or_else(|| format!("/usr{path}"), str::to_owned);
    let real = std::fs::canonicalize(path).ok()?.display().to_string();
    let owner = [path, &other, &real].into_iter().find_map(|path| query(&["--search", path]))?;
    let owner = owner.lines().find(|line| !line.starts_with("diversion"))?.split(": ").next()?;
    let owner = owner.split(", ").next()?;
    let said = query(&["--show", "--showformat=${Package} ${Version} ${Architecture}", owner])?;
    let mut words = said.split(' ').map(str::to_owned);
    Some([words.next()?, words.next()?, words.next()?])
}
