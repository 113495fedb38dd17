//! Making one Intervention: who asks, what speaks against it, the object, and what came of it.

use super::{Common, progress};
use crate::cli::{
    Failure,
    cluster::Session,
    known::Loaded,
    output::{Machine, machine, print, say},
};
use jiff::Timestamp;
use k8s_openapi::{
    api::authentication::v1::SelfSubjectReview,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::{Api, ResourceExt as _, api::PostParams};
use lockkeeper_api::{Intervention, InterventionSpec, intervention::PolicyRef};
use lockkeeper_core::{
    image::Digest,
    observed::{InterventionKind, InterventionSeen, Skip},
};
use std::{collections::BTreeSet, time::Duration};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub kind: InterventionKind,
    pub stages: Vec<String>,
    pub digest: Option<Digest>,
    pub skip: BTreeSet<Skip>,
    pub reason: String,
    pub not_after: Option<Timestamp>,
}

impl Wanted {
    /// With nothing that only some kinds have.
    pub fn of(kind: InterventionKind, stages: Vec<String>, reason: &str) -> Self {
        Self { kind, stages, digest: None, skip: BTreeSet::new(), reason: reason.to_owned(), not_after: None }
    }
}

/// Until when a command waits, and for how long at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Not at all: it is asked for.
    Asked,
    /// The controller has done what was asked.
    CarriedOut(Option<Duration>),
    /// And the release that was asked for is verified, or has failed.
    Verified(Option<Duration>),
}

/// Somebody who asks, in a namespace.
pub struct Asker {
    pub session: Session,
    /// The name by which the API server knows this person; empty where it would not say.
    pub who: String,
    installation: String,
    pub goal: Goal,
    pub dry_run: bool,
}

impl Asker {
    pub async fn open(common: &Common, goal: Goal) -> Result<Self, Failure> {
        let session = Session::open(&common.cluster).await?;
        let who = who(&session).await?;
        Ok(Self {
            session,
            who,
            installation: common.installation.installation_namespace.clone(),
            goal,
            dry_run: common.dry_run,
        })
    }

    pub async fn load(&self, policy: &str) -> Result<Loaded, Failure> {
        Loaded::of(&self.session, policy, &self.installation).await
    }

    /// Somebody who asks about one policy.
    pub async fn of(common: &Common, goal: Goal, policy: &str) -> Result<(Self, Loaded), Failure> {
        let asker = Self::open(common, goal).await?;
        let loaded = asker.load(policy).await?;
        Ok((asker, loaded))
    }

    /// Checks, makes, waits, and says what came of it.
    pub async fn ask(&self, loaded: Option<&Loaded>, wanted: Wanted) -> Result<(), Failure> {
        if let Some(loaded) = loaded {
            self.check(loaded, &wanted)?;
        }
        let object = self.object(loaded, &wanted);
        if self.dry_run {
            return print(&machine(Machine::Yaml, &object)?);
        }
        let api: Api<Intervention> = self.session.api();
        let stored = self.session.answer(api.create(&PostParams::default(), &object)).await?;
        let asked = stored.seen().map_err(|mistakes| {
            let all: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            Failure::Failed(format!(
                "Intervention {} was stored wrongly: {}",
                stored.name_any(),
                all.join("; ")
            ))
        })?;
        say(&format!(
            "Intervention {}: {} asks for {:?}{}",
            asked.id,
            asked.requested_by,
            asked.kind,
            asked.not_after.map_or_else(String::new, |until| format!("; it counts until {until:.0}"))
        ));
        if self.goal == Goal::Asked {
            return print(&format!("intervention.lockkeeper.dev/{}\n", stored.name_any()));
        }
        progress::wait(&self.session, &self.installation, loaded, &asked, self.goal).await
    }

    /// Refuses with the reason that the controller would have.
    fn check(&self, loaded: &Loaded, wanted: &Wanted) -> Result<(), Failure> {
        let now = Timestamp::now();
        let request = InterventionSeen {
            id: format!("{}/asked", self.session.namespace),
            kind: wanted.kind,
            stages: wanted.stages.clone(),
            digest: wanted.digest.clone(),
            requested_by: self.who.clone(),
            reason: wanted.reason.clone(),
            skip: wanted.skip.clone(),
            created: now,
            not_after: wanted.not_after,
        };
        let prospect = loaded.known(now).prospect(&request);
        // Of a whole policy some stage has to have a use for it; of those that are named, each.
        let somewhere = wanted.stages.is_empty() && prospect.refusals.len() < loaded.policy.stages.len();
        if !prospect.refusals.is_empty() && !somewhere {
            let all: Vec<String> = prospect
                .refusals
                .iter()
                .map(|refusal| format!("{}: {}: {}", refusal.stage, refusal.reason, refusal.message))
                .collect();
            return Err(Failure::Refused(all.join("; ")));
        }
        for (stage, wait) in prospect.waits {
            say(&format!("{stage} will wait after all: {wait}"));
        }
        Ok(())
    }

    fn object(&self, loaded: Option<&Loaded>, wanted: &Wanted) -> Intervention {
        let action = format!("{:?}", wanted.kind);
        let name =
            loaded.map_or_else(|| "all".to_owned(), |loaded| loaded.policy.name.chars().take(40).collect());
        Intervention {
            metadata: ObjectMeta {
                namespace: Some(self.session.namespace.clone()),
                generate_name: Some(format!("{name}-{}-", action.to_lowercase())),
                ..ObjectMeta::default()
            },
            spec: InterventionSpec {
                action,
                policy_ref: loaded
                    .map(|loaded| PolicyRef { name: loaded.policy.name.clone(), uid: loaded.object.uid() }),
                stages: wanted.stages.clone(),
                digest: wanted.digest.as_ref().map(ToString::to_string),
                skip: wanted.skip.iter().map(|skip| format!("{skip:?}")).collect(),
                reason: wanted.reason.clone(),
                requested_by: self.who.clone(),
                not_after: wanted.not_after.map(|at| Time(at.round(jiff::Unit::Second).unwrap_or(at))),
            },
        }
    }
}

/// Who asks, as the API server sees it. Where it does not tell, it fills the name in by itself.
async fn who(session: &Session) -> Result<String, Failure> {
    let api: Api<SelfSubjectReview> = Api::all(session.client.clone());
    match session.answer(api.create(&PostParams::default(), &SelfSubjectReview::default())).await {
        Ok(review) => {
            let user = review.status.and_then(|status| status.user_info);
            Ok(user.and_then(|user| user.username).unwrap_or_default())
        }
        Err(Failure::TimedOut(why)) => Err(Failure::TimedOut(why)),
        Err(Failure::Failed(why)) if why.contains("Connect") || why.contains("connect") => {
            Err(Failure::Failed(why))
        }
        Err(_) => Ok(String::new()),
    }
}
