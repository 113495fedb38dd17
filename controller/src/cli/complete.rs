//! Completion: scripts for four shells, candidates for kubectl, and the names that only the cluster knows.
//!
//! Guarantees: completion never fails loudly and never waits longer than [`PATIENCE`] for a cluster; it only reads.

use super::{
    Failure,
    cluster::{KubectlArgs, Session},
    output::print,
};
use clap::Parser as _;
use clap_complete::{
    ArgValueCompleter, CompletionCandidate,
    engine::complete,
    env::{Bash, EnvCompleter, Fish, Powershell, Zsh},
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Resource, api::ListParams};
use lockkeeper_api::{ImagePolicy, Quarantine};
use std::{
    ffi::{OsStr, OsString},
    time::Duration,
};

/// The variable by which the scripts ask this program for candidates.
pub const ASKED_BY: &str = "LOCKKEEPER_COMPLETE";
/// How long a cluster may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// cobra's word for "no file names".
const NO_FILES: &str = ":4";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let completer: &dyn EnvCompleter = match args.shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
        Shell::Powershell => &Powershell,
    };
    let mut script = Vec::new();
    completer.write_registration(ASKED_BY, "lockkeeper", "lockkeeper", "lockkeeper", &mut script)?;
    print(&String::from_utf8_lossy(&script))
}

/// What kubectl asks a `kubectl_complete-…` program: the words so far, the last of them unfinished. One candidate a
/// line, its help behind a tab, and cobra's directive at the end.
pub fn for_kubectl(mut command: clap::Command, words: Vec<OsString>) -> String {
    let mut all = vec![OsString::from("lockkeeper")];
    all.extend(words);
    if all.len() == 1 {
        all.push(OsString::new());
    }
    let last = all.len() - 1;
    let found = complete(&mut command, all, last, None).unwrap_or_default();
    let line = |candidate: &CompletionCandidate| {
        let help = candidate.get_help().map(|help| format!("\t{}", super::output::plain(&help.to_string())));
        format!("{}{}\n", candidate.get_value().to_string_lossy(), help.unwrap_or_default())
    };
    let lines: String = found.iter().filter(|candidate| !candidate.is_hide_set()).map(line).collect();
    format!("{lines}{NO_FILES}\n")
}

/// Names of policies.
pub fn policies() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| named(current, names_of::<ImagePolicy>))
}

/// Names of Quarantines.
pub fn quarantines() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| named(current, names_of::<Quarantine>))
}

/// Names of stages of all policies of the namespace.
pub fn stages() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        named(current, async |session: Session| {
            let policies = session.api::<ImagePolicy>().list(&ListParams::default()).await?;
            Ok(policies.items.into_iter().flat_map(|p| p.spec.stages).map(|stage| stage.name).collect())
        })
    })
}

/// Names of namespaces.
pub fn namespaces() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        named(current, async |session: Session| names(&Api::<Namespace>::all(session.client)).await)
    })
}

async fn names_of<K>(session: Session) -> Result<Vec<String>, kube::Error>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    names(&session.api::<K>()).await
}

async fn names<K>(api: &Api<K>) -> Result<Vec<String>, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let list = api.list_metadata(&ListParams::default()).await?;
    Ok(list.items.iter().map(kube::ResourceExt::name_any).collect())
}

/// Only which cluster is meant, of whatever was typed.
#[derive(Debug, clap::Parser)]
#[command(ignore_errors = true, disable_help_flag = true)]
struct Meant {
    #[command(flatten)]
    cluster: KubectlArgs,
    #[arg(trailing_var_arg = false)]
    rest: Vec<String>,
}

/// Candidates of the cluster that is meant; none where it does not answer.
fn named<F, A>(current: &OsStr, ask: F) -> Vec<CompletionCandidate>
where
    F: FnOnce(Session) -> A,
    A: Future<Output = Result<Vec<String>, kube::Error>>,
{
    let Some(current) = current.to_str() else { return Vec::new() };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let words = std::env::args_os().skip(1).filter(|word| word != "--");
    let Ok(meant) = Meant::try_parse_from(std::iter::once(OsString::from("lockkeeper")).chain(words)) else {
        return Vec::new();
    };
    let asked = async {
        let session = Session::open(&meant.cluster).await.ok()?;
        ask(session).await.ok()
    };
    let found = runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await.ok().flatten() });
    let mut found = found.unwrap_or_default();
    found.sort();
    found.dedup();
    found.into_iter().filter(|name| name.starts_with(current)).map(CompletionCandidate::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn candidates(words: &[&str]) -> String {
        for_kubectl(super::super::Cli::command(), words.iter().map(OsString::from).collect())
    }

    #[test]
    fn kubectl_gets_commands_flags_and_values_with_its_directive_last() {
        for (words, part) in [
            (&["ge"][..], "get\tShow"),
            (&[""], "plan\t"),
            (&["get", "--out"], "--output"),
            (&["get", "-o", "w"], "wide"),
            (&["completion", "z"], "zsh"),
        ] {
            let text = candidates(words);
            assert!(text.lines().any(|line| line.starts_with(part)), "{words:?}: {text}");
            assert!(text.ends_with(":4\n"), "{text}");
        }
        assert_eq!(candidates(&["no-such-command", "x"]), ":4\n");
    }

    #[test]
    fn every_shell_has_a_script_that_asks_this_program() {
        for completer in [&Bash as &dyn EnvCompleter, &Zsh, &Fish, &Powershell] {
            let mut script = Vec::new();
            completer
                .write_registration(ASKED_BY, "lockkeeper", "lockkeeper", "lockkeeper", &mut script)
                .unwrap();
            let script = String::from_utf8(script).unwrap();
            assert!(
                script.contains(ASKED_BY) && script.contains("lockkeeper"),
                "{}: {script}",
                completer.name()
            );
        }
    }
}
