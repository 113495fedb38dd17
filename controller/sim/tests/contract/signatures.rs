//! A policy that asks for a signature: what is let in, what is refused, what waits.

use super::{Story, crash_at_start, stages};
use lockkeeper_core::{
    image::Release,
    signature::{Signed, Signer, Verify},
    status::Phase,
};
use lockkeeper_sim::release;

fn story(on_rollback: bool) -> Story {
    let mut policy = stages(&["dev", "prod"]);
    let signer = Signer::Keys { secret: "cosign-pub".to_owned() };
    policy.verify = Some(Verify { signer, on_rollback });
    let mut story = Story::new(policy, &[("dev", "api", 2), ("prod", "api", 4)]);
    for name in ["0.27.0", "0.28.0"] {
        story.sign(&release(name));
    }
    story.minutes(1)
}

impl Story {
    fn sign(&mut self, release: &Release) {
        let trusted = Signed::Trusted("a key of Secret cosign-pub".to_owned());
        self.world.signatures.insert(release.digest.clone(), trusted);
    }

    fn tag(&self, name: &str) -> &str {
        let seen = self.world.stored.tags.iter().find(|tag| tag.tag == name);
        seen.map_or("", |seen| seen.reason.as_str())
    }
}

#[test]
fn an_unsigned_release_is_passed_over_and_a_signed_one_goes_through_all_stages() {
    let mut story = story(false);
    story.good("0.29.0");
    story.pass(60);
    assert!(story.moves().is_empty(), "{}", story.history());
    assert_eq!((story.tag("0.29.0"), story.told("Unsigned")), ("Unsigned", 1));
    assert_eq!(story.told("CandidateFound"), 0, "what nobody signed is no candidate");
    let signed = story.good("0.30.0");
    story.sign(&signed);
    story.pass(60);
    assert_eq!((story.runs("0.30.0"), story.runs("0.29.0")), (6, 0), "{}", story.history());
    assert_eq!(story.told("Unsigned"), 1, "said once");
}

#[test]
fn a_signature_that_comes_after_the_push_lets_it_in() {
    let mut story = story(false);
    let late = story.good("0.29.0");
    story.pass(10);
    assert!(story.moves().is_empty());
    story.sign(&late);
    story.pass(60);
    assert_eq!(story.runs("0.29.0"), 6, "{}", story.history());
}

#[test]
fn what_somebody_else_signed_is_refused_and_says_by_whom() {
    let mut story = story(false);
    let other = story.good("0.29.0");
    let why = "mallory@example.com of https://issuer.example".to_owned();
    story.world.signatures.insert(other.digest, Signed::Foreign(why.clone()));
    story.pass(60);
    assert!(story.moves().is_empty());
    assert_eq!((story.tag("0.29.0"), story.told("SignedByOther")), ("SignedByOther", 1));
    assert!(story.history().contains(&why), "{}", story.history());
}

#[test]
fn who_cannot_be_looked_up_waits_and_says_since_when() {
    let mut story = story(false);
    let signed = story.good("0.29.0");
    story.sign(&signed);
    // The tag is known; then the registry stops to answer before anybody asked for signatures.
    story.world.reconcile(None);
    story.world.reconcile(None);
    story.world.set_registry(false);
    story.pass(30);
    assert!(story.moves().is_empty());
    assert_eq!(story.reason(0), (Phase::Idle, "SignatureUnknown"), "{}", story.history());
    assert!(story.stage(0).message.contains("since"), "{}", story.stage(0).message);
    assert_eq!((story.told("Unsigned"), story.told("SignedByOther")), (0, 0));
    story.world.set_registry(true);
    story.pass(60);
    assert_eq!(story.runs("0.29.0"), 6, "{}", story.history());
}

#[test]
fn a_person_cannot_promote_what_is_not_signed() {
    let mut story = story(false);
    let unsigned = story.good("0.29.0");
    story.promote("prod", &unsigned, &[lockkeeper_core::observed::Skip::Soak]);
    story.pass(30);
    assert_eq!(story.runs("0.29.0"), 0);
    assert_eq!(story.reason(1), (Phase::Idle, "Unsigned"), "{}", story.history());
}

#[test]
fn a_policy_that_asks_for_signatures_later_keeps_unsigned_releases_out_of_the_next_stage() {
    let mut policy = stages(&["dev", "prod"]);
    let mut story = Story::new(policy.clone(), &[("dev", "api", 2), ("prod", "api", 4)]).minutes(1);
    story.ask(lockkeeper_core::observed::InterventionKind::Hold, "prod", None, "kim");
    story.good("0.29.0");
    story.pass(30);
    assert_eq!(story.reason(0).1, "Verified");
    let signer = Signer::Keys { secret: "cosign-pub".to_owned() };
    policy.verify = Some(Verify { signer, on_rollback: false });
    story.world.policy = policy;
    story.ask(lockkeeper_core::observed::InterventionKind::Resume, "prod", None, "kim");
    story.pass(30);
    assert_eq!((story.runs("0.29.0"), story.reason(1).1), (2, "Unsigned"), "{}", story.history());
}

/// A release turns bad in prod, and 0.28.0 has lost its signature since it was adopted.
fn taken_back_to_unsigned(on_rollback: bool) -> Story {
    let mut policy = stages(&["prod"]);
    let signer = Signer::Keys { secret: "cosign-pub".to_owned() };
    policy.verify = Some(Verify { signer, on_rollback });
    let mut story = Story::new(policy, &[("prod", "api", 6)]);
    story.sign(&release("0.28.0"));
    let mut story = story.minutes(1);
    let bad = story.good("0.29.0");
    story.sign(&bad);
    story.pass(5);
    assert_eq!(story.runs("0.29.0"), 6, "{}", story.history());
    story.world.signatures.remove(&release("0.28.0").digest);
    story.world.behaviours.insert(bad.digest, crash_at_start());
    story.pass(60);
    assert_eq!(story.world.quarantines.len(), 1, "{}", story.history());
    story
}

#[test]
fn a_rollback_asks_for_a_signature_only_where_the_policy_says_so() {
    let story = taken_back_to_unsigned(false);
    assert_eq!(story.runs("0.28.0"), 6, "{}", story.history());
    let story = taken_back_to_unsigned(true);
    assert_eq!(story.reason(0), (Phase::Blocked, "NoSafeDigest"), "{}", story.history());
    assert_eq!(story.runs("0.28.0"), 0);
}
