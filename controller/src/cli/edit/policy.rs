//! The edits that a policy's git targets name.
//!
//! Guarantees: the rest of the policy is read as the controller reads it; an image of a repository that the policy does
//! not name is refused, and so is a path that leads out of the checkout.

use super::{
    Asked,
    files::{self, Source},
};
use crate::cli::{exit::Failure, select::asked};
use lockkeeper_core::image::{ImageRef, Repository, shown};
use lockkeeper_edit::{Marked, Pin};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The names under which a kustomization may stand.
const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

pub fn plan(
    file: &Path,
    stage: Option<&str>,
    image: ImageRef,
    named: &[PathBuf],
) -> Result<Vec<(Asked, Vec<Source>)>, Failure> {
    let text = String::from_utf8_lossy(&asked::read("--file", file)?).into_owned();
    let wrong = |why: String| Failure::Usage(format!("--file {}: {why}", file.display()));
    let (edits, rest) = split(&text, stage).map_err(wrong)?;
    let lines = |errors: Vec<lockkeeper_api::FieldError>| {
        wrong(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    };
    let object = lockkeeper_api::policy_from_yaml(&rest, "default").map_err(lines)?;
    let policy = lockkeeper_api::parse(&object).map_err(lines)?;
    let repositories: Vec<Repository> = policy.repositories().cloned().collect();
    if !repositories.contains(image.repository()) {
        let all: Vec<String> = repositories.iter().map(ToString::to_string).collect();
        let reason = format!("--image: {} is none of the policy's repositories", shown(&image.to_string()));
        return Err(Failure::Usage(format!("{reason}; it has {}", all.join(", "))));
    }
    if image.digest().is_none() {
        return Err(Failure::Usage("--image: a policy pins a digest; add @sha256:…".to_owned()));
    }
    let marked = Marked::policy(&policy.namespace, &policy.name);
    let pin = Pin::of_policy(image, repositories);
    if edits.is_empty() {
        let named = if named.is_empty() { vec![PathBuf::from(".")] } else { named.to_vec() };
        return Ok(vec![(
            Asked::Marker { policy: marked, pin },
            files::sources(&named, Some(&files::markers()))?,
        )]);
    }
    let checkout = match named {
        [] => Path::new("."),
        [one] if one.is_dir() => one,
        _ => return Err(Failure::Usage("with --file, FILE is the one folder of the checkout".to_owned())),
    };
    edits.iter().map(|edit| one(edit, checkout, &marked, &pin)).collect()
}

/// The edits of the git targets, and the policy with other targets in their place: what only this command reads.
fn split(text: &str, stage: Option<&str>) -> Result<(Vec<Value>, String), String> {
    let mut documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| error.to_string())?;
    documents.retain(|document| !document.is_null());
    let [policy] = &mut documents[..] else {
        return Err(format!("holds {} documents; write one ImagePolicy", documents.len()));
    };
    let (mut edits, mut known) = (Vec::new(), Vec::new());
    for one in policy["spec"]["stages"].as_array_mut().into_iter().flatten() {
        let name = one["name"].as_str().unwrap_or_default().to_owned();
        let meant = stage.is_none_or(|stage| stage == name);
        known.push(name);
        for target in one["targets"].as_array_mut().into_iter().flatten() {
            let Some(git) = target.get("git").cloned() else { continue };
            *target = json!({"pods": {"selector": {"matchLabels": {"lockkeeper.dev/in": "git"}}}});
            if meant {
                edits.extend(git["edits"].as_array().cloned().unwrap_or_default());
            }
        }
    }
    match stage {
        Some(stage) if !known.iter().any(|name| name == stage) => {
            Err(format!("has no stage {}; it has {}", shown(stage), known.join(", ")))
        }
        _ => Ok((edits, policy.to_string())),
    }
}

fn one(edit: &Value, checkout: &Path, marked: &Marked, pin: &Pin) -> Result<(Asked, Vec<Source>), Failure> {
    let wrong = |why: &str| Failure::Usage(format!("--file: the edit {} {why}", shown(&edit.to_string())));
    let fields = edit.as_object().filter(|fields| fields.len() == 1);
    let (kind, about) = fields
        .and_then(|fields| fields.iter().next())
        .ok_or_else(|| wrong("is none of kustomize, helmValues and marker"))?;
    let known: &[&str] = match kind.as_str() {
        "kustomize" => &["path", "name"],
        "helmValues" => &["path", "image"],
        "marker" => &["path"],
        _ => return Err(wrong("is none of kustomize, helmValues and marker")),
    };
    let unknown = about.as_object().into_iter().flatten().find(|(name, _)| !known.contains(&name.as_str()));
    if let Some((name, _)) = unknown {
        return Err(wrong(&format!("has the field {}, which is not known", shown(name))));
    }
    let path = about["path"].as_str().ok_or_else(|| wrong("has no path"))?;
    let place = files::inside(checkout, path)?;
    let pin = pin.clone();
    match kind.as_str() {
        "kustomize" => {
            let name = about["name"].as_str().map(str::to_owned);
            let file = KUSTOMIZATIONS.iter().map(|name| place.join(name)).find(|file| file.exists());
            Ok((Asked::Kustomize { pin, name }, vec![Source::read(&file.unwrap_or(place))?]))
        }
        "helmValues" => {
            let image = about["image"].as_str().ok_or_else(|| wrong("has no image"))?;
            let path = image.parse().map_err(|error| wrong(&format!("is wrong: {error}")))?;
            Ok((Asked::HelmValues { path, pin }, vec![Source::read(&place)?]))
        }
        _ => Ok((
            Asked::Marker { policy: marked.clone(), pin },
            files::sources(&[place], Some(&files::markers()))?,
        )),
    }
}
