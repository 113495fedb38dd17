//! What there is when a scenario begins.

use super::{
    fields::{Mistakes, Node},
    scenario::Setting,
};
use lockkeeper_api::FieldError;
use lockkeeper_core::image::{ImageRef, Tag};
use lockkeeper_sim::Owner;
use std::collections::BTreeMap;

/// Pods of a world: what a simulation looks at in every step.
pub const MOST_PODS: u64 = 2000;
pub const FIELDS: [&str; 7] =
    ["container", "nodes", "pullSeconds", "restartSeconds", "controller", "namespaces", "owners"];

/// Reads `world`.
pub fn setting(m: &mut Mistakes, node: &Node<'_>, tags: &BTreeMap<Tag, usize>) -> Option<Setting> {
    m.fields(node, &FIELDS)?;
    let mut number = |name: &str, least, most, default: u64| {
        node.get(name).map_or(Some(default), |n| m.count(&n, least, most))
    };
    let nodes = number("nodes", 1, 5000, 6);
    let pull = number("pullSeconds", 1, 3600, 5);
    let restart = number("restartSeconds", 1, 300, 2);
    let container = node.get("container").map_or(Some("otel"), |n| m.text(&n));
    let controller = node.get("controller").map_or(Some(true), |n| m.either(&n, "Up", "Down"));
    let namespaces = node.get("namespaces").map(|n| {
        let fields = m.mapping(&n).into_iter().flatten();
        let named: Vec<(String, Node<'_>)> =
            fields.map(|(name, value)| (name.clone(), Node::new(n.path_of(name), value))).collect();
        named.into_iter().map(|(name, inner)| (name, labels(m, &inner))).collect()
    });
    let owners =
        m.needed(node, "owners", "write at least one, with namespace, name, replicas, image and labels");
    let owners = owners.map(|n| owners_of(m, &n, tags))?;
    Some(Setting {
        container: container?.to_owned(),
        nodes: usize::try_from(nodes?).ok()?,
        pull_seconds: i64::try_from(pull?).ok()?,
        restart_seconds: i64::try_from(restart?).ok()?,
        controller: controller?,
        namespaces: namespaces.unwrap_or_default(),
        owners,
    })
}

fn owners_of(m: &mut Mistakes, node: &Node<'_>, tags: &BTreeMap<Tag, usize>) -> Vec<Owner> {
    let items = m.list(node, 200);
    let owners: Vec<Owner> = items.iter().filter_map(|item| owner(m, item, tags)).collect();
    let pods: usize = owners.iter().map(|o| o.replicas).sum();
    if pods as u64 > MOST_PODS {
        let fix = format!("a simulation takes at most {MOST_PODS}; write fewer replicas");
        m.0.push(FieldError::new(node.path.clone(), &pods.to_string(), "are too many pods", fix));
    }
    let mut seen = std::collections::BTreeSet::new();
    for (owner, item) in owners.iter().zip(&items).filter(|_| owners.len() == items.len()) {
        if !seen.insert((&owner.namespace, &owner.name)) {
            let path = item.path_of("name");
            m.0.push(FieldError::new(
                path,
                &owner.name,
                "is there twice in its namespace",
                "write another name",
            ));
        }
    }
    owners
}

fn owner(m: &mut Mistakes, node: &Node<'_>, tags: &BTreeMap<Tag, usize>) -> Option<Owner> {
    m.fields(node, &["namespace", "name", "replicas", "image", "labels"])?;
    let namespace = m.needed(node, "namespace", "write where its pods are").and_then(|n| m.text(&n));
    let name = m.needed(node, "name", "write its name, such as worker").and_then(|n| m.text(&n));
    let replicas =
        m.needed(node, "replicas", "write how many pods it keeps").and_then(|n| m.count(&n, 0, MOST_PODS));
    let image = m
        .needed(
            node,
            "image",
            "write the governed container's image, such as registry.example.com/otel:latest",
        )
        .and_then(|n| image(m, &n, tags));
    let labels = m.needed(node, "labels", "write the labels of its pods").map(|n| labels(m, &n));
    Some(Owner {
        namespace: namespace?.to_owned(),
        name: name?.to_owned(),
        replicas: usize::try_from(replicas?).ok()?,
        image: image?,
        template: "t0".to_owned(),
        labels: labels?,
    })
}

fn image(m: &mut Mistakes, node: &Node<'_>, tags: &BTreeMap<Tag, usize>) -> Option<String> {
    let image: ImageRef = m.parsed(node)?;
    let tag = image.tag().map_or("latest", Tag::as_str);
    if image.digest().is_none() && !tags.keys().any(|known| known.as_str() == tag) {
        let fix = format!("add `{tag}: <a release>` to `tags`");
        m.add(node, "names no release when the story begins", fix);
        return None;
    }
    node.value.as_str().map(str::to_owned)
}

fn labels(m: &mut Mistakes, node: &Node<'_>) -> BTreeMap<String, String> {
    let fields = m.mapping(node).into_iter().flatten();
    fields
        .filter_map(|(name, value)| {
            let inner = Node::new(node.path_of(name), value);
            Some((name.clone(), m.text(&inner)?.to_owned()))
        })
        .collect()
}
