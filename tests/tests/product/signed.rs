//! `select.verify`: what nobody signed, or somebody else, is not taken; what is signed is.

use anyhow::{Context as _, Result, ensure};
use e2e::controller::program;
use e2e::gate::Gate;
use e2e::image::SigningKey;
use e2e::scene::{Scene, gate};
use e2e::{Pushed, run};
use serde_json::{Value, json};

use crate::{moves, pods, waits};

fn secret(name: &str, key: &SigningKey) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
        "stringData": {"cosign.pub": key.public_pem()},
    })
}

/// Lets the promoter read Secrets, and has the first release adopted by a policy that asks for this Secret's signature, which
/// `change` was made to.
async fn asks_for(scene: &Scene<'_>, key: &SigningKey, change: impl FnOnce(&mut Value)) -> Result<Pushed> {
    let group = "rbac.authorization.k8s.io";
    let named = json!({"name": "reads-keys"});
    scene
        .apply(json!({
            "apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": named,
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
        }))
        .await?;
    scene
        .apply(json!({
            "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": named,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "reads-keys"},
            "subjects": [{"kind": "ServiceAccount", "name": "promoter", "namespace": scene.namespace}],
        }))
        .await?;
    scene.apply(secret("cosign-pub", key)).await?;
    let old = pods(scene, 2).await?;
    let mut policy = scene.policy(&Scene::pods_target());
    policy["spec"]["select"]["verify"] = json!({"cosign": {"secretRef": {"name": "cosign-pub"}}});
    change(&mut policy["spec"]);
    scene.apply(policy).await?;
    scene.holds(&old.digest).await?;
    Ok(old)
}

/// Waits until the status says this of a tag; returns the message.
async fn tag_is(scene: &Scene<'_>, tag: &str, reason: &str) -> Result<String> {
    let of = |status: &Value| {
        let all = status["tags"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|one| one["tag"] == tag).unwrap_or_default()
    };
    let status = scene
        .until("otel", &format!("tag {tag} is {reason}"), |status| {
            ensure!(of(&status.0)["reason"] == reason, "it is not");
            Ok(())
        })
        .await?;
    Ok(of(&status.0)["message"].as_str().unwrap_or_default().to_owned())
}

/// `lockkeeper select` with the key in a file says of the registry's tags what the status does.
async fn same_without_a_cluster(scene: &Scene<'_>, key: &SigningKey) -> Result<()> {
    let mut policy = scene.policy(&Scene::pods_target());
    policy["spec"]["select"]["verify"] = json!({"cosign": {"secretRef": {"name": "cosign-pub"}}});
    let file = |name: &str| scene.bed.folder().join(format!("{}-{name}", scene.namespace));
    let (policy_file, key_file) = (file("policy.json"), file("cosign.pub"));
    std::fs::write(&policy_file, policy.to_string())?;
    std::fs::write(&key_file, key.public_pem())?;
    let mut command = tokio::process::Command::new(program()?);
    command.args(["select", "-o", "json", "--allow-host", scene.bed.registry().host(), "--insecure"]);
    command.arg("-f").arg(policy_file).arg("--cosign-key").arg(key_file);
    let output = command.output().await?;
    let found: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let reason = |tag: &str| {
        let all = found["tags"].as_array().into_iter().flatten();
        all.filter(|one| one["tag"] == tag).map(|one| one["reason"].clone()).collect::<Value>()
    };
    ensure!(found["chosen"]["tag"] == "0.28.1", "{found:#}");
    ensure!(reason("0.28.2") == json!(["SignedByOther"]), "{found:#}");
    Ok(())
}

#[test]
fn what_is_not_signed_is_refused_and_what_is_signed_in_either_form_is_promoted() {
    run(
        "what_is_not_signed_is_refused_and_what_is_signed_in_either_form_is_promoted",
        async |test| -> Result<()> {
            let scene = Scene::set(test, "signed").await?;
            let (key, other) = (SigningKey::new()?, SigningKey::new()?);
            asks_for(&scene, &key, |_| {}).await?;
            let (registry, path) = (scene.bed.registry(), format!("{}/otel", scene.namespace));

            let one = scene.push("0.28.1").await?;
            let message = tag_is(&scene, "0.28.1", "Unsigned").await?;
            ensure!(message.contains("cosign-pub"), "{message}");
            scene.event("Unsigned").await?;
            ensure!(moves(&scene)?.is_empty(), "a pod was given what nobody signed");
            key.sign_older(&registry, &path, &one.digest).await?;
            scene.holds(&one.digest).await?;
            scene.all_run(&one.digest, 2).await?;

            let before = moves(&scene)?.len();
            let two = scene.push("0.28.2").await?;
            other.sign_bundle(&registry, &path, &two.digest).await?;
            // The key's signature of another image, under this one's tag: genuine, and worth nothing here.
            let tag = |pushed: &Pushed| format!("{}.sig", pushed.digest.replace(':', "-"));
            registry.tag(&path, &tag(&one), &tag(&two)).await?;
            let message = tag_is(&scene, "0.28.2", "SignedByOther").await?;
            ensure!(message.contains("none of the keys") || message.contains("another image"), "{message}");
            ensure!(moves(&scene)?.len() == before, "a pod was given what somebody else signed");
            same_without_a_cluster(&scene, &key).await?;
            key.sign_bundle(&registry, &path, &two.digest).await?;
            scene.holds(&two.digest).await?;
            scene.all_run(&two.digest, 2).await?;
            scene.finish().await
        },
    );
}

#[test]
fn r2_i8_while_nobody_can_look_for_signatures_a_release_waits_and_goes_on_when_they_are_back() {
    run(
        "r2_i8_while_nobody_can_look_for_signatures_a_release_waits_and_goes_on_when_they_are_back",
        async |test| -> Result<()> {
            let scene = Scene::set(test, "unseen").await?;
            let (registry, path) = (scene.bed.registry(), format!("{}/otel", scene.namespace));
            let gate_at = gate()?;
            let before_it = Gate::start(gate_at, registry.host()).await?;
            let key = SigningKey::new()?;
            // Pods pull from the registry itself, as through a mirror; the gate stands before what the policy asks.
            asks_for(&scene, &key, |spec| {
                spec["pullFrom"] = json!([spec["image"]]);
                spec["image"] = json!(format!("{gate_at}/{path}"));
            })
            .await?;
            // Tags and manifests are answered for; where signatures lie is not.
            before_it.shut(|path| path.contains("/referrers/") || path.contains("/manifests/sha256-"));
            let signed = scene.push("0.28.1").await?;
            key.sign_older(&registry, &path, &signed.digest).await?;
            let message = waits(&scene, "SignatureUnknown").await?;
            ensure!(message.contains("0.28.1") && message.contains("since"), "{message}");
            let told = scene.events().await?;
            let refused = |(reason, note): &(String, String)| {
                (reason == "Unsigned" || reason == "SignedByOther") && note.contains("0.28.1")
            };
            ensure!(!told.iter().any(refused), "nobody could look: that is neither: {told:?}");
            ensure!(moves(&scene)?.is_empty(), "a pod was given what nobody could look at");
            before_it.shut(|_| false);
            scene.holds(&signed.digest).await?;
            scene.all_run(&signed.digest, 2).await?;
            scene.finish().await
        },
    );
}
