//! `git` targets: the real `http-backend` of git over HTTPS, a stand-in for the tool that applies the repository, and a
//! real API server, kube-controller-manager and registry with simulated nodes.

use anyhow::{Context as _, Result, ensure};
use e2e::git::{FILE, GitServer, TOKEN, USER, credential, written};
use e2e::install::{install, start_controller_with};
use e2e::scene::Scene;
use e2e::sshd::Sshd;
use e2e::{AuditEvent, PATIENCE, Pushed, Test, eventually, run};
use serde_json::{Value, json};

/// As many as a stage with waves has at least.
const PODS: usize = 8;

/// The stage holds this release, the file names it and nothing else of it changed, and so many commits are in the branch.
async fn delivered(
    scene: &Scene<'_>,
    server: &GitServer,
    release: &Pushed,
    tag: &str,
    commits: usize,
) -> Result<()> {
    scene.all_run(&release.digest, PODS).await?;
    let status = scene.holds(&release.digest).await?;
    let image = format!("{}@{}", release.tagged(tag), release.digest);
    ensure!(server.file().await? == written(&scene.namespace, &image), "{}", server.file().await?);
    let all = server.commits().await?;
    ensure!(all.len() == commits, "{commits} commits: {all:#?}");
    let git = &status.stage()["git"][0];
    ensure!(git["digest"] == release.digest && git["branch"] == "main", "{git:#}");
    let marks = all[0].matches("Lockkeeper-Attempt: ").count();
    ensure!(marks == 1 && all[0].contains(&format!("Lockkeeper-Digest: {}", release.digest)), "{}", all[0]);
    Ok(())
}

/// The file of this repository, and the pods that it leads to.
fn target(url: &str) -> Value {
    json!([{
        "git": {
            "url": url, "branch": "main", "secretRef": {"name": "deploy-bot"},
            "edits": [{"marker": {"path": FILE}}],
        },
        "observe": {"pods": {"selector": {"matchLabels": {"telemetry": "otel"}}, "containers": ["otel"]}},
    }])
}

/// How many moves of running pods to this release there were, as the API server has them on record.
fn moved_to(scene: &Scene<'_>, release: &Pushed) -> Result<usize> {
    let moves = scene.writes_of("pods")?;
    let of = |event: &AuditEvent| {
        event.request_object.as_ref().is_some_and(|body| body.to_string().contains(&release.digest))
    };
    Ok(moves.iter().filter(|event| event.verb == "patch" && of(event)).count())
}

#[test]
fn g2_through_git_a_release_is_one_commit_though_the_controller_is_killed_and_goes_back_by_a_commit() {
    run(
        "g2_through_git_a_release_is_one_commit_though_the_controller_is_killed_and_goes_back_by_a_commit",
        async |test: &Test| -> Result<()> {
            test.bed.kubelet().await?;
            install(test.bed).await?;
            let namespace = test.namespace("git").await?;
            let first = format!("{}:0.28.0", test.bed.registry().repository(&format!("{namespace}/otel")));
            let mut server = GitServer::start(&written(&namespace, &first)).await?;
            let args = ["--allow-host", &server.host];
            let controller = start_controller_with(test.bed, "lockkeeper", &args).await?;
            let scene = Scene::on(test.bed, test.admin.clone(), namespace, &controller).await?;
            let old = scene.push_first().await?;
            scene.apply(scene.deployment("shop", PODS, &first)).await?;
            scene.all_run(&old.digest, PODS).await?;
            server.apply_to(scene.api(), "shop");
            let certificate = server.certificate.clone();
            let authority = ("ca.crt", certificate.as_str());
            credential(&scene, &[("username", USER.0), ("password", USER.1), authority]).await?;
            scene.apply(scene.policy(&target(&server.url()))).await?;
            scene.holds(&old.digest).await.context("adoption")?;
            ensure!(server.commits().await?.len() == 1, "adoption commits nothing");

            let new = scene.push("0.28.1").await?;
            delivered(&scene, &server, &new, "0.28.1", 2).await.context("promotion")?;
            ensure!(moved_to(&scene, &new)? >= 2, "its wave was on running pods");

            // Killed when the push has landed and nobody has heard of it.
            server.hold_replies(true);
            let newer = scene.push("0.28.2").await?;
            eventually("the push lands", PATIENCE, async || {
                ensure!(server.landed() == 2, "{} pushes", server.landed());
                Ok(())
            })
            .await?;
            controller.kill().await?;
            server.hold_replies(false);
            controller.restart().await?;
            delivered(&scene, &server, &newer, "0.28.2", 3).await.context("after the kill")?;

            // The credential is rotated, and is another kind of one.
            server.only_token();
            credential(&scene, &[("token", TOKEN), authority]).await?;
            let put_back = moved_to(&scene, &new)?;
            scene
                .apply(json!({
                    "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "Intervention", "metadata": {"name": "back"},
                    "spec": {"policyRef": {"name": "otel"}, "stages": ["only"], "action": "RollBack", "digest": newer.digest,
                             "reason": "it is slow"},
                }))
                .await?;
            delivered(&scene, &server, &new, "0.28.1", 4).await.context("rollback")?;
            ensure!(server.commits().await?[0].contains("take back to"), "{:?}", server.commits().await?);
            ensure!(moved_to(&scene, &newer)? >= 2, "though the controller was killed");
            ensure!(moved_to(&scene, &new)? > put_back, "pods were put back in place beside the commit");
            for resource in ["deployments", "imagepins"] {
                ensure!(scene.writes_of(resource)?.is_empty(), "{resource} are the tool's to write");
            }
            for secret in [USER.1, TOKEN] {
                ensure!(!controller.log()?.contains(secret), "a credential is in the log");
            }
            scene.finish().await?;
            controller.terminate().await
        },
    );
}

#[test]
fn g5_over_ssh_a_release_is_committed_and_a_server_with_another_host_key_is_told_nothing() {
    run(
        "g5_over_ssh_a_release_is_committed_and_a_server_with_another_host_key_is_told_nothing",
        async |test: &Test| -> Result<()> {
            test.bed.kubelet().await?;
            install(test.bed).await?;
            let namespace = test.namespace("ssh").await?;
            let first = format!("{}:0.28.0", test.bed.registry().repository(&format!("{namespace}/otel")));
            let mut server = GitServer::start(&written(&namespace, &first)).await?;
            let ssh = Sshd::start().await?;
            let controller =
                start_controller_with(test.bed, "lockkeeper", &["--allow-host", &ssh.host]).await?;
            let scene = Scene::on(test.bed, test.admin.clone(), namespace, &controller).await?;
            let old = scene.push_first().await?;
            scene.apply(scene.deployment("shop", PODS, &first)).await?;
            scene.all_run(&old.digest, PODS).await?;
            server.apply_to(scene.api(), "shop");
            let known_hosts = ssh.known_hosts()?;
            credential(&scene, &[("identity", ssh.identity.as_str()), ("known_hosts", known_hosts.as_str())])
                .await?;
            scene.apply(scene.policy(&target(&server.url_over(&ssh)))).await?;
            scene.holds(&old.digest).await.context("adoption")?;
            let new = scene.push("0.28.1").await?;
            delivered(&scene, &server, &new, "0.28.1", 2).await.context("promotion")?;

            ssh.change_host_key().await?;
            scene.push("0.28.2").await?;
            let status = scene
                .until("otel", "the changed host key is said", |status| {
                    let stage = status.stage();
                    let why = stage["message"].as_str().unwrap_or_default();
                    ensure!(stage["reason"] == "GitFailed" && why.contains("another host key"), "{why}");
                    Ok(())
                })
                .await?;
            ensure!(status.stage()["phase"] == "Applying", "{:#}", status.stage());
            ensure!(server.commits().await?.len() == 2, "nothing was pushed");
            let secret = ssh.identity.lines().nth(1).context("a line of the key")?;
            ensure!(!controller.log()?.contains(secret), "the key is in the log");
            scene.finish().await?;
            ssh.stop().await?;
            controller.terminate().await
        },
    );
}
