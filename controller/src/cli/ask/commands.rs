//! The commands that make an Intervention: their arguments, and what they mean.

use super::{
    Common, Expiry, Waiting,
    request::{Asker, Goal, Wanted},
};
use crate::cli::{Failure, complete, known::Loaded};
use jiff::{SignedDuration, Timestamp};
use lockkeeper_core::{
    asking::Known,
    image::Digest,
    observed::{InterventionKind, Skip},
};
use std::time::Duration;

/// A policy, and which of its stages.
#[derive(Clone, Debug, clap::Args)]
struct Place {
    /// The policy.
    #[arg(add = complete::policies())]
    policy: String,
    /// The stage; may be left out where there is only one. Repeatable.
    #[arg(long, value_name = "NAME", add = complete::stages())]
    stage: Vec<String>,
}

/// A policy and some of its stages, or all policies.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["policy", "all"]))]
struct Scope {
    /// The policy.
    #[arg(add = complete::policies())]
    policy: Option<String>,
    /// All policies of the namespace; with `-n` the installation's namespace, of the cluster.
    #[arg(long)]
    all: bool,
    /// Only this stage. Repeatable.
    #[arg(long, value_name = "NAME", requires = "policy", add = complete::stages())]
    stage: Vec<String>,
}

/// `approve`.
#[derive(Debug, clap::Args)]
pub struct Approve {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    expiry: Expiry,
    /// The policy.
    #[arg(add = complete::policies())]
    policy: String,
    /// The stage; without it every stage that waits for approval. Repeatable.
    #[arg(long, value_name = "NAME", add = complete::stages())]
    stage: Vec<String>,
    /// The release: a digest, or a version that the policy knows; without it the one that waits.
    #[arg(long, value_name = "DIGEST|VERSION")]
    digest: Option<String>,
    /// Why; kept in the history.
    #[arg(long, value_name = "TEXT", default_value = "approved")]
    reason: String,
}

/// `adopt`.
#[derive(Debug, clap::Args)]
pub struct Adopt {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    expiry: Expiry,
    #[command(flatten)]
    place: Place,
    /// The release that the stage shall run: a digest, or a version that its pods run.
    #[arg(long, value_name = "DIGEST|VERSION")]
    digest: String,
    /// Why; kept in the history.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// `hold`.
#[derive(Debug, clap::Args)]
pub struct Hold {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    scope: Scope,
    /// When it ends by itself: a duration such as 2h, or a time such as 2026-11-23T08:00:00Z; without it, by `resume`.
    #[arg(long, value_name = "WHEN", value_parser = until)]
    until: Option<Until>,
    /// Why; everybody who waits will read it.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// `resume`.
#[derive(Debug, clap::Args)]
pub struct Resume {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    expiry: Expiry,
    #[command(flatten)]
    scope: Scope,
    /// Why; kept in the history.
    #[arg(long, value_name = "TEXT", default_value = "resumed")]
    reason: String,
}

/// `promote`.
#[derive(Debug, clap::Args)]
pub struct Promote {
    #[command(flatten)]
    common: Common,
    /// Until when to wait: until the release has entered its stage, or until it is verified there, or has failed.
    #[arg(long, value_enum, value_name = "GOAL", num_args = 0..=1, require_equals = true, default_value_t = Awaited::Verified, default_missing_value = "verified")]
    wait: Awaited,
    /// How long to wait; then the exit code is 5, and the request stays. Without it, as long as it can come to something.
    #[arg(long, value_name = "DURATION", value_parser = crate::cli::cluster::duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    expiry: Expiry,
    #[command(flatten)]
    place: Place,
    /// The release: a digest, or a version that the policy knows; without it the candidate.
    #[arg(long, value_name = "DIGEST|VERSION")]
    digest: Option<String>,
    /// A gate to pass. Repeatable, or with commas.
    #[arg(long, value_enum, value_name = "GATE", value_delimiter = ',')]
    skip: Vec<Gate>,
    /// Why; the history will say it.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// `rollback`.
#[derive(Debug, clap::Args)]
pub struct Rollback {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    expiry: Expiry,
    #[command(flatten)]
    place: Place,
    /// The release that is bad: refused if the stage runs another one.
    #[arg(long, value_name = "DIGEST|VERSION")]
    digest: Option<String>,
    /// Why; it is also the reason of the Quarantine.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// What a promotion is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Awaited {
    /// Nothing: it is only asked for.
    #[value(name = "false")]
    Nothing,
    /// It is in the stage.
    Entered,
    /// Its soak there is over.
    #[value(alias = "true")]
    Verified,
}

/// A gate that a promotion may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
enum Gate {
    Age,
    Window,
    Approval,
    Soak,
}

impl From<Gate> for Skip {
    fn from(gate: Gate) -> Self {
        match gate {
            Gate::Age => Self::Age,
            Gate::Window => Self::Window,
            Gate::Approval => Self::Approval,
            Gate::Soak => Self::Soak,
        }
    }
}

/// When a hold ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    In(Duration),
    At(Timestamp),
}

fn until(text: &str) -> Result<Until, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return if at > Timestamp::now() { Ok(Until::At(at)) } else { Err("that is in the past".to_owned()) };
    }
    crate::cli::cluster::duration(text)
        .map(Until::In)
        .map_err(|why| format!("{why}; or a time such as 2026-11-23T08:00:00Z"))
}

fn after(duration: Duration) -> Option<Timestamp> {
    Timestamp::now().checked_add(SignedDuration::try_from(duration).ok()?).ok()
}

impl Approve {
    pub async fn run(&self) -> Result<(), Failure> {
        let (asker, loaded) = Asker::of(&self.common, self.waiting.goal(), &self.policy).await?;
        let (stages, digest) = self.what(&loaded, &loaded.known(Timestamp::now()))?;
        let wanted = Wanted {
            digest: Some(digest),
            not_after: after(self.expiry.expires),
            ..Wanted::of(InterventionKind::Approve, stages, &self.reason)
        };
        asker.ask(Some(&loaded), wanted).await
    }

    fn what(&self, loaded: &Loaded, known: &Known<'_>) -> Result<(Vec<String>, Digest), Failure> {
        let named = self.digest.as_ref().map(|text| loaded.digest(known, text)).transpose()?;
        if let (Some(digest), false) = (&named, self.stage.is_empty()) {
            return Ok((self.stage.clone(), digest.clone()));
        }
        let mut waiting = known.awaiting_approval();
        waiting.retain(|(stage, release)| {
            (self.stage.is_empty() || self.stage.contains(stage))
                && named.as_ref().is_none_or(|digest| release.answers_to(digest))
        });
        let Some((_, release)) = waiting.first().cloned() else {
            let where_ = if self.stage.is_empty() { "no stage".to_owned() } else { self.stage.join(", ") };
            return Err(Failure::NoMatch(format!(
                "{where_} of {} waits for an approval; to approve ahead, name --stage and --digest",
                self.policy
            )));
        };
        if waiting.iter().any(|(_, other)| other.digest != release.digest) {
            let all: Vec<String> = waiting
                .iter()
                .map(|(s, r)| format!("{s} for {}", lockkeeper_core::gates::label(r)))
                .collect();
            return Err(Failure::Usage(format!("different releases wait: {}; name --stage", all.join(", "))));
        }
        let stages = if self.stage.is_empty() {
            waiting.into_iter().map(|(stage, _)| stage).collect()
        } else {
            self.stage.clone()
        };
        Ok((stages, release.digest))
    }
}

impl Adopt {
    pub async fn run(&self) -> Result<(), Failure> {
        let (asker, loaded) = Asker::of(&self.common, self.waiting.goal(), &self.place.policy).await?;
        let wanted = Wanted {
            digest: loaded.named(Some(&self.digest))?,
            not_after: after(self.expiry.expires),
            ..Wanted::of(InterventionKind::Adopt, self.place.stages(&loaded)?, &self.reason)
        };
        asker.ask(Some(&loaded), wanted).await
    }
}

impl Hold {
    pub async fn run(&self) -> Result<(), Failure> {
        let not_after = match self.until {
            None => None,
            Some(Until::At(at)) => Some(at),
            Some(Until::In(duration)) => after(duration),
        };
        let asks = Wanted::of(InterventionKind::Hold, self.scope.stage.clone(), &self.reason);
        self.scope.ask(&self.common, self.waiting.goal(), Wanted { not_after, ..asks }).await
    }
}

impl Resume {
    pub async fn run(&self) -> Result<(), Failure> {
        let not_after = after(self.expiry.expires);
        let asks = Wanted::of(InterventionKind::Resume, self.scope.stage.clone(), &self.reason);
        self.scope.ask(&self.common, self.waiting.goal(), Wanted { not_after, ..asks }).await
    }
}

impl Promote {
    pub async fn run(&self) -> Result<(), Failure> {
        let goal = match self.wait {
            Awaited::Nothing => Goal::Asked,
            Awaited::Entered => Goal::CarriedOut(self.timeout),
            Awaited::Verified => Goal::Verified(self.timeout),
        };
        let (asker, loaded) = Asker::of(&self.common, goal, &self.place.policy).await?;
        let candidate = || loaded.status.candidate.as_ref().map(|release| release.digest.clone());
        let Some(digest) = loaded.named(self.digest.as_deref())?.or_else(candidate) else {
            let policy = &self.place.policy;
            return Err(Failure::NoMatch(format!("{policy} has no candidate yet; name a --digest")));
        };
        let wanted = Wanted {
            digest: Some(digest),
            skip: self.skip.iter().map(|gate| Skip::from(*gate)).collect(),
            not_after: after(self.expiry.expires),
            ..Wanted::of(InterventionKind::Promote, self.place.stages(&loaded)?, &self.reason)
        };
        asker.ask(Some(&loaded), wanted).await
    }
}

impl Rollback {
    pub async fn run(&self) -> Result<(), Failure> {
        let (asker, loaded) = Asker::of(&self.common, self.waiting.goal(), &self.place.policy).await?;
        let wanted = Wanted {
            digest: loaded.named(self.digest.as_deref())?,
            not_after: after(self.expiry.expires),
            ..Wanted::of(InterventionKind::RollBack, self.place.stages(&loaded)?, &self.reason)
        };
        asker.ask(Some(&loaded), wanted).await
    }
}

impl Place {
    /// The stages that were named; the only one, where none was.
    fn stages(&self, loaded: &Loaded) -> Result<Vec<String>, Failure> {
        let all: Vec<String> = loaded.policy.stages.iter().map(|stage| stage.name.clone()).collect();
        match (self.stage.as_slice(), all.as_slice()) {
            ([], [_]) => Ok(all),
            ([], _) => Err(Failure::Usage(format!(
                "{} has the stages {}; name --stage",
                loaded.policy.name,
                all.join(", ")
            ))),
            (named, _) => Ok(named.to_vec()),
        }
    }
}

impl Scope {
    async fn ask(&self, common: &Common, goal: Goal, wanted: Wanted) -> Result<(), Failure> {
        let Some(policy) = &self.policy else {
            return Asker::open(common, goal).await?.ask(None, wanted).await;
        };
        let (asker, loaded) = Asker::of(common, goal, policy).await?;
        asker.ask(Some(&loaded), wanted).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_ends_after_a_while_or_at_a_time() {
        assert_eq!(until("2h"), Ok(Until::In(Duration::from_hours(2))));
        assert_eq!(until("9999-01-01T00:00:00Z"), Ok(Until::At("9999-01-01T00:00:00Z".parse().unwrap())));
        assert!(until("2001-01-01T00:00:00Z").unwrap_err().contains("past"));
        assert!(until("tomorrow").unwrap_err().contains("such as 2026"));
    }
}
