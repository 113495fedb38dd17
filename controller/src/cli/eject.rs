//! `lockkeeper eject`: what a stage holds, written into a person's files, so that nobody has to stay.
//!
//! Guarantees: what is written is what the stage holds outside of a promotion, by tag and digest; mirrors that the policy
//! names stay; the cluster is only read. The edits, and what they refuse, are those of `lockkeeper edit`.

use super::{
    edit::{
        Asked, Outcome, carry_out,
        files::{Searched, sources},
    },
    exit::Failure,
    known::{Loaded, OnePolicy},
    output::say,
};
use lockkeeper_core::{image::ImageRef, status::StageStatus};
use lockkeeper_edit::Pin;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    asked: OnePolicy,
    /// Files; - is standard input. Without --kustomize and --helm-values also folders: their YAML and JSON files are searched.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The stage; it may be left out where the policy has one.
    #[arg(long)]
    stage: Option<String>,
    /// Write into a kustomization's images; the entry is added where there is none.
    #[arg(long)]
    kustomize: bool,
    /// The name that the manifests use, where it is not the image's repository.
    #[arg(long, requires = "kustomize")]
    name: Option<String>,
    /// Write into a chart's values at this path: one text, or repository, tag and digest apart.
    #[arg(long, value_name = "PATH", conflicts_with = "kustomize")]
    helm_values: Option<String>,
    /// Only this document of the file, counted from 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    document: Option<u32>,
    #[command(flatten)]
    outcome: Outcome,
}

pub async fn run(args: &Args) -> Result<(), Failure> {
    let (_, loaded) = args.asked.load().await?;
    let stage = stage(&loaded, args.stage.as_deref())?;
    let (image, note) = held(&loaded, stage)?;
    if let Some(note) = note {
        say(&format!("lockkeeper: {note}"));
    }
    let pin = Pin::of_policy(image, loaded.policy.repositories().cloned().collect());
    let (asked, searched) = asked(args, &loaded, pin)?;
    let plan = vec![(asked, sources(&args.files, searched.as_ref())?)];
    let document = args.document.and_then(|number| usize::try_from(number).ok());
    carry_out(
        plan,
        document,
        args.outcome,
        "no container in these files has the image, nor one of its mirrors",
    )
}

/// The edit, and what folders are searched for.
fn asked(args: &Args, loaded: &Loaded, pin: Pin) -> Result<(Asked, Option<Searched>), Failure> {
    if args.kustomize {
        return Ok((Asked::Kustomize { pin, name: args.name.clone() }, None));
    }
    if let Some(path) = &args.helm_values {
        let path = path.parse().map_err(|error| Failure::Usage(format!("--helm-values: {error}")))?;
        return Ok((Asked::HelmValues { path, pin }, None));
    }
    // Spellings of a registry differ; the last part of a repository's path stands in all of them.
    let last = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let texts = loaded.policy.repositories().map(|repository| last(repository.path())).collect();
    Ok((Asked::Containers { pin }, Some(Searched { ends: &["yaml", "yml", "json"], texts })))
}

fn stage<'l>(loaded: &'l Loaded, name: Option<&str>) -> Result<&'l StageStatus, Failure> {
    let stages = &loaded.policy.stages;
    let all = || stages.iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>().join(", ");
    let name = match (name, stages.as_slice()) {
        (Some(name), _) if stages.iter().any(|stage| stage.name == name) => name,
        (Some(name), _) => {
            let policy = &loaded.policy.name;
            return Err(Failure::NoMatch(format!("{policy} has no stage {name}; it has {}", all())));
        }
        (None, [only]) => only.name.as_str(),
        (None, _) => return Err(Failure::Usage(format!("--stage is missing: one of {}", all()))),
    };
    loaded.status.stages.iter().find(|stage| stage.name == name).ok_or_else(|| holds_nothing(name, ""))
}

fn holds_nothing(stage: &str, why: &str) -> Failure {
    let why = if why.is_empty() { "the controller has not looked at it yet" } else { why };
    Failure::NoMatch(format!("stage {stage} holds no release: {why}"))
}

/// What a stage holds, or goes back to, and what should be known about it.
fn held(loaded: &Loaded, stage: &StageStatus) -> Result<(ImageRef, Option<String>), Failure> {
    let name = &stage.name;
    let (digest, release, note) = match &stage.rollback {
        Some(rollback) => {
            let nowhere = || holds_nothing(name, "it is being taken back, and to what is not known yet");
            let to = rollback.to.as_ref().ok_or_else(nowhere)?;
            (&to.digest, Some(to), Some("is being taken back; what it goes back to is written"))
        }
        None => {
            let digest = stage.current.as_ref().ok_or_else(|| holds_nothing(name, &stage.message))?;
            let verified = stage.verified.iter().rev().map(|one| &one.release);
            let note = "is in a promotion; what it held before is written";
            (
                digest,
                verified.into_iter().find(|one| one.digest == *digest),
                stage.flight.is_some().then_some(note),
            )
        }
    };
    let tag = release.and_then(|release| release.tag.as_ref());
    let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
    let image = format!("{}{tag}@{digest}", loaded.policy.image).parse::<ImageRef>();
    let image = image.map_err(|error| Failure::Failed(format!("the status of stage {name}: {error}")))?;
    Ok((image, note.map(|note| format!("stage {name} {note}"))))
}

#[cfg(test)]
mod tests;
