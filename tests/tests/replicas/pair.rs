//! Two replicas of the controller on the shared bed, and what the audit log says of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use e2e::controller::program;
use e2e::install::{CONTROLLER, install, start_program_at};
use e2e::{AuditEvent, Bed, Controller, PATIENCE, eventually};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use tokio::sync::{Mutex, MutexGuard};

/// Long enough for a machine that does many other things.
const TIMES: [&str; 7] =
    ["--leader-elect", "--lease-duration", "12s", "--renew-deadline", "9s", "--retry-period", "1s"];

/// The whole cluster belongs to one pair at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A replica that leads, and one that stands by.
pub struct Pair<'b> {
    pub bed: &'b Bed,
    /// Leads at first.
    pub first: Controller,
    /// Stands by at first.
    pub second: Controller,
    /// The length of the audit log before this pair wrote.
    before: usize,
    _turn: MutexGuard<'static, ()>,
}

impl<'b> Pair<'b> {
    /// Starts both, through an API server at `server` for the first one.
    pub async fn start(bed: &'b Bed, server: Option<&str>) -> Result<Self> {
        Self::led_by(bed, server, program()?).await
    }

    /// The same, where the first one may be another version of the controller.
    pub async fn led_by(bed: &'b Bed, server: Option<&str>, version: PathBuf) -> Result<Self> {
        let turn = ONE_AT_A_TIME.lock().await;
        bed.kubelet().await?;
        install(bed).await?;
        let before = bed.audit()?.len();
        let first = replica(bed, server.unwrap_or(bed.server()), version, "first").await?;
        leads(&first).await.context("the first replica")?;
        let second = replica(bed, bed.server(), program()?, "second").await?;
        is_ready(&second).await.context("the standby")?;
        ensure!(!is_leader(&second).await?, "two lead");
        Ok(Self { bed, first, second, before, _turn: turn })
    }

    /// The Lease now.
    pub async fn lease(&self) -> Result<Lease> {
        Ok(leases(self.bed).await?.get("lockkeeper").await?)
    }

    /// What all replicas of this pair wrote, in the order in which the API server got it.
    pub fn writes(&self) -> Result<Vec<Write>> {
        let user = format!("system:serviceaccount:{}:{}", CONTROLLER.0, CONTROLLER.1);
        let all = self.bed.audit()?.into_iter().skip(self.before);
        let mut writes = Vec::new();
        for event in all.filter(|event| event.user.username == user) {
            let credential = event.user.credential().context("the audit log names no credential")?.to_owned();
            let at = event.request_received_timestamp.parse()?;
            writes.push(Write { credential, at, event });
        }
        writes.sort_by_key(|write| write.at);
        Ok(writes)
    }

    /// Nobody wrote before it led, and nothing that one sent after another had begun to lead took effect. Returns how
    /// many of such writes there were that the API server refused.
    pub fn nothing_stale_landed(&self) -> Result<usize> {
        let writes = self.writes()?;
        // When each process began to lead: its first successful write of the Lease with itself in it. A process that is
        // started again shows another token, and has another name.
        let mut began: BTreeMap<&str, Timestamp> = BTreeMap::new();
        for write in writes.iter().filter(|write| write.claims()) {
            began.entry(&write.credential).or_insert(write.at);
        }
        let mut refused = 0;
        for write in writes.iter().filter(|write| write.event.object().resource != "leases") {
            let own = began.get(write.credential.as_str());
            let own = own.with_context(|| format!("written by one that never led: {:#?}", write.event))?;
            ensure!(*own <= write.at, "written before it led: {:#?}", write.event);
            let superseded = began.values().any(|other| other > own && *other < write.at);
            if superseded {
                ensure!(!write.event.succeeded(), "a stale write landed: {:#?}", write.event);
                refused += 1;
            }
        }
        Ok(refused)
    }

    /// The replicas that told on the Lease that they lead, in their order.
    pub fn told_on_the_lease(&self) -> Result<Vec<String>> {
        let events = self.writes()?.into_iter().filter(|write| write.event.object().resource == "events");
        let bodies = events.filter(|write| write.event.succeeded()).filter_map(|w| w.event.request_object);
        let leads = bodies.filter(|body| {
            body["reason"] == "LeaderElected"
                && body["regarding"]["kind"] == "Lease"
                && body["regarding"]["uid"].is_string()
        });
        Ok(leads.filter_map(|body| Some(body["reportingInstance"].as_str()?.to_owned())).collect())
    }

    /// How many processes have led.
    pub fn leaders(&self) -> Result<usize> {
        let writes = self.writes()?;
        let claims = writes.iter().filter(|write| write.claims());
        Ok(claims.map(|write| &write.credential).collect::<std::collections::BTreeSet<_>>().len())
    }
}

/// One write of a replica.
pub struct Write {
    /// The token that was shown: one per process.
    pub credential: String,
    /// When the API server got it.
    pub at: Timestamp,
    pub event: AuditEvent,
}

impl Write {
    /// The Lease with its writer as holder, and not refused.
    pub fn claims(&self) -> bool {
        self.holder().is_some_and(|holder| !holder.is_empty())
    }

    /// The Lease, given back.
    pub fn gives_back(&self) -> bool {
        self.holder().is_some_and(str::is_empty)
    }

    fn holder(&self) -> Option<&str> {
        let event = &self.event;
        let lease = event.object().resource == "leases" && event.succeeded();
        let spec = event.request_object.as_ref()?.get("spec").filter(|_| lease)?;
        let lasts = spec.get("leaseDurationSeconds")?.as_i64()?;
        match spec.get("holderIdentity").and_then(|holder| holder.as_str()) {
            Some(holder) => Some(holder),
            // One that nobody held yet has the usual duration.
            None => (lasts == 1).then_some(""),
        }
    }
}

/// The Leases of the controller's namespace.
pub async fn leases(bed: &Bed) -> Result<Api<Lease>> {
    Ok(Api::namespaced(bed.admin().await?, CONTROLLER.0))
}

async fn replica(bed: &Bed, server: &str, version: PathBuf, name: &str) -> Result<Controller> {
    let env = [("POD_NAME", name), ("HOSTNAME", name)];
    start_program_at(bed, server, version, &format!("lockkeeper-{name}"), &TIMES, &env).await
}

/// Its own word.
pub async fn is_leader(replica: &Controller) -> Result<bool> {
    let (_, metrics) = replica.get("/metrics").await?;
    let line = metrics.lines().find_map(|line| line.strip_prefix("lockkeeper_leader "));
    Ok(line.context("no metric lockkeeper_leader")? == "1")
}

/// Waits until it leads.
pub async fn leads(replica: &Controller) -> Result<()> {
    eventually("it leads", PATIENCE, async || {
        replica.check().await?;
        ensure!(is_leader(replica).await?, "it does not; the end of its log:\n{}", replica.log()?);
        Ok(())
    })
    .await
}

/// Waits until it is Ready.
pub async fn is_ready(replica: &Controller) -> Result<()> {
    eventually("it is Ready", PATIENCE, async || {
        replica.check().await?;
        let (status, body) = replica.get("/readyz").await?;
        ensure!(status == 200, "{status}: {body}");
        Ok(())
    })
    .await
}
