//! `lockkeeper get --watch`: a line, or a document, for everything that changes, until nobody reads any more.

use super::{Args, Output, Printer, nothing};
use crate::cli::{
    Failure,
    cluster::Session,
    output::{Machine, machine, say, still_read},
    when::When,
};
use futures::TryStreamExt as _;
use kube::{
    Api, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use lockkeeper_api::ImagePolicy;
use std::{collections::BTreeMap, pin::pin};

pub async fn watch(args: &Args, session: &Session, api: Api<ImagePolicy>) -> Result<(), Failure> {
    let mut config = watcher::Config::default();
    config.label_selector.clone_from(&args.selector);
    config.field_selector = args.policy.as_ref().map(|name| format!("metadata.name={name}"));
    // What is refused now would be tried again for ever by the watch.
    match &args.policy {
        Some(name) => drop(session.policy(name).await?),
        None => drop(session.answer(api.list_metadata(&kube::api::ListParams::default().limit(1))).await?),
    }
    let mut events = pin!(kube::runtime::watcher(api, config).default_backoff());
    let mut seen = Seen { printer: Printer::new(args), shown: BTreeMap::new() };
    let mut first = Some(Vec::new());
    loop {
        let event = match events.try_next().await {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(()),
            Err(error) => {
                say(&format!("the watch was interrupted and goes on: {error}"));
                continue;
            }
        };
        let text = match (event, &mut first) {
            (Event::InitApply(policy), Some(list)) => {
                list.push(policy);
                continue;
            }
            (Event::InitDone, list) => {
                let Some(policies) = list.take() else { continue };
                if policies.is_empty() {
                    say(&nothing(args, session));
                }
                seen.changed(policies)?
            }
            (Event::Init, _) => continue,
            (Event::Apply(policy) | Event::InitApply(policy), _) => seen.changed(vec![policy])?,
            (Event::Delete(policy), _) => {
                seen.shown.remove(&key(&policy));
                say(&format!("ImagePolicy {} was deleted", key(&policy)));
                continue;
            }
        };
        if !still_read(&text)? {
            return Ok(());
        }
    }
}

/// What was shown of each policy: what looks the same is not shown again.
struct Seen {
    printer: Printer,
    shown: BTreeMap<String, Vec<Vec<crate::cli::table::Cell>>>,
}

impl Seen {
    fn changed(&mut self, mut policies: Vec<ImagePolicy>) -> Result<String, Failure> {
        if let Some(format) = self.printer.output.machine() {
            let separator = if format == Machine::Yaml { "---\n" } else { "" };
            let texts: Result<Vec<String>, Failure> = policies
                .iter()
                .map(|policy| Ok(format!("{separator}{}", machine(format, policy)?)))
                .collect();
            return Ok(texts?.concat());
        }
        self.printer.view.when = When::here();
        let wide = self.printer.output == Output::Wide;
        policies.retain(|policy| {
            // Without ends and ages: they change by themselves.
            let still =
                super::View { when: When { now: jiff::Timestamp::MIN, ..When::here() }, namespaces: true };
            let rows = still.rows(policy, wide);
            self.shown.insert(key(policy), rows.clone()).is_none_or(|before| before != rows)
        });
        if policies.is_empty() { Ok(String::new()) } else { Ok(self.printer.whole(&policies)) }
    }
}

fn key(policy: &ImagePolicy) -> String {
    format!("{}/{}", policy.namespace().unwrap_or_default(), policy.name_any())
}
