//! What happened, in numbers, and what must be true of it.
//!
//! Guarantees: computed from the recorder and the audit log alone, the list of quarantines excepted.

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::story::Deleted;
use super::{PROD, PROMOTER, STAGES, WAVE, World};
use crate::audit::AuditEvent;
use crate::install::CONTROLLER;
use crate::recorder::{Life, Record, digest};

/// One stage at the end.
#[derive(Clone, Debug)]
pub struct StageOutcome {
    /// Its namespace.
    pub name: &'static str,
    /// Pods that lived in it.
    pub lived: usize,
    /// Those of them that ever ran 0.29.0.
    pub ever_bad: usize,
    /// Crashes of 0.29.0.
    pub bad_crashes: usize,
    /// Crashes of other releases.
    pub other_crashes: usize,
    /// Ready pods that run 0.29.1 at the end.
    pub fixed: usize,
    /// Pods it should have.
    pub wanted: usize,
}

/// A pod that was born after `latest` was moved to the bad release.
#[derive(Clone, Debug)]
pub struct Birth {
    /// What was going on, for people.
    pub when: String,
    /// Its name.
    pub pod: String,
    /// The sidecar's image as the API server stored it.
    pub image: String,
    /// Its annotation `lockkeeper.dev/pinned-by`.
    pub pinned_by: Option<String>,
    /// The version it ran first.
    pub first_ran: String,
}

/// The whole story in numbers.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// dev, staging, prod.
    pub stages: Vec<StageOutcome>,
    /// Restarts of any container until every stage was adopted.
    pub restarts_at_adoption: i32,
    /// Restarts of containers that are not the sidecar.
    pub application_restarts: i32,
    /// Pods that were born after `latest` was moved.
    pub births: Vec<Birth>,
    /// Pods we deleted.
    pub deleted: usize,
    /// Digests in Quarantines, as versions.
    pub quarantined: Vec<String>,
    /// When 0.29.0 was seen to crash first.
    pub first_crash: Option<Timestamp>,
    /// When the API server was asked for the Quarantine.
    pub quarantine_write: Option<Timestamp>,
    /// When the API server was first asked to give a pod of prod 0.28.0 again.
    pub rollback_write: Option<Timestamp>,
    /// When the last container of prod that ran 0.29.0 was seen to be gone; `None` while one is there.
    pub bad_gone: Option<Timestamp>,
    /// Writes to pods and pins that were made by the controller as anybody but the promoter.
    pub foreign_writes: Vec<String>,
    /// Writes to pods and pins that the controller made as the promoter.
    pub promoter_writes: usize,
}

/// A statement about the story. It holds if `failure` is `None`.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The statement.
    pub what: String,
    /// Why it does not hold.
    pub failure: Option<String>,
}

/// What an outcome is made of.
pub(super) struct Gathered<'a> {
    pub world: &'a World<'a>,
    pub adopted: i32,
    pub released: Timestamp,
    pub deleted: &'a [Deleted],
    pub quarantines: Vec<String>,
}

impl Outcome {
    pub(super) fn of(gathered: &Gathered<'_>) -> Result<Self> {
        let world = gathered.world;
        let record = world.recorder.record();
        let (good, bad, fixed) = (world.digest("0.28.0")?, world.digest("0.29.0")?, world.digest("0.29.1")?);
        let crashes = record.of(PROD).flat_map(|life| &life.crashes);
        let first_crash = crashes.filter(|crash| crash.digest == bad).map(|crash| crash.at).min();
        let audit = world.bed.audit()?;
        let writes = Writes::of(&audit)?;
        Ok(Self {
            stages: STAGES.map(|(name, wanted)| stage(&record, name, wanted, bad, fixed)).into(),
            restarts_at_adoption: gathered.adopted,
            application_restarts: record.lives.values().map(|life| life.other_restarts).sum(),
            births: births(world, &record, gathered),
            deleted: gathered.deleted.len(),
            quarantined: gathered.quarantines.iter().map(|one| world.version(one).to_owned()).collect(),
            first_crash,
            quarantine_write: writes.quarantine,
            rollback_write: writes.taken_back(good, first_crash),
            bad_gone: bad_gone(&record, bad),
            foreign_writes: writes.foreign,
            promoter_writes: writes.promoter,
        })
    }

    /// Crashes of 0.29.0 everywhere.
    #[must_use]
    pub fn crashes(&self) -> usize {
        self.stages.iter().map(|stage| stage.bad_crashes).sum()
    }

    fn prod(&self) -> Option<&StageOutcome> {
        self.stages.iter().find(|stage| stage.name == PROD)
    }

    /// Everything that must be true.
    #[must_use]
    pub fn claims(&self) -> Vec<Claim> {
        let mut claims = vec![
            claim("adoption restarted nothing", self.restarts_at_adoption == 0, || {
                format!("{} restarts before 0.29.0 was released", self.restarts_at_adoption)
            }),
            claim("no application container was ever restarted", self.application_restarts == 0, || {
                format!("{} restarts", self.application_restarts)
            }),
            claim("no pod was replaced but those we deleted", self.births.len() == self.deleted, || {
                format!("{} deleted, but born: {:?}", self.deleted, self.births)
            }),
            claim("0.29.0, and nothing else, is quarantined", self.quarantined == ["0.29.0"], || {
                format!("quarantined: {:?}", self.quarantined)
            }),
            claim(
                "every write to pods and pins was made as the promoter",
                self.writes_are_the_promoters(),
                || format!("{} as the promoter; others: {:?}", self.promoter_writes, self.foreign_writes),
            ),
        ];
        claims.extend(self.births.iter().map(birth_claim));
        claims.extend(self.stage_claims());
        claims.extend(self.order_claims());
        claims
    }

    fn writes_are_the_promoters(&self) -> bool {
        self.promoter_writes > 0 && self.foreign_writes.is_empty()
    }

    fn stage_claims(&self) -> Vec<Claim> {
        let mut claims = Vec::new();
        for stage in &self.stages {
            let name = stage.name;
            claims.push(claim(&format!("0.29.1 is live in {name}"), stage.fixed == stage.wanted, || {
                format!("on {} of {} pods", stage.fixed, stage.wanted)
            }));
            claims.push(claim(
                &format!("no other release crashed in {name}"),
                stage.other_crashes == 0,
                || format!("{} crashes", stage.other_crashes),
            ));
            if name != PROD {
                let all = stage.ever_bad == stage.wanted && stage.bad_crashes == 0;
                claims.push(claim(&format!("0.29.0 passed {name}: it crashes in prod only"), all, || {
                    format!("it was on {} pods and crashed {} times", stage.ever_bad, stage.bad_crashes)
                }));
            }
        }
        let (bad, crashes) = self.prod().map_or((0, 0), |prod| (prod.ever_bad, prod.bad_crashes));
        claims.push(claim(&format!("0.29.0 came to {WAVE} pods of prod and no more"), bad == WAVE, || {
            format!("it was on {bad} pods")
        }));
        claims.push(claim("0.29.0 crashed in prod", crashes > 0, || "it did not".to_owned()));
        claims
    }

    fn order_claims(&self) -> Vec<Claim> {
        let order = |what: &str, before: Option<Timestamp>, after: Option<Timestamp>| {
            let holds = before.zip(after).is_some_and(|(before, after)| before <= after);
            claim(what, holds, || format!("the first at {before:?}, the second at {after:?}"))
        };
        vec![
            order("0.29.0 was taken back after it had crashed", self.first_crash, self.rollback_write),
            order(
                "the Quarantine was written before the rollback's first write",
                self.quarantine_write,
                self.rollback_write,
            ),
            order("no container of prod runs 0.29.0 any more", self.rollback_write, self.bad_gone),
        ]
    }

    /// The summary that people read.
    #[must_use]
    pub fn summary(&self) -> String {
        let lived: usize = self.stages.iter().map(|stage| stage.lived).sum();
        let bad: usize = self.stages.iter().map(|stage| stage.ever_bad).sum();
        let line = |what: &str, value: String| format!("{what:<44} {value}");
        let mut lines = vec![line("pods that ever ran 0.29.0", format!("{bad} of {lived} that lived"))];
        for stage in &self.stages {
            let StageOutcome { name, ever_bad, lived, bad_crashes, .. } = stage;
            let value = format!("{ever_bad} of {lived}, {bad_crashes} crashes");
            lines.push(line(&format!("  in {name}"), value));
        }
        lines.push(line("  in the published incident", "all of production, within hours".to_owned()));
        let restarts = self.application_restarts;
        lines.push(line("restarts of application containers", restarts.to_string()));
        for birth in &self.births {
            let value = format!("{}, ran {} first", birth.pod, birth.first_ran);
            lines.push(line(&format!("born {}", birth.when), value));
        }
        let after = |what: &str, at: Option<Timestamp>| {
            let time =
                self.first_crash.zip(at).map_or_else(|| "never".to_owned(), |(from, to)| span(from, to));
            line(&format!("from the first crash to {what}"), time)
        };
        lines.push(after("the rollback", self.rollback_write));
        lines.push(after("the last bad gone", self.bad_gone));
        for StageOutcome { name, fixed, wanted, .. } in &self.stages {
            lines.push(line(&format!("0.29.1 runs in {name}"), format!("{fixed} of {wanted} pods")));
        }
        lines.join("\n")
    }
}

/// A span, and what it stands for at the real pace.
fn span(from: Timestamp, to: Timestamp) -> String {
    let real = to.duration_since(from);
    let minutes = SignedDuration::from_secs_f64(real.as_secs_f64() * super::TIME_SCALE).as_mins();
    format!("{:.1} s (which stand for {minutes} min)", real.as_secs_f64())
}

fn claim(what: &str, holds: bool, failure: impl FnOnce() -> String) -> Claim {
    Claim { what: what.to_owned(), failure: (!holds).then(failure) }
}

fn birth_claim(birth: &Birth) -> Claim {
    // Later it may be one of the wave's, as any other: how many those are is a claim of its own.
    let Birth { when, pod, image, pinned_by, first_ran } = birth;
    let holds = first_ran == "0.28.0" && pinned_by.is_some() && digest(image).starts_with("sha256:");
    claim(&format!("the pod born {when} was born with 0.28.0"), holds, || {
        format!("{pod}: image {image}, pinned by {pinned_by:?}, ran {first_ran} first")
    })
}

fn stage(record: &Record, name: &'static str, wanted: usize, bad: &str, fixed: &str) -> StageOutcome {
    let crashes = |is_bad: bool| {
        let all = record.of(name).flat_map(|life| &life.crashes);
        all.filter(|crash| (crash.digest == bad) == is_bad).count()
    };
    StageOutcome {
        name,
        lived: record.of(name).count(),
        ever_bad: record.of(name).filter(|life| life.ever_ran(bad)).count(),
        bad_crashes: crashes(true),
        other_crashes: crashes(false),
        fixed: record.present(name).filter(|life| life.ready && life.runs() == Some(fixed)).count(),
        wanted,
    }
}

fn births(world: &World<'_>, record: &Record, gathered: &Gathered<'_>) -> Vec<Birth> {
    let when = |life: &Life| {
        let ours = gathered.deleted.iter().find(|deleted| deleted.born == life.name);
        ours.map_or("and nobody asked for it", |deleted| deleted.when).to_owned()
    };
    let born = record.lives.values().filter(|life| life.born >= gathered.released);
    let birth = |life: &Life| Birth {
        when: when(life),
        pod: format!("{}/{}", life.namespace, life.name),
        image: life.born_image.clone(),
        pinned_by: life.pinned_by.clone(),
        first_ran: life.stays.first().map_or("nothing", |stay| world.version(&stay.digest)).to_owned(),
    };
    born.map(birth).collect()
}

/// When the last pod of prod left the bad contents; `None` if one did not, or none ever had them.
fn bad_gone(record: &Record, bad: &str) -> Option<Timestamp> {
    let stays = record.of(PROD).flat_map(|life| &life.stays).filter(|stay| stay.digest == bad);
    let ends: Option<Vec<Timestamp>> = stays.map(|stay| stay.until).collect();
    ends?.into_iter().max()
}

/// The writes of the story, from the audit log.
struct Writes {
    /// When, and what the images of a pod of prod were replaced by.
    moves: Vec<(Timestamp, Vec<String>)>,
    quarantine: Option<Timestamp>,
    foreign: Vec<String>,
    promoter: usize,
}

impl Writes {
    fn of(audit: &[AuditEvent]) -> Result<Self> {
        let controller = format!("system:serviceaccount:{}:{}", CONTROLLER.0, CONTROLLER.1);
        let mut writes = Self { moves: Vec::new(), quarantine: None, foreign: Vec::new(), promoter: 0 };
        for event in audit.iter().filter(|event| event.user.username == controller && event.succeeded()) {
            let object = event.object();
            let at: Timestamp = event
                .request_received_timestamp
                .parse()
                .with_context(|| format!("audit time {:?}", event.request_received_timestamp))?;
            if object.resource == "quarantines" && event.verb == "create" {
                writes.quarantine.get_or_insert(at);
            }
            if object.resource != "pods" && object.resource != "imagepins" {
                continue;
            }
            let user = event.impersonated_user.as_ref().map_or("itself", |user| user.username.as_str());
            if user == PROMOTER {
                writes.promoter += 1;
            } else {
                writes.foreign.push(format!("{} {}/{} as {user}", event.verb, object.resource, object.name));
            }
            if object.resource == "pods" && object.namespace == PROD {
                writes.moves.push((at, new_images(event.request_object.as_ref())));
            }
        }
        Ok(writes)
    }

    /// The first move to the good release after the first crash.
    fn taken_back(&self, good: &str, first_crash: Option<Timestamp>) -> Option<Timestamp> {
        let first_crash = first_crash?;
        let back = |(at, images): &&(Timestamp, Vec<String>)| {
            *at >= first_crash && images.iter().any(|image| digest(image) == good)
        };
        self.moves.iter().filter(back).map(|(at, _)| *at).min()
    }
}

/// The images that a JSON patch puts into a pod.
fn new_images(patch: Option<&Value>) -> Vec<String> {
    let operations = patch.and_then(Value::as_array).into_iter().flatten();
    let replaces = operations.filter(|operation| {
        operation["op"] == "replace"
            && operation["path"].as_str().is_some_and(|path| path.ends_with("/image"))
    });
    replaces.filter_map(|operation| operation["value"].as_str().map(str::to_owned)).collect()
}
