use super::{Finding, Health, installation, policies, text};
use crate::cli::output::Paint;
use jiff::SignedDuration;
use lockkeeper_api::{ImagePin, ImagePolicy};
use serde_json::{Value, json};

fn healths(findings: &[Finding]) -> Vec<(&str, Health)> {
    findings.iter().map(|finding| (finding.what.as_str(), finding.health)).collect()
}

fn policy(name: &str, status: &Value) -> ImagePolicy {
    serde_json::from_value(json!({
        "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "ImagePolicy",
        "metadata": {"name": name, "namespace": "platform", "generation": 2},
        "spec": {"image": "a.example/b", "select": {}, "stages": []},
        "status": status,
    }))
    .unwrap()
}

fn condition(kind: &str, status: &str, reason: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": "m",
        "lastTransitionTime": "2026-11-22T00:00:00Z",
    })
}

#[test]
fn each_policy_that_needs_a_person_says_what_to_do() {
    let with = |conditions: Vec<Value>| json!({"observedGeneration": 2, "conditions": conditions});
    let all = [
        policy("fine", &with(vec![condition("Ready", "True", "UpToDate")])),
        policy("new", &Value::Null),
        policy("stale", &json!({"observedGeneration": 1})),
        policy("stuck", &with(vec![condition("Stalled", "True", "Forbidden")])),
        policy("denied", &with(vec![condition("Ready", "True", "AuthFailed")])),
        policy("unpinned", &with(vec![condition("BirthPinning", "False", "NotInstalled")])),
        policy("other", &json!({"stages": "what?"})),
    ];
    let found = policies::of_policies(&all);
    assert_eq!(
        healths(&found),
        [
            ("policies", Health::Good),
            ("policy platform/new", Health::Bad),
            ("policy platform/stale", Health::Bad),
            ("policy platform/stuck", Health::Bad),
            ("policy platform/denied", Health::Bad),
            ("policy platform/unpinned", Health::Note),
            ("policy platform/other", Health::Bad),
        ]
    );
    assert!(found[0].message.contains("1 of 7"), "{:?}", found[0]);
    assert!(found[1..].iter().all(|finding| !finding.then.is_empty()), "{found:#?}");
    assert!(found[3].then.contains("Role") && found[3].then.contains("lockkeeper explain stuck -n platform"));
    let text = text(&found, Paint::PLAIN);
    assert!(
        text.contains("BAD policy platform/denied: AuthFailed: m\n    → check `spec.registry.secretRef`"),
        "{text}"
    );
    assert!(policies::of_policies(&[])[0].message.contains("none yet"));
}

#[test]
fn orphaned_pins_are_named() {
    let pin = |name: &str, conditions: Value| -> ImagePin {
        serde_json::from_value(json!({
            "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "ImagePin",
            "metadata": {"name": name, "namespace": "prod"},
            "spec": {
                "matchLabels": {"a": "b"}, "repositories": [], "stage": "prod", "deletionPolicy": "Retain",
                "digest": format!("sha256:{}", "0".repeat(64)),
                "policy": {"namespace": "platform", "name": "otel", "uid": "u"},
            },
            "status": {"conditions": conditions},
        }))
        .unwrap()
    };
    let orphaned = json!([{
        "type": "Orphaned", "status": "True", "reason": "PolicyGone", "message": "",
        "lastTransitionTime": "2026-11-22T00:00:00Z",
    }]);
    let found = policies::orphans(&[pin("a", json!([])), pin("b", orphaned)]);
    assert!(
        found.health == Health::Note && found.message.contains("1 of 2") && found.message.contains("prod/b")
    );
    assert_eq!(policies::orphans(&[]).health, Health::Good);
}

#[test]
fn clocks_are_compared_by_what_the_header_can_tell() {
    let clock = |seconds: i64| {
        installation::clock(Some(SignedDuration::from_secs(seconds)), SignedDuration::from_millis(200)).health
    };
    assert_eq!(
        [clock(0), clock(-1), clock(5), clock(-9), clock(90)],
        [Health::Good, Health::Good, Health::Good, Health::Note, Health::Bad]
    );
    assert_eq!(installation::clock(None, SignedDuration::ZERO).health, Health::Unknown);
}

#[test]
fn a_leader_renews_its_lease() {
    let lease = |holder: &str, renewed: &str| {
        let lease = json!({"spec": {
            "holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed,
        }});
        let now = "2026-11-22T12:00:30Z".parse().unwrap();
        installation::leads(&serde_json::from_value(lease).unwrap(), now)
    };
    assert_eq!(lease("a", "2026-11-22T12:00:20.000000Z").health, Health::Good);
    assert_eq!(lease("a", "2026-11-22T12:00:00.000000Z").health, Health::Bad);
    assert_eq!(lease("", "2026-11-22T12:00:00.000000Z").health, Health::Note);
}

#[test]
fn replicas_that_are_not_ready_are_said() {
    let deployment = |wanted: i32, ready: i32| {
        let object = json!({
            "spec": {
                "replicas": wanted, "selector": {},
                "template": {"spec": {"containers": [{"name": "lockkeeper", "image": "lockkeeper:0.1.0"}]}},
            },
            "status": {"readyReplicas": ready},
        });
        installation::replicas(&serde_json::from_value(object).unwrap(), "lockkeeper-system")
    };
    assert_eq!(deployment(2, 2).health, Health::Good);
    assert_eq!(deployment(2, 1).health, Health::Note);
    assert_eq!(deployment(2, 0).health, Health::Bad);
    assert_eq!(deployment(0, 0).health, Health::Bad);
    assert!(deployment(2, 2).message.contains("lockkeeper:0.1.0"));
}

#[test]
fn a_kind_of_another_version_is_noted() {
    let (_, wanted) = lockkeeper_api::definitions().remove(0);
    let mut served = wanted.clone();
    let established = json!({"conditions": [{"type": "Established", "status": "True", "reason": "r", "message": "m",
        "lastTransitionTime": "2026-11-22T00:00:00Z"}], "acceptedNames": {"kind": "x", "plural": "y"},
        "storedVersions": ["v1alpha1"]});
    let kind = |served: &Value| {
        installation::kind("kind", &serde_json::from_value(served.clone()).unwrap(), &wanted).health
    };
    assert_eq!(kind(&served), Health::Bad, "it is not established");
    served["status"] = established;
    assert_eq!(kind(&served), Health::Good);
    served["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["description"] =
        json!("older");
    assert_eq!(kind(&served), Health::Note);
}

#[test]
fn a_webhook_that_nobody_believes_is_no_good_news() {
    let hook = |bundle: &str| {
        let hook = json!({"webhooks": [{"clientConfig": {"caBundle": bundle}}]});
        installation::webhook(&hook).message
    };
    assert!(hook("AA==").contains("from the controller's webhook"));
    assert!(hook("").contains("no caBundle"));
    assert!(installation::webhook(&json!({"webhooks": []})).message.contains("no caBundle"));
}

#[tokio::test]
async fn each_server_of_signals_is_asked_once_and_what_it_says_is_told() {
    use super::signals;
    use crate::ports::signals::{Measure, Measured, SignalAccess, SignalError, SignalSource};
    use futures::future::BoxFuture;

    struct Server(Result<Option<Measured>, SignalError>);
    impl SignalSource for Server {
        fn measure<'a>(
            &'a self,
            _: &'a SignalAccess,
            _: Measure<'a>,
        ) -> BoxFuture<'a, Result<Option<Measured>, SignalError>> {
            Box::pin(async { self.0.clone() })
        }
    }
    let policy = |name: &str| -> ImagePolicy {
        let signal = |name: &str| {
            json!({
                "name": name, "compare": {"limit": "1"},
                "prometheus": {"address": "http://prometheus:9090/", "query": "x"},
            })
        };
        serde_json::from_value(json!({
            "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "ImagePolicy",
            "metadata": {"name": name, "namespace": "platform"},
            "spec": {
                "image": "a.example/b", "select": {"semver": {"range": "*"}},
                "stages": [{"name": "prod", "targets": [{"pods": {"selector": {"matchLabels": {"a": "b"}}}}]}],
                "health": {"signals": [signal("p95"), signal("errors")]},
            },
        }))
        .unwrap()
    };
    let servers = signals::servers(&[policy("one"), policy("two")]);
    let all: Vec<_> = servers.iter().collect();
    assert_eq!(all.len(), 1, "{all:?}");
    let ((address, secret), users) = all[0];
    assert_eq!((address.as_str(), secret), ("http://prometheus:9090", &None));
    let failed = SignalError { refused: false, message: "it answered 503".into() };
    for (answer, health, part) in [
        (Ok(Some(Measured::Value(1.0))), Health::Good, "used by platform/one, platform/two"),
        (Ok(None), Health::Bad, "with nothing"),
        (Err(failed), Health::Unknown, "it answered 503"),
    ] {
        let found = signals::ask(&Server(answer), address, users, &SignalAccess::default()).await;
        assert_eq!(found.health, health, "{found:?}");
        assert!(found.message.contains(part), "{found:?}");
        assert_eq!(found.then.is_empty(), health == Health::Good);
    }
}
