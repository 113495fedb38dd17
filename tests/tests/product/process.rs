//! The process: it says whether it is well, and ends when it is told to.

use anyhow::{Context as _, Result, ensure};
use e2e::install::{install, start_controller};
use e2e::{Bed, PATIENCE, Settings, eventually, run};

#[test]
fn it_answers_for_its_health_and_ends_with_0_on_sigterm() {
    run("it_answers_for_its_health_and_ends_with_0_on_sigterm", async |_| -> Result<()> {
        // A bed of its own: two controllers would both act.
        let bed = Bed::start(Settings { controllers: false, scheduler: false }).await?;
        install(&bed).await?;
        let controller = start_controller(&bed, "lockkeeper").await?;
        let args = &controller.part().args;
        let flag = args.iter().position(|arg| arg == "--http-addr").context("no --http-addr")?;
        let address = args.get(flag + 1).context("no address")?.clone();
        let http = reqwest::Client::builder().no_proxy().build()?;
        let get = async |path: &str| -> Result<(u16, String)> {
            let answer = http.get(format!("http://{address}{path}")).send().await?;
            Ok((answer.status().as_u16(), answer.text().await?))
        };
        eventually("it is ready", PATIENCE, async || {
            controller.check().await?;
            let (status, body) = get("/readyz").await?;
            ensure!(status == 200, "{status}: {body}");
            Ok(())
        })
        .await?;
        let (status, body) = get("/healthz").await?;
        ensure!(status == 200, "{status}: {body}");
        let (status, body) = get("/metrics").await?;
        ensure!(status == 200 && body.ends_with("# EOF\n"), "{status}: {body}");
        ensure!(body.contains("lockkeeper_watch_synced{kind=\"Pods\"} 1"), "{body}");
        ensure!(get("/debug").await?.0 == 404);
        controller.terminate().await?;
        ensure!(get("/healthz").await.is_err(), "something listens still");
        let log = controller.log()?;
        ensure!(log.contains("told to end"), "{log}");
        bed.stop().await
    });
}
