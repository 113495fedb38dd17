//! A plan as text.

use super::survey::{Plan, StagePlan};
use lockkeeper_api::FieldError;
use lockkeeper_core::{
    gates::{label, label_and_digest},
    pin::PinSpec,
    policy::Mode,
    status::WavePlan,
};
use std::fmt::Write as _;

/// Namespaces and images named per stage; of the others the number.
const NAMED: usize = 8;
/// −ln 0.05: seeing nothing in an exposure T rules out rates above this over T, with 95 %.
const RULED_OUT: f64 = 2.995_732_273_553_991;

/// What is wrong with the file.
pub fn invalid(errors: &[FieldError]) -> String {
    let lines: Vec<String> = errors.iter().map(|error| format!("- {error}\n")).collect();
    format!("The policy is not valid; the cluster was not looked at.\n{}", lines.concat())
}

/// The whole plan.
pub fn render(plan: &Plan) -> String {
    let mut text = String::new();
    head(plan, &mut text);
    for stage in &plan.stages {
        one_stage(plan, stage, &mut text);
    }
    if plan.problems.is_empty() {
        line(&mut text, "\nNothing was found that would keep it from working.");
    } else {
        line(&mut text, "\nIn the way:");
        for problem in &plan.problems {
            line(&mut text, &format!("- {problem}"));
        }
    }
    text
}

/// Text grows without errors.
fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn head(plan: &Plan, text: &mut String) {
    let (policy, identity) = (&plan.policy, &plan.identity);
    line(text, &format!("ImagePolicy {}/{} for {}", policy.namespace, policy.name, policy.image));
    let writes = match policy.mode {
        _ if policy.suspend => "suspend: true, so nothing at all would be written",
        Mode::Observe => "mode: Observe, so all of this would be reported and nothing written",
        Mode::Enforce => "mode: Enforce, so this would be written",
    };
    line(
        text,
        &format!("  {writes}; acts as ServiceAccount {}/{}", identity.namespace, identity.service_account),
    );
    match &plan.tags {
        None => line(text, "  tags: not known"),
        Some((candidates, rejected)) => {
            let not: Vec<String> =
                rejected.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            let not = if not.is_empty() {
                "none rejected".to_owned()
            } else {
                format!("rejected: {}", not.join(", "))
            };
            line(text, &format!("  tags: {candidates} admitted; {not}"));
        }
    }
    match &plan.candidate {
        Some(candidate) => {
            let platforms: Vec<String> = candidate.platforms.iter().map(|p| p.platform.to_string()).collect();
            let built =
                if platforms.is_empty() { String::new() } else { format!(", {}", platforms.join(", ")) };
            line(text, &format!("  candidate: {}{built}", label_and_digest(candidate)));
        }
        None => line(text, "  candidate: none"),
    }
}

fn one_stage(plan: &Plan, stage: &StagePlan, text: &mut String) {
    line(text, &format!("\nstage {}", stage.name));
    line(text, &format!("  namespaces: {}", some(&stage.namespaces)));
    let [pods, ready] = stage.pods;
    let workloads =
        if stage.workloads > 0 { format!(", {} workloads", stage.workloads) } else { String::new() };
    line(text, &format!("  matches: {pods} pods, {ready} of them ready{workloads}"));
    let images: Vec<String> =
        stage.images.iter().map(|(image, pods)| format!("{image} ({pods} pods)")).collect();
    line(text, &format!("  images: {}", some(&images)));
    let status = &stage.status;
    for (reason, message) in &stage.events {
        line(text, &format!("  would happen: {reason}: {message}"));
    }
    line(text, &format!("  would be: {:?}, {}: {}", status.phase, status.reason, status.message));
    for (digest, pods) in &status.mixed {
        line(text, &format!("    {pods} pods run {digest}"));
    }
    if stage.pins.is_empty() {
        line(text, "  pins: none to write");
    }
    let shown = stage.pins.iter().take(NAMED);
    for (namespace, pins) in shown {
        let pins: Vec<String> = pins.iter().map(one_pin).collect();
        line(text, &format!("  pin in {namespace}: {}", pins.join("; then ")));
    }
    if stage.pins.len() > NAMED {
        line(text, &format!("  and pins in {} more namespaces", stage.pins.len() - NAMED));
    }
    waves(plan, stage, text);
}

fn some(all: &[String]) -> String {
    match all.len() {
        0 => "none".to_owned(),
        n if n > NAMED => format!("{} and {} more", all[..NAMED].join(", "), n - NAMED),
        _ => all.join(", "),
    }
}

fn one_pin(pin: &PinSpec) -> String {
    let tag = pin.tag.as_ref().map(|tag| format!("{tag}@")).unwrap_or_default();
    let mut text = format!("{tag}{}", pin.digest);
    if let Some(only) = &pin.only_tags {
        let tags: Vec<String> = only.iter().map(ToString::to_string).collect();
        text.push_str(", only images with the tag ");
        text.push_str(&tags.join(" or "));
    }
    text
}

/// What each part of the stage would see: roughly, since pods come and go.
fn waves(plan: &Plan, stage: &StagePlan, text: &mut String) {
    let soak = plan.policy.stages.iter().find(|s| s.name == stage.name).map_or(0, |s| s.soak.as_secs());
    let release = plan.candidate.as_ref().map_or_else(|| "a release".to_owned(), label);
    let whole = WavePlan { pods: u32::try_from(stage.pods[1]).unwrap_or(u32::MAX), soak_seconds: soak };
    for (index, wave) in stage.waves.iter().enumerate() {
        line(text, &format!("  wave {}: {}", index + 1, exposure(&release, *wave)));
    }
    line(text, &format!("  then all: {}", exposure(&release, whole)));
}

fn exposure(release: &str, wave: WavePlan) -> String {
    let soak = jiff::SignedDuration::from_secs(wave.soak_seconds);
    #[expect(clippy::cast_precision_loss, reason = "soaks are far below 2^52 seconds")]
    let hours = f64::from(wave.pods) * wave.soak_seconds as f64 / 3600.0;
    let mut text = format!("{release} on {} pods for {soak:#} of healthy time", wave.pods);
    if hours > 0.0 {
        let _ = write!(
            text,
            ": {hours:.1} pod-hours; without a restart they rule out more than {:.2} restarts per pod-hour (95 %)",
            RULED_OUT / hours
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Identity;
    use lockkeeper_core::{
        image::{Digest, Release},
        status::{Phase, StageStatus},
    };

    fn plan() -> Plan {
        let object = serde_json::json!({
            "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "ImagePolicy",
            "metadata": {"name": "otel", "namespace": "platform"},
            "spec": {
                "image": "registry.example.com/otel",
                "select": {"semver": {"range": "*"}},
                "stages": [{"name": "prod", "soak": "2h", "targets": [
                    {"pods": {"selector": {"matchLabels": {"app": "a"}}}},
                ]}],
            },
        });
        let policy = lockkeeper_api::parse(&serde_json::from_value(object).unwrap()).unwrap();
        let stage = StagePlan {
            name: "prod".into(),
            namespaces: (0..10).map(|n| format!("prod-{n}")).collect(),
            pods: [30, 29],
            images: [("registry.example.com/otel:latest".into(), 30)].into(),
            status: StageStatus {
                phase: Phase::Idle,
                reason: "Adopted".into(),
                message: "0.28.0 was found running and is kept".into(),
                ..StageStatus::default()
            },
            waves: vec![WavePlan { pods: 3, soak_seconds: 3600 }],
            ..StagePlan::default()
        };
        Plan {
            policy,
            identity: Identity { namespace: "platform".into(), service_account: "default".into() },
            candidate: Some(Release {
                tag: None,
                version: Some("0.29.0".into()),
                digest: Digest::of(b"x"),
                platforms: vec![],
                created: None,
            }),
            tags: Some((2, [("Prerelease", 7)].into())),
            stages: vec![stage],
            problems: vec![],
        }
    }

    #[test]
    fn it_says_what_matches_what_would_be_and_what_a_wave_can_see() {
        let text = render(&plan());
        for part in [
            "ImagePolicy platform/otel for registry.example.com/otel",
            "mode: Observe, so all of this would be reported and nothing written; acts as ServiceAccount platform/default",
            "tags: 2 admitted; rejected: 7 Prerelease",
            "candidate: 0.29.0 (",
            "prod-7 and 2 more",
            "matches: 30 pods, 29 of them ready",
            "registry.example.com/otel:latest (30 pods)",
            "would be: Idle, Adopted: 0.28.0 was found running and is kept",
            "wave 1: 0.29.0 on 3 pods for 1h of healthy time: 3.0 pod-hours; without a restart they rule out more than 1.00 restarts",
            "then all: 0.29.0 on 29 pods for 2h of healthy time: 58.0 pod-hours",
            "Nothing was found that would keep it from working.",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn what_is_in_the_way_is_listed_last() {
        let text = render(&Plan { problems: vec!["no right".into(), "no pods".into()], ..plan() });
        assert!(text.ends_with("\nIn the way:\n- no right\n- no pods\n"), "{text}");
    }

    #[test]
    fn a_pin_of_what_was_adopted_says_which_tags_it_is_for() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let mut pin = serde_json::json!({
            "matchLabels": {"app": "a"}, "repositories": ["registry.example.com/otel"], "digest": digest,
            "policy": {"namespace": "platform", "name": "otel", "uid": "u"}, "stage": "prod", "deletionPolicy": "Retain",
        });
        pin["onlyTags"] = serde_json::json!(["latest", "stable"]);
        let adopted = serde_json::from_value(pin.clone()).unwrap();
        assert_eq!(one_pin(&adopted), format!("{digest}, only images with the tag latest or stable"));
        pin["onlyTags"] = serde_json::Value::Null;
        pin["tag"] = "0.29.0".into();
        let promoted = serde_json::from_value(pin).unwrap();
        assert_eq!(one_pin(&promoted), format!("0.29.0@{digest}"));
    }
}
