//! Durations of flags, with the least that each may be.

use crate::kubernetes::{birth, orphans};
use jiff::SignedDuration;

pub fn orphan_after(text: &str) -> Result<SignedDuration, String> {
    match text.parse::<SignedDuration>() {
        Ok(apart) if apart >= orphans::LEAST_APART => Ok(apart),
        Ok(_) => Err(format!("write at least {:#}", orphans::LEAST_APART)),
        Err(error) => Err(format!("{error}; write a duration such as 5m")),
    }
}

pub fn birth_interval(text: &str) -> Result<SignedDuration, String> {
    match text.parse::<SignedDuration>() {
        Ok(every) if every >= birth::LEAST_APART => Ok(every),
        Ok(_) => Err(format!("write at least {:#}", birth::LEAST_APART)),
        Err(error) => Err(format!("{error}; write a duration such as 3m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_may_not_look_gone_too_soon() {
        assert_eq!(orphan_after("5m").unwrap(), orphans::APART);
        for (text, part) in
            [("4s", "at least 5s"), ("0s", "at least 5s"), ("-5m", "at least"), ("soon", "such as 5m")]
        {
            let error = orphan_after(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
