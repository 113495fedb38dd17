//! A release's life on a real API server: installed with no values, upgraded from an earlier chart, rolled back,
//! uninstalled. Policies and definitions stay, and pods can always be born.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use e2e::helm::{Helm, RELEASE, chart};
use e2e::install::{apply_object, start_controller_with};
use e2e::{Controller, Image, PATIENCE, Test, eventually, run};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

const NAME: &str = RELEASE.0;
const NAMESPACE: &str = RELEASE.1;
const POLICIES: &str = "imagepolicies.lockkeeper.dev";

#[test]
fn a_release_is_installed_upgraded_rolled_back_and_uninstalled() {
    run("a_release_is_installed_upgraded_rolled_back_and_uninstalled", async |test| -> Result<()> {
        let life = Life::begin(test).await?;
        life.installed_with_no_values().await?;
        life.upgraded_with_live_policies().await?;
        life.rolled_back().await?;
        life.uninstalled().await?;
        life.installed_again_without_its_kinds().await
    });
}

struct Life<'t> {
    test: &'t Test,
    helm: Helm,
    /// The chart as it is, and as it was a version ago.
    now: String,
    before: tempfile::TempDir,
    /// Where pods are born.
    shop: String,
    /// The release's controller: pods do not run here, so it is a process with the release's account and rights.
    controller: OnceCell<Controller>,
}

impl<'t> Life<'t> {
    async fn begin(test: &'t Test) -> Result<Self> {
        test.bed.kubelet().await?;
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}});
        apply_object(&test.admin, namespace).await?;
        let before = tempfile::tempdir()?;
        earlier(&chart(), before.path())?;
        Ok(Self {
            test,
            helm: Helm::on(test.bed).await?,
            now: chart().display().to_string(),
            before,
            shop: test.namespace("shop").await?,
            controller: OnceCell::new(),
        })
    }

    async fn helm(&self, args: &[&str]) -> Result<String> {
        self.helm.run(&[args, &["--namespace", NAMESPACE]].concat()).await
    }

    fn image(&self) -> Vec<String> {
        let repository = self.test.bed.registry().repository("lockkeeper");
        vec!["--set".to_owned(), format!("image.repository={repository}")]
    }

    /// The earlier chart, no values: the API server takes everything, and admits the pods although it enforces `restricted`.
    async fn installed_with_no_values(&self) -> Result<()> {
        let before = self.before.path().display().to_string();
        let said = self.helm(&["install", NAME, &before]).await?;
        ensure!(said.contains("2 replicas") && said.contains("rollout status"), "{said}");
        eventually("two pods of the controller are admitted", PATIENCE, async || {
            let pods = self.controllers().await?;
            ensure!(pods.len() == 2, "{} pods", pods.len());
            Ok(())
        })
        .await?;
        let deployment = self.deployment().await?;
        let conditions = deployment.status.and_then(|status| status.conditions).unwrap_or_default();
        ensure!(!conditions.iter().any(|one| one.type_ == "ReplicaFailure"), "{conditions:?}");
        ensure!(!self.serves("suspend").await?, "the earlier definition has no suspend");
        let started = self.controller.get_or_try_init(async || {
            start_controller_with(self.test.bed, "lockkeeper", &["--leader-elect", "--birth-interval=1s"])
                .await
        });
        started.await.map(drop)
    }

    /// The chart of today over it: definitions are upgraded, what they hold stays, the rollout ends.
    async fn upgraded_with_live_policies(&self) -> Result<()> {
        let policies = self.ours("ImagePolicy", "imagepolicies");
        let made = policies.create(&PostParams::default(), &self.policy()?).await?;
        self.pin().await?;
        let registry = self.test.bed.registry();
        registry.push("lockkeeper", "0.1.0", &Image::release("the controller")).await?;
        let image = self.image();
        let image: Vec<&str> = image.iter().map(String::as_str).collect();
        let args = [
            &[
                "upgrade",
                NAME,
                &self.now,
                "--wait",
                "--timeout",
                "90s",
                "--set",
                "pinAtBirth.failurePolicy=Fail",
            ],
            &image[..],
        ];
        self.helm(&args.concat()).await?;
        let found = policies.get("otel").await?;
        ensure!(found.metadata.uid == made.metadata.uid && found.data["spec"] == made.data["spec"]);
        eventually("the definition is upgraded", PATIENCE, async || {
            ensure!(self.serves("suspend").await?, "not yet");
            Ok(())
        })
        .await?;
        let ready = self.deployment().await?.status.and_then(|status| status.ready_replicas);
        ensure!(ready == Some(2), "{ready:?}");
        self.born("with pins, although the policy may say Fail").await
    }

    async fn rolled_back(&self) -> Result<()> {
        self.helm(&["rollback", NAME, "1"]).await?;
        let found = self.ours("ImagePolicy", "imagepolicies").get("otel").await?;
        ensure!(found.data["spec"]["image"] == "ghcr.io/example/otel");
        ensure!(!self.serves("suspend").await?, "the earlier definition is back");
        self.born("after the rollback").await?;
        // And forward again, as it was.
        self.helm(&["rollback", NAME, "2"]).await?;
        ensure!(self.serves("suspend").await?);
        Ok(())
    }

    /// Policies and definitions stay; nothing is left that could keep a pod from being born, or pin it.
    async fn uninstalled(&self) -> Result<()> {
        let said = self.helm(&["uninstall", NAME, "--wait"]).await?;
        // The Deployment is gone, and so are its pods; what they made goes by itself.
        self.controller.get().context("no controller")?.kill().await?;
        ensure!(said.contains(POLICIES) || said.contains("kept due to the resource policy"), "{said}");
        self.ours("ImagePolicy", "imagepolicies").get("otel").await?;
        self.ours("ImagePin", "imagepins").get("otel-dev").await?;
        eventually("nothing is left behind", PATIENCE, async || {
            let left = self.left().await?;
            ensure!(left.is_empty(), "left behind: {left:?}");
            Ok(())
        })
        .await?;
        eventually("pods are born as they are", PATIENCE, async || {
            let image = self.birth().await?;
            ensure!(image == "ghcr.io/example/otel:latest", "{image}");
            Ok(())
        })
        .await
    }

    /// K18: a later installation takes over what stayed; and with the kinds gone under it, pods are born.
    async fn installed_again_without_its_kinds(&self) -> Result<()> {
        self.helm(&["install", NAME, &self.now]).await?;
        // Its account is another one of that name.
        let args = ["--leader-elect", "--birth-interval=1s"];
        let controller = start_controller_with(self.test.bed, "lockkeeper-again", &args).await?;
        self.is_pinned().await?;
        let definitions: Api<CustomResourceDefinition> = Api::all(self.test.admin.clone());
        definitions.delete("imagepins.lockkeeper.dev", &DeleteParams::default()).await?;
        eventually("the kind is gone", PATIENCE, async || {
            ensure!(definitions.get_opt("imagepins.lockkeeper.dev").await?.is_none(), "not yet");
            Ok(())
        })
        .await?;
        self.born("without the kind that pins them").await?;
        self.helm(&["uninstall", NAME, "--wait"]).await?;
        self.born("after everything").await?;
        controller.kill().await
    }

    async fn born(&self, when: &str) -> Result<()> {
        self.birth().await.map(drop).with_context(|| format!("a pod is born {when}"))
    }

    /// The image with which a pod would be born now.
    async fn birth(&self) -> Result<String> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "labels": {"app": "a"}},
            "spec": {"containers": [{"name": "otel", "image": "ghcr.io/example/otel:latest"}]},
        }))?;
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let pods: Api<Pod> = Api::namespaced(self.test.admin.clone(), &self.shop);
        let born = serde_json::to_value(pods.create(&dry, &pod).await?)?;
        Ok(born["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned())
    }

    async fn controllers(&self) -> Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::namespaced(self.test.admin.clone(), NAMESPACE);
        let ours = ListParams::default().labels("app.kubernetes.io/component=controller");
        Ok(pods.list(&ours).await?.items)
    }

    async fn deployment(&self) -> Result<Deployment> {
        Ok(Api::namespaced(self.test.admin.clone(), NAMESPACE).get("lockkeeper").await?)
    }

    /// Whether the definition of policies has this field.
    async fn serves(&self, field: &str) -> Result<bool> {
        let definitions: Api<CustomResourceDefinition> = Api::all(self.test.admin.clone());
        let definition = serde_json::to_value(definitions.get(POLICIES).await?)?;
        let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
        Ok(definition.pointer(&format!("{spec}/{field}")).is_some())
    }

    fn ours(&self, kind: &str, plural: &str) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("lockkeeper.dev", "v1alpha1", kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, plural);
        Api::namespaced_with(self.test.admin.clone(), &self.shop, &resource)
    }

    fn policy(&self) -> Result<DynamicObject> {
        Ok(serde_json::from_value(json!({
            "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "ImagePolicy",
            "metadata": {"name": "otel", "namespace": self.shop},
            "spec": {
                "image": "ghcr.io/example/otel", "select": {"semver": {"range": ">=0.28.0"}},
                "stages": [{"name": "dev", "targets": [{"pods": {"selector": {"matchLabels": {"app": "a"}}}}]}],
            },
        }))?)
    }

    async fn pin(&self) -> Result<()> {
        let pin = json!({
            "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "ImagePin",
            "metadata": {"name": "otel-dev", "namespace": self.shop},
            "spec": {
                "matchLabels": {"app": "a"}, "repositories": ["ghcr.io/example/otel"],
                "digest": format!("sha256:{}", "a".repeat(64)), "stage": "dev", "deletionPolicy": "Retain",
                "policy": {"namespace": self.shop, "name": "otel", "uid": "u"},
            },
        });
        apply_object(&self.test.admin, pin).await?;
        self.is_pinned().await
    }

    async fn is_pinned(&self) -> Result<()> {
        eventually("new pods are pinned", PATIENCE, async || {
            let image = self.birth().await?;
            ensure!(image.contains("@sha256:aaaa"), "{image}");
            Ok(())
        })
        .await
    }

    /// Cluster-wide objects of the release that are there still, the definitions left out.
    async fn left(&self) -> Result<Vec<String>> {
        let mut left = Vec::new();
        for (group, version, kind, plural) in [
            ("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicy", "mutatingadmissionpolicies"),
            (
                "admissionregistration.k8s.io",
                "v1",
                "MutatingAdmissionPolicyBinding",
                "mutatingadmissionpolicybindings",
            ),
            (
                "admissionregistration.k8s.io",
                "v1",
                "ValidatingAdmissionPolicy",
                "validatingadmissionpolicies",
            ),
            (
                "admissionregistration.k8s.io",
                "v1",
                "ValidatingAdmissionPolicyBinding",
                "validatingadmissionpolicybindings",
            ),
            (
                "admissionregistration.k8s.io",
                "v1",
                "MutatingWebhookConfiguration",
                "mutatingwebhookconfigurations",
            ),
            ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles"),
            ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings"),
        ] {
            let kind = GroupVersionKind::gvk(group, version, kind);
            let resource = ApiResource::from_gvk_with_plural(&kind, plural);
            let api: Api<DynamicObject> = Api::all_with(self.test.admin.clone(), &resource);
            let ours = ListParams::default().labels("app.kubernetes.io/name=lockkeeper");
            let found = api.list(&ours).await?;
            left.extend(found.items.into_iter().filter_map(|object| object.metadata.name));
        }
        Ok(left)
    }
}

/// The chart as if it were a version older: its definition of policies does not know `suspend`.
fn earlier(chart: &Path, folder: &Path) -> Result<()> {
    copy(chart, folder)?;
    let file = folder.join("Chart.yaml");
    let text = std::fs::read_to_string(&file)?.replace("version: 0.1.0", "version: 0.0.9");
    ensure!(text.contains("version: 0.0.9"));
    std::fs::write(&file, text)?;
    let file = folder.join("files/crds").join(format!("{POLICIES}.yaml"));
    let mut definition: Value = serde_saphyr::from_str(&std::fs::read_to_string(&file)?)?;
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let fields = definition.pointer_mut(spec).and_then(Value::as_object_mut).context("no fields")?;
    fields.remove("suspend").context("the definition has no suspend")?;
    Ok(std::fs::write(&file, serde_json::to_string(&definition)?)?)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
