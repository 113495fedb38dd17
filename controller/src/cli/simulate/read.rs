//! From the text of a scenario file to a scenario, or everything that is wrong with it.

use super::{
    clock::{self, Clock},
    deeds::{self, Names},
    fields::{Mistakes, Node},
    recordings::{self, Beside},
    scenario::{Known, Scenario, Step},
    setting,
};
use jiff::Timestamp;
use lockkeeper_api::{FieldError, parse, policy_from_yaml, suggestion};
use lockkeeper_core::{
    image::Tag,
    policy::{Policy, Target},
};
use lockkeeper_sim::{Behaviour, release_for};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path};

const MOST_RELEASES: usize = 50;
const MOST_STEPS: usize = 1000;
pub const FIELDS: [&str; 9] =
    ["title", "start", "end", "policy", "world", "releases", "tags", "signals", "timeline"];

/// Reads a scenario; the files that it names are in `folder`. Every mistake is found, not only the first one.
pub fn scenario(text: &str, folder: &Path) -> Result<Scenario, Vec<FieldError>> {
    let document: Value = serde_saphyr::from_str(text)
        .map_err(|error| vec![FieldError { path: "file".into(), message: error.to_string() }])?;
    let mut mistakes = Mistakes::default();
    let read = whole(&Node::new("", &document), folder, &mut mistakes);
    match read {
        Some(scenario) if mistakes.0.is_empty() => Ok(scenario),
        _ => Err(mistakes.0),
    }
}

/// Everything is looked at before anything is given up.
fn whole(root: &Node<'_>, folder: &Path, m: &mut Mistakes) -> Option<Scenario> {
    if !root.value.is_object() {
        let fix = "write the fields policy, world, releases, tags, timeline and end";
        m.0.push(FieldError::new("file", "", "holds no scenario", fix));
        return None;
    }
    m.fields(root, &FIELDS);
    let title = root.get("title").and_then(|n| m.text(&n)).unwrap_or("A simulation").to_owned();
    let clock = root.get("start").map_or_else(|| Some(Clock::default()), |n| clock::start(m, &n));
    let policy = m.needed(root, "policy", "write a whole ImagePolicy there").and_then(|n| policy(m, &n));
    let mut releases = m
        .needed(root, "releases", "write the releases of the story, such as `1.0.0: {}`")
        .map(|n| releases(m, &n, policy.as_ref()))
        .unwrap_or_default();
    let tags = root.get("tags").map(|n| tags(m, &n, &releases)).unwrap_or_default();
    let world =
        m.needed(root, "world", "write at least its owners").and_then(|n| setting::setting(m, &n, &tags));
    // Without a clock, the timeline is still read, so that its other mistakes are found.
    let known = clock.clone().unwrap_or_default();
    let end =
        m.needed(root, "end", "write when the story ends, such as 8h").and_then(|n| known.moment(m, &n));
    let names = Names {
        releases: &releases,
        owners: world.as_ref().map(|w| w.owners.as_slice()).unwrap_or_default(),
        policy: policy.as_ref(),
        clock: &known,
    };
    let mut timeline = timeline(root, m, &names);
    if let Some(end) = end {
        for (n, step) in timeline.iter().enumerate().filter(|(_, step)| step.at > end) {
            let said = known.shown(step.at);
            let path = format!("timeline[{n}].at");
            m.0.push(FieldError::new(path, &said, "is after the end", "move `end`, or leave the step out"));
        }
    }
    let recordings = root.get("signals").zip(policy.as_ref()).map(|(n, policy)| {
        let (clock, end) = (&known, end.unwrap_or(Timestamp::MAX));
        recordings::recordings(m, &n, &Beside { folder, policy, releases: &releases, clock, end })
    });
    let recordings = recordings.unwrap_or_default();
    for recording in &recordings {
        releases[recording.release].measured = true;
    }
    timeline.sort_by_key(|step| step.at);
    let mut policy = policy?;
    policy.created = known.start;
    policy.generation = 1;
    // A stored object has one; attempts are named after it.
    "51313131-0000-4000-8000-000000000000".clone_into(&mut policy.uid);
    clock?;
    Some(Scenario {
        title,
        clock: known,
        end: end?,
        policy,
        world: world?,
        releases,
        tags,
        timeline,
        recordings,
    })
}

/// The policy as the controller would read it: the same parser, the same messages.
fn policy(m: &mut Mistakes, node: &Node<'_>) -> Option<Policy> {
    m.mapping(node)?;
    let read = policy_from_yaml(&node.value.to_string(), "default");
    let policy = match read.and_then(|policy| parse(&policy)) {
        Ok(policy) => policy,
        Err(mistakes) => {
            m.take(&node.path, mistakes);
            return None;
        }
    };
    for (n, stage) in policy.stages.iter().enumerate() {
        for (t, target) in stage.targets.iter().enumerate() {
            let other = match target {
                Target::Pods(_) => None,
                Target::Workloads(_) => Some("workloads"),
                Target::Git(_) => Some("git"),
            };
            if let Some(other) = other {
                let path = format!("{}.spec.stages[{n}].targets[{t}]", node.path);
                let fix = "write the target `pods`";
                m.0.push(FieldError::new(
                    path,
                    other,
                    "is not in the simulated world, which has pods only",
                    fix,
                ));
            }
        }
    }
    Some(policy)
}

fn releases(m: &mut Mistakes, node: &Node<'_>, policy: Option<&Policy>) -> Vec<Known> {
    let Some(fields) = m.mapping(node) else { return Vec::new() };
    if fields.is_empty() || fields.len() > MOST_RELEASES {
        let count = fields.len().to_string();
        let fix = format!("write 1 to {MOST_RELEASES} of them");
        m.0.push(FieldError::new(node.path.clone(), &count, "is not a number of releases that fits", fix));
        return Vec::new();
    }
    let platforms: Vec<String> =
        policy.iter().flat_map(|p| &p.select.platforms).map(ToString::to_string).collect();
    let platforms: Vec<&str> = if platforms.is_empty() {
        vec!["linux/amd64"]
    } else {
        platforms.iter().map(String::as_str).collect()
    };
    let mut found = Vec::new();
    for name in fields.keys() {
        let Some(inner) = fields.get(name).map(|value| Node::new(node.path_of(name), value)) else {
            continue;
        };
        if let Err(error) = name.parse::<Tag>() {
            m.0.push(FieldError { path: inner.path, message: error.to_string() });
            continue;
        }
        let behaviour = behaviour(m, &inner);
        let signed = inner.get("signed").and_then(|n| m.flag(&n)).unwrap_or(true);
        let release = release_for(name, &platforms);
        found.push(Known { name: name.clone(), release, behaviour, signed, measured: false });
    }
    found
}

fn behaviour(m: &mut Mistakes, node: &Node<'_>) -> Behaviour {
    m.fields(node, &["crashesPerPodHour", "onlyIn", "neverReady", "crashAtStart", "panic", "signed"]);
    Behaviour {
        crashes_per_hour: node.get("crashesPerPodHour").and_then(|n| m.rate(&n)).unwrap_or_default(),
        only_in: node.get("onlyIn").map(|n| m.texts(&n, 64).into_iter().collect()).unwrap_or_default(),
        never_ready: node.get("neverReady").and_then(|n| m.flag(&n)).unwrap_or_default(),
        crash_at_start: node.get("crashAtStart").and_then(|n| m.flag(&n)).unwrap_or_default(),
        panic: node.get("panic").and_then(|n| m.text(&n).map(str::to_owned)),
    }
}

/// Tag to release.
fn tags(m: &mut Mistakes, node: &Node<'_>, releases: &[Known]) -> BTreeMap<Tag, usize> {
    let mut found = BTreeMap::new();
    for (name, value) in m.mapping(node).into_iter().flatten() {
        let inner = Node::new(node.path_of(name), value);
        let index = release_index(m, &inner, releases);
        match name.parse::<Tag>() {
            Ok(tag) => found.extend(index.map(|index| (tag, index))),
            Err(error) => m.0.push(FieldError { path: inner.path, message: error.to_string() }),
        }
    }
    found
}

/// A release by its name.
pub fn release_index(m: &mut Mistakes, node: &Node<'_>, releases: &[Known]) -> Option<usize> {
    let name = m.text(node)?;
    let found = releases.iter().position(|known| known.name == name);
    if found.is_none() {
        m.add(node, "is no release of this file", suggestion(name, releases.iter().map(|r| r.name.as_str())));
    }
    found
}

fn timeline(root: &Node<'_>, m: &mut Mistakes, names: &Names<'_>) -> Vec<Step> {
    let Some(node) = root.get("timeline") else { return Vec::new() };
    let items = m.list(&node, MOST_STEPS);
    items.iter().enumerate().filter_map(|(n, item)| deeds::step(m, item, n, names)).collect()
}
