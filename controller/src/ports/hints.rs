//! Hints from outside that a repository may have changed.
//!
//! A hint says where to look, never what is there: nothing of it is believed, and one that concerns no policy costs
//! a lookup in memory.

use lockkeeper_core::image::Repository;

/// Where something may have changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hint {
    /// The repository.
    pub repository: Repository,
    /// Or any repository below it: some senders name a project only.
    pub below: bool,
}

impl Hint {
    /// Whether it speaks of this repository.
    #[must_use]
    pub fn concerns(&self, repository: &Repository) -> bool {
        if *repository == self.repository {
            return true;
        }
        let below = repository.path().strip_prefix(self.repository.path());
        self.below
            && repository.registry() == self.repository.registry()
            && below.is_some_and(|rest| rest.starts_with('/'))
    }
}

/// Who looks when told.
pub trait Hints: Send + Sync + 'static {
    /// Looks soon at what policies want to know of this repository. Returns how many lookups that are.
    fn hint(&self, hint: &Hint) -> usize;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_not_the_beginning_of_a_name() {
        let repository = |text: &str| text.parse::<Repository>().unwrap();
        let hint = Hint { repository: repository("r.example.com/team/app"), below: true };
        for (text, concerned) in [
            ("r.example.com/team/app", true),
            ("r.example.com/team/app/sidecar", true),
            ("r.example.com/team/application", false),
            ("r.example.com/team", false),
            ("other.example.com/team/app/sidecar", false),
        ] {
            assert_eq!(hint.concerns(&repository(text)), concerned, "{text}");
            let exact = Hint { below: false, ..hint.clone() };
            assert_eq!(exact.concerns(&repository(text)), text == "r.example.com/team/app", "{text}");
        }
    }
}
