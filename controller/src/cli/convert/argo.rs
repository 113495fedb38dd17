//! Argo CD Image Updater: `ImageUpdater` resources, and annotations of Applications.

use super::{
    Fields, kind, name, namespace, of_glob,
    policy::{Converted, object_name},
};
use lockkeeper_core::image::shown;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const GROUP: &str = "argocd-image-updater.argoproj.io";

/// What holds for an image, wherever it was said.
#[derive(Clone, Debug, Default)]
struct Settings {
    strategy: Option<String>,
    allow: Option<String>,
    ignore: Vec<String>,
    secret: Option<String>,
    platforms: Vec<String>,
    force: bool,
}

/// The policies of an `ImageUpdater`.
pub fn updater(object: &Value) -> Result<Vec<Converted>, String> {
    if kind(object) != (GROUP, "ImageUpdater") {
        return Ok(Vec::new());
    }
    let mut spec = Fields::of("spec", &object["spec"]);
    let mut rest = Vec::new();
    let common = settings(&mut spec, &Settings::default(), &mut rest);
    let write = written_back(&mut spec, &mut rest);
    let applications = spec.take("applicationRefs").unwrap_or_default();
    rest.extend(spec.rest());
    let mut all = Vec::new();
    for application in applications.as_array().into_iter().flatten() {
        let mut fields = Fields::of("applicationRefs", application);
        let mut rest = rest.clone();
        let pattern = fields.text("namePattern").unwrap_or_default();
        let common = settings(&mut fields, &common, &mut rest);
        let write = written_back(&mut fields, &mut rest).or_else(|| write.clone());
        let images = fields.take("images").unwrap_or_default();
        rest.extend(fields.rest());
        for image in images.as_array().into_iter().flatten() {
            let mut fields = Fields::of("images", image);
            let alias = fields.text("alias").unwrap_or_default();
            let image = fields.text("imageName").unwrap_or_default();
            let mut rest = rest.clone();
            let settings = settings(&mut fields, &common, &mut rest);
            let mut targets = fields.below("manifestTargets");
            let edit = edit(&mut targets.below("helm"), &mut targets.below("kustomize"));
            rest.extend(targets.rest());
            rest.extend(fields.rest());
            let from = format!(
                "Argo CD: ImageUpdater {}/{}, image {alias} of applications {pattern}",
                namespace(object),
                name(object)
            );
            let mut policy = one(from, &alias, &image, namespace(object), &settings)?;
            where_to(&mut policy, write.as_deref(), edit);
            policy.notes(rest);
            all.push(policy);
        }
    }
    numbered(&mut all);
    Ok(all)
}

fn settings(above: &mut Fields, common: &Settings, rest: &mut Vec<String>) -> Settings {
    let mut fields = above.below("commonUpdateSettings");
    let ignore = fields.texts("ignoreTags");
    let platforms = fields.texts("platforms");
    let settings = Settings {
        strategy: fields.text("updateStrategy").or_else(|| common.strategy.clone()),
        allow: fields.text("allowTags").or_else(|| common.allow.clone()),
        ignore: if ignore.is_empty() { common.ignore.clone() } else { ignore },
        secret: fields.text("pullSecret").or_else(|| common.secret.clone()),
        platforms: if platforms.is_empty() { common.platforms.clone() } else { platforms },
        force: fields.truth("forceUpdate") || common.force,
    };
    rest.extend(fields.rest());
    settings
}

fn written_back(above: &mut Fields, rest: &mut Vec<String>) -> Option<String> {
    let mut fields = above.below("writeBackConfig");
    if !fields.has_any() {
        return None;
    }
    let method = fields.text("method").unwrap_or_else(|| "argocd".to_owned());
    let mut git = fields.below("gitConfig");
    let parts = ["repository", "branch", "writeBackTarget"]
        .map(|key| git.text(key).map(|value| format!(", {key} {value}")));
    rest.extend(git.rest());
    rest.extend(fields.rest());
    Some(method + &parts.into_iter().flatten().collect::<String>())
}

/// The edit that a git target would make, in words of this command line.
fn edit(helm: &mut Fields, kustomize: &mut Fields) -> Option<String> {
    let whole = helm.text("spec").filter(|text| !text.is_empty());
    let (name, tag) = (helm.text("name"), helm.text("tag"));
    let path = whole.or_else(|| name.and_then(|name| Some(name.rsplit_once('.')?.0.to_owned())));
    match (path, tag, kustomize.text("name")) {
        (Some(path), _, _) => Some(format!("--helm-values '.{path}'")),
        (None, Some(tag), _) => Some(format!("--path '.{tag}'")),
        (None, None, Some(name)) => Some(format!("--kustomize --name '{name}'")),
        _ => None,
    }
}

fn where_to(policy: &mut Converted, write: Option<&str>, edit: Option<String>) {
    if let Some(write) = write {
        policy.note("targets", format!("Was written back by: {write}."));
    }
    if let Some(edit) = edit {
        policy.note("targets", format!("The same edit of a file: lockkeeper edit FILE {edit} --image …"));
    }
}

/// The policies of an Application's annotations.
pub fn annotations(object: &Value) -> Result<Vec<Converted>, String> {
    if kind(object) != ("argoproj.io", "Application") {
        return Ok(Vec::new());
    }
    let prefix = format!("{GROUP}/");
    let annotations = object["metadata"]["annotations"].as_object();
    let mut said: BTreeMap<String, String> = annotations
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?.to_owned(), value.as_str()?.to_owned())))
        .collect();
    let Some(list) = said.remove("image-list") else { return Ok(Vec::new()) };
    let write: Vec<String> = ["write-back-method", "git-repository", "git-branch", "write-back-target"]
        .iter()
        .filter_map(|key| said.remove(*key).map(|value| format!("{key} {value}")))
        .collect();
    let write = (!write.is_empty()).then(|| write.join(", "));
    let mut all = Vec::new();
    for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (alias, image) = item.split_once('=').unwrap_or(("", item));
        let key = alias.replace('/', "_");
        let mut take =
            |option: &str| said.remove(&format!("{key}.{option}")).or_else(|| said.get(option).cloned());
        let settings = Settings {
            strategy: take("update-strategy"),
            allow: take("allow-tags"),
            ignore: take("ignore-tags").map(|text| split(&text)).unwrap_or_default(),
            secret: take("pull-secret"),
            platforms: take("platforms").map(|text| split(&text)).unwrap_or_default(),
            force: take("force-update").is_some_and(|text| text == "true"),
        };
        let helm = json!({"spec": take("helm.image-spec"), "name": take("helm.image-name"), "tag": take("helm.image-tag")});
        let kustomize = json!({"name": take("kustomize.image-name")});
        let from = format!("Argo CD: Application {}/{}, image {image}", namespace(object), name(object));
        let mut policy = one(from, alias, image, namespace(object), &settings)?;
        let edit = edit(&mut Fields::of("helm", &helm), &mut Fields::of("kustomize", &kustomize));
        where_to(&mut policy, write.as_deref(), edit);
        all.push(policy);
    }
    let defaults =
        ["update-strategy", "allow-tags", "ignore-tags", "pull-secret", "platforms", "force-update"];
    let left = said.iter().filter(|(key, _)| !defaults.contains(&key.as_str()));
    let left: Vec<String> =
        left.map(|(key, value)| format!("{prefix}{key} ({}) is not carried over", shown(value))).collect();
    for policy in &mut all {
        policy.notes(left.clone());
    }
    numbered(&mut all);
    Ok(all)
}

fn split(text: &str) -> Vec<String> {
    text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// One policy for an image.
fn one(
    from: String,
    alias: &str,
    image: &str,
    namespace: &str,
    settings: &Settings,
) -> Result<Converted, String> {
    // What follows the colon is a constraint, and need not be a tag.
    let (repository, constraint) = match image.rsplit_once(':') {
        Some((repository, constraint)) if !constraint.contains('/') => {
            (repository, Some(constraint.to_owned()))
        }
        _ => (image, None),
    };
    let last = repository.rsplit('/').next().unwrap_or(repository);
    let mut policy = Converted {
        name: object_name(if alias.is_empty() { last } else { alias }),
        namespace: namespace.to_owned(),
        image: repository.to_owned(),
        from,
        ..Converted::default()
    };
    match settings.strategy.as_deref() {
        None | Some("semver") => {
            policy.select.push(("semver", json!({"range": constraint.unwrap_or_else(|| "*".to_owned())})));
        }
        Some("latest" | "newest-build") => policy.select.push(("newestBuild", json!({}))),
        Some("name" | "alphabetical") => policy.select.push(("alphabetical", json!({"order": "asc"}))),
        Some("digest") => {
            let tag = constraint.unwrap_or_else(|| "latest".to_owned());
            policy.select.push(("digest", json!({"tag": tag})));
        }
        Some(other) => return Err(format!("{}: the strategy {} is not known", policy.from, shown(other))),
    }
    let digest = settings.strategy.as_deref() == Some("digest");
    match settings.allow.as_deref().map(|allow| (allow.strip_prefix("regexp:"), allow)) {
        None | Some((None, "any")) => {}
        Some(_) if digest => policy.note("select", "allow-tags means nothing where one tag is followed."),
        Some((Some(pattern), _)) => policy.select.push(("filterTags", json!({"pattern": pattern}))),
        Some((None, other)) => {
            policy.note("select", format!("allow-tags {} is not known; no tag matched it", shown(other)));
        }
    }
    if !settings.ignore.is_empty() {
        let ignored: Vec<String> = settings.ignore.iter().map(|pattern| of_glob(pattern)).collect();
        policy.select.push(("ignoreTags", json!(ignored)));
    }
    if !settings.platforms.is_empty() {
        policy.select.push(("platforms", json!(settings.platforms)));
    }
    if settings.force {
        policy.note(
            "targets",
            "force-update: here pods are looked at, however the Application lists its images.",
        );
    }
    secret(&mut policy, settings.secret.as_deref());
    Ok(policy)
}

fn secret(policy: &mut Converted, secret: Option<&str>) {
    let Some(secret) = secret else { return };
    match secret.strip_prefix("pullsecret:").and_then(|rest| rest.split_once('/')) {
        Some((place, name)) => {
            policy.secret = Some(name.to_owned());
            if place != policy.namespace {
                policy.note(
                    "registry",
                    format!("The Secret was in namespace {place}; copy it here: others' are never read."),
                );
            }
        }
        None => policy.note(
            "registry",
            format!("pull-secret {} is of a kind that is not read here; make a pull secret.", shown(secret)),
        ),
    }
}

/// Names that are there twice get a number.
fn numbered(all: &mut [Converted]) {
    for n in 1..all.len() {
        let (before, from) = all.split_at_mut(n);
        if before.iter().any(|one| one.name == from[0].name) {
            from[0].name = object_name(&format!("{}-{n}", from[0].name));
        }
    }
}
