//! The examples, the committed picture, and what is said of a scenario that is wrong.

use super::{
    play::{play, play_at_most},
    read,
    scenario::Scenario,
    summary,
};
use lockkeeper_api::FieldError;
use std::{fs, path::Path};

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The scenarios of the examples; what they name is beside them.
fn examples() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

fn scenario(text: &str) -> Result<Scenario, Vec<FieldError>> {
    read::scenario(text, &examples())
}

fn tell(text: &str, seed: u64) -> Result<super::Told, String> {
    super::tell(text, &examples(), seed)
}

fn events(json: &serde_json::Value) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    json["timeline"].as_array().unwrap().iter().map(|l| (text(&l["stage"]), text(&l["event"]))).collect()
}

fn has(json: &serde_json::Value, stage: &str, event: &str) -> bool {
    events(json).contains(&(stage.to_owned(), event.to_owned()))
}

#[test]
fn the_incident_is_taken_back_whatever_the_night() {
    let text = file("examples/incident.yaml");
    for seed in 1..=8 {
        let told = tell(&text, seed).unwrap();
        let sum = &told.json["summary"];
        let bad = &sum["badReleases"][0];
        assert_eq!(bad["name"], "0.29.0", "seed {seed}");
        assert_eq!(bad["quarantined"], true, "seed {seed}: {}", told.text);
        assert!(bad["secondsToRollback"].as_i64().is_some_and(|s| s < 3600), "seed {seed}: {bad}");
        assert!(bad["secondsToGone"].as_i64().is_some_and(|s| s < 3700), "seed {seed}: {bad}");
        let prod = bad["stages"].as_array().unwrap().iter().find(|s| s["stage"] == "prod").unwrap();
        assert_eq!(prod["podsEver"], 3, "seed {seed}: the first wave and nobody else");
        assert_eq!(sum["podsBorn"], 30, "seed {seed}: the night replaces all of prod");
        assert_eq!(sum["podsBornPinned"], 30, "seed {seed}");
        assert_eq!(sum["ranFirst"]["0.28.0"], 30, "seed {seed}: and none of them picks up latest");
        assert_eq!(sum["applicationRestarts"], 0, "seed {seed}");
        for (stage, pods) in [(0, 2), (1, 4), (2, 30)] {
            assert_eq!(sum["stages"][stage]["runs"]["0.29.1"], pods, "seed {seed}: the fix is everywhere");
        }
        for event in ["Degraded", "Quarantined", "RolledBack", "Verified"] {
            assert!(has(&told.json, "prod", event), "seed {seed}: {event}");
        }
    }
}

#[test]
fn a_policy_that_asks_for_signatures_takes_what_the_file_calls_signed() {
    let text = file("examples/incident.yaml").replace(
        "{semver: {range: \">=0.28.0\"}}",
        "{semver: {range: \">=0.28.0\"}, verify: {cosign: {secretRef: {name: cosign-pub}}}}",
    );
    let fix = tell(&text, 1).unwrap();
    assert_eq!(fix.json["summary"]["stages"][2]["runs"]["0.29.1"], 30, "{}", fix.text);
    let text = text.replace("0.29.1: {}", "0.29.1: {signed: false}");
    let told = tell(&text, 1).unwrap();
    assert!(told.json["summary"]["stages"][2]["runs"]["0.29.1"].is_null(), "{}", told.text);
    assert!(events(&told.json).iter().any(|(_, event)| event == "Unsigned"), "{}", told.text);
}

#[test]
fn without_lockkeeper_everybody_has_it_until_a_person_comes() {
    let told = tell(&file("examples/incident-without-lockkeeper.yaml"), 1).unwrap();
    let sum = &told.json["summary"];
    let bad = &sum["badReleases"][0];
    let prod = bad["stages"].as_array().unwrap().iter().find(|s| s["stage"] == "prod").unwrap();
    assert_eq!(prod["podsEver"], 30, "{}", told.text);
    assert!(prod["crashes"].as_i64().unwrap() > 300, "{}", told.text);
    assert!(bad["secondsToRollback"].is_null(), "nobody decided: {}", told.text);
    assert!(bad["secondsToGone"].as_i64().is_some_and(|s| s > 4 * 3600), "{}", told.text);
    assert_eq!(sum["stages"][2]["runs"]["0.28.0"], 30);
    assert_eq!((&sum["writes"], &sum["podsBornPinned"]), (&0.into(), &0.into()));
}

#[test]
fn approval_window_hold_and_an_urgent_fix_are_obeyed() {
    let told = tell(&file("examples/approval-and-window.yaml"), 1).unwrap();
    for (stage, event) in [("prod", "ApprovalRequired"), ("prod", "WindowClosed"), ("prod", "Held")] {
        assert!(has(&told.json, stage, event), "{event}: {}", told.text);
    }
    let at = |event: &str, part: &str| {
        let lines = told.json["timeline"].as_array().unwrap();
        let line = lines.iter().find(|l| {
            l["stage"] == "prod" && l["event"] == event && l["message"].as_str().unwrap().contains(part)
        });
        line.unwrap_or_else(|| panic!("{event} {part}: {}", told.text))["at"].as_str().unwrap().to_owned()
    };
    assert_eq!(at("PromotionStarted", "1.5.0"), "2026-03-03T08:00:00Z", "the window opens at nine in Berlin");
    let all = at("Everywhere", "1.5.0");
    assert!(all.as_str() > "2026-03-03T11:00:00Z", "not before the hold ends: {all}");
    assert_eq!(
        at("PromotionStarted", "1.5.1"),
        "2026-03-03T19:30:00Z",
        "the urgent fix passes window and approval"
    );
    assert_eq!(told.json["summary"]["stages"][1]["runs"]["1.5.1"], 18);
}

#[test]
fn what_is_down_stops_nothing_and_promotes_nothing() {
    let told = tell(&file("examples/when-things-are-down.yaml"), 1).unwrap();
    let sum = &told.json["summary"];
    assert_eq!(sum["stages"][0]["runs"]["2.1.0"], 12, "{}", told.text);
    assert_eq!((&sum["podsBorn"], &sum["podsBornPinned"]), (&7.into(), &5.into()), "{}", told.text);
    assert!(has(&told.json, "prod", "SoakPaused") || has(&told.json, "prod", "StaleWatch"), "{}", told.text);
}

#[test]
fn a_release_that_is_only_slow_is_taken_back_by_what_was_recorded() {
    let told = tell(&file("examples/slow-release.yaml"), 1).unwrap();
    let sum = &told.json["summary"];
    let bad = &sum["badReleases"][0];
    assert_eq!((&bad["crashes"], &bad["firstCrash"]), (&0.into(), &serde_json::Value::Null), "{}", told.text);
    assert_eq!(bad["quarantined"], true, "{}", told.text);
    assert_eq!(bad["stages"][0]["podsEver"], 4, "the first wave and nobody else: {}", told.text);
    assert_eq!(sum["stages"][0]["runs"]["0.28.0"], 24);
    let signal = |name: &str| {
        let found = sum["signals"].as_array().unwrap().iter().find(|s| s["signal"] == name).unwrap();
        (found["worse"].as_u64().unwrap(), found["ticks"].as_u64().unwrap())
    };
    let (worse, ticks) = signal("p95");
    assert!(worse >= 11 && ticks - worse < 5, "{worse} of {ticks}: {}", told.text);
    assert_eq!(signal("spans-out"), (0, ticks), "{}", told.text);
    let lines = told.json["timeline"].as_array().unwrap();
    let degraded = lines.iter().find(|line| line["event"] == "Degraded").unwrap();
    let why = degraded["message"].as_str().unwrap();
    assert!(why.contains("signal p95: more than 20% above the pods beside it in"), "{why}");
    for part in ["Restarts", "Signal p95: more than 20% above", "Signal spans-out: more than 10% below"] {
        assert!(told.svg.contains(part), "no panel {part}");
    }
}

#[test]
fn without_values_in_its_time_a_release_is_neither_verified_nor_blamed() {
    // The recording ends before the release comes.
    let early =
        file("examples/slow-release.yaml").replace("end: 4h", "end: 12h").replace("at: 30m", "at: 3h40m");
    let told = tell(&early, 1).unwrap();
    assert_eq!(told.json["summary"]["stages"][0]["runs"]["0.28.0"], 24, "{}", told.text);
    assert_eq!(told.json["summary"]["badReleases"][0]["quarantined"], false, "{}", told.text);
    assert!(has(&told.json, "prod", "NoData") && !has(&told.json, "prod", "Verified"), "{}", told.text);
}

#[test]
fn a_recording_belongs_to_its_release_and_its_stages() {
    let text = file("examples/slow-release.yaml");
    // The values of the other release: 0.29.0 is like the pods beside it.
    let other = text.replacen("release: 0.29.0", "release: 0.28.0", 1);
    let told = tell(&other, 1).unwrap();
    assert!(!has(&told.json, "prod", "Degraded"), "28 % better is not worse: {}", told.text);
    let elsewhere = text.replacen("    release: 0.29.0\n", "    release: 0.29.0\n    stages: [dev]\n", 1);
    let elsewhere = elsewhere.replace(
        "      - name: prod\n",
        "      - {name: dev, soak: 10m, targets: [{pods: {namespaces: [dev], selector: {matchLabels: {telemetry: otel}}}}]}\n      - name: prod\n",
    );
    let told = tell(&elsewhere, 1).unwrap();
    assert!(!has(&told.json, "prod", "Degraded"), "{}", told.text);
}

#[test]
fn the_same_seed_tells_the_same_story_and_another_seed_another_one() {
    let text = file("examples/incident.yaml");
    let (one, again, other) = (tell(&text, 7).unwrap(), tell(&text, 7).unwrap(), tell(&text, 8).unwrap());
    assert_eq!((&one.text, &one.svg), (&again.text, &again.svg));
    assert_eq!(one.json, again.json);
    assert_ne!(one.json["timeline"], other.json["timeline"]);
}

#[test]
fn the_pictures_of_the_documentation_are_up_to_date() {
    for (scenario, picture) in [
        ("examples/incident.yaml", "docs/incident.svg"),
        ("examples/incident-without-lockkeeper.yaml", "docs/incident-without-lockkeeper.svg"),
        ("examples/slow-release.yaml", "docs/slow-release.svg"),
    ] {
        let svg = tell(&file(scenario), 1).unwrap().svg;
        if std::env::var_os("UPDATE").is_some() {
            fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(picture), &svg).unwrap();
        }
        assert!(file(picture) == svg, "{picture} is not what {scenario} gives; `make docs` writes it anew");
    }
}

#[test]
fn hostile_names_stay_text_in_the_picture_and_in_the_terminal() {
    let hostile = file("examples/incident.yaml").replace(
        "title: A bad sidecar release, with Lockkeeper",
        r#"title: "</title><script>alert(1)</script> \e[2J & ' \" end""#,
    );
    let hostile = hostile.replace(
        "- {at: 2023-05-15T17:34, push",
        "- {at: 2023-05-15T17:33, say: \"<img src=x onerror='x'>\\e]0;title\\a\"}\n  - {at: 2023-05-15T17:34, push",
    );
    let told = tell(&hostile, 1).unwrap();
    assert!(!told.svg.contains("<script") && !told.svg.contains("<img"), "{}", told.svg);
    assert!(told.svg.contains("&lt;script&gt;alert(1)") && told.svg.contains("&lt;img src=x"));
    for text in [&told.svg, &told.text] {
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
    }
}

#[test]
fn the_reference_of_the_format_names_every_field() {
    let page = file("docs/simulate.md");
    let all = super::read::FIELDS.iter().chain(&super::setting::FIELDS).chain(&super::deeds::DEEDS);
    for field in all.chain(&super::recordings::FIELDS) {
        assert!(page.contains(&format!("`{field}")), "docs/simulate.md does not explain `{field}`");
    }
}

#[test]
fn a_story_with_too_many_moments_is_ended_with_a_reason() {
    let read = scenario(&SMALL.replace("1.0.0: {}", "1.0.0: {crashesPerPodHour: 3600}")).unwrap();
    let error = play_at_most(&read, 1, 10).unwrap_err();
    assert!(error.starts_with("end: after 10 moments ") && error.contains("end it sooner"), "{error}");
}

#[test]
fn a_release_that_never_runs_is_no_bad_release() {
    let text = SMALL.replace("  1.0.0: {}", "  1.0.0: {}\n  2.0.0: {crashAtStart: true}");
    let read = scenario(&text).unwrap();
    let (chronicle, world) = play(&read, 1).unwrap();
    assert!(summary::summary(&read, &chronicle, &world).bad.is_empty());
}

const SMALL: &str = "
end: 1h
policy:
  apiVersion: lockkeeper.dev/v1alpha1
  kind: ImagePolicy
  metadata: {name: app, namespace: shop}
  spec:
    image: registry.example.com/app
    mode: Enforce
    select: {semver: {range: '>=1.0.0'}}
    stages: [{name: prod, targets: [{pods: {selector: {matchLabels: {a: b}}}}]}]
world:
  owners: [{namespace: shop, name: web, replicas: 1, labels: {a: b}, image: 'registry.example.com/app:latest'}]
releases:
  1.0.0: {}
tags: {latest: 1.0.0}
timeline: []
";

/// What is replaced in the small scenario, by what, and what must be said: path, value, reason, fix.
const WRONG: &[(&str, &str, &[&str])] = &[
    ("end: 1h", "ends: 1h", &["ends: \"ends\" is no field", "did you mean \"end\"?", "end: \"\" is missing"]),
    ("end: 1h", "end: 1", &["end: \"1\" is no text; put it in quotes"]),
    ("end: 1h", "end: soon", &["end: \"soon\" is no moment", "1h30m"]),
    ("end: 1h", "end: 2000h", &["end: \"2000h\" is before the start, or more than 60 days"]),
    ("end: 1h", "end: 1h\nstart: 9am", &["start: \"9am\" is no moment in a time zone", "[UTC]"]),
    ("kind: ImagePolicy", "kind: Pod", &["policy.kind: \"Pod\"", "ImagePolicy"]),
    ("mode: Enforce", "mode: Enforced", &["policy.spec.mode: \"Enforced\"", "Enforce"]),
    ("mode: Enforce", "mod: Enforce", &["policy.spec.mod: ", "did you mean \"mode\"?"]),
    (
        "pods: {selector: {matchLabels: {a: b}}}",
        "workloads: {selector: {matchLabels: {a: b}}}",
        &["policy.spec.stages[0].targets[0]: \"workloads\" is not in the simulated world", "`pods`"],
    ),
    (
        "replicas: 1",
        "replicas: -1",
        &["world.owners[0].replicas: \"-1\" is not a number that fits", "0 to 2000"],
    ),
    ("replicas: 1", "replicas: many", &["world.owners[0].replicas: \"many\""]),
    ("name: web, ", "", &["world.owners[0].name: \"\" is missing; write its name"]),
    (
        "app:latest",
        "app:next",
        &["world.owners[0].image: \"registry.example.com/app:next\" names no release", "`next"],
    ),
    ("app:latest", "App:latest", &["world.owners[0].image: \"registry.example.com/App\"", "lower case"]),
    ("latest: 1.0.0", "latest: 1.0.1", &["tags.latest: \"1.0.1\" is no release of this file", "\"1.0.0\""]),
    ("1.0.0: {}", "1.0.0: {crashesPerHour: 1}", &["releases.1.0.0.crashesPerHour", "\"crashesPerPodHour\""]),
    ("1.0.0: {}", "1.0.0: {crashesPerPodHour: -1}", &["releases.1.0.0.crashesPerPodHour: \"-1\" is no rate"]),
    ("1.0.0: {}", "1.0.0: {}\n  'a b': {}", &["releases.a b: \"a b\""]),
    (
        "1.0.0: {}",
        "1.0.0: {neverReady: perhaps}",
        &["releases.1.0.0.neverReady: \"perhaps\"", "true or false"],
    ),
    ("timeline: []", "timeline: {}", &["timeline: \"{}\" is no list"]),
    ("timeline: []", "timeline: [{at: 5m}]", &["timeline[0]: ", "does nothing", "push"]),
    ("timeline: []", "timeline: [{registry: Down}]", &["timeline[0].at: \"\" is missing"]),
    (
        "timeline: []",
        "timeline: [{at: 5m, registry: Away}]",
        &["timeline[0].registry: \"Away\"", "Up or Down"],
    ),
    ("timeline: []", "timeline: [{at: 2h, registry: Down}]", &["timeline[0].at: ", "is after the end"]),
    (
        "timeline: []",
        "timeline: [{at: 5m, registry: Down, watches: Stale}]",
        &["timeline[0]: \"registry, watches\" are several things"],
    ),
    ("timeline: []", "timeline: [{at: 5m, psh: {}}]", &["timeline[0].psh", "did you mean \"push\"?"]),
    (
        "timeline: []",
        "timeline: [{at: 5m, scale: {namespace: shop, owner: wbe, replicas: 2}}]",
        &["timeline[0].scale.owner: \"wbe\" is no owner in namespace shop", "shop/web"],
    ),
    (
        "timeline: []",
        "timeline: [{at: 5m, push: {release: 9.9.9}}]",
        &["timeline[0].push.release: \"9.9.9\" is no release of this file"],
    ),
    (
        "timeline: []",
        "timeline: [{at: 5m, intervention: {action: Approve, stages: [prod]}}]",
        &["timeline[0].intervention.release: ", "is missing"],
    ),
    (
        "timeline: []",
        "timeline: [{at: 5m, intervention: {action: Hold, stages: [prd]}}]",
        &["timeline[0].intervention.stages: \"prd\" is no stage", "\"prod\""],
    ),
    ("timeline: []", "timeline: [", &["file: "]),
    ("end: 1h", "end: 1h\nend: 2h", &["file: "]),
];

/// What is replaced in the example with recordings, by what, and what must be said.
const WRONG_RECORDINGS: &[(&str, &str, &[&str])] = &[
    ("  p95:  ", "  p59:  ", &["signals.p59: \"p59\" is no signal of the policy; did you mean \"p95\"?"]),
    (
        "        - name: p95\n",
        "        - {name: p95, webhook: {address: 'https://judge.example.com'}}\n        - name: p96\n",
        &["signals.p95: \"p95\" has a verdict and no values; leave it out"],
    ),
    ("    release: 0.29.0\n", "", &["signals.p95.release: \"\" is missing; name the one of `releases`"]),
    (
        "    release: 0.29.0\n",
        "    release: 0.92.0\n",
        &["signals.p95.release: \"0.92.0\" is no release of this file"],
    ),
    (
        "    release: 0.29.0\n",
        "    release: 0.29.0\n    stages: [prd]\n",
        &["signals.p95.stages: \"prd\" is no stage of the policy; did you mean \"prod\"?"],
    ),
    (
        "    release: 0.29.0\n",
        "    release: 0.29.0\n    combine: Median\n",
        &["signals.p95.combine: \"Median\" is not known here; write Mean, Max, Min or Sum"],
    ),
    (
        "    release: 0.29.0\n",
        "    release: 0.29.0\n    from: soon\n",
        &["signals.p95.from: \"soon\" is no moment"],
    ),
    (
        "    release: 0.29.0\n",
        "    release: 0.29.0\n    form: 1h\n",
        &["signals.p95.form: ", "did you mean \"from\"?"],
    ),
    (
        "start: 2026-03-02T",
        "start: 2026-04-02T",
        &[
            "signals.p95.from: \"2026-03-02T10:00:00Z to 2026-03-02T13:00:00Z\" was recorded, outside of the story",
        ],
    ),
    (
        "recorded/p95.json",
        "recorded/p59.json",
        &[
            "signals.p95.candidate.file: recorded/p59.json: could not be read: ",
            "as seen from the scenario's folder",
        ],
    ),
    ("file: recorded/p95.json", "file: recorded", &["signals.p95.candidate.file: recorded: is no file"]),
    (
        "recorded/p95.json",
        "slow-release.yaml",
        &["slow-release.yaml: is neither CSV nor a Prometheus answer"],
    ),
    (
        "[worker-6c9d4-2kxqv, ",
        "[worker-6c9d4-2kxqw, ",
        &["signals.p95.candidate.series: \"worker-6c9d4-2kxqw\" is no series of recorded/p95.json", "2kxqv"],
    ),
    (
        "series: [worker-6c9d4-2kxqv, worker-6c9d4-8wlnr]",
        "label: pod",
        &["signals.p95.baseline: \"\" is missing; write the file with the values of the pods beside it"],
    ),
    (
        "series: [worker-6c9d4-2kxqv, worker-6c9d4-8wlnr]",
        "label: host",
        &["recorded/p95.json: series 1: ", "has no label host; aggregate with by (host)"],
    ),
    (
        "      signals:\n",
        "      tick: 30s\n      signals:\n",
        &[
            "signals.p95.candidate: \"1m\" apart are its values, and a tick takes 30s; ask query_range with step=30s",
        ],
    ),
];

#[test]
fn every_mistake_in_a_recording_names_path_value_reason_and_fix() {
    let right = file("examples/slow-release.yaml");
    for (from, to, said) in WRONG_RECORDINGS {
        let text = right.replacen(from, to, 1);
        assert_ne!(text, right, "{from} is not in the scenario");
        let mistakes = scenario(&text).err().unwrap_or_else(|| panic!("{to} was taken"));
        let all: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        for part in *said {
            assert!(all.iter().any(|line| line.contains(part)), "{to}: no {part:?} in {all:#?}");
        }
    }
}

#[test]
fn every_mistake_names_path_value_reason_and_fix() {
    assert!(scenario(SMALL).is_ok(), "{:?}", scenario(SMALL).err());
    for (from, to, said) in WRONG {
        let text = SMALL.replacen(from, to, 1);
        assert_ne!(text, SMALL, "{from} is not in the scenario");
        let mistakes = scenario(&text).err().unwrap_or_else(|| panic!("{to} was taken"));
        let all: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        for part in *said {
            assert!(all.iter().any(|line| line.contains(part)), "{to}: no {part:?} in {all:#?}");
        }
    }
}

#[test]
fn all_mistakes_are_found_at_once() {
    let text = SMALL
        .replace("end: 1h", "end: soon")
        .replace("replicas: 1", "replicas: x")
        .replace("mode: Enforce", "mode: Never");
    let paths: Vec<String> = scenario(&text).unwrap_err().into_iter().map(|m| m.path).collect();
    assert!(
        ["end", "world.owners[0].replicas", "policy.spec.mode"].iter().all(|p| paths.iter().any(|f| f == p)),
        "{paths:?}"
    );
    for nothing in ["", "null", "[]", "text"] {
        assert!(!scenario(nothing).unwrap_err().is_empty());
    }
}
