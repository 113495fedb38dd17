//! Why a file is left as it is.
//!
//! Guarantees: a refusal names the file, the line where there is one, the reason and what to do; values in it are
//! shown without credentials, in at most 100 characters.

/// A file that is not edited, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {reason}", line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct Refusal {
    /// The file, as it was named.
    pub file: String,
    /// The line, counted from 1.
    pub line: Option<usize>,
    /// What stands in the way, and what to do.
    pub reason: String,
}

/// The same before the file's name is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Why {
    pub line: Option<usize>,
    pub reason: String,
}

impl Why {
    /// Of one line.
    pub fn at(line: usize, reason: impl Into<String>) -> Self {
        Self { line: Some(line), reason: reason.into() }
    }

    /// Of the whole file.
    pub fn file(reason: impl Into<String>) -> Self {
        Self { line: None, reason: reason.into() }
    }

    pub fn in_file(self, file: &str) -> Refusal {
        Refusal { file: file.to_owned(), line: self.line, reason: self.reason }
    }
}
