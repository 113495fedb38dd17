//! The command line.
//!
//! Exit codes, stable: 0 done; 1 it could not be done (the message says why); 2 the arguments are wrong; 3 `plan` found
//! something that would keep the policy from working.
//! Results go to standard output, everything else to standard error. No output holds a credential.

mod crd;
mod get;
mod plan;
mod run;
mod simulate;
mod table;
mod wire;

use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

/// Promotes container images gate by gate and takes bad ones back.
#[derive(Debug, Parser)]
#[command(name = "lockkeeper", version, propagate_version = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 it could not be done, 2 the arguments are wrong, 3 plan found something \
                          that would keep the policy from working.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the controller.
    Run(run::Args),
    /// Show the policies: stages, phases, what each waits for and until when.
    Get(get::Args),
    /// Show what a policy file would do to this cluster. Writes nothing.
    Plan(plan::Args),
    /// Play a policy in a scripted world in virtual time; no cluster.
    Simulate(simulate::Args),
    /// Print the custom resource definitions.
    Crd,
}

/// How a cluster is found.
#[derive(Clone, Debug, Default, clap::Args)]
struct ClusterArgs {
    /// Path of a kubeconfig; without it KUBECONFIG, ~/.kube/config, or the cluster this runs in.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig instead of its current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

/// Why a command ended badly.
#[derive(Debug)]
enum Failure {
    /// It could not be done.
    Failed(String),
    /// The arguments are wrong.
    Usage(String),
    /// What was found is on standard output already.
    Found,
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(chain(&error))
    }
}

/// An error with its sources, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    text
}

/// Runs the program and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    // Before anything can make a TLS client: one provider for all of them. A second call is refused, and harmless.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("lockkeeper: the runtime could not be started: {error}");
            return ExitCode::from(1);
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Run(args) => run::run(args).await,
            Command::Get(args) => get::run(&args).await,
            Command::Plan(args) => plan::run(&args).await,
            Command::Simulate(args) => simulate::run(&args),
            Command::Crd => crd::run(),
        }
    });
    // What hangs in a blocking call must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(why)) => {
            eprintln!("lockkeeper: {why}");
            ExitCode::from(1)
        }
        Err(Failure::Usage(why)) => {
            eprintln!("lockkeeper: {why}");
            ExitCode::from(2)
        }
        Err(Failure::Found) => ExitCode::from(3),
    }
}

/// Writes a result to standard output. A reader that closed the pipe has seen enough.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_arguments_are_clap_s_exit_code_2() {
        let error = Cli::try_parse_from(["lockkeeper", "get", "-o", "xml"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }
}
