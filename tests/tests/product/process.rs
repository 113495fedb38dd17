//! The process: it says whether it is well, and ends when it is told to.

use anyhow::{Context as _, Result, ensure};
use e2e::install::{install, start_controller};
use e2e::promtool::Promtool;
use e2e::{Bed, PATIENCE, Settings, eventually, run};

/// Both formats of the page are what Prometheus itself reads, and promtool has nothing to say of the names.
async fn prometheus_reads(open_metrics: &str, text: &str) -> Result<()> {
    let promtool = Promtool::new().await?;
    let said = promtool.run(&["check", "metrics"], text).await?;
    ensure!(said.trim().is_empty(), "{said}");
    // A recording has times.
    let recorded: String = open_metrics
        .lines()
        .map(|line| if line.starts_with('#') { format!("{line}\n") } else { format!("{line} 1700000000\n") })
        .collect();
    promtool.write("recorded.txt", &recorded)?;
    let said =
        promtool.run(&["tsdb", "create-blocks-from", "openmetrics", "recorded.txt", "blocks"], "").await?;
    ensure!(said.contains("NUM SAMPLES"), "{said}");
    Ok(())
}

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
        ensure!(
            body.contains("lockkeeper_api_requests_total{verb=\"watch\",resource=\"pods\",code=\"2xx\"}"),
            "{body}"
        );
        let text =
            http.get(format!("http://{address}/metrics")).header("accept", "text/plain").send().await?;
        prometheus_reads(&body, &text.text().await?).await?;
        ensure!(get("/debug").await?.0 == 404);
        controller.terminate().await?;
        ensure!(get("/healthz").await.is_err(), "something listens still");
        let log = controller.log()?;
        ensure!(log.contains("told to end"), "{log}");
        bed.stop().await
    });
}
