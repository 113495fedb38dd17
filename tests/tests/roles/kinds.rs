//! Rights on the kinds: who edits a policy cannot edit its status, and only an admin makes pins.

use anyhow::{Result, ensure};
use e2e::run;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::{DIGEST, api, dry_run, installed, may, object, person};

/// Verb, resource, and the roles that have it.
const RIGHTS: &[(&str, &str, &[&str])] = &[
    ("list", "imagepolicies", &["view", "edit", "admin"]),
    ("get", "imagepolicies/status", &["view", "edit", "admin"]),
    ("watch", "imagepins", &["view", "edit", "admin"]),
    ("list", "quarantines", &["view", "edit", "admin"]),
    ("list", "interventions", &["view", "edit", "admin"]),
    ("create", "imagepolicies", &["edit", "admin"]),
    ("update", "imagepolicies", &["edit", "admin"]),
    ("patch", "imagepolicies", &["edit", "admin"]),
    ("delete", "imagepolicies", &["edit", "admin"]),
    ("create", "quarantines", &["edit", "admin"]),
    ("create", "interventions", &["edit", "admin"]),
    ("delete", "quarantines", &["admin"]),
    ("delete", "interventions", &["admin"]),
    ("create", "imagepins", &["admin"]),
    ("update", "imagepins", &["admin"]),
    ("patch", "imagepins", &["admin"]),
    ("delete", "imagepins", &["admin"]),
    // The controller's alone.
    ("update", "imagepolicies/status", &[]),
    ("patch", "imagepolicies/status", &[]),
    ("update", "imagepins/status", &[]),
    ("patch", "imagepins/status", &[]),
];

#[test]
fn what_each_role_may_do_with_the_kinds() {
    run("what_each_role_may_do_with_the_kinds", async |test| -> Result<()> {
        installed(test.bed).await?;
        let namespace = test.namespace("kinds").await?;
        let mut wrong = Vec::new();
        for role in ["view", "edit", "admin"] {
            let person = person(test, &namespace, role, None).await?;
            for (verb, resource, roles) in RIGHTS {
                if may(&person.client, &namespace, verb, resource, "otel").await? != roles.contains(&role) {
                    wrong.push(format!("{role}: {verb} {resource}"));
                }
            }
        }
        ensure!(wrong.is_empty(), "the table does not hold: {wrong:?}");
        Ok(())
    });
}

#[test]
fn row_43_an_editor_writes_policies_and_neither_status_nor_pins() {
    run("row_43_an_editor_writes_policies_and_neither_status_nor_pins", async |test| -> Result<()> {
        installed(test.bed).await?;
        let namespace = test.namespace("edits").await?;
        let editor = person(test, &namespace, "edit", None).await?;
        let admin = person(test, &namespace, "admin", None).await?;
        let policy = json!({
            "image": "ghcr.io/example/otel",
            "select": {"semver": {"range": ">=0.28.0"}},
            "stages": [{"name": "dev", "targets": [{"pods": {"selector": {"matchLabels": {"app": "a"}}}}]}],
        });
        let policies = api(&editor.client, &namespace, "ImagePolicy");
        let made = policies.create(&PostParams::default(), &object("ImagePolicy", "otel", &policy)?).await?;
        let status = Patch::Merge(json!({"status": {"phase": "Idle"}}));
        forbidden(policies.patch_status("otel", &PatchParams::default(), &status).await)?;
        let mut claimed = made.clone();
        claimed.data["status"] = json!({"phase": "Idle"});
        forbidden(policies.replace_status("otel", &PostParams::default(), &claimed).await)?;

        let pin = json!({
            "matchLabels": {"app": "a"}, "repositories": ["ghcr.io/example/otel"], "digest": DIGEST,
            "policy": {"namespace": namespace, "name": "otel", "uid": "u"}, "stage": "dev", "deletionPolicy": "Retain",
        });
        let pin = object("ImagePin", "otel-dev", &pin)?;
        forbidden(api(&editor.client, &namespace, "ImagePin").create(&dry_run(), &pin).await)?;
        api(&admin.client, &namespace, "ImagePin").create(&dry_run(), &pin).await?;
        Ok(())
    });
}

fn forbidden<T>(answer: kube::Result<T>) -> Result<()> {
    let refused = matches!(&answer, Err(kube::Error::Api(status)) if status.code == 403);
    ensure!(refused, "the server did not forbid it: {:?}", answer.err());
    Ok(())
}
