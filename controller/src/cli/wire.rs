//! The composition root: the only place that names concrete adapters and puts them behind the ports.

use super::{ClusterArgs, Failure};
use crate::{
    forges::{self, ForgeClients},
    git::{self, Git},
    hooks::google::{self, Google},
    hosts::{HostPolicy, Lookup, SystemLookup},
    kubernetes::{Kubernetes, Settings, WorkloadKind, client},
    notify::{self, Notifiers},
    ports::{Clock, Wakes},
    registry::{
        self, OciRegistry,
        cloud::{self, Clouds, Endpoint, GkeCluster},
    },
    signals::{Door, Servers, Tls},
    signatures::SigstoreVerifier,
    telemetry::{CountRequests, Metrics},
};
use jiff::Timestamp;
use kube::{Client, Config, client::ClientBuilder};
use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, sync::Arc};
use url::Url;

/// Which registries may be dialled, and whose certificates are believed; the same for all commands.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Registries {
    /// A host[:port] that may be dialled whatever its address is, and over plain HTTP where a policy asks for it.
    /// Repeatable.
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<String>,
    /// Refuse registries with private addresses unless they are listed by --allow-host.
    #[arg(long)]
    deny_private_hosts: bool,
    /// A file with certificates in PEM form that registries may be signed by, besides the machine's own. Repeatable.
    #[arg(long, value_name = "FILE")]
    registry_ca: Vec<PathBuf>,
    /// A `trusted_root.json` of Sigstore, whose authorities and logs vouch for keyless signatures instead of those that came
    /// with this program. It is read again when it changes.
    #[arg(long, value_name = "FILE")]
    sigstore_trusted_root: Option<PathBuf>,
}

impl Registries {
    /// A client that never dials `api_server`.
    pub fn client(&self, api_server: Option<IpAddr>) -> Result<OciRegistry, Failure> {
        Ok(OciRegistry::new(self.hosts(api_server)?, self.options()?)?)
    }

    fn options(&self) -> Result<registry::Options, Failure> {
        Ok(registry::Options { extra_roots: self.extra_roots()?, ..Default::default() })
    }

    /// Judges signatures.
    pub fn verifier(&self) -> Result<SigstoreVerifier, Failure> {
        SigstoreVerifier::new(self.sigstore_trusted_root.clone())
            .map_err(|why| Failure::Usage(format!("--sigstore-trusted-root: {why}")))
    }

    /// Checks the tokens of Google's push subscriptions; its keys are read from where Google publishes them.
    pub fn google(&self, api_server: Option<IpAddr>) -> Result<Google, Failure> {
        let keys = Url::parse(google::KEYS).map_err(|error| Failure::Failed(error.to_string()))?;
        let (hosts, tls) = (self.hosts(api_server)?, registry::tls(self.extra_roots()?.as_deref())?);
        let lookup: Arc<dyn Lookup> = Arc::new(SystemLookup);
        Google::new(keys, hosts, &tls, &lookup).map_err(|error| Failure::Failed(error.to_string()))
    }

    /// The clients of servers of signals, which believe what the registries' client does.
    pub fn signals(
        &self,
        api_server: Option<IpAddr>,
        endpoints: BTreeMap<String, Url>,
    ) -> Result<Servers, Failure> {
        let door = Door::new(self.hosts(api_server)?, Arc::new(SystemLookup), self.tls()?, endpoints);
        Ok(Servers::new(door))
    }

    /// The clients of those who tell people, which believe the same.
    fn notifiers(&self, api_server: Option<IpAddr>, config: notify::Config) -> Result<Notifiers, Failure> {
        Ok(Notifiers::new(self.hosts(api_server)?, Arc::new(SystemLookup), self.tls()?, config))
    }

    /// TLS that believes an authority of one's own, too.
    fn tls(&self) -> Result<Box<Tls>, Failure> {
        let roots = self.extra_roots()?;
        Ok(Box::new(move |authority: Option<&[u8]>| {
            if let Some(pem) = authority {
                registry::check_roots(pem)
                    .map_err(|_| "key ca.crt of the Secret holds no certificate in PEM form".to_owned())?;
            }
            let parts: Vec<&[u8]> = [roots.as_deref(), authority].into_iter().flatten().collect();
            let all = parts.join(&b'\n');
            let all = Some(all.as_slice()).filter(|all| !all.is_empty());
            registry::tls(all).map_err(|error| error.message)
        }))
    }

    /// The clients of forges, which believe what those of servers of signals do.
    fn forges(&self, api_server: Option<IpAddr>) -> Result<ForgeClients, Failure> {
        let hosts = self.hosts(api_server)?;
        Ok(ForgeClients::new(forges::Door::new(hosts, Arc::new(SystemLookup), self.tls()?)))
    }

    fn hosts(&self, api_server: Option<IpAddr>) -> Result<Arc<HostPolicy>, Failure> {
        let hosts = HostPolicy::new(&self.allow_host, self.deny_private_hosts)
            .map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(Arc::new(hosts.and_never(api_server)))
    }

    /// The certificates of all `--registry-ca` files in one text. Each must hold one: a typo must not end in a
    /// registry that is not trusted.
    fn extra_roots(&self) -> Result<Option<Vec<u8>>, Failure> {
        let mut all = Vec::new();
        for file in &self.registry_ca {
            let text = std::fs::read(file).map_err(|error| {
                Failure::Usage(format!("--registry-ca {} cannot be read: {error}", file.display()))
            })?;
            registry::check_roots(&text).map_err(|error| {
                Failure::Usage(format!("--registry-ca {}: {}", file.display(), error.message))
            })?;
            all.extend(text);
            all.push(b'\n');
        }
        Ok(Some(all).filter(|all| !all.is_empty()))
    }
}

/// What the installation says of hosts and kinds; the same for `run` and `plan`.
#[derive(Clone, Debug, clap::Args)]
pub struct Installation {
    #[command(flatten)]
    registries: Registries,
    /// A further kind with a pod template, as group/version/Kind/plural, with :/json/pointer of its pod spec if that is
    /// not /spec/template/spec. Repeatable.
    #[arg(long, value_name = "KIND", value_parser = workload_kind)]
    workload_kinds: Vec<WorkloadKind>,
    /// The GKE cluster that the policies live in, as projects/<project>/locations/<location>/clusters/<name>: by it Google
    /// knows whom policies with `provider: gcp` sign in as.
    #[arg(long, value_name = "CLUSTER")]
    gke_cluster: Option<GkeCluster>,
    /// Another address of a host of a cloud that `spec.registry.provider` signs in at, or that signals are measured by, as
    /// host=URL, such as a private endpoint. Repeatable.
    #[arg(long, value_name = "HOST=URL")]
    cloud_endpoint: Vec<Endpoint>,
    /// A folder for caches of the repositories that stages are delivered through; nothing in it has to be kept. Without
    /// this the machine's folder for temporary files.
    #[arg(long, value_name = "FOLDER")]
    git_cache: Option<PathBuf>,
    /// The controller's own namespace: an Intervention there may concern all policies.
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE", default_value = lockkeeper_api::names::NAMESPACE)]
    namespace: String,
}

impl Installation {
    /// The controller's own namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Judges signatures.
    pub fn verifier(&self) -> Result<SigstoreVerifier, Failure> {
        self.registries.verifier()
    }

    /// Other addresses of hosts of vendors.
    fn endpoints(&self) -> BTreeMap<String, Url> {
        self.cloud_endpoint.iter().cloned().map(|one| (one.host, one.url)).collect()
    }

    /// All kinds with a pod template.
    pub fn kinds(&self) -> Vec<WorkloadKind> {
        let mut kinds = WorkloadKind::builtin();
        kinds.extend(self.workload_kinds.iter().cloned());
        kinds
    }
}

/// A connection to one cluster.
pub struct Connection {
    /// Speaks to its API server.
    pub client: Client,
    /// It was found because this process runs in the cluster.
    pub inside: bool,
    /// The API server's address, if it is one.
    address: Option<IpAddr>,
}

impl Connection {
    /// Finds the cluster and makes a client. Nothing is sent yet.
    pub async fn open(args: &ClusterArgs) -> Result<Self, Failure> {
        Self::with(args, Client::try_from).await
    }

    /// The same; its requests are counted.
    pub async fn counted(args: &ClusterArgs, metrics: &Arc<Metrics>) -> Result<Self, Failure> {
        let count = CountRequests(Arc::clone(metrics));
        Self::with(args, |config| Ok(ClientBuilder::try_from(config)?.with_layer(&count).build())).await
    }

    async fn with(
        args: &ClusterArgs,
        client: impl FnOnce(Config) -> Result<Client, kube::Error>,
    ) -> Result<Self, Failure> {
        let inside = client::is_inside(args.kubeconfig.as_deref(), args.context.as_deref());
        let config = client::config(args.kubeconfig.as_deref(), args.context.as_deref()).await?;
        let host = config.cluster_url.host().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        Ok(Self { client: client(config)?, inside, address })
    }

    /// The kubernetes adapter over this connection.
    pub fn kubernetes(
        &self,
        installation: &Installation,
        wakes: Arc<dyn Wakes>,
        serves_webhook: bool,
    ) -> Kubernetes {
        let settings = Settings {
            namespace: installation.namespace.clone(),
            instance: std::env::var("HOSTNAME").unwrap_or_else(|_| "lockkeeper".to_owned()),
            more_kinds: installation.workload_kinds.clone(),
            deadline: client::DEADLINE,
            serves_webhook,
        };
        Kubernetes::new(self.client.clone(), settings, wakes, Arc::new(SystemClock))
    }

    /// The registry adapter. It never dials the API server of this cluster.
    pub fn registry(&self, installation: &Installation) -> Result<OciRegistry, Failure> {
        installation.registries.client(self.address)
    }

    /// Where policies sign in by the identity of a cloud.
    pub fn clouds(&self, installation: &Installation) -> Result<Clouds, Failure> {
        let endpoints = installation.endpoints();
        let settings = cloud::Settings { gke_cluster: installation.gke_cluster.clone(), endpoints };
        let registries = &installation.registries;
        Ok(Clouds::new(registries.hosts(self.address)?, registries.options()?, settings)?)
    }

    /// For signals.
    pub fn signals(&self, installation: &Installation) -> Result<Servers, Failure> {
        installation.registries.signals(self.address, installation.endpoints())
    }

    /// For those who tell people.
    pub fn notifiers(
        &self,
        installation: &Installation,
        config: notify::Config,
    ) -> Result<Notifiers, Failure> {
        installation.registries.notifiers(self.address, config)
    }

    /// For repositories.
    pub fn git(&self, installation: &Installation) -> Result<Git, Failure> {
        let folder = installation.git_cache.clone().unwrap_or_else(git::usual_folder);
        let hosts = installation.registries.hosts(self.address)?;
        Git::new(hosts, Arc::new(SystemLookup), &folder).map_err(|error| {
            Failure::Usage(format!("--git-cache {} cannot be used: {error}", folder.display()))
        })
    }

    /// For requests to merge.
    pub fn forges(&self, installation: &Installation) -> Result<ForgeClients, Failure> {
        installation.registries.forges(self.address)
    }

    /// For hooks.
    pub fn google(&self, installation: &Installation) -> Result<Google, Failure> {
        installation.registries.google(self.address)
    }
}

/// `argoproj.io/v1alpha1/Rollout/rollouts` or `…:/spec/template/spec`.
fn workload_kind(text: &str) -> Result<WorkloadKind, String> {
    let (kind, pod_spec) = text.split_once(':').unwrap_or((text, "/spec/template/spec"));
    let parts: Vec<&str> = kind.split('/').collect();
    let [group, version, kind, plural] = parts.as_slice() else {
        return Err(
            "write group/version/Kind/plural, such as argoproj.io/v1alpha1/Rollout/rollouts".to_owned()
        );
    };
    if [version, kind, plural].iter().any(|part| part.is_empty()) || !pod_spec.starts_with('/') {
        return Err(
            "version, Kind and plural may not be empty, and the JSON pointer begins with a slash".to_owned()
        );
    }
    let owned = |text: &&str| (*text).to_owned();
    Ok(WorkloadKind {
        group: owned(group),
        version: owned(version),
        kind: owned(kind),
        plural: owned(plural),
        pod_spec: pod_spec.to_owned(),
    })
}

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_kinds_are_read_with_and_without_a_pointer() {
        let rollout = workload_kind("argoproj.io/v1alpha1/Rollout/rollouts").unwrap();
        assert_eq!(
            (rollout.name().as_str(), rollout.pod_spec.as_str()),
            ("Rollout.argoproj.io", "/spec/template/spec")
        );
        let job = workload_kind("x.dev/v1/Nightly/nightlies:/spec/job/template/spec").unwrap();
        assert_eq!(job.pod_spec, "/spec/job/template/spec");
        for wrong in ["Rollout", "argoproj.io/v1alpha1/Rollout", "a/b/c/", "a/b/c/d:spec"] {
            assert!(workload_kind(wrong).is_err(), "{wrong}");
        }
    }
}
