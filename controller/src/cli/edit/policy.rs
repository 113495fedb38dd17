//! The edits that a policy's git targets name.
//!
//! Guarantees: the rest of the policy is read as the controller reads it; an image of a repository that the policy does
//! not name is refused, and so is a path that leads out of the checkout.

use super::{
    Asked,
    files::{self, Source},
};
use crate::cli::{exit::Failure, select::asked};
use lockkeeper_core::{
    git::FileEdit,
    image::{ImageRef, Repository, shown},
    policy::{Policy, Target},
};
use lockkeeper_edit::{Marked, Pin};
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
    let lines = |errors: Vec<lockkeeper_api::FieldError>| {
        let lines = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        Failure::Usage(format!("--file {}: {lines}", file.display()))
    };
    let object = lockkeeper_api::policy_from_yaml(&text, "default").map_err(lines)?;
    let policy = lockkeeper_api::parse(&object).map_err(lines)?;
    let edits = edits_of(&policy, stage)
        .map_err(|why| Failure::Usage(format!("--file {}: {why}", file.display())))?;
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
    edits.into_iter().map(|edit| one(edit, checkout, &marked, &pin)).collect()
}

/// The edits of the git targets of one stage, or of all.
fn edits_of<'p>(policy: &'p Policy, stage: Option<&str>) -> Result<Vec<&'p FileEdit>, String> {
    let known = || policy.stages.iter().map(|one| one.name.as_str());
    if let Some(stage) = stage.filter(|stage| !known().any(|name| name == *stage)) {
        return Err(format!(
            "has no stage {}; it has {}",
            shown(stage),
            known().collect::<Vec<_>>().join(", ")
        ));
    }
    let meant = policy.stages.iter().filter(|one| stage.is_none_or(|stage| stage == one.name));
    let edits = meant.flat_map(|one| &one.targets).flat_map(|target| match target {
        Target::Git(git) => git.edits.as_slice(),
        Target::Pods(_) | Target::Workloads(_) => &[],
    });
    Ok(edits.collect())
}

fn one(
    edit: &FileEdit,
    checkout: &Path,
    marked: &Marked,
    pin: &Pin,
) -> Result<(Asked, Vec<Source>), Failure> {
    let (place, pin) = (files::inside(checkout, edit.path())?, pin.clone());
    match edit {
        FileEdit::Kustomize { name, .. } => {
            let file = KUSTOMIZATIONS.iter().map(|name| place.join(name)).find(|file| file.exists());
            Ok((Asked::Kustomize { pin, name: name.clone() }, vec![Source::read(&file.unwrap_or(place))?]))
        }
        FileEdit::HelmValues { image: at, .. } | FileEdit::Path { at, .. } => {
            let path = at.parse().map_err(|error| {
                Failure::Usage(format!("--file: the edit's path {} is wrong: {error}", shown(at)))
            })?;
            Ok((Asked::HelmValues { path, pin }, vec![Source::read(&place)?]))
        }
        FileEdit::Marker { .. } => Ok((
            Asked::Marker { policy: marked.clone(), pin },
            files::sources(&[place], Some(&files::markers()))?,
        )),
    }
}
