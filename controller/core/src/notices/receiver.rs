//! Who is told, and of what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A service that tells people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// A channel of Slack, by an incoming webhook.
    Slack,
    /// A channel of Microsoft Teams, by a workflow.
    Teams,
    /// `PagerDuty`, by its Events API v2.
    PagerDuty,
    /// Prometheus' Alertmanager.
    Alertmanager,
    /// Anything that takes `CloudEvents` over HTTP.
    Webhook,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Slack, Self::Teams, Self::PagerDuty, Self::Alertmanager, Self::Webhook];

    /// As `spec.notify` names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Teams => "teams",
            Self::PagerDuty => "pagerDuty",
            Self::Alertmanager => "alertmanager",
            Self::Webhook => "webhook",
        }
    }

    /// What it can be told: a pager only knows troubles that end.
    #[must_use]
    pub fn takes(self) -> &'static [Occasion] {
        match self {
            Self::PagerDuty | Self::Alertmanager => &Occasion::TROUBLE,
            Self::Slack | Self::Teams | Self::Webhook => &Occasion::CHOICE,
        }
    }
}

/// What there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Occasion {
    /// A release enters a stage.
    PromotionStarted,
    /// A release finished its soak in a stage.
    Verified,
    /// A release waits for approvals.
    ApprovalRequired,
    /// The evidence is against one pod or one node only.
    Suspect,
    /// A signal has no data, and the stage holds.
    NoData,
    /// A version tag names other contents than before.
    TagMoved,
    /// A release is taken back.
    RollingBack,
    /// What it was taken back for goes on.
    RollbackDidNotHelp,
    /// A stage needs a person.
    Blocked,
    /// A stage that was rolling back or blocked goes on.
    Resolved,
}

impl Occasion {
    /// The troubles of a stage, which end with `Resolved`.
    pub const TROUBLE: [Self; 2] = [Self::RollingBack, Self::Blocked];
    /// Those a person may choose from. `Resolved` goes to whom the trouble was told.
    pub const CHOICE: [Self; 9] = [
        Self::PromotionStarted,
        Self::Verified,
        Self::ApprovalRequired,
        Self::Suspect,
        Self::NoData,
        Self::TagMoved,
        Self::RollingBack,
        Self::RollbackDidNotHelp,
        Self::Blocked,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PromotionStarted => "PromotionStarted",
            Self::Verified => "Verified",
            Self::ApprovalRequired => "ApprovalRequired",
            Self::Suspect => "Suspect",
            Self::NoData => "NoData",
            Self::TagMoved => "TagMoved",
            Self::RollingBack => "RollingBack",
            Self::RollbackDidNotHelp => "RollbackDidNotHelp",
            Self::Blocked => "Blocked",
            Self::Resolved => "Resolved",
        }
    }

    /// What an Event with this reason is to those outside. Those of troubles come from the stages instead: several
    /// Events are one transition there.
    #[must_use]
    pub fn of_event(reason: &str) -> Option<Self> {
        Self::CHOICE
            .into_iter()
            .find(|occasion| occasion.name() == reason && !Self::TROUBLE.contains(occasion))
    }
}

/// One who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Unique among those of a policy.
    pub name: String,
    /// By what.
    pub service: Service,
    /// Where its address and credential are.
    pub place: Place,
    /// Of what.
    pub occasions: BTreeSet<Occasion>,
    /// Of which stages; empty: of all, and of what concerns no stage.
    pub stages: BTreeSet<String>,
}

/// Where a receiver's address and credential are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this Secret of the policy's namespace.
    Secret(String),
    /// With the installation, under the receiver's name.
    Installation,
}

impl Receiver {
    /// Whether it is told of this.
    #[must_use]
    pub fn wants(&self, occasion: Occasion, stage: &str) -> bool {
        self.occasions.contains(&occasion) && (self.stages.is_empty() || self.stages.contains(stage))
    }
}
