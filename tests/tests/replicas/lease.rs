//! The Lease itself is in trouble in the middle of the incident.

use anyhow::{Context as _, Result, ensure};
use e2e::proxy::{Deed, Proxy};
use e2e::{PATIENCE, eventually, run};
use http::Method;
use kube::api::{DeleteParams, PostParams};

use crate::pair::{Pair, is_leader, is_ready, leads, leases};
use crate::story::Story;

#[test]
fn p3_lease_deleted() {
    run("p3_lease_deleted", async |test| -> Result<()> {
        let pair = Pair::start(test.bed, None).await?;
        let story = Story::begin(test, &pair.first).await?;
        let leases = leases(test.bed).await?;
        for _ in 0..5 {
            let old = pair.lease().await?.metadata.uid;
            leases.delete("lockkeeper", &DeleteParams::default()).await?;
            eventually("the leader has it again", PATIENCE, async || {
                pair.first.check().await?;
                let lease = pair.lease().await?;
                ensure!(lease.metadata.uid != old, "it is the old one");
                let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
                ensure!(holder.starts_with("first_"), "{holder:?} has it");
                Ok(())
            })
            .await?;
        }
        story.end().await?;
        ensure!(pair.leaders()? == 1 && is_leader(&pair.first).await?);
        pair.nothing_stale_landed()?;
        pair.second.check().await?;
        pair.second.terminate().await?;
        pair.first.terminate().await
    });
}

#[test]
fn p3_renewals_5xx() {
    run("p3_renewals_5xx", async |test| -> Result<()> {
        let proxy = Proxy::start(test.bed).await?;
        let pair = Pair::start(test.bed, Some(proxy.server())).await?;
        let story = Story::begin(test, &pair.second).await?;
        let running = pair.first.part().running().await?;
        // Its other writes would go through.
        proxy.script(|method, path| {
            (path.contains("/leases/") && *method == Method::PUT).then_some(Deed::Answer(503))
        });
        let status = running.exited().await?;
        ensure!(status.code() == Some(1), "it led and does not any more: {status}");
        let log = pair.first.log()?;
        ensure!(log.contains("could not be renewed within 9 s"), "{log}");
        leads(&pair.second).await?;
        // Started again it cannot even read the Lease: it lives, and is not Ready.
        proxy.script(|_, path| path.contains("/leases").then_some(Deed::Answer(503)));
        pair.first.kill().await?;
        pair.first.restart().await?;
        eventually("it is not Ready, and says why", PATIENCE, async || {
            let (status, body) = pair.first.get("/readyz").await?;
            ensure!(status == 503 && body.contains("first look at the Lease"), "{status}: {body}");
            Ok(())
        })
        .await?;
        ensure!(pair.first.get("/healthz").await?.0 == 200, "a restart would not help");
        proxy.script(|_, _| None);
        is_ready(&pair.first).await?;
        story.end().await?;
        ensure!(pair.leaders()? == 2 && !is_leader(&pair.first).await?);
        pair.nothing_stale_landed()?;
        pair.first.terminate().await?;
        pair.second.terminate().await
    });
}

#[test]
fn i9_a_write_that_arrives_when_another_leads_is_refused() {
    run("i9_a_write_that_arrives_when_another_leads_is_refused", async |test| -> Result<()> {
        let proxy = Proxy::start(test.bed).await?;
        let pair = Pair::start(test.bed, Some(proxy.server())).await?;
        // The first move of a pod is on its way for a long time; meanwhile its sender loses the Lease.
        let moves = |method: &Method, path: &str| path.contains("/pods/") && *method == Method::PATCH;
        proxy.script(move |method, path| moves(method, path).then_some(Deed::Hold));
        let story = Story::set(test, &pair.second).await?;
        let held = proxy.held().await?;
        proxy.script(move |method, path| {
            let renews = path.contains("/leases/") && *method == Method::PUT;
            if renews { Some(Deed::Answer(503)) } else { moves(method, path).then_some(Deed::Hold) }
        });
        let pod = held.split('?').next().and_then(|path| path.rsplit('/').next()).context("no pod")?;
        leads(&pair.second).await?;
        story.is_given(pod).await.context("the new leader goes on with what the old one had begun")?;
        let answer = proxy.release().await?;
        ensure!(answer == 422, "it was answered with {answer}");
        story.end().await?;
        ensure!(pair.leaders()? == 2);
        ensure!(pair.nothing_stale_landed()? >= 1, "the audit log does not show what was refused");
        pair.second.terminate().await
    });
}

/// What the election rests on: a PUT that names the uid never makes a Lease anew, though the API server would.
#[test]
fn a_put_makes_no_deleted_lease_anew_if_it_names_the_uid() {
    run("a_put_makes_no_deleted_lease_anew_if_it_names_the_uid", async |test| -> Result<()> {
        let namespace = test.namespace("lease").await?;
        let leases: kube::Api<k8s_openapi::api::coordination::v1::Lease> =
            kube::Api::namespaced(test.admin.clone(), &namespace);
        let draft = serde_json::from_value(serde_json::json!({"metadata": {"name": "one"}}))?;
        let made = leases.create(&PostParams::default(), &draft).await?;
        leases.delete("one", &DeleteParams::default()).await?;
        eventually("it is gone", PATIENCE, async || {
            ensure!(leases.get_opt("one").await?.is_none(), "it is there");
            Ok(())
        })
        .await?;
        let refused = leases.replace("one", &PostParams::default(), &made).await;
        let error = refused.err().context("it was made anew")?;
        let code = match &error {
            kube::Error::Api(status) => status.code,
            _ => 0,
        };
        ensure!(matches!(code, 404 | 409), "{error}");
        ensure!(leases.get_opt("one").await?.is_none(), "it was made anew");
        Ok(())
    });
}
