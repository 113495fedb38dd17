//! The controller's own rights: a run uses every one of them and is refused nothing, and one that is missing is said.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use e2e::controller::program;
use e2e::install::{
    CONTROLLER, INSTALLATION, PATIENT_LEADER, apply_object, checkout, install, start_controller,
    start_controller_with,
};
use e2e::scene::Scene;
use e2e::{Bed, Controller, PATIENCE, Settings, Test, eventually, run};
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

/// Verb, group and resource with subresource.
type Right = (String, String, String);

/// What the controller is bound to: what it does itself, the election, and acting as `ServiceAccounts`.
const ROLES: [&str; 4] =
    ["lockkeeper-birth", "lockkeeper-controller", "lockkeeper-impersonate", "lockkeeper-leader"];

/// Rights that this run cannot use or that no request shows: an apply that makes an object asks for `create`, too; a policy
/// with parameters may be made by nobody who may not `get` these; nothing is removed while pods are pinned; and an API
/// server of today needs neither webhook nor certificates. The runs of `tests/birth.rs` need them.
const BIRTH: [(&str, &str, &str); 11] = [
    ("create", REGISTRATION, "mutatingadmissionpolicies"),
    ("create", REGISTRATION, "mutatingadmissionpolicybindings"),
    ("create", REGISTRATION, "mutatingwebhookconfigurations"),
    ("delete", REGISTRATION, "mutatingadmissionpolicies"),
    ("delete", REGISTRATION, "mutatingadmissionpolicybindings"),
    ("delete", REGISTRATION, "mutatingwebhookconfigurations"),
    ("patch", REGISTRATION, "mutatingwebhookconfigurations"),
    ("get", "lockkeeper.dev", "imagepins"),
    ("get", "", "secrets"),
    ("create", "", "secrets"),
    ("patch", "", "secrets"),
];
const REGISTRATION: &str = "admissionregistration.k8s.io";

fn installation() -> Result<Vec<Value>> {
    Ok(serde_saphyr::from_multiple(&std::fs::read_to_string(checkout(INSTALLATION))?)?)
}

/// The roles that the installation binds the controller's account to.
fn bound() -> Result<BTreeSet<String>> {
    let (namespace, name) = CONTROLLER;
    let ours = |subject: &Value| subject["namespace"] == namespace && subject["name"] == name;
    let all = installation()?.into_iter().filter(|object| {
        object["kind"].as_str().is_some_and(|kind| kind.ends_with("RoleBinding"))
            && object["subjects"].as_array().into_iter().flatten().any(ours)
    });
    Ok(all.filter_map(|binding| Some(binding["roleRef"]["name"].as_str()?.to_owned())).collect())
}

/// A role of the installation.
fn role(name: &str) -> Result<Value> {
    let found = installation()?.into_iter().find(|object| {
        object["kind"].as_str().is_some_and(|kind| kind.ends_with("Role"))
            && object["metadata"]["name"] == name
    });
    found.with_context(|| format!("no role {name}"))
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|text| Some(text.as_str()?.to_owned())).collect()
}

/// Every right that a role gives.
fn rights(role: &Value) -> BTreeSet<Right> {
    let mut found = BTreeSet::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    found.insert((verb, group.clone(), resource.clone()));
                }
            }
        }
    }
    found
}

/// What the controller asked for by itself, and was given or refused. To act as somebody else is a right of its own.
fn asked(bed: &Bed, refused: bool) -> Result<BTreeSet<Right>> {
    let events = bed.requests_of_the_controller()?;
    let wanted = events
        .into_iter()
        .filter(|event| event.response_status.as_ref().is_some_and(|status| (status.code == 403) == refused));
    let mut found = BTreeSet::new();
    for event in wanted {
        if event.impersonated_user.is_some() {
            if !refused {
                found.insert(("impersonate".to_owned(), String::new(), "serviceaccounts".to_owned()));
            }
            continue;
        }
        let object = event.object();
        let resource = match object.subresource.as_str() {
            "" => object.resource,
            sub => format!("{}/{sub}", object.resource),
        };
        found.insert((event.verb, object.api_group, resource));
    }
    Ok(found)
}

/// A bed of its own: rights are changed here.
async fn bed() -> Result<Bed> {
    let bed = Bed::start(Settings::default()).await?;
    bed.kubelet().await?;
    install(&bed).await?;
    Ok(bed)
}

async fn scene<'b>(bed: &'b Bed, name: &str, controller: &'b Controller) -> Result<Scene<'b>> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    apply_object(&bed.admin().await?, namespace).await?;
    Scene::on(bed, bed.admin().await?, name.to_owned(), controller).await
}

#[test]
fn a_run_uses_every_right_of_the_controller_and_is_refused_nothing() {
    run("a_run_uses_every_right_of_the_controller_and_is_refused_nothing", async |_: &Test| -> Result<()> {
        let bed = bed().await?;
        let args = [&PATIENT_LEADER[..], &["--orphan-after", "5s"]].concat();
        let controller = start_controller_with(&bed, "lockkeeper", &args).await?;
        let (shop, mall) = (scene(&bed, "shop", &controller).await?, scene(&bed, "mall", &controller).await?);
        promoted_and_taken_back(&shop).await?;
        a_name_is_taken(&shop, &mall).await?;
        policies_are_deleted(shop, mall).await?;

        ensure!(bound()? == ROLES.map(str::to_owned).into(), "bound to other roles: {:?}", bound()?);
        let mut whole = BTreeSet::new();
        for name in ROLES {
            whole.extend(rights(&role(name)?));
        }
        let (given, refused) = (asked(&bed, false)?, asked(&bed, true)?);
        ensure!(refused.is_empty(), "the controller was refused: {refused:?}");
        let elsewhere =
            |(verb, group, of): &Right| BIRTH.contains(&(verb.as_str(), group.as_str(), of.as_str()));
        let unused: Vec<&Right> = whole.difference(&given).filter(|right| !elsewhere(right)).collect();
        ensure!(unused.is_empty(), "the roles give what is not used: {unused:?}");
        // What the API server tells everybody: which kinds it has.
        let extra: Vec<&Right> =
            given.difference(&whole).filter(|(_, _, resource)| !resource.is_empty()).collect();
        ensure!(extra.is_empty(), "used without a rule of its own: {extra:?}");
        impersonated(&bed)?;
        drop(controller);
        bed.stop().await
    });
}

/// Targets were written, and only as the policies' accounts: the one use of the right to impersonate.
fn impersonated(bed: &Bed) -> Result<()> {
    let promoters = ["shop", "mall"].map(|namespace| format!("system:serviceaccount:{namespace}:promoter"));
    let whom: BTreeSet<String> = bed
        .requests_of_the_controller()?
        .into_iter()
        .filter_map(|event| Some(event.impersonated_user?.username))
        .collect();
    ensure!(whom == BTreeSet::from(promoters), "{whom:?}");
    Ok(())
}

/// A person asks that a scene's stage goes back.
async fn back(scene: &Scene<'_>) -> Result<()> {
    let asked = json!({
        "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "Intervention", "metadata": {"name": "back"},
        "spec": {"action": "RollBack", "policyRef": {"name": "otel"}, "stages": ["only"], "reason": "a test of rights"},
    });
    scene.apply(asked).await.map(drop)
}

/// A policy that is refused by its promoter's rights at first, promotes, and is taken back by a person.
async fn promoted_and_taken_back(scene: &Scene<'_>) -> Result<()> {
    scene.grant(&["imagepins"]).await?;
    let old = scene.push_first().await?;
    scene.apply(scene.deployment("web", 3, &old.tagged("latest"))).await?;
    scene.all_run(&old.digest, 3).await?;
    scene.apply(scene.policy(&Scene::pods_target())).await?;
    scene.holds(&old.digest).await?;
    let new = scene.push("0.28.1").await?;
    scene
        .until("otel", "its promoter is refused", |status| {
            let (_, reason, message) = status.condition("Ready");
            ensure!(reason == "Forbidden", "not yet: {message}");
            Ok(())
        })
        .await?;
    scene.grant(&["imagepins", "pods"]).await?;
    scene.holds(&new.digest).await?;
    back(scene).await?;
    scene.holds(&old.digest).await?;
    scene.all_run(&old.digest, 3).await.map(drop)
}

/// The same release in another namespace, where a Quarantine of something else has the name that its own would get: the
/// controller reads it, and does not take it for its own.
async fn a_name_is_taken(first: &Scene<'_>, second: &Scene<'_>) -> Result<()> {
    let made = first.ours("Quarantine").list(&ListParams::default()).await?.items.into_iter().next();
    let made = made.context("the first rollback made no Quarantine")?;
    let name = made.metadata.name.context("a Quarantine without a name")?;
    let bad = made.data["spec"]["digest"].as_str().context("a Quarantine without a digest")?;
    let mut policy = first.policy(&Scene::pods_target());
    let image = policy["spec"]["image"].as_str().context("a policy without an image")?.to_owned();
    second.apply(second.deployment("web", 1, &format!("{image}:latest"))).await?;
    policy["spec"]["deletionPolicy"] = json!("Release");
    second.apply(policy).await?;
    second.holds(bad).await.context("the release is promoted there, too")?;
    second
        .apply(json!({
            "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "Quarantine", "metadata": {"name": name},
            "spec": {"digest": super::DIGEST, "reason": "Manual"},
        }))
        .await?;
    back(second).await?;
    let taken = second
        .until("otel", "it says that the name is taken", |status| {
            let text = status.0.to_string();
            ensure!(text.contains("one of that name exists and holds other contents"), "not yet");
            Ok(())
        })
        .await?;
    ensure!(taken.stage()["current"] == bad, "nothing is taken back before the Quarantine is there");
    second.ours("Quarantine").delete(&name, &DeleteParams::default()).await?;
    second
        .until("otel", "it is taken back", |status| {
            ensure!(status.stage()["phase"] == "Idle" && status.stage()["current"] != bad, "not yet");
            Ok(())
        })
        .await
        .map(drop)
}

/// The policies are deleted: the first one's pin is marked, the second one's is removed.
async fn policies_are_deleted(first: Scene<'_>, second: Scene<'_>) -> Result<()> {
    let (kept, released) = (first.ours("ImagePin"), second.ours("ImagePin"));
    let policies = [first.ours("ImagePolicy"), second.ours("ImagePolicy")];
    first.finish().await?;
    second.finish().await?;
    for policy in policies {
        policy.delete("otel", &DeleteParams::default()).await?;
    }
    eventually("the pins are seen to", PATIENCE, async || {
        let all = kept.list(&ListParams::default()).await?.items;
        let conditions = all.iter().filter_map(|pin| pin.data["status"]["conditions"][0]["reason"].as_str());
        let conditions: Vec<&str> = conditions.collect();
        ensure!(!all.is_empty() && conditions == vec!["PolicyGone"; all.len()], "{conditions:?}");
        let left = released.list(&ListParams::default()).await?.items.len();
        ensure!(left == 0, "{left} pins are left of the policy that releases");
        Ok(())
    })
    .await
}

#[test]
fn any_one_right_that_is_taken_away_is_said_by_check() {
    run("any_one_right_that_is_taken_away_is_said_by_check", async |_: &Test| -> Result<()> {
        let bed = Bed::start(Settings { scheduler: false, ..Settings::default() }).await?;
        install(&bed).await?;
        let admin = bed.admin().await?;
        ensure!(missing(&bed).await?.is_empty(), "with all of its rights: {:?}", missing(&bed).await?);
        for name in ["lockkeeper-controller", "lockkeeper-leader"] {
            let whole = role(name)?;
            for right in rights(&whole) {
                apply_object(&admin, without(&whole, std::slice::from_ref(&right))).await?;
                let (verb, _, resource) = &right;
                eventually(&format!("{verb} {resource} is missed"), PATIENCE, async || {
                    let seen = missing(&bed).await?;
                    ensure!(seen == format!("{verb} {resource}"), "missing: {seen}");
                    Ok(())
                })
                .await?;
            }
            apply_object(&admin, whole).await?;
        }
        bed.stop().await
    });
}

/// The rights that `lockkeeper check` says the controller's account has not.
async fn missing(bed: &Bed) -> Result<String> {
    let kubeconfig = bed.folder().join("check.kubeconfig");
    bed.write_kubeconfig_of("admin", &kubeconfig)?;
    let output = tokio::process::Command::new(program()?)
        .args(["check", "-o", "json"])
        .env("KUBECONFIG", kubeconfig)
        .output()
        .await?;
    let said: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let findings = said["findings"].as_array().into_iter().flatten();
    let found = findings.into_iter().find(|finding| finding["what"] == "rights");
    let found = found.with_context(|| format!("nothing of rights: {said:#}"))?;
    let message = found["message"].as_str().unwrap_or_default();
    if found["health"] == "Good" {
        return Ok(String::new());
    }
    let (_, missing) = message.split_once(" may not ").with_context(|| message.to_owned())?;
    Ok(missing.to_owned())
}

#[test]
fn without_the_right_to_impersonate_policies_say_so() {
    run("without_the_right_to_impersonate_policies_say_so", async |_: &Test| -> Result<()> {
        let bed = bed().await?;
        let admin = bed.admin().await?;
        let mut none = role("lockkeeper-impersonate")?;
        none["rules"] = json!([]);
        apply_object(&admin, none).await?;
        let lost = ("impersonate".to_owned(), String::new(), "serviceaccounts".to_owned());
        eventually("the API server has heard of it", PATIENCE, async || {
            may_not(&bed, std::slice::from_ref(&lost)).await
        })
        .await?;
        let controller = start_controller(&bed, "lockkeeper").await?;
        let scene = scene(&bed, "shop", &controller).await?;
        let old = scene.push_first().await?;
        scene.apply(scene.deployment("web", 1, &old.tagged("latest"))).await?;
        scene.all_run(&old.digest, 1).await?;
        scene.apply(scene.policy(&Scene::pods_target())).await?;
        scene
            .until("otel", "it is refused", |status| {
                let (_, reason, message) = status.condition("Ready");
                ensure!(
                    reason == "Forbidden" && message.contains("impersonate serviceaccounts"),
                    "{message}"
                );
                Ok(())
            })
            .await?;
        apply_object(&admin, role("lockkeeper-impersonate")?).await?;
        scene.holds(&old.digest).await?;
        drop(controller);
        bed.stop().await
    });
}

#[test]
fn without_any_one_kind_that_it_follows_the_controller_is_refused() {
    run("without_any_one_kind_that_it_follows_the_controller_is_refused", async |_: &Test| -> Result<()> {
        let bed = bed().await?;
        let admin = bed.admin().await?;
        let whole = role("lockkeeper-controller")?;
        let followed = rights(&whole).into_iter().filter(|(verb, _, _)| verb == "watch");
        let followed: Vec<(String, String)> = followed.map(|(_, group, of)| (group, of)).collect();
        ensure!(followed.len() == 16, "every kind that is watched: {followed:?}");
        // Half of them at a time: each is refused by itself, and none hides another.
        for (number, lost) in followed.chunks(8).enumerate() {
            let both = lost.iter().flat_map(|(group, of)| {
                ["list", "watch"].map(|verb| (verb.to_owned(), group.clone(), of.clone()))
            });
            let both: Vec<Right> = both.collect();
            apply_object(&admin, without(&whole, &both)).await?;
            eventually("the API server has heard of it", PATIENCE, async || may_not(&bed, &both).await)
                .await?;
            let controller: Controller = start_controller(&bed, &format!("lockkeeper-{number}")).await?;
            eventually("the controller is refused", PATIENCE, async || {
                let refused = asked(&bed, true)?;
                let refused: BTreeSet<_> = refused.into_iter().map(|(_, group, of)| (group, of)).collect();
                let unseen: Vec<_> = lost.iter().filter(|kind| !refused.contains(*kind)).collect();
                ensure!(unseen.is_empty(), "not refused yet: {unseen:?}");
                Ok(())
            })
            .await?;
            drop(controller);
        }
        bed.stop().await
    });
}

/// The role without these rights.
fn without(whole: &Value, lost: &[Right]) -> Value {
    let mut less = whole.clone();
    let mut kept = Vec::new();
    for rule in whole["rules"].as_array().into_iter().flatten() {
        for resource in texts(&rule["resources"]) {
            let group = &rule["apiGroups"][0];
            let is_lost = |verb: &String| {
                lost.iter().any(|(v, g, r)| v == verb && group == g.as_str() && *r == resource)
            };
            let verbs: Vec<String> =
                texts(&rule["verbs"]).into_iter().filter(|verb| !is_lost(verb)).collect();
            if !verbs.is_empty() {
                let mut rule = rule.clone();
                rule["resources"] = json!([resource]);
                rule["verbs"] = json!(verbs);
                kept.push(rule);
            }
        }
    }
    less["rules"] = json!(kept);
    less
}

/// The authorizer denies all of these to the controller by now.
async fn may_not(bed: &Bed, lost: &[Right]) -> Result<()> {
    let client = bed.client_as(CONTROLLER.0, CONTROLLER.1).await?;
    for (verb, group, resource) in lost {
        let review = serde_json::from_value(json!({
            "metadata": {}, "spec": {"resourceAttributes": {"verb": verb, "group": group, "resource": resource}},
        }))?;
        let reviews: kube::Api<k8s_openapi::api::authorization::v1::SelfSubjectAccessReview> =
            kube::Api::all(client.clone());
        let answer = reviews.create(&kube::api::PostParams::default(), &review).await?;
        ensure!(!answer.status.is_some_and(|status| status.allowed), "{verb} {resource} is allowed still");
    }
    Ok(())
}
