//! One policy with everything the API server holds about it: what `explain`, `history` and the requests look at.

use super::{
    Failure,
    cluster::{KubectlArgs, Session},
    output::{Colour, Paint, say},
};
use jiff::Timestamp;
use kube::{Api, ResourceExt as _, api::ListParams};
use lockkeeper_api::{ImagePolicy, Intervention, Quarantine, names};
use lockkeeper_core::{asking::Known, image::Digest, policy::Policy, status::Status};

/// Names listed in a message.
const LISTED: usize = 12;

/// Where the controller is installed: an Intervention there may concern all policies.
#[derive(Clone, Debug, clap::Args)]
pub struct InstallationArgs {
    /// The namespace that the controller is installed into.
    #[arg(long, value_name = "NAME", default_value = names::NAMESPACE, help_heading = "Cluster")]
    pub installation_namespace: String,
}

/// One policy that somebody looks at.
#[derive(Clone, Debug, clap::Args)]
pub struct OnePolicy {
    #[command(flatten)]
    cluster: KubectlArgs,
    #[command(flatten)]
    installation: InstallationArgs,
    /// The policy.
    #[arg(add = super::complete::policies())]
    policy: String,
    /// Whether to use colours.
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    color: Colour,
}

impl OnePolicy {
    /// Reads it, and what concerns it.
    pub async fn load(&self) -> Result<(Session, Loaded), Failure> {
        let session = Session::open(&self.cluster).await?;
        let loaded = Loaded::of(&session, &self.policy, &self.installation.installation_namespace).await?;
        Ok((session, loaded))
    }

    /// With colours, or without.
    pub fn paint(&self) -> Paint {
        Paint::new(self.color)
    }
}

/// A policy and what concerns it.
pub struct Loaded {
    /// As it is stored.
    pub object: ImagePolicy,
    /// Checked.
    pub policy: Policy,
    /// Its status; empty before the first pass.
    pub status: Status,
    /// The Quarantines of its namespace.
    pub quarantines: Vec<Quarantine>,
    /// The Interventions that concern it.
    pub interventions: Vec<Intervention>,
}

impl Loaded {
    /// Reads them.
    pub async fn of(session: &Session, name: &str, installation: &str) -> Result<Self, Failure> {
        let object = session.policy(name).await?;
        let policy = lockkeeper_api::parse(&object).map_err(|mistakes| {
            let lines: Vec<String> = mistakes.iter().map(|mistake| format!("\n- {mistake}")).collect();
            Failure::Usage(format!(
                "ImagePolicy {name} cannot be understood, so nothing follows from it:{}",
                lines.concat()
            ))
        })?;
        let all = ListParams::default();
        let quarantines = session.answer(session.api::<Quarantine>().list(&all)).await?.items;
        let mut interventions = session.answer(session.api::<Intervention>().list(&all)).await?.items;
        if session.namespace != installation {
            let elsewhere: Api<Intervention> = Api::namespaced(session.client.clone(), installation);
            match session.answer(elsewhere.list(&all)).await {
                Ok(list) => interventions.extend(list.items),
                Err(Failure::Refused(_)) => say(&format!(
                    "what was asked for in namespace {installation}, for all policies, may not be read; it is left out"
                )),
                Err(other) => return Err(other),
            }
        }
        let uid = object.uid().unwrap_or_default();
        interventions.retain(|i| i.concerns(&session.namespace, name, &uid, installation));
        interventions.sort_by_key(|i| i.creation_timestamp().map(|time| time.0));
        let stored = object.status.clone().unwrap_or_default();
        if let Some(why) = stored.unreadable {
            return Err(Failure::Failed(format!(
                "the status of ImagePolicy {name} was written by another version and cannot be read: {why}"
            )));
        }
        Ok(Self { object, policy, status: stored.status, quarantines, interventions })
    }

    /// The same for the core. What cannot be understood is passed over, as the controller does.
    pub fn known(&self, now: Timestamp) -> Known<'_> {
        let quarantines = self.quarantines.iter().filter_map(|q| q.seen().ok()).collect();
        let interventions = self.interventions.iter().filter_map(|i| i.seen().ok()).collect();
        Known::new(&self.policy, self.status.clone(), quarantines, interventions, now)
    }

    /// The digest that a person means: a whole one, or what the policy knows by this name.
    pub fn digest(&self, known: &Known<'_>, text: &str) -> Result<Digest, Failure> {
        let name = &self.policy.name;
        if text.contains(':') {
            return text.parse().map_err(|error| Failure::Usage(format!("--digest: {error}")));
        }
        let mut found: Vec<Digest> =
            known.named(text).into_iter().map(|release| release.digest.clone()).collect();
        for (label, digest) in self.mixed() {
            let fits = label == text || (text.len() >= 6 && digest.hex().starts_with(text));
            if fits && !found.contains(&digest) {
                found.push(digest);
            }
        }
        match found.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(Failure::NoMatch(format!(
                "{name} knows no release {text}; it knows {}. Any other is named by its whole digest",
                self.names().join(", ")
            ))),
            many => {
                let all: Vec<&str> = many.iter().map(Digest::as_str).collect();
                Err(Failure::Usage(format!("{text} may be one of {}; write the digest", all.join(", "))))
            }
        }
    }

    /// The same of what may be left out.
    pub fn named(&self, text: Option<&str>) -> Result<Option<Digest>, Failure> {
        text.map(|text| self.digest(&self.known(Timestamp::now()), text)).transpose()
    }

    /// What pods of Mixed stages run: label and digest.
    fn mixed(&self) -> impl Iterator<Item = (String, Digest)> {
        self.status.stages.iter().flat_map(|stage| stage.mixed.keys()).filter_map(|text| {
            let (label, digest) = text.rsplit_once(' ').unwrap_or(("", text));
            Some((label.to_owned(), digest.parse().ok()?))
        })
    }

    fn names(&self) -> Vec<String> {
        let candidate = self.status.candidate.iter();
        let verified = self.status.stages.iter().flat_map(|stage| &stage.verified).map(|v| &v.release);
        let mut names: Vec<String> = candidate.chain(verified).map(lockkeeper_core::gates::label).collect();
        names.extend(self.mixed().map(|(label, _)| label));
        names.sort();
        names.dedup();
        names.truncate(LISTED);
        if names.is_empty() { vec!["none yet".to_owned()] } else { names }
    }
}
