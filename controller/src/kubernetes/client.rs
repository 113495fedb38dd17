//! How requests reach the API server: one connection pool, one caller, an identity per request.
//!
//! Guarantees: every write asks the fence first; a request ends by its deadline, whatever the network does; nothing
//! is tried again here (the next pass sees what is); bodies are never logged, since they may hold Secrets.
//! May not: decide whether an effect is wanted.

use super::failure::{self, Call};
use crate::ports::{EffectError, Fence, Identity};
use http::{HeaderName, HeaderValue, Request};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use std::{path::Path, time::Duration};
use tokio::time::timeout;

/// The deadline of one request that is no watch.
pub const DEADLINE: Duration = Duration::from_secs(10);

const IMPERSONATE_USER: HeaderName = HeaderName::from_static("impersonate-user");

/// How the API server is reached: by this kubeconfig file, else by the usual ones (`KUBECONFIG`, `~/.kube/config`),
/// else from inside the cluster. `context` chooses one of the kubeconfig's.
pub async fn config(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Config, kube::Error> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    config_with(kubeconfig, &options).await
}

/// The same with every choice that a kubeconfig leaves.
///
/// kube tries 429, 503 and 504 again up to 15 times by itself; here an effect that failed is decided anew instead.
pub async fn config_with(
    kubeconfig: Option<&Path>,
    options: &KubeConfigOptions,
) -> Result<Config, kube::Error> {
    let chosen = options.context.is_some() || options.cluster.is_some() || options.user.is_some();
    let mut config = match kubeconfig {
        None if !chosen => Config::infer().await.map_err(kube::Error::InferConfig)?,
        None => Config::from_kubeconfig(options).await.map_err(unreadable)?,
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(unreadable)?;
            Config::from_custom_kubeconfig(file, options).await.map_err(unreadable)?
        }
    };
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    Ok(config)
}

/// Whether [`config`] finds the cluster that this process runs in.
#[must_use]
pub fn is_inside(kubeconfig: Option<&Path>, context: Option<&str>) -> bool {
    kubeconfig.is_none() && context.is_none() && Kubeconfig::read().is_err()
}

fn unreadable(error: KubeconfigError) -> kube::Error {
    kube::Error::Service(error.into())
}

/// A client over [`config`].
pub async fn connect(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Client, kube::Error> {
    Client::try_from(config(kubeconfig, context).await?)
}

impl Identity {
    /// The user name that the API server knows the ServiceAccount by.
    #[must_use]
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.service_account)
    }

    /// The groups that the API server gives it, for reviews of its rights.
    #[must_use]
    pub fn groups(&self) -> [String; 3] {
        [
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{}", self.namespace),
            "system:authenticated".to_owned(),
        ]
    }
}

/// Sends requests, as itself or as somebody else.
#[derive(Clone)]
pub struct Caller {
    client: Client,
    deadline: Duration,
}

impl Caller {
    /// A caller over a client.
    #[must_use]
    pub fn new(client: Client, deadline: Duration) -> Self {
        Self { client, deadline }
    }

    /// The client, with the controller's own rights.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// One write: the fence is asked first, and waited for no longer than it holds. Returns the object as the API
    /// server stored it.
    pub async fn write(&self, fence: &Fence, call: &Call<'_>, request: Built) -> Result<String, EffectError> {
        let left = fence.left().ok_or(EffectError::Fenced)?;
        self.send(call, request, self.deadline.min(left)).await
    }

    /// One read.
    pub async fn read(&self, call: &Call<'_>, request: Built) -> Result<String, EffectError> {
        self.send(call, request, self.deadline).await
    }

    async fn send(&self, call: &Call<'_>, request: Built, deadline: Duration) -> Result<String, EffectError> {
        let object = || call.object();
        let refused = |message: String| EffectError::Refused { object: object(), message };
        if !(is_segment(call.namespace) && is_segment(call.name)) {
            let message =
                "a namespace or a name in it is none: only letters, digits, ., -, _ and : may be in one";
            return Err(refused(message.to_owned()));
        }
        let mut request = request.map_err(|error| refused(error.to_string()))?;
        if let Some(identity) = call.identity {
            impersonate(&mut request, identity).map_err(|error| refused(error.to_string()))?;
        }
        match timeout(deadline, self.client.request_text(request)).await {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(error)) => Err(failure::effect_error(&error, call)),
            Err(_) => Err(EffectError::Unavailable {
                object: object(),
                message: format!("no answer within {} s", (deadline.as_secs_f32() * 10.0).round() / 10.0),
            }),
        }
    }
}

/// A request, or why its parts make none (a name with a slash in it).
pub type Built = Result<Request<Vec<u8>>, kube::core::request::Error>;

/// Whether a text is one segment of a path: names come from people, and one with `../` in it would be another object.
/// None at all is for requests that name no object.
fn is_segment(text: &str) -> bool {
    !text.starts_with('.') && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:".contains(&b))
}

/// Only the user: the API server itself adds the groups of a ServiceAccount, and to name them here would need the
/// right to impersonate groups.
fn impersonate(
    request: &mut Request<Vec<u8>>,
    identity: &Identity,
) -> Result<(), http::header::InvalidHeaderValue> {
    request.headers_mut().insert(IMPERSONATE_USER, HeaderValue::try_from(identity.user())?);
    Ok(())
}
