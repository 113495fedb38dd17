//! `lockkeeper explain`: why this candidate, what each stage waits for, until when, and the command that ends the wait.
//!
//! Guarantees: says what the status says, and what pure functions of the core make of it; decides nothing anew. No registry
//! is asked but for `--all-tags`.

mod found;
mod listing;
pub mod remedy;
#[cfg(test)]
mod tests;
mod text;

pub use found::word as meaning;

use super::{
    Failure,
    known::OnePolicy,
    output::{Machine, machine, print},
    when::When,
};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    asked: OnePolicy,
    #[command(flatten)]
    listing: listing::FromRegistry,
    /// The format.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
    Yaml,
}

pub async fn run(args: &Args) -> Result<(), Failure> {
    let (_, loaded) = args.asked.load().await?;
    let when = When::here();
    let mut found = found::explain(&loaded, when.now);
    if args.listing.all_tags {
        let mut listing = listing::listing(&loaded, &args.listing, when.now).await?;
        found.tags = std::mem::take(&mut listing.tags);
        found.listing = Some(listing);
    }
    match args.output {
        Output::Text => print(&text::render(&found, &when, args.asked.paint())),
        Output::Json => print(&machine(Machine::Json, &found)?),
        Output::Yaml => print(&machine(Machine::Yaml, &found)?),
    }
}
