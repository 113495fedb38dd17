use super::*;
use lockkeeper_api::ImagePolicy;
use lockkeeper_core::status::Status;
use serde_json::{Value, json};

const POLICY: &str = "
apiVersion: lockkeeper.dev/v1alpha1
kind: ImagePolicy
metadata: {name: otel, namespace: platform, uid: u-1}
spec:
  image: registry.example.com/team/otel
  pullFrom: [mirror.example/otel-mirror]
  mode: Enforce
  select: {semver: {range: '>=0.28.0'}}
  stages:
    - {name: dev, targets: [{pods: {selector: {matchLabels: {app: a}}}}]}
    - {name: prod, targets: [{pods: {namespaces: [prod], selector: {matchLabels: {app: a}}}}]}
";

fn digest(n: u8) -> String {
    format!("sha256:{}", format!("{n:02x}").repeat(32))
}

fn loaded(prod: &Value) -> Loaded {
    let object: ImagePolicy = serde_saphyr::from_str(POLICY).unwrap();
    let policy = lockkeeper_api::parse(&object).unwrap();
    let mut here = json!({"name": "prod", "phase": "Idle"});
    for (key, value) in prod.as_object().unwrap() {
        here[key] = value.clone();
    }
    let status: Status = serde_json::from_value(json!({"phase": "Idle", "stages": [here]})).unwrap();
    Loaded { object, policy, status, quarantines: vec![], interventions: vec![] }
}

fn release(version: &str, n: u8) -> Value {
    json!({"tag": version, "version": version, "digest": digest(n)})
}

fn ejected(prod: &Value) -> Result<(String, Option<String>), (u8, String)> {
    let loaded = loaded(prod);
    let found = stage(&loaded, Some("prod")).and_then(|stage| held(&loaded, stage));
    found.map(|(image, note)| (image.to_string(), note)).map_err(|failure| {
        let (code, why) = failure.end();
        (code, why.unwrap_or_default().to_owned())
    })
}

#[test]
fn what_a_stage_holds_is_written_by_tag_and_digest() {
    let verified = json!([{"release": release("0.28.0", 28), "source": "Adopted", "at": "2026-11-22T10:00:00Z", "hash": ""}]);
    let held = ejected(&json!({"current": digest(28), "verified": verified})).unwrap();
    assert_eq!(held, (format!("registry.example.com/team/otel:0.28.0@{}", digest(28)), None));
    // Whose tag is not known any more.
    let held = ejected(&json!({"current": digest(27), "verified": verified})).unwrap();
    assert_eq!(held, (format!("registry.example.com/team/otel@{}", digest(27)), None));
}

#[test]
fn a_release_that_is_taken_back_is_never_written() {
    let rollback = |to: Value| {
        json!({"current": digest(29), "rollback": {
            "bad": release("0.29.0", 29), "to": to, "attempt": "a", "since": "2026-11-22T10:00:00Z",
            "reason": "Crashing", "message": "it crashes",
        }})
    };
    let (image, note) = ejected(&rollback(release("0.28.0", 28))).unwrap();
    assert_eq!(image, format!("registry.example.com/team/otel:0.28.0@{}", digest(28)));
    assert!(note.unwrap().contains("taken back"));
    let (code, why) = ejected(&rollback(Value::Null)).unwrap_err();
    assert!(code == 3 && why.contains("to what is not known yet"), "{code} {why}");
}

#[test]
fn a_stage_that_holds_nothing_says_why() {
    let (code, why) = ejected(&json!({"message": "no pod matches"})).unwrap_err();
    assert_eq!((code, why.as_str()), (3, "stage prod holds no release: no pod matches"));
    let loaded = loaded(&json!({}));
    for (asked, code, part) in [
        (Some("staging"), 3, "otel has no stage staging; it has dev, prod"),
        (Some("dev"), 3, "the controller has not looked at it yet"),
        (None, 2, "--stage is missing: one of dev, prod"),
    ] {
        let failure = stage(&loaded, asked).unwrap_err();
        let (got, why) = failure.end();
        assert!(got == code && why.unwrap_or_default().contains(part), "{asked:?}: {got} {why:?}");
    }
}

#[test]
fn folders_are_searched_for_every_mirror() {
    let args = |more: &[&str]| {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: Args,
        }
        let line = [&["eject", "otel", "deploy"], more].concat();
        <Line as clap::Parser>::parse_from(line).args
    };
    let loaded = loaded(&json!({}));
    let pin = || Pin::of_image("registry.example.com/team/otel:1".parse().unwrap());
    let (_, searched) = super::asked(&args(&[]), &loaded, pin()).unwrap();
    assert_eq!(searched.unwrap().texts, ["otel", "otel-mirror"]);
    let (asked, searched) = super::asked(&args(&["--helm-values", ".a.image"]), &loaded, pin()).unwrap();
    assert!(matches!(asked, Asked::HelmValues { .. }) && searched.is_none());
}
