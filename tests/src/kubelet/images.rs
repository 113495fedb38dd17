//! What an image's name stands for: asked of the real registry, over plain HTTP, as containerd does (HEAD), or of the mirror
//! that stands in for it, as a node's `hosts.toml` names one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::ACCEPT;
use serde_json::Value;
use tokio::sync::Semaphore;

const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// Looks images up; at most 64 at a time.
#[derive(Clone)]
pub struct Images {
    http: reqwest::Client,
    at_once: Arc<Semaphore>,
    mirrors: Arc<BTreeMap<String, String>>,
}

/// An image's name, taken apart.
struct Name<'a> {
    host: &'a str,
    path: &'a str,
    /// The digest if there is one, else the tag, else `latest`.
    reference: &'a str,
}

impl Images {
    /// `mirrors` say which host is asked instead of another.
    pub fn new(mirrors: BTreeMap<String, String>) -> reqwest::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        Ok(Self { http, at_once: Arc::new(Semaphore::new(64)), mirrors: Arc::new(mirrors) })
    }

    fn url(&self, Name { host, path, reference }: &Name<'_>) -> String {
        let host = self.mirrors.get(*host).map_or(*host, String::as_str);
        format!("http://{host}/v2/{path}/manifests/{reference}")
    }

    /// `host/path@sha256:…`, the `imageID`; or the kubelet's message.
    pub async fn look_up(&self, image: &str) -> Result<String, String> {
        let failed = |why: String| {
            format!(
                "failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\": {why}"
            )
        };
        let Some(name) = take_apart(image) else {
            return Err(failed(
                "the simulated kubelet pulls from registries named by host:port only".to_owned(),
            ));
        };
        let _turn = self.at_once.acquire().await.map_err(|error| failed(error.to_string()))?;
        let answer = self.http.head(self.url(&name)).header(ACCEPT, ACCEPTED).send().await;
        let answer = answer.map_err(|error| failed(format!("{:#}", anyhow::Error::from(error))))?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(failed(format!("{image}: not found"))),
            other => return Err(failed(format!("unexpected status from HEAD request: {other}"))),
        }
        let digest = answer.headers().get("docker-content-digest").and_then(|digest| digest.to_str().ok());
        digest
            .map(|digest| format!("{}/{}@{digest}", name.host, name.path))
            .ok_or_else(|| failed("no digest in the answer".to_owned()))
    }
}

impl Images {
    /// The digests that the contents of an `imageID` have: of the platform manifests where it is an index (attestations
    /// left out), else its own. `None` where they cannot be read now.
    pub async fn contents(&self, image_id: &str) -> Option<Vec<String>> {
        let name = take_apart(image_id)?;
        let _turn = self.at_once.acquire().await.ok()?;
        let answer = self
            .http
            .get(self.url(&name))
            .header(ACCEPT, ACCEPTED)
            .send()
            .await
            .ok()?
            .error_for_status()
            .ok()?;
        let document: Value = serde_json::from_slice(&answer.bytes().await.ok()?).ok()?;
        let Some(entries) = document["manifests"].as_array() else {
            return Some(vec![name.reference.to_owned()]);
        };
        let platforms = entries.iter().filter(|entry| entry["platform"]["os"] != "unknown");
        Some(platforms.filter_map(|entry| entry["digest"].as_str().map(str::to_owned)).collect())
    }
}

fn take_apart(image: &str) -> Option<Name<'_>> {
    let (host, rest) = image.split_once('/')?;
    if !host.contains(['.', ':']) && host != "localhost" {
        return None;
    }
    let (name, digest) = rest.split_once('@').map_or((rest, None), |(name, digest)| (name, Some(digest)));
    let (path, tag) = name.split_once(':').map_or((name, None), |(path, tag)| (path, Some(tag)));
    Some(Name { host, path, reference: digest.or(tag).unwrap_or("latest") })
}

#[cfg(test)]
mod tests {
    use super::{Images, take_apart};

    #[test]
    fn a_mirror_is_asked_instead_and_the_name_stays() {
        crate::install_crypto_provider();
        let images = Images::new([("r.example".to_owned(), "127.0.0.1:5000".to_owned())].into()).unwrap();
        let url = |image| images.url(&take_apart(image).unwrap());
        assert_eq!(url("r.example/a:1"), "http://127.0.0.1:5000/v2/a/manifests/1");
        assert_eq!(url("other.example/a:1"), "http://other.example/v2/a/manifests/1");
    }

    #[test]
    fn a_name_is_taken_apart_as_containerd_does() {
        let parts = |image| take_apart(image).map(|name| (name.host, name.path, name.reference));
        assert_eq!(parts("127.0.0.1:5000/a/b"), Some(("127.0.0.1:5000", "a/b", "latest")));
        assert_eq!(parts("127.0.0.1:5000/a:1.2"), Some(("127.0.0.1:5000", "a", "1.2")));
        assert_eq!(parts("r.example/a:1.2@sha256:ab"), Some(("r.example", "a", "sha256:ab")));
        assert_eq!(parts("library/nginx"), None);
    }
}
