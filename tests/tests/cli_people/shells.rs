//! Completion in the shells themselves: each reads the script that it is given, and completes the name of a policy that only
//! the cluster knows. PowerShell is not to be had here; its script is looked at in the program's own tests.

use crate::Desk;
use anyhow::{Context as _, Result, ensure};
use e2e::controller::program;
use e2e::programs::{self, Target};
use e2e::{PATIENCE, run};
use std::path::Path;
use tokio::process::Command;
use tokio::time::timeout;

/// A shell that somebody types into, and what is then on the screen. Completion is a matter of its line editor, so it
/// gets a terminal.
const ZSH: &str = r#"
zmodload zsh/zpty
zpty -b typed "$1 -i"
zpty -w typed "PS1='> '; unsetopt beep; autoload -Uz compinit && compinit -u -D; source <(lockkeeper completion zsh) && echo READ=\$?"
zpty -r -m typed screen '*READ=0*' || exit 3
zpty -w -n typed $'lockkeeper explain ot\t'
zpty -r -m typed screen '*otel-of-the-edge*' || exit 4
print -r -- completed
"#;

const FISH: &str = "lockkeeper completion fish | source; complete -C 'lockkeeper explain ot'";

const BASH: &str = "COMP_WORDS=(lockkeeper explain ot); COMP_CWORD=2; COMP_TYPE=9; source <(lockkeeper completion bash); \
                    _clap_complete_lockkeeper lockkeeper ot explain; printf '%s\\n' \"${COMPREPLY[@]}\"";

async fn types(desk: &Desk, shell: &Path, script: &str, more: &[&str]) -> Result<String> {
    let program = program()?;
    let folder = program.parent().context("a folder")?.display().to_string();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
    let home = tempfile::tempdir()?;
    let mut command = Command::new(shell);
    command.args(["-c", script]).args(more).current_dir(home.path()).kill_on_drop(true);
    // The context of the kubeconfig has no namespace; the policy of this test is in `default`.
    command.env("PATH", path).env("HOME", home.path()).env("TERM", "xterm");
    command.env("KUBECONFIG", desk.kubeconfig("admin")?);
    let output =
        timeout(PATIENCE, command.output()).await.with_context(|| format!("{}", shell.display()))??;
    ensure!(output.status.success(), "{}: {output:?}", shell.display());
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn each_shell_completes_the_name_of_a_policy() {
    run("each_shell_completes_the_name_of_a_policy", async |test| -> Result<()> {
        let desk = Desk::set(test, "cli-shells").await?;
        let mut policy = desk.scene.policy(&e2e::scene::Scene::pods_target());
        policy["metadata"] = serde_json::json!({"name": "otel-of-the-edge", "namespace": "default"});
        policy["spec"]["mode"] = serde_json::json!("Observe");
        e2e::install::apply_object(&desk.scene.admin, policy).await?;

        let shells = programs::folder(Target::Shells).await?;
        let zsh = shells.join("zsh");
        let zsh_itself = zsh.display().to_string();
        let said = types(&desk, &zsh, ZSH, &["zsh", &zsh_itself]).await?;
        ensure!(said.trim() == "completed", "{said}");
        for (shell, script) in [(shells.join("fish"), FISH), ("bash".into(), BASH)] {
            let said = types(&desk, &shell, script, &[]).await?;
            ensure!(said.trim() == "otel-of-the-edge", "{}: {said}", shell.display());
        }
        desk.scene.finish().await
    });
}
