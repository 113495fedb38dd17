//! The pages of the reference that are made from the program: its metrics and its flags.
//! `UPDATE=1 cargo test -p lockkeeper --test reference` writes them.

use jiff::{SignedDuration, Timestamp};
use lockkeeper::{
    ports::{Backlog, EffectError, PolicyKey, TrustedRoot, WatchState},
    telemetry::Metrics,
};
use lockkeeper_core::{
    decision::Action,
    observed::{ClusterId, ObjectKey},
    status::{StageStatus, Status},
};
use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path, process::Command, time::Duration};

#[test]
fn the_page_of_metrics_is_up_to_date() {
    let text = driven();
    let mut page = String::from(
        "# Metrics\n\nMade from the program by `make docs`; not edited by hand.\n\n\
         `/metrics` answers in OpenMetrics, or in the text format of Prometheus to who asks for `text/plain` alone. What the values of `kind`, `outcome`, `category` and `phase` mean is in \
         [conditions.md](conditions.md).\n\n| metric | type | labels | what it says |\n|---|---|---|---|\n",
    );
    let mut families = 0;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) else {
            continue;
        };
        let kind = lines.next().and_then(|l| l.rsplit_once(' ')).map_or("", |(_, kind)| kind);
        // The first series that follows: its name has the type's ending, its labels are the family's.
        let series = lines.find(|l| l.starts_with(name)).expect("a family that was driven has a series");
        let labels = labels(series);
        let ending = if kind == "counter" { "_total" } else { "" };
        writeln!(page, "| `{name}{ending}` | {kind} | {labels} | {} |", help.trim_end_matches('.'))
            .expect("it grows");
        families += 1;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/telemetry");
    let sources = fs::read_dir(folder).expect("the sources are there");
    let sources = sources.map(|file| file.and_then(|file| fs::read_to_string(file.path())));
    let registered: usize =
        sources.map(|source| source.expect("a source is text").matches("r.register(").count()).sum();
    assert_eq!(
        families, registered,
        "every metric that is registered has to be driven in this test:\n{text}"
    );
    up_to_date("docs/reference/metrics.md", &page);
}

/// Every family with at least one series.
fn driven() -> String {
    let metrics = Metrics::new();
    let key = PolicyKey { namespace: "platform".into(), name: "otel".into() };
    let stage = StageStatus { name: "prod".into(), ..StageStatus::default() };
    metrics.stages(&key, &Status { stages: vec![stage], ..Status::default() });
    let [idle, promoting, taking_back] = three_statuses();
    metrics.stages(&key, &promoting);
    metrics.stored(&key, &idle, &promoting);
    metrics.stored(&key, &promoting, &taking_back);
    metrics.stored(&key, &taking_back, &idle);
    metrics.queue(Backlog::default());
    metrics.pass("ok", 0.01);
    metrics.pass_error("Observe");
    let action = Action::DeletePin {
        key: ObjectKey {
            cluster: ClusterId::default(),
            namespace: "prod".into(),
            name: "p".into(),
            uid: "u".into(),
        },
        resource_version: "1".into(),
        stage: "prod".into(),
    };
    metrics.effect(&action, Ok(()));
    metrics.status_write(Err(&EffectError::Fenced));
    metrics.registry_request("tags", None);
    metrics.api_request("list", "pods".into(), "2xx");
    metrics.hook("hub", "accepted");
    metrics.notified("slack", "delivered");
    metrics.leads(true);
    metrics.lease(1, Duration::from_secs(2));
    metrics.orphaned_pins(1);
    metrics.birth_pinning(None);
    metrics.scanned("ghcr.io/a/b", Timestamp::UNIX_EPOCH);
    metrics.trusted_root(TrustedRoot { source: "bundled", since: Timestamp::UNIX_EPOCH });
    let watch = WatchState { kind: "Pod".into(), synced: true, stale_since: None };
    let now = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1);
    metrics.render(&[watch], now).expect("metrics are text")
}

#[test]
fn alerts_and_dashboard_name_only_metrics_and_labels_that_exist() {
    let text = driven();
    let series = || text.lines().filter(|line| !line.starts_with('#'));
    let names: BTreeSet<&str> = series().filter_map(|line| line.split([' ', '{']).next()).collect();
    // What Prometheus itself adds, and the buckets' label.
    let mut known = BTreeSet::from(["le".to_owned(), "instance".to_owned()]);
    for line in series() {
        known.extend(labels(line).split(", ").map(|label| label.trim_matches('`').to_owned()));
    }
    for file in ["alerts.yaml", "dashboard.json"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/lockkeeper/files").join(file);
        let content = fs::read_to_string(path).expect("the file is there");
        // JSON is YAML, too.
        let content: serde_json::Value = serde_saphyr::from_str(&content).expect("it is YAML");
        let expressions = strings(&content, "expr");
        assert!(expressions.len() > 8, "{file}: {expressions:?}");
        for expression in expressions {
            let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
            for name in expression.split(word).filter(|name| name.starts_with("lockkeeper_")) {
                assert!(names.contains(name), "{file}: there is no metric {name}: {expression}");
            }
            for list in expression.split("by (").skip(1).filter_map(|rest| rest.split(')').next()) {
                for label in list.split(", ") {
                    assert!(known.contains(label), "{file}: there is no label {label}: {expression}");
                }
            }
        }
    }
}

/// All texts of fields of that name, wherever they are.
fn strings(value: &serde_json::Value, field: &str) -> Vec<String> {
    match value {
        serde_json::Value::Array(all) => all.iter().flat_map(|one| strings(one, field)).collect(),
        serde_json::Value::Object(all) => all
            .iter()
            .flat_map(|(name, one)| match one.as_str() {
                Some(text) if name == field => vec![text.to_owned()],
                _ => strings(one, field),
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// A stage with a verified release, with one in flight, and with that one being taken back.
fn three_statuses() -> [Status; 3] {
    let status = |more: &str| {
        let stage =
            format!("{{\"name\": \"prod\", \"phase\": \"Idle\", \"since\": \"2026-11-22T01:00:00Z\"{more}}}");
        let stage: StageStatus = serde_json::from_str(&stage).expect("a status");
        Status { stages: vec![stage], ..Status::default() }
    };
    let release = format!("{{\"digest\": \"sha256:{}\"}}", "0".repeat(64));
    let then = "\"2026-11-22T00:00:00Z\"";
    [
        status(&format!(
            ", \"verified\": [{{\"release\": {release}, \"source\": \"Verified\", \"at\": {then}, \"hash\": \"\"}}]"
        )),
        status(&format!(
            ", \"flight\": {{\"release\": {release}, \"attempt\": \"a\", \"entered\": {then}, \"step\": \"all\", \
             \"stepSince\": {then}, \"readyAtEntry\": 1, \"unreadyAtEntry\": 0, \"healthySeconds\": 0}}"
        )),
        status(&format!(
            ", \"rollback\": {{\"bad\": {release}, \"attempt\": \"r\", \"since\": {then}, \"reason\": \"CrashLoop\", \
             \"message\": \"\", \"quarantine\": \"q\"}}"
        )),
    ]
}

/// The names of a series' labels.
fn labels(series: &str) -> String {
    let Some((_, rest)) = series.split_once('{') else { return String::new() };
    let inside = rest.split_once('}').map_or(rest, |(inside, _)| inside);
    let names = inside.split("\",").filter_map(|pair| pair.split_once('=')).map(|(name, _)| name);
    names.filter(|name| *name != "le").map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_page_of_flags_is_up_to_date() {
    let mut page = String::from(
        "# Commands and flags\n\nMade from the program by `make docs`; not edited by hand. Installed as \
         `kubectl-lockkeeper`, the same commands are `kubectl lockkeeper …`.\n",
    );
    let top = help(&[]);
    writeln!(page, "\n```text\n{}\n```", top.trim_end()).expect("it grows");
    let commands = top.lines().skip_while(|l| *l != "Commands:").skip(1).take_while(|l| !l.is_empty());
    let names: Vec<&str> =
        commands.filter(|l| !l.starts_with("     ")).filter_map(|l| l.split_whitespace().next()).collect();
    assert!(names.contains(&"run"), "{top}");
    for name in names.into_iter().filter(|name| *name != "help") {
        writeln!(page, "\n## lockkeeper {name}\n\n```text\n{}\n```", help(&[name]).trim_end())
            .expect("it grows");
    }
    up_to_date("docs/reference/flags.md", &page);
}

#[test]
fn the_page_of_exit_codes_is_up_to_date() {
    let mut page = String::from(
        "# Exit codes\n\nMade from the program by `make docs`; not edited by hand. They are the same for every command and \
         never change their meaning.\n\n| code | means | then |\n|---|---|---|\n",
    );
    for code in lockkeeper::cli::exit::CODES {
        writeln!(page, "| {} | {} | {} |", code.number, code.means, code.then).expect("it grows");
    }
    up_to_date("docs/reference/exit-codes.md", &page);
}

/// What `lockkeeper COMMAND --help` prints.
fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_lockkeeper"))
        .args(command)
        .arg("--help")
        // Help shows the values of variables.
        .env_clear()
        .output()
        .expect("the program runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("help is UTF-8");
    text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// Compares a page with what it should be, or writes it.
fn up_to_date(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, text).expect("the documentation can be written");
        return;
    }
    let now = fs::read_to_string(&file).unwrap_or_default();
    assert!(now == text, "{path} is out of date; run: UPDATE=1 cargo test -p lockkeeper --test reference");
}
