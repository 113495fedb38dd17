//! `lockkeeper get`: where every stage of every policy stands.

use super::{ClusterArgs, Failure, print, table::table};
use crate::kubernetes::client;
use jiff::{Timestamp, tz::TimeZone};
use kube::{Api, api::ListParams};
use lockkeeper_api::ImagePolicy;
use lockkeeper_core::{
    image::Release,
    status::{StageStatus, Status},
};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Only this policy.
    policy: Option<String>,
    /// The namespace; without it the context's.
    #[arg(short, long)]
    namespace: Option<String>,
    /// All namespaces.
    #[arg(short = 'A', long, conflicts_with_all = ["namespace", "policy"])]
    all_namespaces: bool,
    /// The format.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Table,
    Json,
    Yaml,
}

pub async fn run(args: &Args) -> Result<(), Failure> {
    let client = client::connect(args.cluster.kubeconfig.as_deref(), args.cluster.context.as_deref()).await?;
    let namespace = args.namespace.as_deref().unwrap_or(client.default_namespace()).to_owned();
    let api: Api<ImagePolicy> =
        if args.all_namespaces { Api::all(client) } else { Api::namespaced(client, &namespace) };
    let policies = match &args.policy {
        Some(name) => vec![api.get(name).await?],
        None => api.list(&ListParams::default()).await?.items,
    };
    match args.output {
        Output::Json => print(&(serde_json::to_string_pretty(&list(&policies))? + "\n")),
        Output::Yaml => print(&serde_saphyr::to_string(&list(&policies))?),
        Output::Table if policies.is_empty() => {
            let place =
                if args.all_namespaces { "the cluster".to_owned() } else { format!("namespace {namespace}") };
            eprintln!("there is no ImagePolicy in {place}");
            Ok(())
        }
        Output::Table => print(&render(&policies, Timestamp::now(), &TimeZone::system())),
    }
}

fn list(policies: &[ImagePolicy]) -> serde_json::Value {
    serde_json::json!({"apiVersion": "v1", "kind": "List", "items": policies})
}

const HEADER: [&str; 9] =
    ["NAMESPACE", "POLICY", "STAGE", "PHASE", "RUNS", "CANDIDATE", "WAITS FOR", "UNTIL", "MESSAGE"];

fn render(policies: &[ImagePolicy], now: Timestamp, zone: &TimeZone) -> String {
    let rows: Vec<Vec<String>> = policies.iter().flat_map(|policy| rows(policy, now, zone)).collect();
    table(&HEADER, &rows)
}

fn rows(policy: &ImagePolicy, now: Timestamp, zone: &TimeZone) -> Vec<Vec<String>> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (namespace, name) = (text(&policy.metadata.namespace), text(&policy.metadata.name));
    let status = policy.status.as_ref().map(|status| &status.status);
    let stages = status.map(|status| status.stages.as_slice()).unwrap_or_default();
    // A policy that cannot be understood, or was not looked at yet, has one line that says so.
    let problem = status.and_then(problem).unwrap_or_default();
    if stages.is_empty() || !problem.is_empty() {
        let message =
            if problem.is_empty() { "not looked at yet; does the controller run?" } else { &problem };
        let mut row = vec![namespace.clone(), name.clone()];
        row.extend(["-", "-", "-", "-", "-", "-"].map(str::to_owned));
        row.push(message.to_owned());
        let rest = stages.iter().map(|stage| line(&namespace, &name, stage, now, zone));
        return std::iter::once(row).chain(rest).collect();
    }
    stages.iter().map(|stage| line(&namespace, &name, stage, now, zone)).collect()
}

fn problem(status: &Status) -> Option<String> {
    let invalid = status
        .conditions
        .iter()
        .find(|c| c.kind == "Stalled" && c.status == "True" && c.reason == "InvalidSpec");
    invalid.map(|condition| format!("InvalidSpec: {}", condition.message))
}

fn line(namespace: &str, policy: &str, stage: &StageStatus, now: Timestamp, zone: &TimeZone) -> Vec<String> {
    let runs = stage.current.as_ref().map(|digest| {
        let known = stage.verified.iter().find(|verified| verified.release.digest == *digest);
        known.map_or_else(|| digest.short().to_owned(), |verified| label(&verified.release))
    });
    let candidate = match (&stage.flight, &stage.rollback) {
        (Some(flight), _) => label(&flight.release),
        (None, Some(rollback)) => format!("{} (taken back)", label(&rollback.bad)),
        (None, None) => "-".into(),
    };
    vec![
        namespace.into(),
        policy.into(),
        stage.name.clone(),
        format!("{:?}", stage.phase),
        runs.unwrap_or_else(|| "-".into()),
        candidate,
        if stage.reason.is_empty() { "-".into() } else { stage.reason.clone() },
        stage.until.map_or_else(|| "-".into(), |until| when(until, now, zone)),
        stage.message.clone(),
    ]
}

fn label(release: &Release) -> String {
    let name = release.version.clone().or_else(|| release.tag.as_ref().map(ToString::to_string));
    name.unwrap_or_else(|| release.digest.short().to_owned())
}

/// `14:30 (in 1h 12m)`, with the day if it is another one.
fn when(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (there, here) = (at.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
    let format = if there.date() == here.date() { "%H:%M" } else { "%a %d %b %H:%M" };
    let minutes = at.duration_since(now).as_secs().div_euclid(60);
    let wait = match minutes {
        ..0 => "due".to_owned(),
        0 => "in less than a minute".to_owned(),
        1..60 => format!("in {minutes}m"),
        60..2880 => format!("in {}h {}m", minutes / 60, minutes % 60),
        _ => format!("in {}d", minutes / 1440),
    };
    format!("{} ({wait})", there.strftime(format))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockkeeper_core::{
        conditions::Condition,
        image::Digest,
        status::{Phase, Source, Verified},
    };

    fn policy(status: Option<Status>) -> ImagePolicy {
        let mut policy = ImagePolicy::default();
        policy.metadata.namespace = Some("platform".into());
        policy.metadata.name = Some("otel".into());
        policy.status = status.map(Into::into);
        policy
    }

    fn release(version: &str) -> Release {
        Release {
            tag: None,
            version: Some(version.into()),
            digest: Digest::of(version.as_bytes()),
            platforms: vec![],
            created: None,
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_line_per_stage_says_what_runs_what_it_waits_for_and_until_when() {
        let stable = release("0.28.0");
        let verified = Verified {
            release: stable.clone(),
            source: Source::Verified,
            at: at("2026-11-22T00:00:00Z"),
            hash: String::new(),
            rules_out: String::new(),
            log_e: 0.0,
            guard_until: None,
        };
        let stage = StageStatus {
            name: "prod".into(),
            phase: Phase::Idle,
            reason: "ApprovalRequired".into(),
            message: "0.29.0 waits for 1 more person".into(),
            until: Some(at("2026-11-22T14:30:00Z")),
            current: Some(stable.digest),
            verified: vec![verified],
            ..StageStatus::default()
        };
        let text = render(
            &[policy(Some(Status { stages: vec![stage], ..Status::default() }))],
            at("2026-11-22T13:18:30Z"),
            &TimeZone::UTC,
        );
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("NAMESPACE   POLICY   STAGE   PHASE"), "{text}");
        for part in [
            "prod",
            "Idle",
            "0.28.0",
            "ApprovalRequired",
            "14:30 (in 1h 11m)",
            "0.29.0 waits for 1 more person",
        ] {
            assert!(lines[1].contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_policy_that_is_wrong_or_new_says_so() {
        let condition = Condition {
            kind: "Stalled".into(),
            status: "True".into(),
            reason: "InvalidSpec".into(),
            message: "spec.interval: 5 has no unit".into(),
            last_transition_time: Timestamp::UNIX_EPOCH,
            observed_generation: 1,
        };
        let wrong = policy(Some(Status { conditions: vec![condition], ..Status::default() }));
        let text = render(&[wrong, policy(None)], Timestamp::UNIX_EPOCH, &TimeZone::UTC);
        assert!(text.contains("InvalidSpec: spec.interval: 5 has no unit"), "{text}");
        assert!(text.contains("not looked at yet"), "{text}");
    }

    #[test]
    fn far_and_past_ends_are_said_in_words() {
        let now = at("2026-11-22T23:00:00Z");
        let table = [
            ("2026-11-22T22:00:00Z", "22:00 (due)"),
            ("2026-11-22T23:00:30Z", "23:00 (in less than a minute)"),
            ("2026-11-23T01:05:00Z", "Mon 23 Nov 01:05 (in 2h 5m)"),
            ("2026-11-29T23:00:00Z", "Sun 29 Nov 23:00 (in 7d)"),
        ];
        for (end, said) in table {
            assert_eq!(when(at(end), now, &TimeZone::UTC), said);
        }
    }
}
