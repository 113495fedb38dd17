//! The controller's own rights: a run uses every one of them and is refused nothing, and without any one of them it is.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use e2e::install::{
    CONTROLLER, INSTALLATION, apply_object, checkout, install, start_controller, start_controller_with,
};
use e2e::scene::Scene;
use e2e::{Bed, Controller, PATIENCE, Settings, Test, eventually, run};
use serde_json::{Value, json};

/// Verb, group and resource with subresource.
type Right = (String, String, String);

/// Rights that this run has no time for: a policy must have been gone for five minutes, or two replicas must race. The
/// requests themselves are tested against the double of the API server.
const RARE: [(&str, &str); 5] = [
    ("get", "imagepolicies"),
    ("patch", "imagepins"),
    ("delete", "imagepins"),
    ("update", "imagepins/status"),
    ("get", "quarantines"),
];

/// A role of the installation.
fn role(name: &str) -> Result<Value> {
    let text = std::fs::read_to_string(checkout(INSTALLATION))?;
    let all: Vec<Value> = serde_saphyr::from_multiple(&text)?;
    let found = all.into_iter().find(|object| {
        object["kind"].as_str().is_some_and(|kind| kind.ends_with("Role"))
            && object["metadata"]["name"] == name
    });
    found.with_context(|| format!("no role {name}"))
}

/// Every right that a role gives.
fn rights(role: &Value) -> BTreeSet<Right> {
    let texts = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(|text| Some(text.as_str()?.to_owned())).collect()
    };
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

/// What the controller asked for by itself, and was given or refused.
fn asked(bed: &Bed, refused: bool) -> Result<BTreeSet<Right>> {
    let events = bed.requests_of_the_controller()?;
    let own = events.into_iter().filter(|event| event.impersonated_user.is_none());
    let wanted = own
        .filter(|event| event.response_status.as_ref().is_some_and(|status| (status.code == 403) == refused));
    Ok(wanted
        .map(|event| {
            let object = event.object();
            let resource = match object.subresource.as_str() {
                "" => object.resource,
                sub => format!("{}/{sub}", object.resource),
            };
            (event.verb, object.api_group, resource)
        })
        .collect())
}

/// A bed of its own: rights are changed here.
async fn bed() -> Result<Bed> {
    let bed = Bed::start(Settings::default()).await?;
    bed.kubelet().await?;
    install(&bed).await?;
    Ok(bed)
}

async fn namespace(bed: &Bed, name: &str) -> Result<String> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    apply_object(&bed.admin().await?, namespace).await?;
    Ok(name.to_owned())
}

#[test]
fn a_run_uses_every_right_of_the_controller_and_is_refused_nothing() {
    run("a_run_uses_every_right_of_the_controller_and_is_refused_nothing", async |_: &Test| -> Result<()> {
        let bed = bed().await?;
        let controller = start_controller_with(&bed, "lockkeeper", &["--leader-elect"]).await?;
        let shop = namespace(&bed, "shop").await?;
        let scene = Scene::on(&bed, bed.admin().await?, shop, &controller).await?;
        promoted_and_taken_back(&scene).await?;
        let role = role("lockkeeper-controller")?;
        let (given, refused) = (asked(&bed, false)?, asked(&bed, true)?);
        ensure!(refused.is_empty(), "the controller was refused: {refused:?}");
        let rare: BTreeSet<Right> = RARE
            .iter()
            .map(|(verb, of)| ((*verb).to_owned(), "lockkeeper.dev".to_owned(), (*of).to_owned()))
            .collect();
        let leader = rights(&self::role("lockkeeper-leader")?);
        let whole: BTreeSet<Right> = rights(&role).union(&leader).cloned().collect();
        let unused: Vec<Right> = whole.difference(&given).cloned().collect();
        let unused: Vec<Right> = unused.into_iter().filter(|right| !rare.contains(right)).collect();
        ensure!(unused.is_empty(), "the role gives what is not used: {unused:?}");
        let rare_and_used: Vec<&Right> = rare.intersection(&given).collect();
        ensure!(rare_and_used.is_empty(), "not rare any more: {rare_and_used:?}");
        // What the API server tells everybody: which kinds it has.
        let extra: Vec<&Right> =
            given.difference(&whole).filter(|(_, _, resource)| !resource.is_empty()).collect();
        ensure!(extra.is_empty(), "used without a rule of its own: {extra:?}");
        impersonated(&bed, &scene)?;
        scene.finish().await?;
        drop(controller);
        bed.stop().await
    });
}

/// Targets were written, and only as the policy's account: the one use of the right to impersonate.
fn impersonated(bed: &Bed, scene: &Scene<'_>) -> Result<()> {
    let promoter = format!("system:serviceaccount:{}:promoter", scene.namespace);
    let whom: BTreeSet<String> = bed
        .requests_of_the_controller()?
        .into_iter()
        .filter_map(|event| Some(event.impersonated_user?.username))
        .collect();
    ensure!(whom == BTreeSet::from([promoter]), "{whom:?}");
    Ok(())
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
    scene
        .apply(json!({
            "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "Intervention", "metadata": {"name": "back"},
            "spec": {"action": "RollBack", "policyRef": {"name": "otel"}, "stages": ["only"], "reason": "a test of rights"},
        }))
        .await?;
    scene.holds(&old.digest).await?;
    scene.all_run(&old.digest, 3).await.map(drop)
}

#[test]
fn without_any_one_right_of_its_start_the_controller_is_refused() {
    run("without_any_one_right_of_its_start_the_controller_is_refused", async |_: &Test| -> Result<()> {
        let bed = bed().await?;
        let admin = bed.admin().await?;
        let whole = role("lockkeeper-controller")?;
        let mut missing: Vec<Right> =
            rights(&whole).into_iter().filter(|(verb, _, _)| verb == "watch").collect();
        missing.retain(|(_, group, _)| group != "coordination.k8s.io");
        ensure!(missing.len() == 16, "every kind that is watched: {missing:?}");
        // Half of them at a time: each is refused by itself, and none hides another.
        for (number, lost) in missing.chunks(8).enumerate() {
            apply_object(&admin, without(&whole, lost)).await?;
            eventually("the API server has heard of it", PATIENCE, async || may_not(&bed, lost).await)
                .await?;
            let controller: Controller = start_controller(&bed, &format!("lockkeeper-{number}")).await?;
            eventually("the controller is refused", PATIENCE, async || {
                let refused = asked(&bed, true)?;
                let unseen: Vec<&Right> = lost
                    .iter()
                    .filter(|(_, group, of)| {
                        !refused.iter().any(|(_, seen_group, seen)| (group, of) == (seen_group, seen))
                    })
                    .collect();
                ensure!(unseen.is_empty(), "not refused yet: {unseen:?}");
                Ok(())
            })
            .await?;
            drop(controller);
        }
        bed.stop().await
    });
}

/// The role without listing and watching these.
fn without(whole: &Value, lost: &[Right]) -> Value {
    let mut less = whole.clone();
    let rules = less["rules"].as_array().cloned().unwrap_or_default();
    let mut kept = Vec::new();
    for rule in rules {
        let resources = rule["resources"].as_array().cloned().unwrap_or_default();
        for resource in resources {
            let mut rule = rule.clone();
            rule["resources"] = json!([resource]);
            if lost.iter().any(|(_, group, of)| rule["apiGroups"][0] == *group && resource == **of) {
                let verbs = rule["verbs"].as_array().cloned().unwrap_or_default();
                let verbs: Vec<Value> =
                    verbs.into_iter().filter(|verb| verb != "list" && verb != "watch").collect();
                rule["verbs"] = json!(verbs);
            }
            if rule["verbs"].as_array().is_some_and(|verbs| !verbs.is_empty()) {
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
