//! Showing and writing what changed.
//!
//! Guarantees: all files are written beside the old ones before the first takes its place, with the old one's mode; a
//! file that changed since it was read is not replaced.

use super::files::Source;
use crate::cli::exit::Failure;
use similar::TextDiff;
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

/// Lines around each change.
const AROUND: usize = 3;

/// What changed, as `git apply` takes it.
pub fn difference(source: &Source, after: &[u8]) -> String {
    let (before, after) = (String::from_utf8_lossy(&source.bytes), String::from_utf8_lossy(after));
    let shown = source.shown();
    let path = shown.trim_start_matches("./").trim_start_matches('/');
    let difference = TextDiff::from_lines(before.as_ref(), after.as_ref());
    let (old, new) = (format!("a/{path}"), format!("b/{path}"));
    difference.unified_diff().context_radius(AROUND).header(&old, &new).to_string()
}

/// Replaces files.
pub fn all<'a>(files: impl Iterator<Item = (&'a Source, &'a [u8])>) -> Result<(), Failure> {
    let mut ready = Vec::new();
    let result = files.into_iter().try_for_each(|(source, bytes)| {
        ready.push((beside(&source.path), source));
        prepare(&beside(&source.path), source, bytes)
    });
    let result = result.and_then(|()| {
        ready.iter().try_for_each(|(new, source)| {
            fs::rename(new, &source.path).map_err(|error| failed(&source.path, &error))
        })
    });
    if result.is_err() {
        // What did not take its place is of no use; what cannot be removed was never made.
        for (new, _) in &ready {
            drop(fs::remove_file(new));
        }
    }
    result
}

fn prepare(new: &Path, source: &Source, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| failed(&source.path, &error);
    if fs::read(&source.path).map_err(failed)? != source.bytes {
        let path = source.path.display();
        return Err(Failure::Refused(format!(
            "{path}: changed since it was read; nothing was written, try again"
        )));
    }
    let mode = fs::metadata(&source.path).map_err(failed)?.permissions();
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(new).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::set_permissions(new, mode).map_err(failed)
}

/// The place of the new file until it is complete.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.lockkeeper-{}", std::process::id()))
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("{} cannot be written: {error}", path.display()))
}
