//! Words that are values of the labels of metrics. Constants only.

use super::{Word, word};

/// Values of the labels of metrics.
pub const LABELS: &[Word] = &[
    word("WriteQuarantine", "`kind`: a Quarantine is made", ""),
    word("WritePin", "`kind`: a pin is made or changed", ""),
    word("DeletePin", "`kind`: a pin is deleted", ""),
    word("MarkOrphan", "`kind`: a pin that no stage stands behind is marked", ""),
    word("MovePod", "`kind`: containers of a running pod get another image", ""),
    word("PatchTemplate", "`kind`: a workload's template gets another image", ""),
    word("Forbidden", "`outcome`: the ServiceAccount lacks a right", "the policy's status names it"),
    word("Outdated", "`outcome`: the object had changed meanwhile; decided anew", ""),
    word("Refused", "`outcome`: the API server or a webhook refused", "the policy's status has its words"),
    word("Fenced", "`outcome`, `category`: this replica does not lead", ""),
    word("Unavailable", "`outcome`: the API server did not answer", ""),
    word("Observe", "`category`: the policy could not be looked at", "see the log"),
    word("Effect", "`category`: some effect of the pass failed", "see `lockkeeper_effects`"),
    word("StatusConflict", "`category`: somebody else wrote the status; decided anew", ""),
    word("StatusWrite", "`category`: the status could not be written, so nothing was done", "see the log"),
    word("Timeout", "`category`: a pass took too long and was ended", "see the log"),
];
