//! What the story plays in: nodes, images, applications, Lockkeeper's installation, the recorder.

use anyhow::{Context as _, Result, ensure};
use kube::Client;

use super::follow::{self, Follow};
use super::{PROD, RESTARTS_PER_POD_HOUR, SIDECAR, STAGES, Screen, TIME_SCALE};
use crate::bed::Bed;
use crate::controller::Controller;
use crate::eventually::{PATIENCE, eventually};
use crate::image::{Image, Pushed};
use crate::install::{apply_file, install, start_controller};
use crate::kubelet::{Kubelet, Rule, Script, Settings};
use crate::recorder::{Record, Recorder};

/// The collector's repository, without the registry's host.
const COLLECTOR: &str = "aws-observability/aws-otel-collector";
/// The host that stands for the registry in the files of `examples/demo`.
const PLACEHOLDER: &str = "registry.example.com";

/// Everything that runs. What is dropped, ends.
pub struct World<'a> {
    /// Control plane and registry.
    pub bed: &'a Bed,
    /// May do everything.
    pub admin: Client,
    /// Where people look.
    pub screen: Screen,
    /// The witness.
    pub recorder: Recorder,
    /// The nodes.
    pub kubelet: Kubelet,
    /// The controller, once it was started.
    pub controller: Option<Controller>,
    /// The releases that were pushed: version and what the push made.
    pub releases: Vec<(String, Pushed)>,
    follow: Option<Follow>,
}

impl<'a> World<'a> {
    /// Brings up everything but the controller; returns when all applications run the first release.
    pub async fn build(bed: &'a Bed, screen: &Screen) -> Result<Self> {
        let admin = bed.admin().await?;
        let namespaces = STAGES.map(|(namespace, _)| namespace);
        let recorder = Recorder::start(admin.clone(), &namespaces, SIDECAR);
        screen.story(
            "six nodes whose kubelets are simulated: a second counts as a minute of crashes and back-offs",
        );
        let settings = Settings { back_off_scale: 1.0 / TIME_SCALE, ..Settings::nodes("node", 6) };
        let kubelet = bed.start_kubelet(settings).await?;
        kubelet.rules().add(the_bug(bed));

        let mut world = Self {
            bed,
            admin,
            screen: screen.clone(),
            recorder,
            kubelet,
            controller: None,
            releases: Vec::new(),
            follow: None,
        };
        screen.story("Lockkeeper's definitions, its admission policy, its rights");
        install(bed).await?;
        world.apply("namespaces.yaml").await?;
        world.apply("promoter.yaml").await?;
        bed.registry().push("nextmv/app", "1", &Image::release("the application")).await?;
        world.release("0.28.0").await?;
        screen.story("the applications: dev 2 pods, staging 4, prod 30, each with the collector at :latest");
        world.apply("apps.yaml").await?;
        world.wait("all applications run 0.28.0", |world| world.all_run("0.28.0")).await?;
        Ok(world)
    }

    /// Applies a file of `examples/demo` with the bed's registry in it.
    pub async fn apply(&self, file: &str) -> Result<()> {
        let host = self.bed.registry().host().to_owned();
        apply_file(&self.admin, &format!("examples/demo/{file}"), &[(PLACEHOLDER, &host)]).await
    }

    /// Somebody else pushes a release and moves `latest` to it.
    pub async fn release(&mut self, version: &str) -> Result<()> {
        let registry = self.bed.registry();
        let pushed = registry.push(COLLECTOR, version, &Image::release(version)).await?;
        registry.tag(COLLECTOR, version, "latest").await?;
        self.screen.story(&format!("pushed {version}, and moved latest to it ({})", short(&pushed.digest)));
        self.releases.push((version.to_owned(), pushed));
        Ok(())
    }

    /// The index digest of a release that was pushed.
    pub fn digest(&self, version: &str) -> Result<&str> {
        let found = self.releases.iter().find(|(name, _)| name == version);
        Ok(&found.with_context(|| format!("{version} was not pushed"))?.1.digest)
    }

    /// The version that a digest belongs to, for people.
    #[must_use]
    pub fn version<'b>(&'b self, digest: &'b str) -> &'b str {
        let found = self.releases.iter().find(|(_, pushed)| pushed.digest == digest);
        found.map_or(digest, |(version, _)| version)
    }

    /// Starts the controller, and begins to print what it says.
    pub async fn start_controller(&mut self) -> Result<()> {
        self.controller = Some(start_controller(self.bed, "lockkeeper").await?);
        self.follow.get_or_insert_with(|| Follow::start(&self.admin, &self.screen));
        Ok(())
    }

    /// The controller that was started.
    pub fn controller(&self) -> Result<&Controller> {
        self.controller.as_ref().context("the controller was not started")
    }

    /// Waits for something that is seen from outside; says what is seen instead when it takes too long.
    pub async fn wait(&self, what: &str, look: impl Fn(&Self) -> Result<()>) -> Result<()> {
        let waited = eventually(what, PATIENCE * 3, async || {
            self.kubelet.check()?;
            look(self)
        });
        tokio::select! {
            waited = waited => match waited {
                Ok(()) => Ok(()),
                Err(error) => Err(error.context(self.state().await)),
            },
            ended = self.controller_ends() => Err(ended.context(format!("while waiting for: {what}"))),
        }
    }

    /// An error once the controller ends by itself; never, where none was started or it was ended by us.
    async fn controller_ends(&self) -> anyhow::Error {
        if let Some(controller) = &self.controller {
            loop {
                if let Err(error) = controller.check().await {
                    return error;
                }
                tokio::time::sleep(std::time::Duration::from_millis(250)).await;
            }
        }
        std::future::pending().await
    }

    /// What runs where and what the policy says, for messages.
    async fn state(&self) -> String {
        let record = self.recorder.record();
        let stages = STAGES.map(|(stage, _)| format!("{stage}: {}", self.running(&record, stage)));
        let row = match follow::row(&self.admin).await {
            Ok(row) => row,
            Err(error) => format!("{error:#}"),
        };
        format!("pods: {}; policy: {row}", stages.join(", "))
    }

    /// `29 × 0.28.0, 1 × 0.29.0`.
    fn running(&self, record: &Record, stage: &str) -> String {
        let mut counts = std::collections::BTreeMap::<String, usize>::new();
        for life in record.present(stage) {
            let version = life.runs().map_or("nothing", |digest| self.version(digest));
            let ready = if life.ready { "" } else { ", not ready" };
            *counts.entry(format!("{version}{ready}")).or_default() += 1;
        }
        let counts: Vec<String> = counts.iter().map(|(what, count)| format!("{count} × {what}")).collect();
        counts.join(", ")
    }

    /// An error unless every stage has all its pods, Ready, on this release.
    pub fn all_run(&self, version: &str) -> Result<()> {
        STAGES.iter().try_for_each(|(stage, _)| self.stage_runs(stage, version))
    }

    /// An error unless one stage has all its pods, Ready, on this release.
    pub fn stage_runs(&self, stage: &str, version: &str) -> Result<()> {
        let digest = self.digest(version)?;
        let wanted = STAGES.iter().find(|(name, _)| *name == stage).map(|(_, pods)| *pods);
        let record = self.recorder.record();
        let there = record.present(stage).count();
        let right = record.present(stage).filter(|life| life.ready && life.runs() == Some(digest)).count();
        ensure!(
            Some(right) == wanted && there == right,
            "{stage}: {}; wanted: {wanted:?} × {version}",
            self.running(&record, stage)
        );
        Ok(())
    }
}

/// 0.29.0 panics on one kind of input, and only prod has it.
fn the_bug(bed: &Bed) -> Rule {
    let script = Script {
        restarts_per_pod_hour: RESTARTS_PER_POD_HOUR,
        time_scale: TIME_SCALE,
        message:
            "panic: runtime error: index out of range [0] with length 0 (DynamoDB attribute of type string)"
                .to_owned(),
        ..Script::default()
    };
    let image = format!("{}:0.29.0", bed.registry().repository(COLLECTOR));
    Rule { namespaces: vec![PROD.to_owned()], ..Rule::new(&image, script) }
}

/// The first characters of a digest, for people.
fn short(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}
