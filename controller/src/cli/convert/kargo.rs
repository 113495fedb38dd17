//! Kargo: the image subscriptions of a Warehouse, one policy each.

use super::{
    Fields, kind, name, namespace,
    policy::{Converted, object_name},
};
use serde_json::{Value, json};

pub fn convert(object: &Value) -> Result<Vec<Converted>, String> {
    if kind(object) != ("kargo.akuity.io", "Warehouse") {
        return Ok(Vec::new());
    }
    let mut spec = Fields::of("spec", &object["spec"]);
    let interval = spec.text("interval").unwrap_or_else(|| "5m0s".to_owned());
    let subscriptions = spec.take("subscriptions").unwrap_or_default();
    let subscriptions = subscriptions.as_array().cloned().unwrap_or_default();
    let images: Vec<&Value> = subscriptions.iter().filter_map(|one| one.get("image")).collect();
    let mut rest = spec.rest();
    for (n, one) in subscriptions.iter().enumerate().filter(|(_, one)| one.get("image").is_none()) {
        let what = one.as_object().and_then(|one| one.keys().next()).map_or("?", String::as_str);
        rest.push(format!("spec.subscriptions[{n}] is a {what}: only images are promoted here"));
    }
    let mut all = Vec::new();
    for (n, image) in images.iter().enumerate() {
        let mut policy = Converted {
            from: format!("Kargo: Warehouse {}/{}", namespace(object), name(object)),
            name: if images.len() == 1 {
                name(object).to_owned()
            } else {
                object_name(&format!("{}-{n}", name(object)))
            },
            namespace: namespace(object).to_owned(),
            interval: Some(interval.clone()),
            ..Converted::default()
        };
        one(&mut policy, image)?;
        policy.notes(rest.clone());
        if images.len() > 1 {
            policy.note(
                "",
                "A Warehouse moved its images together as Freight; these policies move each for itself.",
            );
        }
        policy.note(
            "targets",
            "Kargo's Stages are stages of this list: name each with its targets, upstream first.",
        );
        all.push(policy);
    }
    Ok(all)
}

fn one(policy: &mut Converted, image: &Value) -> Result<(), String> {
    let mut fields = Fields::of("image", image);
    policy.image =
        fields.text("repoURL").ok_or_else(|| format!("{}: image.repoURL is missing", policy.from))?;
    let old = fields.text("semverConstraint");
    let constraint = fields.text("constraint").or(old);
    let strategy = fields.text("imageSelectionStrategy");
    let limit = if strategy.as_deref() == Some("NewestBuild") { fields.take("discoveryLimit") } else { None };
    match strategy.as_deref() {
        None | Some("SemVer") => {
            policy.select.push(("semver", json!({"range": constraint.unwrap_or_else(|| "*".to_owned())})));
            if fields.text("strictSemvers").as_deref() != Some("false") {
                policy.note(
                    "select",
                    "strictSemvers: tags such as 1.2 are versions here; filterTags can leave them out.",
                );
            }
        }
        Some("Lexical") => policy.select.push(("alphabetical", json!({"order": "asc"}))),
        Some("NewestBuild") => {
            let limit = limit.unwrap_or_else(|| json!(20));
            policy.select.push(("newestBuild", json!({"discoveryLimit": limit})));
        }
        Some("Digest") => {
            let tag = constraint.unwrap_or_else(|| "latest".to_owned());
            policy.select.push(("digest", json!({"tag": tag})));
        }
        Some(other) => return Err(format!("{}: imageSelectionStrategy {other} is not known", policy.from)),
    }
    fields.take("strictSemvers");
    filters(policy, &mut fields);
    if let Some(platform) = fields.text("platform") {
        policy.select.push(("platforms", json!([platform])));
    }
    if fields.truth("insecureSkipTLSVerify") {
        policy.note(
            "registry",
            "insecureSkipTLSVerify: certificates are always checked here; give the registry a good one.",
        );
    }
    policy.notes(fields.rest());
    Ok(())
}

fn filters(policy: &mut Converted, fields: &mut Fields) {
    let mut allowed = fields.texts("allowTagsRegexes");
    allowed.extend(fields.text("allowTags").filter(|text| !text.is_empty()));
    let digest = policy.select.iter().any(|(name, _)| *name == "digest");
    match &allowed[..] {
        [] => {}
        _ if digest => policy.note("select", "allowTags means nothing where one tag is followed."),
        [one] => policy.select.push(("filterTags", json!({"pattern": one}))),
        many => {
            let all: Vec<String> = many.iter().map(|one| format!("(?:{one})")).collect();
            policy.select.push(("filterTags", json!({"pattern": all.join("|")})));
        }
    }
    let mut ignored = fields.texts("ignoreTagsRegexes");
    ignored.extend(fields.texts("ignoreTags").iter().map(|tag| super::of_glob(&tag.replace(['*', '?'], ""))));
    if !ignored.is_empty() {
        policy.select.push(("ignoreTags", json!(ignored)));
    }
}
