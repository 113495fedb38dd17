//! Two registries over what the bed's registry holds: one with TLS and htpasswd, one that wants tokens, and the service
//! that gives them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use e2e::programs::{self, Target};
use e2e::{Bed, PATIENCE, Part, eventually, ports};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// What `htpasswd -nbB` makes of the password.
const HASH: &str = "$2b$04$Rgi7aKkKWPkZf5eUOvj8uOaOqq1gpYzGVCwJkfRul6MMQXJKFSOoC";
const PASSWORD: &str = "correct horse";
const SERVICE: &str = "the registries of a test";
const ISSUER: &str = "the token service of a test";

/// A user and a password.
#[derive(Clone)]
pub struct Login {
    user: &'static str,
    /// The htpasswd registry knows one password by its hash.
    token_password: &'static str,
}

impl Login {
    /// At the beginning.
    pub fn first() -> Self {
        Self { user: "first-user", token_password: "first c4n4ry" }
    }

    /// After the rotation.
    pub fn second() -> Self {
        Self { user: "second-user", token_password: "second c4n4ry" }
    }

    /// Base64 of user and password.
    pub fn basic(&self, by_token: bool) -> String {
        let password = if by_token { self.token_password } else { PASSWORD };
        STANDARD.encode(format!("{}:{password}", self.user))
    }

    /// What may be in no log.
    pub fn secrets(&self) -> [String; 3] {
        [self.basic(true), self.basic(false), self.token_password.to_owned()]
    }
}

/// Both registries.
pub struct Registries {
    locked: (Part, String),
    by_token: (Part, String),
    authority: String,
    /// Trusts the authority.
    http: reqwest::Client,
    users: PathBuf,
    tokens: Arc<Tokens>,
}

impl Registries {
    /// Starts them; they accept the first login.
    pub async fn start(bed: &Bed) -> Result<Self> {
        let program = programs::folder(Target::ControlPlane).await?.join("registry");
        let folder = bed.folder();
        let (users, storage) = (folder.join("users"), folder.join("registry"));
        let (authority, certificate, key) = certificates()?;
        std::fs::write(folder.join("registry.crt"), certificate)?;
        std::fs::write(folder.join("registry.key"), key)?;
        let (tokens, realm) = Tokens::serve(folder).await?;
        let start = async |name: &str, http: Value, auth: Value| -> Result<(Part, String)> {
            let host = format!("127.0.0.1:{}", ports::free()?);
            let mut settings = http;
            settings["addr"] = json!(host);
            let config = json!({
                "version": "0.1", "http": settings, "auth": auth, "log": {"level": "warn"},
                "storage": {"filesystem": {"rootdirectory": storage}, "delete": {"enabled": true}},
            });
            // JSON is YAML.
            let file = folder.join(format!("{name}.yaml"));
            std::fs::write(&file, config.to_string())?;
            let args = vec!["serve".to_owned(), file.display().to_string()];
            let part =
                Part::new(name, program.clone(), args, Vec::new(), bed.logs().join(format!("{name}.log")));
            part.start().await?;
            Ok((part, host))
        };
        let tls =
            json!({"tls": {"certificate": folder.join("registry.crt"), "key": folder.join("registry.key")}});
        let token = json!({"token": {"realm": realm, "service": SERVICE, "issuer": ISSUER,
            "rootcertbundle": folder.join("tokens.crt")}});
        let htpasswd = json!({"htpasswd": {"realm": "a test", "path": users}});
        std::fs::write(&users, "")?;
        let trusted = reqwest::Certificate::from_pem(authority.as_bytes())?;
        let all = Self {
            http: reqwest::Client::builder().no_proxy().add_root_certificate(trusted).build()?,
            locked: start("registry-tls", tls, htpasswd).await?,
            by_token: start("registry-tokens", json!({}), token).await?,
            authority,
            users,
            tokens,
        };
        all.accept(&Login::first())?;
        all.refuse_strangers().await?;
        Ok(all)
    }

    async fn refuse_strangers(&self) -> Result<()> {
        for (part, url) in [
            (&self.locked.0, format!("https://{}/v2/", self.locked.1)),
            (&self.by_token.0, format!("http://{}/v2/", self.by_token.1)),
        ] {
            eventually(&format!("{} refuses strangers", part.name), PATIENCE, async || {
                part.check().await?;
                let answer = self.http.get(&url).send().await?;
                ensure!(answer.status() == StatusCode::UNAUTHORIZED, "{}", answer.status());
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// From now on this login alone is good. Tokens that were given stay good until they are over.
    pub fn accept(&self, login: &Login) -> Result<()> {
        // In one step: the registry reads the file at any moment.
        let new = self.users.with_extension("new");
        std::fs::write(&new, format!("{}:{HASH}\n", login.user)).context("the users cannot be written")?;
        std::fs::rename(new, &self.users).context("the users cannot be written")?;
        *self.tokens.accepted.lock().unwrap_or_else(PoisonError::into_inner) = login.basic(true);
        Ok(())
    }

    /// Where both listen.
    pub fn hosts(&self) -> [String; 2] {
        [self.locked.1.clone(), self.by_token.1.clone()]
    }

    /// Arguments by which they may be asked, and the token service.
    pub fn allowed(&self) -> Vec<String> {
        let hosts = self.hosts().into_iter().chain([self.tokens.host.clone()]);
        hosts.flat_map(|host| ["--allow-host".to_owned(), host]).collect()
    }

    /// Deletes a manifest over TLS, as this login.
    pub async fn delete(&self, path: &str, digest: &str, login: &Login) -> Result<()> {
        let url = format!("https://{}/v2/{path}/manifests/{digest}", self.locked.1);
        let answer = self.http.delete(url).basic_auth(login.user, Some(PASSWORD)).send().await?;
        ensure!(answer.status() == StatusCode::ACCEPTED, "{}", answer.status());
        Ok(())
    }

    /// `127.0.0.1:port` of one of them.
    pub fn host(&self, by_token: bool) -> &str {
        if by_token { &self.by_token.1 } else { &self.locked.1 }
    }

    /// `spec.registry` of a policy.
    pub fn settings(by_token: bool) -> Value {
        let mut settings = json!({"secretRef": {"name": "registry"}});
        if by_token {
            settings["insecure"] = json!(true);
        } else {
            settings["certSecretRef"] = json!({"name": "authority"});
        }
        settings
    }

    /// The Secret with a login.
    pub fn secret(&self, by_token: bool, login: &Login) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "registry"},
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": {".dockerconfigjson": self.config(by_token, login)},
        })
    }

    fn config(&self, by_token: bool, login: &Login) -> String {
        json!({"auths": {self.host(by_token): {"auth": login.basic(by_token)}}}).to_string()
    }

    /// The Secret with the authority.
    pub fn certificates(&self) -> Value {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "authority"},
            "stringData": {"ca.crt": self.authority}})
    }

    /// The same for the command line.
    pub fn flags(&self, by_token: bool, login: &Login, folder: &Path, name: &str) -> Result<Vec<String>> {
        let (config, authority) = (folder.join(format!("{name}.json")), folder.join(format!("{name}.crt")));
        std::fs::write(&config, self.config(by_token, login))?;
        std::fs::write(&authority, &self.authority)?;
        let mut flags = self.allowed();
        flags.extend(["--registry-config".to_owned(), config.display().to_string()]);
        flags.extend(["--registry-ca".to_owned(), authority.display().to_string()]);
        flags.extend(by_token.then(|| "--insecure".to_owned()));
        Ok(flags)
    }

    /// How many tokens were given.
    pub fn tokens_given(&self) -> usize {
        self.tokens.given.load(Ordering::SeqCst)
    }

    /// Ends both.
    pub async fn stop(self) -> Result<()> {
        self.locked.0.stop().await?;
        self.by_token.0.stop().await
    }
}

/// An authority, and a certificate for 127.0.0.1 and the cloud's registry with its key, in PEM form.
fn certificates() -> Result<(String, String, String)> {
    let key = rcgen::KeyPair::generate()?;
    let mut parameters = rcgen::CertificateParams::new(Vec::<String>::new())?;
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = parameters.self_signed(&key)?.pem();
    let issuer = rcgen::Issuer::new(parameters, key);
    let key = rcgen::KeyPair::generate()?;
    let parameters =
        rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned(), super::cloud::HOST.to_owned()])?;
    let certificate = parameters.signed_by(&key, &issuer)?.pem();
    Ok((authority, certificate, key.serialize_pem()))
}

/// A token service as the distribution's documentation describes it.
struct Tokens {
    host: String,
    key: EcdsaKeyPair,
    certificate: String,
    /// Basic credentials that tokens are given for.
    accepted: Mutex<String>,
    given: AtomicUsize,
}

impl Tokens {
    /// Writes the certificate that registries believe, and returns the realm.
    async fn serve(folder: &Path) -> Result<(Arc<Self>, String)> {
        let key = rcgen::KeyPair::generate()?;
        let certificate = rcgen::CertificateParams::new(vec!["tokens".to_owned()])?.self_signed(&key)?;
        std::fs::write(folder.join("tokens.crt"), certificate.pem())?;
        let signer = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let host = listener.local_addr()?.to_string();
        let realm = format!("http://{host}/token");
        let tokens = Arc::new(Self {
            host,
            key: signer.ok().context("a key that cannot sign")?,
            certificate: STANDARD.encode(certificate.der()),
            accepted: Mutex::default(),
            given: AtomicUsize::new(0),
        });
        let router =
            axum::Router::new().route("/token", axum::routing::get(give)).with_state(Arc::clone(&tokens));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok((tokens, realm))
    }

    fn sign(&self, claims: &Value) -> Result<String> {
        let header = json!({"alg": "ES256", "typ": "JWT", "x5c": [self.certificate]});
        let encoded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let text = format!("{}.{}", encoded(&header), encoded(claims));
        let signature =
            self.key.sign(&SystemRandom::new(), text.as_bytes()).ok().context("it was not signed")?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }
}

async fn give(
    State(tokens): State<Arc<Tokens>>,
    Query(asked): Query<std::collections::HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let said = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
    let accepted = tokens.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if said != Some(accepted.as_str()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let scope = asked.get("scope").map(String::as_str).unwrap_or_default();
    let parts: Vec<&str> = scope.splitn(3, ':').collect();
    let [kind, name, _] = parts.as_slice() else { return StatusCode::BAD_REQUEST.into_response() };
    let now = jiff::Timestamp::now().as_second();
    let claims = json!({
        "iss": ISSUER, "aud": asked.get("service"), "sub": "a test", "jti": now.to_string(),
        "nbf": now - 10, "iat": now - 10, "exp": now + 60,
        "access": [{"type": kind, "name": name, "actions": ["pull"]}],
    });
    match tokens.sign(&claims) {
        Ok(token) => {
            tokens.given.fetch_add(1, Ordering::SeqCst);
            // Over soon: the rotation is to be noticed.
            axum::Json(json!({"token": token, "expires_in": 5})).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
