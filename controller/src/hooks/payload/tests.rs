use super::*;
use proptest::prelude::*;
use serde_json::json;

fn receiver(kind: Kind, registry: Option<&str>) -> Receiver {
    Receiver {
        name: "r".into(),
        kind,
        secret_file: None,
        registry: registry.map(str::to_owned),
        audience: None,
        service_account: None,
    }
}

fn found(kind: Kind, registry: Option<&str>, body: &Value) -> Vec<String> {
    let hints = hints(&receiver(kind, registry), &HeaderMap::new(), body.to_string().as_bytes()).unwrap();
    let name = |hint: Hint| format!("{}{}", hint.repository, if hint.below { "/…" } else { "" });
    hints.into_iter().map(name).collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table, a row per sender")]
fn every_sender_is_understood() {
    let pushed = STANDARD.encode(
        json!({"action": "INSERT", "digest": "europe-docker.pkg.dev/p/r/otel@sha256:0f", "tag": "europe-docker.pkg.dev/p/r/otel:1.2"})
            .to_string(),
    );
    let table = [
        (
            Kind::DockerHub,
            None,
            json!({"push_data": {"tag": "1.2"}, "repository": {"repo_name": "otel/collector"}}),
            vec!["docker.io/otel/collector"],
        ),
        (
            Kind::GitHub,
            None,
            json!({"action": "published", "registry_package": {"name": "Collector", "namespace": "Acme", "package_type": "CONTAINER"}}),
            vec!["ghcr.io/acme/collector"],
        ),
        (
            Kind::GitHub,
            Some("ghcr.example.com"),
            json!({"package": {"name": "a/b", "owner": {"login": "acme"}}}),
            vec!["ghcr.example.com/acme/a/b"],
        ),
        (
            Kind::GitLab,
            Some("registry.gitlab.com"),
            json!({"object_kind": "pipeline", "project": {"path_with_namespace": "Team/App"}}),
            vec!["registry.gitlab.com/team/app/…"],
        ),
        (
            Kind::Quay,
            None,
            json!({"repository": "org/app", "docker_url": "quay.io/org/app", "updated_tags": ["latest"]}),
            vec!["quay.io/org/app"],
        ),
        (
            Kind::Quay,
            Some("quay.example.com:8443"),
            json!({"repository": "org/app", "docker_url": "internal/org/app"}),
            vec!["quay.example.com:8443/org/app"],
        ),
        (
            Kind::Harbor,
            None,
            json!({"type": "PUSH_ARTIFACT", "event_data": {
                "resources": [{"tag": "1.2", "resource_url": "harbor.example.com/ecr/otel:1.2"}],
                "repository": {"repo_full_name": "ecr/otel"}}}),
            vec!["harbor.example.com/ecr/otel"],
        ),
        (
            Kind::Harbor,
            Some("harbor.internal"),
            json!({"specversion": "1.0", "type": "harbor.artifact.pushed", "data": {
                "resources": [{"resource_url": "harbor.example.com/ecr/otel:1.2"}],
                "repository": {"repo_full_name": "ecr/otel"}}}),
            vec!["harbor.internal/ecr/otel"],
        ),
        (
            Kind::Nexus,
            Some("nexus.example.com:8082"),
            json!({"action": "CREATED", "repositoryName": "docker-hosted", "component": {"format": "docker", "name": "otel/collector", "version": "1.2"}}),
            vec!["nexus.example.com:8082/otel/collector"],
        ),
        (
            Kind::Artifactory,
            Some("acme.jfrog.io"),
            json!({"domain": "docker", "event_type": "pushed", "data": {"repo_key": "docker-local", "image_name": "otel", "tag": "1.2"}}),
            vec!["acme.jfrog.io/docker-local/otel", "acme.jfrog.io/otel"],
        ),
        (
            Kind::AzureContainerRegistry,
            None,
            json!({"action": "push", "target": {"repository": "otel", "tag": "1.2"}, "request": {"host": "acme.azurecr.io"}}),
            vec!["acme.azurecr.io/otel"],
        ),
        (
            Kind::ArtifactRegistry,
            None,
            json!({"message": {"data": pushed, "messageId": "1"}, "subscription": "projects/p/subscriptions/s"}),
            vec!["europe-docker.pkg.dev/p/r/otel"],
        ),
        (
            Kind::Ecr,
            None,
            json!({"detail-type": "ECR Image Action", "account": "123456789012", "region": "eu-west-1", "detail": {"action-type": "PUSH", "repository-name": "team/otel", "image-tag": "1.2"}}),
            vec!["123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/otel"],
        ),
        (
            Kind::Ecr,
            None,
            json!({"account": "123456789012", "region": "cn-north-1", "detail": {"repository-name": "otel"}}),
            vec!["123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/otel"],
        ),
        (
            Kind::Distribution,
            None,
            json!({"events": [
                {"action": "push", "target": {"repository": "a/b"}, "request": {"host": "127.0.0.1:5000"}},
                {"action": "push", "target": {"repository": "a/b"}, "request": {"host": "127.0.0.1:5000"}},
                {"action": "pull", "target": {"repository": "c"}, "request": {"host": "127.0.0.1:5000"}},
                {"action": "push", "target": {"repository": 7}, "request": {"host": "127.0.0.1:5000"}},
                {"action": "delete", "target": {"repository": "d"}, "request": {"host": "127.0.0.1:5000"}}]}),
            vec!["127.0.0.1:5000/a/b", "127.0.0.1:5000/d"],
        ),
        (
            Kind::CloudEvents,
            None,
            json!({"specversion": "1.0", "type": "x", "source": "/ci", "subject": "ghcr.io/acme/otel:1.2"}),
            vec!["ghcr.io/acme/otel"],
        ),
        (
            Kind::CloudEvents,
            Some("ghcr.io"),
            json!({"specversion": "1.0", "type": "x", "data": {"repository": "acme/otel"}}),
            vec!["ghcr.io/acme/otel"],
        ),
        (
            Kind::CloudEvents,
            None,
            json!({"specversion": "1.0", "type": "x", "data": {"image": "ghcr.io/acme/otel@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}),
            vec!["ghcr.io/acme/otel"],
        ),
    ];
    for (kind, registry, body, expected) in table {
        assert_eq!(found(kind, registry, &body), expected, "{kind:?} {body}");
    }
}

#[test]
fn a_cloud_event_in_binary_mode_says_the_same_in_headers() {
    let mut headers = HeaderMap::new();
    headers.insert("ce-specversion", "1.0".parse().unwrap());
    headers.insert("ce-subject", "ghcr.io/acme/otel".parse().unwrap());
    let receiver = receiver(Kind::CloudEvents, None);
    let found = hints(&receiver, &headers, b"{}").unwrap();
    assert_eq!(found[0].repository.to_string(), "ghcr.io/acme/otel");
}

#[test]
fn row_40_wrong_types_speak_of_nothing() {
    for body in ["", "null", "[]", "7", "\"x\"", "{", "\u{0}"] {
        assert!(hints(&receiver(Kind::Harbor, None), &HeaderMap::new(), body.as_bytes()).is_none(), "{body}");
    }
    let odd = json!({"repository": [], "event_data": 7, "events": {"a": 1}, "message": {"data": "%%"}, "project": null});
    for kind in ALL {
        assert_eq!(found(kind, Some("r.example.com"), &odd), Vec::<String>::new(), "{kind:?}");
    }
}

#[test]
fn one_hook_names_a_bounded_number_of_repositories() {
    let event = |n: usize| json!({"action": "push", "target": {"repository": format!("r{n}")}});
    let events: Vec<Value> = (0..10_000).map(event).collect();
    assert_eq!(found(Kind::Distribution, Some("r.example.com"), &json!({ "events": events })).len(), MOST);
}

const ALL: [Kind; 12] = [
    Kind::DockerHub,
    Kind::GitHub,
    Kind::GitLab,
    Kind::Quay,
    Kind::Harbor,
    Kind::Nexus,
    Kind::Artifactory,
    Kind::AzureContainerRegistry,
    Kind::ArtifactRegistry,
    Kind::Ecr,
    Kind::Distribution,
    Kind::CloudEvents,
];

/// Objects with the names that senders use, and anything in them.
fn hostile() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::String),
        "[a-z.:/@-]{0,30}".prop_map(Value::String),
    ];
    let name = prop::sample::select(vec![
        "repository",
        "repo_name",
        "repo_full_name",
        "event_data",
        "data",
        "resources",
        "resource_url",
        "events",
        "action",
        "target",
        "request",
        "host",
        "message",
        "detail",
        "repository-name",
        "account",
        "region",
        "image",
        "subject",
        "project",
        "path_with_namespace",
        "registry_package",
        "package",
        "name",
        "namespace",
        "component",
        "docker_url",
    ]);
    leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|all| all.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

proptest! {
    /// R40: no body makes it panic, and what comes out are repositories.
    #[test]
    fn anything_may_arrive(body in hostile(), kind in 0..12_usize, named in any::<bool>()) {
        let registry = named.then_some("r.example.com:5000");
        let bytes = body.to_string();
        if let Some(hints) = hints(&receiver(ALL[kind], registry), &HeaderMap::new(), bytes.as_bytes()) {
            for hint in hints {
                let text = hint.repository.to_string();
                prop_assert_eq!(&text.parse::<Repository>().unwrap(), &hint.repository);
                prop_assert!(!named || hint.repository.registry() == "r.example.com:5000", "{}", text);
            }
        }
    }
}
