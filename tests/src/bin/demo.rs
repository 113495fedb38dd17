//! `make demo`: the incident on a real control plane, told as it happens. Ends with 0 only if every claim holds.

use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use e2e::demo::{Outcome, Screen, World, play};
use e2e::{Bed, Settings, install};

const INTRODUCTION: &str = "\
Lockkeeper, the demonstration
=============================
A team runs somebody else's telemetry collector as a sidecar, at `:latest`. A release comes out that panics on one kind
of input, which only production has. You will see, on a real kube-apiserver and a real registry:
  1. three stages (dev 2 pods, staging 4, prod 30) that run 0.28.0 are pinned to it; nothing restarts
  2. 0.29.0 is pushed and `latest` is moved to it: it enters dev, passes, enters staging, passes, enters three pods of prod
  3. there it crashes about 6 times per pod-hour (a second stands for a minute here); it is taken back and quarantined
  4. one pod of prod is replaced in the middle, and one while the controller is stopped: both are born with 0.28.0
  5. 0.29.1 is pushed and goes through by itself
Then a summary from what an independent recorder saw. It takes about four minutes once everything is built.
";

fn main() -> ExitCode {
    // The client's own errors are answers that are waited for; those that matter come back as errors.
    let filter = tracing_subscriber::EnvFilter::new("warn,kube_client=off");
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).init();
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nThe demonstration came to a halt: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run() -> Result<ExitCode> {
    let screen = Screen::default();
    screen.text(INTRODUCTION);
    tokio::select! {
        outcome = demonstrate(&screen) => outcome,
        // Whatever was started ends with this process, and its folder is removed then.
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            eprintln!("interrupted; everything that was started ends now");
            Ok(ExitCode::from(130))
        }
    }
}

async fn demonstrate(screen: &Screen) -> Result<ExitCode> {
    build_program(screen).await?;
    simulate(screen).await?;
    screen
        .story("the control plane and the registry (built from source when missing: about 11 minutes, once)");
    let bed = Bed::start(Settings::default()).await?;
    let kubeconfig = bed.folder().join("admin.kubeconfig");
    bed.write_kubeconfig_of("admin", &kubeconfig)?;
    let told = tell(&bed, screen).await;
    let code = match told {
        Ok(code) => code,
        Err(error) => {
            bed.keep_logs()?;
            return Err(error);
        }
    };
    bed.stop().await?;
    Ok(code)
}

/// The story, its summary and its claims; with `KEEP=1` everything runs on until Ctrl-C.
async fn tell(bed: &Bed, screen: &Screen) -> Result<ExitCode> {
    let mut world = World::build(bed, screen).await?;
    let outcome = play(&mut world).await?;
    let code = conclude(screen, &outcome);
    if code != ExitCode::SUCCESS {
        bed.keep_logs()?;
    }
    if std::env::var("KEEP").is_ok_and(|keep| keep == "1") {
        keep(bed, screen);
        std::future::pending::<()>().await;
    }
    Ok(code)
}

fn conclude(screen: &Screen, outcome: &Outcome) -> ExitCode {
    screen.text(&format!("\nSummary\n-------\n{}\n", outcome.summary()));
    let mut code = ExitCode::SUCCESS;
    for claim in outcome.claims() {
        match claim.failure {
            None => screen.text(&format!("ok    {}", claim.what)),
            Some(why) => {
                code = ExitCode::FAILURE;
                screen.text(&format!("FAIL  {}: {why}", claim.what));
            }
        }
    }
    code
}

fn keep(bed: &Bed, screen: &Screen) {
    screen.text(&format!(
        "\nEverything runs on until Ctrl-C. In another terminal:\n  export KUBECONFIG={}\n  kubectl get lkp -A\n  \
         kubectl -n platform describe lkp otel-collector\n  kubectl -n platform get quarantines,events\n  kubectl get \
         imagepins -A\n  kubectl -n prod get pods\nThe controller's log: {}\nThe registry: {}",
        bed.folder().join("admin.kubeconfig").display(),
        bed.logs().join("lockkeeper.log").display(),
        bed.registry().host(),
    ));
}

/// The controller itself, built like this program was.
async fn build_program(screen: &Screen) -> Result<()> {
    if std::env::var_os("LOCKKEEPER_BIN").is_some() {
        return Ok(());
    }
    screen.story("lockkeeper is built (a moment if nothing changed, a few minutes the first time)");
    let begun = Instant::now();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = tokio::process::Command::new(cargo);
    command.args(["build", "--quiet", "-p", "lockkeeper"]).current_dir(install::checkout("."));
    // Into the folder that this program was built into.
    command.env("CARGO_TARGET_DIR", target_folder()?).stdin(Stdio::null()).kill_on_drop(true);
    let status = command.status().await.context("cargo could not be run")?;
    ensure!(status.success(), "`cargo build -p lockkeeper` failed ({status})");
    screen.story(&format!("lockkeeper is built ({} s)", begun.elapsed().as_secs()));
    Ok(())
}

fn target_folder() -> Result<PathBuf> {
    let me = std::env::current_exe()?;
    let folder = me.ancestors().nth(2).context("this program is in no target folder")?;
    Ok(folder.to_owned())
}

/// The same story in virtual time, so that a person knows what will be seen.
async fn simulate(screen: &Screen) -> Result<()> {
    let scenario = install::checkout("examples/incident.yaml");
    if !scenario.is_file() {
        return Ok(());
    }
    screen.story("the same story in virtual time (`lockkeeper simulate examples/incident.yaml`):");
    let mut command = tokio::process::Command::new(e2e::controller::program()?);
    command.arg("simulate").arg(&scenario).stdin(Stdio::null()).kill_on_drop(true);
    let status = command.status().await?;
    ensure!(status.success(), "`lockkeeper simulate examples/incident.yaml` failed ({status})");
    Ok(())
}
