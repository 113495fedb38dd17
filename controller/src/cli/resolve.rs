//! `lockkeeper resolve`: how a reference is read, and what it names.
//!
//! Guarantees: with `--offline` no registry is asked; one line of JSON for each reference, in their order; what is no
//! reference says where and why, stops no other, and ends in exit code 2.

use super::{
    exit::Failure,
    output::{print, say},
    select::{Access, look::Ask},
};
use crate::ports::Reference;
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
    let (mut wrong, mut missing) = (0, 0);
    let images = images(args)?;
    for input in &images {
        let image: ImageRef = match input.parse() {
            Ok(image) => image,
            Err(error) => {
                wrong += 1;
                refused(args.output, input, &error.to_string())?;
                continue;
            }
        };
        let mut found = read(input, &image);
        if !args.offline {
            match looked_up(args, &image).await? {
                Some(release) => add(&mut found, &image, &release),
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

async fn looked_up(args: &Args, image: &ImageRef) -> Result<Option<Release>, Failure> {
    let ask = Ask::new(&args.access, args.access.insecure, image.repository().clone())?;
    let reference = match (image.digest(), image.tag()) {
        (Some(digest), _) => Reference::Digest(digest.clone()),
        (None, Some(tag)) => Reference::Tag(tag.clone()),
        (None, None) => Reference::Tag("latest".parse()?),
    };
    ask.resolve(&reference).await
}

fn add(found: &mut Value, image: &ImageRef, release: &Release) {
    let tag = image.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
    let platforms: Vec<Value> = release
        .platforms
        .iter()
        .map(|one| json!({"platform": one.platform, "manifest": one.manifest, "config": one.config}))
        .collect();
    found["digest"] = json!(release.digest);
    found["canonical"] = json!(format!("{}{tag}@{}", image.repository(), release.digest));
    found["contents"] = json!(release.contents_key());
    found["platforms"] = json!(platforms);
    found["created"] = json!(release.created);
}

fn written(output: Output, found: &Value) -> String {
    if output == Output::Json {
        return format!("{found}\n");
    }
    let text = |value: &Value| value.as_str().map_or_else(|| "-".to_owned(), str::to_owned);
    let mut lines = vec![text(&found["canonical"])];
    for name in ["registry", "repository", "tag", "digest", "contents", "created"] {
        lines.extend(found.get(name).map(|value| format!("  {name}: {}", text(value))));
    }
    for one in found["platforms"].as_array().into_iter().flatten() {
        lines.push(format!("  {}: {}", text(&one["platform"]), text(&one["manifest"])));
    }
    lines.join("\n") + "\n"
}
