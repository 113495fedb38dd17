//! Every request: it is refused with the controller's reason, or made, and the command says what came of it.

use crate::Desk;
use anyhow::{Context as _, Result, ensure};
use e2e::scene::Scene;
use e2e::{PATIENCE, run};
use serde_json::json;
use std::process::Stdio;
use tokio::time::timeout;

#[test]
fn an_approval_ends_the_wait_and_a_second_one_is_refused() {
    run("an_approval_ends_the_wait_and_a_second_one_is_refused", async |test| -> Result<()> {
        let desk = Desk::set(test, "cli-approve").await?;
        let old = desk.adopted(|spec| spec["stages"][0]["approval"] = json!({"required": 1})).await?;
        desk.runs(&["approve", "otel"]).await?.with(3, &["waits for an approval"])?;
        desk.runs(&["approve", "otel", "--stage", "only", "--digest", &old.digest])
            .await?
            .with(4, &["AlreadyThere", "only runs 0.28.0 already"])?;
        let new = desk.scene.push("0.28.1").await?;
        desk.waits("ApprovalRequired").await?;
        let found = desk.explained().await?;
        ensure!(found["stages"][0]["coming"]["digest"] == new.digest, "{found:#}");

        // A person without the right is told so by the API server, and nothing is written.
        desk.scene.apply(viewer()).await?;
        desk.scene.apply(binding("viewer", "alice")).await?;
        desk.runs_as("alice", &["approve", "otel"]).await?.with(4, &["interventions"])?;
        ensure!(desk.interventions().await?.is_empty(), "nothing was written");

        let dry =
            desk.runs(&["approve", "otel", "--dry-run"]).await?.with(0, &[&new.digest, "action: Approve"])?;
        ensure!(desk.interventions().await?.is_empty(), "{dry:?}");
        desk.runs_what_explain_shows().await?.with(0, &["admin asks for Approve", "0.28.1 enters"])?;
        desk.scene.holds(&new.digest).await?;
        let asked = desk.interventions().await?;
        let spec = &asked.first().context("an Intervention")?["spec"];
        ensure!(spec["requestedBy"] == "admin" && spec["digest"] == new.digest, "{asked:#?}");
        ensure!(spec["notAfter"].is_string() && spec["policyRef"]["uid"].is_string(), "{asked:#?}");
        desk.runs(&["approve", "otel", "--stage", "only", "--digest", "0.28.1"])
            .await?
            .with(4, &["AlreadyApproved"])?;
        desk.scene.finish().await
    });
}

/// May see the kinds of Lockkeeper, and nothing else.
fn viewer() -> serde_json::Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "viewer"},
        "rules": [{
            "apiGroups": ["lockkeeper.dev"], "resources": ["imagepolicies", "interventions", "quarantines", "imagepins"],
            "verbs": ["get", "list", "watch"],
        }],
    })
}

fn binding(role: &str, user: &str) -> serde_json::Value {
    let group = "rbac.authorization.k8s.io";
    json!({
        "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": {"name": format!("{role}-{user}")},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    })
}

#[test]
fn a_hold_holds_until_it_is_resumed() {
    run("a_hold_holds_until_it_is_resumed", async |test| -> Result<()> {
        let desk = Desk::set(test, "cli-hold").await?;
        desk.adopted(|_| {}).await?;
        desk.runs(&["resume", "otel"]).await?.with(4, &["NothingToResume"])?;
        desk.runs(&["hold", "otel", "--reason", "load test", "--until", "1h"])
            .await?
            .with(0, &["only: held: nothing enters"])?;
        let new = desk.scene.push("0.28.1").await?;
        desk.waits("Held").await?;
        let text = desk.runs(&["explain", "otel"]).await?.with(0, &["held: by admin until", "load test"])?;
        ensure!(text.out.contains("command: lockkeeper resume otel"), "{text:?}");
        desk.scene.not_written_again("pods", 0, "the stage is held").await?;
        desk.runs_what_explain_shows().await?.with(0, &["only: goes on"])?;
        desk.scene.holds(&new.digest).await?;

        // All policies of the namespace, and only of that one.
        desk.runs(&["hold", "--all", "--reason", "freeze"]).await?.with(0, &["only: held"])?;
        desk.scene.push("0.28.2").await?;
        desk.waits("Held").await?;
        desk.runs(&["resume", "--all"]).await?.with(0, &["only: goes on"])?;
        desk.runs(&["hold", "--reason", "of what?"]).await?.with(2, &["--all"])?;
        desk.scene.finish().await
    });
}

#[test]
fn a_promotion_passes_the_gates_it_names_and_waits_for_the_others() {
    run("a_promotion_passes_the_gates_it_names_and_waits_for_the_others", async |test| -> Result<()> {
        let desk = Desk::set(test, "cli-promote").await?;
        // Open for a minute on a 29th of February that is a Monday.
        let closed = json!([{"cron": "0 0 29 2 MON", "duration": "1m"}]);
        desk.adopted(|spec| spec["stages"][0]["windows"] = closed).await?;
        let new = desk.scene.push("0.28.1").await?;
        desk.waits("WindowClosed").await?;
        desk.runs(&["promote", "otel", "--reason", "urgent", "--timeout", "3s"])
            .await?
            .with(5, &["only will wait after all: outside its windows", "still counts"])?;
        desk.runs(&["promote", "otel", "--reason", "x", "--digest", "9.9.9"]).await?.with(3, &["0.28.1"])?;
        desk.runs(&["promote", "otel", "--reason", "x", "--stage", "prod"])
            .await?
            .with(4, &["NoSuchStage"])?;
        let urgent = ["promote", "otel", "--reason", "CVE-2026-1", "--skip", "Window"];
        desk.runs(&[&urgent[..], &["--wait=entered"]].concat()).await?.with(0, &["only: 0.28.1 enters"])?;
        desk.scene.holds(&new.digest).await?;
        let history = desk.scene.event("PromotionStarted").await?;
        ensure!(history.contains("admin") && history.contains("CVE-2026-1"), "{history}");
        desk.scene.finish().await
    });
}

#[test]
fn a_promotion_is_waited_for_until_it_is_verified_or_taken_back() {
    run("a_promotion_is_waited_for_until_it_is_verified_or_taken_back", async |test| -> Result<()> {
        let desk = Desk::set(test, "cli-verified").await?;
        let closed = json!([{"cron": "0 0 29 2 MON", "duration": "1m"}]);
        desk.adopted(|spec| spec["stages"][0]["windows"] = closed.clone()).await?;
        let urgent = ["promote", "otel", "--reason", "urgent", "--skip", "Window"];
        let new = desk.scene.push("0.28.1").await?;
        desk.waits("WindowClosed").await?;
        let ended = desk.runs(&urgent).await?.with(0, &["only: 0.28.1 is verified"])?;
        ensure!(ended.err.contains("… only: 0.28.1, "), "it says how far it is: {ended:?}");
        desk.scene.holds(&new.digest).await?;

        // One that never ends its soak, and is taken back while somebody waits for it.
        let mut policy = desk.scene.policy(&Scene::pods_target());
        policy["spec"]["stages"][0]["windows"] = closed;
        policy["spec"]["stages"][0]["soak"] = json!("2h");
        desk.scene.apply(policy).await?;
        desk.scene.push("0.28.2").await?;
        desk.waits("WindowClosed").await?;
        let waiting =
            desk.command("admin", &urgent)?.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let enters = |status: &e2e::scene::Status| {
            ensure!(status.stage()["flight"].is_object(), "it does not");
            Ok(())
        };
        desk.scene.until("otel", "0.28.2 enters", enters).await?;
        desk.runs(&["rollback", "otel", "--reason", "spans are lost"]).await?.with(0, &[])?;
        let output = timeout(PATIENCE, waiting.wait_with_output()).await??;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(1), "{output:?}");
        ensure!(
            said.contains("is taken back: RequestedByPerson") || said.contains("does not run there"),
            "{said}"
        );
        desk.scene.finish().await
    });
}

#[test]
fn a_rollback_goes_back_and_its_quarantine_is_released_by_hand() {
    run("a_rollback_goes_back_and_its_quarantine_is_released_by_hand", async |test| -> Result<()> {
        let desk = Desk::set(test, "cli-rollback").await?;
        let old = desk.adopted(|_| {}).await?;
        desk.runs(&["rollback", "otel", "--reason", "x"]).await?.with(4, &["NoSafeDigest"])?;
        let new = desk.scene.push("0.28.1").await?;
        desk.scene.holds(&new.digest).await?;
        desk.runs(&["rollback", "otel", "--reason", "x", "--digest", "0.28.0"])
            .await?
            .with(4, &["NotHere"])?;
        desk.runs(&["rollback", "otel", "--reason", "spans are lost"])
            .await?
            .with(0, &["only: taken back; runs 0.28.0"])?;
        desk.scene.all_run(&old.digest, 3).await?;

        desk.runs(&["promote", "otel", "--reason", "x", "--digest", &new.digest])
            .await?
            .with(4, &["Quarantined", "RequestedByPerson", "lockkeeper unquarantine"])?;
        desk.runs(&["unquarantine", "no-such"]).await?.with(3, &["there are "])?;
        let name = desk.runs(&["unquarantine", "0.28.1", "--dry-run"]).await?.with(0, &["would release"])?;
        let name = name.out.trim().rsplit(' ').next().context("a name")?.to_owned();
        desk.runs(&["unquarantine", &name, "--reason", "the network was it"])
            .await?
            .with(0, &["is released"])?;
        let writes = desk.scene.bed.audit_of("admin")?;
        let writes = writes.iter().filter(|event| event.object().resource == "quarantines");
        let said: Vec<String> =
            writes.filter_map(|event| event.request_object.as_ref()).map(ToString::to_string).collect();
        ensure!(said.iter().any(|one| one.contains("admin: the network was it")), "{said:#?}");
        desk.scene.holds(&new.digest).await?;

        desk.runs(&["quarantine", "otel", "--digest", "0.28.1", "--reason", "panics"])
            .await?
            .with(0, &["otel/only: taken back; runs 0.28.0"])?;
        desk.scene.all_run(&old.digest, 3).await?;
        desk.runs(&["quarantine", "--digest", &new.digest, "--reason", "twice"])
            .await?
            .with(0, &["held back already"])?;
        desk.scene.finish().await
    });
}

#[test]
fn a_person_chooses_for_a_mix() {
    run("a_person_chooses_for_a_mix", async |test| -> Result<()> {
        let desk = Desk::set(test, "cli-adopt").await?;
        let scene = &desk.scene;
        let old = scene.push_first().await?;
        let other = scene.push("0.27.0").await?;
        scene.apply(scene.deployment("old", 2, &old.tagged("0.28.0"))).await?;
        scene.apply(scene.deployment("other", 2, &other.tagged("0.27.0"))).await?;
        desk.runs(&["hold", "--all", "--reason", "no promotion brings them together"]).await?.with(0, &[])?;
        scene.apply(scene.policy(&Scene::pods_target())).await?;
        desk.waits("Held").await?;
        desk.runs(&["adopt", "otel", "--digest", "sha256:1", "--reason", "x"])
            .await?
            .with(2, &["64 hex digits"])?;
        desk.runs(&["adopt", "otel", "--digest", "0.1.0", "--reason", "x"]).await?.with(3, &["it knows"])?;
        desk.runs(&["adopt", "otel", "--digest", &old.digest, "--reason", "half of it runs that"])
            .await?
            .with(0, &["only: "])?;
        scene.holds(&old.digest).await?;
        desk.runs(&["adopt", "otel", "--digest", &other.digest, "--reason", "x"])
            .await?
            .with(4, &["NotMixed"])?;
        desk.scene.finish().await
    });
}
