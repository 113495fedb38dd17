//! Why the controller ends.

use crate::election::End;

/// Why the controller ends.
pub enum Why {
    /// By a signal.
    Told,
    /// Something that must run for ever did not.
    Ended(String),
    /// It led and does not any more.
    Lost(String),
}

impl Why {
    /// Of an election that is over.
    pub fn of(ended: Result<End, tokio::task::JoinError>) -> Self {
        match ended {
            Ok(End::Lost(reason)) => Self::Lost(reason),
            Ok(End::Left) => Self::Ended("the election".to_owned()),
            Err(error) => Self::Ended(format!("the election: {error}")),
        }
    }
}

/// Which task has ended.
pub fn describe(ended: Option<Result<String, tokio::task::JoinError>>) -> String {
    match ended {
        Some(Ok(task)) => task,
        Some(Err(error)) => format!("a task: {error}"),
        None => "everything".to_owned(),
    }
}
