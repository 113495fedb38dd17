//! The simulated kubelet against the real API server and registry: what it writes is what a kubelet would.

use anyhow::{Context as _, Result, ensure};
use e2e::kubelet::{Rule, Script};
use e2e::{Image, PATIENCE, Part, Test, eventually, run};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

fn pod(name: &str, app: &str, sidecar: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"app": "shop"}},
        "spec": {
            "containers": [{"name": "app", "image": app}],
            "initContainers": [{"name": "otel", "image": sidecar, "restartPolicy": "Always"}],
        },
    })
}

fn container<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    all.into_iter().find(|status| status.name == name)
}

fn condition(pod: &Pod, kind: &str) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    Some(conditions.iter().find(|condition| condition.type_ == kind)?.status.clone())
}

/// The reason a container waits for.
fn waits(pod: &Pod, name: &str) -> Option<String> {
    container(pod, name)?.state.as_ref()?.waiting.as_ref()?.reason.clone()
}

async fn create(pods: &Api<Pod>, object: Value) -> Result<()> {
    pods.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    Ok(())
}

async fn until(pods: &Api<Pod>, name: &str, what: &str, holds: impl Fn(&Pod) -> bool) -> Result<Pod> {
    eventually(&format!("{name}: {what}"), PATIENCE, async || {
        let pod = pods.get(name).await?;
        ensure!(holds(&pod), "{}", serde_json::to_string_pretty(&pod.status)?);
        Ok(pod)
    })
    .await
}

fn ready(pod: &Pod) -> bool {
    condition(pod, "Ready").as_deref() == Some("True")
}

async fn set_image(pods: &Api<Pod>, name: &str, image: &str) -> Result<()> {
    let patch = json!([{"op": "replace", "path": "/spec/initContainers/0/image", "value": image}]);
    let patch: json_patch::Patch = serde_json::from_value(patch)?;
    pods.patch(name, &PatchParams::default(), &Patch::Json::<()>(patch)).await?;
    Ok(())
}

/// An app and three releases of a sidecar, in repositories of this test.
async fn images(test: &Test, path: &str) -> Result<(String, e2e::Pushed, e2e::Pushed)> {
    test.bed.kubelet().await?;
    let registry = test.bed.registry();
    let app = registry.push(&format!("{path}/app"), "1", &Image::release(&format!("{path} app"))).await?;
    let old =
        registry.push(&format!("{path}/otel"), "0.28.0", &Image::release(&format!("{path} 0.28.0"))).await?;
    let new =
        registry.push(&format!("{path}/otel"), "0.29.0", &Image::release(&format!("{path} 0.29.0"))).await?;
    Ok((app.tagged("1"), old, new))
}

#[test]
fn a_changed_image_restarts_that_one_container() {
    run("a_changed_image_restarts_that_one_container", async |test| {
        let (app, old, new) = images(test, "change").await?;
        let pods: Api<Pod> = Api::namespaced(test.admin.clone(), &test.namespace("change").await?);
        create(&pods, pod("shop", &app, &old.tagged("0.28.0"))).await?;
        let before = until(&pods, "shop", "ready", ready).await?;
        let (app_before, otel_before) =
            (container(&before, "app").context("app")?, container(&before, "otel").context("otel")?);
        ensure!(otel_before.image_id == old.pinned(), "{}", otel_before.image_id);
        ensure!(otel_before.restart_count == 0 && otel_before.started == Some(true));
        ensure!(before.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running"));

        set_image(&pods, "shop", &new.pinned()).await?;
        let after = until(&pods, "shop", "runs the new image", |pod| {
            ready(pod) && container(pod, "otel").is_some_and(|otel| otel.image_id == new.pinned())
        })
        .await?;
        let otel = container(&after, "otel").context("otel")?;
        ensure!(otel.restart_count == 1 && otel.container_id != otel_before.container_id);
        let last =
            otel.last_state.as_ref().and_then(|state| state.terminated.as_ref()).context("no lastState")?;
        ensure!(last.exit_code == 0 && last.reason.as_deref() == Some("Completed"));
        ensure!(last.container_id == otel_before.container_id);
        ensure!(container(&after, "app") == Some(app_before), "the application's container was touched");
        ensure!(after.status.and_then(|status| status.observed_generation) == after.metadata.generation);
        Ok(())
    });
}

#[test]
fn a_missing_image_backs_off_and_heals() {
    run("a_missing_image_backs_off_and_heals", async |test| {
        let (app, old, _) = images(test, "missing").await?;
        let pods: Api<Pod> = Api::namespaced(test.admin.clone(), &test.namespace("missing").await?);
        let image = old.tagged("1.0.0");
        create(&pods, pod("shop", &app, &image)).await?;
        until(&pods, "shop", "ErrImagePull", |pod| waits(pod, "otel").as_deref() == Some("ErrImagePull"))
            .await?;
        let pending = until(&pods, "shop", "ImagePullBackOff", |pod| {
            waits(pod, "otel").as_deref() == Some("ImagePullBackOff")
        })
        .await?;
        ensure!(waits(&pending, "app").as_deref() == Some("PodInitializing"));
        ensure!(condition(&pending, "Initialized").as_deref() == Some("False"));
        ensure!(pending.status.and_then(|status| status.phase).as_deref() == Some("Pending"));
        test.bed.registry().tag("missing/otel", "0.28.0", "1.0.0").await?;
        let healed = until(&pods, "shop", "ready", ready).await?;
        let otel = container(&healed, "otel").context("otel")?;
        ensure!(otel.restart_count == 0, "an attempt that failed is no restart");
        ensure!(otel.image_id == old.pinned());
        Ok(())
    });
}

#[test]
fn a_sidecar_that_crashes_leaves_the_application_alone() {
    run("a_sidecar_that_crashes_leaves_the_application_alone", async |test| {
        let (app, old, new) = images(test, "crash").await?;
        let namespace = test.namespace("crash").await?;
        let elsewhere = test.namespace("calm").await?;
        let script = Script {
            restarts_per_pod_hour: 6.0,
            time_scale: 6_000.0,
            message: "panic: index out of range".to_owned(),
            ..Script::default()
        };
        let rule = Rule { namespaces: vec![namespace.clone()], ..Rule::new(&new.tagged("0.29.0"), script) };
        test.bed.kubelet().await?.rules().add(rule);
        let pods: Api<Pod> = Api::namespaced(test.admin.clone(), &namespace);
        let calm: Api<Pod> = Api::namespaced(test.admin.clone(), &elsewhere);
        create(&pods, pod("shop", &app, &new.pinned())).await?;
        create(&calm, pod("shop", &app, &new.pinned())).await?;
        let crashed = until(&pods, "shop", "three crashes", |pod| {
            container(pod, "otel").is_some_and(|otel| otel.restart_count >= 3)
        })
        .await?;
        let last = container(&crashed, "otel")
            .and_then(|otel| otel.last_state.clone())
            .and_then(|state| state.terminated);
        let last = last.context("no lastState")?;
        ensure!((last.exit_code, last.reason.as_deref()) == (2, Some("Error")), "{last:?}");
        ensure!(last.message.as_deref() == Some("panic: index out of range"));
        until(&pods, "shop", "CrashLoopBackOff", |pod| {
            waits(pod, "otel").as_deref() == Some("CrashLoopBackOff")
        })
        .await?;

        set_image(&pods, "shop", &old.pinned()).await?;
        let healed = until(&pods, "shop", "runs the old image, ready", |pod| {
            ready(pod) && container(pod, "otel").is_some_and(|otel| otel.image_id == old.pinned())
        })
        .await?;
        ensure!(
            container(&healed, "app").is_some_and(|app| app.restart_count == 0),
            "the application was restarted"
        );
        let other = until(&calm, "shop", "ready", ready).await?;
        ensure!(
            container(&other, "otel").is_some_and(|otel| otel.restart_count == 0),
            "the rule is for one namespace"
        );
        Ok(())
    });
}

#[test]
fn scripts_decide_how_a_container_fails() {
    run("scripts_decide_how_a_container_fails", async |test| {
        let (app, old, new) = images(test, "fail").await?;
        let namespace = test.namespace("fail").await?;
        let rules = test.bed.kubelet().await?.rules();
        rules.add(Rule::new(&old.digest, Script { never_ready: true, ..Script::default() }));
        let script = Script { crash_at_start: true, oom_killed: true, ..Script::default() };
        rules.add(Rule::new(&new.platforms[0].1, script));
        let pods: Api<Pod> = Api::namespaced(test.admin.clone(), &namespace);
        // Another index of the same contents, and a reference to the platform's manifest itself.
        let again = Image { attestation: Some("built again".to_owned()), ..Image::release("fail 0.28.0") };
        let again = test.bed.registry().push("fail/otel", "again", &again).await?;
        ensure!(again.digest != old.digest);
        create(&pods, pod("unready", &app, &again.pinned())).await?;
        create(&pods, pod("killed", &app, &format!("{}@{}", new.repository, new.platforms[0].1))).await?;
        let unready = until(&pods, "unready", "the application runs", |pod| {
            container(pod, "app").is_some_and(|app| app.ready)
        })
        .await?;
        ensure!(condition(&unready, "ContainersReady").as_deref() == Some("False"));
        ensure!(unready.status.and_then(|status| status.phase).as_deref() == Some("Running"));
        let killed = until(&pods, "killed", "in a crash loop", |pod| {
            waits(pod, "otel").as_deref() == Some("CrashLoopBackOff")
        })
        .await?;
        let last = container(&killed, "otel")
            .and_then(|otel| otel.last_state.clone())
            .and_then(|state| state.terminated);
        let last = last.context("no lastState")?;
        ensure!((last.exit_code, last.reason.as_deref()) == (137, Some("OOMKilled")), "{last:?}");
        Ok(())
    });
}

#[test]
fn a_deployment_rolls_and_its_pods_go() {
    run("a_deployment_rolls_and_its_pods_go", async |test| {
        let (app, old, new) = images(test, "roll").await?;
        let namespace = test.namespace("roll").await?;
        let pods: Api<Pod> = Api::namespaced(test.admin.clone(), &namespace);
        let deployments: Api<Deployment> = Api::namespaced(test.admin.clone(), &namespace);
        let mut template = pod("ignored", &app, &old.tagged("0.28.0"));
        template["metadata"] = json!({"labels": {"app": "shop"}});
        let object = json!({
            "metadata": {"name": "shop"},
            "spec": {"replicas": 4, "selector": {"matchLabels": {"app": "shop"}}, "template": template},
        });
        deployments.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
        let all_run = async |image: &str| {
            eventually(&format!("four ready pods run {image}"), PATIENCE, async || {
                let list = pods.list(&ListParams::default()).await?;
                let runs = |pod: &&Pod| {
                    ready(pod) && container(pod, "otel").is_some_and(|otel| otel.image_id == image)
                };
                let states: Vec<_> = list.iter().map(|pod| (&pod.metadata.name, &pod.status)).collect();
                ensure!(
                    list.items.len() == 4 && list.iter().filter(runs).count() == 4,
                    "{}",
                    serde_json::to_string(&states)?
                );
                Ok(())
            })
            .await
        };
        all_run(&old.pinned()).await?;
        template["spec"]["initContainers"][0]["image"] = json!(new.pinned());
        let patch = Patch::Merge(json!({"spec": {"template": template}}));
        deployments.patch("shop", &PatchParams::default(), &patch).await?;
        all_run(&new.pinned()).await?;
        deployments.delete("shop", &DeleteParams::background()).await?;
        eventually("no pod is left", PATIENCE, async || {
            let left = pods.list(&ListParams::default()).await?.items.len();
            ensure!(left == 0, "{left} pods");
            Ok(())
        })
        .await
    });
}

#[test]
fn it_runs_as_a_process_too() {
    run("it_runs_as_a_process_too", async |test| {
        let (app, old, new) = images(test, "process").await?;
        let folder = tempfile::tempdir()?;
        let (config, rules) = (folder.path().join("kubeconfig"), folder.path().join("rules.json"));
        test.bed.write_kubeconfig_of("kubelet-sim", &config)?;
        let rule =
            json!([{"image": new.tagged("0.29.0"), "crashAtStart": true, "exitCode": 3, "message": "boom"}]);
        std::fs::write(&rules, rule.to_string())?;
        let args = [("--kubeconfig", &config), ("--rules", &rules)]
            .map(|(key, path)| format!("{key}={}", path.display()));
        let args = args.into_iter().chain(["--nodes=1".to_owned(), "--prefix=process".to_owned()]).collect();
        let program = env!("CARGO_BIN_EXE_kubelet-sim").into();
        let part =
            Part::new("kubelet-sim", program, args, Vec::new(), test.bed.logs().join("kubelet-sim.log"));
        part.start().await?;
        let pods: Api<Pod> = Api::namespaced(test.admin.clone(), &test.namespace("process").await?);
        let mut object = pod("shop", &app, &old.pinned());
        object["spec"]["nodeName"] = json!("process-0");
        create(&pods, object).await?;
        until(&pods, "shop", "ready", ready).await?;
        set_image(&pods, "shop", &new.pinned()).await?;
        until(&pods, "shop", "crashes", |pod| {
            let last = container(pod, "otel")
                .and_then(|otel| otel.last_state.clone())
                .and_then(|state| state.terminated);
            last.is_some_and(|last| last.exit_code == 3)
        })
        .await?;
        // Another one goes on from the status that this one wrote.
        part.kill().await?;
        part.start().await?;
        set_image(&pods, "shop", &old.pinned()).await?;
        let healed = until(&pods, "shop", "ready again", |pod| {
            ready(pod) && container(pod, "otel").is_some_and(|otel| otel.image_id == old.pinned())
        })
        .await?;
        ensure!(container(&healed, "app").is_some_and(|app| app.restart_count == 0));
        part.stop().await
    });
}

/// Not part of the gate: what the simulated kubelet costs. `cargo test -p e2e --test kubelet -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn five_thousand_pods() {
    run("five_thousand_pods", async |test| {
        let (app, old, _) = images(test, "many").await?;
        let namespace = test.namespace("many").await?;
        let pods: Api<Pod> = Api::namespaced(test.admin.clone(), &namespace);
        let started = std::time::Instant::now();
        let create_one = async |number: usize| {
            let mut object = pod(&format!("shop-{number}"), &app, &old.pinned());
            object["spec"]["nodeName"] = json!(format!("sim-{}", number % 4));
            create(&pods, object).await
        };
        let work = stream::iter(0..5_000).map(create_one).buffer_unordered(64);
        work.try_collect::<Vec<()>>().await?;
        println!("5,000 pods created after {:?}", started.elapsed());
        eventually("all are ready", PATIENCE * 2, async || {
            let list = pods.list(&ListParams::default()).await?;
            let count = list.iter().filter(|pod| ready(pod)).count();
            ensure!(count == 5_000, "{count}");
            Ok(())
        })
        .await?;
        println!("all ready after {:?}", started.elapsed());
        println!(
            "CPU of this process: {}",
            std::fs::read_to_string("/proc/self/stat")?
                .split(' ')
                .skip(13)
                .take(2)
                .collect::<Vec<_>>()
                .join("+")
        );
        Ok(())
    });
}
