//! Interventions: who asks is who the API server knows, and every action takes its own right.

use anyhow::{Context as _, Result, bail, ensure};
use e2e::install::CONTROLLER;
use e2e::run;
use serde_json::{Value, json};

use super::{DIGEST, Person, api, dry_run, installed, object, person};

const ACTIONS: [&str; 6] = ["Approve", "Adopt", "Hold", "Resume", "Promote", "RollBack"];
/// What is asked for: the stages of the policy `otel`, or all of it, or all policies of the namespace.
const SCOPES: [&str; 5] = ["dev", "prod", "dev,prod", "otel", "namespace"];

/// A right to ask for some actions of `otel`, or of one of its stages.
fn rights(actions: &[&str], names: &[&str]) -> Value {
    let asked: Vec<String> = actions.iter().map(|action| format!("imagepolicies/{action}")).collect();
    json!([
        {"apiGroups": ["lockkeeper.dev"], "resources": ["interventions"], "verbs": ["create"]},
        {"apiGroups": ["lockkeeper.dev"], "resources": asked, "resourceNames": names, "verbs": ["create"]},
    ])
}

/// The matrix: what each role may ask for, and where.
fn allowed(role: &str, action: &str, scope: &str) -> bool {
    match role {
        "admin" | "cluster-admin" => true,
        "edit" => ["Hold", "RollBack"].contains(&action),
        // For the policy: whatever its stages.
        "approves-otel" => action == "Approve" && scope != "namespace",
        // For one stage: that one alone.
        "approves-prod" => action == "Approve" && scope == "prod",
        "stops-dev-and-prod" => ["Hold", "Resume"].contains(&action) && scope.split(',').all(is_stage),
        _ => false,
    }
}

fn is_stage(name: &str) -> bool {
    ["dev", "prod"].contains(&name)
}

fn asked(action: &str, scope: &str) -> Option<Value> {
    let mut spec = json!({"action": action, "reason": "a test of roles"});
    if scope != "namespace" {
        spec["policyRef"] = json!({"name": "otel"});
    }
    if scope.split(',').all(is_stage) {
        spec["stages"] = json!(scope.split(',').collect::<Vec<_>>());
    } else if !["Hold", "Resume"].contains(&action) {
        // The schema refuses these whoever asks.
        return None;
    }
    if ["Approve", "Adopt", "Promote"].contains(&action) {
        spec["digest"] = json!(DIGEST);
    }
    Some(spec)
}

/// Asks; `None` if it was taken, or the refusal's message.
async fn refusal(person: &Person, namespace: &str, spec: &Value) -> Result<Option<String>> {
    let made = api(&person.client, namespace, "Intervention")
        .create(&dry_run(), &object("Intervention", "asked", spec)?)
        .await;
    match made {
        Ok(made) => {
            ensure!(made.data["spec"]["requestedBy"] == person.user, "who asked: {}", made.data["spec"]);
            Ok(None)
        }
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Some(status.message.clone())),
        Err(other) => Err(other).with_context(|| format!("{}: {spec}", person.role)),
    }
}

#[test]
fn what_each_role_may_ask_for_and_where() {
    run("what_each_role_may_ask_for_and_where", async |test| -> Result<()> {
        installed(test.bed).await?;
        let namespace = test.namespace("asks").await?;
        let mut people = Vec::new();
        for role in ["view", "edit", "admin", "cluster-admin"] {
            people.push(person(test, &namespace, role, None).await?);
        }
        for (role, rights) in [
            ("approves-otel", rights(&["approve"], &["otel"])),
            ("approves-prod", rights(&["approve"], &["otel:prod"])),
            ("stops-dev-and-prod", rights(&["hold", "resume"], &["otel:dev", "otel:prod"])),
            // May make Interventions, and ask for nothing.
            ("asks-for-nothing", rights(&["approve"], &["another-policy"])),
        ] {
            people.push(person(test, &namespace, role, Some(rights)).await?);
        }
        let elsewhere = test.namespace("elsewhere").await?;
        let mut stranger = person(test, &elsewhere, "admin", None).await?;
        stranger.role = "admin elsewhere";
        people.push(stranger);

        let mut wrong = Vec::new();
        for person in &people {
            for action in ACTIONS {
                for scope in SCOPES {
                    let Some(spec) = asked(action, scope) else { continue };
                    let refused = refusal(person, &namespace, &spec).await?;
                    if refused.is_none() != allowed(person.role, action, scope) {
                        wrong.push(format!("{} {action} {scope}: {refused:?}", person.role));
                    }
                }
            }
        }
        ensure!(wrong.is_empty(), "the matrix does not hold: {wrong:#?}");
        Ok(())
    });
}

#[test]
fn a_refusal_says_who_what_and_which_right() {
    run("a_refusal_says_who_what_and_which_right", async |test| -> Result<()> {
        installed(test.bed).await?;
        let namespace = test.namespace("says").await?;
        let person = person(test, &namespace, "edit", None).await?;
        let Some(spec) = asked("Approve", "dev,prod") else { bail!("no Approve") };
        let message = refusal(&person, &namespace, &spec).await?.context("it was taken")?;
        let wanted = format!(
            "\"edit@{namespace}\" may not ask for Approve of otel in dev, prod: that takes `create` on \
             imagepolicies.lockkeeper.dev/approve for the name otel, or otel:<stage> for each stage; ask for such a role"
        );
        ensure!(message.ends_with(&wanted), "{message}");
        let Some(spec) = asked("Resume", "namespace") else { bail!("no Resume") };
        let message = refusal(&person, &namespace, &spec).await?.context("it was taken")?;
        let wanted = format!(
            "\"edit@{namespace}\" may not ask for Resume for all policies of namespace {namespace}: that takes `create` on \
             imagepolicies.lockkeeper.dev/resume in namespace {namespace} without resourceNames; ask for such a role"
        );
        ensure!(message.ends_with(&wanted), "{message}");
        Ok(())
    });
}

#[test]
fn nobody_asks_in_another_name() {
    run("nobody_asks_in_another_name", async |test| -> Result<()> {
        installed(test.bed).await?;
        let namespace = test.namespace("names").await?;
        let alice = person(test, &namespace, "admin", None).await?;
        let Some(mut spec) = asked("Approve", "prod") else { bail!("no Approve") };
        spec["requestedBy"] = json!("bob");
        let message = refusal(&alice, &namespace, &spec).await?.context("it was taken")?;
        let wanted = format!(
            "spec.requestedBy is \"bob\", but this request comes from \"{}\"; leave the field out, or name yourself",
            alice.user
        );
        ensure!(message.ends_with(&wanted), "{message}");
        spec["requestedBy"] = json!(alice.user);
        ensure!(refusal(&alice, &namespace, &spec).await?.is_none(), "one's own name may be said");
        Ok(())
    });
}

#[test]
fn a_hold_of_the_whole_cluster_takes_a_right_in_all_namespaces() {
    run("a_hold_of_the_whole_cluster_takes_a_right_in_all_namespaces", async |test| -> Result<()> {
        installed(test.bed).await?;
        let (ours, _) = CONTROLLER;
        let Some(hold) = asked("Hold", "namespace") else { bail!("no Hold") };
        // An admin of the controller's namespace may hold its policies one by one, not those of everybody.
        let local = person(test, ours, "admin", None).await?;
        let message = refusal(&local, ours, &hold).await?.context("it was taken")?;
        ensure!(
            message.contains("in the whole cluster") && message.contains("(a ClusterRoleBinding)"),
            "{message}"
        );
        let Some(one) = asked("Hold", "otel") else { bail!("no Hold") };
        ensure!(
            refusal(&local, ours, &one).await?.is_none(),
            "a policy in that namespace is a policy like others"
        );
        let admin = Person { role: "cluster-admin", user: "admin".to_owned(), client: test.admin.clone() };
        ensure!(refusal(&admin, ours, &hold).await?.is_none(), "who may do it everywhere may do it");
        Ok(())
    });
}

#[test]
fn sixteen_stages_are_asked_for_one_by_one() {
    run("sixteen_stages_are_asked_for_one_by_one", async |test| -> Result<()> {
        installed(test.bed).await?;
        let namespace = test.namespace("stages").await?;
        let stages: Vec<String> = (0..16).map(|number| format!("s{number}")).collect();
        let all: Vec<String> = stages.iter().map(|stage| format!("otel:{stage}")).collect();
        let names: Vec<&str> = all.iter().map(String::as_str).collect();
        let whole = person(test, &namespace, "all-sixteen", Some(rights(&["hold"], &names))).await?;
        let hold = json!({"action": "Hold", "policyRef": {"name": "otel"}, "stages": stages, "reason": "r"});
        ensure!(refusal(&whole, &namespace, &hold).await?.is_none(), "every stage is allowed");
        for (number, role) in
            [(0, "not-0"), (1, "not-1"), (6, "not-6"), (9, "not-9"), (14, "not-14"), (15, "not-15")]
        {
            let names: Vec<&str> = names.iter().filter(|name| **name != all[number]).copied().collect();
            let less = person(test, &namespace, role, Some(rights(&["hold"], &names))).await?;
            ensure!(refusal(&less, &namespace, &hold).await?.is_some(), "stage {number} was not looked at");
        }
        Ok(())
    });
}
