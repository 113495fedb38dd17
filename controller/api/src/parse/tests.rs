//! The rows of the catalogue of bad input that concern a policy, and what a good one becomes.

use super::*;
use serde_json::{Value, json};

/// A policy with everything that must be said, changed by setting JSON pointers.
fn policy(changes: &[(&str, Value)]) -> ImagePolicy {
    let pods = json!({"pods": {"selector": {"matchLabels": {"app": "a"}}}});
    let mut whole = json!({
        "apiVersion": "lockkeeper.dev/v1alpha1",
        "kind": "ImagePolicy",
        "metadata": {"name": "otel", "namespace": "platform", "uid": "u", "generation": 3,
            "creationTimestamp": "2026-11-22T00:00:00Z"},
        "spec": {
            "image": "ghcr.io/example/otel",
            "select": {"semver": {"range": ">=0.28.0"}},
            "stages": [
                {"name": "dev", "targets": [pods]},
                {"name": "staging", "targets": [pods]},
                {"name": "prod", "targets": [pods]},
            ],
        },
    });
    for (pointer, value) in changes {
        set(&mut whole, pointer, value.clone());
    }
    serde_json::from_value(whole).unwrap()
}

/// Sets what a JSON pointer names, making the maps on the way.
fn set(whole: &mut Value, pointer: &str, value: Value) {
    let (before, last) = pointer.rsplit_once('/').unwrap();
    if whole.pointer(before).is_none() {
        set(whole, before, json!({}));
    }
    let parent = whole.pointer_mut(before).unwrap();
    match parent {
        Value::Array(items) => items[last.parse::<usize>().unwrap()] = value,
        _ => parent[last] = value,
    }
}

fn mistakes(changes: &[(&str, Value)]) -> Vec<String> {
    let found = parse(&policy(changes)).expect_err("this policy has a mistake");
    for message in &found {
        let text = message.to_string();
        assert!(text.contains(';') || text.contains('?'), "no fix: {text}");
        assert!(!text.contains(char::is_control), "{text:?}");
        assert!(text.chars().count() < 500, "too long: {text}");
    }
    found.iter().map(ToString::to_string).collect()
}

/// Exactly one mistake, with all of these parts.
#[track_caller]
fn one(changes: &[(&str, Value)], parts: &[&str]) {
    let found = mistakes(changes);
    assert_eq!(found.len(), 1, "{found:#?}");
    for part in parts {
        assert!(found[0].contains(part), "{part:?} is not in {:?}", found[0]);
    }
}

#[test]
fn a_short_policy_gets_every_default() {
    let policy = parse(&policy(&[])).unwrap();
    assert_eq!((policy.namespace.as_str(), policy.name.as_str(), policy.generation), ("platform", "otel", 3));
    assert_eq!(policy.interval.as_secs(), 300);
    assert_eq!((policy.mode, policy.deletion_policy), (Mode::Observe, DeletionPolicy::Retain));
    assert_eq!(policy.stages.iter().map(|s| s.after.clone()).collect::<Vec<_>>(), [vec![], vec![0], vec![1]]);
    assert_eq!(policy.stages[0].soak.as_mins(), 30);
    assert_eq!(policy.stages[0].max_soak.as_hours(), 6);
    assert!(policy.stages[0].waves.is_none());
    assert_eq!((policy.health.tick.as_secs(), policy.health.warm_up.as_secs()), (60, 120));
    assert!((policy.health.false_rollback_budget - 0.02).abs() < 1e-12);
    assert_eq!(policy.stages[0].targets[0].max_moving(), 50);
    let effective = crate::effective(&policy);
    assert_eq!(effective["interval"], "5m");
    assert_eq!(effective["health.falseRollbackBudget"], "2%");
    assert_eq!(effective["stages.prod.after"], "staging");
    assert_eq!(effective["stages.dev.targets.0.maxUnavailable"], "25%");
}

#[test]
fn the_example_of_the_documentation_is_read() {
    let text = include_str!("../../../../docs/reference/example.yaml");
    let policy = parse(&serde_saphyr::from_str(text).unwrap()).unwrap();
    assert_eq!(policy.stages.len(), 3);
    assert_eq!(policy.stages[2].waves.as_ref().unwrap().len(), 2);
    assert_eq!(policy.stages[2].windows.len(), 1);
}

#[test]
fn a_policy_from_a_file_needs_no_stored_metadata() {
    let mut policy = policy(&[]);
    (policy.metadata.uid, policy.metadata.creation_timestamp) = (None, None);
    assert_eq!(parse(&policy).unwrap().created, Timestamp::MAX);
}

#[test]
fn a_long_soak_lengthens_the_default_of_max_soak() {
    let policy = parse(&policy(&[("/spec/stages/0/soak", json!("72h"))])).unwrap();
    assert_eq!(policy.stages[0].max_soak.as_hours(), 144);
}

#[test]
fn row_1_a_repository_without_registry_is_shown_whole() {
    let policy = parse(&policy(&[("/spec/image", json!("nginx"))])).unwrap();
    assert_eq!(crate::effective(&policy)["image"], "docker.io/library/nginx");
}

#[test]
fn row_2_upper_case_spaces_and_emoji_get_a_suggestion() {
    one(&[("/spec/image", json!("MyOrg/App"))], &["spec.image: ", "lower case", "\"myorg/app\""]);
    one(&[("/spec/image", json!(" nginx "))], &["did you mean \"nginx\"?"]);
    one(&[("/spec/pullFrom", json!(["ghcr.io/🔒/app"]))], &["spec.pullFrom[0]: ", "\"🔒\""]);
}

#[test]
fn row_3_a_long_tag_is_a_length_error() {
    let select = json!({"digest": {"tag": "a".repeat(129)}});
    one(&[("/spec/select", select)], &["spec.select.digest.tag: ", "129 characters, at most 128"]);
}

#[test]
fn row_4_and_5_digests_of_a_quarantine() {
    for (text, part) in [("sha256:abc", "64 hex digits"), ("md5:00", "sha256 and sha512")] {
        let mut quarantine = crate::Quarantine::new("q", crate::QuarantineSpec::default());
        quarantine.spec.digest = Some(text.into());
        let found = quarantine.seen().unwrap_err();
        assert!(found[0].to_string().starts_with("spec.digest: ") && found[0].to_string().contains(part));
    }
}

#[test]
fn row_6_a_range_that_matches_nothing() {
    one(&[("/spec/select/semver/range", json!(">=1.0 <0.9"))], &["spec.select.semver.range: ", ">=1.0 <0.9"]);
}

#[test]
fn row_8_and_9_patterns() {
    let filter = |pattern: &str| json!({"pattern": pattern});
    assert!(parse(&policy(&[("/spec/select/filterTags", filter("(a+)+$"))])).is_ok());
    one(
        &[("/spec/select/filterTags", filter("[="))],
        &["spec.select.filterTags.pattern: ", "at character 1"],
    );
    let all = mistakes(&[("/spec/select/ignoreTags", json!(["ok", "[=", "(a"]))]);
    assert_eq!(all.len(), 2);
    assert!(all[1].starts_with("spec.select.ignoreTags[2]: "), "{all:?}");
}

#[test]
fn row_10_intervals_out_of_bounds() {
    for (text, part) in [
        ("0s", "shorter than 1s"),
        ("-1m", "negative"),
        ("1ns", "no duration"),
        ("999999h", "24h"),
        ("5", "5m"),
    ] {
        one(&[("/spec/interval", json!(text))], &["spec.interval: ", part]);
    }
}

#[test]
fn row_11_stage_cycle_is_named() {
    one(
        &[("/spec/stages/0/after", json!(["prod"]))],
        &["spec.stages[0].after[0]: ", "\"prod\"", "dev → prod → staging → dev"],
    );
    one(&[("/spec/stages/1/after", json!(["staging"]))], &["spec.stages[1].after[0]: ", "the stage itself"]);
    one(
        &[("/spec/stages/0/after", json!(["staging"])), ("/spec/stages/1/after", json!([]))],
        &["stands below", "move it above dev"],
    );
}

#[test]
fn row_12_duplicate_and_empty_stages() {
    one(&[("/spec/stages/1/name", json!("dev"))], &["spec.stages[1].name: ", "\"dev\""]);
    one(&[("/spec/stages", json!([]))], &["spec.stages: ", "at least 1"]);
    one(&[("/spec/stages/2/targets", json!([]))], &["spec.stages[2].targets: ", "at least 1"]);
    one(&[("/spec/stages/2/name", json!(""))], &["spec.stages[2].name: "]);
}

#[test]
fn row_13_unknown_predecessor_gets_did_you_mean() {
    one(
        &[("/spec/stages/2/after", json!(["stagign"]))],
        &["spec.stages[2].after[0]: ", "did you mean \"staging\"?"],
    );
    one(&[("/spec/stages/2/after", json!(["canary"]))], &["there are: dev, staging"]);
    one(&[("/spec/stages/0/after", json!(["canary"]))], &["there is none"]);
}

#[test]
fn row_18_a_container_may_be_a_native_sidecar() {
    // Main containers and native sidecars are named alike: nothing in the policy tells them apart.
    let named = policy(&[("/spec/stages/0/targets/0/pods/containers", json!(["otel"]))]);
    assert_eq!(parse(&named).unwrap().stages[0].targets[0].containers(), ["otel"]);
}

#[test]
fn row_20_a_secret_of_another_namespace_is_denied() {
    for name in ["other/ecr", "", "ecr\r\nx"] {
        let mut policy = policy(&[]);
        policy.spec.registry = Some(serde_json::from_value(json!({"secretRef": {"name": name}})).unwrap());
        let found = parse(&policy).unwrap_err();
        assert!(found[0].to_string().starts_with("spec.registry.secretRef.name: "), "{found:?}");
    }
}

#[test]
fn row_21_a_service_account_of_another_namespace_or_none_is_denied() {
    for name in ["other/sa", "system:serviceaccount:other:sa", "", "SA", "sa/", "a..", "-"] {
        one(&[("/spec/serviceAccountName", json!(name))], &["spec.serviceAccountName: "]);
    }
    one(&[("/spec/serviceAccountName", json!("other/sa"))], &["policy's own"]);
}

#[test]
fn row_22_a_scheme_is_refused() {
    one(
        &[("/spec/image", json!("http://registry.example.com/app"))],
        &["scheme", "\"registry.example.com/app\""],
    );
}

#[test]
fn row_26_credentials_in_a_repository_are_refused_and_left_out() {
    let found = mistakes(&[
        ("/spec/image", json!("user:s3cret@registry.example.com/app")),
        ("/spec/pullFrom", json!(["s3cret@registry.example.com/app"])),
    ]);
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|m| m.contains("***@") && !m.contains("s3cret")), "{found:?}");
}

#[test]
fn row_28_line_breaks_are_refused_and_escaped() {
    let evil = json!("a\r\nX-Evil: 1");
    for pointer in [
        "/spec/image",
        "/spec/select/semver/range",
        "/spec/serviceAccountName",
        "/spec/stages/0/name",
        "/spec/stages/0/targets/0/pods/containers/0",
        "/spec/stages/0/targets/0/pods/selector/matchLabels/app",
        "/spec/interval",
        "/spec/mode",
    ] {
        let containers = ("/spec/stages/0/targets/0/pods/containers", json!(["x"]));
        one(&[containers, (pointer, evil.clone())], &["\\r\\n"]);
    }
}

#[test]
fn words_get_a_suggestion() {
    one(&[("/spec/mode", json!("enforce"))], &["spec.mode: ", "did you mean \"Enforce\"?"]);
    one(&[("/spec/stages/0/rollback", json!("Never"))], &["Automatic, Recommend, Manual"]);
    one(&[("/spec/stages/0/targets/0/pods/move", json!("Inplace"))], &["\"InPlace\""]);
}

#[test]
fn a_provider_fits_to_the_registry_and_needs_no_secret() {
    let ecr = ("/spec/image", json!("123456789012.dkr.ecr.eu-west-1.amazonaws.com/otel"));
    let aws = ("/spec/registry/provider", json!("aws"));
    assert!(parse(&policy(&[ecr.clone(), aws.clone()])).is_ok());
    assert!(parse(&policy(&[("/spec/registry/provider", json!("generic"))])).is_ok());
    one(&[("/spec/registry/provider", json!("amazon"))], &["spec.registry.provider: ", "aws"]);
    one(
        std::slice::from_ref(&aws),
        &["spec.registry.provider: ", "ghcr.io", "is no registry of aws", "dkr.ecr.eu-west-1.amazonaws.com"],
    );
    one(
        &[ecr.clone(), ("/spec/registry/provider", json!("gcp"))],
        &["is no registry of gcp", "docker.pkg.dev"],
    );
    let secret = ("/spec/registry/secretRef", json!({"name": "ecr"}));
    one(&[ecr.clone(), aws.clone(), secret], &["spec.registry.provider: ", "secretRef", "keep one"]);
    let pullers = ("/spec/registry/pullSecretsFrom", json!("pullers"));
    one(&[ecr.clone(), aws.clone(), pullers], &["spec.registry.provider: ", "pullSecretsFrom"]);
    one(&[ecr, aws, ("/spec/registry/insecure", json!(true))], &["spec.registry.provider: ", "plain HTTP"]);
}

#[test]
fn selection_is_said_once() {
    one(&[("/spec/select", json!({}))], &["spec.select: ", "semver"]);
    let both = json!({"semver": {"range": "*"}, "numerical": {}});
    one(&[("/spec/select", both)], &["spec.select: ", "\"semver, numerical\"", "keep one"]);
    let none = json!({"newestBuild": {"discoveryLimit": 0}});
    one(&[("/spec/select", none)], &["spec.select.newestBuild.discoveryLimit: ", "1 to 200"]);
    one(
        &[("/spec/select/digest", json!({"tag": "latest"}))],
        &["spec.select: ", "\"semver, digest\"", "keep one"],
    );
}

#[test]
fn targets_are_one_thing_each_and_never_everything() {
    let pods = json!({"selector": {"matchLabels": {"a": "b"}}});
    one(
        &[("/spec/stages/0/targets/0", json!({}))],
        &["spec.stages[0].targets[0]: ", "set pods, workloads or git"],
    );
    one(
        &[("/spec/stages/0/targets/0", json!({"pods": pods, "workloads": pods}))],
        &["several targets in one"],
    );
    one(&[("/spec/stages/0/targets/0/pods/selector/matchLabels", json!({}))], &["would match everything"]);
    let both = [
        ("/spec/stages/0/targets/0/pods/namespaces", json!(["a"])),
        ("/spec/stages/0/targets/0/pods/namespaceSelector", json!({"matchLabels": {"a": "b"}})),
    ];
    one(&both, &["namespaceSelector"]);
    one(
        &[(
            "/spec/stages/0/targets/0",
            json!({"workloads": {"selector": {"matchLabels": {"a": "b"}}, "kinds": ["deployment"]}}),
        )],
        &["kinds[0]: ", "Rollout.argoproj.io"],
    );
}

#[test]
fn windows_are_read_in_full() {
    let window = |cron: &str, zone: &str| json!([{"cron": cron, "duration": "7h", "timeZone": zone}]);
    let path = "/spec/stages/0/windows";
    assert!(parse(&policy(&[(path, window("0 9 * * MON-THU", "America/New_York"))])).is_ok());
    one(&[(path, window("0 9 * *", "UTC"))], &["windows[0].cron: ", "0 9 * * MON-THU"]);
    one(&[(path, window("0 9 * * * *", "UTC"))], &["windows[0].cron: "]);
    one(
        &[(path, window("0 9 * * *", "America/NewYork"))],
        &["windows[0].timeZone: ", "\"America/New_York\"?"],
    );
    one(&[(path, window("0 9 * * *", "../../etc/passwd"))], &["windows[0].timeZone: "]);
}

#[test]
fn waves_grow_and_soaks_can_end() {
    let waves = json!([{"pods": 3, "soak": "1h"}, {"pods": 3, "soak": "1h"}]);
    one(&[("/spec/stages/0/waves", waves)], &["spec.stages[0].waves[1].pods: "]);
    let none = parse(&policy(&[("/spec/stages/0/waves", json!([]))])).unwrap();
    assert_eq!(none.stages[0].waves, Some(vec![]));
    one(&[("/spec/stages/0/maxSoak", json!("10m"))], &["spec.stages[0].maxSoak: ", "30m"]);
}

#[test]
fn everything_wrong_is_said_at_once() {
    let found = mistakes(&[
        ("/metadata/name", json!("A B")),
        ("/spec/image", json!("http://x/y")),
        ("/spec/pullFrom", json!(["a@b", "nginx:1"])),
        ("/spec/interval", json!("5")),
        ("/spec/mode", json!("On")),
        ("/spec/select", json!({"ignoreTags": ["["], "minimumReleaseAge": "1d", "digest": {"tag": ".a"}})),
        ("/spec/stages/1/soak", json!("0s")),
        ("/spec/stages/2/after", json!(["dev", "nope"])),
        ("/spec/health", json!({"falseRollbackBudget": "NaN%", "noDataAfter": "2h", "noDataMax": "1h"})),
    ]);
    assert_eq!(found.len(), 13, "{found:#?}");
}

#[test]
fn what_a_release_has_to_show_is_a_rate_and_belongs_to_the_hash_only_where_it_is_asked_for() {
    for wrong in ["0", "-1", "NaN", "1e3", "1001", "", "0.5/h"] {
        one(
            &[("/spec/health", json!({"require": {"restartsPerPodHour": wrong}}))],
            &["spec.health.require.restartsPerPodHour: ", "such as 0.5"],
        );
    }
    let with = |health: &serde_json::Value| {
        let policy = parse(&self::policy(&[("/spec/health", health.clone())])).unwrap();
        (policy.health.require, policy.stages[0].hash.clone(), crate::effective(&policy))
    };
    let (none, hash, shown) = with(&json!({}));
    assert_eq!((none, shown.get("health.require.restartsPerPodHour")), (None, None));
    let (some, other, shown) = with(&json!({"require": {"restartsPerPodHour": "0.5"}}));
    assert_eq!((some, shown["health.require.restartsPerPodHour"].as_str()), (Some(0.5), "0.5"));
    assert_ne!(hash, other);
}

#[test]
fn whose_signature_counts_is_said_completely_or_refused() {
    let verify = |cosign: Value| [("/spec/select/verify", json!({"cosign": cosign}))];
    let good = |cosign: Value| parse(&policy(&verify(cosign))).unwrap();
    let keys = good(json!({"secretRef": {"name": "cosign-pub"}}));
    let found = keys.verify.clone().unwrap();
    assert_eq!((found.signer.secret(), found.on_rollback), (Some("cosign-pub"), false));
    assert_eq!(crate::effective(&keys)["select.verify.onRollback"], "false");
    good(json!({"keyless": {"issuer": "https://a.example", "subjectRegExp": "https://github.com/acme/.*"}}));
    assert_eq!(parse(&policy(&[])).unwrap().verify, None);
    let again = json!({"cosign": {"secretRef": {"name": "a"}}, "onRollback": true});
    assert!(parse(&policy(&[("/spec/select/verify", again)])).unwrap().verify.unwrap().on_rollback);
    let path = "spec.select.verify.cosign";
    for (cosign, parts) in [
        (json!({}), [path, "does not say who signs", "set secretRef"]),
        (
            json!({"secretRef": {"name": "a"}, "keyless": {"issuer": "b", "subject": "c"}}),
            [path, "two ways", "keep one"],
        ),
        (json!({"secretRef": {"name": "other/a"}}), [path, "secretRef.name", "names another namespace"]),
        (json!({"keyless": {"subject": "c"}}), [path, "keyless.issuer: ", "set issuer"]),
        (json!({"keyless": {"issuer": "b"}}), [path, "keyless.subject: ", "set subject"]),
        (json!({"keyless": {"issuer": "b", "subject": ""}}), [path, "keyless.subject: ", "admit nobody"]),
        (json!({"keyless": {"issuer": "b", "subject": "x".repeat(513)}}), [path, "keyless.subject: ", "512"]),
        (
            json!({"keyless": {"issuer": "b", "issuerRegExp": "c", "subject": "d"}}),
            [path, "keyless.issuer: ", "keep one of them"],
        ),
        (
            json!({"keyless": {"issuer": "b", "subjectRegExp": "a("}}),
            [path, "subjectRegExp: ", "character 2"],
        ),
        (json!({"keyless": {"issuer": "b", "subjectRegExp": ""}}), [path, "subjectRegExp: ", "empty"]),
    ] {
        one(&verify(cosign), &parts);
    }
    // Everything that is wrong at once.
    assert_eq!(mistakes(&verify(json!({"keyless": {"issuerRegExp": "["}}))).len(), 2);
}

#[test]
fn who_is_told_is_one_service_each_and_of_what_it_takes() {
    let notify = |all: Value| [("/spec/notify", all)];
    let slack = json!({"slack": {"secretRef": {"name": "chat"}}});
    assert_eq!(parse(&policy(&[])).unwrap().notify, None, "as the installation says");
    assert_eq!(parse(&policy(&notify(json!([])))).unwrap().notify, Some(Vec::new()), "nobody");
    let pager = json!({"pagerDuty": {"secretRef": {"name": "pager"}}, "stages": ["prod"]});
    let told = parse(&policy(&notify(json!([slack, pager])))).unwrap();
    let receivers = told.notify.clone().unwrap();
    let names: Vec<(&str, usize)> = receivers.iter().map(|r| (r.name.as_str(), r.occasions.len())).collect();
    assert_eq!(names, [("slack/chat", 9), ("pagerDuty/pager", 2)]);
    assert_eq!(crate::effective(&told)["notify.pagerDuty/pager"], "RollingBack, Blocked");
    for (entry, parts) in [
        (json!({}), ["spec.notify[0]: ", "0", "name exactly one of slack, teams"]),
        (
            json!({"slack": {"secretRef": {"name": "a"}}, "teams": {"secretRef": {"name": "a"}}}),
            ["spec.notify[0]: ", "2", "another entry"],
        ),
        (
            json!({"slack": {"secretRef": {"name": "other/a"}}}),
            ["spec.notify[0].slack.secretRef.name: ", "other/a", "names another namespace"],
        ),
        (
            json!({"pagerDuty": {"secretRef": {"name": "a"}}, "events": ["Verified"]}),
            ["spec.notify[0].events[0]: ", "Verified", "RollingBack, Blocked"],
        ),
        (
            json!({"slack": {"secretRef": {"name": "a"}}, "stages": ["prd"]}),
            ["spec.notify[0].stages[0]: ", "prd", "did you mean \"prod\""],
        ),
    ] {
        one(&notify(json!([entry])), &parts);
    }
    one(&notify(json!([slack, slack])), &["spec.notify[1]: ", "slack/chat", "make one entry"]);
    let many: Vec<Value> =
        (0..9).map(|n| json!({"slack": {"secretRef": {"name": format!("c{n}")}}})).collect();
    one(&notify(json!(many)), &["spec.notify: ", "9", "at most 8"]);
}

#[test]
fn a_mirror_is_named_once() {
    one(&[("/spec/pullFrom", json!(["ghcr.io/example/otel"]))], &["spec.pullFrom[0]: ", "same repository"]);
}

#[test]
fn row_23_and_24_odd_hosts_are_for_the_host_policy_or_no_hosts_at_all() {
    // An address is a host that the installation's host policy judges when it is dialled.
    assert!(parse(&policy(&[("/spec/image", json!("127.0.0.1:5000/a"))])).is_ok());
    for text in ["registry.example.com./a", "ex\u{e4}mple.com/a"] {
        one(&[("/spec/image", json!(text))], &["spec.image: "]);
    }
}

#[test]
fn a_hash_belongs_to_targets_waves_soak_and_health_only() {
    let hash = |changes: &[(&str, Value)]| parse(&policy(changes)).unwrap().stages[0].hash.clone();
    let plain = hash(&[]);
    assert_eq!(plain.len(), 16);
    for same in [
        ("/spec/stages/0/soak", json!("30m")),
        ("/spec/stages/0/soak", json!("0h30m")),
        ("/spec/stages/0/approval", json!({"required": 2})),
        ("/spec/stages/0/rollback", json!("Manual")),
        ("/spec/stages/1/soak", json!("3h")),
        ("/spec/health", json!({"tick": "60s"})),
        ("/spec/mode", json!("Enforce")),
        ("/metadata/generation", json!(9)),
    ] {
        assert_eq!(hash(std::slice::from_ref(&same)), plain, "{same:?}");
    }
    for other in [
        ("/spec/stages/0/soak", json!("31m")),
        ("/spec/stages/0/waves", json!([])),
        ("/spec/stages/0/targets/0/pods/selector/matchLabels/app", json!("b")),
        ("/spec/stages/0/targets/0/pods/namespaces", json!(["x"])),
        ("/spec/health", json!({"tick": "61s"})),
    ] {
        assert_ne!(hash(std::slice::from_ref(&other)), plain, "{other:?}");
    }
}

#[test]
fn row_43_a_status_that_cannot_be_read_counts_as_lost() {
    let stored = json!({"attempts": "many", "stages": 3});
    let policy: ImagePolicy = serde_json::from_value(json!({
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {"image": "nginx", "select": {}, "stages": []},
        "status": stored,
    }))
    .unwrap();
    let status = policy.status.unwrap();
    assert_eq!(status.status, lockkeeper_core::status::Status::default());
    assert!(status.unreadable.is_some());
}

fn with_signal(signal: &Value) -> Vec<(&'static str, Value)> {
    let mut whole = json!({
        "name": "p95",
        "prometheus": {"address": "http://prometheus.monitoring:9090/", "query": "p95{pod=~\"$(pods)\"}"},
    });
    for (key, value) in signal.as_object().unwrap() {
        whole[key] = value.clone();
    }
    vec![("/spec/health", json!({"signals": [whole]}))]
}

#[test]
fn signals_have_a_query_and_something_to_compare_with() {
    use lockkeeper_core::{
        health::Direction,
        signals::{Compare, Server},
    };
    let of = |signal: Value| parse(&policy(&with_signal(&signal))).unwrap().signals.remove(0);
    let plain = of(json!({}));
    assert_eq!(plain.source.server, Server::Prometheus("http://prometheus.monitoring:9090".into()));
    assert_eq!(plain.compare.to_string(), "more than 10% above the pods beside it");
    let limit = of(json!({"compare": {"direction": "LowerIsWorse", "limit": "0.99"}}));
    assert_eq!(limit.compare, Compare::Limit(Direction::LowerIsWorse, 0.99));
    let ipv6 = json!({"prometheus": {"address": "https://[fd00::1]:9090/mimir", "query": "x{p=~'$(pods)'}"}});
    assert_eq!(of(ipv6).source.server, Server::Prometheus("https://[fd00::1]:9090/mimir".into()));
}

#[test]
fn fault_38_39_mistakes_in_signals_name_the_field_and_the_fix() {
    let bad = |signal: &Value, parts: &[&str]| one(&with_signal(signal), parts);
    let prometheus = |address: &str, query: &str| json!({"prometheus": {"address": address, "query": query}});
    let address = "http://p:9090";
    bad(&json!({"name": "P95"}), &["spec.health.signals[0].name", "signal"]);
    bad(&prometheus("prometheus:9090", "x{p=~'$(pods)'}"), &["prometheus.address", "http://", "neither"]);
    bad(&prometheus("http://user:pw@p", "x{p=~'$(pods)'}"), &["a user or a password", "secretRef"]);
    bad(&prometheus("http://p/?q", "x{p=~'$(pods)'}"), &["is not a host"]);
    bad(&prometheus("http://", "x{p=~'$(pods)'}"), &["is not a host"]);
    bad(&prometheus(address, "x{p=~'$(pod)'}"), &["prometheus.query", "is no variable", "\"pods\""]);
    bad(&prometheus(address, "x{p=~'$(pods'}"), &["has $( without )"]);
    bad(&prometheus(address, "sum(x)"), &["neither $(pods) nor $(digest)", "limit"]);
    bad(&prometheus(address, "x{p=~'$(pods)'} / x{p=~'$(baselinePods)'}"), &["$(baselinePods)", "by itself"]);
    bad(&prometheus(address, " "), &["is empty"]);
    for margin in ["0%", "4.9%", "10", "-5%", "NaN%", "1e3%", "1001%"] {
        bad(&json!({"compare": {"margin": margin}}), &["compare.margin", "5% to 1000%"]);
    }
    for limit in ["NaN", "-1", "inf", "1e3", "", "0x1"] {
        bad(&json!({"compare": {"limit": limit}}), &["compare.limit", "0.05"]);
    }
    bad(&json!({"compare": {"limit": "1", "margin": "10%"}}), &["compare.limit", "beside margin"]);
    bad(&json!({"compare": {"direction": "Up"}}), &["compare.direction", "HigherIsWorse"]);
    let signal = json!({"name": "a", "prometheus": {"address": address, "query": "x", "secretRef": {"name": "other/s"}}, "compare": {"limit": "1"}});
    bad(&signal, &["secretRef.name", "another namespace"]);
    let twice = json!({"signals": [signal_of("a"), signal_of("a")]});
    one(&[("/spec/health", twice)], &["signals[1].name", "another signal"]);
    let many: Vec<Value> = (0..7).map(|n| signal_of(&format!("s{n}"))).collect();
    one(&[("/spec/health", json!({"signals": many}))], &["spec.health.signals", "at most 6"]);
}

#[test]
fn every_kind_of_server_has_its_fields() {
    use jiff::SignedDuration;
    use lockkeeper_core::signals::{Compare, Server};
    let of = |signal: Value| {
        parse(&policy(&[("/spec/health", json!({"signals": [signal]}))])).unwrap().signals.remove(0)
    };
    let judge = of(json!({"name": "judge", "webhook": {"address": "https://judge.example.com/x/"}}));
    assert_eq!(judge.compare, Compare::Verdict);
    assert_eq!(judge.source.server, Server::Webhook("https://judge.example.com/x".into()));
    let datadog = json!({"site": "us5.datadoghq.com", "query": "avg:x{pod_name IN ($(pods))}", "secretRef": {"name": "dd"}});
    let datadog = of(json!({"name": "dd", "datadog": datadog}));
    assert_eq!(datadog.source.delay, SignedDuration::from_mins(1));
    let job = of(json!({"name": "smoke", "job": {"from": "smoke"}}));
    assert_eq!(job.compare, Compare::Verdict);
    assert!(matches!(&job.source.server, Server::Job(job) if job.deadline == SignedDuration::from_mins(10)));
    let metric =
        json!({"id": "m1", "namespace": "AWS/X", "name": "Y", "dimensions": {"A": "b"}, "stat": "Sum"});
    let cloud = json!({"region": "eu-west-1", "metrics": [metric], "expression": "m1", "delay": "0s"});
    let cloud = of(json!({"name": "cw", "cloudWatch": cloud, "compare": {"limit": "5"}}));
    assert!(
        matches!(&cloud.source.server, Server::CloudWatch(found) if found.metrics[0].dimensions["A"] == "b")
    );
    assert_eq!(cloud.source.delay, SignedDuration::ZERO);
}

#[test]
fn fault_38_39_mistakes_in_other_servers_name_the_field_and_the_fix() {
    let bad = |signal: &Value, parts: &[&str]| {
        let mut signal = signal.clone();
        signal["name"] = json!("a");
        one(&[("/spec/health", json!({"signals": [signal]}))], parts);
    };
    bad(&json!({"compare": {"limit": "1"}}), &["signals[0]", "exactly one of prometheus"]);
    let job = |deadline: &str| json!({"job": {"from": "smoke", "deadline": deadline}});
    bad(&job("16m"), &["job.deadline", "health.noDataAfter, 15m"]);
    bad(&json!({"job": {"from": "other/smoke"}}), &["job.from", "another namespace"]);
    bad(
        &json!({"job": {"from": "smoke"}, "compare": {"limit": "1"}}),
        &["signals[0].compare", "remove compare"],
    );
    let judge = |address: &str| json!({"webhook": {"address": address}});
    bad(&judge("http://u@h"), &["webhook.address", "a user or a password"]);
    let datadog = |site: &str, query: &str| json!({"datadog": {"site": site, "query": query, "secretRef": {"name": "dd"}}});
    bad(&datadog("datadoghq.evil.com", "$(pods)"), &["datadog.site", "no site of Datadog"]);
    bad(&datadog("a.b.datadoghq.com", "$(pods)"), &["datadog.site", "no site of Datadog"]);
    bad(&datadog("xdatadoghq.com", "$(pods)"), &["datadog.site", "no site of Datadog"]);
    bad(&datadog("datadoghq.eu", "avg:x{*}"), &["datadog.query", "neither $(pods) nor $(digest)"]);
    let late = json!({"datadog": {"site": "datadoghq.eu", "query": "$(pods)", "secretRef": {"name": "dd"}, "delay": "3m"}});
    bad(&late, &["datadog.delay", "health.warmUp, 2m", "lengthen health.warmUp"]);
    let cloud = |region: &str, id: &str, stat: &str| {
        let metric = json!({"id": id, "namespace": "AWS/X", "name": "Y", "stat": stat});
        json!({"cloudWatch": {"region": region, "metrics": [metric], "expression": "m1"}, "compare": {"limit": "1"}})
    };
    bad(&cloud("eu-west-1.evil.example/", "m1", "Sum"), &["cloudWatch.region", "no region"]);
    bad(&cloud("eu-west-1", "M1", "Sum"), &["metrics[0].id", "lower-case"]);
    bad(&cloud("eu-west-1", "result", "Sum"), &["metrics[0].id", "result"]);
    bad(&cloud("eu-west-1", "m1", ""), &["metrics[0].stat", "empty"]);
    let mut fast = json!({"signals": [cloud("eu-west-1", "m1", "Sum")], "tick": "30s"});
    fast["signals"][0]["name"] = json!("a");
    one(&[("/spec/health", fast)], &["spec.health.tick", "CloudWatch", "1m"]);
}

fn signal_of(name: &str) -> Value {
    json!({"name": name, "prometheus": {"address": "http://p:9090", "query": "x"}, "compare": {"limit": "1"}})
}

#[test]
fn a_signal_is_part_of_what_a_verification_is_bound_to_and_its_secret_is_not() {
    let hash = |changes: &[(&str, Value)]| parse(&policy(changes)).unwrap().stages[0].hash.clone();
    let (none, one) = (hash(&[]), hash(&with_signal(&json!({}))));
    assert_ne!(none, one);
    assert_ne!(one, hash(&with_signal(&json!({"compare": {"margin": "20%"}}))));
    let prometheus = json!({"address": "http://prometheus.monitoring:9090", "query": "p95{pod=~\"$(pods)\"}", "secretRef": {"name": "s"}});
    assert_eq!(one, hash(&with_signal(&json!({"prometheus": prometheus}))));
}

#[test]
fn row_31_to_34_a_git_target_stays_in_its_repository_and_speaks_https() {
    let git = |field: &str, value: Value| {
        let mut target = json!({
            "git": {"url": "https://git.example.com/x", "branch": "main", "edits": [{"marker": {"path": "prod"}}]},
            "observe": {"pods": {"selector": {"matchLabels": {"app": "a"}}}},
        });
        set(&mut target, field, value);
        [("/spec/stages/0/targets/0", target)]
    };
    let target =
        parse(&policy(&git("/git/branch", json!("release/1")))).unwrap().stages[0].targets[0].clone();
    assert!(matches!(target, lockkeeper_core::policy::Target::Git(git) if git.remote.branch == "release/1"));
    let path = "spec.stages[0].targets[0]";
    for (field, value, place, why) in [
        ("/git/url", json!("http://git.example.com/x"), "git.url", "https://"),
        ("/git/url", json!("ssh://-oProxyCommand=x@h/x"), "git.url", "user"),
        (
            "/git/commit",
            json!({"message": "{{secret}} $(secret)"}),
            "git.commit.message",
            "knows only action",
        ),
        (
            "/git/commit",
            json!({"author": {"name": "a <b>", "email": "c"}}),
            "git.commit.author.name",
            "holds <",
        ),
        ("/git/pullRequest", json!({"provider": "GitHub"}), "git.pullRequest.provider", "github"),
        (
            "/git/pullRequest",
            json!({"provider": "bitbucket", "address": "https://x", "labels": ["a"]}),
            "git.pullRequest.provider",
            "neither labels",
        ),
        ("/git/pullRequest", json!({"provider": "github"}), "git.pullRequest.provider", "owner/repository"),
        (
            "/git/pullRequest",
            json!({"provider": "github", "address": "http://x/api"}),
            "git.pullRequest.address",
            "https://",
        ),
        (
            "/git/pullRequest",
            json!({"provider": "github", "address": "https://x", "branchPrefix": "a..b"}),
            "git.pullRequest.branchPrefix",
            "git allows",
        ),
        (
            "/git/pullRequest",
            json!({"provider": "github", "address": "https://x", "secretRef": {"name": "other/s"}}),
            "git.pullRequest.secretRef.name",
            "other/s",
        ),
        ("/git/edits/0/path", json!({"path": "a", "at": ".b"}), "git.edits[0]", "not one edit"),
        ("/git/url", json!("ext::sh -c id"), "git.url", "https://"),
        ("/git/branch", json!("--upload-pack=x"), "git.branch", "short name"),
        ("/git/edits/0/marker/path", json!("../../etc"), "git.edits[0].marker.path", "leads out"),
        ("/git/edits/0/marker/path", json!("a/.git/config"), "git.edits[0].marker.path", "leads out"),
        ("/git/edits/0/marker/path", json!("/etc/passwd"), "git.edits[0].marker.path", "not relative"),
        ("/git/edits/0/marker/path", json!("C:\\x"), "git.edits[0].marker.path", "not relative"),
        ("/git/edits/0/kustomize", json!({"path": "a"}), "git.edits[0]", "not one edit"),
        ("/git/secretRef", json!({"name": "other/bot"}), "git.secretRef.name", "other/bot"),
        ("/observe", Value::Null, "observe", "is missing"),
        ("/pods", json!({"selector": {"matchLabels": {"a": "b"}}}), "", "are several targets in one"),
    ] {
        one(&git(field, value), &[path, place, why]);
    }
    let found = mistakes(&git("/git/url", json!("https://u:s3cret@git.example.com/x")));
    assert!(found[0].contains("a user or a password") && !found[0].contains("s3cret"), "{found:?}");
}
