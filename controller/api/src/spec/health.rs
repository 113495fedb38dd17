//! `spec.health` as it is on the wire.

use super::Signal;
use crate::{bounds, schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How degradation is judged. The mathematics does not know the time scale: a demonstration may run in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [schema::rule(
    "!has(self.noDataAfter) || !has(self.noDataMax) || duration(self.noDataMax) >= duration(self.noDataAfter)",
    "noDataMax must be at least noDataAfter; lengthen it",
)]))]
pub struct Health {
    /// What is measured besides what the pods themselves show. A signal that is added while a release is in flight counts
    /// from the next one on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::SIGNALS))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub signals: Vec<Signal>,
    /// Length of one tick: evidence is counted per tick.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20))]
    #[schemars(extend("x-kubernetes-validations" = schema::duration(bounds::TICK)))]
    pub tick: Option<String>,
    /// A pod's first time on some contents, in which its restarts do not count; a crash loop always does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20))]
    #[schemars(extend("x-kubernetes-validations" = schema::duration(bounds::WARM_UP)))]
    pub warm_up: Option<String>,
    /// The share of good releases that may be taken back by mistake, for the whole promotion.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 8))]
    #[schemars(extend("x-kubernetes-validations" = [schema::rule(
        "self.matches('^[0-9]{1,2}([.][0-9]{1,3})?%$') && double(self.substring(0, self.size() - 1)) > 0.0 \
         && double(self.substring(0, self.size() - 1)) <= 20.0",
        "must be a share above 0% and at most 20%, such as 2% or 0.5%",
    )]))]
    pub false_rollback_budget: Option<String>,
    /// Evidence of health that a release needs before it is verified; without this a soak without an alarm is enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require: Option<Require>,
    /// After this long without data the stage holds and says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20))]
    #[schemars(extend("x-kubernetes-validations" = schema::duration(bounds::NO_DATA_AFTER)))]
    pub no_data_after: Option<String>,
    /// After this long without data the stage is Blocked (Inconclusive) and its wave is put back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20))]
    #[schemars(extend("x-kubernetes-validations" = schema::duration(bounds::NO_DATA_MAX)))]
    pub no_data_max: Option<String>,
    /// A pod that is not Ready this long after it got the candidate never will be.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20))]
    #[schemars(extend("x-kubernetes-validations" = schema::duration(bounds::READY_DEADLINE)))]
    pub ready_deadline: Option<String>,
    /// How long a verified release is watched on and still taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20))]
    #[schemars(extend("x-kubernetes-validations" = schema::duration(bounds::GUARD)))]
    pub guard: Option<String>,
    /// A rollback is over when no pod has run the bad contents for this long.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20))]
    #[schemars(extend("x-kubernetes-validations" = schema::duration(bounds::SWEEP)))]
    pub sweep: Option<String>,
}

/// What a release has to show. The soak goes on until it has, up to `maxSoak`; then the stage is Blocked (Inconclusive).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Require {
    /// It restarts less often than this, with a confidence of 95 %: about 3.2 pod-hours without a restart for "1".
    #[schemars(length(min = 1, max = 8))]
    #[schemars(extend("x-kubernetes-validations" = [schema::rule(
        "self.matches('^[0-9]{1,4}([.][0-9]{1,3})?$') && double(self) > 0.0 && double(self) <= 1000.0",
        "must be restarts per pod and hour, above 0 and at most 1000, such as 0.5",
    )]))]
    pub restarts_per_pod_hour: String,
}
