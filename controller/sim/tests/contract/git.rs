//! `git` targets: one commit per attempt, the soak only when the pods have it, and back by a commit.

use super::{Story, stages};
use jiff::SignedDuration;
use lockkeeper_core::{
    decide,
    decision::{Action, Decision, PodMove, Purpose},
    git::{Commit, CommitStyle, Delivery, FileEdit, Files, FilesSeen, GitTarget, Place, Remote},
    image::{Release, Tag},
    observed::{Answer, Failure, Observed, PodSeen},
    policy::{Namespaces, Policy, Target},
    status::{Phase, Status},
};
use lockkeeper_sim::{Effect, Record, World, release};

/// A policy whose one stage is delivered through a repository, what its file says, and what applies it.
struct Table {
    story: Story,
    policy: Policy,
    status: Status,
    /// What the file says, and the mark of the commit that said so.
    file: String,
    marks: Vec<String>,
    asked: Vec<Delivery>,
    /// What the pods were given.
    applied: String,
    fails: bool,
    commits: Vec<Commit>,
    undone_by: Option<String>,
    /// Moves that put a pod back.
    put_back: usize,
}

impl Table {
    /// Two pods on 0.28.0, adopted.
    fn new() -> Self {
        let story = Story::new(stages(&["prod"]), &[("prod", "api", 2)]).minutes(1);
        let mut policy = stages(&["prod"]);
        policy.stages[0].targets = vec![Target::Git(GitTarget {
            remote: Remote {
                url: "https://git.example.com/x".into(),
                branch: "main".into(),
                secret: None,
                style: CommitStyle::default(),
                request: None,
            },
            edits: vec![FileEdit::Marker { path: String::new() }],
            namespaces: Namespaces::Named(vec!["prod".to_owned()]),
            match_labels: crate::common::labels(),
            containers: Vec::new(),
        })];
        let old = format!("{}:0.28.0", crate::common::REPOSITORY);
        let mut table = Self {
            story,
            policy,
            status: Status::default(),
            file: old.clone(),
            marks: Vec::new(),
            asked: Vec::new(),
            applied: old,
            fails: false,
            commits: Vec::new(),
            undone_by: None,
            put_back: 0,
        };
        table.passes(4);
        assert_eq!(table.reason(), (Phase::Idle, "Adopted"));
        table
    }

    fn reason(&self) -> (Phase, &str) {
        (self.status.stages[0].phase, &self.status.stages[0].reason)
    }

    fn answer(&self, delivery: &Delivery) -> Answer<FilesSeen> {
        if self.fails {
            let (reason, message) = ("Unreachable".to_owned(), "it does not answer".to_owned());
            return Answer::Failed(Failure { since: self.story.world.now, reason, message });
        }
        let own = self.marks.contains(&delivery.mark()).then(|| "c0ffee".to_owned());
        let files = if self.file.ends_with(delivery.digest.as_str()) {
            Files::Say("head".to_owned())
        } else {
            let (file, path) = ("app.yaml".to_owned(), "image".to_owned());
            Files::Differ(vec![Place { file, path, from: self.file.clone() }])
        };
        Answer::Known(FilesSeen {
            own,
            files,
            undone_by: self.undone_by.clone(),
            rejected: None,
            proposal: None,
        })
    }

    fn seen(&self) -> Observed {
        let mut seen = self.story.world.observe();
        seen.status = self.status.clone();
        seen.pins.clear();
        for release in &self.story.world.pushed {
            let key = (self.story.world.policy.image.clone(), release.digest.clone());
            seen.answers.pullable.insert(key, Answer::Known(()));
            seen.answers.digests.insert(release.digest.clone(), Answer::Known(release.clone()));
        }
        for (tag, release) in &self.story.world.tags {
            seen.answers.tags.insert(tag.clone(), Answer::Known(release.clone()));
            seen.answers.tags_now.insert(tag.clone(), Answer::Known(release.clone()));
        }
        seen.deliveries = self.asked.iter().map(|asked| (asked.clone(), self.answer(asked))).collect();
        let runs = self.story.world.pushed.iter().find(|r| self.applied.contains(r.digest.as_str()));
        let runs = runs.cloned().unwrap_or_else(|| release("0.28.0"));
        seen.stages[0].pods.iter_mut().for_each(|pod| gave(pod, &self.applied, &runs));
        seen
    }

    fn pass(&mut self) -> Decision {
        let decision = decide(&self.policy, &self.seen(), self.story.world.now);
        for action in &decision.actions {
            let Action::MovePod(PodMove { purpose: Purpose::TakeBack, .. }) = action else {
                panic!("nothing else is written: {action:?}");
            };
            self.put_back += 1;
        }
        self.status = decision.status.clone();
        self.asked = decision.deliveries.iter().cloned().collect();
        self.story.world.now += jiff::SignedDuration::from_secs(30);
        decision
    }

    /// Passes; what is due is committed, as the adapter does it. Nothing applies it.
    fn passes(&mut self, passes: usize) {
        for _ in 0..passes {
            for commit in self.pass().commits {
                let Delivery { tag, digest, .. } = &commit.delivery;
                assert_eq!(commit.expects[0].from, self.file);
                assert!(!self.marks.contains(&commit.delivery.mark()), "one commit per attempt");
                let tag = tag.as_ref().map(Tag::as_str).unwrap_or_default();
                self.file = format!("{}:{tag}@{digest}", crate::common::REPOSITORY);
                self.marks.push(commit.delivery.mark());
                self.commits.push(commit);
            }
        }
    }

    /// The tool applies what the file says.
    fn apply(&mut self) {
        self.applied.clone_from(&self.file);
    }

    fn told(&self, reason: &str) -> usize {
        self.status.history.iter().filter(|h| h.reason == reason).count()
    }
}

fn gave(pod: &mut PodSeen, image: &str, runs: &Release) {
    for container in &mut pod.containers {
        image.clone_into(&mut container.image);
        container.running = runs.platforms.first().map(|p| p.manifest.clone()).or(Some(runs.digest.clone()));
    }
}

#[test]
fn a_release_is_one_commit_and_soaks_only_when_the_pods_have_it() {
    let mut table = Table::new();
    let new = table.story.good("0.29.0");
    table.passes(10);
    assert_eq!((table.commits.len(), table.reason()), (1, (Phase::Applying, "AwaitingSync")));
    let held = table.status.stages[0].git.clone();
    assert_eq!((held.len(), held[0].commit.as_str(), &held[0].digest), (1, "c0ffee", &new.digest));
    assert!(
        table.status.stages[0].message.contains("0 of 2 pods have it"),
        "{}",
        table.status.stages[0].message
    );
    table.apply();
    table.passes(2);
    assert_eq!(table.reason(), (Phase::Soaking, "Soaking"));
    // A repository that does not answer takes nothing away from what was seen.
    table.fails = true;
    table.passes(30);
    assert_eq!(table.reason(), (Phase::Idle, "Verified"));
    assert_eq!((table.commits.len(), table.told("Verified")), (1, 1));
    assert!(table.asked.is_empty(), "a stage at rest asks nothing");
}

#[test]
fn what_is_quarantined_goes_back_by_a_commit_and_is_over_when_the_pods_are_back() {
    let mut table = Table::new();
    table.passes(1);
    let bad = table.story.good("0.29.0");
    table.passes(6);
    table.apply();
    table.passes(4);
    table.story.world.quarantine_by_person(&bad);
    assert_eq!(table.put_back, 0);
    table.passes(8);
    assert_eq!(table.commits.len(), 2, "{:?}", table.reason());
    assert!(table.put_back > 0, "and in place at once");
    assert!(table.commits[1].takes_back && table.commits[1].delivery.digest == release("0.28.0").digest);
    assert_eq!(table.status.stages[0].phase, Phase::RollingBack, "the pods still have it");
    table.apply();
    table.passes(8);
    assert_eq!((table.reason(), table.told("RolledBack")), ((Phase::Idle, "Adopted"), 1));
    assert_eq!(table.commits.len(), 2);
}

#[test]
fn files_that_never_named_it_are_not_touched_by_taking_it_back() {
    let mut table = Table::new();
    table.fails = true;
    let bad = table.story.good("0.29.0");
    table.passes(6);
    assert_eq!((table.commits.len(), table.reason()), (0, (Phase::Applying, "GitFailed")));
    table.story.world.quarantine_by_person(&bad);
    table.passes(3);
    assert_eq!(table.status.stages[0].phase, Phase::RollingBack, "whether it was committed is not known");
    table.fails = false;
    table.passes(8);
    assert_eq!((table.commits.len(), table.reason()), (0, (Phase::Idle, "Adopted")));
    assert_eq!(table.told("RolledBack"), 1);
}

#[test]
fn g4_k14_what_somebody_takes_out_again_is_left_alone_after_three_commits_and_put_back_in_the_end() {
    let mut table = Table::new();
    table.story.good("0.29.0");
    let old = table.file.clone();
    for undone in 1..=4 {
        table.passes(6);
        assert_eq!(table.commits.len(), undone.min(3), "{:?}", table.reason());
        table.file.clone_from(&old);
        // Gone from the history, too: what was seen counts.
        table.marks.clear();
        table.undone_by = Some("kim".to_owned());
    }
    table.passes(20);
    assert_eq!((table.commits.len(), table.reason()), (3, (Phase::Applying, "Contested")));
    assert_eq!(table.told("Contested"), 1);
    assert!(table.status.stages[0].message.contains("kim took"), "{}", table.status.stages[0].message);
    let ids: Vec<&str> =
        table.commits.iter().filter_map(|c| c.delivery.id.rsplit_once('/')).map(|c| c.1).collect();
    assert_eq!(ids, ["0", "0.1", "0.2"], "each write has its own name");
    table.passes(260);
    assert_eq!(
        (table.commits.len(), table.status.stages[0].phase),
        (3, Phase::Blocked),
        "the time is bounded"
    );
    assert_eq!(table.reason().1, "Inconclusive");
}

#[test]
fn what_nobody_applies_ends_in_a_reason_and_is_taken_back_by_a_commit() {
    let mut table = Table::new();
    table.story.good("0.29.0");
    table.passes(260);
    assert_eq!(table.commits.len(), 2);
    assert!(table.commits[1].takes_back);
    let message = &table.status.stages[0].message;
    assert_eq!(table.reason(), (Phase::Blocked, "Inconclusive"));
    assert!(message.contains("0 of 2 pods have it") && message.contains("main of https://"), "{message}");
}

#[test]
fn without_the_right_to_patch_pods_it_is_committed_without_waves_and_said() {
    let mut world = crate::common::incident::world_through_git();
    world.forbidden.insert("prod".to_owned());
    let minutes = |world: &mut World, n: i64| {
        world.run_for(SignedDuration::from_mins(n), SignedDuration::from_mins(1));
    };
    minutes(&mut world, 3);
    for version in ["0.28.1", "0.28.2"] {
        world.push(&release(version), &[version, "latest"], lockkeeper_sim::Behaviour::default());
        minutes(&mut world, 100);
        let good = release(version).digest;
        let in_prod = world.pods.iter().filter(|p| world.owners[p.owner].namespace == "prod");
        assert!(in_prod.clone().all(|p| p.running.as_ref() == Some(&good)), "{:#?}", world.stored.stages[2]);
        let moved = |r: &Record| matches!(&r.what, Effect::Moved { pod, .. } if pod.starts_with("prod/"));
        assert!(!world.records.iter().any(moved), "nothing of ours moves them");
        let condition = world.stored.conditions.iter().find(|c| c.kind == "WavesInPlace").unwrap();
        let wanted = "prod: a release is committed without waves on running pods: system:serviceaccount";
        assert!(condition.status == "False" && condition.message.starts_with(wanted), "{condition:?}");
        let ready = world.stored.conditions.iter().find(|c| c.kind == "Ready").unwrap();
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("True", "UpToDate"), "it stops nothing");
    }
    assert_eq!(world.branches.commits.len(), 2);
    let told = |r: &&Record| matches!(&r.what, Effect::Told(e) if e.reason == "WavesLeftOut");
    assert_eq!(world.records.iter().filter(told).count(), 2, "once for each release");
}

#[test]
fn nothing_is_committed_while_it_is_held() {
    let mut table = Table::new();
    table.story.good("0.29.0");
    table.pass();
    table.story.ask(lockkeeper_core::observed::InterventionKind::Hold, "prod", None, "kim");
    table.passes(6);
    assert_eq!((table.commits.len(), table.reason()), (0, (Phase::Applying, "Held")));
}
