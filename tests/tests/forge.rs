//! Requests to merge at a real Gitea, a stand-in for the tool that applies the repository, and a real API server,
//! kube-controller-manager and registry with simulated nodes.

use anyhow::{Context as _, Result, ensure};
use e2e::forge::{BOT, Gitea, REVIEWER};
use e2e::git::{FILE, credential, written};
use e2e::install::{install, start_controller_with};
use e2e::scene::Scene;
use e2e::{Test, run};
use serde_json::{Value, json};

/// Fewer than have waves: what those are is another test's.
const PODS: usize = 2;
const LABEL: &str = "images";

fn target(url: &str) -> Value {
    json!([{
        "git": {
            "url": url, "branch": "main", "secretRef": {"name": "deploy-bot"},
            "edits": [{"marker": {"path": FILE}}],
            "pullRequest": {"provider": "gitea", "labels": [LABEL], "reviewers": [REVIEWER]},
        },
        "observe": {"pods": {"selector": {"matchLabels": {"telemetry": "otel"}}, "containers": ["otel"]}},
    }])
}

/// The stage waits for its request, which is the newest, and says where it is. So many requests were ever made.
async fn awaits_merge(scene: &Scene<'_>, gitea: &Gitea, tag: &str, requests: usize) -> Result<Value> {
    let status = scene
        .until("otel", &format!("the request for {tag} is awaited"), |status| {
            let (stage, wanted) = (status.stage(), format!("{tag} "));
            let message = stage["message"].as_str().unwrap_or_default();
            ensure!(stage["reason"] == "AwaitingMerge" && message.starts_with(&wanted), "{stage:#}");
            Ok(())
        })
        .await?;
    let all = gitea.requests().await?;
    ensure!(all.len() == requests, "{requests} requests: {all:#?}");
    let request = all.into_iter().next().context("a request")?;
    let (message, url) = (&status.stage()["message"], request["html_url"].as_str().context("an address")?);
    ensure!(message.as_str().is_some_and(|message| message.contains(url)), "{url} is not in {message}");
    let title = request["title"].as_str().unwrap_or_default();
    ensure!(request["state"] == "open" && title.contains(&format!("otel:{tag} in only")), "{request:#}");
    Ok(request)
}

fn number(request: &Value) -> Result<u64> {
    request["number"].as_u64().context("a number")
}

#[test]
fn a_release_is_one_request_of_a_real_forge_taken_over_by_a_newer_one_merged_and_the_next_rejected() {
    run(
        "a_release_is_one_request_of_a_real_forge_taken_over_by_a_newer_one_merged_and_the_next_rejected",
        async |test: &Test| -> Result<()> {
            test.bed.kubelet().await?;
            install(test.bed).await?;
            let namespace = test.namespace("forge").await?;
            let first = format!("{}:0.28.0", test.bed.registry().repository(&format!("{namespace}/otel")));
            let mut gitea = Gitea::start(&written(&namespace, &first), LABEL).await?;
            let controller =
                start_controller_with(test.bed, "lockkeeper", &["--allow-host", &gitea.host]).await?;
            let scene = Scene::on(test.bed, test.admin.clone(), namespace, &controller).await?;
            let old = scene.push_first().await?;
            scene.apply(scene.deployment("shop", PODS, &first)).await?;
            scene.all_run(&old.digest, PODS).await?;
            gitea.apply_to(scene.api(), "shop");
            let secret = [
                ("username", BOT),
                ("password", gitea.token.as_str()),
                ("ca.crt", gitea.certificate.as_str()),
            ];
            credential(&scene, &secret).await?;
            scene.apply(scene.policy(&target(&gitea.url()))).await?;
            scene.holds(&old.digest).await.context("adoption")?;
            ensure!(gitea.requests().await?.is_empty(), "adoption asks for nothing");

            scene.push("0.28.1").await?;
            let request = awaits_merge(&scene, &gitea, "0.28.1", 1).await?;
            ensure!(request["labels"][0]["name"] == LABEL, "{:#}", request["labels"]);
            let reviewer = &request["requested_reviewers"][0]["login"];
            ensure!(*reviewer == REVIEWER, "{reviewer}");
            ensure!(gitea.file("main").await? == written(&scene.namespace, &first), "main is not pushed to");

            // The controller is killed; what it finds again is the same request, which a newer release comes into.
            controller.kill().await?;
            let newer = scene.push("0.28.2").await?;
            controller.restart().await?;
            let same = awaits_merge(&scene, &gitea, "0.28.2", 1).await.context("a newer release")?;
            ensure!(same["number"] == request["number"], "it is brought up to date in place: {same:#}");
            gitea.merge(number(&same)?).await?;
            scene.all_run(&newer.digest, PODS).await?;
            let status = scene.holds(&newer.digest).await?;
            let image = format!("{}@{}", newer.tagged("0.28.2"), newer.digest);
            ensure!(gitea.file("main").await? == written(&scene.namespace, &image), "only the pin changed");
            ensure!(status.stage()["git"][0]["digest"] == newer.digest, "{:#}", status.stage());

            scene.push("0.28.3").await?;
            let unwanted = awaits_merge(&scene, &gitea, "0.28.3", 2).await.context("the next release")?;
            gitea.close(number(&unwanted)?).await?;
            let status = scene
                .until("otel", "the release is rejected", |status| {
                    let stage = status.stage();
                    ensure!(stage["phase"] == "Idle" && stage["reason"] == "Refused", "{stage:#}");
                    Ok(())
                })
                .await?;
            ensure!(status.stage()["current"] == newer.digest, "{:#}", status.stage());
            scene.all_run(&newer.digest, PODS).await?;
            let told = scene.event("PutBack").await?;
            ensure!(told.contains("was closed unmerged"), "{told}");
            ensure!(!controller.log()?.contains(&gitea.token), "the token is in the log");
            scene.finish().await?;
            gitea.stop().await?;
            controller.terminate().await
        },
    );
}
