//! A registry, over plain HTTP on loopback and over https elsewhere: pushing images and what refers to them, moving tags,
//! deleting manifests, looking.

use anyhow::{Context as _, Result, bail};
use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::release::Attached;
use super::{Blob, Built, INDEX, Image, MANIFEST, Pushed, build, digest_of};

/// A registry.
#[derive(Clone)]
pub struct Registry {
    host: String,
    http: reqwest::Client,
    login: Option<(String, String)>,
}

/// A manifest or index as the registry has it.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Of the bytes, computed here.
    pub digest: String,
    /// `Content-Type` of the answer.
    pub media_type: String,
    /// The document itself.
    pub bytes: Vec<u8>,
}

impl Registry {
    /// `host` is `127.0.0.1:port` or a registry's name.
    #[must_use]
    pub fn new(host: &str) -> Self {
        crate::install_crypto_provider();
        let builder = reqwest::Client::builder();
        let http = if on_loopback(host) { builder.no_proxy() } else { builder }.build();
        // It fails where no crypto provider is installed, and one is.
        Self { host: host.to_owned(), http: http.unwrap_or_default(), login: None }
    }

    /// The same as somebody with this name and password.
    #[must_use]
    pub fn with_login(self, login: Option<(String, String)>) -> Self {
        Self { login, ..self }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let request = match &self.login {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        };
        Ok(request.send().await?)
    }

    /// `127.0.0.1:port`, as image names begin.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// `host/path`: what a pod's image begins with.
    #[must_use]
    pub fn repository(&self, path: &str) -> String {
        format!("{}/{path}", self.host)
    }

    fn url(&self, path: &str, rest: &str) -> String {
        let scheme = if on_loopback(&self.host) { "http" } else { "https" };
        format!("{scheme}://{}/v2/{path}/{rest}", self.host)
    }

    /// An error if it does not answer.
    pub async fn ping(&self) -> Result<()> {
        let answer = self.http.get(format!("http://{}/v2/", self.host)).send().await?;
        expect(answer, &[StatusCode::OK]).await.map(drop)
    }

    /// Pushes an image under a tag. `path` is the repository without the host.
    pub async fn push(&self, path: &str, tag: &str, image: &Image) -> Result<Pushed> {
        let built = build(image)?;
        self.push_built(path, tag, &built).await?;
        Ok(Pushed {
            repository: self.repository(path),
            digest: built.index.digest(),
            platforms: built.platforms,
            configs: built.configs,
        })
    }

    pub(crate) async fn push_built(&self, path: &str, tag: &str, built: &Built) -> Result<()> {
        for blob in &built.blobs {
            self.push_blob(path, blob).await?;
        }
        for manifest in &built.manifests {
            self.put_manifest(path, &manifest.digest(), manifest.media_type, manifest.bytes.clone()).await?;
        }
        self.put_manifest(path, tag, built.index.media_type, built.index.bytes.clone()).await.map(drop)
    }

    /// Pushes what refers to an image. A registry that does not keep such lists itself gets one under the tag
    /// that the distribution specification names.
    pub(crate) async fn attach(&self, path: &str, attached: &Attached) -> Result<()> {
        for blob in &attached.blobs {
            self.push_blob(path, blob).await?;
        }
        let manifest = &attached.manifest;
        let answer =
            self.put_manifest(path, &manifest.digest(), manifest.media_type, manifest.bytes.clone()).await?;
        if answer.headers().contains_key("OCI-Subject") {
            return Ok(());
        }
        let tag = attached.subject.replace(':', "-");
        let mut list: Value = match self.manifest(path, &tag).await? {
            Some(found) => serde_json::from_slice(&found.bytes).context("the list of what refers to it")?,
            None => json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}),
        };
        let entries = list["manifests"].as_array_mut().context("a list without manifests")?;
        if entries.iter().any(|entry| entry["digest"] == manifest.digest().as_str()) {
            return Ok(());
        }
        entries.push(attached.entry());
        self.put_manifest(path, &tag, INDEX, serde_json::to_vec(&list)?).await.map(drop)
    }

    /// Points `tag` at what `reference` (a tag or a digest) names in the same repository.
    pub async fn tag(&self, path: &str, reference: &str, tag: &str) -> Result<()> {
        let found = self.manifest(path, reference).await?;
        let manifest = found.with_context(|| format!("{path} has no {reference}"))?;
        self.put_manifest(path, tag, &manifest.media_type, manifest.bytes).await.map(drop)
    }

    /// Deletes a manifest by digest, and with it every tag that points to it.
    pub async fn delete(&self, path: &str, digest: &str) -> Result<()> {
        let url = self.url(path, &format!("manifests/{digest}"));
        expect(self.send(self.http.delete(url)).await?, &[StatusCode::ACCEPTED]).await.map(drop)
    }

    /// What a tag or a digest names; `None` where there is nothing.
    pub async fn manifest(&self, path: &str, reference: &str) -> Result<Option<Manifest>> {
        let url = self.url(path, &format!("manifests/{reference}"));
        let accept = format!(
            "{INDEX}, {MANIFEST}, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
        );
        let answer = self.send(self.http.get(url).header(ACCEPT, accept)).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = expect(answer, &[StatusCode::OK]).await?;
        let media_type =
            answer.headers().get(CONTENT_TYPE).context("a manifest without a type")?.to_str()?.to_owned();
        let bytes = answer.bytes().await?.to_vec();
        Ok(Some(Manifest { digest: digest_of(&bytes), media_type, bytes }))
    }

    /// A blob; an error where there is none.
    pub async fn blob(&self, path: &str, digest: &str) -> Result<Vec<u8>> {
        let url = self.url(path, &format!("blobs/{digest}"));
        let answer = expect(self.send(self.http.get(url)).await?, &[StatusCode::OK]).await?;
        Ok(answer.bytes().await?.to_vec())
    }

    /// The descriptors of what refers to a manifest: as the registry lists them, or under the tag that stands for that.
    pub async fn referrers(&self, path: &str, digest: &str) -> Result<Vec<Value>> {
        let answer = self.send(self.http.get(self.url(path, &format!("referrers/{digest}")))).await?;
        let list: Value = if answer.status() == StatusCode::OK {
            serde_json::from_slice(&answer.bytes().await?)?
        } else {
            let found = self.manifest(path, &digest.replace(':', "-")).await?;
            found.map_or(Ok(Value::Null), |found| serde_json::from_slice(&found.bytes))?
        };
        Ok(list["manifests"].as_array().cloned().unwrap_or_default())
    }

    pub(crate) async fn push_blob(&self, path: &str, blob: &Blob) -> Result<()> {
        let digest = blob.digest();
        let there = self.send(self.http.head(self.url(path, &format!("blobs/{digest}")))).await?;
        if there.status() == StatusCode::OK {
            return Ok(());
        }
        let answer = self.send(self.http.post(self.url(path, "blobs/uploads/"))).await?;
        let answer = expect(answer, &[StatusCode::ACCEPTED]).await?;
        let location = answer.headers().get(LOCATION).context("an upload without a Location")?.to_str()?;
        let mut url = answer.url().join(location)?;
        url.query_pairs_mut().append_pair("digest", &digest);
        let put = self.http.put(url).header(CONTENT_TYPE, "application/octet-stream");
        expect(self.send(put.body(blob.bytes.clone())).await?, &[StatusCode::CREATED]).await.map(drop)
    }

    pub(crate) async fn put_manifest(
        &self,
        path: &str,
        reference: &str,
        media_type: &str,
        bytes: Vec<u8>,
    ) -> Result<Response> {
        let url = self.url(path, &format!("manifests/{reference}"));
        let put = self.http.put(url).header(CONTENT_TYPE, media_type).body(bytes);
        expect(self.send(put).await?, &[StatusCode::CREATED]).await
    }
}

fn on_loopback(host: &str) -> bool {
    ["127.0.0.1", "localhost", "[::1]"].contains(&host.rsplit_once(':').map_or(host, |(name, _)| name))
}

async fn expect(answer: Response, wanted: &[StatusCode]) -> Result<Response> {
    if wanted.contains(&answer.status()) {
        return Ok(answer);
    }
    let (url, status) = (answer.url().clone(), answer.status());
    let body = answer.text().await.unwrap_or_else(|error| error.to_string());
    bail!("{url}: {status}: {body}")
}
