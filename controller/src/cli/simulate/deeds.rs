//! The steps of a timeline: each is a moment and at most one thing that happens.

use super::{
    clock::Clock,
    fields::{Mistakes, Node},
    read::release_index,
    scenario::{Deed, Known, Step},
    setting::MOST_PODS,
};
use jiff::{SignedDuration, Timestamp};
use lockkeeper_api::{FieldError, Intervention, InterventionSpec, intervention::PolicyRef};
use lockkeeper_core::{
    image::{ImageRef, Tag},
    policy::Policy,
};
use lockkeeper_sim::Owner;

/// What a step may name.
pub struct Names<'a> {
    pub releases: &'a [Known],
    pub owners: &'a [Owner],
    pub policy: Option<&'a Policy>,
    pub clock: &'a Clock,
}

pub const DEEDS: [&str; 15] = [
    "push",
    "tag",
    "remove",
    "deletePods",
    "replacePods",
    "scale",
    "rollApplication",
    "registry",
    "watches",
    "controller",
    "pinsAtBirth",
    "suspend",
    "intervention",
    "quarantine",
    "unquarantine",
];

/// Reads one step.
pub fn step(m: &mut Mistakes, node: &Node<'_>, number: usize, names: &Names<'_>) -> Option<Step> {
    let known: Vec<&str> = ["at", "say"].into_iter().chain(DEEDS).collect();
    let fields = m.fields(node, &known)?;
    let at =
        m.needed(node, "at", "write when it happens, such as 1h30m").and_then(|n| names.clock.moment(m, &n));
    let say = node.get("say").and_then(|n| m.text(&n)).map(str::to_owned);
    let found: Vec<&str> = DEEDS.into_iter().filter(|name| fields.contains_key(*name)).collect();
    let deed = match found.as_slice() {
        [] if fields.contains_key("say") => None,
        [one] => {
            let inner = node.get(one).or_else(|| {
                m.0.push(FieldError::new(
                    node.path_of(one),
                    "",
                    "is empty",
                    "say what it is about, or leave it out",
                ));
                None
            })?;
            Some(deed(m, one, &inner, number, at.unwrap_or(names.clock.start), names)?)
        }
        [] => {
            m.add(node, "does nothing", format_args!("write one of: {}, or say", DEEDS.join(", ")));
            return None;
        }
        _ => {
            m.0.push(FieldError::new(
                node.path.clone(),
                &found.join(", "),
                "are several things",
                "make a step of each",
            ));
            return None;
        }
    };
    Some(Step { at: at?, say, deed })
}

fn deed(
    m: &mut Mistakes,
    name: &str,
    node: &Node<'_>,
    number: usize,
    at: Timestamp,
    names: &Names<'_>,
) -> Option<Deed> {
    Some(match name {
        "push" => push(m, node, names)?,
        "tag" => {
            m.fields(node, &["name", "release"])?;
            let tag = m.needed(node, "name", "write the tag that is moved").and_then(|n| m.parsed(&n));
            let release = release(m, node, names);
            Deed::Retag(tag?, release?)
        }
        "remove" => Deed::Remove(release_index(m, node, names.releases)?),
        "deletePods" => {
            let owner = owner(m, node, &["count"], names);
            let count = node.get("count").map_or(Some(1), |n| m.count(&n, 1, MOST_PODS));
            Deed::DeletePods(owner?, usize::try_from(count?).ok()?)
        }
        "replacePods" => {
            let owner = owner(m, node, &["over"], names);
            let over = m.needed(node, "over", "write in what time, such as 3h").and_then(|n| m.duration(&n));
            Deed::ReplacePods(owner?, over?)
        }
        "scale" => {
            let owner = owner(m, node, &["replicas"], names);
            let replicas =
                m.needed(node, "replicas", "write how many pods").and_then(|n| m.count(&n, 0, MOST_PODS));
            Deed::Scale(owner?, usize::try_from(replicas?).ok()?)
        }
        "rollApplication" => {
            let owner = owner(m, node, &["over", "image"], names);
            let over = node.get("over").map_or(Some(SignedDuration::from_mins(5)), |n| m.duration(&n));
            let image =
                node.get("image").map(|n| m.parsed::<ImageRef>(&n).and(n.value.as_str()).map(str::to_owned));
            Deed::Roll(owner?, image.map_or(Some(None), |found| found.map(Some))?, over?)
        }
        "registry" => Deed::Registry(m.either(node, "Up", "Down")?),
        "watches" => Deed::Watches(m.either(node, "Fresh", "Stale")?),
        "controller" => Deed::Controller(m.either(node, "Up", "Down")?),
        "pinsAtBirth" => Deed::Pinning(m.flag(node)?),
        "suspend" => Deed::Suspend(m.flag(node)?),
        "intervention" => intervention(m, node, number, at, names)?,
        "quarantine" => {
            m.fields(node, &["release", "reason"])?;
            let release = release(m, node, names);
            let reason = m.needed(node, "reason", "say why").and_then(|n| m.text(&n));
            Deed::Quarantine(release?, reason?.to_owned())
        }
        _ => Deed::Unquarantine(release_index(m, node, names.releases)?),
    })
}

fn push(m: &mut Mistakes, node: &Node<'_>, names: &Names<'_>) -> Option<Deed> {
    m.fields(node, &["release", "tags"])?;
    let index = release(m, node, names);
    let tags: Vec<Tag> = match node.get("tags") {
        Some(list) => m.list(&list, 20).iter().filter_map(|n| m.parsed(n)).collect(),
        None => index.and_then(|i| names.releases.get(i)?.name.parse().ok()).into_iter().collect(),
    };
    Some(Deed::Push(index?, tags))
}

fn release(m: &mut Mistakes, node: &Node<'_>, names: &Names<'_>) -> Option<usize> {
    let wanted = m.needed(node, "release", "name one of `releases`")?;
    release_index(m, &wanted, names.releases)
}

/// `namespace` and `owner` of a step that is about one owner's pods; `more` are its other fields.
fn owner(m: &mut Mistakes, node: &Node<'_>, more: &[&str], names: &Names<'_>) -> Option<usize> {
    let known: Vec<&str> = ["namespace", "owner"].into_iter().chain(more.iter().copied()).collect();
    m.fields(node, &known)?;
    let namespace = m.needed(node, "namespace", "write where the pods are").and_then(|n| m.text(&n));
    let wanted = m.needed(node, "owner", "write which owner's pods");
    let name = wanted.as_ref().and_then(|n| m.text(n));
    let (namespace, name) = (namespace?, name?);
    let found = names.owners.iter().position(|o| o.namespace == namespace && o.name == name);
    if let (None, Some(wanted)) = (found, &wanted) {
        let all: Vec<String> = names.owners.iter().map(|o| format!("{}/{}", o.namespace, o.name)).collect();
        let there = if all.is_empty() {
            "there are none".to_owned()
        } else {
            format!("there are: {}", all.join(", "))
        };
        m.add(wanted, format_args!("is no owner in namespace {namespace}"), there);
    }
    found
}

/// The request as the API would take it, with the release's name for its digest.
fn intervention(
    m: &mut Mistakes,
    node: &Node<'_>,
    number: usize,
    at: Timestamp,
    names: &Names<'_>,
) -> Option<Deed> {
    m.fields(node, &["action", "stages", "release", "skip", "reason", "by"])?;
    let action = m.needed(node, "action", "write Approve, Adopt, Hold, Resume, Promote or RollBack");
    let action = action.and_then(|n| m.text(&n)).map(str::to_owned);
    let stages = node.get("stages").map(|n| m.texts(&n, 16)).unwrap_or_default();
    let release = match node.get("release") {
        Some(wanted) => Some(release_index(m, &wanted, names.releases)?),
        None => None,
    };
    let policy = names.policy?;
    for stage in stages.iter().filter(|stage| !policy.stages.iter().any(|s| s.name == **stage)) {
        let known = lockkeeper_api::suggestion(stage, policy.stages.iter().map(|s| s.name.as_str()));
        m.0.push(FieldError::new(node.path_of("stages"), stage, "is no stage of the policy", known));
    }
    let spec = InterventionSpec {
        action: action?,
        policy_ref: Some(PolicyRef { name: policy.name.clone(), uid: None }),
        stages,
        digest: release.and_then(|i| names.releases.get(i)).map(|known| known.release.digest.to_string()),
        skip: node.get("skip").map(|n| m.texts(&n, 4)).unwrap_or_default(),
        reason: node.get("reason").and_then(|n| m.text(&n)).unwrap_or("part of the scenario").to_owned(),
        requested_by: node.get("by").and_then(|n| m.text(&n)).unwrap_or("somebody").to_owned(),
        not_after: None,
    };
    let mut asked = Intervention::new(&format!("step-{number}"), spec);
    asked.metadata.namespace = Some(policy.namespace.clone());
    asked.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at));
    match asked.seen() {
        Ok(seen) => Some(Deed::Intervene(seen)),
        Err(mistakes) => {
            // Its fields stand right below the step here.
            let flat = mistakes.into_iter().map(|e| FieldError {
                path: e
                    .path
                    .trim_start_matches("spec.")
                    .replace("digest", "release")
                    .replace("requestedBy", "by"),
                message: e.message,
            });
            m.take(&node.path, flat.collect());
            None
        }
    }
}
