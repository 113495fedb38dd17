//! Every word that people see is in a table of `conditions/words/`, every word of the tables is used, and the pages of the
//! reference are made from them: `UPDATE=1 cargo test -p lockkeeper-core --test reference` writes the pages.

mod sources;

use lockkeeper_core::conditions::{EVENTS, TABLES, Word};
use sources::{repository, sources};
use std::{collections::BTreeMap, fmt::Write as _, fs};

/// Words in capitals that are literals in the core and the controller and that no condition or event carries.
const OTHERS: &[&str] = &[
    // Values of conditions.
    "True",
    "False",
    "Unknown",
    // A category in the log of git, beside `GitFailed`.
    "HostKeyUnknown",
    // How a forge merges by itself: values of a field.
    "Merge",
    "Rebase",
    "Squash",
    // A file's name, and who commits.
    "Kustomization",
    "Lockkeeper",
    // What the end of a log, and a kubelet, call a death.
    "Error",
    "Exception",
    "OOMKilled",
    // Names of types, for `Debug`.
    "Digest",
    "ImageRef",
    "Platform",
    "Repository",
    "Tag",
    // What Kubernetes and its kubelet call things.
    "AdmissionReview",
    "Always",
    "ClusterRole",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "CronJob",
    "DaemonSet",
    "Deployment",
    "DoesNotExist",
    "ErrImageNeverPull",
    "ErrImagePull",
    "Exists",
    "Failed",
    "ImagePullBackOff",
    "InvalidImageName",
    "JSONPatch",
    "Job",
    "Lease",
    "NamespaceTerminating",
    "Never",
    "Normal",
    "NotIn",
    "OnDelete",
    "OnFailure",
    "Opaque",
    "Pod",
    "RegistryUnavailable",
    "ReplicaSet",
    "RunContainerError",
    "Running",
    "Secret",
    "SelfSubjectAccessReview",
    "StatefulSet",
    "SubjectAccessReview",
    "Succeeded",
    "Terminating",
    "Warning",
    // Our kinds, and what a refusal is about.
    "ImagePin",
    "ImagePolicy",
    "Quarantine",
    "Template",
    // The interface of AWS's token service.
    "AccessKeyId",
    "Action",
    "AssumeRoleWithWebIdentity",
    "Code",
    "RoleArn",
    "RoleSessionName",
    "SecretAccessKey",
    "SessionToken",
    "Version",
    "WebIdentityToken",
    // The interface of CloudWatch, and what its errors are called.
    "AccessDenied",
    "Authorization",
    "Complete",
    "Dimensions",
    "EndTime",
    "Expiration",
    "Expression",
    "Metric",
    "MetricDataQueries",
    "MetricName",
    "MetricStat",
    "MissingAuthentication",
    "Name",
    "Namespace",
    "Period",
    "ReturnData",
    "Signature",
    "StartTime",
    "Stat",
    "Token",
    "UnrecognizedClient",
    "Value",
    // What a webhook of a signal is sent and may answer: docs/guides/signals.md.
    "Degraded",
    "Healthy",
    "Inconclusive",
    "SignalRequest",
    // A Job, and how it ends.
    "DisruptionTarget",
    "FailJob",
    "Ignore",
    "PodFailurePolicy",
    // A kind of the API server.
    "TokenRequest",
    // Names of other programs.
    "Flux",
    // What those who tell people call things, and what we are called there.
    "AdaptiveCard",
    "Bolder",
    "Default",
    "Full",
    "Lockkeeper",
    "LockkeeperStageInTrouble",
    "Medium",
    "Monospace",
    "RichTextBlock",
    "TextRun",
];

/// `"Word"`: a capital, then letters, at least four in all, with a small one among them.
fn words(line: &str) -> Vec<&str> {
    let is_word = |text: &&str| {
        text.len() >= 3
            && text.starts_with(|c: char| c.is_ascii_uppercase())
            && text.chars().all(|c| c.is_ascii_alphabetic())
            && text.chars().any(|c| c.is_ascii_lowercase())
    };
    // Between two quotation marks: every odd part of the line.
    line.split('"').skip(1).step_by(2).filter(is_word).collect()
}

/// Every such word in the code of the core and the controller, with the first place.
fn used() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for source in ["controller/core/src", "controller/src"].iter().flat_map(|folder| sources(folder)) {
        // The command line shows what is there and has headings of its own; it gives no reasons.
        if source.is_test()
            || source.path.contains("core/src/conditions")
            || source.path.starts_with("controller/src/cli/")
        {
            continue;
        }
        for (number, line) in source.code() {
            let line = line.trim_start();
            if line.starts_with("//") || line.starts_with("#[") || line.contains("debug_struct(") {
                continue;
            }
            for word in words(line) {
                found.entry(word.to_owned()).or_insert_with(|| format!("{}:{number}", source.path));
            }
        }
    }
    assert!(found.contains_key("Quarantined") && found.len() > 50, "the sources were not read: {found:?}");
    found
}

fn documented() -> impl Iterator<Item = &'static Word> {
    TABLES.iter().flat_map(|table| table.words).chain(EVENTS)
}

#[test]
fn every_word_of_the_code_is_documented() {
    let unknown: Vec<String> = used()
        .into_iter()
        .filter(|(word, _)| !OTHERS.contains(&word.as_str()) && !documented().any(|d| d.name == word))
        .map(|(word, place)| format!("{place}: {word}"))
        .collect();
    assert!(
        unknown.is_empty(),
        "people may see these words: put each into a table of controller/core/src/conditions/words/, or, if nobody sees \
         it as a reason, into OTHERS here:\n{}\n",
        unknown.join("\n")
    );
}

#[test]
fn every_documented_word_is_in_the_code() {
    let used = used();
    let dead: Vec<&str> = documented().map(|d| d.name).filter(|name| !used.contains_key(*name)).collect();
    assert!(dead.is_empty(), "documented, and nowhere in the code: {dead:?}");
    let dead: Vec<&&str> = OTHERS.iter().filter(|name| !used.contains_key(**name)).collect();
    assert!(dead.is_empty(), "in OTHERS, and nowhere in the code: {dead:?}");
}

#[test]
fn no_table_has_a_word_twice() {
    for words in TABLES.iter().map(|t| t.words).chain([EVENTS]) {
        for (index, word) in words.iter().enumerate() {
            assert!(!words[..index].iter().any(|w| w.name == word.name), "{} is there twice", word.name);
        }
    }
}

#[test]
fn the_pages_are_up_to_date() {
    page("docs/reference/conditions.md", &conditions_page());
    page("docs/reference/events.md", &events_page());
}

#[test]
fn the_index_of_decisions_is_up_to_date() {
    let mut text = String::from(
        "# Decisions\n\nWhat was decided where the design left a choice, with its reasons. A newer one that replaces an \
         older one says so. This list is made by `make docs`.\n\n",
    );
    let mut numbers = BTreeMap::new();
    for path in sources::files("docs/adr", "md").iter().filter(|path| !path.ends_with("README.md")) {
        let decision = fs::read_to_string(repository().join(path)).expect("a file that was listed");
        let name = path.rsplit('/').next().unwrap_or_default();
        let number = name.split('-').next().unwrap_or_default();
        let title = decision.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a title first");
        let title = title.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches(". ");
        writeln!(text, "- [{number}]({name}) {title}").expect("a string grows");
        if let Some(other) = numbers.insert(number.to_owned(), name.to_owned()) {
            panic!("{name} and {other} have one number");
        }
    }
    page("docs/adr/README.md", &text);
}

/// Compares a page with what it should be, or writes it.
fn page(path: &str, text: &str) {
    let file = repository().join(path);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, text).expect("the documentation can be written");
        return;
    }
    let now = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        now == text,
        "{path} is out of date; run: UPDATE=1 cargo test -p lockkeeper-core --test reference"
    );
}

const MADE: &str = "Made from `controller/core/src/conditions/words/` by `make docs`; not edited by hand.\n";

fn conditions_page() -> String {
    let mut text = format!("# Conditions, phases and reasons\n\n{MADE}");
    for table in TABLES.iter().filter(|t| !t.words.is_empty()) {
        write!(text, "\n## {}\n\nSeen in {}.\n\n", table.title, table.seen).expect("a string grows");
        rows(&mut text, table.words);
    }
    text
}

fn events_page() -> String {
    let mut text = format!(
        "# Events\n\n{MADE}\nEach is a Kubernetes Event on the policy and an entry of `status.history` (newest 50), except `LeaderElected`, \
         which is on the Lease alone. What is done to a workload is told on it, too, in its own namespace: `Adopted`, \
         `PromotionStarted`, `RolledBack` and `DriftDetected`, once per attempt and workload however many pods it \
         has, and on at most 50 workloads per attempt.\n\n"
    );
    rows(&mut text, EVENTS);
    text
}

fn rows(text: &mut String, words: &[Word]) {
    let with_then = words.iter().any(|w| !w.then.is_empty());
    text.push_str(if with_then {
        "| word | means | what ends it, or what to do |\n|---|---|---|\n"
    } else {
        "| word | means |\n|---|---|\n"
    });
    for Word { name, means, then } in words {
        let line = if with_then {
            format!("| `{name}` | {means} | {then} |\n")
        } else {
            format!("| `{name}` | {means} |\n")
        };
        text.push_str(&line);
    }
}
