//! A real Gitea on loopback, over TLS.
//!
//! Guarantees: it listens on 127.0.0.1 alone; everything it writes is in a folder of its own; nobody can register; its
//! certificate is believed by nobody who was not given it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use reqwest::{Client, Method};
use rustix::process::getuid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::git::{FILE, applying};
use crate::part::Part;
use crate::{PATIENCE, eventually, ports, programs};

/// Whose token is used, and who owns the repository.
pub const BOT: &str = "deploy-bot";
/// Who reviews.
pub const REVIEWER: &str = "kim";

/// The forge, with one repository, `deploy-bot/deploy`, whose branch `main` nobody may push to.
pub struct Gitea {
    /// `127.0.0.1:…`.
    pub host: String,
    /// Its certificate, in PEM form.
    pub certificate: String,
    /// What opens it.
    pub token: String,
    http: Client,
    server: Part,
    folder: TempDir,
    applying: Option<JoinHandle<()>>,
}

impl Drop for Gitea {
    fn drop(&mut self) {
        self.applying.iter().for_each(JoinHandle::abort);
    }
}

impl Gitea {
    /// Starts it with a repository whose branch holds `text` as [`FILE`], and this label.
    pub async fn start(text: &str, label: &str) -> Result<Self> {
        crate::install_crypto_provider();
        let programs = programs::folder(programs::Target::Forge).await?;
        let (program, folder) = (programs.join("gitea"), tempfile::tempdir()?);
        let port = ports::free()?;
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let certificate = made.cert.pem();
        std::fs::write(folder.path().join("cert.pem"), &certificate)?;
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem())?;
        let config = folder.path().join("app.ini");
        std::fs::write(&config, settings(folder.path(), &programs.join("files"), port))?;
        let args: Vec<String> =
            ["web", "--config", &config.display().to_string()].map(str::to_owned).to_vec();
        run(&program, &config, &["migrate"]).await?;
        for (name, rights) in [(BOT, Some("--admin")), (REVIEWER, None)] {
            let mail = format!("{name}@example.com");
            let user =
                ["admin", "user", "create", "--username", name, "--email", &mail, "--password", "not-used-1"];
            let user: Vec<&str> =
                user.into_iter().chain(["--must-change-password=false"]).chain(rights).collect();
            run(&program, &config, &user).await?;
        }
        let token = ["admin", "user", "generate-access-token", "--username", BOT, "--scopes", "all", "--raw"];
        let token = run(&program, &config, &token).await?;
        let log = folder.path().join("gitea.log");
        let server = Part::new("gitea", program, args, Vec::new(), log);
        server.start().await?;
        let authority = reqwest::Certificate::from_pem(certificate.as_bytes())?;
        let http = Client::builder().no_proxy().tls_certs_only([authority]).build()?;
        let host = format!("127.0.0.1:{port}");
        let this = Self { host, certificate, token, http, server, folder, applying: None };
        eventually("gitea answers", PATIENCE, async || {
            this.server.check().await?;
            this.call(Method::GET, "/version", Value::Null).await
        })
        .await?;
        this.furnish(text, label).await?;
        Ok(this)
    }

    async fn furnish(&self, text: &str, label: &str) -> Result<()> {
        let own = format!("/repos/{BOT}/deploy");
        let new = json!({"name": "deploy", "auto_init": true, "default_branch": "main"});
        self.call(Method::POST, "/user/repos", new).await?;
        let file = json!({"content": STANDARD.encode(text), "branch": "main", "message": "a person's"});
        self.call(Method::POST, &format!("{own}/contents/{FILE}"), file).await?;
        self.call(Method::POST, &format!("{own}/labels"), json!({"name": label, "color": "#00aabb"})).await?;
        let may = json!({"permission": "write"});
        self.call(Method::PUT, &format!("{own}/collaborators/{REVIEWER}"), may).await?;
        let rule = json!({"rule_name": "main", "enable_push": false});
        self.call(Method::POST, &format!("{own}/branch_protections"), rule).await?;
        Ok(())
    }

    /// The repository's address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}/{BOT}/deploy", self.host)
    }

    /// One call of its interface, which has to succeed.
    pub async fn call(&self, method: Method, path: &str, body: Value) -> Result<Value> {
        let mut request = self.http.request(method.clone(), format!("https://{}/api/v1{path}", self.host));
        request = request.header("authorization", format!("token {}", self.token));
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{method} {path}: {status} {text}");
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// All requests, newest first.
    pub async fn requests(&self) -> Result<Vec<Value>> {
        let path = format!("/repos/{BOT}/deploy/pulls?state=all&limit=50");
        let mut all: Vec<Value> = serde_json::from_value(self.call(Method::GET, &path, Value::Null).await?)?;
        all.sort_by_key(|request| std::cmp::Reverse(request["number"].as_u64()));
        Ok(all)
    }

    /// Somebody merges a request.
    pub async fn merge(&self, number: u64) -> Result<()> {
        eventually("the request can be merged", PATIENCE, async || {
            let path = format!("/repos/{BOT}/deploy/pulls/{number}/merge");
            self.call(Method::POST, &path, json!({"Do": "squash"})).await.map(|_| ())
        })
        .await
    }

    /// Somebody closes a request.
    pub async fn close(&self, number: u64) -> Result<()> {
        let path = format!("/repos/{BOT}/deploy/pulls/{number}");
        self.call(Method::PATCH, &path, json!({"state": "closed"})).await.map(|_| ())
    }

    /// What a branch holds as [`FILE`].
    pub async fn file(&self, branch: &str) -> Result<String> {
        let path = format!("/repos/{BOT}/deploy/contents/{FILE}?ref={}", branch.replace('/', "%2F"));
        let found = self.call(Method::GET, &path, Value::Null).await?;
        let content = found["content"].as_str().context("no content")?;
        Ok(String::from_utf8(STANDARD.decode(content)?)?)
    }

    /// A tool that applies the repository: see [`applying`].
    pub fn apply_to(&mut self, deployments: Api<Deployment>, name: &'static str) {
        let repository: PathBuf = self.folder.path().join("repositories").join(BOT).join("deploy.git");
        self.applying = Some(applying(repository, deployments, name));
    }

    /// Ends it.
    pub async fn stop(&self) -> Result<()> {
        self.server.stop().await
    }
}

/// One call of its command line; what it printed last.
async fn run(program: &Path, config: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(args)
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "gitea {args:?}: {said} {}", String::from_utf8_lossy(&output.stderr));
    Ok(said.lines().last().unwrap_or_default().trim().to_owned())
}

fn settings(folder: &Path, files: &Path, port: u16) -> String {
    let (own, files) = (folder.display(), files.display());
    format!(
        "APP_NAME = forge of the tests\nRUN_MODE = prod\nWORK_PATH = {own}/work\n\
         I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = {root}\n\
         [server]\nPROTOCOL = https\nHTTP_ADDR = 127.0.0.1\nHTTP_PORT = {port}\nDOMAIN = 127.0.0.1\n\
         ROOT_URL = https://127.0.0.1:{port}/\nCERT_FILE = {own}/cert.pem\nKEY_FILE = {own}/key.pem\n\
         STATIC_ROOT_PATH = {files}\nDISABLE_SSH = true\nOFFLINE_MODE = true\nLFS_START_SERVER = false\n\
         LOCAL_ROOT_URL = https://127.0.0.1:{port}/\n\
         [database]\nDB_TYPE = sqlite3\nPATH = {own}/gitea.db\nSQLITE_JOURNAL_MODE = WAL\n\
         [security]\nINSTALL_LOCK = true\nSECRET_KEY = of-the-test\n\
         INTERNAL_TOKEN = eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJuYmYiOjE3MDAwMDAwMDB9.TdxOSTzgdbYVNc5z5dbNM4Ws3RCpYBcDZ6TtAPLK0aM\n\
         [oauth2]\nENABLED = false\nJWT_SECRET = TdxOSTzgdbYVNc5z5dbNM4Ws3RCpYBcDZ6TtAPLK0aM\n\
         [service]\nDISABLE_REGISTRATION = true\n[repository]\nROOT = {own}/repositories\nDEFAULT_BRANCH = main\n\
         [indexer]\nISSUE_INDEXER_TYPE = db\n[mailer]\nENABLED = false\n[actions]\nENABLED = false\n\
         [packages]\nENABLED = false\n[cron.update_checker]\nENABLED = false\n\
         [log]\nMODE = console\nLEVEL = Warn\nROOT_PATH = {own}/log\n",
        root = getuid().is_root(),
    )
}
