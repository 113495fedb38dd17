//! Words of messages to people outside of the cluster. Constants only.

use super::{Word, word};

/// What a message is about.
pub const OCCASIONS: &[Word] = &[
    word("PromotionStarted", "a release enters a stage", ""),
    word("Verified", "a release finished its soak in a stage", ""),
    word("ApprovalRequired", "a release waits for approvals", "the command approves it"),
    word(
        "Suspect",
        "the evidence is against one pod or one node only, or others show the same at the same moment",
        "look at that pod, or at what they share",
    ),
    word("NoData", "a signal has no data, and the stage holds", "make its query have an answer again"),
    word("TagMoved", "a version tag names other contents than before", "the message says which"),
    word(
        "RollingBack",
        "a release is taken back from a stage: pages",
        "ends with `Resolved`, or in `Blocked`",
    ),
    word(
        "RollbackDidNotHelp",
        "what a release was taken back for goes on with the one that was restored",
        "look for what else changed",
    ),
    word("Blocked", "a stage needs a person: pages", "the command that helps is in the message"),
    word(
        "Resolved",
        "a stage that was rolling back or blocked goes on; told to whom the trouble was told",
        "",
    ),
];
