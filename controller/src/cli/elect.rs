//! The flags of the election, and what is made of them.

use super::{
    Failure,
    wire::{Connection, SystemClock},
};
use crate::{
    election::{Boottime, Election, Office, Timing},
    kubernetes::lease::LeaseStore,
    telemetry::Metrics,
};
use jiff::SignedDuration;
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// How several replicas agree on the one that writes.
#[derive(Clone, Debug, clap::Args)]
pub struct ElectionArgs {
    /// Write only while this replica holds the Lease; the others follow the cluster and stand by. Without this flag: true
    /// inside a cluster, false with a kubeconfig.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    leader_elect: Option<bool>,
    /// The Lease.
    #[arg(long, value_name = "NAME", default_value = "lockkeeper")]
    lease_name: String,
    /// The Lease's namespace; without it --namespace.
    #[arg(long, value_name = "NAME")]
    lease_namespace: Option<String>,
    /// Another replica takes over after the Lease was not renewed for this long: whole seconds, 2s to 5m.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    lease_duration: Duration,
    /// A leader that has not renewed the Lease for this long writes no more and ends: at most four fifths of
    /// --lease-duration.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    renew_deadline: Duration,
    /// Between two looks at the Lease, and between two renewals: at most a third of --renew-deadline.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    retry_period: Duration,
    /// The first part of this replica's name in the Lease.
    #[arg(long, value_name = "NAME", env = "POD_NAME", default_value = "lockkeeper")]
    pod_name: String,
}

/// An election, and what is held by who wins it.
pub struct Elected {
    /// Until it is started.
    pub election: Election,
    /// Its Lease.
    pub lease: Arc<LeaseStore>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<SignedDuration>().map_err(|error| format!("{error}; write it as 15s or 1m"))?;
    Duration::try_from(parsed).map_err(|_| "a time cannot be negative".to_owned())
}

impl ElectionArgs {
    /// The office, and the election if there is one.
    pub fn build(
        &self,
        connection: &Connection,
        namespace: &str,
        metrics: &Arc<Metrics>,
        hooks: Option<SocketAddr>,
    ) -> Result<(Arc<Office>, Option<Elected>), Failure> {
        let timing = Timing::new(self.lease_duration, self.renew_deadline, self.retry_period);
        let timing = timing.map_err(Failure::Usage)?;
        let steady = Arc::new(Boottime);
        if !self.leader_elect.unwrap_or(connection.inside) {
            tracing::warn!(
                "no leader is elected: nothing keeps another replica from writing, too; --leader-elect changes that"
            );
            metrics.leads(true);
            return Ok((Arc::new(Office::sole(steady)), None));
        }
        let office = Arc::new(Office::elected(Arc::clone(&steady) as _, timing));
        let namespace = self.lease_namespace.as_deref().unwrap_or(namespace);
        let lease = LeaseStore::new(connection.client.clone(), namespace, &self.lease_name);
        let lease = Arc::new(lease.with_hooks(hooks));
        let election = Election {
            leases: Arc::clone(&lease) as _,
            clock: Arc::new(SystemClock),
            steady,
            timing,
            identity: format!("{}_{}", self.pod_name, suffix()?),
            office: Arc::clone(&office),
            metrics: Arc::clone(metrics),
        };
        Ok((office, Some(Elected { election, lease })))
    }
}

/// Makes a name that no other process has, not even one of the same pod.
fn suffix() -> Result<String, Failure> {
    let mut bytes = [0; 8];
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| Failure::Failed("no random numbers for this replica's name in the Lease".to_owned()))?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_do() {
        assert_eq!(duration("15s"), Ok(Duration::from_secs(15)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["15", "-2s", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn two_processes_never_have_the_same_name() {
        assert_ne!(suffix().ok(), suffix().ok());
    }
}
