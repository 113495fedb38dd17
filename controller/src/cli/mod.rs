//! The command line.
//!
//! Guarantees: exit codes are those of [`exit::CODES`] and never change their meaning; results go to standard output,
//! everything else to standard error; no output holds a credential. Installed as `kubectl-lockkeeper` it is a kubectl
//! plugin, as `kubectl_complete-lockkeeper` that plugin's completion.

mod ask;
mod check;
mod cluster;
mod complete;
mod convert;
mod crd;
mod edit;
mod eject;
mod elect;
mod examples;
pub mod exit;
mod explain;
mod get;
mod history;
mod hooks;
mod known;
mod notify;
mod output;
mod plan;
mod resolve;
mod run;
mod select;
mod simulate;
mod table;
mod when;
mod wire;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use cluster::ClusterArgs;
use exit::Failure;
use output::{print, say};
use std::{ffi::OsString, path::Path, process::ExitCode};

/// Promotes container images gate by gate and takes bad ones back.
#[derive(Debug, Parser)]
#[command(name = "lockkeeper", version, propagate_version = true, after_help = examples::TOP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the controller.
    #[command(after_help = examples::RUN)]
    Run(Box<run::Args>),
    /// Show the policies: stages, phases, what each waits for and until when.
    #[command(after_help = examples::GET)]
    Get(get::Args),
    /// Show why a policy stands where it does, what each stage waits for, and the command that ends the wait.
    #[command(after_help = examples::EXPLAIN)]
    Explain(explain::Args),
    /// Let the release that waits into its stage.
    #[command(after_help = examples::APPROVE)]
    Approve(ask::Approve),
    /// Choose what a stage shall run whose pods run a mix, or that has no safe release.
    #[command(after_help = examples::ADOPT)]
    Adopt(ask::Adopt),
    /// Widen nothing until somebody resumes; what is bad is still taken back.
    #[command(after_help = examples::HOLD)]
    Hold(ask::Hold),
    /// End holds, refusals and Blocked stages.
    #[command(after_help = examples::RESUME)]
    Resume(ask::Resume),
    /// Give a stage a release now, past the gates that are named; still in waves, still judged.
    #[command(after_help = examples::PROMOTE)]
    Promote(ask::Promote),
    /// Take a stage back to its stable release, and quarantine what it had.
    #[command(after_help = examples::ROLLBACK)]
    Rollback(ask::Rollback),
    /// Hold contents back from every stage of the namespace, and take them back where they run.
    #[command(after_help = examples::QUARANTINE)]
    Quarantine(ask::Quarantine),
    /// Release what a Quarantine holds back.
    #[command(after_help = examples::UNQUARANTINE)]
    Unquarantine(ask::Unquarantine),
    /// Show what happened to a policy, or to one release, as an incident report tells it.
    #[command(after_help = examples::HISTORY)]
    History(history::Args),
    /// Show whether the installation is healthy, and what to do where it is not.
    #[command(after_help = examples::CHECK)]
    Check(check::Args),
    /// Show what a policy file would do to this cluster. Writes nothing.
    #[command(after_help = examples::PLAN)]
    Plan(plan::Args),
    /// Show which tag a policy would take, and why not the others: of a registry, a list or a file.
    #[command(after_help = examples::SELECT)]
    Select(Box<select::Args>),
    /// Show how a reference to an image is read, and what it names.
    #[command(after_help = examples::RESOLVE)]
    Resolve(resolve::Args),
    /// Edit an image, or any value, in YAML and JSON files: only its bytes change, or the file is refused.
    #[command(after_help = examples::EDIT)]
    Edit(Box<edit::Args>),
    /// Write what a stage runs into files, so that it stays when Lockkeeper goes.
    #[command(after_help = examples::EJECT)]
    Eject(Box<eject::Args>),
    /// Print the policies that mean what resources of Flux, Argo CD Image Updater, Kargo or Keel mean.
    #[command(after_help = examples::CONVERT)]
    Convert(convert::Args),
    /// Play a policy in a scripted world in virtual time; no cluster.
    #[command(after_help = examples::SIMULATE)]
    Simulate(simulate::Args),
    /// Print the custom resource definitions.
    #[command(after_help = examples::CRD)]
    Crd,
    /// Print the script that completes commands, flags and names in a shell.
    #[command(after_help = examples::COMPLETION)]
    Completion(complete::Args),
}

/// As what this program was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Called {
    /// `lockkeeper`.
    Lockkeeper,
    /// `kubectl-lockkeeper`: kubectl runs it for `kubectl lockkeeper`.
    Plugin,
    /// `kubectl_complete-lockkeeper`: kubectl asks it for candidates.
    Completion,
}

impl Called {
    fn by(program: &OsString) -> Self {
        let name = Path::new(program).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match name.as_str() {
            "kubectl-lockkeeper" => Self::Plugin,
            name if name.starts_with("kubectl_complete-") => Self::Completion,
            _ => Self::Lockkeeper,
        }
    }
}

/// Runs the program and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    // Before anything can make a TLS client: one provider for all of them. A second call is refused, and harmless.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    clap_complete::CompleteEnv::with_factory(Cli::command).var(complete::ASKED_BY).complete();
    let words: Vec<OsString> = std::env::args_os().collect();
    let called = words.first().map_or(Called::Lockkeeper, Called::by);
    if called == Called::Completion {
        let candidates = complete::for_kubectl(Cli::command(), words.into_iter().skip(1).collect());
        return end(print(&candidates));
    }
    match read(called, words) {
        Ok(cli) => end(execute(cli.command)),
        Err(error) => {
            // A closed pipe is nobody's mistake.
            drop(error.print());
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
    }
}

fn read(called: Called, words: Vec<OsString>) -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    if called == Called::Plugin {
        command = command.bin_name("kubectl lockkeeper");
    }
    Cli::from_arg_matches(&command.try_get_matches_from(words)?)
}

fn execute(command: Command) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("the runtime could not be started: {error}")))?;
    let result = runtime.block_on(async {
        match command {
            Command::Run(args) => run::run(*args).await,
            Command::Get(args) => get::run(&args).await,
            Command::Explain(args) => explain::run(&args).await,
            Command::Approve(args) => args.run().await,
            Command::Adopt(args) => args.run().await,
            Command::Hold(args) => args.run().await,
            Command::Resume(args) => args.run().await,
            Command::Promote(args) => args.run().await,
            Command::Rollback(args) => args.run().await,
            Command::Quarantine(args) => args.run().await,
            Command::Unquarantine(args) => args.run().await,
            Command::History(args) => history::run(&args).await,
            Command::Check(args) => check::run(&args).await,
            Command::Plan(args) => plan::run(&args).await,
            Command::Select(args) => select::run(&args).await,
            Command::Resolve(args) => resolve::run(&args).await,
            Command::Edit(args) => edit::run(&args),
            Command::Eject(args) => eject::run(&args).await,
            Command::Convert(args) => convert::run(&args),
            Command::Simulate(args) => simulate::run(&args),
            Command::Crd => crd::run(),
            Command::Completion(args) => complete::run(&args),
        }
    });
    // What hangs in a blocking call must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}

fn end(result: Result<(), Failure>) -> ExitCode {
    let Err(failure) = result else { return ExitCode::SUCCESS };
    let (code, why) = failure.end();
    if let Some(why) = why {
        say(&format!("lockkeeper: {why}"));
    }
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_arguments_are_clap_s_exit_code_2() {
        let error = Cli::try_parse_from(["lockkeeper", "get", "-o", "xml"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn every_command_shows_an_example_of_itself() {
        for command in Cli::command().get_subcommands() {
            let (name, help) = (command.get_name(), command.get_after_help().map(ToString::to_string));
            let help = help.unwrap_or_default();
            assert!(
                help.contains("Example") && help.contains(&format!("lockkeeper {name}")),
                "{name}: {help}"
            );
        }
        let top = Cli::command().get_after_help().map(ToString::to_string).unwrap_or_default();
        for code in exit::CODES {
            assert!(top.contains(&format!("\n  {} ", code.number)), "{code:?}: {top}");
        }
    }

    #[test]
    fn its_own_name_says_how_it_was_called() {
        for (name, called) in [
            ("/usr/local/bin/lockkeeper", Called::Lockkeeper),
            ("kubectl-lockkeeper", Called::Plugin),
            ("/opt/kubectl-lockkeeper.exe", Called::Plugin),
            ("kubectl_complete-lockkeeper", Called::Completion),
        ] {
            assert_eq!(Called::by(&OsString::from(name)), called, "{name}");
        }
        let error = read(Called::Plugin, vec!["kubectl-lockkeeper".into(), "get".into(), "--help".into()]);
        let help = error.unwrap_err().to_string();
        assert!(help.contains("Usage: kubectl lockkeeper get"), "{help}");
    }
}
