//! What those outside are told: once per transition, whoever is killed in between, and nothing else changes by it.

use super::{Story, crashes, stages};
use jiff::SignedDuration;
use lockkeeper_core::{
    notices::{Delivery, GIVE_UP, MOST, NoticesSeen, Occasion, Place, Receiver, SAID_AFTER, Service},
    observed::InterventionKind,
    policy::{Policy, RollbackMode},
    status::{Notice, Phase},
};
use lockkeeper_sim::{Effect, watchman::settle};

fn receiver(service: Service, stages: &[&str]) -> Receiver {
    Receiver {
        name: format!("{}/a", service.name()),
        service,
        place: Place::Secret("a".to_owned()),
        occasions: service.takes().iter().copied().collect(),
        stages: stages.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn told(policy: Policy) -> Story {
    let mut policy = policy;
    policy.notify = Some(vec![receiver(Service::Webhook, &[]), receiver(Service::PagerDuty, &[])]);
    Story::new(policy, &[("prod", "api", 8)]).minutes(1)
}

impl Story {
    fn notices(&self) -> Vec<Notice> {
        let noticed = self.world.records.iter().filter_map(|record| match &record.what {
            Effect::Noticed(notice) => Some((**notice).clone()),
            _ => None,
        });
        noticed.collect()
    }

    /// As far as the page of a rollback that is under way.
    fn until_page(&mut self) {
        loop {
            settle(&mut self.world, &mut self.watchman, 1);
            if self.notices().iter().any(|n| n.occasion == Occasion::RollingBack) {
                return;
            }
            self.world.pass_time(SignedDuration::from_secs(30));
        }
    }

    /// Occasions of what the pager was told.
    fn paged(&self) -> Vec<Occasion> {
        let pager = "pagerDuty/a".to_owned();
        self.notices().into_iter().filter(|n| n.to.contains(&pager)).map(|n| n.occasion).collect()
    }
}

/// Whatever is not about people outside.
fn rest(status: &lockkeeper_core::status::Status) -> lockkeeper_core::status::Status {
    let mut status = status.clone();
    status.notices = lockkeeper_core::status::Notices::default();
    status.conditions.retain(|condition| condition.kind != "Notified");
    status.history.retain(|entry| entry.reason != "NotDelivered");
    status
}

#[test]
fn a_rollback_is_one_page_that_ends_by_itself_and_comes_before_the_first_pod_goes_back() {
    let mut story = told(stages(&["prod"]));
    story.push("0.29.0", crashes(30.0));
    story.pass(60);
    assert_eq!(story.runs("0.28.0"), 8, "{}", story.history());
    assert_eq!(story.paged(), [Occasion::RollingBack, Occasion::Resolved], "{}", story.history());
    let notices = story.notices();
    let page = notices.iter().find(|n| n.occasion == Occasion::RollingBack).unwrap();
    let end = notices.iter().find(|n| n.occasion == Occasion::Resolved).unwrap();
    assert!(page.incident.is_some() && page.incident == end.incident, "{page:?}\n{end:?}");
    assert!(page.id != end.id && page.message.contains("0.29.0"), "{page:?}");
    assert!(page.done.contains("is held back everywhere (Quarantine 0-29-0-"), "{}", page.done);
    assert_eq!(page.next, "lockkeeper explain otel -n platform");
    assert!(end.message.contains("0.29.0 was taken back to 0.28.0"), "{}", end.message);
    let is_page = |r: &lockkeeper_sim::Record| matches!(&r.what, Effect::Noticed(n) if n.id == page.id);
    let at = story.world.records.iter().position(is_page).unwrap();
    let back = story.world.records.iter().position(|r| matches!(&r.what, Effect::Moved { from, .. } if from.ends_with(lockkeeper_sim::release("0.29.0").digest.as_str())));
    assert!(back.is_some_and(|back| at < back), "told at {at}, moved back at {back:?}");
    assert!(story.world.stored.notices.is_empty(), "{:?}", story.world.stored.notices);
}

#[test]
fn whichever_write_the_controller_dies_after_each_transition_is_told_once() {
    for kill in 1..=3 {
        let mut story = told(stages(&["prod"]));
        story.push("0.29.0", crashes(30.0));
        for _ in 0..120 {
            story.world.reconcile(Some(kill));
            story.pass(1);
        }
        assert_eq!(story.runs("0.28.0"), 8, "{}", story.history());
        assert_eq!(story.paged(), [Occasion::RollingBack, Occasion::Resolved], "killed after {kill} writes");
        let mut ids: Vec<String> = story.notices().into_iter().map(|n| n.id).collect();
        let all = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }
}

#[test]
fn a_recommended_rollback_pages_with_the_command_and_goes_on_in_the_same_page() {
    let mut policy = stages(&["prod"]);
    policy.stages[0].rollback = RollbackMode::Recommend;
    let mut story = told(policy);
    let bad = story.push("0.29.0", crashes(30.0));
    story.pass(60);
    assert_eq!(story.reason(0), (Phase::Blocked, "RollbackRecommended"), "{}", story.history());
    let notices = story.notices();
    let page = notices.iter().find(|n| n.occasion == Occasion::Blocked).unwrap();
    let command =
        format!("lockkeeper rollback otel -n platform --stage prod --digest {} --reason '…'", bad.digest);
    assert_eq!(page.next, command);
    assert_eq!(story.paged(), [Occasion::Blocked]);
    story.ask(InterventionKind::RollBack, "prod", None, "kim");
    story.pass(30);
    assert_eq!(story.paged(), [Occasion::Blocked, Occasion::RollingBack, Occasion::Resolved]);
    let of_page: Vec<_> = story.notices().into_iter().filter_map(|n| n.incident).collect();
    assert!(of_page.iter().all(|key| *key == of_page[0]), "{of_page:?}");
}

#[test]
fn what_is_left_half_way_by_suspending_is_no_news() {
    let mut story = told(stages(&["prod"]));
    story.push("0.29.0", crashes(30.0));
    story.until_page();
    story.world.policy.suspend = true;
    story.pass(5);
    assert_eq!(story.stage(0).reason, "Suspended");
    story.world.policy.suspend = false;
    story.pass(60);
    assert_eq!(story.paged(), [Occasion::RollingBack, Occasion::Resolved], "{}", story.history());
}

#[test]
fn a_filter_leaves_out_and_what_is_not_filtered_comes() {
    let mut policy = stages(&["prod"]);
    policy.notify = Some(vec![receiver(Service::PagerDuty, &["dev"]), receiver(Service::Slack, &["prod"])]);
    let mut story = Story::new(policy, &[("prod", "api", 8)]).minutes(1);
    story.good("0.29.0");
    story.pass(60);
    story.push("0.30.0", crashes(30.0));
    story.pass(60);
    assert_eq!(story.paged(), Vec::<Occasion>::new());
    let mut occasions: Vec<Occasion> = story.notices().into_iter().map(|n| n.occasion).collect();
    occasions.sort();
    let wanted = [
        Occasion::PromotionStarted,
        Occasion::PromotionStarted,
        Occasion::Verified,
        Occasion::RollingBack,
        Occasion::Resolved,
    ];
    assert_eq!(occasions, wanted, "{}", story.history());
    assert!(story.notices().iter().all(|n| n.to == ["slack/a"]));
}

#[test]
fn the_installations_receivers_are_told_of_policies_that_name_none() {
    let story = Story::prod(2);
    let installed = vec![Receiver { place: Place::Installation, ..receiver(Service::Teams, &[]) }];
    let blocked = |story: &Story, notify: Option<Vec<Receiver>>| {
        let mut seen = story.world.observe();
        seen.notices = NoticesSeen { receivers: installed.clone(), ..NoticesSeen::default() };
        seen.status.stages[0].phase = Phase::Blocked;
        seen.status.stages[0].reason = "SecondRollback".to_owned();
        let policy = Policy { notify, ..story.world.policy.clone() };
        let decision = lockkeeper_core::decide(&policy, &seen, story.world.now);
        decision.status.notices.outbox.into_iter().flat_map(|n| n.to).collect::<Vec<_>>()
    };
    assert_eq!(blocked(&story, None), ["teams/a"]);
    assert_eq!(blocked(&story, Some(Vec::new())), Vec::<String>::new());
    assert_eq!(blocked(&story, Some(vec![receiver(Service::Slack, &[])])), ["slack/a"]);
}

#[test]
fn a_receiver_that_fails_is_said_once_and_changes_nothing_else() {
    let mut story = told(stages(&["prod"]));
    story.push("0.29.0", crashes(30.0));
    let silent = |story: &Story| {
        let mut seen = story.world.observe();
        seen.notices = NoticesSeen::default();
        seen
    };
    story.until_page();
    let mut seen = silent(&story);
    let outbox = seen.status.notices.outbox.clone();
    let key = (outbox.last().unwrap().id.clone(), "pagerDuty/a".to_owned());
    let failing = |tries, message: &str| Delivery::Failing { tries, message: message.to_owned() };
    let decide = |seen: &_, now| lockkeeper_core::decide(&story.world.policy, seen, now);
    let now = story.world.now;
    let calm = decide(&seen, now);

    seen.notices.told.insert(key.clone(), failing(SAID_AFTER - 1, "it answered 500"));
    let first = decide(&seen, now);
    assert_eq!(first.status, calm.status, "a blip is not said");

    seen.notices.told.insert(key.clone(), failing(SAID_AFTER, "it answered 500"));
    let said = decide(&seen, now);
    assert_eq!((rest(&said.status), &said.actions), (rest(&calm.status), &calm.actions));
    let notified = said.status.conditions.iter().find(|c| c.kind == "Notified").unwrap();
    assert_eq!(
        (notified.status.as_str(), notified.message.as_str()),
        ("False", "pagerDuty/a: it answered 500")
    );
    let events = |d: &lockkeeper_core::decision::Decision| {
        d.events.iter().filter(|e| e.reason == "NotDelivered").count()
    };
    assert_eq!(events(&said), 1);

    seen.status = said.status;
    seen.notices.told.insert(key.clone(), failing(SAID_AFTER + 1, "it answered 503"));
    let again = decide(&seen, now);
    assert_eq!((events(&again), &again.status.conditions), (0, &seen.status.conditions), "it is said once");

    let late = now + GIVE_UP;
    let given_up = decide(&seen, late);
    let left = |id: &str| given_up.status.notices.outbox.iter().any(|n| n.id == id && n.to.contains(&key.1));
    assert!(!left(&key.0), "it is given up");

    seen.notices.told.insert(key.clone(), Delivery::Done);
    let taken = decide(&seen, now);
    let notified = taken.status.conditions.iter().find(|c| c.kind == "Notified").unwrap();
    assert_eq!((notified.status.as_str(), notified.reason.as_str()), ("True", "Delivered"));
}

#[test]
fn what_waits_is_bounded_and_the_oldest_goes_first() {
    let story = told(stages(&["prod"]));
    let mut seen = story.world.observe();
    seen.notices = NoticesSeen::default();
    let waiting = |n: usize| Notice {
        id: format!("m-{n}"),
        at: story.world.now,
        occasion: Occasion::Verified,
        stage: "prod".to_owned(),
        message: String::new(),
        done: String::new(),
        next: String::new(),
        incident: None,
        since: None,
        to: vec!["webhook/a".to_owned()],
    };
    seen.status.notices.outbox = (0..MOST + 2).map(waiting).collect();
    let decided = lockkeeper_core::decide(&story.world.policy, &seen, story.world.now);
    let outbox = decided.status.notices.outbox;
    assert_eq!((outbox.len(), outbox[0].id.as_str()), (MOST, "m-2"));
    assert!(
        decided.events.iter().any(|e| e.message.contains("2 of more than 20 messages")),
        "{:?}",
        decided.events
    );
}
