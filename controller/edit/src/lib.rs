//! Edits of YAML and JSON files: bytes in, bytes or a refusal out.
//!
//! Guarantees: every byte that is not the pin stays: line ends, quotes, comments, anchors, indentation, the byte order
//! mark, the final line break or its absence. Several values of one file are changed together or not at all. What was
//! edited is read again by another parser, and only what was meant may differ; whatever is not certain is refused, with
//! file, line and reason. May not do I/O.

mod check;
mod containers;
mod file;
mod find;
mod helm;
mod kustomize;
mod marker;
mod path;
mod pin;
mod refusal;
mod scalar;
mod session;
mod tree;

pub use marker::Marked;
pub use path::{Path, PathError, Step};
pub use pin::Pin;
pub use refusal::Refusal;

use refusal::Why;
use session::Session;

/// One edit.
#[derive(Clone, Copy, Debug)]
pub enum Edit<'a> {
    /// The value at a path, as given.
    Path {
        /// Where.
        path: &'a Path,
        /// What.
        value: &'a str,
    },
    /// The image of a chart's values: one text, or repository, tag and digest apart.
    HelmValues {
        /// The image, or the mapping that holds its parts.
        path: &'a Path,
        /// What.
        pin: &'a Pin,
    },
    /// The entry of a kustomization's `images`, added where there is none.
    Kustomize {
        /// What.
        pin: &'a Pin,
        /// The name that the manifests use, where it is not the repository.
        name: Option<&'a str>,
    },
    /// The image of every container, in every pod template, that has it already in another version.
    Containers {
        /// What.
        pin: &'a Pin,
    },
    /// The values that comments mark for a policy.
    Marker {
        /// Whose markers.
        policy: &'a Marked,
        /// What.
        pin: &'a Pin,
    },
}

/// A file after its edits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edited {
    /// The whole file.
    pub bytes: Vec<u8>,
    /// What is new, in the order of lines. Empty: the file was so already.
    pub changes: Vec<Change>,
    /// How many places were looked at, the unchanged ones included.
    pub found: usize,
}

/// One value that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The line in the old file, counted from 1.
    pub line: usize,
    /// Where in its document.
    pub path: String,
    /// What was there; empty where the edit added it.
    pub from: String,
    /// What is there now.
    pub to: String,
}

/// Edits a file. `document` counts from 1; without it, every document is looked at, and one has to be meant.
pub fn edit(name: &str, bytes: &[u8], document: Option<usize>, edit: &Edit<'_>) -> Result<Edited, Refusal> {
    edited(name, bytes, document, edit).map_err(|why| why.in_file(name))
}

fn edited(name: &str, bytes: &[u8], document: Option<usize>, edit: &Edit<'_>) -> Result<Edited, Why> {
    let (text, skipped) = file::text(bytes)?;
    let mut session = Session::begin(text)?;
    match edit {
        Edit::Path { path, value } => {
            let found = find::one(&session.tree, path, document)?;
            session.set_as_given(&found, value)?;
        }
        Edit::HelmValues { path, pin } => helm::edit(&mut session, path, pin, document)?,
        Edit::Kustomize { pin, name: image } => kustomize::edit(&mut session, name, pin, *image, document)?,
        Edit::Containers { pin } => containers::edit(&mut session, pin, document)?,
        Edit::Marker { policy, pin } => marker::edit(&mut session, policy, pin, document)?,
    }
    let (after, mut edited) = session.finish()?;
    edited.bytes = [&bytes[..skipped], after.as_bytes()].concat();
    Ok(edited)
}
