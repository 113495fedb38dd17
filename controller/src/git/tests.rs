//! The adapter against real repositories on disk, which the real server programs of git serve.

mod proposals;

use super::{cache::Cache, *};
use crate::{
    hosts::SystemLookup,
    ports::{
        FenceCheck,
        git::SshAccess,
        signals::{SignalAccess, SignalCredential},
    },
};
use lockkeeper_core::{
    git::{CommitStyle, Delivery, FileEdit, Place},
    image::Digest,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};
use tempfile::TempDir;

const OLD: &str = "registry.example.com/otel:0.28.0";

#[derive(Debug, Default)]
struct Closes(AtomicBool);

impl FenceCheck for Closes {
    fn holds(&self) -> bool {
        !self.0.load(Ordering::SeqCst)
    }
}

/// A bare repository with one commit on `main`, and an adapter.
struct Bench {
    folder: TempDir,
    git: Git,
    closes: Arc<Closes>,
}

fn marked(policy: &str, image: &str) -> String {
    format!("# who: ours\r\nimage:   '{image}'   # {{\"$imagepolicy\": \"apps:{policy}\"}}\r\nother: y")
}

impl Bench {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let git = Self::adapter(folder.path());
        let bench = Self { folder, git, closes: Arc::default() };
        bench.run(&["init", "--quiet", "--bare", "--initial-branch=main", "origin.git"]);
        bench.run(&["--git-dir=origin.git", "config", "uploadpack.allowFilter", "true"]);
        bench.run(&["clone", "--quiet", "origin.git", "person"]);
        bench.edit(files);
        bench
    }

    fn adapter(folder: &Path) -> Git {
        let caches = Arc::new(Cache::new(&tempfile::tempdir_in(folder).unwrap().keep()).unwrap());
        Git { hosts: Arc::default(), lookup: Arc::new(SystemLookup), caches, on_disk: true }
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(self.folder.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .envs([("GIT_AUTHOR_NAME", "p"), ("GIT_AUTHOR_EMAIL", "p@x")])
            .envs([("GIT_COMMITTER_NAME", "p"), ("GIT_COMMITTER_EMAIL", "p@x")])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A person commits and pushes these files.
    fn edit(&self, files: &[(&str, &str)]) {
        let person = self.folder.path().join("person");
        if self.run(&["-C", "person", "branch", "--remotes"]).contains("origin/main") {
            self.run(&["-C", "person", "pull", "--quiet", "--rebase", "origin", "main"]);
        }
        for (path, text) in files {
            fs::create_dir_all(person.join(path).parent().unwrap()).unwrap();
            fs::write(person.join(path), text).unwrap();
        }
        self.run(&["-C", "person", "add", "--all"]);
        self.run(&["-C", "person", "commit", "--quiet", "-m", "a person's"]);
        self.run(&["-C", "person", "push", "--quiet", "origin", "HEAD:refs/heads/main"]);
    }

    fn hook(&self, name: &str, script: &str) {
        let file = self.folder.path().join("origin.git/hooks").join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn show(&self, path: &str) -> String {
        self.run(&["--git-dir=origin.git", "show", &format!("main:{path}")])
    }

    fn commits(&self) -> usize {
        self.run(&["--git-dir=origin.git", "rev-list", "main"]).lines().count()
    }

    fn remote(&self) -> Remote {
        let url = format!("file://{}", self.folder.path().join("origin.git").display());
        Remote { url, branch: "main".into(), secret: None, style: CommitStyle::default(), request: None }
    }

    fn delivery(&self, policy: &str, tag: &str, attempt: u32, edits: Vec<FileEdit>) -> Delivery {
        Delivery {
            id: format!("{policy}-{attempt}/0"),
            policy: ("apps".into(), policy.into()),
            stage: "prod".into(),
            remote: self.remote(),
            edits,
            repositories: vec!["registry.example.com/otel".parse().unwrap()],
            tag: Some(tag.parse().unwrap()),
            digest: Digest::of(tag.as_bytes()),
        }
    }

    async fn visit(&self, errands: &[Errand]) -> Result<Vec<FilesSeen>, GitError> {
        self.visit_by(&self.git, errands).await
    }

    async fn visit_by(&self, git: &Git, errands: &[Errand]) -> Result<Vec<FilesSeen>, GitError> {
        let fence = Fence::new(self.closes.clone());
        git.visit(&GitAccess::default(), &self.remote(), errands, &fence).await
    }

    /// Looks, and then commits what that found.
    async fn deliver(&self, delivery: &Delivery) -> Result<FilesSeen, GitError> {
        self.deliver_by(&self.git, delivery).await
    }

    async fn deliver_by(&self, git: &Git, delivery: &Delivery) -> Result<FilesSeen, GitError> {
        let looked = self.visit_by(git, &[look_at(delivery)]).await?.remove(0);
        let Files::Differ(expects) = looked.files.clone() else { return Ok(looked) };
        Ok(self.visit_by(git, &[due(delivery, expects)]).await?.remove(0))
    }
}

fn markers(path: &str) -> Vec<FileEdit> {
    vec![FileEdit::Marker { path: path.into() }]
}

fn look_at(delivery: &Delivery) -> Errand {
    Errand { delivery: delivery.clone(), due: None }
}

fn due(delivery: &Delivery, expects: Vec<Place>) -> Errand {
    Errand { delivery: delivery.clone(), due: Some(Due { expects, takes_back: false, only_closes: false }) }
}

fn pinned(tag: &str) -> String {
    format!("registry.example.com/otel:{tag}@{}", Digest::of(tag.as_bytes()))
}

#[tokio::test]
async fn g2_g6_one_commit_per_attempt_which_changes_the_pin_and_no_other_byte() {
    let kustomization = "images:\n- name: registry.example.com/otel  # the collector\n  newTag: 0.28.0\n";
    let values = "a: &a 1\nimage: {repository: registry.example.com/otel, tag: \"0.28.0\", digest: \"\"}\n";
    let bench = Bench::new(&[
        ("clusters/prod/app.yaml", &marked("otel", OLD)),
        ("clusters/prod/k/kustomization.yaml", kustomization),
        ("charts/values.yaml", values),
        ("unrelated.yaml", "broken: [\n"),
    ]);
    let edits = vec![
        FileEdit::Marker { path: "clusters/prod".into() },
        FileEdit::Kustomize { path: "clusters/prod/k".into(), name: None },
        FileEdit::HelmValues { path: "charts/values.yaml".into(), image: ".image".into() },
    ];
    let new = bench.delivery("otel", "0.28.1", 1, edits.clone());
    let seen = bench.visit(&[look_at(&new)]).await.unwrap().remove(0);
    let Files::Differ(places) = seen.files else { panic!("{seen:?}") };
    assert!(
        places.iter().any(|place| place.file == "clusters/prod/app.yaml" && place.from == OLD),
        "{places:?}"
    );
    assert_eq!(bench.commits(), 1, "a look commits nothing");

    let seen = bench.visit(&[due(&new, places.clone())]).await.unwrap().remove(0);
    let head = bench.run(&["--git-dir=origin.git", "rev-parse", "main"]);
    assert_eq!(seen.files, Files::Say(head.trim().into()));
    assert_eq!(bench.show("clusters/prod/app.yaml"), marked("otel", &pinned("0.28.1")));
    let digest = Digest::of(b"0.28.1");
    let wanted = kustomization.replace("0.28.0", &format!("0.28.1\n  digest: {digest}"));
    assert_eq!(bench.show("clusters/prod/k/kustomization.yaml"), wanted);
    let wanted = values.replace("0.28.0", "0.28.1").replace("digest: \"\"", &format!("digest: \"{digest}\""));
    assert_eq!(bench.show("charts/values.yaml"), wanted);
    let message =
        bench.run(&["--git-dir=origin.git", "log", "-1", "--format=%B%(trailers:key=Lockkeeper-Attempt)"]);
    assert!(message.starts_with("otel: promote registry.example.com/otel:0.28.1 in prod\n"), "{message}");
    assert_eq!(message.matches(&format!("Lockkeeper-Attempt: {}", new.mark())).count(), 2, "{message}");

    // Again, by this process and by one that knows nothing: found, not made.
    for git in [&bench.git, &Bench::adapter(bench.folder.path())] {
        let again = bench.visit_by(git, &[due(&new, places.clone())]).await.unwrap().remove(0);
        assert_eq!((again.own.as_deref(), bench.commits()), (Some(head.trim()), 2));
    }
    // Back: the bytes that Lockkeeper wrote before.
    let before = bench.run(&["--git-dir=origin.git", "rev-parse", "main^{tree}"]);
    bench.deliver(&bench.delivery("otel", "0.28.2", 2, edits.clone())).await.unwrap();
    bench.deliver(&bench.delivery("otel", "0.28.1", 3, edits)).await.unwrap();
    assert_eq!(bench.run(&["--git-dir=origin.git", "rev-parse", "main^{tree}"]), before);
    assert_eq!(bench.commits(), 4);
    // What somebody takes out again is seen as that.
    bench.edit(&[("clusters/prod/app.yaml", &marked("otel", OLD))]);
    let seen = bench.visit(&[due(&new, places)]).await.unwrap().remove(0);
    assert!(seen.own.is_some() && matches!(seen.files, Files::Differ(_)), "{seen:?}");
    assert_eq!(
        (bench.commits(), seen.undone_by.as_deref()),
        (5, Some("p")),
        "left alone, and its author named"
    );
}

#[tokio::test]
async fn what_is_due_together_is_one_commit_and_what_is_refused_is_left_out() {
    let double = format!("{}\n{}", marked("late", OLD), marked("late", OLD));
    let conflict = format!("<<<<<<< ours\n{}\n=======\n>>>>>>> theirs\n", marked("torn", OLD));
    let bench = Bench::new(&[
        ("one.yaml", &format!("- {}\n", marked("a", OLD).replace("\r\n", "\n").replace('\n', "\n  "))),
        ("b.yaml", &marked("b", OLD)),
        ("late.yaml", &double),
        ("torn.yaml", &conflict),
    ]);
    let named = ["one.yaml", "b.yaml", "torn.yaml", "gone.yaml"];
    let policies = ["a", "b", "torn", "c"];
    let all: Vec<Delivery> = policies
        .iter()
        .zip(named)
        .map(|(policy, file)| bench.delivery(policy, "0.28.1", 1, markers(file)))
        .collect();
    let looked = bench.visit(&all.iter().map(look_at).collect::<Vec<_>>()).await.unwrap();
    let errands: Vec<Errand> = all
        .iter()
        .zip(&looked)
        .map(|(delivery, seen)| match &seen.files {
            Files::Differ(places) => due(delivery, places.clone()),
            _ => due(delivery, Vec::new()),
        })
        .collect();
    let seen = bench.visit(&errands).await.unwrap();
    assert!(matches!(seen[0].files, Files::Say(_)) && matches!(seen[1].files, Files::Say(_)), "{seen:?}");
    assert!(matches!(&seen[2].files, Files::Refused(why) if why.starts_with("torn.yaml")), "{seen:?}");
    assert!(matches!(&seen[3].files, Files::Refused(why) if why.contains("is not there")), "{seen:?}");
    assert_eq!(bench.commits(), 2);
    let message = bench.run(&["--git-dir=origin.git", "log", "-1", "--format=%B"]);
    assert_eq!(message.matches("Lockkeeper-Attempt: ").count(), 2, "{message}");
    assert_eq!(bench.show("torn.yaml"), conflict);
}

#[tokio::test]
async fn g1_writers_who_are_outrun_look_again_and_force_nothing() {
    let names: Vec<String> = (0..20).map(|n| format!("w{n}")).collect();
    let files: Vec<(String, String)> = names.iter().map(|n| (format!("{n}.yaml"), marked(n, OLD))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let bench = Bench::new(&files);
    let first = bench.run(&["--git-dir=origin.git", "rev-parse", "main"]);
    let writers = names.iter().map(|name| {
        let bench = &bench;
        async move {
            let git = Bench::adapter(bench.folder.path());
            let delivery = bench.delivery(name, "0.28.1", 1, markers(&format!("{name}.yaml")));
            loop {
                // As the controller does: what others were before in is tried again.
                let seen = bench.deliver_by(&git, &delivery).await.unwrap();
                if matches!(seen.files, Files::Say(_)) {
                    return;
                }
                let Some(rejected) = seen.rejected else {
                    panic!("only others keep it out: {:?}", seen.files)
                };
                let why = rejected.message;
                assert!(why.contains("others pushed first"), "{why}");
            }
        }
    });
    futures::future::join_all(writers).await;
    assert_eq!(bench.commits(), 1 + names.len(), "one commit each, on top of each other");
    assert!(bench.run(&["--git-dir=origin.git", "rev-list", "--max-parents=0", "main"]) == first);
    for name in &names {
        assert_eq!(bench.show(&format!("{name}.yaml")), marked(name, &pinned("0.28.1")));
    }
}

#[tokio::test]
async fn g2_a_push_whose_reply_is_lost_is_found_and_not_made_again() {
    let bench = Bench::new(&[("a.yaml", &marked("otel", OLD))]);
    bench.hook("post-receive", "kill -9 $PPID");
    let seen = bench.deliver(&bench.delivery("otel", "0.28.1", 1, markers("a.yaml"))).await.unwrap();
    assert!(seen.own.is_some() && matches!(seen.files, Files::Say(_)), "{seen:?}");
    assert_eq!(bench.commits(), 2);
}

#[tokio::test]
async fn g3_a_cache_that_was_left_half_way_is_made_anew() {
    let bench = Bench::new(&[("a.yaml", &marked("otel", OLD))]);
    let delivery = bench.delivery("otel", "0.28.1", 1, markers("a.yaml"));
    bench.visit(&[look_at(&delivery)]).await.unwrap();
    bench.edit(&[("other", "x")]);
    let place = bench.git.caches.of(&bench.remote().url, &GitAccess::default());
    let folder = place.lock().await.open(Vec::new(), "file").await.unwrap().folder().to_owned();
    fs::write(folder.join("shallow.lock"), "").unwrap();
    let failed = bench.visit(&[look_at(&delivery)]).await;
    assert!(failed.as_ref().is_err_and(|error| error.reason == "Failed"), "{failed:?}");
    let seen = bench.deliver(&delivery).await.unwrap();
    assert!(matches!(seen.files, Files::Say(_)), "{seen:?}");
}

#[tokio::test]
async fn g4_a_branch_that_takes_no_commit_says_why_and_one_that_is_gone_is_named() {
    let bench = Bench::new(&[("a.yaml", &marked("otel", OLD))]);
    bench.hook("pre-receive", "echo 'main is protected' >&2; exit 1");
    let delivery = bench.delivery("otel", "0.28.1", 1, markers("a.yaml"));
    let seen = bench.deliver(&delivery).await.unwrap();
    let why = seen.rejected.expect("it was refused").message;
    assert!(why.contains("pre-receive hook declined") && why.contains("main is protected"), "{why}");
    assert_eq!(bench.commits(), 1);
    let gone = Remote { branch: "prod".into(), ..bench.remote() };
    let fence = Fence::new(bench.closes.clone());
    let error = bench.git.visit(&GitAccess::default(), &gone, &[], &fence).await.unwrap_err();
    assert!(error.reason == "NotFound" && error.message.contains("no such branch"), "{error:?}");
}

#[tokio::test]
async fn a_file_that_people_changed_meanwhile_is_left_alone_and_so_is_everything_behind_the_fence() {
    let bench = Bench::new(&[("a.yaml", &marked("otel", OLD))]);
    let delivery = bench.delivery("otel", "0.28.1", 1, markers("a.yaml"));
    let Files::Differ(expects) = bench.visit(&[look_at(&delivery)]).await.unwrap().remove(0).files else {
        panic!()
    };
    bench.closes.0.store(true, Ordering::SeqCst);
    let fenced = bench.visit(&[due(&delivery, expects.clone())]).await.unwrap_err();
    assert_eq!((fenced.reason, bench.commits()), ("Fenced", 1));
    bench.closes.0.store(false, Ordering::SeqCst);
    bench.edit(&[("a.yaml", &marked("otel", "registry.example.com/otel:0.27.9"))]);
    let seen = bench.visit(&[due(&delivery, expects)]).await.unwrap().remove(0);
    let Files::Differ(now) = seen.files else { panic!("{:?}", seen.files) };
    assert_eq!((now[0].from.as_str(), bench.commits()), ("registry.example.com/otel:0.27.9", 2));
}

#[tokio::test]
async fn row_32_links_are_not_followed_and_nothing_of_the_repository_is_run() {
    let bench = Bench::new(&[("a.yaml", &marked("otel", OLD)), (".gitattributes", "* filter=evil\n")]);
    std::os::unix::fs::symlink("a.yaml", bench.folder.path().join("person/link.yaml")).unwrap();
    bench.edit(&[("b", "")]);
    let seen = bench.deliver(&bench.delivery("otel", "0.28.1", 1, markers("link.yaml"))).await.unwrap();
    assert!(matches!(&seen.files, Files::Refused(why) if why.contains("symbolic link")), "{seen:?}");
    let seen = bench.deliver(&bench.delivery("otel", "0.28.1", 2, markers("a.yaml"))).await.unwrap();
    assert!(matches!(seen.files, Files::Say(_)), "{seen:?}");
}

#[tokio::test]
async fn m1_a_host_that_may_not_be_dialled_is_not_and_a_credential_is_in_no_message() {
    let folder = tempfile::tempdir().unwrap();
    let git = Git::new(Arc::default(), Arc::new(SystemLookup), folder.path()).unwrap();
    let http = SignalAccess {
        credential: Some(SignalCredential::Basic("bot".into(), "c4n4ry".into())),
        ..SignalAccess::default()
    };
    let access = GitAccess { http, ..GitAccess::default() };
    let fence = Fence::new(Arc::<Closes>::default());
    for url in ["https://127.0.0.1:1/x", "https://localhost:1/x", "https://169.254.169.254/x"] {
        let remote = Remote {
            url: url.into(),
            branch: "main".into(),
            secret: None,
            style: CommitStyle::default(),
            request: None,
        };
        let error = git.visit(&access, &remote, &[], &fence).await.unwrap_err();
        assert_eq!(error.reason, "HostDenied", "{url}: {error}");
        assert!(!error.message.contains("c4n4ry"), "{error}");
    }
    let hosts = Arc::new(HostPolicy::new(["127.0.0.1:1"], false).unwrap());
    let git = Git::new(hosts, Arc::new(SystemLookup), folder.path()).unwrap();
    let remote = Remote {
        url: "https://127.0.0.1:1/x".into(),
        branch: "main".into(),
        secret: None,
        style: CommitStyle::default(),
        request: None,
    };
    let error = git.visit(&access, &remote, &[], &fence).await.unwrap_err();
    assert!(error.reason == "Unreachable" && !error.message.contains("c4n4ry"), "{error:?}");
}

#[tokio::test]
async fn g5_ssh_asks_for_known_hosts_and_its_command_holds_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let strange = folder.path().join("it's a folder");
    let hosts = Arc::new(HostPolicy::new(["127.0.0.1:2222"], false).unwrap());
    let git = Git::new(hosts, Arc::new(SystemLookup), &strange).unwrap();
    let remote = |url: &str| Remote {
        url: url.into(),
        branch: "main".into(),
        secret: None,
        style: CommitStyle::default(),
        request: None,
    };
    let here = remote("ssh://git@127.0.0.1:2222/deploy.git");
    let error = git.way(&GitAccess::default(), &here).await.err().unwrap();
    assert!(error.reason == "AuthFailed" && error.message.contains("known_hosts"), "{error}");
    let ssh = SshAccess { identity: b"c4n4ry".to_vec(), known_hosts: b"127.0.0.1 ssh-ed25519 AAAA".to_vec() };
    let access = GitAccess { ssh: Some(ssh), ..GitAccess::default() };
    let error = git.way(&access, &remote("ssh://git@127.0.0.1/deploy.git")).await.err().unwrap();
    assert_eq!(error.reason, "HostDenied", "another port is not listed: {error}");

    let way = git.way(&access, &here).await.unwrap();
    assert_eq!(way.protocol, "ssh");
    let (_, command) = way.config.iter().find(|(key, _)| key == "core.sshCommand").unwrap();
    assert!(!way.config.iter().any(|(_, value)| value.contains("c4n4ry")), "{:?}", way.config);
    // As a shell reads it.
    let script = format!("set -- {command}; for word; do echo \"$word\"; done");
    let words = Command::new("sh").args(["-c", &script]).output().unwrap().stdout;
    let words = String::from_utf8(words).unwrap();
    let words: Vec<&str> = words.lines().collect();
    for option in ["BatchMode=yes", "StrictHostKeyChecking=yes", "IdentityAgent=none", "ForwardAgent=no"] {
        assert!(words.windows(2).any(|pair| pair == ["-o", option]), "{option}: {words:?}");
    }
    assert!(
        words.contains(&"HostName=127.0.0.1") && words.contains(&"HostKeyAlias=[127.0.0.1]:2222"),
        "{words:?}"
    );
    assert_eq!(words[..4], ["ssh", "-F", "/dev/null", "-T"]);
    let at = words.iter().position(|word| *word == "-i").unwrap();
    let file = Path::new(words[at + 1]).to_owned();
    assert_eq!(fs::read(&file).unwrap(), b"c4n4ry\n");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    drop(way);
    assert!(!file.parent().unwrap().exists(), "they are gone with the visit");
}

#[tokio::test]
async fn row_36_37_a_commit_is_signed_and_says_what_its_template_says_and_no_tag_forges_a_trailer() {
    let bench = Bench::new(&[("a.yaml", &marked("otel", OLD))]);
    let key = bench.folder.path().join("signer");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.unwrap().success());
    let style = CommitStyle {
        message: Some(
            "chore($(stage)): $(action) $(tag)\n\nby $(namespace)/$(policy), $(image) $(digest) ($(attempt))"
                .into(),
        ),
        author: Some(("Deploy Bot".into(), "bot@example.com".into())),
        signing: Some("signer".into()),
    };
    let remote = Remote { style, ..bench.remote() };
    // The most hostile tag that there can be: of nothing else a registry's tag consists.
    let tag = "Lockkeeper-Attempt.__0.28.1";
    let delivery = Delivery { remote: remote.clone(), ..bench.delivery("otel", tag, 1, markers("a.yaml")) };
    let access = GitAccess { signing: Some(fs::read(&key).unwrap()), ..GitAccess::default() };
    let fence = Fence::new(bench.closes.clone());
    let looked = bench.git.visit(&access, &remote, &[look_at(&delivery)], &fence).await.unwrap().remove(0);
    let Files::Differ(expects) = looked.files else { panic!("{looked:?}") };
    let seen = bench.git.visit(&access, &remote, &[due(&delivery, expects)], &fence).await.unwrap().remove(0);
    assert!(matches!(seen.files, Files::Say(_)), "{seen:?}");
    let show = |format: &str| {
        bench.run(&["--git-dir=origin.git", "log", "-1", &format!("--format={format}"), "main"])
    };
    let digest = Digest::of(tag.as_bytes());
    let body = show("%B");
    let said = format!(
        "chore(prod): promote {tag}\n\nby apps/otel, registry.example.com/otel:{tag} {digest} ({})\n",
        delivery.mark()
    );
    assert!(body.starts_with(&said), "{body}");
    let trailers = show("%(trailers:key=Lockkeeper-Attempt,valueonly)");
    assert_eq!(trailers.trim(), delivery.mark(), "{body}");
    assert_eq!(show("%an <%ae> %cn").trim(), "Deploy Bot <bot@example.com> Deploy Bot");
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let signers = bench.folder.path().join("signers");
    fs::write(&signers, format!("bot@example.com {public}")).unwrap();
    let config = format!("gpg.ssh.allowedSignersFile={}", signers.display());
    let verified = ["-c", &config, "--git-dir=origin.git", "log", "-1", "--format=%G? %GS", "main"];
    assert_eq!(bench.run(&verified).trim(), "G bot@example.com", "as git itself verifies it");

    let access = GitAccess { signing: Some(b"no key".to_vec()), ..GitAccess::default() };
    let next = Delivery { remote: remote.clone(), ..bench.delivery("otel", "0.28.2", 2, markers("a.yaml")) };
    let looked = bench.git.visit(&access, &remote, &[look_at(&next)], &fence).await.unwrap().remove(0);
    let Files::Differ(expects) = looked.files else { panic!("{looked:?}") };
    let error = bench.git.visit(&access, &remote, &[due(&next, expects)], &fence).await.unwrap_err();
    assert!(error.reason == "AuthFailed" && error.message.contains("signingSecretRef"), "{error}");
}
