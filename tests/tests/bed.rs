//! The bed itself: the control plane, the registry, the images, and that nothing outlives its process.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use e2e::{Bed, Image, PATIENCE, Settings, eventually, run};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::json;

#[test]
fn an_image_is_pushed_moved_and_deleted() {
    run("an_image_is_pushed_moved_and_deleted", async |test| {
        let registry = test.bed.registry();
        let old = registry.push("bed/collector", "0.28.0", &Image::release("0.28.0")).await?;
        let new = registry.push("bed/collector", "0.29.0", &Image::release("0.29.0")).await?;
        ensure!(old.digest != new.digest);
        ensure!(old.platforms.iter().all(|old| new.platforms.iter().all(|new| old.1 != new.1)));

        registry.tag("bed/collector", &old.digest, "latest").await?;
        let latest = registry.manifest("bed/collector", "latest").await?.context("no latest")?;
        ensure!(latest.digest == old.digest);

        let again = Image { attestation: Some("built again".to_owned()), ..Image::release("0.28.0") };
        let again = registry.push("bed/collector", "latest", &again).await?;
        ensure!(again.digest != old.digest && again.platforms == old.platforms);

        registry.delete("bed/collector", &new.digest).await?;
        ensure!(registry.manifest("bed/collector", "0.29.0").await?.is_none());
        Ok(())
    });
}

#[test]
fn who_wrote_what_is_in_the_audit_log() {
    run("who_wrote_what_is_in_the_audit_log", async |test| {
        let namespace = test.namespace("audit").await?;
        let alice = Api::<ConfigMap>::namespaced(test.bed.client_of("alice").await?, &namespace);
        let map: ConfigMap =
            serde_json::from_value(json!({"metadata": {"name": "one"}, "data": {"key": "value"}}))?;
        ensure!(alice.create(&PostParams::default(), &map).await.is_err(), "alice has no rights");
        ensure!(alice.list(&ListParams::default()).await.is_err());
        let account = test.bed.client_as(&namespace, "default").await?;
        ensure!(Api::<Namespace>::all(account).get(&namespace).await.is_err());
        let admin = Api::<ConfigMap>::namespaced(test.admin.clone(), &namespace);
        admin.create(&PostParams::default(), &map).await?;

        let events = eventually("both requests are in the audit log", PATIENCE, async || {
            let all = test.bed.audit()?;
            let ours: Vec<_> = all
                .into_iter()
                .filter(|event| {
                    event.object().namespace == namespace && event.object().resource == "configmaps"
                })
                .filter(|event| ["alice", "admin"].contains(&event.user.username.as_str()))
                .collect();
            ensure!(ours.len() == 2, "{ours:?}");
            Ok(ours)
        })
        .await?;
        ensure!(events[0].user.username == "alice" && !events[0].succeeded());
        ensure!(events[1].user.username == "admin" && events[1].succeeded());
        ensure!(events[1].request_object.as_ref().is_some_and(|body| body["data"]["key"] == "value"));
        Ok(())
    });
}

#[test]
fn a_part_is_killed_and_comes_back() {
    run("a_part_is_killed_and_comes_back", async |_| {
        // One of its own: the others go on.
        let bed = Bed::start(Settings { controllers: false, scheduler: false }).await?;
        let maps: Api<ConfigMap> = Api::namespaced(bed.admin().await?, "default");
        let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "kept"}}))?;
        maps.create(&PostParams::default(), &map).await?;
        bed.api_server_part().kill().await?;
        bed.registry_part().stop().await?;
        ensure!(bed.registry().ping().await.is_err());
        bed.api_server_part().start().await?;
        bed.registry_part().start().await?;
        bed.wait_ready().await?;
        Api::<ConfigMap>::namespaced(bed.admin().await?, "default").get("kept").await?;
        let folder = bed.folder().to_owned();
        bed.stop().await?;
        ensure!(processes_that_name(&folder.display().to_string())? == 0);
        ensure!(!folder.exists());
        Ok(())
    });
}

/// Not a test: what `nothing_outlives_its_process` runs and kills.
#[test]
#[ignore = "run by another test"]
fn a_bed_that_waits_to_be_killed() {
    if std::env::var_os("WAIT_TO_BE_KILLED").is_none() {
        return;
    }
    let wait = async || -> Result<()> {
        let bed = Bed::shared().await?;
        println!("\nfolder={}", bed.folder().display());
        std::future::pending().await
    };
    tokio::runtime::Runtime::new().expect("a runtime").block_on(wait()).expect("a bed");
}

#[test]
fn nothing_outlives_its_process() {
    run("nothing_outlives_its_process", async |_| {
        let log = tempfile::NamedTempFile::new()?;
        let mut child = Command::new(std::env::current_exe()?)
            .env("WAIT_TO_BE_KILLED", "1")
            .args(["--ignored", "--exact", "--nocapture", "a_bed_that_waits_to_be_killed"])
            .stdout(log.reopen()?)
            .spawn()?;
        let folder = eventually("the other process has a bed", PATIENCE, async || {
            let text = std::fs::read_to_string(log.path())?;
            let line = text.lines().find_map(|line| line.strip_prefix("folder="));
            Ok(line.context(text.clone())?.to_owned())
        })
        .await?;
        ensure!(processes_that_name(&folder)? >= 5, "etcd, API server, controllers, scheduler, registry");
        child.kill()?;
        child.wait()?;
        eventually("all its processes are gone, and its folder", PATIENCE, async || {
            let left = processes_that_name(&folder)?;
            ensure!(left == 0, "{left} processes");
            ensure!(!std::path::Path::new(&folder).exists(), "{folder} exists");
            Ok(())
        })
        .await
    });
}

/// How many processes have this text among their arguments.
fn processes_that_name(text: &str) -> Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir("/proc")? {
        let Ok(line) = std::fs::read(entry?.path().join("cmdline")) else { continue };
        count += usize::from(String::from_utf8_lossy(&line).contains(text));
    }
    Ok(count)
}
