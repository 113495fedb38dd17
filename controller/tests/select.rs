//! `lockkeeper select` and `lockkeeper resolve` as people and scripts see them: standard output and exit code.

use serde_json::{Value, json};
use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }

    fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect()
    }
}

/// Runs the program; a proxy or a registry that is reached would be a fault, so none can be.
fn lockkeeper(args: &[&str], input: &str) -> Said {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lockkeeper"))
        .args(args)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    // A program that refuses its arguments reads nothing.
    drop(child.stdin.take().expect("a pipe").write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

fn select(flags: &[&str], tags: &str) -> Said {
    let args: Vec<&str> =
        ["select", "--tags", "-", "-o", "json"].into_iter().chain(flags.iter().copied()).collect();
    lockkeeper(&args, tags)
}

fn chosen(flags: &[&str], tags: &str) -> Value {
    let said = select(flags, tags);
    assert_eq!(said.code, 0, "{flags:?}: {}", said.err);
    said.json()["chosen"].clone()
}

#[test]
fn the_answer_has_the_documented_shape_and_every_tag_a_reason() {
    let said =
        select(&["--semver", ">=1.0"], "1.0.0\nv1.2.0\n1.3.0-rc.1\nlatest\n0.9\n1.2.0-alpine\n\n1.0.0\n");
    let answer = said.json();
    assert_eq!(said.code, 0);
    assert_eq!(answer["chosen"], json!({"tag": "v1.2.0", "version": "1.2.0"}));
    let reasons: Vec<(&str, &str)> = answer["tags"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|tag| {
            assert!(
                tag["message"].as_str().is_some_and(|message| message.contains(tag["tag"].as_str().unwrap()))
            );
            assert_eq!(tag.as_object().map(serde_json::Map::len), Some(3), "{tag}");
            (tag["tag"].as_str().unwrap(), tag["reason"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        reasons,
        [
            ("v1.2.0", "Chosen"),
            ("1.0.0", "Older"),
            ("latest", "NotAVersion"),
            ("1.3.0-rc.1", "Prerelease"),
            ("1.2.0-alpine", "Prerelease"),
            ("0.9", "OutOfRange"),
        ]
    );
    assert!(said.out.contains("if -alpine is a variant, set select.filterTags to"), "{}", said.out);
}

#[test]
fn exit_codes_say_chosen_nothing_and_wrong() {
    let none = select(&["--semver", ">=2"], "1.0\n");
    assert_eq!((none.code, &none.json()["chosen"]), (3, &Value::Null));
    assert_eq!(none.json()["tags"][0]["reason"], "OutOfRange");
    let empty = select(&["--semver", "*"], "");
    assert_eq!((empty.code, empty.json()), (3, json!({"chosen": null, "tags": []})));
    for (flags, part) in [
        (&["--semver", ">=1.0 <0.9"][..], "matches nothing"),
        (&["--semver", ">>1"], "select.semver.range"),
        (&["--filter", "[="], "select.filterTags.pattern"),
        (&["--filter", "(a)", "--extract", "$2"], "select.filterTags.extract"),
        (&["--ignore", "(a"], "select.ignoreTags[0]"),
        (&["--digest", ".x"], "select.digest.tag"),
        (&["--newest-build", "--discovery-limit", "0"], "discoveryLimit"),
        (&["--alphabetical", "up"], "--alphabetical"),
        (&["--semver", "*", "--numerical", "asc"], "cannot be used with"),
        (&["--extract", "$1"], "--filter"),
    ] {
        let said = select(flags, "1.0\n");
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{flags:?}");
        assert!(said.err.contains(part), "{flags:?}: {}", said.err);
    }
    for (tags, part) in [("[\"a\"", "no JSON"), ("{\"x\": 1}", "no list"), ("[7]", "[0]")] {
        let said = select(&[], tags);
        assert!(said.code == 2 && said.err.contains(part), "{tags}: {}", said.err);
    }
    let said = lockkeeper(&["select", "--offline", "nginx"], "");
    assert!(said.code == 2 && said.err.contains("--tags"), "{}", said.err);
    let said = lockkeeper(&["select"], "");
    assert!(said.code == 2 && said.err.contains("name the repository"), "{}", said.err);
}

#[test]
fn every_order_is_there() {
    let numbers = "9\n10\n007\nlatest\n";
    assert_eq!(chosen(&["--numerical", "asc"], numbers), json!({"tag": "10", "version": "10"}));
    assert_eq!(chosen(&["--numerical", "desc"], numbers), json!({"tag": "007", "version": "007"}));
    assert_eq!(chosen(&["--alphabetical", "asc"], "a\nB\nc\n")["tag"], "c");
    assert_eq!(chosen(&["--alphabetical", "desc"], "a\nB\nc\n")["tag"], "B");
    assert_eq!(chosen(&["--digest", "latest"], "1.0\nlatest\n")["tag"], "latest");
    let builds = json!([
        {"tag": "main-1", "created": "2026-03-01T00:00:00Z"}, {"tag": "main-2", "created": "2026-01-01T00:00:00Z"},
        {"tag": "main-3"}, {"tag": "main-4", "created": "1970-01-01T00:00:00Z"},
        {"tag": "main-5", "created": "9999-01-01T00:00:00Z"}, {"tag": "v1", "created": "2026-04-01T00:00:00Z"},
    ]);
    let said = select(&["--newest-build", "--filter", "^main-", "--offline"], &builds.to_string());
    let answer = said.json();
    assert_eq!(answer["chosen"], json!({"tag": "main-1", "version": "2026-03-01T00:00:00Z"}));
    let undated = answer["tags"].as_array().unwrap().iter().filter(|tag| tag["reason"] == "NoBuildDate");
    assert_eq!(
        undated.map(|tag| tag["tag"].as_str().unwrap()).collect::<Vec<_>>(),
        ["main-5", "main-4", "main-3"]
    );
    let said = select(&["--newest-build", "--offline"], "a\nb\n");
    assert_eq!(said.code, 3, "without dates nothing is the newest build: {}", said.out);
    assert_eq!(
        chosen(&["--ignore", "^2", "--filter", "^v?(.*)-x$", "--extract", "$1"], "2.0-x\nv1.1-x\n1.9\n")["tag"],
        "v1.1-x"
    );
}

#[test]
fn what_is_too_young_says_until_when() {
    let says = |tags: &str| {
        let said = select(&["--semver", "*", "--minimum-release-age", "72h", "--offline"], tags);
        let answer = said.json();
        // The age holds stages back: what is chosen is the same.
        assert_eq!(answer["chosen"]["tag"], "1.1", "{}", said.err);
        answer["tags"][0]["message"].as_str().unwrap_or_default().to_owned()
    };
    let dated = |created: &str| json!([{"tag": "1.0"}, {"tag": "1.1", "created": created}]).to_string();
    let says_until = says(&dated("2999-01-01T00:00:00Z"));
    assert!(says_until.contains("too young until 2999-01-04T00:00:00Z"), "{says_until}");
    assert!(says(&dated("2020-01-01T00:00:00Z")).contains("old enough"));
    let unknown = says("1.0\n1.1\n");
    assert!(unknown.contains("no stage takes it before the controller has known it for 72h"), "{unknown}");
    let wrong = select(&["--semver", "*", "--minimum-release-age", "-1h"], "1.0\n");
    assert_eq!(wrong.code, 2, "{}", wrong.err);
}

#[test]
fn a_policy_s_file_selects_as_the_policy_would() {
    let file = std::env::temp_dir().join(format!("lockkeeper-select-{}.yaml", std::process::id()));
    let policy = |select: &str| {
        format!(
            "apiVersion: lockkeeper.dev/v1alpha1\nkind: ImagePolicy\nmetadata: {{name: otel, namespace: platform}}\nspec:\n  \
             image: ghcr.io/example/app\n  select: {select}\n  stages:\n  - {{name: dev, targets: [{{pods: {{selector: \
             {{matchLabels: {{a: b}}}}}}}}]}}\n"
        )
    };
    let path = file.display().to_string();
    let with = |select: &str| {
        std::fs::write(&file, policy(select)).expect("a temporary file");
        lockkeeper(&["select", "-f", &path, "--tags", "-", "-o", "json", "--offline"], "1.0\n1.1\n2.0\n")
    };
    let said = with("{semver: {range: 1.x}, ignoreTags: ['1$']}");
    assert_eq!((said.code, said.json()["chosen"]["tag"].as_str()), (0, Some("1.0")), "{}", said.err);
    assert_eq!(with("{numerical: {order: desc}}").json()["chosen"]["tag"], "1.0");
    let wrong = with("{semver: {range: '>=1.0 <0.9'}}");
    assert!(wrong.code == 2 && wrong.err.contains("spec.select.semver.range"), "{}", wrong.err);
    let typo = with("{semvr: {range: '*'}}");
    assert!(typo.code == 2 && typo.err.contains("semver"), "{}", typo.err);
    let both = lockkeeper(&["select", "-f", &path, "--semver", "*", "--tags", "-"], "");
    assert!(both.code == 2 && both.err.contains("cannot be used with"), "{}", both.err);
    std::fs::remove_file(&file).expect("it was there");
}

#[test]
fn what_is_quarantined_is_passed_over_without_a_registry_by_the_tags_that_are_named() {
    let flags = ["--semver", "*", "--offline", "--quarantined", "1.2"];
    let said = select(&flags, "1.0\n1.1\n1.2\n");
    let answer = said.json();
    assert_eq!((said.code, answer["chosen"]["tag"].as_str()), (0, Some("1.1")), "{}", said.err);
    assert_eq!(answer["tags"][0]["reason"], "Quarantined", "{answer}");
    assert!(answer["tags"][0]["message"].as_str().unwrap().contains("--quarantined 1.2 says so"), "{answer}");
    // A digest names no tag here: that nobody looked is said, not hidden.
    let said = select(&["--semver", "*", "--offline", "--quarantined", D], "1.0\n");
    assert!(
        said.code == 0 && said.err.contains(D) && said.err.contains("no registry is asked"),
        "{}",
        said.err
    );
    let all = select(&["--semver", "*", "--quarantined", "1.0", "--quarantined", "1.1"], "1.0\n1.1\n");
    assert_eq!((all.code, &all.json()["chosen"]), (3, &Value::Null), "{}", all.err);
    for (text, part) in [("sha256:1", "64 hex digits"), (".x", "--quarantined")] {
        let said = select(&["--semver", "*", "--quarantined", text], "1.0\n");
        assert!(said.code == 2 && said.err.contains(part), "{text}: {}", said.err);
    }
}

#[test]
fn a_quarantine_beside_the_policy_is_obeyed_with_its_own_reason() {
    let file = std::env::temp_dir().join(format!("lockkeeper-held-{}.yaml", std::process::id()));
    let text = format!(
        "apiVersion: lockkeeper.dev/v1alpha1\nkind: ImagePolicy\nmetadata: {{name: otel, namespace: platform}}\nspec:\n  \
         image: ghcr.io/example/app\n  select: {{semver: {{range: '*'}}}}\n  stages:\n  - {{name: dev, targets: [{{pods: \
         {{selector: {{matchLabels: {{a: b}}}}}}}}]}}\n---\napiVersion: v1\nkind: List\nitems:\n\
         - {{apiVersion: lockkeeper.dev/v1alpha1, kind: Quarantine, metadata: {{name: bad-one, namespace: platform}},\n   \
         spec: {{tag: '1.1', digest: '{D}', reason: CrashLoop, policy: otel}}}}\n"
    );
    std::fs::write(&file, text).expect("a temporary file");
    let path = file.display().to_string();
    let said = lockkeeper(&["select", "-f", &path, "--tags", "-", "-o", "json", "--offline"], "1.0\n1.1\n");
    std::fs::remove_file(&file).expect("it was there");
    let answer = said.json();
    assert_eq!((said.code, answer["chosen"]["tag"].as_str()), (0, Some("1.0")), "{}", said.err);
    let message = answer["tags"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("CrashLoop; `kubectl delete quar bad-one` would release it"), "{answer}");
}

#[test]
fn the_table_has_a_line_for_every_tag() {
    let said = lockkeeper(&["select", "--tags", "-", "--semver", "*"], "1.0\nlatest\n2.0\n");
    let first: Vec<&str> = said.out.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!((said.code, first), (0, vec!["TAG", "2.0", "1.0", "latest"]), "{}", said.out);
}

#[test]
fn published_lists_give_the_expected_pick() {
    for (list, flags, pick) in [
        ("redis", &["--semver", "*"][..], "7.0.12"),
        ("redis", &["--semver", "6.x"], "6.2.13"),
        ("redis", &["--semver", "~6.0"], "6.0.20"),
        // Without a pattern a variant is a prerelease, and bookworm comes after alpine.
        ("redis", &["--semver", ">=7.0-0"], "7.2-rc3-bookworm"),
        (
            "redis",
            &["--semver", "*", "--filter", r"^(\d+\.\d+\.\d+)-alpine$", "--extract", "$1"],
            "7.0.12-alpine",
        ),
        (
            "redis",
            &["--semver", "*", "--filter", r"^(.+)-alpine3\.18$", "--extract", "$1", "--ignore", "rc"],
            "7.0.12-alpine3.18",
        ),
        ("nginx", &["--semver", "*"], "1.21.1"),
        ("nginx", &["--semver", "1.20.x"], "1.20.1"),
        (
            "nginx",
            &["--semver", "*", "--filter", "^([0-9.]+)-alpine-perl$", "--extract", "$1"],
            "1.21.1-alpine-perl",
        ),
        ("nginx", &["--alphabetical", "desc"], "1"),
        ("debian", &["--numerical", "asc"], "13.3"),
        ("debian", &["--numerical", "desc"], "11"),
        ("debian", &["--semver", ">=12 <13"], "12.13"),
        (
            "debian",
            &["--alphabetical", "asc", "--filter", r"^trixie-(\d{8})$", "--extract", "$1"],
            "trixie-20260202",
        ),
        (
            "debian",
            &["--numerical", "asc", "--filter", r"^[a-z]+-(\d{8})$", "--extract", "$1"],
            "unstable-20260202",
        ),
        // 12 named a beta then, and says so nowhere: only its form, or a pattern, keeps it out.
        ("postgres", &["--semver", "*"], "12"),
        ("postgres", &["--semver", "*", "--filter", r"^\d+\.\d+$"], "11.5"),
        ("postgres", &["--semver", ">=11 <12"], "11.5"),
        ("postgres", &["--semver", "9.x"], "9.6.15"),
        // 10.10 comes after 10.9 as a version, and is 10.1 as a number.
        ("postgres", &["--numerical", "asc", "--filter", r"^(?:10|9)(?:\.\d+)?$"], "10.10"),
        ("eclipse-temurin", &["--semver", "*"], "21"),
        (
            "eclipse-temurin",
            &["--semver", "*", "--filter", r"^(\d+\.\d+\.\d+)_(\d+)-jdk$", "--extract", "$1+$2"],
            "21.0.4_7-jdk",
        ),
        (
            "eclipse-temurin",
            &["--semver", "17.x", "--filter", r"^(\d+\.\d+\.\d+)_\d+-jdk-alpine$", "--extract", "$1"],
            "17.0.11_9-jdk-alpine",
        ),
        (
            "eclipse-temurin",
            &["--numerical", "asc", "--filter", r"^8u(\d+)-b\d+-jdk$", "--extract", "$1"],
            "8u412-b08-jdk",
        ),
    ] {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/listings/{list}.txt"));
        let file = file.display().to_string();
        let mut args = vec!["select", "--offline", "-o", "json", "--tags", file.as_str()];
        args.extend(flags);
        let said = lockkeeper(&args, "");
        assert_eq!(said.code, 0, "{list} {flags:?}: {}", said.err);
        assert_eq!(said.json()["chosen"]["tag"], pick, "{list} {flags:?}");
    }
}

const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn references_are_normalised_one_object_a_line() {
    let both = format!("Registry.Example.com:5000/a/b:1.2@{D}");
    let sha512 = format!("nginx@sha512:{}", "ab".repeat(64));
    let cases = [
        ("nginx", "docker.io", "library/nginx", None, None),
        ("docker.io/nginx:1", "docker.io", "library/nginx", Some("1"), None),
        ("index.docker.io/library/nginx:1", "docker.io", "library/nginx", Some("1"), None),
        ("registry-1.docker.io/a/b:v1.2.3", "docker.io", "a/b", Some("v1.2.3"), None),
        ("localhost/a", "localhost", "a", None, None),
        ("[::1]:5000/a:1", "[::1]:5000", "a", Some("1"), None),
        (both.as_str(), "registry.example.com:5000", "a/b", Some("1.2"), Some(D)),
        (
            sha512.as_str(),
            "docker.io",
            "library/nginx",
            None,
            sha512.split_once('@').map(|(_, digest)| digest),
        ),
    ];
    let blake3 = format!("nginx:1.2@blake3:{}", "ab".repeat(32));
    let registered = lockkeeper(&["resolve", "--offline", "-o", "json", &blake3], "");
    assert_eq!(registered.lines()[0]["canonical"], format!("docker.io/library/{blake3}"));
    assert_eq!(registered.lines()[0]["tag"], "1.2");
    // Nobody here could tell whether an answer is that.
    let online = lockkeeper(&["resolve", "-o", "json", &blake3], "");
    assert!(online.code == 1 && online.err.contains("use the sha256 digest"), "{}", online.err);
    let mut args = vec!["resolve", "--offline", "-o", "json"];
    args.extend(cases.iter().map(|case| case.0));
    let said = lockkeeper(&args, "");
    assert_eq!(said.code, 0, "{}", said.err);
    for (line, (input, registry, repository, tag, digest)) in said.lines().iter().zip(&cases) {
        let written = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
        let pinned = digest.map(|digest| format!("@{digest}")).unwrap_or_default();
        let canonical = format!("{registry}/{repository}{written}{pinned}");
        assert_eq!(
            *line,
            json!({"input": input, "registry": registry, "repository": repository, "tag": tag, "digest": digest,
                   "canonical": canonical})
        );
        // What is normalised stays as it is.
        let again = lockkeeper(&["resolve", "--offline", "-o", "json", &canonical], "");
        assert_eq!(again.lines()[0]["canonical"], canonical);
    }
    assert_eq!(said.lines().len(), cases.len());
    let piped = lockkeeper(&["resolve", "--offline", "-o", "json", "-"], "nginx\nghcr.io/a/b:1\n");
    assert_eq!(
        piped.lines().iter().map(|line| line["registry"].clone()).collect::<Vec<_>>(),
        ["docker.io", "ghcr.io"]
    );
}

#[test]
fn what_is_no_reference_has_a_position_and_a_reason_and_stops_no_other() {
    let said = lockkeeper(
        &[
            "resolve",
            "--offline",
            "-o",
            "json",
            "ghcr.io/My/app",
            "nginx",
            "robot:s3cret@ghcr.io/a",
            "a@md5:00",
        ],
        "",
    );
    let lines = said.lines();
    assert_eq!((said.code, lines.len()), (2, 4));
    assert_eq!(lines[0]["error"]["position"], 9);
    assert!(lines[0]["error"]["reason"].as_str().unwrap().contains("lower case"), "{}", lines[0]);
    assert_eq!(lines[1]["canonical"], "docker.io/library/nginx");
    assert!(lines[3]["error"]["reason"].as_str().unwrap().contains("supported are"), "{}", lines[3]);
    assert!(!said.out.contains("s3cret") && !said.err.contains("s3cret"), "{}{}", said.out, said.err);
    let said = lockkeeper(&["resolve", "--offline", "nginx:la test"], "");
    assert!(said.code == 2 && said.out.is_empty() && said.err.contains("at character 9"), "{}", said.err);
}
