//! Words of Events; all but `LeaderElected` are those of the history, too. Constants only.

use super::{Word, word};

/// Reasons of Events, and (all but `LeaderElected`) of the entries of `status.history`.
pub const EVENTS: &[Word] = &[
    word("CandidateFound", "selection chose a new release", ""),
    word(
        "PlatformMissing",
        "a release is not taken because it lacks a platform in use",
        "publish it, or set `select.platforms`",
    ),
    word("Unsigned", "a release is not taken because it has no signature", "sign it"),
    word(
        "SignedByOther",
        "a release is not taken because none of its signatures is by whom `select.verify` names",
        "the message says who signed it",
    ),
    word("TagMoved", "a version tag names other contents than before", "`Promote` the digest to take it"),
    word("LeaderElected", "on the Lease: this replica is the one that writes", ""),
    word("Adopted", "what a stage runs is kept as its stable release", ""),
    word("ApprovalRequired", "a release waits for approvals", "an Intervention `Approve`"),
    word("PromotionStarted", "a release enters a stage", ""),
    word(
        "WavesLeftOut",
        "files of a repository are committed without waves on running pods before; the message names the right that is missing",
        "see the condition `WavesInPlace`",
    ),
    word(
        "AwaitingMerge",
        "a request is open at the forge; the message has its address",
        "merge it; closing it rejects the release for the stage",
    ),
    word("Superseded", "a newer release comes instead of one that nobody has merged", ""),
    word("Widening", "a wave has soaked; the next one, or the whole stage, follows", ""),
    word("Verified", "a release finished its soak in a stage; the message says what that rules out", ""),
    word(
        "Suspect",
        "the evidence is against one pod or one node only, or others show the same at the same moment",
        "look at that pod, or at what they share",
    ),
    word(
        "NoData",
        "a signal has had no data for `health.noDataAfter`: the stage holds",
        "make its query have an answer again",
    ),
    word("Degraded", "a release is bad here; the message is the evidence", ""),
    word(
        "Quarantined",
        "contents are held back from every stage of the namespace",
        "deleting the Quarantine releases them",
    ),
    word("PutBack", "a release is put back without a quarantine", "see the message"),
    word("RolledBack", "a release was taken back from a stage", ""),
    word("RollbackHelped", "what the rollback was for is over with the release that was restored", ""),
    word(
        "RollbackDidNotHelp",
        "what the rollback was for goes on with the release that was restored",
        "look for what else changed; deleting the Quarantine lets the release come again",
    ),
    word(
        "RollbackUnclear",
        "six hours after a rollback nobody can tell whether it helped",
        "see the message",
    ),
    word("Blocked", "a stage needs a person", "see the message"),
    word(
        "NotDelivered",
        "a receiver of `spec.notify` or of the installation does not take messages",
        "see the message",
    ),
    word("Resumed", "a person resumed a stage", ""),
    word(
        "DriftDetected",
        "pods run other contents than their stage should",
        "`drift: Repair` puts them right",
    ),
    word(
        "EditedByHand",
        "somebody took a candidate out of a pod or a pin by hand: held",
        "`Resume` or `RollBack`",
    ),
    word("PinPutBack", "somebody changed or deleted a pin; it was put back", ""),
    word(
        "Contested",
        "somebody keeps changing the same object back; it is left alone",
        "settle with the manager that the message names",
    ),
];
