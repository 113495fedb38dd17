//! Workloads: templates last going forward, first going back, and never fought over.

use super::{Story, stages};
use lockkeeper_core::{
    decide,
    decision::{Action, Decision},
    observed::{Answer, ContainerSeen, ObjectKey, Observed, WorkloadSeen},
    policy::{Amount, Namespaces, Policy, Target, WorkloadsTarget},
    status::Status,
};

/// A policy over one Deployment, and what is seen of it.
struct Table {
    story: Story,
    policy: Policy,
    status: Status,
    image: String,
    generation: i64,
    manager: Option<String>,
}

impl Table {
    fn new() -> Self {
        // The world shows the pods by a target of its own; what decides has the workload.
        let story = Story::new(stages(&["prod"]), &[("prod", "api", 2)]);
        let mut policy = stages(&["prod"]);
        policy.stages[0].targets = vec![Target::Workloads(WorkloadsTarget {
            namespaces: Namespaces::Named(vec!["prod".to_owned()]),
            match_labels: crate::common::labels(),
            containers: Vec::new(),
            kinds: vec!["Deployment.apps".to_owned()],
            max_unavailable: Amount::Percent(25),
            max_moving: 50,
        })];
        let image = format!("{}:0.28.0", crate::common::REPOSITORY);
        Self { story, policy, status: Status::default(), image, generation: 1, manager: None }
    }

    fn seen(&self) -> Observed {
        let mut seen = self.story.world.observe();
        seen.status = self.status.clone();
        let container =
            ContainerSeen { name: "otel".into(), image: self.image.clone(), ..ContainerSeen::default() };
        let managers = self.manager.iter().map(|m| ("otel".to_owned(), m.clone()));
        seen.stages[0].workloads = vec![WorkloadSeen {
            key: ObjectKey {
                namespace: "prod".into(),
                name: "api".into(),
                uid: "w".into(),
                ..ObjectKey::default()
            },
            kind: "Deployment".into(),
            api_version: "apps/v1".into(),
            generation: self.generation,
            rolled_out: true,
            pod_spec: "/spec/template/spec".into(),
            containers: vec![container],
            image_managers: managers.collect(),
            ..WorkloadSeen::default()
        }];
        for release in &self.story.world.pushed {
            let key = (self.story.world.policy.image.clone(), release.digest.clone());
            seen.answers.pullable.insert(key, Answer::Known(()));
            seen.answers.digests.insert(release.digest.clone(), Answer::Known(release.clone()));
        }
        for (tag, release) in &self.story.world.tags {
            seen.answers.tags.insert(tag.clone(), Answer::Known(release.clone()));
            seen.answers.tags_now.insert(tag.clone(), Answer::Known(release.clone()));
        }
        seen
    }

    fn pass(&mut self) -> Decision {
        let decision = decide(&self.policy, &self.seen(), self.story.world.now);
        self.status = decision.status.clone();
        self.story.world.now += jiff::SignedDuration::from_secs(30);
        decision
    }

    fn patches(&mut self, passes: usize) -> Vec<(i64, String)> {
        let mut found = Vec::new();
        for _ in 0..passes {
            for action in self.pass().actions {
                if let Action::PatchTemplate(patch) = action {
                    found.push((patch.generation, patch.containers[0].to.clone()));
                }
            }
        }
        found
    }
}

#[test]
fn adoption_never_writes_a_template() {
    let mut table = Table::new();
    assert_eq!(table.patches(6), []);
    assert_eq!(table.status.stages[0].reason, "Adopted");
}

#[test]
fn a_write_that_did_not_land_is_tried_again_and_not_counted_as_contested() {
    let mut table = Table::new();
    table.patches(3);
    table.story.good("0.29.0");
    let patches = table.patches(12);
    assert!(patches.len() > 3, "{patches:?}");
    assert!(patches.iter().all(|(generation, _)| *generation == 1));
    assert!(!table.status.history.iter().any(|h| h.reason == "Contested"));
}

#[test]
fn k14_a_manager_that_sets_it_back_wins_after_three_writes_and_is_named() {
    let mut table = Table::new();
    table.patches(3);
    table.story.good("0.29.0");
    let mut writes = 0;
    let old = table.image.clone();
    for _ in 0..12 {
        let patches = table.patches(1);
        if let Some((_, to)) = patches.first() {
            writes += 1;
            // It lands, and is seen; then the other manager sets it back.
            table.image.clone_from(to);
            table.generation += 1;
            table.patches(1);
            table.image.clone_from(&old);
            table.generation += 1;
            table.manager = Some("argocd-controller".to_owned());
        }
    }
    assert_eq!(writes, 3);
    let contested: Vec<_> = table.status.history.iter().filter(|h| h.reason == "Contested").collect();
    assert_eq!(contested.len(), 1);
    assert!(contested[0].message.contains("argocd-controller"), "{}", contested[0].message);
}

#[test]
fn a_workload_that_a_tool_applies_is_left_alone_and_said() {
    let mut table = Table::new();
    table.patches(3);
    table.story.good("0.29.0");
    let mut seen = table.seen();
    seen.stages[0].workloads[0].applied_by = Some("Argo CD".to_owned());
    let decision = decide(&table.policy, &seen, table.story.world.now);
    assert_eq!(decision.status.stages[0].reason, "LeftAlone");
    assert!(decision.actions.is_empty(), "{:?}", decision.actions);
}

#[test]
fn the_template_names_the_release_by_tag_and_digest() {
    let mut table = Table::new();
    table.patches(3);
    let good = table.story.good("0.29.0");
    let expected = format!("{}:0.29.0@{}", crate::common::REPOSITORY, good.digest);
    assert_eq!(table.patches(6).first().map(|(_, to)| to.clone()), Some(expected));
}
