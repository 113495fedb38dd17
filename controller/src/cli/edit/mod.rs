//! `lockkeeper edit`: the edits that a stage's repository gets, on local files; no cluster, no registry, no git.
//!
//! Guarantees: all files are edited, or none is written; a refusal names file, line and reason; what is written replaces
//! the old file in one step, with its mode, and only while it still is what was read. Exit code 0: edited, or so
//! already; 4: refused; 3: no marker found; 2: the arguments are wrong.

pub mod files;
mod policy;
mod write;

use super::{
    exit::Failure,
    output::{print, say},
};
use clap::ArgGroup;
use files::{Source, markers, sources};
use lockkeeper_core::image::ImageRef;
use lockkeeper_edit::{Edit, Edited, Marked, Path, Pin, edit};
use std::path::{Path as FilePath, PathBuf};

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("what").required(true)))]
pub struct Args {
    /// Files; - is standard input. With --marker also folders; with --file the folder of the checkout (default: this one).
    #[arg(value_name = "FILE", required_unless_present = "file")]
    files: Vec<PathBuf>,
    /// Write --value at this path, such as .spec.containers[?(@.name=="otel")].image; a dot within a name is \. there.
    #[arg(long, group = "what", requires = "value", value_name = "PATH")]
    path: Option<String>,
    /// The value for --path, as given.
    #[arg(long, requires = "path", allow_hyphen_values = true)]
    value: Option<String>,
    /// Write --image into a chart's values at this path: one text, or repository, tag and digest apart.
    #[arg(long, group = "what", requires = "image", value_name = "PATH")]
    helm_values: Option<String>,
    /// Write --image into a kustomization's images; the entry is added where there is none.
    #[arg(long, group = "what", requires = "image")]
    kustomize: bool,
    /// The name that the manifests use, where it is not the image's repository.
    #[arg(long, requires = "kustomize")]
    name: Option<String>,
    /// Write --image where comments {"$imagepolicy": "NAMESPACE:NAME"} mark it.
    #[arg(long, group = "what", requires = "image", value_name = "NAMESPACE:NAME")]
    marker: Option<String>,
    /// Make the edits of this policy's git targets; of a policy without any: write where its markers are.
    #[arg(short, long, group = "what", requires = "image", value_name = "POLICY")]
    file: Option<PathBuf>,
    /// Only the git targets of this stage of the policy.
    #[arg(long, requires = "file")]
    stage: Option<String>,
    /// The image, such as ghcr.io/example/app:1.2@sha256:…
    #[arg(long, value_name = "REF", conflicts_with = "path")]
    image: Option<String>,
    /// Only this document of the file, counted from 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "file")]
    document: Option<u32>,
    #[command(flatten)]
    outcome: Outcome,
}

/// What becomes of edited files.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Outcome {
    /// Print the new file instead of the difference.
    #[arg(long, conflicts_with = "write")]
    stdout: bool,
    /// Write the files.
    #[arg(long)]
    write: bool,
}

/// What is asked for, read.
pub enum Asked {
    Path { path: Path, value: String },
    HelmValues { path: Path, pin: Pin },
    Kustomize { pin: Pin, name: Option<String> },
    Containers { pin: Pin },
    Marker { policy: Marked, pin: Pin },
}

impl Asked {
    fn edit(&self) -> Edit<'_> {
        match self {
            Self::Path { path, value } => Edit::Path { path, value },
            Self::HelmValues { path, pin } => Edit::HelmValues { path, pin },
            Self::Kustomize { pin, name } => Edit::Kustomize { pin, name: name.as_deref() },
            Self::Containers { pin } => Edit::Containers { pin },
            Self::Marker { policy, pin } => Edit::Marker { policy, pin },
        }
    }
}

/// A file, and what it becomes.
struct Done {
    source: Source,
    edited: Edited,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let document = args.document.and_then(|number| usize::try_from(number).ok());
    carry_out(plan(args)?, document, args.outcome, "no marker of this policy was found in the files")
}

/// Edits files, all or none, and shows or writes them. `none` says that nothing in them was meant.
pub fn carry_out(
    plan: Vec<(Asked, Vec<Source>)>,
    document: Option<usize>,
    outcome: Outcome,
    none: &str,
) -> Result<(), Failure> {
    outcome.fits(&plan)?;
    let mut done: Vec<Done> = Vec::new();
    let (mut refused, mut found) = (Vec::new(), 0);
    for (asked, sources) in plan {
        for source in sources {
            // Several edits of one file are made one after the other.
            let before = done.iter().position(|one| one.source.path == source.path);
            let bytes = before.map_or(&source.bytes, |index| &done[index].edited.bytes);
            match edit(&source.shown(), bytes, document, &asked.edit()) {
                Err(refusal) => refused.push(refusal.to_string()),
                Ok(edited) => {
                    found += edited.found;
                    match before {
                        Some(index) => done[index].edited = edited,
                        None => done.push(Done { source, edited }),
                    }
                }
            }
        }
    }
    if !refused.is_empty() {
        return Err(Failure::Refused(refused.join("\n")));
    }
    if found == 0 {
        return Err(Failure::NoMatch(none.to_owned()));
    }
    outcome.finish(&done)
}

/// Which edit each file gets.
fn plan(args: &Args) -> Result<Vec<(Asked, Vec<Source>)>, Failure> {
    let image = match &args.image {
        Some(text) => Some(text.parse::<ImageRef>().map_err(|error| usage("--image", &error))?),
        None => None,
    };
    if let (Some(file), Some(image)) = (&args.file, image.clone()) {
        return policy::plan(file, args.stage.as_deref(), image, &args.files);
    }
    let asked = flags(args, image)?;
    let searched = matches!(asked, Asked::Marker { .. }).then(markers);
    Ok(vec![(asked, sources(&args.files, searched.as_ref())?)])
}

fn flags(args: &Args, image: Option<ImageRef>) -> Result<Asked, Failure> {
    let path = |flag: &str, text: &str| text.parse::<Path>().map_err(|error| usage(flag, &error));
    let Some(image) = image else {
        // clap lets nothing else through without an image.
        let path = path("--path", args.path.as_deref().unwrap_or_default())?;
        return Ok(Asked::Path { path, value: args.value.clone().unwrap_or_default() });
    };
    let pin = Pin::of_image(image);
    if let Some(values) = &args.helm_values {
        return Ok(Asked::HelmValues { path: path("--helm-values", values)?, pin });
    }
    match &args.marker {
        Some(marker) => {
            let policy = marker.parse().map_err(|why| Failure::Usage(format!("--marker: {why}")))?;
            Ok(Asked::Marker { policy, pin })
        }
        None => Ok(Asked::Kustomize { pin, name: args.name.clone() }),
    }
}

fn usage(flag: &str, error: &dyn std::error::Error) -> Failure {
    Failure::Usage(format!("{flag}: {error}"))
}

impl Outcome {
    /// Refuses what these files cannot have.
    fn fits(self, plan: &[(Asked, Vec<Source>)]) -> Result<(), Failure> {
        let all: Vec<&Source> = plan.iter().flat_map(|(_, sources)| sources).collect();
        let several = plan.iter().any(|(_, sources)| sources.len() > 1);
        if self.stdout && (several || all.windows(2).any(|two| two[0].path != two[1].path)) {
            return Err(Failure::Usage("--stdout prints one file; name one, or use --write".to_owned()));
        }
        if self.write && all.iter().any(|source| source.path == FilePath::new("-")) {
            return Err(Failure::Usage("standard input cannot be written to; use --stdout".to_owned()));
        }
        Ok(())
    }

    /// Prints or writes.
    fn finish(self, done: &[Done]) -> Result<(), Failure> {
        let changed: Vec<&Done> = done.iter().filter(|one| one.edited.bytes != one.source.bytes).collect();
        if changed.is_empty() {
            say("lockkeeper: nothing to change: the files are so already");
        }
        if self.stdout {
            return done.iter().try_for_each(|one| print(&String::from_utf8_lossy(&one.edited.bytes)));
        }
        if self.write {
            write::all(changed.iter().map(|one| (&one.source, one.edited.bytes.as_slice())))?;
            for one in &changed {
                say(&format!("lockkeeper: wrote {}", one.source.shown()));
            }
            return Ok(());
        }
        changed.iter().try_for_each(|one| print(&write::difference(&one.source, &one.edited.bytes)))
    }
}
