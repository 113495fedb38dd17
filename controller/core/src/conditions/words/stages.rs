//! What a stage waits for, and why a release is taken back from it. Constants only.

use super::{Word, word};

/// What a stage waits for.
pub const WAITS: &[Word] = &[
    word("Verified", "the release finished its soak here", "nothing to do"),
    word("Adopted", "what was found running is kept", "nothing to do"),
    word("Restored", "the status was lost; what the stage's pins say is kept", "nothing to do"),
    word("RolledBack", "a release was taken back; the stage is stable again", "nothing to do"),
    word(
        "RunsQuarantined",
        "a release that another stage proved bad is kept here, to reproduce it",
        "ends with the next release",
    ),
    word("NoCandidate", "selection has not chosen a release yet", "see the registry's reasons below"),
    word("NoPods", "no pod matches the stage", "check its selector and namespaces"),
    word(
        "NoContainers",
        "no container of what matches has one of the names in `containers`",
        "correct `containers`",
    ),
    word("NoReadyPods", "pods match, and none of them is Ready", "ends when one is"),
    word(
        "RepositoryMismatch",
        "the named container runs another repository; it is never touched",
        "name the mirror in `spec.pullFrom`, or correct `containers`",
    ),
    word(
        "Mixed",
        "no release runs on 80 % of the pods, so nothing is pinned",
        "an Intervention `Adopt` chooses one, or the first promotion brings them together",
    ),
    word("Resolving", "the registry is asked what a running digest is", "ends with its answer"),
    word(
        "Restoring",
        "the registry is asked what the digest of a pin is, after a lost status",
        "ends with its answer",
    ),
    word(
        "StatusRestored",
        "the status was lost: nothing is promoted until the longest soak has passed",
        "ends by itself",
    ),
    word(
        "StaleWatch",
        "the API server's watches are not fresh, so what is seen may be old: nothing is promoted, verified or taken back",
        "ends when they are",
    ),
    word(
        "Conflicted",
        "an older policy or stage holds the same containers",
        "change one of the two selectors",
    ),
    word(
        "Forbidden",
        "the policy's ServiceAccount lacks a right; the message names verb, resource and namespace",
        "grant it by a Role and a RoleBinding there",
    ),
    word(
        "Quarantined",
        "the candidate is quarantined, or was while it was in the stage",
        "a newer release, or deleting the Quarantine",
    ),
    word(
        "Refused",
        "this stage gave the candidate back without a quarantine",
        "a newer release, or an Intervention `Resume`",
    ),
    word(
        "LeftAlone",
        "the workloads of the stage may not be written; the message says why",
        "target `pods`, or take the image out of what the other tool applies",
    ),
    word(
        "OutOfRange",
        "what runs is newer than the candidate: versions never go down by themselves",
        "widen the range, set `select.allowDowngrade`, or an Intervention `Promote`",
    ),
    word("TooYoung", "the candidate is younger than `select.minimumReleaseAge`", "ends by itself"),
    word("Held", "a person asked to hold", "an Intervention `Resume`, or deleting the Hold"),
    word("WindowClosed", "it is outside of the stage's windows", "ends by itself when one opens"),
    word("ApprovalRequired", "approvals are missing", "an Intervention `Approve` with this digest"),
    word(
        "Checking",
        "the candidate is fetched through every repository that the pods use, its signatures are looked up where `select.verify` asks for one, and at last its tag is looked up once more; or what a Quarantine names is looked up",
        "ends with the answers",
    ),
    word(
        "NotPullable",
        "a repository in use does not have the digest, or pods could not pull it",
        "mirror it there",
    ),
    word(
        "Unsigned",
        "the candidate has no signature at all, and `select.verify` asks for one",
        "sign it; it is looked for again in every `interval`, and at once when a hook arrives",
    ),
    word(
        "SignedByOther",
        "the candidate has signatures, and none of them is by whom `select.verify` names; the message says why not",
        "sign it with the right key or identity, or correct `select.verify`",
    ),
    word(
        "SignatureUnknown",
        "who signed the candidate could not be looked up: it waits, and the message says since when and why",
        "ends by itself once the registry answers, or the Secret with the keys can be read",
    ),
    word(
        "TagMoved",
        "the candidate's tag names other contents now than when it was chosen: it is held",
        "an Intervention `Promote` with the digest that is meant",
    ),
    word(
        "TagGone",
        "the candidate's tag was deleted from the registry: it is held",
        "a newer release, or an Intervention `Promote` with its digest",
    ),
    word(
        "EditedByHand",
        "somebody took the candidate out of a pod or a pin by hand: nothing is widened",
        "`Resume` goes on, `RollBack` takes it back",
    ),
    word("Applying", "pods or templates are being changed", "ends by itself"),
    word(
        "Committing",
        "the files of a repository are looked at, or brought to the release by a commit",
        "ends by itself",
    ),
    word(
        "GitFailed",
        "a repository cannot be read, or takes no commit; the message says why and since when",
        "correct what the message names; it is tried again by itself",
    ),
    word(
        "EditRefused",
        "a file of a repository cannot be edited without touching more than the pin; the message names file, line and reason",
        "correct the file or the edit; ends by itself, at `maxSoak` at the latest",
    ),
    word(
        "AwaitingMerge",
        "a request is open at the forge; the message has its address",
        "merge it; closing it rejects the release for this stage; a newer release takes its place; no deadline",
    ),
    word(
        "Rejected",
        "somebody closed the request unmerged; where that was to take a release back, the files say it still",
        "a newer release, `Resume` or `Promote`; where a release is being taken back: reopen the request, or edit the files",
    ),
    word("Superseded", "a newer release takes the place of one that nobody has merged", "goes on by itself"),
    word(
        "AwaitingSync",
        "the commit is pushed; what applies the repository has not brought the release to all pods yet",
        "look at that tool; ends at `maxSoak`",
    ),
    word(
        "Contested",
        "another manager keeps setting the image of a workload back, or somebody took the release out of the files three times; the message names whom",
        "target `pods`, or leave that field out there; ends at `maxSoak`",
    ),
    word(
        "WaveUnstable",
        "more wave pods went away than are replaced",
        "an Intervention `Resume` or `RollBack`",
    ),
    word("Soaking", "the candidate has to stay healthy until then", "ends by itself"),
    word(
        "EvidenceShort",
        "the soak is over without an alarm, and goes on until the release has shown what `health.require` asks for",
        "ends by itself, at `maxSoak` at the latest; more pods or a higher rate in `health.require` need less time",
    ),
    word(
        "SoakPaused",
        "the soak's clock stands still; the message says why",
        "ends when the pods are Ready and watches fresh, at `maxSoak` at the latest",
    ),
    word(
        "AwaitingSignal",
        "the soak is over without an alarm, and ends once the signal that the message names has answered",
        "ends by itself, at `maxSoak` at the latest",
    ),
    word(
        "NoData",
        "a signal of `health.signals` has had no data for `health.noDataAfter`: nothing is widened, verified or taken back",
        "make the query have an answer again; at `health.noDataMax` the release is put back without a quarantine",
    ),
    word(
        "SuspectOnePod",
        "the evidence is against one pod or one node only, or the candidate exports nothing: neither widened nor taken back",
        "look at that pod; ends with other evidence, or at `maxSoak`",
    ),
    word(
        "CommonCause",
        "what speaks against the release speaks at the same moment against others: pods of two other images at least crash on the same nodes, or their candidates look worse by the same server of signals; neither widened nor taken back",
        "see to what they share; ends with it, and after 30 ticks at the latest: what then remains is taken back. `RollBack` does so at once",
    ),
    word("Resumed", "a person resumed the stage", "goes on by itself"),
    word(
        "RollbackRecommended",
        "degraded, and `rollback` of the stage is not `Automatic`",
        "an Intervention `RollBack` or `Resume`",
    ),
    word("RollingBack", "pods still run the bad release", "ends by itself"),
    word(
        "Sweeping",
        "no pod runs the bad release any more; it is watched that none comes back",
        "ends by itself",
    ),
    word(
        "RollbackNotReady",
        "what was restored does not get Ready",
        "look at the pods; `Resume` goes on, `Adopt` chooses another digest",
    ),
    word(
        "RollbackStuck",
        "a rollback is not over after two hours; it goes on all the same",
        "look at the pods and the refusals that the message names",
    ),
    word("NoSafeDigest", "there is no safe digest to go back to", "`Adopt` or `Promote` one"),
    word("SecondRollback", "the second rollback of this stage within an hour", "find out why; then `Resume`"),
    word("Observing", "`mode: Observe`: the message says what would be done", "`mode: Enforce`"),
    word("Suspended", "`suspend: true`: the message says what is left half-way", "`suspend: false`"),
    word("Idle", "nothing is in flight", "goes on by itself"),
];

/// Why a release is taken back.
pub const EVIDENCE: &[Word] = &[
    word(
        "RestartsIncreased",
        "it crashes more often than the pods of the release before beside it",
        "quarantined",
    ),
    word(
        "SignalWorse",
        "a signal of `health.signals` is worse than it may be; the message has the evidence and its limit",
        "quarantined",
    ),
    word("CrashLoop", "at least two of its pods are in a crash loop, and none beside them is", "quarantined"),
    word(
        "NeverReady",
        "its pods did not get Ready in time: two or more are evidence, one is put back only",
        "quarantined, if two or more",
    ),
    word("RequestedByPerson", "an Intervention `RollBack`", "quarantined"),
    word("Rejected", "its request was closed unmerged", "put back, not quarantined; refused by that stage"),
    word("Superseded", "a newer release came before anybody merged its request", "put back, not quarantined"),
    word(
        "Inconclusive",
        "the soak could not end, or data was missing too long",
        "put back, not quarantined; a newer release, or `Resume`",
    ),
];
