//! Status is a subresource of its own, holds everything the controller writes, and feeds the columns.

use anyhow::{Context as _, Result, ensure};
use e2e::run;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use lockkeeper_api::{ImagePolicy, PolicyStatus};
use serde_json::{Value, json};

use super::{DIGEST, api, installed, object, pin_spec, policy_spec, refusal};

#[test]
fn row_43_status_is_written_by_its_own_right_only() {
    run("row_43_status_is_written_by_its_own_right_only", async |test| {
        installed(test).await?;
        let namespace = test.namespace("status").await?;
        may_edit_policies(&test.admin, &namespace, "alice").await?;
        let alice = api(&test.bed.client_of("alice").await?, &namespace, "ImagePolicy");

        let mut made = object("ImagePolicy", "otel", &policy_spec())?;
        made.data["status"] = json!({"phase": "Verified"});
        let mut made = e2e::eventually("alice may create policies", e2e::PATIENCE, async || {
            Ok(alice.create(&PostParams::default(), &made).await?)
        })
        .await?;
        ensure!(made.data.get("status").is_none(), "a status sent along is dropped: {}", made.data);
        made.data["status"] = json!({"phase": "Verified"});
        made.data["spec"]["interval"] = json!("6m");
        let made = alice.replace("otel", &PostParams::default(), &made).await?;
        ensure!(made.data.get("status").is_none() && made.data["spec"]["interval"] == "6m");

        let patch = Patch::Merge(json!({"status": {"phase": "Verified"}}));
        let status = refusal(alice.patch_status("otel", &PatchParams::default(), &patch).await)?;
        ensure!(status.code == 403, "{status:?}");

        let admin = api(&test.admin, &namespace, "ImagePolicy");
        let patch = Patch::Merge(json!({"status": {"phase": "Verified"}, "spec": {"interval": "7m"}}));
        let patched = admin.patch_status("otel", &PatchParams::default(), &patch).await?;
        ensure!(patched.data["status"]["phase"] == "Verified" && patched.data["spec"]["interval"] == "6m");
        Ok(())
    });
}

#[test]
fn nothing_of_a_full_status_is_dropped() {
    run("nothing_of_a_full_status_is_dropped", async |test| {
        installed(test).await?;
        let namespace = test.namespace("full").await?;
        let policies: Api<ImagePolicy> = Api::namespaced(test.admin.clone(), &namespace);
        let mut policy: ImagePolicy =
            serde_json::from_value(serde_json::to_value(object("ImagePolicy", "otel", &policy_spec())?)?)?;
        policy = policies.create(&PostParams::default(), &policy).await?;
        let status: PolicyStatus = serde_json::from_value(full_status()?)?;
        ensure!(status.unreadable.is_none(), "{:?}", status.unreadable);
        policy.status = Some(status.clone());
        let stored = policies.replace_status("otel", &PostParams::default(), &policy).await?;
        ensure!(stored.status.as_ref() == Some(&status), "{:#?}\n{:#?}", stored.status, status);
        // And as JSON, so that a field that the type forgets on the way shows, too.
        let raw = api(&test.admin, &namespace, "ImagePolicy").get("otel").await?;
        ensure!(
            fractions(raw.data["status"].clone()) == fractions(serde_json::to_value(&status)?),
            "{:#}",
            raw.data["status"]
        );
        Ok(())
    });
}

#[test]
fn the_columns_say_what_people_need() {
    run("the_columns_say_what_people_need", async |test| {
        installed(test).await?;
        let namespace = test.namespace("columns").await?;
        let policies = api(&test.admin, &namespace, "ImagePolicy");
        policies.create(&PostParams::default(), &object("ImagePolicy", "otel", &policy_spec())?).await?;
        let status = json!({"status": {"phase": "Soaking", "summary": "dev 0.31", "conditions": [{"type": "Ready",
            "status": "False", "reason": "Soaking", "message": "dev soaks until noon", "observedGeneration": 1,
            "lastTransitionTime": "2026-11-22T00:00:00Z"}]}});
        policies.patch_status("otel", &PatchParams::default(), &Patch::Merge(status)).await?;
        api(&test.admin, &namespace, "ImagePin")
            .create(&PostParams::default(), &object("ImagePin", "p", &pin_spec(DIGEST))?)
            .await?;
        let quarantine = json!({"digest": DIGEST, "tag": "0.29.0", "reason": "Degraded", "policy": "otel", "stage": "dev"});
        api(&test.admin, &namespace, "Quarantine")
            .create(&PostParams::default(), &object("Quarantine", "q", &quarantine)?)
            .await?;
        let hold = json!({"action": "Hold", "policyRef": {"name": "otel"}, "stages": ["dev"], "reason": "freeze", "requestedBy": "alice"});
        api(&test.admin, &namespace, "Intervention")
            .create(&PostParams::default(), &object("Intervention", "h", &hold)?)
            .await?;

        for (plural, names, cells) in [
            (
                "imagepolicies",
                vec!["Name", "Image", "Stages", "Phase", "Ready", "Message", "Age"],
                vec!["otel", "ghcr.io/example/otel", "dev 0.31", "Soaking", "False", "dev soaks until noon"],
            ),
            (
                "imagepins",
                vec!["Name", "Policy", "Stage", "Tag", "Digest", "Orphaned", "Age"],
                vec!["p", "otel", "dev"],
            ),
            (
                "quarantines",
                vec!["Name", "Tag", "Digest", "Policy", "Stage", "Reason", "Age"],
                vec!["q", "0.29.0", DIGEST, "otel", "dev", "Degraded"],
            ),
            (
                "interventions",
                vec!["Name", "Action", "Policy", "Stages", "By", "Reason", "Age"],
                vec!["h", "Hold", "otel", "[\"dev\"]", "alice", "freeze"],
            ),
        ] {
            let table = table(&test.admin, &namespace, plural).await?;
            let columns: Vec<&str> = texts(&table["columnDefinitions"], "/name");
            ensure!(columns == names, "{plural}: {columns:?}");
            let row: Vec<&str> = texts(&table["rows"][0]["cells"], "");
            ensure!(row[..cells.len()] == cells[..], "{plural}: {row:?}");
        }
        Ok(())
    });
}

fn texts<'a>(list: &'a Value, pointer: &str) -> Vec<&'a str> {
    let list = list.as_array().into_iter().flatten();
    list.map(|value| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()).collect()
}

/// What `kubectl get` asks for.
async fn table(client: &kube::Client, namespace: &str, plural: &str) -> Result<Value> {
    let request =
        http::Request::get(format!("/apis/lockkeeper.dev/v1alpha1/namespaces/{namespace}/{plural}"))
            .header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
            .body(Vec::new())?;
    client.request(request).await.with_context(|| plural.to_owned())
}

/// What a tenant's editor may: the policies, and not their status.
async fn may_edit_policies(admin: &kube::Client, namespace: &str, user: &str) -> Result<()> {
    let role: Role = serde_json::from_value(json!({
        "metadata": {"name": "edit"},
        "rules": [{"apiGroups": ["lockkeeper.dev"], "resources": ["imagepolicies"], "verbs": ["*"]}],
    }))?;
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "edit"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "edit"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }))?;
    Api::<Role>::namespaced(admin.clone(), namespace).create(&PostParams::default(), &role).await?;
    Api::<RoleBinding>::namespaced(admin.clone(), namespace).create(&PostParams::default(), &binding).await?;
    Ok(())
}

/// A status with something in every field; a test of the api crate holds it to that.
fn full_status() -> Result<Value> {
    Ok(serde_json::from_str(include_str!("../../../controller/api/tests/full-status.json"))?)
}

/// The same with every number as a fraction: the server may write `0.0` as `0`.
fn fractions(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(list) => list.into_iter().map(fractions).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, fractions(value))).collect(),
        other => other,
    }
}
