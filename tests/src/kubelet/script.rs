//! What the contents of an image do when they run.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// The behaviour of a container. The default starts at once, is ready at once and runs for ever.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Script {
    /// Crashes per hour and container at random (Poisson) times.
    pub restarts_per_pod_hour: f64,
    /// How many hours pass in one hour: 360 makes ten seconds of an hour. 0 is read as 1. Scales the crashes only.
    pub time_scale: f64,
    /// It runs and is never ready.
    pub never_ready: bool,
    /// It ends as soon as it has started.
    pub crash_at_start: bool,
    /// Time from start to ready.
    pub slow_start_seconds: f64,
    /// Its crashes are the kernel's: reason `OOMKilled`, exit code 137.
    pub oom_killed: bool,
    /// It ends with code 0 after this time, as the container of a Job does.
    pub completes_after_seconds: Option<f64>,
    /// Of a crash; 0 is read as 2, the code of a Go program that panics.
    pub exit_code: i32,
    /// The termination message of a crash.
    pub message: String,
}

/// A script and the containers it is for. Of several rules that match, the first holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// `sha256:…` of an index or a platform manifest, or `host/path:tag`: then what the tag is when it is looked up first.
    /// It is for the contents: for every index that holds one of the same platform manifests.
    pub image: String,
    /// Only in these namespaces; empty: in all.
    #[serde(default)]
    pub namespaces: Vec<String>,
    /// What they do.
    #[serde(flatten)]
    pub script: Script,
}

impl Rule {
    /// A rule for an image, everywhere.
    #[must_use]
    pub fn new(image: &str, script: Script) -> Self {
        Self { image: image.to_owned(), namespaces: Vec::new(), script }
    }
}

/// The rules in force.
pub struct Rules {
    state: Mutex<State>,
    version: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    /// What the tags of rules were when they were looked up.
    tags: BTreeMap<String, String>,
    /// The platform manifests of the digests that were seen.
    contents: BTreeMap<String, Vec<String>>,
    /// Digests of rules that were looked for, with the repository.
    sought: BTreeSet<(String, String)>,
}

impl State {
    /// True if both digests stand for the same contents.
    fn same(&self, one: &str, other: &str) -> bool {
        let of = |digest: &str| self.contents.get(digest).cloned().unwrap_or_else(|| vec![digest.to_owned()]);
        one == other || of(one).iter().any(|digest| of(other).contains(digest))
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self { state: Mutex::default(), version: watch::Sender::new(0) }
    }
}

impl Rules {
    /// Adds a rule after the others.
    pub fn add(&self, rule: Rule) {
        self.lock().rules.push(rule);
        self.version.send_modify(|version| *version += 1);
    }

    /// Replaces all rules.
    pub fn set(&self, rules: Vec<Rule>) {
        self.lock().rules = rules;
        self.version.send_modify(|version| *version += 1);
    }

    /// Replaces all rules by those of a file, a JSON list.
    pub fn load(&self, file: &Path) -> Result<()> {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let rules =
            serde_json::from_str(&text).with_context(|| format!("{} is no list of rules", file.display()))?;
        self.set(rules);
        Ok(())
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// What these contents do in that namespace.
    pub(super) fn script(&self, digest: &str, namespace: &str) -> Script {
        let state = self.lock();
        let found = state.rules.iter().find(|rule| {
            let of = state.tags.get(&rule.image).unwrap_or(&rule.image);
            state.same(of, digest)
                && (rule.namespaces.is_empty() || rule.namespaces.iter().any(|name| name == namespace))
        });
        found.map(|rule| rule.script.clone()).unwrap_or_default()
    }

    /// The images of rules whose contents are not known yet.
    pub(super) fn unresolved(&self) -> Vec<String> {
        let state = self.lock();
        let images = state.rules.iter().map(|rule| &rule.image);
        images
            .filter(|image| !image.starts_with("sha256:") && !state.tags.contains_key(*image))
            .cloned()
            .collect()
    }

    pub(super) fn knows(&self, digest: &str) -> bool {
        self.lock().contents.contains_key(digest)
    }

    pub(super) fn learn(&self, digest: &str, contents: Vec<String>) {
        self.lock().contents.insert(digest.to_owned(), contents);
    }

    /// The digests of rules whose contents are not known, and were not sought in this repository yet.
    pub(super) fn seek(&self, repository: &str) -> Vec<String> {
        let mut state = self.lock();
        let State { rules, contents, sought, .. } = &mut *state;
        let digests = rules.iter().map(|rule| &rule.image).filter(|image| image.starts_with("sha256:"));
        let unknown = digests.filter(|digest| !contents.contains_key(*digest));
        unknown.filter(|digest| sought.insert(((*digest).clone(), repository.to_owned()))).cloned().collect()
    }

    pub(super) fn resolved(&self, image: &str, digest: &str) {
        self.lock().tags.insert(image.to_owned(), digest.to_owned());
        self.version.send_modify(|version| *version += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Script {
    /// Seconds from start to the container's own end and whether that is a crash; `None` where it runs on. `random` is in [0, 1).
    pub(super) fn lifetime(&self, random: f64) -> Option<(f64, bool)> {
        let crash = if self.crash_at_start {
            Some(0.1)
        } else if self.restarts_per_pod_hour > 0.0 {
            let scale = if self.time_scale > 0.0 { self.time_scale } else { 1.0 };
            // The waiting time of a Poisson process, by inversion.
            Some(-(1.0 - random).ln() * 3600.0 / (self.restarts_per_pod_hour * scale))
        } else {
            None
        };
        match (crash, self.completes_after_seconds) {
            (Some(crash), Some(end)) if crash <= end => Some((crash, true)),
            (Some(crash), None) => Some((crash, true)),
            (_, Some(end)) => Some((end, false)),
            (None, None) => None,
        }
    }

    pub(super) fn crash_code(&self) -> i32 {
        match (self.oom_killed, self.exit_code) {
            (true, _) => 137,
            (false, 0) => 2,
            (false, code) => code,
        }
    }
}

/// A number in [0, 1) that depends on what it is for and on nothing else.
pub(super) fn random(seed: u64, key: &[&str], count: u32) -> f64 {
    let mut hasher = DefaultHasher::new();
    (seed, key, count).hash(&mut hasher);
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double's mantissa exactly")]
    let numerator = (hasher.finish() >> 11) as f64;
    numerator / 9_007_199_254_740_992.0
}
