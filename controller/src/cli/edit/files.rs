//! Which files are read: those that are named, and in folders those that hold what is looked for.
//!
//! Guarantees: symbolic links are not followed, folders named `.git` are not entered, and a folder's files come in one
//! order. A file that does not hold it is not parsed: what is wrong with it is nobody's concern here.

use crate::cli::{exit::Failure, select::asked};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What a folder is searched for.
pub struct Searched {
    /// How names of files end.
    pub ends: &'static [&'static str],
    /// A file that has none of these texts is passed over.
    pub texts: Vec<String>,
}

impl Searched {
    fn is_in(&self, bytes: &[u8]) -> bool {
        let is_in = |text: &String| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        self.texts.iter().any(is_in)
    }
}

/// What every marker has in it.
pub fn markers() -> Searched {
    Searched { ends: &["yaml", "yml"], texts: vec!["$imagepolicy".to_owned()] }
}

/// Deepest folder below the one that is named.
const DEEPEST: usize = 64;

/// A file that was read.
#[derive(Clone, Debug)]
pub struct Source {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
}

impl Source {
    /// As it is named in messages.
    pub fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// Reads a file, or standard input.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        if path.as_os_str() != "-" && is_link(path)? {
            return Err(refused(path, "is a symbolic link; name the file that it leads to"));
        }
        Ok(Self { path: path.to_owned(), bytes: asked::read("FILE", path)? })
    }
}

/// The files that are named, and those that hold what is looked for in the folders that are named.
pub fn sources(named: &[PathBuf], searched: Option<&Searched>) -> Result<Vec<Source>, Failure> {
    let mut found = Vec::new();
    for path in named {
        if path.is_dir() && !is_link(path)? {
            let Some(searched) = searched else {
                return Err(Failure::Usage(format!("FILE {} is a folder; name the file", path.display())));
            };
            search(path, 0, searched, &mut found)?;
        } else {
            found.push(Source::read(path)?);
        }
    }
    Ok(found)
}

/// The files of a folder that hold what is looked for, by name.
fn search(folder: &Path, depth: usize, searched: &Searched, found: &mut Vec<Source>) -> Result<(), Failure> {
    if depth > DEEPEST {
        return Err(refused(folder, "lies too deep"));
    }
    let failed = |error: std::io::Error| Failure::Failed(format!("{}: {error}", folder.display()));
    let mut entries = fs::read_dir(folder).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
        if kind.is_dir() && entry.file_name() != ".git" {
            search(&path, depth + 1, searched, found)?;
        }
        let fits = path.extension().is_some_and(|end| searched.ends.iter().any(|one| end == *one));
        if kind.is_file() && fits {
            let source = Source::read(&path)?;
            if searched.is_in(&source.bytes) {
                found.push(source);
            }
        }
    }
    Ok(())
}

/// A file within a checkout, as a policy names it: it stays inside, and no link leads out.
pub fn inside(checkout: &Path, path: &str) -> Result<PathBuf, Failure> {
    let wrong = |why: &str| {
        let path = lockkeeper_core::image::shown(path);
        Failure::Usage(format!("the policy's path {path} {why}; name a file below the checkout"))
    };
    if let Some(why) = lockkeeper_core::git::wrong_path(path) {
        return Err(wrong(why));
    }
    let mut place = checkout.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        place.push(part);
        if place.exists() && is_link(&place)? {
            return Err(refused(&place, "is a symbolic link, which is not followed"));
        }
    }
    Ok(place)
}

fn is_link(path: &Path) -> Result<bool, Failure> {
    match fs::symlink_metadata(path) {
        Ok(about) => Ok(about.file_type().is_symlink()),
        Err(error) => Err(Failure::Usage(format!("FILE {} cannot be read: {error}", path.display()))),
    }
}

fn refused(path: &Path, why: &str) -> Failure {
    Failure::Refused(format!("{}: {why}", path.display()))
}
