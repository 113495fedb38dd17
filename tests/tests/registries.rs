//! Real registries that ask who one is: htpasswd over TLS with an authority of our own, and tokens. Every way to select
//! runs from the listing to the pods, and a login is rotated meanwhile. What the tests and benchmarks ask instead of a
//! real registry is checked against the real one.
//!
//! The nodes pull through a mirror, the bed's own registry over the same storage, which asks nobody: the simulated
//! kubelet knows no pull secrets and no TLS.

#[path = "registries/cloud.rs"]
mod cloud;
#[path = "registries/contract.rs"]
mod contract;
#[path = "registries/locked.rs"]
mod locked;
#[path = "registries/synthetic.rs"]
mod synthetic;

use anyhow::{Context as _, Result, ensure};
use e2e::controller::program;
use e2e::install::{install, start_controller_with};
use e2e::scene::Scene;
use e2e::{Controller, Image, Pushed, Test, kubelet, run};
use futures::future::try_join_all;
use serde_json::{Value, json};

use locked::{Login, Registries};

/// The tag that the application's authors wrote, which is no release.
const IGNORED: &str = "^latest$";

/// One way to select: what a policy says, the same as flags, and the tags of the old and the new release.
struct Way {
    name: &'static str,
    select: Value,
    flags: &'static [&'static str],
    old: &'static str,
    new: &'static str,
    /// The registry that gives tokens, else the one with TLS.
    by_token: bool,
}

fn ways() -> Vec<Way> {
    let way = |name, mut select: Value, flags, old, new, by_token| {
        if name != "digest" {
            select["ignoreTags"] = json!([IGNORED]);
        }
        Way { name, select, flags, old, new, by_token }
    };
    vec![
        way(
            "semver",
            json!({"semver": {"range": ">=1.0"}}),
            &["--semver", ">=1.0"],
            "v1.9.0",
            "v1.10.0",
            false,
        ),
        way(
            "alphabetical",
            json!({"alphabetical": {"order": "asc"}}),
            &["--alphabetical", "asc"],
            "b-1",
            "c-0",
            true,
        ),
        way(
            "numerical",
            json!({"numerical": {"order": "asc"}, "filterTags": {"pattern": "^build-([0-9]+)$", "extract": "$1"}}),
            &["--numerical", "asc", "--filter", "^build-([0-9]+)$", "--extract", "$1"],
            "build-9",
            "build-10",
            false,
        ),
        way("newestbuild", json!({"newestBuild": {}}), &["--newest-build"], "z", "a", true),
        way(
            "digest",
            json!({"digest": {"tag": "latest"}}),
            &["--digest", "latest"],
            "latest",
            "latest",
            false,
        ),
    ]
}

#[test]
fn every_way_to_select_runs_end_to_end_while_a_login_is_rotated() {
    run("every_way_to_select_runs_end_to_end_while_a_login_is_rotated", async |test| -> Result<()> {
        let registries = Registries::start(test.bed).await?;
        let mirror = test.bed.registry().host().to_owned();
        let mirrors = registries.hosts().map(|host| (host, mirror.clone())).into();
        let settings = kubelet::Settings { mirrors, ..kubelet::Settings::nodes("sim", 4) };
        let _kubelet = test.bed.start_kubelet(settings).await?;
        install(test.bed).await?;
        let allowed = registries.allowed();
        let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
        let controller = start_controller_with(test.bed, "lockkeeper", &allowed).await?;
        let first = Login::first();
        let ways = ways();
        let begun = ways.iter().map(|way| begin(test, &controller, &registries, way, &first));
        let scenes = try_join_all(begun).await?;

        // The Secrets first: what is in use is refused by and by, and read again then.
        let second = Login::second();
        for (scene, way) in scenes.iter().zip(&ways) {
            scene.apply(registries.secret(way.by_token, &second)).await?;
        }
        registries.accept(&second)?;
        let all = scenes.iter().zip(&ways).map(|(scene, way)| follow(scene, &registries, way, &second));
        let released = try_join_all(all).await?;
        let log = controller.log()?;
        ensure!(!log.contains("AuthFailed"), "somebody saw that the old login was refused:\n{log}");
        for secret in first.secrets().into_iter().chain(second.secrets()) {
            ensure!(!log.contains(&secret), "a credential is in the log");
        }
        ensure!(registries.tokens_given() > 0, "no token was asked for");

        // Whoever may, deletes: the release is gone from the listing, and the one before it is the newest.
        let (scene, way, new) = (&scenes[0], &ways[0], &released[0]);
        registries.delete(&format!("{}/otel", scene.namespace), &new.digest, &second).await?;
        let chosen = select(scene, &registries, way, &second).await?;
        ensure!(chosen["chosen"]["tag"] == way.old, "{chosen:#}");
        for scene in scenes {
            scene.finish().await?;
        }
        controller.terminate().await?;
        registries.stop().await
    });
}

/// Two pods of an application that runs the old release, and a policy that finds it by one way to select.
async fn begin<'b>(
    test: &'b Test,
    controller: &'b Controller,
    registries: &Registries,
    way: &Way,
    login: &Login,
) -> Result<Scene<'b>> {
    let namespace = test.namespace(way.name).await?;
    let scene = Scene::on(test.bed, test.admin.clone(), namespace, controller).await?;
    for object in reader() {
        scene.apply(object).await?;
    }
    scene.apply(registries.secret(way.by_token, login)).await?;
    scene.apply(registries.certificates()).await?;

    let old = push(&scene, way.old, "2026-01-01T00:00:00Z").await?;
    if way.old != "latest" {
        scene.bed.registry().tag(&format!("{}/otel", scene.namespace), way.old, "latest").await?;
    }
    let image = repository(&scene, registries, way);
    scene.apply(scene.deployment("shop", 2, &format!("{image}:latest"))).await?;
    scene.all_run(&old.digest, 2).await?;
    let mut policy = scene.policy(&Scene::pods_target());
    policy["spec"]["image"] = json!(image);
    policy["spec"]["select"] = way.select.clone();
    policy["spec"]["registry"] = Registries::settings(way.by_token);
    scene.apply(policy).await?;
    scene.holds(&old.digest).await.with_context(|| format!("adoption by {}", way.name))?;
    Ok(scene)
}

/// The new release is pushed, chosen, and runs; the command line says the same.
async fn follow(scene: &Scene<'_>, registries: &Registries, way: &Way, login: &Login) -> Result<Pushed> {
    let new = push(scene, way.new, "2026-02-01T00:00:00Z").await?;
    scene.holds(&new.digest).await.with_context(|| format!("by {}", way.name))?;
    for pod in scene.all_run(&new.digest, 2).await? {
        let image = e2e::scene::image(&pod);
        // A tag that moves is no name for a digest.
        let tag = if way.name == "digest" { String::new() } else { format!(":{}", way.new) };
        let pin = format!("{}{tag}@{}", repository(scene, registries, way), new.digest);
        ensure!(image == pin, "{image} instead of {pin}");
    }
    let chosen = select(scene, registries, way, login).await?;
    ensure!(chosen["chosen"]["tag"] == way.new, "select by {}: {chosen:#}", way.name);
    let tagged = format!("{}:{}", repository(scene, registries, way), way.new);
    let found = asked(&["resolve", &tagged, "-o", "json"], &access(scene, registries, way, login)?).await?;
    ensure!(found["digest"] == new.digest.as_str(), "resolve {tagged}: {found:#}");
    ensure!(found["signatures"] == "absent" && found["size"].as_u64() > Some(0), "{found:#}");
    Ok(new)
}

/// What the pods and the policy name.
fn repository(scene: &Scene<'_>, registries: &Registries, way: &Way) -> String {
    format!("{}/{}/otel", registries.host(way.by_token), scene.namespace)
}

async fn push(scene: &Scene<'_>, tag: &str, created: &str) -> Result<Pushed> {
    let release = Image::release(&format!("{tag} of {} from {created}", scene.namespace));
    let image = Image { created: created.to_owned(), ..release };
    scene.bed.registry().push(&format!("{}/otel", scene.namespace), tag, &image).await
}

fn access(scene: &Scene<'_>, registries: &Registries, way: &Way, login: &Login) -> Result<Vec<String>> {
    registries.flags(way.by_token, login, scene.bed.folder(), way.name)
}

/// What the command line selects from the same listing.
async fn select(scene: &Scene<'_>, registries: &Registries, way: &Way, login: &Login) -> Result<Value> {
    let image = repository(scene, registries, way);
    let mut args = vec!["select", &image, "-o", "json"];
    args.extend(way.flags);
    if way.name != "digest" {
        args.extend(["--ignore", IGNORED]);
    }
    asked(&args, &access(scene, registries, way, login)?).await
}

async fn asked(args: &[&str], access: &[String]) -> Result<Value> {
    let output = tokio::process::Command::new(program()?).args(args).args(access).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "lockkeeper {args:?}: {said}");
    serde_json::from_slice(&output.stdout).with_context(|| format!("lockkeeper {args:?} printed no JSON"))
}

/// The policy's account may read the two Secrets, and no other.
fn reader() -> [Value; 2] {
    let group = "rbac.authorization.k8s.io";
    let metadata = json!({"name": "registry-reader"});
    [
        json!({"apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": metadata, "rules": [{
            "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["registry", "authority"], "verbs": ["get"]}]}),
        json!({"apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "registry-reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "promoter"}]}),
    ]
}
