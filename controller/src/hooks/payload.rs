//! Which repositories a hook speaks of. Everything in it is hostile, and nothing in it is believed.
//!
//! Guarantees: total: a body that is not understood speaks of nothing, and a part that is not understood hides no
//! other; no more than [`MOST`] hints come of one hook.
//! The shapes are those that the senders document; nothing here is copied from them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderMap;
use lockkeeper_core::image::{ImageRef, Repository};
use serde_json::Value;

use super::config::{Kind, Receiver};
use crate::ports::hints::Hint;

/// Most repositories that one hook may name.
pub const MOST: usize = 100;

/// The hints of a body, or none if it is no JSON object.
#[must_use]
pub fn hints(receiver: &Receiver, headers: &HeaderMap, body: &[u8]) -> Option<Vec<Hint>> {
    let body: Value = serde_json::from_slice(body).ok().filter(Value::is_object)?;
    let registry = receiver.registry.as_deref();
    let mut hints = match receiver.kind {
        Kind::DockerHub => exact(registry.or(Some("docker.io")), text(&body, "/repository/repo_name")),
        Kind::GitHub => github(registry, &body),
        Kind::GitLab => below(registry, text(&body, "/project/path_with_namespace")),
        Kind::Quay => match registry {
            Some(registry) => exact(Some(registry), text(&body, "/repository")),
            None => exact(None, text(&body, "/docker_url")),
        },
        Kind::Harbor => harbor(registry, &body),
        Kind::Nexus => exact(registry, text(&body, "/component/name").or_else(|| text(&body, "/asset/name"))),
        Kind::Artifactory => artifactory(registry, &body),
        Kind::AzureContainerRegistry => {
            exact(registry.or_else(|| text(&body, "/request/host")), text(&body, "/target/repository"))
        }
        Kind::ArtifactRegistry => pub_sub(registry, &body),
        Kind::Ecr => ecr(registry, &body),
        Kind::Distribution => distribution(registry, &body),
        Kind::CloudEvents => cloud_event(registry, headers, &body),
    };
    hints.sort();
    hints.dedup();
    hints.truncate(MOST);
    Some(hints)
}

/// A repository as policies name it: `path` in `registry`, or a whole image reference.
#[must_use]
pub fn repository(registry: Option<&str>, path: &str) -> Option<Repository> {
    // Registries hold lower-case names only; some forges show theirs as people write them.
    let path = path.trim_matches('/').to_ascii_lowercase();
    match registry {
        Some(registry) => {
            let found: Repository = format!("{registry}/{path}").parse().ok()?;
            // What was meant as the registry must not become a part of the path, as a word without a dot does.
            let host = registry.trim_end_matches('/');
            (host == found.registry() || host.ends_with("docker.io")).then_some(found)
        }
        None => path.parse::<ImageRef>().ok().map(|image| image.repository().clone()),
    }
}

fn text<'a>(body: &'a Value, pointer: &str) -> Option<&'a str> {
    body.pointer(pointer).and_then(Value::as_str)
}

fn hint(registry: Option<&str>, path: Option<&str>, below: bool) -> Vec<Hint> {
    let repository = path.and_then(|path| repository(registry, path));
    repository.map(|repository| Hint { repository, below }).into_iter().collect()
}

fn exact(registry: Option<&str>, path: Option<&str>) -> Vec<Hint> {
    hint(registry, path, false)
}

fn below(registry: Option<&str>, path: Option<&str>) -> Vec<Hint> {
    hint(registry, path, true)
}

/// A whole reference; where the installation names the registry, that one with the reference's path.
fn image(registry: Option<&str>, reference: Option<&str>) -> Vec<Hint> {
    let found = reference.and_then(|reference| repository(None, reference));
    match (registry, &found) {
        (Some(registry), Some(found)) => exact(Some(registry), Some(found.path())),
        _ => found.map(|repository| Hint { repository, below: false }).into_iter().collect(),
    }
}

fn github(registry: Option<&str>, body: &Value) -> Vec<Hint> {
    let package = body.get("registry_package").or_else(|| body.get("package"));
    let Some(package) = package else { return Vec::new() };
    let owner = text(package, "/namespace").or_else(|| text(package, "/owner/login"));
    let (Some(owner), Some(name)) = (owner, text(package, "/name")) else { return Vec::new() };
    // A namespace may already be `owner/repository`; the package's name stands in its owner's.
    let owner = owner.split('/').next().unwrap_or(owner);
    exact(registry.or(Some("ghcr.io")), Some(&format!("{owner}/{name}")))
}

fn harbor(registry: Option<&str>, body: &Value) -> Vec<Hint> {
    let data = body.get("event_data").or_else(|| body.get("data")).unwrap_or(body);
    let resources = data.get("resources").and_then(Value::as_array).into_iter().flatten();
    let mut hints: Vec<Hint> =
        resources.flat_map(|one| image(registry, text(one, "/resource_url"))).collect();
    if let Some(registry) = registry {
        hints.extend(exact(Some(registry), text(data, "/repository/repo_full_name")));
    }
    hints
}

fn artifactory(registry: Option<&str>, body: &Value) -> Vec<Hint> {
    let Some(name) = text(body, "/data/image_name") else { return Vec::new() };
    // Which of the two depends on how the registry is published: by a path or by a host of its own.
    let mut hints = exact(registry, Some(name));
    if let Some(key) = text(body, "/data/repo_key") {
        hints.extend(exact(registry, Some(&format!("{key}/{name}"))));
    }
    hints
}

fn pub_sub(registry: Option<&str>, body: &Value) -> Vec<Hint> {
    let data = text(body, "/message/data").and_then(|data| STANDARD.decode(data).ok());
    let data: Option<Value> = data.and_then(|data| serde_json::from_slice(&data).ok());
    let Some(data) = data else { return Vec::new() };
    image(registry, text(&data, "/tag").or_else(|| text(&data, "/digest")))
}

fn ecr(registry: Option<&str>, body: &Value) -> Vec<Hint> {
    let path = text(body, "/detail/repository-name");
    if registry.is_some() {
        return exact(registry, path);
    }
    let (Some(account), Some(region)) = (text(body, "/account"), text(body, "/region")) else {
        return Vec::new();
    };
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    exact(Some(&format!("{account}.dkr.ecr.{region}.{domain}")), path)
}

fn distribution(registry: Option<&str>, body: &Value) -> Vec<Hint> {
    let events = body.get("events").and_then(Value::as_array).into_iter().flatten().take(MOST);
    events
        .filter(|event| matches!(text(event, "/action"), Some("push" | "delete" | "mount")))
        .flat_map(|event| {
            exact(registry.or_else(|| text(event, "/request/host")), text(event, "/target/repository"))
        })
        .collect()
}

fn cloud_event(registry: Option<&str>, headers: &HeaderMap, body: &Value) -> Vec<Hint> {
    // Binary mode says in headers what structured mode says in the body.
    let binary = headers.contains_key("ce-specversion");
    let data = if binary { body } else { body.get("data").unwrap_or(&Value::Null) };
    let subject = if binary {
        headers.get("ce-subject").and_then(|value| value.to_str().ok())
    } else {
        text(body, "/subject")
    };
    let mut hints = harbor(registry, data);
    for pointer in ["/image", "/repository", "/repository/name", "/repository/repo_full_name"] {
        let Some(named) = text(data, pointer) else { continue };
        match repository(None, named) {
            Some(_) if registry.is_none() => hints.extend(image(None, Some(named))),
            _ => hints.extend(exact(registry, Some(named))),
        }
    }
    if hints.is_empty() {
        hints.extend(image(registry, subject));
    }
    hints
}

#[cfg(test)]
mod tests;
