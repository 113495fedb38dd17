//! What people ask for on the command line, and what comes of it: a real API server with its admission policies, the real
//! controller, simulated nodes.

#[path = "cli_people/asks.rs"]
mod asks;
#[path = "cli_people/looks.rs"]
mod looks;
#[path = "cli_people/shells.rs"]
mod shells;

use anyhow::{Context as _, Result, ensure};
use e2e::controller::program;
use e2e::scene::Scene;
use e2e::{PATIENCE, Pushed, Test};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Stdio;
use tokio::process::Command;
use tokio::time::timeout;

/// What a command ended with.
#[derive(Debug)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    /// It ended with this code and said this, on either stream.
    fn with(self, code: i32, parts: &[&str]) -> Result<Self> {
        ensure!(self.code == code, "{self:?}");
        for part in parts {
            ensure!(self.out.contains(part) || self.err.contains(part), "{part} is not in {self:#?}");
        }
        Ok(self)
    }
}

/// Runs a command whose standard output and standard error are pipes that were closed before it wrote anything: it ends by
/// itself with one of its own exit codes, neither by a signal nor by a panic (101).
async fn unheard(mut command: Command, what: &str) -> Result<()> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
    drop((child.stdout.take(), child.stderr.take()));
    let status = timeout(PATIENCE, child.wait()).await.with_context(|| format!("{what} does not end"))??;
    let code = status.code().with_context(|| format!("{what}: {status}"))?;
    ensure!((0..=6).contains(&code), "{what}: {status}");
    Ok(())
}

/// A scene and somebody at its command line.
struct Desk {
    scene: Scene<'static>,
}

impl Desk {
    async fn set(test: &Test, role: &str) -> Result<Self> {
        Ok(Self { scene: Scene::set(test, role).await? })
    }

    fn kubeconfig(&self, user: &str) -> Result<PathBuf> {
        let file = self.scene.bed.folder().join(format!("{}-{user}.kubeconfig", self.scene.namespace));
        self.scene.bed.write_kubeconfig_of(user, &file)?;
        Ok(file)
    }

    fn command(&self, user: &str, args: &[&str]) -> Result<Command> {
        let mut command = Command::new(program()?);
        let (namespace, kubeconfig) = (&self.scene.namespace, self.kubeconfig(user)?);
        command.args(args).args(["-n", namespace]).env("KUBECONFIG", kubeconfig).kill_on_drop(true);
        Ok(command)
    }

    /// Runs a command as somebody, in the scene's namespace.
    async fn runs_as(&self, user: &str, args: &[&str]) -> Result<Ended> {
        let output = self.command(user, args)?.output().await?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).context("no UTF-8");
        Ok(Ended {
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout)?,
            err: text(output.stderr)?,
        })
    }

    /// Runs a command with pipes that nobody reads.
    async fn speaks_to_nobody(&self, args: &[&str]) -> Result<()> {
        unheard(self.command("admin", args)?, &args.join(" ")).await
    }

    async fn runs(&self, args: &[&str]) -> Result<Ended> {
        self.runs_as("admin", args).await
    }

    /// `explain -o json`.
    async fn explained(&self) -> Result<Value> {
        let ended = self.runs(&["explain", "otel", "-o", "json"]).await?.with(0, &[])?;
        Ok(serde_json::from_str(&ended.out)?)
    }

    /// Runs the command that `explain` shows for the first stage, word by word.
    async fn runs_what_explain_shows(&self) -> Result<Ended> {
        let found = self.explained().await?;
        let command =
            found["stages"][0]["command"].as_str().with_context(|| format!("no command: {found:#}"))?;
        let command = command.replace("'…'", "test");
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        let output = Command::new(program()?)
            .args(&words)
            .env("KUBECONFIG", self.kubeconfig("admin")?)
            .output()
            .await?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).context("no UTF-8");
        Ok(Ended {
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout)?,
            err: text(output.stderr)?,
        })
    }

    /// Three pods of an application whose collector is the first release, adopted by a policy that `change` was made to.
    async fn adopted(&self, change: impl FnOnce(&mut Value)) -> Result<Pushed> {
        let scene = &self.scene;
        let old = scene.push_first().await?;
        scene.apply(scene.deployment("shop", 3, &old.tagged("latest"))).await?;
        scene.all_run(&old.digest, 3).await?;
        let mut policy = scene.policy(&Scene::pods_target());
        change(&mut policy["spec"]);
        scene.apply(policy).await?;
        scene.holds(&old.digest).await?;
        Ok(old)
    }

    /// Waits until the stage waits for this.
    async fn waits(&self, reason: &str) -> Result<()> {
        let wanted = |status: &e2e::scene::Status| {
            ensure!(status.stage()["reason"] == reason, "it does not");
            Ok(())
        };
        self.scene.until("otel", &format!("the stage waits: {reason}"), wanted).await.map(drop)
    }

    /// Who asked for what, in the namespace.
    async fn interventions(&self) -> Result<Vec<Value>> {
        let list = self.scene.ours("Intervention").list(&kube::api::ListParams::default()).await?;
        Ok(list
            .items
            .into_iter()
            .map(|one| json!({"name": one.metadata.name, "spec": one.data["spec"]}))
            .collect())
    }
}
