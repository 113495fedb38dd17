//! The controller as it is delivered: the image that `make image` makes, installed by the chart with the real helm; two
//! replicas, each on a real node of its own and on its node's address, because these nodes have no pod network.
//!
//! The binary is the one that these tests were built with. It is no static one, so the image holds what it is linked to.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail, ensure};
use e2e::controller::program;
use e2e::helm::{Helm, RELEASE, chart};
use e2e::image::programs::libraries;
use e2e::image::release::{Parts, Release, USER};
use e2e::node::RealNode;
use e2e::process::Signal;
use e2e::{PATIENCE, Test, eventually, ports};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use rustix::process::{Pid, kill_process};
use serde_json::{Value, json};

/// The image: repository path and tag.
const IMAGE: (&str, &str) = ("platform/lockkeeper", "under-test");

/// A release of the chart with its two replicas.
pub struct Installed<'t> {
    test: &'t Test,
    helm: Helm,
    /// The digest of the image that was pushed.
    digest: String,
    nodes: BTreeSet<String>,
    /// How often each replica's container was killed by this test.
    killed: Mutex<BTreeMap<String, i32>>,
}

impl<'t> Installed<'t> {
    /// Pushes the image and installs the chart; both replicas are Ready and one leads when this returns.
    pub async fn by_the_chart(test: &'t Test, nodes: [&RealNode; 2]) -> Result<Self> {
        let release = tokio::task::spawn_blocking(image).await??;
        let registry = test.bed.registry();
        release.push(&registry, IMAGE.0, IMAGE.1).await?;
        let installed = Self {
            test,
            helm: Helm::on(test.bed).await?,
            digest: release.digest(),
            nodes: nodes.iter().map(|node| node.name().to_owned()).collect(),
            killed: Mutex::default(),
        };
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("values.json");
        std::fs::write(&file, serde_json::to_string_pretty(&installed.values()?)?)?;
        let (chart, file) = (chart().display().to_string(), file.display().to_string());
        let (name, namespace) = RELEASE;
        let args = ["install", name, &chart, "--namespace", namespace, "--create-namespace", "-f", &file];
        installed.helm.run(&args).await?;
        installed.ready().await?;
        let leader = installed.leads(|_| true).await?;
        eprintln!("{leader} leads");
        Ok(installed)
    }

    /// What this machine needs; everything else is the chart's own.
    fn values(&self) -> Result<Value> {
        let (host, port) = self.test.bed.server().rsplit_once(':').context("an API server without a port")?;
        let host = host.strip_prefix("https://").context("an API server without TLS")?;
        let registry = self.test.bed.registry();
        let here = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": self.nodes});
        Ok(json!({
            "image": {"repository": registry.repository(IMAGE.0), "tag": IMAGE.1, "digest": self.digest},
            "hostNetwork": true,
            "http": {"address": "$(POD_IP)", "port": ports::free()?},
            "controller": {
                "allowHosts": [registry.host()],
                "logFormat": "human",
                // The address of the Service leads nowhere without a proxy on the node.
                "env": [
                    {"name": "KUBERNETES_SERVICE_HOST", "value": host},
                    {"name": "KUBERNETES_SERVICE_PORT", "value": port},
                ],
            },
            // Long enough for a machine that does many other things.
            "leaderElection": {"leaseDuration": "12s", "renewDeadline": "9s", "retryPeriod": "1s"},
            "tolerations": [{"operator": "Exists"}],
            // Other tests have nodes of their own on this bed.
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [here]}],
            }}},
        }))
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.test.admin.clone(), RELEASE.1)
    }

    async fn replicas(&self) -> Result<Vec<Pod>> {
        let ours = ListParams::default().labels("app.kubernetes.io/component=controller");
        Ok(self.pods().list(&ours).await?.items)
    }

    /// Waits until both replicas are Ready, each on a node of its own and from the image that was pushed.
    async fn ready(&self) -> Result<()> {
        eventually("both replicas are Ready", PATIENCE, async || {
            let pods = self.replicas().await?;
            for pod in &pods {
                ensure!(super::ready(pod), "{}", serde_json::to_string_pretty(&pod.status)?);
                let status = super::container(pod, "lockkeeper").context("no container")?;
                ensure!(status.image_id.ends_with(&self.digest), "another image: {}", status.image_id);
            }
            let on = pods.iter().filter_map(|pod| pod.spec.as_ref()?.node_name.clone());
            let on: BTreeSet<String> = on.collect();
            ensure!(pods.len() == 2 && on == self.nodes, "{} replicas on {on:?}", pods.len());
            Ok(())
        })
        .await
    }

    /// An error if a replica ended and nobody had asked for that.
    pub async fn check(&self) -> Result<()> {
        for pod in self.replicas().await? {
            let name = pod.metadata.name.clone().unwrap_or_default();
            let expected = self.killed.lock().map_or(0, |killed| killed.get(&name).copied().unwrap_or(0));
            let status = super::container(&pod, "lockkeeper");
            let restarts = status.as_ref().map_or(0, |status| status.restart_count);
            ensure!(restarts <= expected, "replica {name} has ended by itself: {status:#?}");
        }
        Ok(())
    }

    /// Waits until a pod leads that is one of these; its name.
    async fn leads(&self, one_of: impl Fn(&str) -> bool) -> Result<String> {
        let leases: Api<Lease> = Api::namespaced(self.test.admin.clone(), RELEASE.1);
        eventually("a replica leads", PATIENCE, async || {
            let lease = leases.get("lockkeeper").await?;
            let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
            let pods = self.replicas().await?;
            let mut names = pods.into_iter().filter_map(|pod| pod.metadata.name);
            let leader = names.find(|name| holder.starts_with(name.as_str()) && one_of(name));
            leader.with_context(|| format!("the holder of the Lease is {holder:?}"))
        })
        .await
    }

    /// SIGKILL for the process that leads: the other replica takes over, and the killed one comes back as a standby.
    pub async fn kill_the_leader(&self) -> Result<()> {
        let leader = self.leads(|_| true).await?;
        let before = process_of(&leader)?;
        if let Ok(mut killed) = self.killed.lock() {
            *killed.entry(leader.clone()).or_default() += 1;
        }
        let pid = Pid::from_raw(before).context("no process number")?;
        kill_process(pid, Signal::KILL)?;
        let next = self.leads(|name| name != leader).await?;
        eprintln!("{leader} was killed; {next} leads");
        eventually("its kubelet starts it again", PATIENCE, async || {
            ensure!(process_of(&leader)? != before, "not yet");
            Ok(())
        })
        .await?;
        self.ready().await
    }

    /// What the kernel says of both processes: no user, no capability, no way to more, system calls filtered, nothing to write
    /// to. Reports their memory.
    pub async fn are_confined(&self) -> Result<()> {
        for pod in self.replicas().await? {
            let name = pod.metadata.name.unwrap_or_default();
            let pid = process_of(&name)?;
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                line.map(|line| line.split_whitespace().collect::<Vec<_>>()).unwrap_or_default()
            };
            let nobody = USER.to_string();
            ensure!(field("Uid") == [nobody.as_str(); 4] && field("Gid") == [nobody.as_str(); 4], "{status}");
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                ensure!(field(set) == ["0000000000000000"], "{set}: {status}");
            }
            ensure!(field("NoNewPrivs") == ["1"] && field("Seccomp") == ["2"], "{status}");
            let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
            let root = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
            let root = root.into_iter().find(|line| line.get(4) == Some(&"/")).context("no root")?;
            ensure!(root.get(5).is_some_and(|options| options.split(',').any(|one| one == "ro")), "{root:?}");
            let memory = |name| field(name).first().copied().unwrap_or("?").to_owned();
            eprintln!("{name}: VmRSS {} KiB, of it not of files {} KiB", memory("VmRSS"), memory("RssAnon"));
        }
        Ok(())
    }

    /// Takes it away again, as a person does.
    pub async fn uninstall(&self) -> Result<()> {
        let (name, namespace) = RELEASE;
        self.helm.run(&["uninstall", name, "--namespace", namespace, "--wait"]).await?;
        eventually("the replicas are gone", PATIENCE, async || {
            let left = self.replicas().await?.len();
            ensure!(left == 0, "{left} are there");
            Ok(())
        })
        .await
    }
}

/// The process of a replica: there is exactly one, the image has no other program.
fn process_of(pod: &str) -> Result<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let folder = entry?.path();
        let number = folder.file_name().and_then(|name| name.to_str()?.parse::<i32>().ok());
        let (Some(pid), Ok(environment)) = (number, std::fs::read(folder.join("environ"))) else {
            continue;
        };
        let wanted = format!("POD_NAME={pod}");
        if environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes()) {
            found.push(pid);
        }
    }
    match found[..] {
        [pid] => Ok(pid),
        _ => bail!("the processes of {pod} are {found:?}"),
    }
}

/// The image of the binary under test, without what only debuggers read, as the released one.
fn image() -> Result<Release> {
    let folder = tempfile::tempdir()?;
    let stripped = folder.path().join("lockkeeper");
    let program = program()?;
    let output = Command::new("strip").arg("-o").args([&stripped, &program]).output()?;
    ensure!(output.status.success(), "strip: {}", String::from_utf8_lossy(&output.stderr));
    Release::new(&Parts {
        binary: std::fs::read(&stripped)?,
        libraries: libraries(&program)?,
        programs: Vec::new(),
        roots: std::fs::read("/etc/ssl/certs/ca-certificates.crt")?,
        version: "0.0.0".to_owned(),
        created: "2026-01-01T00:00:00Z".to_owned(),
    })
}
