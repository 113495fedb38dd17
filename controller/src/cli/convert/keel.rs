//! Keel: annotations (or labels) of a workload, one policy for each container.

use super::{
    kind, name, namespace, of_glob,
    policy::{Converted, object_name},
};
use lockkeeper_core::image::{ImageRef, shown};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const KINDS: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", "CronJob"];
const PREFIX: &str = "keel.sh/";

pub fn convert(object: &Value) -> Result<Vec<Converted>, String> {
    let (_, kind) = kind(object);
    // Annotations win over labels.
    let mut said: BTreeMap<String, String> = BTreeMap::new();
    for place in ["labels", "annotations"] {
        for (key, value) in object["metadata"][place].as_object().into_iter().flatten() {
            if let (Some(key), Some(value)) = (key.strip_prefix(PREFIX), value.as_str()) {
                said.insert(key.to_owned(), value.to_owned());
            }
        }
    }
    let Some(rule) = said.remove("policy").filter(|rule| rule != "never") else { return Ok(Vec::new()) };
    let from = format!("Keel: annotations of {kind} {}/{}", namespace(object), name(object));
    if !KINDS.contains(&kind) {
        return Err(format!("{from}: its pods are not known here; give the workload itself"));
    }
    let template = if kind == "CronJob" {
        &object["spec"]["jobTemplate"]["spec"]["template"]
    } else {
        &object["spec"]["template"]
    };
    let labels = object["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    let labels: serde_json::Map<String, Value> =
        labels.into_iter().filter(|(key, _)| !key.starts_with(PREFIX)).collect();
    let containers = template["spec"]["containers"].as_array().cloned().unwrap_or_default();
    let mut all = Vec::new();
    for container in &containers {
        let text = container["image"].as_str().unwrap_or_default();
        let image: ImageRef = text.parse().map_err(|error| format!("{from}: {error}"))?;
        let container = container["name"].as_str().unwrap_or_default();
        let mut policy = Converted {
            from: format!("{from}, container {container}"),
            name: object_name(&if containers.len() == 1 {
                name(object).to_owned()
            } else {
                format!("{}-{container}", name(object))
            }),
            namespace: namespace(object).to_owned(),
            image: image.repository_text().to_owned(),
            ..Converted::default()
        };
        choose(&mut policy, &rule, &image, said.get("match-tag").is_some_and(|value| value == "true"))?;
        if labels.is_empty() {
            policy.note("targets", "The workload has no labels to select it by.");
        } else {
            policy.target = Some(json!({"workloads": {
                "selector": {"matchLabels": labels}, "kinds": [kind], "containers": [container],
            }}));
        }
        others(&mut policy, &said);
        all.push(policy);
    }
    Ok(all)
}

fn choose(policy: &mut Converted, rule: &str, image: &ImageRef, match_tag: bool) -> Result<(), String> {
    let tag = image.tag().map_or("latest".to_owned(), ToString::to_string);
    if rule == "force" && (match_tag || tag == "latest") {
        policy.select.push(("digest", json!({"tag": tag})));
        return Ok(());
    }
    if let Some(pattern) = rule.strip_prefix("glob:") {
        policy.select.push(("alphabetical", json!({"order": "asc"})));
        policy.select.push(("filterTags", json!({"pattern": of_glob(pattern)})));
        policy.note(
            "select",
            "glob: took whichever matching tag was pushed; here the last in the order of text.",
        );
        return Ok(());
    }
    if let Some(pattern) = rule.strip_prefix("regexp:") {
        let extract = pattern.contains("(?P<compare>").then_some("${compare}");
        policy.select.push(("alphabetical", json!({"order": "asc"})));
        policy.select.push((
            "filterTags",
            match extract {
                Some(extract) => json!({"pattern": pattern, "extract": extract}),
                None => json!({"pattern": pattern}),
            },
        ));
        policy.note(
            "select",
            "regexp: took whichever matching tag was pushed; here the last in the order of text.",
        );
        return Ok(());
    }
    let version = || {
        let bare = tag.strip_prefix('v').unwrap_or(&tag);
        let parts: Vec<Option<u64>> = bare.split('.').take(3).map(|part| part.parse().ok()).collect();
        match parts[..] {
            [Some(major), Some(minor), Some(patch)] => Ok((major, minor, patch)),
            _ => Err(format!(
                "{}: {} counts from a tag such as 1.2.3, not {}",
                policy.from,
                shown(rule),
                shown(&tag)
            )),
        }
    };
    let range = match rule {
        "all" => {
            let (major, minor, patch) = version()?;
            policy.note("select", "all: prereleases, too.");
            format!(">={major}.{minor}.{patch}-0")
        }
        "major" => version().map(|(major, minor, patch)| format!(">={major}.{minor}.{patch}"))?,
        "minor" => {
            version().map(|(major, minor, patch)| format!(">={major}.{minor}.{patch} <{}.0.0", major + 1))?
        }
        "patch" => version()
            .map(|(major, minor, patch)| format!(">={major}.{minor}.{patch} <{major}.{}.0", minor + 1))?,
        "force" => {
            policy.select.push(("newestBuild", json!({})));
            policy.note("select", "force: took whichever tag was pushed; here the one that was built last.");
            return Ok(());
        }
        other => return Err(format!("{}: the policy {} is not known", policy.from, shown(other))),
    };
    policy.select.push(("semver", json!({"range": range})));
    Ok(())
}

/// Annotations besides the policy itself.
fn others(policy: &mut Converted, said: &BTreeMap<String, String>) {
    for (key, value) in said {
        match key.as_str() {
            "match-tag" if policy.select.iter().any(|(name, _)| *name == "digest") => {}
            "trigger" if value == "poll" => {}
            "pollSchedule" => match value.strip_prefix("@every ") {
                Some(interval) => policy.interval = Some(interval.to_owned()),
                None => policy.note("interval", format!("pollSchedule {}: set interval", shown(value))),
            },
            "approvals" if value == "0" => {}
            "approvals" => policy.note(
                "targets",
                format!("approvals: {value}; write approval: {{required: {value}}} on the stage."),
            ),
            _ => policy.note("", format!("{PREFIX}{key} ({}) is not carried over", shown(value))),
        }
    }
}
