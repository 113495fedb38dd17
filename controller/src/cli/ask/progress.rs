//! Waiting for what comes of a request, with a line that says what it waits for.
//!
//! It asks twice a second instead of watching: who may approve need not be allowed to watch, and the wait is short.

use super::request::Goal;
use crate::cli::{
    Failure,
    cluster::Session,
    known::Loaded,
    output::{plain, print},
};
use jiff::{SignedDuration, Timestamp};
use kube::{Api, ResourceExt as _, api::ListParams};
use lockkeeper_api::ImagePolicy;
use lockkeeper_core::{
    asking::{Came, came_of, verified_of},
    observed::InterventionSeen,
    status::Status,
};
use std::{
    io::{IsTerminal as _, Write as _},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// For clocks that differ.
const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// Waits until the request has come to something in every stage that it is for, and prints what.
pub async fn wait(
    session: &Session,
    installation: &str,
    loaded: Option<&Loaded>,
    asked: &InterventionSeen,
    goal: Goal,
) -> Result<(), Failure> {
    let (timeout, came_of): (_, CameOf) = match goal {
        Goal::Asked => return Ok(()),
        Goal::CarriedOut(timeout) => (timeout, came_of),
        Goal::Verified(timeout) => (timeout, verified_of),
    };
    let began = Instant::now();
    let mut line = Line::default();
    loop {
        let policies = match loaded {
            Some(loaded) => vec![session.policy(&loaded.policy.name).await?],
            None => all(session, installation).await?,
        };
        let came = stages(&policies, asked, came_of);
        let open: Vec<String> = came.iter().filter_map(|(place, came)| underway(place, came)).collect();
        if open.is_empty() {
            line.end();
            return finish(&came);
        }
        line.show(&open.join("; "));
        let waited = began.elapsed();
        let still = format!("after {} s: {}. Intervention {}", waited.as_secs(), open.join("; "), asked.id);
        if timeout.is_some_and(|timeout| waited >= timeout) {
            line.end();
            return Err(Failure::TimedOut(format!("{still} still counts; delete it if it should not")));
        }
        if came.iter().all(|(_, came)| *came == Came::Unheard) && expired(asked) {
            line.end();
            return Err(Failure::Failed(format!("{still} counts no more, and nothing came of it")));
        }
        sleep(PAUSE).await;
    }
}

/// How a status is read for what came of a request in a stage.
type CameOf = fn(&InterventionSeen, &Status, &str) -> Came;

/// Whether it has run out by this machine's clock, with some time for the controller to have been told.
fn expired(asked: &InterventionSeen) -> bool {
    asked.not_after.is_some_and(|until| Timestamp::now().duration_since(until) > GRACE)
}

/// All policies that a request without a policy is for.
async fn all(session: &Session, installation: &str) -> Result<Vec<ImagePolicy>, Failure> {
    let api: Api<ImagePolicy> =
        if session.namespace == installation { Api::all(session.client.clone()) } else { session.api() };
    Ok(session.answer(api.list(&ListParams::default())).await?.items)
}

/// What came of it, per stage: `prod`, or `otel/prod` where there are several policies.
fn stages(policies: &[ImagePolicy], asked: &InterventionSeen, came_of: CameOf) -> Vec<(String, Came)> {
    let mut came = Vec::new();
    for policy in policies {
        let Some(status) = policy.status.as_ref().map(|status| &status.status) else {
            came.push((policy.name_any(), Came::Unheard));
            continue;
        };
        for stage in &policy.spec.stages {
            if !asked.stages.is_empty() && !asked.stages.contains(&stage.name) {
                continue;
            }
            let place = match policies {
                [_] => stage.name.clone(),
                _ => format!("{}/{}", policy.name_any(), stage.name),
            };
            came.push((place, came_of(asked, status, &stage.name)));
        }
    }
    came
}

fn underway(place: &str, came: &Came) -> Option<String> {
    match came {
        Came::Unheard => Some(format!("{place}: the controller has not looked yet")),
        Came::Underway(message) => Some(format!("{place}: {message}")),
        Came::Done(_) | Came::Blocked(_) | Came::Failed(_) => None,
    }
}

/// Prints what came of it; a stage that ended Blocked is a failure.
pub fn finish(came: &[(String, Came)]) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for (place, came) in came {
        match came {
            Came::Done(message) => print(&format!("{}\n", plain(&format!("{place}: {message}"))))?,
            Came::Blocked(message) => failed.push(format!("{place} is Blocked: {message}")),
            Came::Failed(message) => failed.push(format!("{place}: {message}")),
            Came::Unheard | Came::Underway(_) => {}
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::Failed(failed.join("; "))) }
}

/// One line on standard error: on a terminal it is written over, elsewhere each new text once.
#[derive(Debug, Default)]
pub struct Line {
    shown: String,
}

impl Line {
    pub fn show(&mut self, text: &str) {
        let text = plain(text);
        if self.shown == text {
            return;
        }
        let mut err = std::io::stderr().lock();
        // Nobody has to watch.
        drop(if err.is_terminal() {
            write!(err, "\r\u{1b}[K… {text}").and_then(|()| err.flush())
        } else {
            writeln!(err, "… {text}")
        });
        self.shown = text;
    }

    pub fn end(&mut self) {
        let mut err = std::io::stderr().lock();
        if err.is_terminal() && !self.shown.is_empty() {
            drop(write!(err, "\r\u{1b}[K").and_then(|()| err.flush()));
        }
        self.shown.clear();
    }
}
