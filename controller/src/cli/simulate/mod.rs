//! `lockkeeper simulate`: a policy in a scripted world in virtual time. No cluster, no network; what decides is the
//! controller's own `decide`.
//!
//! Guarantees: the same file and seed give the same output, byte for byte.

mod chronicle;
mod clock;
mod deeds;
mod fields;
mod picture;
mod play;
mod read;
mod recordings;
mod scenario;
mod series;
mod setting;
mod story;
mod summary;
#[cfg(test)]
mod tests;

use super::{Failure, print};
use std::path::{Path, PathBuf};

/// Larger scenario files are a mistake.
const MOST_BYTES: u64 = 1 << 20;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The scenario; docs/simulate.md says what is in one.
    file: PathBuf,
    /// Also write a picture of it.
    #[arg(long, value_name = "OUT")]
    svg: Option<PathBuf>,
    /// Where the random numbers begin: another seed is another night.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The format.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let text = read_file(&args.file)?;
    let told = tell(&text, folder(&args.file), args.seed)
        .map_err(|why| Failure::Failed(format!("{}: {why}", args.file.display())))?;
    if let Some(out) = &args.svg {
        std::fs::write(out, &told.svg)
            .map_err(|error| Failure::Failed(format!("{} could not be written: {error}", out.display())))?;
    }
    match args.output {
        Output::Text => print(&told.text),
        Output::Json => print(&(serde_json::to_string_pretty(&told.json)? + "\n")),
    }
}

/// Where a scenario is: what it names is beside it.
fn folder(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

fn read_file(path: &Path) -> Result<String, Failure> {
    let failed = |why: String| Failure::Failed(format!("{}: {why}", path.display()));
    let size = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if size > MOST_BYTES {
        return Err(failed(format!("{size} bytes are too many for a scenario; at most {MOST_BYTES}")));
    }
    std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))
}

/// A scenario, played and told in every way.
struct Told {
    text: String,
    json: serde_json::Value,
    svg: String,
}

fn tell(text: &str, folder: &Path, seed: u64) -> Result<Told, String> {
    let scenario = read::scenario(text, folder).map_err(|mistakes| {
        let lines: Vec<String> = mistakes.iter().map(|m| format!("\n  {m}")).collect();
        format!("is no scenario that can be played:{}", lines.concat())
    })?;
    let (chronicle, world) = play::play(&scenario, seed)?;
    let summary = summary::summary(&scenario, &chronicle, &world);
    Ok(Told {
        text: story::text(&scenario, &chronicle, &summary, seed),
        json: story::json(&scenario, &chronicle, &summary, seed),
        svg: picture::svg(&scenario, &chronicle, &summary, &world),
    })
}
