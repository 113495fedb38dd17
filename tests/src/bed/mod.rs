//! A control plane and a registry of their own, on free loopback ports, in a temporary folder.
//!
//! Guarantees: started means usable (`/readyz` is ok, RBAC's default roles are there); stopped in an order that ends
//! (etcd last); nothing is left behind when this process ends, however it ends.
//! May not: be stopped or frozen by a test that shares it (`Bed::shared`); such a test starts one of its own.

mod access;
mod files;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::OnceCell;

use crate::eventually::{PATIENCE, eventually};
use crate::image::Registry;
use crate::janitor::Janitor;
use crate::kubelet::{self, Kubelet};
use crate::part::Part;
use crate::{ports, programs};
use access::Tokens;
pub use access::USERS;

/// What a bed holds besides etcd, API server and registry.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// kube-controller-manager: what belongs to a Deployment, Jobs, the default ServiceAccount of a namespace.
    pub controllers: bool,
    /// kube-scheduler. Without it only pods that name their node run.
    pub scheduler: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { controllers: true, scheduler: true }
    }
}

/// A running control plane and registry.
pub struct Bed {
    folder: PathBuf,
    server: String,
    registry_host: String,
    tokens: Tokens,
    etcd: Part,
    api_server: Part,
    controllers: Option<Part>,
    scheduler: Option<Part>,
    registry: Part,
    kubelet: OnceCell<Kubelet>,
    janitor: Janitor,
}

static SHARED: OnceCell<Bed> = OnceCell::const_new();

impl Bed {
    /// The one bed of this process, started at the first call. It ends with the process.
    pub async fn shared() -> Result<&'static Self> {
        SHARED.get_or_try_init(|| Self::start(Settings::default())).await
    }

    /// Starts a bed. Takes about five seconds once the programs are built.
    pub async fn start(settings: Settings) -> Result<Self> {
        crate::install_crypto_provider();
        let bin = programs::folder(programs::Target::ControlPlane).await?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let error = match Self::try_start(&bin, settings).await {
                Ok(bed) => return Ok(bed),
                Err(error) => error,
            };
            // Another process took a port between our look and the program's.
            if attempts == 3 || !format!("{error:#}").contains("address already in use") {
                return Err(error.context("the test bed did not start"));
            }
        }
    }

    async fn try_start(bin: &Path, settings: Settings) -> Result<Self> {
        let bed = Self::lay_out(bin, settings)?;
        let started = bed.start_parts().await;
        if started.is_err() {
            bed.keep_logs()?;
        }
        started.map(|()| bed)
    }

    /// Writes every file and decides every port; starts nothing.
    fn lay_out(bin: &Path, settings: Settings) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("lockkeeper-bed-").tempdir()?.keep();
        let janitor = Janitor::watch(&folder, "")?;
        std::fs::create_dir(folder.join("logs"))?;
        let tokens = Tokens::new()?;
        files::write(&folder, &tokens)?;

        let part = |name: &str, args: Vec<String>| {
            let log = folder.join("logs").join(format!("{name}.log"));
            Part::new(name, bin.join(name), args, Vec::new(), log)
        };
        let (etcd_port, peer_port, api_port, registry_port) =
            (ports::free()?, ports::free()?, ports::free()?, ports::free()?);
        let registry_host = format!("127.0.0.1:{registry_port}");
        let server = format!("https://127.0.0.1:{api_port}");
        let registry_config = files::write_registry(&folder, &registry_host)?;
        let bed = Self {
            etcd: part("etcd", files::etcd_args(&folder, etcd_port, peer_port)),
            api_server: part("kube-apiserver", files::api_server_args(&folder, etcd_port, api_port)),
            controllers: settings
                .controllers
                .then(|| part("kube-controller-manager", files::controllers_args(&folder))),
            scheduler: settings.scheduler.then(|| part("kube-scheduler", files::scheduler_args(&folder))),
            registry: part("registry", vec!["serve".to_owned(), registry_config]),
            folder,
            server,
            registry_host,
            tokens,
            kubelet: OnceCell::new(),
            janitor,
        };
        Ok(bed)
    }

    async fn start_parts(&self) -> Result<()> {
        self.registry.start().await?;
        self.etcd.start().await?;
        self.api_server.start().await?;
        self.wait_ready().await?;
        files::write_component_kubeconfigs(self)?;
        for part in self.controllers.iter().chain(&self.scheduler) {
            part.start().await?;
        }
        eventually("the registry answers", PATIENCE, async || {
            self.registry.check().await?;
            self.registry().ping().await
        })
        .await
    }

    /// Waits until the API server says that it is ready, for instance after it was started again.
    pub async fn wait_ready(&self) -> Result<()> {
        eventually("the API server is ready", PATIENCE, async || {
            self.etcd.check().await?;
            self.api_server.check().await?;
            let client = self.admin().await?;
            let request = http_get("/readyz")?;
            let answer = tokio::time::timeout(Duration::from_secs(5), client.request_text(request)).await??;
            anyhow::ensure!(answer == "ok", "/readyz: {answer}");
            Ok(())
        })
        .await
    }

    /// Ends everything in an order that works: clients first, then the API server, etcd last.
    pub async fn stop(mut self) -> Result<()> {
        drop(self.kubelet.take());
        for part in self.scheduler.iter().chain(&self.controllers) {
            part.stop().await?;
        }
        self.registry.stop().await?;
        self.api_server.stop().await?;
        self.etcd.stop().await
    }

    /// The temporary folder. It is gone when the bed is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of the logs; kept after [`Bed::keep_logs`].
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// Keeps the logs when the bed ends.
    pub fn keep_logs(&self) -> Result<()> {
        self.janitor.keep_logs()?;
        eprintln!("bed: the logs are kept in {}", self.logs().display());
        Ok(())
    }

    /// The API server's URL.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The registry, to push to and to look into. Its host is part of every image's name.
    #[must_use]
    pub fn registry(&self) -> Registry {
        Registry::new(&self.registry_host)
    }

    /// The simulated kubelet of this bed: four nodes `sim-0` to `sim-3`, started at the first call.
    pub async fn kubelet(&self) -> Result<&Kubelet> {
        self.kubelet.get_or_try_init(|| self.start_kubelet(kubelet::Settings::nodes("sim", 4))).await
    }

    /// Another simulated kubelet, with nodes of its own. Their names must be new to this bed.
    pub async fn start_kubelet(&self, settings: kubelet::Settings) -> Result<Kubelet> {
        Kubelet::start(self.config_of("kubelet-sim").await?, settings).await
    }

    /// The API server, to kill, freeze and start again. Not on the shared bed.
    #[must_use]
    pub fn api_server_part(&self) -> &Part {
        &self.api_server
    }

    /// Starts the API server again as an older or newer one, or with other arguments, on the same etcd. Not on the shared bed.
    pub async fn restart_api_server(&self, older: bool, more: &[&str]) -> Result<()> {
        let program = if older {
            programs::folder(programs::Target::Older).await?.join("kube-apiserver")
        } else {
            self.api_server.program.clone()
        };
        let mut args = self.api_server.args.clone();
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        self.api_server.stop().await?;
        self.api_server.start_as(&program, &args).await?;
        self.wait_ready().await
    }

    /// etcd, to freeze. Not on the shared bed.
    #[must_use]
    pub fn etcd_part(&self) -> &Part {
        &self.etcd
    }

    /// The registry's process, to stop and start again. Not on the shared bed.
    #[must_use]
    pub fn registry_part(&self) -> &Part {
        &self.registry
    }

    /// kube-controller-manager, where this bed has one. Not on the shared bed.
    #[must_use]
    pub fn controllers_part(&self) -> Option<&Part> {
        self.controllers.as_ref()
    }
}

/// A GET without a body.
fn http_get(path: &str) -> Result<http::Request<Vec<u8>>> {
    http::Request::get(path).body(Vec::new()).context("a path that is no URL")
}
