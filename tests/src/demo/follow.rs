//! The lines of `kubectl get lkp -w` and one line per Event, while the story goes on.

use std::collections::HashMap;
use std::pin::pin;

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use k8s_openapi::api::events::v1::Event;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use serde_json::Value;
use tokio::task::AbortHandle;

use super::{POLICY, Screen};

/// Columns that say the same all the time.
const LEFT_OUT: [&str; 3] = ["Name", "Image", "Age"];

/// Two tasks that print; dropping it stops them.
pub struct Follow([AbortHandle; 2]);

impl Drop for Follow {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

impl Follow {
    /// Follows the policy and the Events of its namespace.
    pub fn start(client: &Client, screen: &Screen) -> Self {
        let rows = tokio::spawn(rows(client.clone(), screen.clone()));
        let events = tokio::spawn(events(client.clone(), screen.clone()));
        Self([rows.abort_handle(), events.abort_handle()])
    }
}

/// `imagepolicies` as kube needs it.
pub fn policies(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("lockkeeper.dev", "v1alpha1", "ImagePolicy");
    let resource = ApiResource::from_gvk_with_plural(&kind, "imagepolicies");
    Api::namespaced_with(client.clone(), POLICY.0, &resource)
}

async fn rows(client: Client, screen: Screen) {
    let mut changes = pin!(watcher(policies(&client), watcher::Config::default()).default_backoff());
    let mut last = String::new();
    while let Some(change) = changes.next().await {
        if !matches!(change, Ok(watcher::Event::Apply(_) | watcher::Event::InitApply(_))) {
            continue;
        }
        let line = match row(&client).await {
            Ok(line) => line,
            Err(error) => format!("(the policy cannot be read: {error:#})"),
        };
        if line != last {
            screen.policy(&line);
            last = line;
        }
    }
}

/// The printer columns as the API server itself fills them, those of [`LEFT_OUT`] excepted.
pub async fn row(client: &Client) -> Result<String> {
    let (namespace, name) = POLICY;
    let path = format!("/apis/lockkeeper.dev/v1alpha1/namespaces/{namespace}/imagepolicies/{name}");
    let request = http::Request::get(path)
        .header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(Vec::new())?;
    let table: Value = client.request(request).await?;
    let columns = table["columnDefinitions"].as_array().context("a table without columns")?;
    let cells = table["rows"][0]["cells"].as_array().context("a table without a row")?;
    let shown = columns.iter().zip(cells).filter_map(|(column, cell)| {
        let shown = !LEFT_OUT.contains(&column["name"].as_str()?) && !cell.is_null();
        shown.then(|| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned))
    });
    Ok(shown.collect::<Vec<_>>().join(" | "))
}

async fn events(client: Client, screen: Screen) {
    let events: Api<Event> = Api::namespaced(client, POLICY.0);
    let mut changes = pin!(watcher(events, watcher::Config::default()).default_backoff());
    let mut seen: HashMap<String, String> = HashMap::new();
    while let Some(change) = changes.next().await {
        let Ok(watcher::Event::Apply(event) | watcher::Event::InitApply(event)) = change else { continue };
        let reason = event.reason.unwrap_or_default();
        let note = event.note.unwrap_or_default();
        let text = format!("{reason}: {note}");
        // A repetition counts up in the same object.
        let key = event.metadata.uid.unwrap_or_default();
        if seen.insert(key, text.clone()).is_none_or(|before| before != text) {
            screen.event(event.type_.as_deref() == Some("Warning"), &text);
        }
    }
}
