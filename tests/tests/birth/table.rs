//! The table of new pods and what becomes of them. The webhook's own function is asked the same one in its unit test.

use anyhow::{Context as _, Result, ensure};
use e2e::install::{apply_object, checkout};
use e2e::{Bed, PATIENCE, eventually};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};

/// A namespace with all pins of the table.
pub struct Shop {
    pub namespace: String,
    table: Value,
}

impl Shop {
    pub async fn open(bed: &Bed, namespace: &str) -> Result<Self> {
        let admin = bed.admin().await?;
        let table: Value =
            serde_json::from_str(&std::fs::read_to_string(checkout("tests/tests/birth/table.json"))?)?;
        let own = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        apply_object(&admin, own).await?;
        for (name, spec) in table["pins"].as_object().context("no pins")? {
            let pin = json!({
                "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "ImagePin",
                "metadata": {"name": name, "namespace": namespace}, "spec": spec,
            });
            apply_object(&admin, pin).await?;
        }
        // A pod names this account, and nobody makes it where no controller manager runs.
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": namespace},
        });
        apply_object(&admin, account).await?;
        Ok(Self { namespace: namespace.to_owned(), table })
    }

    /// What the API server would make of a pod: admission runs in full, nothing is stored.
    async fn birth(&self, client: &Client, case: &Value) -> Result<Value> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), &self.namespace);
        let pod = serde_json::from_value(json!({"metadata": case["metadata"], "spec": case["spec"]}))?;
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        Ok(serde_json::to_value(pods.create(&dry, &pod).await.context("a pod is born")?)?)
    }

    /// Every pod becomes what the table says, once the API server has heard of everything.
    pub async fn is_pinned(&self, bed: &Bed, by: &str) -> Result<()> {
        let cases = self.table["pods"].as_array().context("no pods")?;
        ensure!(cases.len() > 30);
        let client = bed.admin().await?;
        eventually(&format!("the table holds by {by}"), PATIENCE, async || {
            for case in cases {
                let born = self.birth(&client, case).await?;
                let becomes = &case["becomes"];
                for list in ["containers", "initContainers"] {
                    let all = born["spec"][list].as_array().into_iter().flatten();
                    let images: Value = all.map(|container| container["image"].clone()).collect();
                    ensure!(
                        images == becomes[list],
                        "{}: {images} instead of {}",
                        case["why"],
                        becomes[list]
                    );
                }
                let by = &born["metadata"]["annotations"]["lockkeeper.dev/pinned-by"];
                let any = becomes["pinnedBy"] == "*" && by.is_string();
                ensure!(any || *by == becomes["pinnedBy"], "{}: pinned by {by}", case["why"]);
            }
            Ok(())
        })
        .await
    }

    /// K18: pods are born, as they are, though nothing pins them.
    pub async fn is_not_pinned(&self, bed: &Bed, when: &str) -> Result<()> {
        let (case, client) = (&self.table["pods"][0], bed.admin().await?);
        eventually(&format!("pods are born as they are {when}"), PATIENCE, async || {
            let born = self.birth(&client, case).await?;
            let (image, wanted) =
                (&born["spec"]["containers"][0]["image"], &case["spec"]["containers"][0]["image"]);
            ensure!(image == wanted, "{image}");
            Ok(())
        })
        .await
    }
}
