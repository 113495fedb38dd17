//! Who may speak to the API server, and clients that do.
//!
//! A client's connections belong to the runtime it was made in, and every test has its own: so clients are made here on
//! demand and never stored in a bed.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use super::Bed;

/// Every user the API server knows, and the group of each, if any. `alice`, `bob` and `carol` are people without rights.
pub const USERS: [(&str, &str); 8] = [
    ("admin", "system:masters"),
    ("kubelet-sim", "system:masters"),
    ("system:node:real", "system:masters"),
    ("system:kube-controller-manager", ""),
    ("system:kube-scheduler", ""),
    ("alice", ""),
    ("bob", ""),
    ("carol", ""),
];

/// One random token per user.
pub struct Tokens(BTreeMap<&'static str, String>);

impl Tokens {
    pub fn new() -> Result<Self> {
        let mut tokens = BTreeMap::new();
        for (user, _) in USERS {
            let mut bytes = [0; 24];
            aws_lc_rs::rand::fill(&mut bytes).context("no random numbers")?;
            tokens.insert(user, STANDARD.encode(bytes));
        }
        Ok(Self(tokens))
    }

    pub fn of(&self, user: &str) -> Result<&str> {
        let token = self.0.get(user).with_context(|| {
            format!("the bed has no user {user:?}; it has {:?}", USERS.map(|(name, _)| name))
        })?;
        Ok(token)
    }

    /// The API server's token file: token, user, uid, groups.
    pub fn csv(&self) -> String {
        USERS
            .iter()
            .filter_map(|(user, group)| {
                // A group of no letters would be a group, too.
                let groups = if group.is_empty() { String::new() } else { format!(",\"{group}\"") };
                Some(format!("{},{user},{user}{groups}\n", self.0.get(user)?))
            })
            .collect()
    }
}

impl Bed {
    /// A client that may do everything.
    pub async fn admin(&self) -> Result<Client> {
        self.client_of("admin").await
    }

    /// A client of one of [`USERS`].
    pub async fn client_of(&self, user: &str) -> Result<Client> {
        self.client_with(self.tokens.of(user)?).await
    }

    /// A client of a user whom the API server has never heard of, by impersonation: as good as one with a token.
    pub async fn client_impersonating(&self, user: &str, groups: &[&str]) -> Result<Client> {
        crate::install_crypto_provider();
        let mut config = self.config_of("admin").await?;
        config.auth_info.impersonate = Some(user.to_owned());
        let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        config.auth_info.impersonate_groups = (!groups.is_empty()).then_some(groups);
        Ok(Client::try_from(config)?)
    }

    /// A client of a ServiceAccount, with a token that lives for a day.
    pub async fn client_as(&self, namespace: &str, service_account: &str) -> Result<Client> {
        let token = self.service_account_token(namespace, service_account).await?;
        self.client_with(&token).await
    }

    /// A token of a ServiceAccount, for a day.
    pub async fn service_account_token(&self, namespace: &str, service_account: &str) -> Result<String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin().await?, namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec { expiration_seconds: Some(86_400), ..TokenRequestSpec::default() },
            ..TokenRequest::default()
        };
        let answer = accounts
            .create_token_request(service_account, &PostParams::default(), &request)
            .await
            .with_context(|| format!("a token for ServiceAccount {namespace}/{service_account}"))?;
        Ok(answer.status.context("a token request without an answer")?.token)
    }

    async fn client_with(&self, token: &str) -> Result<Client> {
        crate::install_crypto_provider();
        Ok(Client::try_from(self.config_with(token).await?)?)
    }

    /// What a client of one of [`USERS`] is made of, for another runtime or process.
    pub async fn config_of(&self, user: &str) -> Result<Config> {
        self.config_with(self.tokens.of(user)?).await
    }

    async fn config_with(&self, token: &str) -> Result<Config> {
        let kubeconfig: Kubeconfig = serde_json::from_value(self.kubeconfig_with(token)?)?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        // Everything is on loopback, whatever proxy this machine uses.
        config.proxy_url = None;
        Ok(config)
    }

    /// Writes a KUBECONFIG of one of [`USERS`].
    pub fn write_kubeconfig_of(&self, user: &str, file: &Path) -> Result<()> {
        self.write_kubeconfig(file, self.tokens.of(user)?)
    }

    /// Writes a KUBECONFIG with this bearer token. It is JSON, which is YAML, too.
    pub fn write_kubeconfig(&self, file: &Path, token: &str) -> Result<()> {
        self.write_kubeconfig_at(file, token, &self.server)
    }

    /// The same for another address of the API server.
    pub fn write_kubeconfig_at(&self, file: &Path, token: &str, server: &str) -> Result<()> {
        let mut kubeconfig = self.kubeconfig_with(token)?;
        kubeconfig["clusters"][0]["cluster"]["server"] = serde_json::json!(server);
        let text = serde_json::to_string_pretty(&kubeconfig)?;
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    fn kubeconfig_with(&self, token: &str) -> Result<serde_json::Value> {
        Ok(serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "bed", "cluster": {"server": self.server, "certificate-authority-data": self.certificate()?}}],
            "users": [{"name": "bed", "user": {"token": token}}],
            "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": "bed"}}],
            "current-context": "bed",
        }))
    }

    /// The certificates the API server made for itself, as a kubeconfig holds them.
    fn certificate(&self) -> Result<String> {
        let file = self.folder.join("certificates/apiserver.crt");
        let pem = std::fs::read(&file).context("the API server has not written its certificate yet")?;
        Ok(STANDARD.encode(pem))
    }
}
