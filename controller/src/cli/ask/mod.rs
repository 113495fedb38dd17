//! What people ask for: `approve`, `adopt`, `hold`, `resume`, `promote`, `rollback`, `quarantine`, `unquarantine`.
//!
//! Guarantees: what the controller would pass over is refused before anything is written, with its reason; what is
//! written names who asks, why, for which policy (and its uid), stages and digest, and until when it counts; a command
//! that waits ends with what came of it, or says that it is still waited for.

mod commands;
mod progress;
mod quarantine;
mod request;

pub use commands::{Adopt, Approve, Hold, Promote, Resume, Rollback};
pub use quarantine::{Quarantine, Unquarantine};
use request::Goal;

use super::{
    cluster::{KubectlArgs, duration},
    known::InstallationArgs,
};
use std::time::Duration;

/// A request counts for a day, unless a person says otherwise.
const COUNTS: &str = "24h";

/// What all of them take.
#[derive(Clone, Debug, clap::Args)]
pub struct Common {
    #[command(flatten)]
    pub cluster: KubectlArgs,
    #[command(flatten)]
    pub installation: InstallationArgs,
    /// Print what would be made as YAML, after the same checks, and make nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Whether, and how long, a command waits for what comes of it.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Waiting {
    /// Wait until the controller has carried it out, and say what came of it.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub wait: bool,
    /// How long to wait; then the exit code is 5, and the request stays.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    pub timeout: Duration,
}

impl Waiting {
    fn goal(self) -> Goal {
        if self.wait { Goal::CarriedOut(Some(self.timeout)) } else { Goal::Asked }
    }
}

/// How long a request counts.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Expiry {
    /// For how long it counts if nothing can be done about it before.
    #[arg(long, value_name = "DURATION", default_value = COUNTS, value_parser = duration)]
    pub expires: Duration,
}
