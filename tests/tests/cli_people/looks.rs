//! What people look at while something happens.

use crate::{Desk, unheard};
use anyhow::{Context as _, Result, ensure};
use e2e::controller::program;
use e2e::install::{CONTROLLER, apply_object};
use e2e::{PATIENCE, run};
use serde_json::json;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

#[test]
fn a_watch_shows_what_changes_and_ends_when_nobody_reads() {
    run("a_watch_shows_what_changes_and_ends_when_nobody_reads", async |test| -> Result<()> {
        let desk = Desk::set(test, "cli-watch").await?;
        desk.adopted(|_| {}).await?;
        let mut watch = desk
            .command("admin", &["get", "otel", "--watch"])?
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(watch.stdout.take().context("a pipe")?).lines();
        let mut next = async || -> Result<String> {
            timeout(PATIENCE, lines.next_line()).await??.context("the watch has ended")
        };
        ensure!(next().await?.starts_with("POLICY"), "a header");
        ensure!(next().await?.contains("only 0.28.0"), "what is");
        desk.scene.push("0.28.1").await?;
        let mut shown = Vec::new();
        while !shown.iter().any(|line: &String| line.contains("only 0.28.1  ")) {
            shown.push(next().await.with_context(|| format!("{shown:#?}"))?);
        }
        ensure!(shown.iter().any(|line| line.contains("0.28.0 → 0.28.1")), "the way there: {shown:#?}");
        let distinct: std::collections::BTreeSet<&String> = shown.iter().collect();
        ensure!(distinct.len() == shown.len(), "what looks the same is not shown again: {shown:#?}");

        // Nobody reads any more: the next change ends it, without a word.
        drop(lines);
        desk.scene.push("0.28.2").await?;
        let output = timeout(PATIENCE, watch.wait_with_output()).await??;
        ensure!(output.status.code() == Some(0) && output.stderr.is_empty(), "{output:?}");
        desk.scene.finish().await
    });
}

#[test]
fn nobody_has_to_read_what_a_command_says() {
    run("nobody_has_to_read_what_a_command_says", async |test| -> Result<()> {
        let desk = Desk::set(test, "cli-pipes").await?;
        desk.adopted(|_| {}).await?;
        let file = desk.scene.bed.folder().join(format!("{}.yaml", desk.scene.namespace));
        let policy = desk.scene.policy(&e2e::scene::Scene::pods_target());
        std::fs::write(&file, serde_json::to_string(&policy)?)?;
        let file = file.display().to_string();
        let digest = format!("sha256:{}", "a".repeat(64));
        for args in [
            &["get"][..],
            &["get", "-o", "json"],
            &["get", "-o", "wide"],
            &["explain", "otel"],
            &["explain", "otel", "-o", "yaml"],
            &["history", "otel"],
            &["history", "otel", "-o", "markdown"],
            &["check"],
            &["check", "-o", "json"],
            &["hold", "otel", "--reason", "x", "--dry-run"],
            &["hold", "otel", "--reason", "x"],
            &["resume", "otel"],
            &["rollback", "otel", "--reason", "x"],
            &["quarantine", "--digest", &digest, "--reason", "x"],
            &["unquarantine", &digest, "--reason", "x"],
        ] {
            desk.speaks_to_nobody(args).await?;
        }
        // It has no namespace flag: its file says which.
        let mut plan = Command::new(program()?);
        plan.args(["plan", "-f", &file]).env("KUBECONFIG", desk.kubeconfig("admin")?);
        unheard(plan, "plan").await?;
        desk.scene.finish().await
    });
}

/// The reasons of tags in an answer that lists them.
fn reasons(answer: &serde_json::Value) -> Vec<(String, String)> {
    let all = answer["tags"].as_array().cloned().unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    all.iter().map(|one| (text(&one["tag"]), text(&one["reason"]))).collect()
}

fn are(answer: &serde_json::Value, wanted: &[(&str, &str)]) -> Result<()> {
    let found = reasons(answer);
    let found: Vec<(&str, &str)> =
        found.iter().map(|(tag, reason)| (tag.as_str(), reason.as_str())).collect();
    ensure!(found == wanted, "{answer:#}");
    Ok(())
}

#[test]
fn every_tag_of_the_listing_has_its_reason_and_what_the_controller_has_not_seen_is_said() {
    run(
        "every_tag_of_the_listing_has_its_reason_and_what_the_controller_has_not_seen_is_said",
        async |test| -> Result<()> {
            let desk = Desk::set(test, "cli-all-tags").await?;
            desk.adopted(|spec| spec["interval"] = json!("24h")).await?;
            let (registry, path) = (desk.scene.bed.registry(), format!("{}/otel", desk.scene.namespace));
            let access = ["--allow-host", registry.host(), "--insecure"];
            let all_tags = async || -> Result<serde_json::Value> {
                let args = [&["explain", "otel", "--all-tags", "-o", "json"][..], &access].concat();
                Ok(serde_json::from_str(&desk.runs(&args).await?.with(0, &[])?.out)?)
            };
            let found = all_tags().await?;
            are(&found, &[("0.28.0", "Candidate"), ("latest", "NotAVersion")])?;
            ensure!(found["listing"] == json!({"count": 2, "differs": []}), "{found:#}");

            // Two names of the same contents, which the controller does not look at before tomorrow.
            let new = desk.scene.push("0.28.1").await?;
            registry.tag(&path, "0.28.1", "0.28.2").await?;
            let found = all_tags().await?;
            let admitted = [("0.28.2", "Chosen"), ("0.28.1", "Older"), ("0.28.0", "Older")];
            are(&found, &[&admitted[..], &[("latest", "NotAVersion")]].concat())?;
            let differs = found["listing"]["differs"][0].as_str().unwrap_or_default();
            ensure!(differs.contains("chosen 0.28.0; 0.28.2 is"), "{found:#}");
            let args = [&["explain", "otel", "--all-tags"][..], &access].concat();
            desk.runs(&args)
                .await?
                .with(0, &["of 4 tags that the registry lists now", "0.28.2 is", "NotAVersion"])?;

            // Both names of what the cluster holds back, by the digest alone, and what is left.
            let reason = ["--reason", "panics"];
            let quarantine = [&["quarantine", "--digest", &new.digest][..], &reason].concat();
            desk.runs(&quarantine).await?.with(0, &[])?;
            let found = all_tags().await?;
            let held = [("0.28.2", "Quarantined"), ("0.28.1", "Quarantined"), ("0.28.0", "Candidate")];
            are(&found, &[&held[..], &[("latest", "NotAVersion")]].concat())?;
            ensure!(found["listing"]["differs"] == json!([]), "{found:#}");
            ensure!(
                found["tags"][0]["message"].as_str().is_some_and(|text| text.contains("panics")),
                "{found:#}"
            );

            // The same of a selection without a cluster, by another name of these contents.
            let image = registry.repository(&path);
            let select = ["select", &image, "--semver", ">=0.28.0", "--quarantined", "0.28.1", "-o", "json"];
            let mut command = Command::new(program()?);
            let output = command.args(select).args(access).output().await?;
            let found: serde_json::Value = serde_json::from_slice(&output.stdout)
                .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
            ensure!(found["chosen"]["tag"] == "0.28.0", "{found:#}");
            are(&found, &[&held[..2], &[("0.28.0", "Chosen"), ("latest", "NotAVersion")]].concat())?;
            desk.scene.finish().await
        },
    );
}

#[test]
fn what_a_person_is_not_allowed_to_see_is_refused_and_as_somebody_else_works() {
    run(
        "what_a_person_is_not_allowed_to_see_is_refused_and_as_somebody_else_works",
        async |test| -> Result<()> {
            let desk = Desk::set(test, "cli-as").await?;
            desk.adopted(|_| {}).await?;
            desk.runs_as("alice", &["get"]).await?.with(4, &["alice"])?;
            desk.runs_as("alice", &["get", "--watch"]).await?.with(4, &["alice"])?;
            desk.runs(&["get", "--as", "alice"]).await?.with(4, &["alice"])?;
            desk.runs(&["get", "--as", "alice", "--as-group", "system:masters"]).await?.with(0, &["otel"])?;
            desk.runs(&["get", "-o", "name"]).await?.with(0, &["imagepolicy.lockkeeper.dev/otel\n"])?;
            desk.runs(&["get", "-l", "team=edge"]).await?.with(0, &["no ImagePolicy in namespace"])?;
            desk.scene.finish().await
        },
    );
}

#[test]
fn the_history_of_a_release_is_a_report() {
    run("the_history_of_a_release_is_a_report", async |test| -> Result<()> {
        let desk = Desk::set(test, "cli-history").await?;
        desk.adopted(|_| {}).await?;
        let new = desk.scene.push("0.28.1").await?;
        desk.scene.holds(&new.digest).await?;
        desk.runs(&["rollback", "otel", "--reason", "spans are lost"]).await?.with(0, &[])?;
        let report = desk.runs(&["history", "otel", "--release", "0.28.1", "-o", "markdown"]).await?;
        let report = report.with(
            0,
            &["# otel 0.28.1 in ", "| only | PromotionStarted | the controller |", "spans are lost"],
        )?;
        ensure!(
            report.out.contains("- only: entered ") && report.out.contains("taken back after"),
            "{report:?}"
        );
        let json = desk.runs(&["history", "otel", "-o", "json"]).await?.with(0, &[])?;
        let json: serde_json::Value = serde_json::from_str(&json.out)?;
        let entries = json["entries"].as_array().context("entries")?;
        let asked: Vec<_> = entries.iter().filter(|entry| entry["what"] == "RollBack").collect();
        ensure!(asked.len() == 1 && asked[0]["by"] == "admin", "{json:#}");
        // What the status says and what the Events say is told once.
        let started = entries.iter().filter(|entry| entry["what"] == "PromotionStarted").count();
        ensure!(started == 1, "{json:#}");
        desk.runs(&["history", "otel", "--release", "9.9.9"]).await?.with(3, &["9.9.9"])?;
        desk.runs(&["history", "nobody"]).await?.with(3, &["nobody"])?;
        desk.scene.finish().await
    });
}

fn lease(renewed: &str) -> serde_json::Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "lockkeeper", "namespace": CONTROLLER.0},
        "spec": {"holderIdentity": "a-replica", "leaseDurationSeconds": 15, "renewTime": renewed},
    })
}

#[test]
fn a_check_finds_the_installation_well_and_names_the_policy_that_is_not() {
    run("a_check_finds_the_installation_well_and_names_the_policy_that_is_not", async |test| -> Result<()> {
        let desk = Desk::set(test, "cli-check").await?;
        desk.adopted(|_| {}).await?;
        let ours = format!("policy {}/otel", desk.scene.namespace);
        let findings = async |user: &str| -> Result<(i32, Vec<serde_json::Value>)> {
            let ended = desk.runs_as(user, &["check", "-o", "json"]).await?;
            let json: serde_json::Value =
                serde_json::from_str(&ended.out).with_context(|| format!("{ended:?}"))?;
            Ok((ended.code, json["findings"].as_array().cloned().unwrap_or_default()))
        };
        let (_, found) = findings("admin").await?;
        let health = |what: &str| {
            found.iter().find(|one| one["what"] == what).map(|one| one["health"].clone()).unwrap_or_default()
        };
        for what in ["API server", "clock", "pins at birth", "who may ask", "rights", "accounts"] {
            ensure!(health(what) == "Good", "{what}: {found:#?}");
        }
        let kinds =
            found.iter().filter(|one| one["what"].as_str().is_some_and(|what| what.starts_with("kind ")));
        ensure!(kinds.filter(|one| one["health"] == "Good").count() == 4, "{found:#?}");
        ensure!(health(&ours).is_null(), "nothing to say of ours: {found:#?}");
        let account = format!("account {}/promoter", desk.scene.namespace);
        ensure!(health(&account).is_null(), "the promoter may write what it should: {found:#?}");

        // The controller of these tests runs alone. What an election would leave is read as it stands.
        for (renewed, judged) in
            [("2020-01-01T00:00:00.000000Z", "Bad"), ("2999-01-01T00:00:00.000000Z", "Good")]
        {
            apply_object(&desk.scene.admin, lease(renewed)).await?;
            let (_, found) = findings("admin").await?;
            let one = found.iter().find(|one| one["what"] == "leader").context("a leader")?;
            ensure!(
                one["health"] == judged && one["message"].as_str().is_some_and(|m| m.contains("a-replica")),
                "{one:#}"
            );
        }

        desk.scene.grant(&[]).await?;
        desk.scene.push("0.28.1").await?;
        desk.scene
            .until("otel", "the policy is stalled", |status| {
                ensure!(status.condition("Stalled").1 == "Forbidden", "it is not");
                Ok(())
            })
            .await?;
        let (code, found) = findings("admin").await?;
        let promoter =
            found.iter().find(|one| one["what"] == *account).with_context(|| format!("{found:#?}"))?;
        let said = promoter["message"].as_str().unwrap_or_default();
        for right in
            ["may not patch pods in namespace", "may not create imagepins.lockkeeper.dev in namespace"]
        {
            ensure!(promoter["health"] == "Bad" && said.contains(right), "{promoter:#}");
        }
        // A controller that may not act as it is another one's here: an account without that right.
        let stranger = desk.runs(&["check", "-o", "json", "--service-account", "nobody"]).await?;
        ensure!(stranger.out.contains("the controller may not act as it"), "{stranger:?}");
        let one = found.iter().find(|one| one["what"] == *ours).with_context(|| format!("{found:#?}"))?;
        ensure!(code == 6 && one["health"] == "Bad", "{code}: {one:#}");
        ensure!(one["then"].as_str().is_some_and(|then| then.contains("lockkeeper explain otel")), "{one:#}");

        // Who may read nothing is told so, and nothing counts as healthy.
        let (_, found) = findings("alice").await?;
        let unknown = found.iter().filter(|one| one["health"] == "Unknown").count();
        ensure!(unknown >= 6, "{found:#?}");
        desk.scene.finish().await
    });
}
