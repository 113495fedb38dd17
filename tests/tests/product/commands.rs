//! What the commands print, and what `kubectl get lkp` would, is what the API server holds.

use anyhow::{Context as _, Result, ensure};
use e2e::controller::program;
use e2e::run;
use e2e::scene::Scene;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::ListParams;
use lockkeeper_api::ImagePolicy;
use serde_json::{Value, json};

use crate::{adopted, moves, pods};

/// Runs `lockkeeper` as the administrator: its exit code, standard output and standard error.
async fn lockkeeper(scene: &Scene<'_>, args: &[&str]) -> Result<(i32, String, String)> {
    let kubeconfig = scene.bed.folder().join(format!("{}.kubeconfig", scene.namespace));
    scene.bed.write_kubeconfig_of("admin", &kubeconfig)?;
    let output =
        tokio::process::Command::new(program()?).args(args).env("KUBECONFIG", &kubeconfig).output().await?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).context("no UTF-8");
    Ok((output.status.code().unwrap_or(-1), text(output.stdout)?, text(output.stderr)?))
}

/// The table that `kubectl get lkp` prints, as column to cell.
async fn columns(scene: &Scene<'_>) -> Result<Vec<(String, String)>> {
    let path = format!("/apis/lockkeeper.dev/v1alpha1/namespaces/{}/imagepolicies/otel", scene.namespace);
    let request = http::Request::get(path)
        .header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(Vec::new())?;
    let table: Value = scene.admin.request(request).await?;
    let names = table["columnDefinitions"].as_array().context("no columns")?;
    let cells = table["rows"][0]["cells"].as_array().context("no row")?;
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Ok(names.iter().zip(cells).map(|(name, cell)| (text(&name["name"]), text(cell))).collect())
}

#[test]
fn what_is_printed_is_true() {
    run("what_is_printed_is_true", async |test| -> Result<()> {
        let scene = Scene::set(test, "printed").await?;
        let old = adopted(&scene, |_| {}).await?;
        let new = scene.push("0.28.1").await?;
        scene.holds(&new.digest).await?;
        // The last sentence before nothing is written any more.
        let status = scene
            .until("otel", "it is at rest", |status| {
                let message = status.stage()["message"].as_str().unwrap_or_default();
                ensure!(message.starts_with("0.28.1 is verified:"), "not yet");
                Ok(())
            })
            .await?;

        let (code, table, errors) =
            lockkeeper(&scene, &["get", "-n", &scene.namespace, "-o", "wide"]).await?;
        ensure!(code == 0 && errors.is_empty(), "{code}: {errors}");
        let line = table.lines().nth(1).context("no line")?;
        let cells: Vec<&str> = line.split_whitespace().take(5).collect();
        ensure!(cells == ["otel", "only", "Idle", "0.28.1", "-"], "{table}");
        ensure!(line.contains(status.stage()["message"].as_str().context("message")?), "{table}");
        let (_, table, _) = lockkeeper(&scene, &["get", "-A"]).await?;
        let ours =
            table.lines().find(|line| line.starts_with(&scene.namespace)).context("no line of ours")?;
        let cells: Vec<&str> = ours.split_whitespace().take(6).collect();
        ensure!(cells == [&scene.namespace, "otel", "only", "0.28.1", "Idle", "True"], "{table}");

        let (code, json, errors) =
            lockkeeper(&scene, &["get", "otel", "-n", &scene.namespace, "-o", "json"]).await?;
        ensure!(code == 0, "{errors}");
        let printed: Value = serde_json::from_str(&json)?;
        let printed: ImagePolicy = serde_json::from_value(printed)?;
        let policies: Api<ImagePolicy> = Api::namespaced(scene.admin.clone(), &scene.namespace);
        let held = policies.get("otel").await?;
        ensure!(printed.spec == held.spec && printed.status == held.status, "{json}\n{held:#?}");

        let (code, _, errors) = lockkeeper(&scene, &["get", "nobody", "-n", &scene.namespace]).await?;
        ensure!(code == 3 && errors.contains("nobody"), "{code}: {errors}");
        let (code, _, _) = lockkeeper(&scene, &["get", "--no-such-flag"]).await?;
        ensure!(code == 2, "{code}");

        let columns = columns(&scene).await?;
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        ensure!(names == ["Name", "Image", "Stages", "Phase", "Ready", "Message", "Age"], "{columns:?}");
        let cell = |name: &str| columns.iter().find(|(n, _)| n == name).map_or("", |(_, cell)| cell.as_str());
        ensure!(cell("Image") == old.repository && cell("Stages") == "only 0.28.1", "{columns:?}");
        ensure!(cell("Phase") == "Idle" && cell("Ready") == "True", "{columns:?}");
        ensure!(cell("Message").contains("0.28.1"), "{columns:?}");
        ejected(&scene, &old.tagged("latest"), &format!("{}@{}", new.tagged("0.28.1"), new.digest)).await?;
        ensure!(moves(&scene)?.len() == 3, "looking moves nothing");
        scene.finish().await
    });
}

/// `lockkeeper eject` writes what the stage holds into a folder of manifests, which the API server takes.
async fn ejected(scene: &Scene<'_>, before: &str, after: &str) -> Result<()> {
    let folder = scene.bed.folder().join(format!("{}-manifests", scene.namespace));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("other.yaml"), "otel: {{ not: ours }}")?;
    let file = folder.join("web.json");
    let manifest = scene.deployment("web", 2, before);
    std::fs::write(&file, serde_json::to_string_pretty(&manifest)?)?;
    let named = file.display().to_string();
    let args = ["eject", "otel", "-n", &scene.namespace, &named, "--write"];
    let (code, _, errors) = lockkeeper(scene, &args).await?;
    ensure!(code == 0 && errors.contains("wrote"), "{code}: {errors}");
    let written: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    ensure!(written == scene.deployment("web", 2, after), "{written:#}");
    let (code, _, errors) = lockkeeper(scene, &args).await?;
    ensure!(code == 0 && errors.contains("nothing to change"), "{code}: {errors}");
    let folder = folder.display().to_string();
    let (code, _, errors) = lockkeeper(scene, &["eject", "otel", "-n", &scene.namespace, &folder]).await?;
    ensure!(code == 4 && errors.contains("other.yaml"), "a template that may hold it: {code}: {errors}");
    scene.apply(written).await.map(drop)
}

#[test]
fn the_printed_definitions_are_the_served_ones() {
    run("the_printed_definitions_are_the_served_ones", async |test| -> Result<()> {
        let scene = Scene::set(test, "crd").await?;
        let (code, text, errors) = lockkeeper(&scene, &["crd"]).await?;
        ensure!(code == 0 && errors.is_empty(), "{code}: {errors}");
        let printed: Vec<CustomResourceDefinition> = serde_saphyr::from_multiple(&text)?;
        ensure!(printed.len() == 4, "{} definitions", printed.len());
        let definitions: Api<CustomResourceDefinition> = Api::all(scene.admin.clone());
        for one in printed {
            let name = one.metadata.name.clone().context("a definition without a name")?;
            let served = definitions.get(&name).await?;
            let fields = |definition: &CustomResourceDefinition| -> Result<Value> {
                Ok(serde_json::to_value(&definition.spec.versions)?)
            };
            ensure!(fields(&one)? == fields(&served)?, "{name} is served otherwise than it is printed");
        }
        scene.finish().await
    });
}

#[test]
fn a_plan_says_what_would_be_and_what_is_missing_and_writes_nothing() {
    run("a_plan_says_what_would_be_and_what_is_missing_and_writes_nothing", async |test| -> Result<()> {
        let scene = Scene::set(test, "plan").await?;
        let old = pods(&scene, 3).await?;
        let mut policy = scene.policy(&Scene::pods_target());
        policy["metadata"]["namespace"] = json!(scene.namespace);
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), policy.to_string())?;
        let registry = scene.bed.registry();
        let path = file.path().to_str().context("a path that is no text")?;
        let args = ["plan", "--file", path, "--allow-host", registry.host()];
        let writes = || -> Result<usize> {
            let mut all = scene.bed.audit()?;
            let kinds = ["pods", "imagepins", "imagepolicies", "quarantines", "interventions", "deployments"];
            all.retain(|event| event.object().namespace == scene.namespace);
            all.retain(|event| kinds.contains(&event.object().resource.as_str()));
            Ok(all.len())
        };
        let before = writes()?;
        let (code, text, errors) = lockkeeper(&scene, &args).await?;
        ensure!(code == 0, "{code}: {text}\n{errors}");
        for said in ["matches: 3 pods, 3 of them ready", "candidate: 0.28.0", "tags: 1 admitted"] {
            ensure!(text.contains(said), "{said}: {text}");
        }
        // A pin that changes on the way is shown with all it would be; what it ends with is what counts.
        let pin = |text: &str| {
            let begins = format!("pin in {}: ", scene.namespace);
            text.lines().find_map(|line| line.trim_start().strip_prefix(&begins)).map(str::to_owned)
        };
        let wanted = format!("0.28.0@{}, only images with the tag latest", old.digest);
        ensure!(pin(&text).is_some_and(|pin| pin.ends_with(&wanted)), "{wanted}: {text}");
        let new = scene.push("0.28.1").await?;
        let (code, text, errors) = lockkeeper(&scene, &args).await?;
        ensure!(code == 0, "{code}: {text}\n{errors}");
        for said in ["would be: Applying", "candidate: 0.28.1", "tags: 2 admitted"] {
            ensure!(text.contains(said), "{said}: {text}");
        }
        let wanted = format!("0.28.1@{}", new.digest);
        ensure!(pin(&text).is_some_and(|pin| pin.ends_with(&wanted)), "{wanted}: {text}");

        scene.grant(&["pods"]).await?;
        let (code, text, _) = lockkeeper(&scene, &args).await?;
        ensure!(code == 6, "{code}: {text}");
        let missing = text.split("In the way:").nth(1).context("nothing is in the way")?;
        ensure!(missing.contains("imagepins") && missing.contains(&scene.namespace), "{text}");

        std::fs::write(file.path(), policy.to_string().replace("\"1s\"", "\"1\""))?;
        let (code, text, _) = lockkeeper(&scene, &args).await?;
        ensure!(code == 6 && text.contains("spec.interval"), "{code}: {text}");

        ensure!(writes()? == before, "a plan wrote something");
        for kind in ["ImagePolicy", "ImagePin", "Quarantine"] {
            let list = scene.ours(kind).list(&ListParams::default()).await?;
            ensure!(list.items.is_empty(), "{kind}: {list:?}");
        }
        scene.finish().await
    });
}
