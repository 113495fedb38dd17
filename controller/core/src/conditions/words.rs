//! The tables: each word once, with what it means and what ends it. Constants only, no logic.

mod answers;
mod conditions;
mod events;
mod metrics;
mod notices;
mod stages;

pub use answers::*;
pub use conditions::*;
pub use events::*;
pub use metrics::*;
pub use notices::*;
pub use stages::*;

/// A word, what it means, and what follows: what ends it, or what a person can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// The word itself.
    pub name: &'static str,
    /// What it says.
    pub means: &'static str,
    /// What ends it, or what to do; empty where there is nothing to say.
    pub then: &'static str,
}

/// Words that belong together in the reference.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its heading.
    pub title: &'static str,
    /// Where these words are seen.
    pub seen: &'static str,
    /// In the order of the reference.
    pub words: &'static [Word],
}

const fn word(name: &'static str, means: &'static str, then: &'static str) -> Word {
    Word { name, means, then }
}

/// All tables of `docs/reference/conditions.md`.
pub const TABLES: &[Table] = &[
    Table { title: "Condition types", seen: "`status.conditions[].type`", words: TYPES },
    Table { title: "Phases", seen: "`status.phase` (all) and `status.stages[].phase`", words: PHASES },
    Table {
        title: "What a stage waits for",
        seen: "`status.stages[].reason`; also on `Ready`, and on `Stalled` where nothing goes on by itself, when that stage is the one that speaks",
        words: WAITS,
    },
    Table {
        title: "Why a release is taken back",
        seen: "`status.stages[].reason` while the phase is `RollingBack` or `Blocked`, `status.stages[].rollback.reason` and `spec.reason` of the Quarantine",
        words: EVIDENCE,
    },
    Table {
        title: "Reasons of conditions alone",
        seen: "`status.conditions[].reason`, not bound to a stage",
        words: CONDITIONS,
    },
    Table {
        title: "Reading registries",
        seen: "`status.conditions[].reason` while the registry cannot be read and no stage has anything more urgent to say; also the label `outcome` of the metric `lockkeeper_registry_requests`",
        words: REGISTRY,
    },
    Table { title: "ImagePins", seen: "`status.conditions[]` of an ImagePin", words: PINS },
    Table {
        title: "What those outside are told",
        seen: "`spec.notify[].events`, `status.notices.outbox[].occasion`, and the messages themselves",
        words: OCCASIONS,
    },
    Table { title: "Labels of metrics", seen: "the [metrics](metrics.md)", words: LABELS },
    Table {
        title: "Why a tag was not taken",
        seen: "`status.tags[].reason`, `lockkeeper explain`, and `lockkeeper plan` and `select` beside the tag",
        words: TAGS,
    },
    Table {
        title: "Why a request is refused",
        seen: "`lockkeeper approve`, `adopt`, `hold`, `resume`, `promote`, `rollback`, with exit code 4; nothing is written then",
        words: REFUSALS,
    },
];
