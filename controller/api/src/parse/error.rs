//! What is wrong with a field, as people read it, and the list that collects all of it.

use lockkeeper_core::image::shown;
use std::fmt;

/// One mistake: which field, and a sentence with value (credentials left out, at most 100 characters), reason and fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct FieldError {
    /// Such as `spec.stages[1].soak`.
    pub path: String,
    /// `"0s" is shorter than 1s; write …`.
    pub message: String,
}

impl FieldError {
    /// A mistake in the field at `path`: its value is shown, without credentials.
    pub fn new(
        path: impl Into<String>,
        value: &str,
        reason: impl fmt::Display,
        fix: impl fmt::Display,
    ) -> Self {
        Self { path: path.into(), message: format!("{} {reason}; {fix}", shown(value)) }
    }
}

/// All mistakes of one object.
#[derive(Debug, Default)]
pub(crate) struct Errors(Vec<FieldError>);

impl Errors {
    pub(crate) fn add(
        &mut self,
        path: impl Into<String>,
        value: &str,
        reason: impl fmt::Display,
        fix: impl fmt::Display,
    ) {
        self.0.push(FieldError::new(path, value, reason, fix));
    }

    /// Keeps an error whose own text has value, reason and fix.
    pub(crate) fn keep<T, E: fmt::Display>(
        &mut self,
        path: impl Into<String>,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|error| self.0.push(FieldError { path: path.into(), message: error.to_string() })).ok()
    }

    /// The value if nothing was wrong anywhere.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Vec<FieldError>> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self.0),
        }
    }

    /// Too many or too few of something.
    pub(crate) fn count(&mut self, path: &str, found: usize, least: usize, most: usize) {
        if found < least {
            self.add(path, &found.to_string(), "is too few", format_args!("give at least {least}"));
        } else if found > most {
            self.add(path, &found.to_string(), "are too many", format_args!("give at most {most}"));
        }
    }
}

/// The known word nearest to a wrong one, if it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&lower, &known.to_lowercase()), known))
        .filter(|(distance, known)| *distance <= (known.len() / 3).max(1))
        .min()
        .map(|(_, known)| known)
}

/// `did you mean "prod"?`, or the list of what there is.
#[must_use]
pub fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(word, known.clone()) {
        Some(known) => format!("did you mean {}?", shown(known)),
        None => {
            let all: Vec<_> = known.into_iter().collect();
            if all.is_empty() {
                "there is none to name".into()
            } else {
                format!("there are: {}", all.join(", "))
            }
        }
    }
}
