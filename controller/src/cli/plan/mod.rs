//! `lockkeeper plan`: what a policy file would do to a cluster, found out by the same watches, lookups and decisions
//! as the controller's. Writes nothing to the cluster.

mod render;
pub mod rights;
mod shown;
mod survey;

use super::{
    ClusterArgs, Failure,
    output::{Machine, machine, print},
    wire::{Connection, Installation},
};
use lockkeeper_api::ImagePolicy;
use serde_json::Value;
use std::{io::Read as _, path::PathBuf};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    installation: Installation,
    /// A file with one `ImagePolicy`; `-` reads standard input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// The format.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
    Yaml,
}

impl Output {
    /// The same for programs, or for people.
    fn print(self, text: impl FnOnce() -> String, value: impl FnOnce() -> Value) -> Result<(), Failure> {
        match self {
            Self::Text => print(&text()),
            Self::Json => print(&machine(Machine::Json, &value())?),
            Self::Yaml => print(&machine(Machine::Yaml, &value())?),
        }
    }
}

pub async fn run(args: &Args) -> Result<(), Failure> {
    let connection = Connection::open(&args.cluster).await?;
    let mut object = read(args)?;
    if object.metadata.namespace.is_none() {
        object.metadata.namespace = Some(connection.client.default_namespace().to_owned());
    }
    let policy = match lockkeeper_api::parse(&object) {
        Ok(policy) => policy,
        Err(errors) => {
            args.output.print(|| render::invalid(&errors), || shown::invalid(&errors))?;
            return Err(Failure::Found);
        }
    };
    let plan = survey::survey(&connection, &args.installation, &object, policy).await?;
    args.output.print(|| render::render(&plan), || shown::plan(&plan))?;
    if plan.problems.is_empty() { Ok(()) } else { Err(Failure::Found) }
}

fn read(args: &Args) -> Result<ImagePolicy, Failure> {
    let name = args.file.display();
    let text = if args.file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(&args.file)
    };
    let text = text.map_err(|error| Failure::Failed(format!("--file {name} cannot be read: {error}")))?;
    serde_saphyr::from_str(&text)
        .map_err(|error| Failure::Failed(format!("--file {name} is not one ImagePolicy in YAML: {error}")))
}
