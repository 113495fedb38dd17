//! Branches of our own, which are asked to be merged.

use super::*;
use lockkeeper_core::git::{Forge, PullRequest};

const OWN: &str = "lockkeeper/apps/otel/prod/main";

impl Bench {
    /// The same branch, changed by requests.
    fn asked(&self) -> Remote {
        let request = PullRequest {
            forge: Forge::Gitea,
            address: None,
            secret: None,
            prefix: "lockkeeper".into(),
            labels: Vec::new(),
            reviewers: Vec::new(),
            auto_merge: None,
        };
        Remote { request: Some(Box::new(request)), ..self.remote() }
    }

    fn proposed(&self, tag: &str, attempt: u32) -> Delivery {
        let edits = vec![FileEdit::Marker { path: "prod".into() }];
        Delivery { remote: self.asked(), ..self.delivery("otel", tag, attempt, edits) }
    }

    async fn look(&self, delivery: &Delivery) -> FilesSeen {
        let errand = Errand { delivery: delivery.clone(), due: None };
        self.propose(errand).await
    }

    async fn propose(&self, errand: Errand) -> FilesSeen {
        let fence = Fence::new(self.closes.clone());
        let seen = self.git.visit(&GitAccess::default(), &self.asked(), &[errand], &fence).await;
        seen.unwrap().remove(0)
    }

    /// Looks, and then commits what that found.
    async fn bring(&self, delivery: &Delivery) -> FilesSeen {
        let Files::Differ(expects) = self.look(delivery).await.files else { panic!("nothing differs") };
        let due = Some(Due { expects, takes_back: false, only_closes: false });
        self.propose(Errand { delivery: delivery.clone(), due }).await
    }

    fn on_branch(&self, branch: &str) -> String {
        self.run(&["--git-dir=origin.git", "show", &format!("{branch}:prod/a.yaml")])
    }

    fn ahead(&self) -> String {
        let range = format!("main..{OWN}");
        self.run(&["--git-dir=origin.git", "rev-list", "--count", &range]).trim().to_owned()
    }
}

fn ready(seen: &FilesSeen) -> bool {
    seen.proposal.as_ref().is_some_and(|proposal| proposal.ready)
}

#[tokio::test]
async fn a_branch_of_our_own_is_one_commit_on_what_is_there_now_and_the_branch_is_never_pushed_to() {
    let bench = Bench::new(&[("prod/a.yaml", &marked("otel", OLD)), ("prod/b.txt", "x")]);
    let first = bench.proposed("0.29.0", 1);
    assert!(!ready(&bench.look(&first).await));
    let seen = bench.bring(&first).await;
    assert!(ready(&seen) && matches!(seen.files, Files::Differ(_)) && seen.own.is_none(), "{seen:?}");
    assert!(bench.show("prod/a.yaml").contains(OLD) && bench.on_branch(OWN).contains("0.29.0@sha256:"));
    let tip = bench.run(&["--git-dir=origin.git", "rev-parse", OWN]);
    assert!(ready(&bench.bring(&first).await));
    assert_eq!(bench.run(&["--git-dir=origin.git", "rev-parse", OWN]), tip, "what is there is left alone");

    // Other files do not matter; the same file does: merging would bring back what it was.
    bench.edit(&[("prod/b.txt", "y")]);
    assert!(ready(&bench.look(&first).await));
    bench.edit(&[("prod/a.yaml", &marked("otel", OLD).replace("other: y", "other: z"))]);
    assert!(!ready(&bench.look(&first).await));
    assert!(ready(&bench.bring(&first).await));
    assert!(bench.on_branch(OWN).contains("other: z") && bench.ahead() == "1");

    // What is newer takes its place.
    let newer = bench.proposed("0.29.1", 2);
    assert!(!ready(&bench.look(&newer).await));
    assert!(ready(&bench.bring(&newer).await) && !ready(&bench.look(&first).await));
    assert!(bench.on_branch(OWN).contains("0.29.1@sha256:") && bench.ahead() == "1");
    bench.run(&["--git-dir=origin.git", "update-ref", "refs/heads/main", OWN]);
    let seen = bench.look(&newer).await;
    assert!(matches!(seen.files, Files::Say(_)) && seen.own.is_some(), "{seen:?}");
}

#[tokio::test]
async fn what_somebody_else_put_on_top_is_not_overwritten() {
    let bench = Bench::new(&[("prod/a.yaml", &marked("otel", OLD))]);
    bench.bring(&bench.proposed("0.29.0", 1)).await;
    bench.run(&["-C", "person", "fetch", "--quiet", "origin", OWN]);
    bench.run(&["-C", "person", "checkout", "--quiet", "-b", "theirs", "FETCH_HEAD"]);
    fs::write(bench.folder.path().join("person/prod/c.txt"), "mine").unwrap();
    bench.run(&["-C", "person", "add", "--all"]);
    bench.run(&["-C", "person", "commit", "--quiet", "-m", "a person's"]);
    bench.run(&["-C", "person", "push", "--quiet", "origin", &format!("HEAD:{OWN}")]);
    let seen = bench.bring(&bench.proposed("0.29.1", 2)).await;
    let why = seen.rejected.map(|rejected| rejected.message).unwrap_or_default();
    assert!(why.contains(OWN) && why.contains("somebody else") && why.contains("delete the branch"), "{why}");
    assert_eq!(bench.ahead(), "2");
    bench.run(&["--git-dir=origin.git", "branch", "-D", OWN]);
    assert!(ready(&bench.bring(&bench.proposed("0.29.1", 2)).await));
    assert_eq!(bench.ahead(), "1");
}

#[tokio::test]
async fn a_branch_that_takes_nothing_says_why() {
    let bench = Bench::new(&[("prod/a.yaml", &marked("otel", OLD))]);
    bench.hook("pre-receive", "echo only people may push >&2; exit 1");
    let seen = bench.bring(&bench.proposed("0.29.0", 1)).await;
    assert!(!ready(&seen) && seen.rejected.is_some_and(|why| why.message.contains("only people may push")));
}
