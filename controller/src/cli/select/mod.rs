//! `lockkeeper select`: which tag a policy would take, and why not the others, by the controller's own code.
//!
//! Guarantees: no cluster is needed; with `--offline`, or a list that has all that is asked for, no registry either;
//! the same set of tags gives the same answer in whatever order. Exit code 0: one is chosen; 3: none; 2: the policy,
//! or the list, is wrong.

pub mod asked;
pub mod held;
pub mod judge;
pub mod listing;
pub mod look;
pub mod signed;

use super::{
    exit::Failure,
    output::{Machine, machine, print},
    table::table,
    wire::Registries,
};
use asked::Asked;
use held::Held;
use jiff::{SignedDuration, Timestamp};
use judge::Judge;
use listing::Listed;
use lockkeeper_core::select::Explained;
use look::{Look, Looked};
use serde_json::json;
use signed::Signatures;
use std::path::PathBuf;

/// Where a person's own machine may find registries, besides flags.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Access {
    #[command(flatten)]
    pub registries: Registries,
    /// Speak plain HTTP to the registry; it must be listed by --allow-host.
    #[arg(long)]
    pub insecure: bool,
    /// A file as `docker login` writes it, with the registry's user and password. Without it: anonymous.
    #[arg(long, value_name = "FILE")]
    pub registry_config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The repository whose tags are listed, such as nginx or ghcr.io/example/app.
    image: Option<String>,
    /// Judge the tags of this file instead (- is standard input): one a line, or JSON: a list of texts
    /// or of objects with tag and created, or what a registry answers to a listing.
    #[arg(long, value_name = "FILE")]
    tags: Option<PathBuf>,
    /// Select as this ImagePolicy says; - is standard input. Quarantines of its namespace beside it are obeyed, as
    /// documents or in a list as kubectl prints it.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A digest, or a tag, whose contents count as quarantined: under whatever name, if a registry is asked. Repeatable.
    #[arg(long, value_name = "DIGEST|TAG")]
    quarantined: Vec<String>,
    /// A public key in PEM form, as cosign makes it, in place of the Secret that select.verify of the policy names.
    /// Repeatable.
    #[arg(long, value_name = "FILE", requires = "file")]
    cosign_key: Vec<PathBuf>,
    #[command(flatten)]
    by: By,
    /// Ask no registry: what only it knows counts as not known.
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    access: Access,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// The fields of `spec.select` as flags.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct By {
    /// The highest version in this range, such as '>=1.2 <2' or '1.x || ^2'.
    #[arg(long, value_name = "RANGE", group = "order", conflicts_with = "file")]
    semver: Option<String>,
    /// The last tag in ascending order, or the first.
    #[arg(long, value_name = "ORDER", group = "order", conflicts_with = "file")]
    alphabetical: Option<Direction>,
    /// The tag with the largest number, or the smallest.
    #[arg(long, value_name = "ORDER", group = "order", conflicts_with = "file")]
    numerical: Option<Direction>,
    /// The image that was built last.
    #[arg(long, group = "order", conflicts_with = "file")]
    newest_build: bool,
    /// This tag alone.
    #[arg(long, value_name = "TAG", group = "order", conflicts_with = "file")]
    digest: Option<String>,
    /// Only tags that this regular expression matches.
    #[arg(long, value_name = "PATTERN", conflicts_with = "file")]
    filter: Option<String>,
    /// What of such a tag is compared: text with $1, $name or ${name}.
    #[arg(long, value_name = "TEMPLATE", requires = "filter")]
    extract: Option<String>,
    /// Never tags that this regular expression matches. Repeatable.
    #[arg(long, value_name = "PATTERN", conflicts_with = "file")]
    ignore: Vec<String>,
    /// A platform that the image must be built for, such as linux/arm64. Repeatable.
    #[arg(long, value_name = "OS/ARCH", conflicts_with = "file")]
    platform: Vec<String>,
    /// For how long the controller must have known a release before stages take it, such as 72h.
    #[arg(long, value_name = "AGE", conflicts_with = "file")]
    minimum_release_age: Option<SignedDuration>,
    /// How many images have their dates read for --newest-build.
    #[arg(long, value_name = "IMAGES", requires = "newest_build")]
    discovery_limit: Option<usize>,
}

/// Which end of an order is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Direction {
    Asc,
    Desc,
}

/// How the answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    Table,
    Json,
}

pub async fn run(args: &Args) -> Result<(), Failure> {
    let asked = Asked::read(args)?;
    let look = Look::new(args, &asked)?;
    let listed = match &args.tags {
        Some(file) => listing::read(file)?,
        None => look.list().await?,
    };
    let verify = asked.verify.as_ref();
    let keys = &args.cosign_key;
    let signatures = match look.registry() {
        Some(_) => Signatures::new(verify, keys, &args.access.registries)?,
        None => None,
    };
    let held = Held::new(&args.quarantined, &asked.quarantines)?;
    let judge = Judge { selection: &asked.selection, verify, signatures, held, looked: Looked::default() };
    let found = judge.judge(&look, &listed, Timestamp::now()).await?;
    print(&match args.output {
        Output::Table => rows(&found),
        Output::Json => machine(Machine::Json, &document(&found))?,
    })?;
    match found.chosen {
        Some(_) => Ok(()),
        None => Err(Failure::NoMatch(format!("none of {} tags matches", found.tags.len()))),
    }
}

fn rows(found: &Explained) -> String {
    let rows: Vec<Vec<String>> = found
        .tags
        .iter()
        .map(|verdict| vec![verdict.tag.clone(), verdict.reason.to_owned(), verdict.message.clone()])
        .collect();
    table(&["TAG", "REASON", "MESSAGE"], &rows)
}

fn document(found: &Explained) -> serde_json::Value {
    let tags: Vec<_> = found
        .tags
        .iter()
        .map(|verdict| json!({"tag": verdict.tag, "reason": verdict.reason, "message": verdict.message}))
        .collect();
    let chosen = found.chosen.as_ref();
    json!({"chosen": chosen.map(|ranked| json!({"tag": ranked.tag, "version": ranked.version})), "tags": tags})
}
