//! `lockkeeper check`: whether the installation is healthy, and what to do where it is not. Only reads, and asks for
//! reviews of access.
//!
//! Guarantees: what may not be looked at is said, and never counts as healthy; every finding that is not good says what
//! to do; exit code 6 if anything is bad.

mod accounts;
mod installation;
mod policies;
mod reviews;
mod rights;
mod signals;
#[cfg(test)]
mod tests;

use super::{
    Failure,
    cluster::{KubectlArgs, Session},
    known::InstallationArgs,
    output::{Colour, Machine, Paint, Style, machine, plain, print},
    wire::Registries,
};
use crate::ports::Identity;
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write as _};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    cluster: KubectlArgs,
    #[command(flatten)]
    installation: InstallationArgs,
    #[command(flatten)]
    registries: Registries,
    /// The controller's ServiceAccount, in the installation's namespace.
    #[arg(long, value_name = "NAME", default_value = "lockkeeper")]
    service_account: String,
    /// The Lease of the election, in the installation's namespace.
    #[arg(long, value_name = "NAME", default_value = "lockkeeper")]
    lease_name: String,
    /// The format.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Whether to use colours.
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    color: Colour,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
}

/// How it stands with one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Health {
    /// As it should be.
    Good,
    /// It works, and a person should know.
    Note,
    /// It does not work.
    Bad,
    /// It could not be looked at.
    Unknown,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub what: String,
    pub health: Health,
    pub message: String,
    /// What to do; empty where there is nothing to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub then: String,
}

impl Finding {
    fn good(what: &str, message: impl Into<String>) -> Self {
        Self { what: what.to_owned(), health: Health::Good, message: message.into(), then: String::new() }
    }

    fn other(what: &str, health: Health, message: impl Into<String>, then: impl Into<String>) -> Self {
        Self { what: what.to_owned(), health, message: message.into(), then: then.into() }
    }

    /// What could not be looked at.
    fn unknown(what: &str, failure: &Failure) -> Self {
        let why = failure.end().1.unwrap_or("no answer").to_owned();
        Self::other(
            what,
            Health::Unknown,
            why,
            "look as somebody who may read that, such as a cluster administrator",
        )
    }
}

pub async fn run(args: &Args) -> Result<(), Failure> {
    let session = Session::open(&args.cluster).await?;
    let namespace = &args.installation.installation_namespace;
    // Without an API server there is nothing else to look at.
    let (mut findings, skew) = installation::server(&session).await?;
    findings.extend(installation::kinds(&session).await);
    findings.extend(installation::admission(&session).await);
    findings.push(installation::deployment(&session, namespace).await);
    findings.push(installation::leader(&session, namespace, &args.lease_name, skew).await);
    findings
        .push(rights::of_the_controller(&session, namespace, &args.service_account, &args.lease_name).await);
    let (namespace, service_account) = (namespace.clone(), args.service_account.clone());
    let reviews =
        reviews::Reviews { session: session.clone(), controller: Identity { namespace, service_account } };
    findings.extend(accounts::look(&session, &reviews).await);
    findings.extend(policies::look(&session).await);
    let source = args.registries.signals(None, BTreeMap::new())?;
    findings.extend(signals::look(&session, &source).await);
    match args.output {
        Output::Text => print(&text(&findings, Paint::new(args.color)))?,
        Output::Json => print(&machine(Machine::Json, &serde_json::json!({"findings": findings}))?)?,
    }
    if findings.iter().any(|finding| finding.health == Health::Bad) { Err(Failure::Found) } else { Ok(()) }
}

fn text(findings: &[Finding], paint: Paint) -> String {
    let mut text = String::new();
    for finding in findings {
        let (mark, style) = match finding.health {
            Health::Good => ("ok ", Style::Good),
            Health::Note => ("!  ", Style::Waiting),
            Health::Bad => ("BAD", Style::Bad),
            Health::Unknown => ("?  ", Style::Waiting),
        };
        let (what, message) = (plain(&finding.what), plain(&finding.message));
        // Text grows without errors.
        let _ = writeln!(text, "{} {what}: {message}", paint.paint(style, mark));
        if !finding.then.is_empty() {
            let _ = writeln!(text, "    → {}", plain(&finding.then));
        }
    }
    text
}
