//! `lockkeeper resolve`: how a reference is read, and what it names.
//!
//! Guarantees: with `--offline` no registry is asked; one line of JSON for each reference, in their order; what is no
//! reference says where and why, stops no other, and ends in exit code 2. That a release has no signature is said only
//! where the registry was asked and answered; what a signature is worth is not said at all.

use super::{
    exit::Failure,
    output::{print, say},
    select::{
        Access,
        look::{About, Ask},
    },
};
use crate::ports::{Reference, RegistryError};
use lockkeeper_core::image::{ImageRef, Release, mistake_at, shown};
use serde_json::{Value, json};
use std::path::Path;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// References as pods have them; - reads them from standard input, one a line.
    #[arg(required = true)]
    images: Vec<String>,
    /// Only read them: no registry is asked.
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    access: Access,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// How the answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
}

pub async fn run(args: &Args) -> Result<(), Failure> {
    let (mut wrong, mut missing, mut unchecked) = (0, 0, 0);
    let images = images(args)?;
    for input in &images {
        let image: ImageRef = match input.parse() {
            Ok(image) => image,
            Err(error) => {
                if let Some((image, digest)) = ImageRef::by_registered_digest(input) {
                    unchecked += usize::from(!args.offline);
                    not_computed(args, input, &image, digest)?;
                    continue;
                }
                wrong += 1;
                refused(args.output, input, &error.to_string())?;
                continue;
            }
        };
        let mut found = read(input, &image);
        if !args.offline {
            let ask = Ask::new(&args.access, args.access.insecure, image.repository().clone())?;
            match ask.resolve(&reference(&image)?).await? {
                Some(release) => {
                    let about = Box::pin(ask.about(&release)).await;
                    add(&mut found, &image, &release, &about);
                }
                None => {
                    missing += 1;
                    say(&format!("lockkeeper: {}: the registry has no such image", shown(input)));
                    continue;
                }
            }
        }
        print(&written(args.output, &found))?;
    }
    match (wrong, missing) {
        (0, 0) if unchecked > 0 => {
            Err(Failure::Failed(format!("{unchecked} of {} digests cannot be checked here", images.len())))
        }
        (0, 0) => Ok(()),
        (0, missing) => Err(Failure::NoMatch(format!("{missing} of {} images do not exist", images.len()))),
        (wrong, _) => Err(Failure::Usage(format!("{wrong} of {} references cannot be read", images.len()))),
    }
}

fn images(args: &Args) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for image in &args.images {
        if image == "-" {
            let bytes = super::select::asked::read("IMAGE", Path::new("-"))?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            all.extend(text.lines().filter(|line| !line.is_empty()).map(str::to_owned));
        } else {
            all.push(image.clone());
        }
    }
    Ok(all)
}

/// How it is read. Nothing is added: a tag that is not written is null.
fn read(input: &str, image: &ImageRef) -> Value {
    let repository = image.repository();
    json!({
        "input": input,
        "registry": repository.registry(),
        "repository": repository.path(),
        "tag": image.tag(),
        "digest": image.digest(),
        "canonical": image.canonical(),
    })
}

/// Where it is wrong, and why. What may be a password is left out of the input, too.
fn refused(output: Output, input: &str, reason: &str) -> Result<(), Failure> {
    let position = mistake_at(input).unwrap_or(1);
    match output {
        Output::Text => {
            say(&format!("lockkeeper: at character {position}: {reason}"));
            Ok(())
        }
        Output::Json => {
            let input = shown(input).trim_matches('"').to_owned();
            print(&format!(
                "{}\n",
                json!({"input": input, "error": {"position": position, "reason": reason}})
            ))
        }
    }
}

/// Printed, and no more: whatever a registry answered, nobody here could tell whether it is that.
fn not_computed(args: &Args, input: &str, image: &ImageRef, digest: &str) -> Result<(), Failure> {
    let mut found = read(input, image);
    found["digest"] = json!(digest);
    found["canonical"] = json!(format!("{}@{digest}", image.canonical()));
    print(&written(args.output, &found))?;
    if !args.offline {
        say(&format!(
            "lockkeeper: {}: blake3 is registered, and not computed here, so the registry is not asked; use the sha256 digest",
            shown(input)
        ));
    }
    Ok(())
}

fn reference(image: &ImageRef) -> Result<Reference, Failure> {
    Ok(match (image.digest(), image.tag()) {
        (Some(digest), _) => Reference::Digest(digest.clone()),
        (None, Some(tag)) => Reference::Tag(tag.clone()),
        (None, None) => Reference::Tag("latest".parse()?),
    })
}

fn add(found: &mut Value, image: &ImageRef, release: &Release, about: &About) {
    let not_known = |what: &str, error: &RegistryError| {
        say(&format!("lockkeeper: {}: {what}: {}: {}", image.canonical(), error.reason, error.message));
    };
    let sizes = about.sizes.as_ref().map_err(|error| not_known("its size", error)).ok();
    let signed = match &about.signed {
        Ok(true) => "present",
        Ok(false) => "absent",
        Err(error) => {
            not_known("its signatures", error);
            "could not look"
        }
    };
    let tag = image.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
    let platforms: Vec<Value> = release
        .platforms
        .iter()
        .map(|one| {
            json!({"platform": one.platform, "manifest": one.manifest, "config": one.config,
            "size": sizes.and_then(|sizes| sizes.by_manifest.get(&one.manifest))})
        })
        .collect();
    found["digest"] = json!(release.digest);
    found["canonical"] = json!(format!("{}{tag}@{}", image.repository(), release.digest));
    found["contents"] = json!(release.contents_key());
    found["platforms"] = json!(platforms);
    found["size"] = json!(sizes.map(|sizes| sizes.all));
    found["signatures"] = json!(signed);
    found["created"] = json!(release.created);
}

fn written(output: Output, found: &Value) -> String {
    if output == Output::Json {
        return format!("{found}\n");
    }
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Number(bytes) => format!("{bytes} bytes"),
        _ => "-".to_owned(),
    };
    let mut lines = vec![text(&found["canonical"])];
    for name in ["registry", "repository", "tag", "digest", "contents", "created", "size", "signatures"] {
        lines.extend(found.get(name).map(|value| format!("  {name}: {}", text(value))));
    }
    for one in found["platforms"].as_array().into_iter().flatten() {
        lines.push(format!(
            "  {}: {}, {}",
            text(&one["platform"]),
            text(&one["manifest"]),
            text(&one["size"])
        ));
    }
    lines.join("\n") + "\n"
}
