//! What surrounds one test: a runtime, the shared bed, namespaces of its own, and what is kept when it fails.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::json;

use crate::bed::Bed;
use crate::eventually::{PATIENCE, eventually};

/// What a test gets.
pub struct Test {
    /// The bed all tests of this process share.
    pub bed: &'static Bed,
    /// A client that may do everything.
    pub admin: Client,
    name: String,
    namespaces: Mutex<Vec<String>>,
}

/// Runs an asynchronous test on the shared bed.
///
/// If it fails, the objects of its namespaces are written beside the bed's logs, which are kept and named. Its
/// namespaces are deleted at its end.
///
/// # Panics
/// When the test fails: this is the body of a `#[test]`.
pub fn run<F>(name: &str, test: F)
where
    F: AsyncFnOnce(&Test) -> Result<()>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
    let context = runtime.block_on(Test::new(name));
    let context = context.unwrap_or_else(|error| panic!("{name}: {error:#}"));
    let outcome = catch_unwind(AssertUnwindSafe(|| runtime.block_on(test(&context))));
    if !matches!(outcome, Ok(Ok(())))
        && let Err(error) = runtime.block_on(context.keep())
    {
        eprintln!("{name}: what it left could not be kept: {error:#}");
    }
    if let Err(error) = runtime.block_on(context.clean()) {
        eprintln!("{name}: its namespaces could not be deleted: {error:#}");
    }
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) => panic!("{name}: {error:#}"),
        Err(panic) => resume_unwind(panic),
    }
}

impl Test {
    async fn new(name: &str) -> Result<Self> {
        let bed = Bed::shared().await?;
        let admin = bed.admin().await?;
        Ok(Self { bed, admin, name: name.to_owned(), namespaces: Mutex::default() })
    }

    /// Makes a namespace that only this test knows, with its `default` ServiceAccount, and returns its name.
    pub async fn namespace(&self, role: &str) -> Result<String> {
        self.namespace_with(role, &[]).await
    }

    /// The same with labels.
    pub async fn namespace_with(&self, role: &str, labels: &[(&str, &str)]) -> Result<String> {
        let labels: serde_json::Map<String, serde_json::Value> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let namespace: Namespace = serde_json::from_value(json!({
            "metadata": {"generateName": format!("{role}-"), "labels": labels},
        }))?;
        let made = Api::all(self.admin.clone()).create(&PostParams::default(), &namespace).await?;
        let name = made.metadata.name.context("a namespace without a name")?;
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner).push(name.clone());
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin.clone(), &name);
        eventually("the namespace has its default ServiceAccount", PATIENCE, async || {
            Ok(accounts.get("default").await?)
        })
        .await?;
        Ok(name)
    }

    fn own_namespaces(&self) -> Vec<String> {
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn clean(&self) -> Result<()> {
        let all: Api<Namespace> = Api::all(self.admin.clone());
        for name in self.own_namespaces() {
            all.delete(&name, &DeleteParams::default()).await?;
        }
        Ok(())
    }

    async fn keep(&self) -> Result<()> {
        self.bed.keep_logs()?;
        let mut text = String::new();
        for namespace in self.own_namespaces() {
            for kind in KINDS {
                let api: Api<DynamicObject> =
                    Api::namespaced_with(self.admin.clone(), &namespace, &resource(kind));
                // A kind that this test did not install is no news.
                let Ok(list) = api.list(&ListParams::default()).await else { continue };
                for mut object in list {
                    object.metadata.managed_fields = None;
                    writeln!(text, "# {namespace} {}\n{}", kind.2, serde_json::to_string_pretty(&object)?)?;
                }
            }
        }
        let file = self.bed.logs().join(format!("{}.objects", self.name));
        std::fs::write(&file, text)?;
        eprintln!("{}: what it left in its namespaces: {}", self.name, file.display());
        Ok(())
    }
}

/// Group, version, kind and plural of what is worth looking at after a failure.
type Kind = (&'static str, &'static str, &'static str, &'static str);

const KINDS: [Kind; 7] = [
    ("lockkeeper.dev", "v1alpha1", "ImagePolicy", "imagepolicies"),
    ("lockkeeper.dev", "v1alpha1", "ImagePin", "imagepins"),
    ("lockkeeper.dev", "v1alpha1", "Quarantine", "quarantines"),
    ("lockkeeper.dev", "v1alpha1", "Intervention", "interventions"),
    ("", "v1", "Pod", "pods"),
    ("", "v1", "Event", "events"),
    ("apps", "v1", "Deployment", "deployments"),
];

fn resource((group, version, kind, plural): Kind) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}
