//! Why a tag was not taken, and why a request is refused: what people are answered who ask. Constants only.

use super::{Word, word};

/// Why a tag was not taken.
pub const TAGS: &[Word] = &[
    word("Candidate", "it was taken: the newest release that selection admits", ""),
    word(
        "TooYoung",
        "it is the newest release that selection admits, and younger than `select.minimumReleaseAge`; the message says until when",
        "ends by itself",
    ),
    word(
        "Chosen",
        "`lockkeeper select` takes it, or `explain --all-tags` of a listing that the controller has not seen",
        "",
    ),
    word("Older", "the candidate is newer", ""),
    word("Quarantined", "its contents are quarantined", "deleting the Quarantine releases them"),
    word("PlatformMissing", "it lacks a platform in use", "publish it, or set `select.platforms`"),
    word("Unsigned", "it has no signature, and `select.verify` asks for one", "sign it"),
    word(
        "SignedByOther",
        "none of its signatures is by whom `select.verify` names",
        "sign it with the right key or identity, or correct `select.verify`",
    ),
    word(
        "TagMoved",
        "it names other contents than when it was first seen",
        "`Promote` the digest to take it",
    ),
    word("TagGone", "it was listed, and is gone", ""),
    word("NotATag", "the registry listed something that no image reference can name", ""),
    word("Ignored", "it matches `select.ignoreTags`", ""),
    word("NotFollowed", "`select.digest` follows another tag", ""),
    word("Filtered", "it does not match `select.filterTags.pattern`", ""),
    word("NotAVersion", "it is no semantic version", ""),
    word("NotANumber", "it is no number, and `select.numerical` goes by numbers", ""),
    word(
        "NoBuildDate",
        "its image's config has no date of build, a zero one or one of the future, and `select.newestBuild` goes by it",
        "",
    ),
    word("Prerelease", "it is a pre-release, and the range names none", ""),
    word("OutOfRange", "it is outside of `select.semver.range`", ""),
];

/// Why a request is refused before it is made.
pub const REFUSALS: &[Word] = &[
    word("NoSuchStage", "the policy has no stage of that name", "name one it has"),
    word("NoApprovalNeeded", "the stage asks for no approval", "nothing to do"),
    word(
        "AlreadyApproved",
        "the same person has approved this release here",
        "another person's approval counts",
    ),
    word("AlreadyThere", "the stage runs that release", "nothing to do"),
    word(
        "UnknownRelease",
        "neither selection nor any stage of the policy knows that release",
        "give the digest of one that is known, or `Promote` it",
    ),
    word("Quarantined", "the release is quarantined", "delete the Quarantine, if it is wrong"),
    word("Refused", "the stage gave that release back", "`Resume` forgets it"),
    word(
        "NotVerified",
        "the stages before have not verified that release",
        "wait, or `Promote` with `--skip Soak`",
    ),
    word(
        "NotMixed",
        "the stage has a release of its own: `Adopt` chooses only where there is none",
        "`Promote` another one",
    ),
    word("NothingToResume", "the stage is not held, has refused nothing and is not Blocked", "nothing to do"),
    word("NotHere", "the stage does not run that release", "give the digest that it runs, or none"),
    word("NothingRuns", "the stage has no release yet", "wait until it has adopted one"),
    word("RollingBack", "a release is being taken back already", "nothing to do"),
    word(
        "NoSafeDigest",
        "there is nothing verified or adopted to go back to",
        "`Promote` a digest that is good",
    ),
    word("Observing", "`mode: Observe`: nothing would be written", "`mode: Enforce`"),
    word("Suspended", "`suspend: true`: nothing would be written", "`suspend: false`"),
];
