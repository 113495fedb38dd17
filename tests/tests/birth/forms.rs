//! The form follows the API server: older and newer ones on the same etcd, as in an upgrade, with the same two replicas.

use anyhow::{Context as _, Result, ensure};
use e2e::install::{CONTROLLER, PATIENT_LEADER, install_older, start_controller_with};
use e2e::{Bed, Controller, PATIENCE, Settings, eventually, ports, run};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Api;
use kube::api::DeleteParams;
use lockkeeper_api::names::{CLUSTER_ROLE, PIN_AT_BIRTH};

use super::table::Shop;
use super::way::Way;
use super::{BINDING, POLICY, WEBHOOK, form, leads, made};

/// Kubernetes 1.34 with the kind switched on.
const BETA: [&str; 2] = [
    "--runtime-config=admissionregistration.k8s.io/v1beta1=true",
    "--feature-gates=MutatingAdmissionPolicy=true",
];
/// Kubernetes 1.36 with the kind switched off.
const OFF: [&str; 2] = [
    "--runtime-config=admissionregistration.k8s.io/v1/mutatingadmissionpolicies=false,\
     admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings=false",
    "--feature-gates=MutatingAdmissionPolicy=false",
];

struct Life {
    bed: Bed,
    shop: Shop,
    first: Controller,
    second: Controller,
    _way: Way,
}

#[test]
fn k18_k19_the_form_follows_an_older_api_server_through_its_upgrade() {
    run("k18_k19_the_form_follows_an_older_api_server_through_its_upgrade", async |_| -> Result<()> {
        let bed = Bed::start(Settings { scheduler: false, ..Settings::default() }).await?;
        bed.restart_api_server(true, &[]).await?;
        let version = bed.admin().await?.apiserver_version().await?;
        ensure!(version.git_version.starts_with("v1.34."), "{version:?}");
        let life = Life::begin(bed).await?;
        life.the_webhook_pins("an API server of 1.34").await?;
        life.a_standby_pins_and_without_any_replica_pods_are_born().await?;
        life.the_policy_takes_over("v1beta1", true, &BETA).await?;
        life.the_policy_takes_over("v1", false, &[]).await?;
        life.end().await
    });
}

#[test]
fn k18_the_webhook_pins_where_the_kind_is_switched_off_and_goes_with_the_installation() {
    run(
        "k18_the_webhook_pins_where_the_kind_is_switched_off_and_goes_with_the_installation",
        async |_| -> Result<()> {
            let bed = Bed::start(Settings { scheduler: false, ..Settings::default() }).await?;
            bed.restart_api_server(false, &OFF).await?;
            let life = Life::begin(bed).await?;
            life.the_webhook_pins("an API server of 1.36 without the kind").await?;
            life.the_policy_takes_over("v1", false, &[]).await?;
            // And back: nobody is left without.
            life.bed.restart_api_server(false, &OFF).await?;
            life.the_webhook_pins("the kind was switched off again").await?;
            life.nothing_is_left_behind().await?;
            life.end().await
        },
    );
}

impl Life {
    async fn begin(bed: Bed) -> Result<Self> {
        install_older(&bed).await?;
        let ports = [ports::free()?, ports::free()?];
        let way = Way::to(&bed, ports.to_vec()).await?;
        let shop = Shop::open(&bed, "shop").await?;
        let first = start(&bed, "first", ports[0]).await?;
        eventually("the first replica leads", PATIENCE, async || {
            ensure!(leads(&first).await?, "not yet");
            Ok(())
        })
        .await?;
        let second = start(&bed, "second", ports[1]).await?;
        Ok(Self { bed, shop, first, second, _way: way })
    }

    async fn the_webhook_pins(&self, when: &str) -> Result<()> {
        form(&self.first, "webhook").await?;
        form(&self.second, "webhook").await?;
        self.shop.is_pinned(&self.bed, &format!("the webhook: {when}")).await?;
        // No key is in any log.
        for controller in [&self.first, &self.second] {
            ensure!(!controller.log()?.contains("PRIVATE KEY"));
        }
        Ok(())
    }

    async fn a_standby_pins_and_without_any_replica_pods_are_born(&self) -> Result<()> {
        self.first.kill().await?;
        self.shop.is_pinned(&self.bed, "the webhook of a standby").await?;
        ensure!(!leads(&self.second).await?, "the Lease of the first one holds for a minute");
        self.second.kill().await?;
        self.shop.is_not_pinned(&self.bed, "while no replica runs").await?;
        let leases: Api<Lease> = Api::namespaced(self.bed.admin().await?, CONTROLLER.0);
        leases.delete("lockkeeper", &DeleteParams::default()).await?;
        self.first.restart().await?;
        self.second.restart().await?;
        self.the_webhook_pins("after a restart of everything").await
    }

    /// The API server is another one from now on; the webhook goes when the policy has stood for a while.
    async fn the_policy_takes_over(&self, version: &str, older: bool, args: &[&str]) -> Result<()> {
        self.bed.restart_api_server(older, args).await?;
        form(&self.first, version).await?;
        form(&self.second, version).await?;
        let admin = self.bed.admin().await?;
        let policy = made(&admin, version, POLICY).get(PIN_AT_BIRTH).await?;
        let owners = policy.metadata.owner_references.unwrap_or_default();
        ensure!(owners.iter().any(|owner| owner.name == CLUSTER_ROLE), "{owners:?}");
        eventually("the webhook is gone", PATIENCE, async || {
            let found = made(&admin, "v1", WEBHOOK).get_opt(PIN_AT_BIRTH).await?;
            ensure!(found.is_none(), "not yet");
            Ok(())
        })
        .await?;
        made(&admin, version, BINDING).get(PIN_AT_BIRTH).await.context("the binding")?;
        self.shop.is_pinned(&self.bed, version).await
    }

    /// As `helm uninstall` ends: the controller, and its roles.
    async fn nothing_is_left_behind(&self) -> Result<()> {
        let admin = self.bed.admin().await?;
        let secrets: Api<Secret> = Api::namespaced(admin.clone(), CONTROLLER.0);
        ensure!(secrets.get_opt(lockkeeper_api::names::WEBHOOK).await?.is_some(), "no certificates");
        self.first.terminate().await?;
        self.second.terminate().await?;
        // As an upgrade does: the garbage collector of one that saw kinds come and go may wait for one that is gone.
        let controllers = self.bed.controllers_part().context("no controller manager")?;
        controllers.kill().await?;
        controllers.start().await?;
        let roles: Api<ClusterRole> = Api::all(admin.clone());
        roles.delete(CLUSTER_ROLE, &DeleteParams::default()).await?;
        eventually("webhook and certificates are gone", PATIENCE, async || {
            let hook = made(&admin, "v1", WEBHOOK).get_opt(PIN_AT_BIRTH).await?;
            let secret = secrets.get_opt(lockkeeper_api::names::WEBHOOK).await?;
            ensure!(hook.is_none() && secret.is_none(), "{} {}", hook.is_some(), secret.is_some());
            Ok(())
        })
        .await?;
        self.shop.is_not_pinned(&self.bed, "after the installation is gone").await
    }

    async fn end(self) -> Result<()> {
        let Self { bed, first, second, .. } = self;
        drop((first, second));
        bed.stop().await
    }
}

async fn start(bed: &Bed, name: &str, port: u16) -> Result<Controller> {
    let address = format!("127.0.0.1:{port}");
    let args = [&PATIENT_LEADER[..], &["--webhook-addr", &address, "--birth-interval=1s"]].concat();
    start_controller_with(bed, name, &args).await
}
