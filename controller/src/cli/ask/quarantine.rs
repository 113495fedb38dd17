//! `quarantine` and `unquarantine`: contents that no stage of a namespace may be given, and their release.

use super::{
    Common, Waiting,
    progress::{Line, finish},
    request::{Asker, Goal},
};
use crate::cli::{
    Failure, complete,
    output::{Machine, machine, print, say},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
};
use lockkeeper_api::{ImagePolicy, QuarantineSpec, names, quarantine::Quarantine as Object};
use lockkeeper_core::{
    asking::Came,
    gates::label,
    image::{Digest, Release},
    observed::QuarantineSeen,
    stage::current_of,
    status::{Phase, StageStatus},
};
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// `quarantine`.
#[derive(Debug, clap::Args)]
pub struct Quarantine {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    waiting: Waiting,
    /// A policy that knows the release by a version; not needed with a whole digest.
    #[arg(add = complete::policies())]
    policy: Option<String>,
    /// The release: a digest, or a version that the policy knows.
    #[arg(long, value_name = "DIGEST|VERSION")]
    digest: String,
    /// Why; everybody who misses the release will read it.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// `unquarantine`.
#[derive(Debug, clap::Args)]
pub struct Unquarantine {
    #[command(flatten)]
    common: Common,
    /// The Quarantine's name, or the tag or digest that it holds back.
    #[arg(value_name = "NAME|TAG|DIGEST", add = complete::quarantines())]
    what: String,
    /// Why; it goes with your name into the annotation `lockkeeper.dev/released` that the Quarantine is deleted with, and
    /// so into the API server's audit log.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Quarantine {
    pub async fn run(&self) -> Result<(), Failure> {
        let asker = Asker::open(&self.common, self.waiting.goal()).await?;
        let (digest, release) = self.release(&asker).await?;
        let object = object(&asker, &digest, release.as_ref(), &self.reason);
        let api: Api<Object> = asker.session.api();
        let there = asker.session.answer(api.list(&ListParams::default())).await?.items;
        let covering = there.iter().find(|one| {
            one.seen().is_ok_and(|seen| {
                seen.digests.contains(&digest) || release.as_ref().is_some_and(|release| seen.covers(release))
            })
        });
        if let Some(one) = covering {
            return print(&format!("{digest} is held back already, by Quarantine {}\n", one.name_any()));
        }
        if asker.dry_run {
            return print(&machine(Machine::Yaml, &object)?);
        }
        let stored = asker.session.answer(api.create(&PostParams::default(), &object)).await?;
        let place = format!("{}/{}", asker.session.namespace, stored.name_any());
        say(&format!("Quarantine {place}: no stage of namespace {} is given it", asker.session.namespace));
        let seen = stored.seen().map_err(|mistakes| {
            let all: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            Failure::Failed(format!("Quarantine {place} was stored wrongly: {}", all.join("; ")))
        })?;
        if !self.waiting.wait {
            return print(&format!("quarantine.lockkeeper.dev/{}\n", stored.name_any()));
        }
        wait(&asker, &seen, self.waiting.timeout).await
    }

    async fn release(&self, asker: &Asker) -> Result<(Digest, Option<Release>), Failure> {
        let Some(policy) = &self.policy else {
            let digest = self.digest.parse().map_err(|error| {
                Failure::Usage(format!("--digest: {error}; or name the policy that knows it by that version"))
            })?;
            return Ok((digest, None));
        };
        let loaded = asker.load(policy).await?;
        let known = loaded.known(Timestamp::now());
        let digest = loaded.digest(&known, &self.digest)?;
        let release = known.named(digest.as_str()).first().map(|release| (*release).clone());
        Ok((digest, release))
    }
}

fn object(asker: &Asker, digest: &Digest, release: Option<&Release>, reason: &str) -> Object {
    let tag = release.and_then(|release| release.tag.as_ref()).map(ToString::to_string);
    let begins = tag.as_deref().unwrap_or("by-hand").to_lowercase();
    let begins: String =
        begins.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
    // The platforms that anybody may use: a person's word is not bound to the nodes of today.
    let contents = release.map(|release| release.identity_on(&[])).unwrap_or_default();
    Object {
        metadata: ObjectMeta {
            namespace: Some(asker.session.namespace.clone()),
            generate_name: Some(format!("{}-", begins.trim_matches('-'))),
            ..ObjectMeta::default()
        },
        spec: QuarantineSpec {
            tag,
            digest: Some(digest.to_string()),
            contents: contents.iter().take(128).map(ToString::to_string).collect(),
            reason: reason.chars().take(256).collect(),
            evidence: String::new(),
            policy: None,
            stage: None,
            requested_by: (!asker.who.is_empty()).then(|| asker.who.clone()),
        },
    }
}

/// Waits until no stage that may be written runs it any more.
async fn wait(asker: &Asker, quarantine: &QuarantineSeen, timeout: Duration) -> Result<(), Failure> {
    let over = Instant::now() + timeout;
    let (mut line, mut touched) = (Line::default(), Vec::new());
    loop {
        let api: Api<ImagePolicy> = asker.session.api();
        let policies = asker.session.answer(api.list(&ListParams::default())).await?.items;
        let came: Vec<(String, Came)> =
            policies.iter().flat_map(|policy| came_of(policy, quarantine, &touched)).collect();
        for (place, _) in &came {
            if !touched.contains(place) {
                touched.push(place.clone());
            }
        }
        let open: Vec<String> = came
            .iter()
            .filter_map(|(place, came)| match came {
                Came::Underway(message) => Some(format!("{place}: {message}")),
                _ => None,
            })
            .collect();
        if open.is_empty() {
            line.end();
            if came.is_empty() {
                return print("no stage runs it\n");
            }
            return finish(&came);
        }
        line.show(&open.join("; "));
        if Instant::now() >= over {
            line.end();
            return Err(Failure::TimedOut(format!(
                "after {} s: {}. Quarantine {} holds all the same",
                timeout.as_secs(),
                open.join("; "),
                quarantine.name
            )));
        }
        sleep(PAUSE).await;
    }
}

/// What came of it in the stages that run, or ran, what is held back.
fn came_of(policy: &ImagePolicy, quarantine: &QuarantineSeen, touched: &[String]) -> Vec<(String, Came)> {
    let Some(status) = policy.status.as_ref().map(|status| &status.status) else { return Vec::new() };
    let (name, spec) = (policy.name_any(), &policy.spec);
    let writes = spec.mode.as_deref() == Some("Enforce") && !spec.suspend.unwrap_or(false);
    let of = |stage: &StageStatus| {
        let place = format!("{name}/{}", stage.name);
        let flight = stage.flight.as_ref().map(|flight| &flight.release);
        let current = current_of(stage).map(|current| &current.release);
        let back = stage.rollback.as_ref().map(|rollback| &rollback.bad);
        let covers = |release: Option<&Release>| release.is_some_and(|release| quarantine.covers(release));
        let has = covers(flight) || covers(current) || covers(back);
        let came = match (has, stage.phase) {
            (false, _) if !touched.contains(&place) => return None,
            (_, Phase::RollingBack) => Came::Underway(stage.message.clone()),
            (_, Phase::Blocked) => Came::Blocked(stage.message.clone()),
            (true, _) if !writes => Came::Done("runs it still: the policy may not write".to_owned()),
            (true, _) => Came::Underway("is told to take it back".to_owned()),
            (false, _) => Came::Done(match current {
                Some(current) => format!("taken back; runs {}", label(current)),
                None => "taken back".to_owned(),
            }),
        };
        Some((place, came))
    };
    status.stages.iter().filter_map(of).collect()
}

impl Unquarantine {
    pub async fn run(&self) -> Result<(), Failure> {
        let asker = Asker::open(&self.common, Goal::Asked).await?;
        let api: Api<Object> = asker.session.api();
        let all = asker.session.answer(api.list(&ListParams::default())).await?.items;
        let found: Vec<&Object> = match all.iter().find(|one| one.name_any() == self.what) {
            Some(one) => vec![one],
            None => all.iter().filter(|one| self.names(one)).collect(),
        };
        let [one] = found.as_slice() else {
            let names = |list: &mut dyn Iterator<Item = &Object>| -> String {
                list.map(kube::ResourceExt::name_any).collect::<Vec<_>>().join(", ")
            };
            return Err(if found.is_empty() {
                let there = names(&mut all.iter());
                let there =
                    if there.is_empty() { "there is none".to_owned() } else { format!("there are {there}") };
                Failure::NoMatch(format!(
                    "no Quarantine in namespace {} is, or holds back, {}; {there}",
                    asker.session.namespace, self.what
                ))
            } else {
                let which = names(&mut found.iter().copied());
                Failure::Usage(format!("{} is held back by {which}; name one of them", self.what))
            });
        };
        let name = one.name_any();
        if asker.dry_run {
            return print(&format!("would release Quarantine {name}\n"));
        }
        if let Some(reason) = &self.reason {
            let said = format!("{}: {reason}", asker.who);
            let uid = one.uid().unwrap_or_default();
            // One that was made anew under this name has another uid, which nobody can change.
            let patch = json!({"metadata": {"uid": uid, "annotations": {names::RELEASED: said}}});
            asker.session.answer(api.patch(&name, &PatchParams::default(), &Patch::Merge(patch))).await?;
        }
        // Another one that was made under the same name meanwhile is not meant.
        let preconditions = Preconditions { uid: one.uid(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        asker.session.answer(api.delete(&name, &params)).await?;
        print(&format!(
            "Quarantine {name} is released; stages take what it held back when it is their newest release again\n"
        ))
    }

    fn names(&self, one: &Object) -> bool {
        let hex = self.what.strip_prefix("sha256:").unwrap_or(&self.what);
        let begins =
            |text: &String| hex.len() >= 6 && text.split(':').nth(1).is_some_and(|all| all.starts_with(hex));
        one.spec.tag.as_deref() == Some(&self.what)
            || one.spec.digest.iter().chain(&one.spec.contents).any(begins)
    }
}
