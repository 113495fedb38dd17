//! Which cluster, as whom and in which namespace: the flags that kubectl has, with the same meaning.

use super::Failure;
use crate::kubernetes::client;
use kube::{Api, Client, Config, config::KubeConfigOptions, core::NamespaceResourceScope};
use lockkeeper_api::ImagePolicy;
use std::{future::Future, path::PathBuf, time::Duration};

/// How a cluster is found.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ClusterArgs {
    /// Path of a kubeconfig; without it KUBECONFIG, ~/.kube/config, or the cluster this runs in.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig instead of its current one.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// Everything that kubectl lets people say about it.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub struct KubectlArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// A cluster of the kubeconfig instead of the context's.
    #[arg(long = "cluster", value_name = "NAME")]
    cluster_name: Option<String>,
    /// A user of the kubeconfig instead of the context's.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The namespace; without it the context's.
    #[arg(short, long, value_name = "NAME", add = super::complete::namespaces())]
    pub namespace: Option<String>,
    /// Act as this user; needs the right to impersonate it.
    #[arg(long = "as", value_name = "USER")]
    as_user: Option<String>,
    /// Act as a member of this group. Repeatable; needs --as.
    #[arg(long, value_name = "GROUP", requires = "as_user")]
    as_group: Vec<String>,
    /// How long one request may take, such as 10s.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    request_timeout: Duration,
}

/// A duration as people write it: `90s`, `5m`, `1h30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = |why: &str| format!("{why}; write h, m and s with numbers, such as 90s, 5m or 1h30m");
    let read: jiff::SignedDuration = text.parse().map_err(|_| wrong("it is no duration"))?;
    Duration::try_from(read).map_err(|_| wrong("it is negative"))
}

/// A connection to one cluster, as somebody, in a namespace.
#[derive(Clone)]
pub struct Session {
    /// Speaks to its API server.
    pub client: Client,
    /// The namespace that is meant where none is named.
    pub namespace: String,
    deadline: Duration,
}

impl Session {
    /// Finds the cluster and makes a client. Nothing is sent yet.
    pub async fn open(args: &KubectlArgs) -> Result<Self, Failure> {
        let config = config(args).await?;
        let namespace = args.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok(Self { client: Client::try_from(config)?, namespace, deadline: args.request_timeout })
    }

    /// Objects of the namespace.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The answer to a request, if it comes in time.
    pub async fn answer<T>(
        &self,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(self.deadline, request).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure::TimedOut(format!(
                "the API server did not answer within {} s; --request-timeout sets how long that may take",
                self.deadline.as_secs()
            ))),
        }
    }

    /// A policy of the namespace.
    pub async fn policy(&self, name: &str) -> Result<ImagePolicy, Failure> {
        let found = self.answer(self.api::<ImagePolicy>().get_opt(name)).await?;
        found.ok_or_else(|| {
            let namespace = &self.namespace;
            Failure::NoMatch(format!(
                "there is no ImagePolicy {name} in namespace {namespace}; `lockkeeper get -A` shows all there are"
            ))
        })
    }
}

async fn config(args: &KubectlArgs) -> Result<Config, Failure> {
    let options = KubeConfigOptions {
        context: args.cluster.context.clone(),
        cluster: args.cluster_name.clone(),
        user: args.user.clone(),
    };
    let mut config = client::config_with(args.cluster.kubeconfig.as_deref(), &options).await?;
    if let Some(user) = &args.as_user {
        config.auth_info.impersonate = Some(user.clone());
        config.auth_info.impersonate_groups = (!args.as_group.is_empty()).then(|| args.as_group.clone());
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KUBECONFIG: &str = "apiVersion: v1
kind: Config
current-context: a
contexts:
- {name: a, context: {cluster: one, user: alice, namespace: platform}}
- {name: b, context: {cluster: two, user: bob}}
clusters:
- {name: one, cluster: {server: 'https://one.example.com'}}
- {name: two, cluster: {server: 'https://two.example.com'}}
users:
- {name: alice, user: {token: x}}
- {name: bob, user: {username: bob, password: y}}
";

    async fn read(change: impl FnOnce(&mut KubectlArgs)) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        std::fs::write(&file, KUBECONFIG).unwrap();
        let cluster = ClusterArgs { kubeconfig: Some(file), context: None };
        let mut args = KubectlArgs { cluster, ..KubectlArgs::default() };
        change(&mut args);
        config(&args).await.unwrap()
    }

    #[tokio::test]
    async fn context_cluster_user_and_as_mean_what_they_mean_to_kubectl() {
        let usual = read(|_| {}).await;
        assert_eq!(usual.cluster_url.host(), Some("one.example.com"));
        assert_eq!(usual.default_namespace, "platform");
        assert_eq!(usual.auth_info.impersonate, None);
        let other = read(|args| args.cluster.context = Some("b".into())).await;
        assert_eq!(
            (other.cluster_url.host(), other.default_namespace.as_str()),
            (Some("two.example.com"), "default")
        );
        let mixed = read(|args| {
            args.cluster_name = Some("two".into());
            args.user = Some("bob".into());
            args.as_user = Some("carol".into());
            args.as_group = vec!["ops".into()];
        })
        .await;
        assert_eq!(mixed.cluster_url.host(), Some("two.example.com"));
        assert_eq!(mixed.auth_info.username.as_deref(), Some("bob"));
        assert_eq!(mixed.auth_info.impersonate.as_deref(), Some("carol"));
        assert_eq!(mixed.auth_info.impersonate_groups, Some(vec!["ops".to_owned()]));
    }

    #[test]
    fn durations_say_how_they_are_written() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        for wrong in ["", "5", "-5m", "soon"] {
            assert!(duration(wrong).unwrap_err().contains("such as"), "{wrong}");
        }
    }
}
