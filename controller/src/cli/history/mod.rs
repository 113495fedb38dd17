//! `lockkeeper history`: what happened to a policy, or to one release, as an incident report tells it.
//!
//! Guarantees: every line is what the controller, or a person, said at that time; nothing is said twice.

mod report;
#[cfg(test)]
mod tests;
mod timeline;

use super::{
    Failure,
    cluster::{Session, duration},
    known::{Loaded, OnePolicy},
    output::{Machine, machine, print, say},
    when::When,
};
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use std::time::Duration;
use timeline::Timeline;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    asked: OnePolicy,
    /// Only what concerns this release: a digest, or a version that the policy knows.
    #[arg(long, value_name = "DIGEST|VERSION")]
    release: Option<String>,
    /// Only what happened since, such as 24h.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    since: Option<Duration>,
    /// The format; markdown is a report to be pasted.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
    Markdown,
}

pub async fn run(args: &Args) -> Result<(), Failure> {
    let (session, loaded) = args.asked.load().await?;
    let events = events(&session, &loaded).await?;
    let when = When::here();
    let mut timeline = Timeline::of(&loaded, &events);
    if let Some(release) = &args.release {
        timeline.only(&loaded, release)?;
    }
    if let Some(since) = args.since.and_then(|since| jiff::SignedDuration::try_from(since).ok()) {
        timeline.entries.retain(|entry| when.now.duration_since(entry.at) <= since);
    }
    if timeline.entries.is_empty() {
        say(&format!("nothing is known of {} in that time", timeline.title()));
    }
    match args.output {
        Output::Text => print(&report::text(&timeline, &when, args.asked.paint())),
        Output::Markdown => print(&report::markdown(&timeline)),
        Output::Json => print(&machine(Machine::Json, &timeline)?),
    }
}

/// What the API server still has of the policy's Events; they tell what the status had to forget.
async fn events(session: &Session, loaded: &Loaded) -> Result<Vec<Event>, Failure> {
    let regarding = format!("regarding.name={},regarding.kind=ImagePolicy", loaded.policy.name);
    let params = ListParams::default().fields(&regarding);
    match session.answer(session.api::<Event>().list(&params)).await {
        Ok(list) => Ok(list.items),
        Err(Failure::Refused(_)) => {
            say("Events may not be read; what the status has forgotten is left out");
            Ok(Vec::new())
        }
        Err(other) => Err(other),
    }
}
