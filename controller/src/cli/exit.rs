//! How a command ends.
//!
//! Guarantees: every exit code is in [`CODES`], which the reference is made from; a code never changes its meaning.

use std::any::Any;

/// One exit code.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    /// The number.
    pub number: u8,
    /// What it says.
    pub means: &'static str,
    /// What a script, or a person, can do.
    pub then: &'static str,
}

const fn code(number: u8, means: &'static str, then: &'static str) -> Code {
    Code { number, means, then }
}

/// All of them.
pub const CODES: [Code; 7] = [
    code(0, "it is done", ""),
    code(1, "it could not be done", "the message says why; trying again may help"),
    code(
        2,
        "the arguments or an input are wrong; nothing was done",
        "the message says what to write instead",
    ),
    code(
        3,
        "nothing matched: no such policy, stage, release, tag, Quarantine or marker",
        "see what there is by `get`",
    ),
    code(
        4,
        "it was refused, and nothing was written: by Lockkeeper's rules, by admission, or for want of a right",
        "the message has the reason",
    ),
    code(
        5,
        "`--timeout` passed before there was a result; what was asked for stays asked for",
        "`explain` says what it waits for",
    ),
    code(6, "something was found that a person should put right (`plan`, `check`)", "each finding says how"),
];

/// Why a command ended badly.
#[derive(Debug)]
pub enum Failure {
    /// It could not be done.
    Failed(String),
    /// The arguments, or an input, are wrong.
    Usage(String),
    /// What was named does not exist, or nothing is admitted.
    NoMatch(String),
    /// It was refused; nothing was written.
    Refused(String),
    /// No result in time.
    TimedOut(String),
    /// What was found is on standard output already.
    Found,
}

impl Failure {
    /// Its exit code, and what is said of it on standard error.
    #[must_use]
    pub fn end(&self) -> (u8, Option<&str>) {
        match self {
            Self::Failed(why) => (1, Some(why)),
            Self::Usage(why) => (2, Some(why)),
            Self::NoMatch(why) => (3, Some(why)),
            Self::Refused(why) => (4, Some(why)),
            Self::TimedOut(why) => (5, Some(why)),
            Self::Found => (6, None),
        }
    }
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        match (&error as &dyn Any).downcast_ref::<kube::Error>() {
            Some(kube::Error::Api(status)) => of_status(status),
            _ => Self::Failed(chain(&error)),
        }
    }
}

/// What the API server's answer means for the one who typed the command.
fn of_status(status: &kube::core::Status) -> Failure {
    let message = status.message.clone();
    let named = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
    match status.code {
        404 if named => Failure::NoMatch(message),
        404 => Failure::Failed(format!(
            "the API server does not serve Lockkeeper's kinds ({message}); install them: lockkeeper crd | kubectl \
             apply --server-side -f -"
        )),
        401 => Failure::Refused(format!("the API server does not know this user: {message}")),
        403 | 422 => Failure::Refused(message),
        _ => Failure::Failed(message),
    }
}

/// An error with its sources, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_a_code_of_the_table() {
        let all = [
            Failure::Failed(String::new()),
            Failure::Usage(String::new()),
            Failure::NoMatch(String::new()),
            Failure::Refused(String::new()),
            Failure::TimedOut(String::new()),
            Failure::Found,
        ];
        let numbers: Vec<u8> = CODES.iter().map(|code| code.number).collect();
        let ends: Vec<u8> = all.iter().map(|failure| failure.end().0).collect();
        assert_eq!(numbers[0], 0);
        assert_eq!(ends, numbers[1..]);
    }

    #[test]
    fn the_api_server_s_answers_keep_their_meaning() {
        let status = |json: &str| kube::Error::Api(Box::new(serde_json::from_str(json).unwrap()));
        for (answer, code, part) in [
            (
                r#"{"code": 404, "message": "x \"a\" not found", "details": {"name": "a", "kind": "x"}}"#,
                3,
                "not found",
            ),
            (r#"{"code": 404, "message": "page not found"}"#, 1, "lockkeeper crd"),
            (r#"{"code": 403, "message": "may not"}"#, 4, "may not"),
            (r#"{"code": 422, "message": "admission says no"}"#, 4, "admission says no"),
            (r#"{"code": 500, "message": "etcd"}"#, 1, "etcd"),
        ] {
            let failure = Failure::from(status(answer));
            let (number, text) = failure.end();
            assert_eq!(number, code, "{answer}");
            assert!(text.unwrap().contains(part), "{failure:?}");
        }
    }
}
