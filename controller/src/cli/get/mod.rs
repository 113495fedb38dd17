//! `lockkeeper get`: where every policy, and every stage of it, stands.

mod rows;
#[cfg(test)]
mod tests;
mod watch;

use super::{
    Failure,
    cluster::{KubectlArgs, Session},
    output::{Colour, Machine, Paint, machine, print, say},
    table::{Columns, header},
    when::When,
};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, ObjectList},
};
use lockkeeper_api::ImagePolicy;
use rows::View;
use serde_json::json;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    cluster: KubectlArgs,
    /// Only this policy.
    #[arg(add = super::complete::policies())]
    policy: Option<String>,
    /// All namespaces.
    #[arg(short = 'A', long, conflicts_with_all = ["namespace", "policy"])]
    all_namespaces: bool,
    /// Only policies with these labels, such as team=edge,tier!=test.
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "policy")]
    selector: Option<String>,
    /// Go on showing what changes.
    #[arg(short, long)]
    watch: bool,
    /// The format; `wide` has a line for every stage.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// No header.
    #[arg(long)]
    no_headers: bool,
    /// Whether to use colours.
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    color: Colour,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Table,
    Wide,
    Json,
    Yaml,
    Name,
}

pub async fn run(args: &Args) -> Result<(), Failure> {
    let session = Session::open(&args.cluster).await?;
    let api: Api<ImagePolicy> =
        if args.all_namespaces { Api::all(session.client.clone()) } else { session.api() };
    if args.watch {
        return watch::watch(args, &session, api).await;
    }
    if let Some(name) = &args.policy {
        let policy = session.policy(name).await?;
        return match args.output.machine() {
            Some(format) => print(&machine(format, &policy)?),
            None => print(&Printer::new(args).whole(&[policy])),
        };
    }
    let params = ListParams { label_selector: args.selector.clone(), ..ListParams::default() };
    let ObjectList { items: policies, .. } = session.answer(api.list(&params)).await?;
    match args.output.machine() {
        Some(format) => {
            let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": policies});
            print(&machine(format, &list)?)
        }
        None if policies.is_empty() => {
            say(&nothing(args, &session));
            Ok(())
        }
        None => print(&Printer::new(args).whole(&policies)),
    }
}

impl Output {
    fn machine(self) -> Option<Machine> {
        match self {
            Self::Json => Some(Machine::Json),
            Self::Yaml => Some(Machine::Yaml),
            Self::Table | Self::Wide | Self::Name => None,
        }
    }
}

fn nothing(args: &Args, session: &Session) -> String {
    let place = if args.all_namespaces {
        "the cluster".to_owned()
    } else {
        format!("namespace {}", session.namespace)
    };
    match &args.selector {
        Some(selector) => format!("no ImagePolicy in {place} has labels {selector}"),
        None => format!("there is no ImagePolicy in {place}"),
    }
}

/// Writes policies for people: lines that come later line up with those before.
struct Printer {
    output: Output,
    paint: Paint,
    view: View,
    columns: Columns,
    headed: bool,
}

impl Printer {
    fn new(args: &Args) -> Self {
        let view = View { when: When::here(), namespaces: args.all_namespaces };
        Self {
            output: args.output,
            paint: Paint::new(args.color),
            view,
            columns: Columns::default(),
            headed: args.no_headers,
        }
    }

    /// All of them, under a header if none was written yet.
    fn whole(&mut self, policies: &[ImagePolicy]) -> String {
        if self.output == Output::Name {
            let name = |policy: &ImagePolicy| format!("imagepolicy.lockkeeper.dev/{}\n", policy.name_any());
            return policies.iter().map(name).collect();
        }
        let wide = self.output == Output::Wide;
        let mut rows = Vec::new();
        if !self.headed {
            rows.push(header(&self.view.header(wide)));
            self.headed = true;
        }
        rows.extend(policies.iter().flat_map(|policy| self.view.rows(policy, wide)));
        self.columns.lines(&rows, self.paint)
    }
}
