//! The incident with short soaks and few pods, for tests that compare how it ends: not its pace.

use super::{REPOSITORY, labels, owner, panics_in_prod, policy, wave};
use jiff::{SignedDuration, Timestamp};
use lockkeeper_core::{
    git::{CommitStyle, FileEdit, Forge, GitTarget, PullRequest, Remote, RequestState},
    policy::{Namespaces, Policy, Target},
};
use lockkeeper_sim::{
    Behaviour, World, WorldSettings, release,
    watchman::{Watchman, run_until, settle},
};
use std::collections::{BTreeMap, BTreeSet};

const STEP: SignedDuration = SignedDuration::from_secs(60);

/// Before anything happens: three stages, and every pod runs 0.28.0.
pub fn world() -> World {
    world_of(policy())
}

/// The same with `prod` delivered through a repository, whose file names `latest`.
pub fn world_through_git() -> World {
    through(None)
}

/// The same with requests that somebody merges after some minutes.
pub fn world_through_requests() -> World {
    let mut world = through(Some(pull_request()));
    world.branches.merged_after = SignedDuration::from_mins(4);
    world
}

/// A request with nothing special.
pub fn pull_request() -> PullRequest {
    PullRequest {
        forge: Forge::Gitea,
        address: None,
        secret: None,
        prefix: "lockkeeper".into(),
        labels: Vec::new(),
        reviewers: Vec::new(),
        auto_merge: None,
    }
}

fn through(request: Option<PullRequest>) -> World {
    let mut policy = policy();
    let remote = Remote {
        url: "https://git.example.com/x".into(),
        branch: "main".into(),
        secret: None,
        style: CommitStyle::default(),
        request: request.map(Box::new),
    };
    policy.stages[2].targets = vec![Target::Git(GitTarget {
        remote: remote.clone(),
        edits: vec![FileEdit::Marker { path: String::new() }],
        namespaces: Namespaces::Named(vec!["prod".to_owned()]),
        match_labels: labels(),
        containers: vec!["otel".to_owned()],
    })];
    let mut world = world_of(policy);
    world.add_branch(remote, &format!("{REPOSITORY}:latest"));
    world
}

fn world_of(mut policy: Policy) -> World {
    for stage in &mut policy.stages {
        stage.soak = SignedDuration::from_mins(3);
        stage.waves = Some(vec![wave(2, 15), wave(4, 3)]);
    }
    policy.health.warm_up = SignedDuration::from_secs(60);
    let mut world = World::new(policy, WorldSettings { seed: 11, ..WorldSettings::default() });
    world.push(&release("0.28.0"), &["0.28.0", "latest"], Behaviour::default());
    world.add_owner(owner("dev", "api", 2));
    world.add_owner(owner("staging", "api", 3));
    world.add_owner(owner("prod", "api", 9));
    world
}

type Happening = (Timestamp, fn(&mut World));

/// What happens, and when: everything else follows.
fn story(start: Timestamp) -> Vec<Happening> {
    let at = |minutes| start + SignedDuration::from_mins(minutes);
    vec![
        (at(3), |w| w.push(&release("0.29.0"), &["0.29.0", "latest"], panics_in_prod(40.0))),
        (at(22), |w| {
            let born = w.pods.len() - 1;
            w.delete_pod(born);
        }),
        (at(65), |w| w.push(&release("0.29.1"), &["0.29.1", "latest"], Behaviour::default())),
        (at(120), |_| {}),
    ]
}

/// Plays the rest of the story.
fn play(world: &mut World, watchman: &mut Watchman, start: Timestamp) {
    for (at, event) in story(start) {
        if at <= world.now {
            continue;
        }
        run_until(world, watchman, at, STEP);
        event(world);
        settle(world, watchman, 8);
    }
}

/// What is compared: no times, no counts of attempts.
#[derive(Debug, PartialEq, Eq)]
struct End {
    runs: BTreeMap<String, BTreeMap<String, usize>>,
    pins: BTreeSet<(String, String, Option<String>, bool)>,
    quarantines: BTreeSet<String>,
    verified: BTreeMap<String, Vec<(String, String)>>,
    files: Vec<String>,
    commits: Vec<String>,
    requests: Vec<RequestState>,
    phases: Vec<String>,
}

fn end_of(world: &World) -> End {
    let mut runs: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for pod in &world.pods {
        let o = &world.owners[pod.owner];
        let what = pod.running.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
        *runs.entry(format!("{}/{}", o.namespace, o.name)).or_default().entry(what).or_default() += 1;
    }
    let pins = world.pins.iter().map(|p| {
        let tag = p.spec.tag.as_ref().map(ToString::to_string);
        (p.key.namespace.clone(), p.spec.digest.to_string(), tag, p.spec.only_tags.is_some())
    });
    let verified = world.stored.stages.iter().map(|s| {
        let list = s.verified.iter().map(|v| (v.release.digest.to_string(), format!("{:?}", v.source)));
        (s.name.clone(), list.collect())
    });
    End {
        runs,
        pins: pins.collect(),
        quarantines: world.quarantines.iter().map(|q| q.name.clone()).collect(),
        verified: verified.collect(),
        files: world.branches.files.values().cloned().collect(),
        commits: world.branches.commits.iter().map(|(_, says)| says.clone()).collect(),
        requests: world.branches.requests.iter().map(|request| request.state).collect(),
        phases: world.stored.stages.iter().map(|s| format!("{} {:?}", s.name, s.phase)).collect(),
    }
}

/// One pass of the run from which branches are taken.
pub struct Pass {
    pub before: (World, Watchman),
    pub after: (World, Watchman),
    /// How many writes it made.
    pub writes: usize,
    /// It did something that is recorded.
    pub acted: bool,
    /// Worth a branch: it acted, or it is one in ten of those that only move the soak's clock on, which are all alike.
    pub telling: bool,
}

/// How branches end, against the run in which nothing goes wrong.
pub struct Ends {
    start: Timestamp,
    /// That run, at its end.
    pub clean: World,
    expected: End,
    judged: usize,
    wrong: Vec<(Timestamp, End, Vec<String>)>,
}

impl Ends {
    fn of_a_clean_run(world: World) -> Self {
        let (mut clean, mut watchman) = (world, Watchman::default());
        let start = clean.now;
        play(&mut clean, &mut watchman, start);
        assert_eq!(watchman.violations, Vec::<String>::new());
        let expected = end_of(&clean);
        assert_eq!(clean.running(&release("0.29.1")), 14, "{expected:#?}");
        assert_eq!(clean.quarantines.len(), 1);
        Self { start, clean, expected, judged: 0, wrong: Vec::new() }
    }

    /// Plays the rest of a branch and compares how it ends.
    pub fn judge(&mut self, mut branch: World, mut oracle: Watchman) {
        let at = branch.now;
        play(&mut branch, &mut oracle, self.start);
        let end = end_of(&branch);
        self.judged += 1;
        if end != self.expected || !oracle.violations.is_empty() {
            self.wrong.push((at, end, oracle.violations));
        }
    }

    /// Every branch ended as it should, and there were branches.
    pub fn are_all_the_same(&self) {
        assert!(
            self.wrong.is_empty(),
            "{} of {} branches end differently; the first: {:#?}\nexpected {:#?}",
            self.wrong.len(),
            self.judged,
            self.wrong[0],
            self.expected
        );
        assert!(self.judged > 0);
    }
}

/// Goes through the story in this world; `each` takes branches from its passes, and has them judged.
pub fn walk(world: &World, mut each: impl FnMut(&Pass, &mut Ends)) -> Ends {
    let mut ends = Ends::of_a_clean_run(world.clone());
    let (mut trunk, mut watchman) = (world.clone(), Watchman::default());
    let mut alike = 0;
    let mut events = story(ends.start).into_iter().peekable();
    while let Some((at, event)) = events.peek().copied() {
        if trunk.now >= at {
            event(&mut trunk);
            events.next();
        } else {
            trunk.pass_time(STEP);
        }
        for _ in 0..8 {
            let before = (trunk.clone(), watchman.clone());
            let writes = trunk.reconcile(None).writes;
            watchman.look(&trunk);
            let over = writes == 0 && before.0.asks() == trunk.asks();
            let acted = trunk.records.len() > before.0.records.len();
            alike += usize::from(writes > 0 && !acted);
            let telling = acted || (writes > 0 && alike % 10 == 0);
            let after = (trunk.clone(), watchman.clone());
            each(&Pass { before, after, writes, acted, telling }, &mut ends);
            if over {
                break;
            }
        }
    }
    ends
}
