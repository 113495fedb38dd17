//! The rules that the shape of the code keeps: who may import whom, what the core may depend on, how long files are.
//!
//! They read the sources of the whole workspace; they live here because the core is built first.

mod sources;

use sources::{Source, repository, sources};
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

/// Lines of a file without its tests.
const MOST_LINES: usize = 400;

/// Lines of a function; about 60 is meant.
const MOST_LINES_OF_A_FUNCTION: usize = 75;

/// Files that may be longer, and why.
const LONGER: &[(&str, &str)] = &[];

/// What is not a test, and the tests' harness.
const PROGRAM: &[&str] = &[
    "controller/src",
    "controller/core/src",
    "controller/api/src",
    "controller/edit/src",
    "controller/sim/src",
    "tests/src",
];

/// The modules of the controller, and what of ours each may use. `*` is the composition root.
const MAY_USE: &[(&str, &[&str])] = &[
    ("lib", &[]),
    ("main", &["*"]),
    ("cli", &["*"]),
    ("ports", &["lockkeeper_core"]),
    ("telemetry", &["ports", "lockkeeper_core"]),
    ("reconcile", &["ports", "telemetry", "lockkeeper_core", "lockkeeper_api"]),
    ("hosts", &["lockkeeper_core"]),
    ("election", &["ports", "telemetry"]),
    ("aws", &["ports", "lockkeeper_core"]),
    ("registry", &["ports", "hosts", "aws", "lockkeeper_core"]),
    ("signals", &["ports", "hosts", "aws", "signing", "lockkeeper_core"]),
    ("signing", &[]),
    ("notify", &["ports", "hosts", "signing", "lockkeeper_core"]),
    ("forges", &["ports", "hosts", "lockkeeper_core"]),
    ("git", &["ports", "hosts", "lockkeeper_core", "lockkeeper_edit"]),
    ("kubernetes", &["ports", "hosts", "lockkeeper_core", "lockkeeper_api"]),
    ("signatures", &["ports", "lockkeeper_core"]),
    ("webhook", &["ports", "lockkeeper_core", "lockkeeper_api"]),
    ("hooks", &["ports", "hosts", "telemetry", "lockkeeper_core"]),
    ("http", &["ports", "telemetry", "lockkeeper_core", "lockkeeper_api"]),
];

#[test]
fn the_controller_keeps_its_import_rules() {
    let may: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    for source in sources("controller/src").iter().filter(|s| !s.is_test()) {
        let module = source.top_module();
        let Some(allowed) = may.get(module) else {
            wrong.push(format!("{}: module {module} is not in MAY_USE of {}", source.path, file!()));
            continue;
        };
        if allowed.contains(&"*") {
            continue;
        }
        for (line, used) in source.modules_used() {
            if used != module && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{}:{line}: {module} may not use {used}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_api_and_the_simulated_world_use_only_the_core_and_the_tests_only_the_api() {
    for (folder, allowed) in [
        ("controller/core/src", &["lockkeeper_core"][..]),
        ("controller/api/src", &["lockkeeper_api", "lockkeeper_core"]),
        ("controller/edit/src", &["lockkeeper_edit", "lockkeeper_core"]),
        ("controller/sim/src", &["lockkeeper_sim", "lockkeeper_core"]),
        ("tests/src", &["e2e", "lockkeeper_api"]),
        ("tests/tests", &["e2e", "lockkeeper_api"]),
    ] {
        let ours =
            ["lockkeeper", "lockkeeper_core", "lockkeeper_api", "lockkeeper_edit", "lockkeeper_sim", "e2e"];
        for source in sources(folder) {
            for (line, used) in source.crates_used(&ours) {
                assert!(allowed.contains(&used), "{}:{line} uses {used}", source.path);
            }
        }
    }
}

#[test]
fn the_core_depends_on_nothing_that_does_io() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "-p", "lockkeeper-core", "-e", "normal", "--prefix", "none"])
        .current_dir(repository())
        .output()
        .expect("cargo runs, as it runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let tree: BTreeSet<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(tree.contains("jiff") && tree.contains("lockkeeper-core"), "{tree:?}");
    let forbidden =
        ["tokio", "kube", "kube-client", "k8s-openapi", "hyper", "reqwest", "rustls", "mio", "tracing"];
    let found: Vec<&&str> = forbidden.iter().filter(|name| tree.contains(**name)).collect();
    assert!(found.is_empty(), "the core depends on {found:?}");
}

#[test]
fn the_core_and_the_simulated_world_do_no_io() {
    let forbidden = [
        "std::fs",
        "TcpStream",
        "UdpSocket",
        "ToSocketAddrs",
        "std::env",
        "std::process",
        "std::thread",
        "std::io",
        "println!",
        "async fn",
    ];
    let mut wrong = Vec::new();
    let pure = ["controller/core/src", "controller/edit/src", "controller/sim/src"];
    for source in pure.iter().flat_map(|folder| sources(folder)).filter(|s| !s.is_test()) {
        for (number, line) in source.code() {
            if let Some(word) = forbidden.iter().find(|word| line.contains(**word)) {
                wrong.push(format!("{}:{number}: {word}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut wrong = Vec::new();
    let gone = LONGER.iter().filter(|(path, _)| !repository().join(path).exists());
    wrong.extend(gone.map(|(path, _)| format!("{path} does not exist; take it out of LONGER")));
    for source in PROGRAM.iter().flat_map(|folder| sources(folder)).filter(|s| !s.is_test()) {
        let lines = source.code().count();
        let longer = LONGER.iter().any(|(path, _)| *path == source.path);
        if lines > MOST_LINES && !longer {
            wrong.push(format!(
                "{} has {lines} lines; split it by meaning, or give a reason in LONGER",
                source.path
            ));
        }
        if lines <= MOST_LINES && longer {
            wrong.push(format!("{} is short enough; take it out of LONGER", source.path));
        }
        if !source.text.starts_with("//! ") {
            wrong.push(format!(
                "{} does not begin with what it guarantees, assumes and may not do (`//!`)",
                source.path
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn functions_are_short() {
    let mut wrong = Vec::new();
    for source in PROGRAM.iter().flat_map(|folder| sources(folder)).filter(|s| !s.is_test()) {
        for (line, name, lines) in source.functions() {
            if lines > MOST_LINES_OF_A_FUNCTION {
                wrong.push(format!(
                    "{}:{line}: fn {name} has {lines} lines; split it by meaning",
                    source.path
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here so that this file does not find itself.
    let marks = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["todo", "!("].concat(),
        ["unimplemented", "!("].concat(),
    ];
    let all = ["controller", "tests"];
    let mut wrong = Vec::new();
    for source in all.iter().flat_map(|folder| sources(folder)) {
        for (number, line) in source.text.lines().enumerate() {
            if let Some(mark) = marks.iter().find(|mark| line.contains(mark.as_str())) {
                wrong.push(format!("{}:{}: {mark}", source.path, number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn links_in_the_documentation_lead_somewhere() {
    let mut wrong = Vec::new();
    let mut pages = sources::files("docs", "md");
    pages.extend(sources::files("tests", "md"));
    pages.push("README.md".to_owned());
    for page in pages {
        let text = std::fs::read_to_string(repository().join(&page)).expect("a page that was listed");
        let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
        for target in sources::links(&text) {
            let path = target.split('#').next().unwrap_or_default();
            if !repository().join(folder).join(path).exists() {
                wrong.push(format!("{page}: {target}"));
            }
        }
    }
    assert!(wrong.is_empty(), "these links lead nowhere:\n{}\n", wrong.join("\n"));
}

/// The rules themselves: they find what they are for.
mod the_rules {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn see_every_way_to_name_a_module() {
        let text = "//! x\nuse crate::{\n    ports::{Cluster, Fence},\n    registry::Client,\n};\nuse crate::hosts::HostKind;\n\
                    fn f() -> crate::http::Server { super::super::telemetry::log() }\n// crate::comment\n";
        let used: Vec<String> = source("controller/src/kubernetes/pods.rs", text)
            .modules_used()
            .into_iter()
            .map(|(_, m)| m)
            .collect();
        assert_eq!(used, ["ports", "registry", "hosts", "http", "telemetry"]);
    }

    #[test]
    fn see_the_crates_too() {
        let used = source(
            "controller/src/ports.rs",
            "use lockkeeper_api::spec;\nlet x = lockkeeper_core::decide;\n",
        )
        .modules_used();
        let used: Vec<String> = used.into_iter().map(|(_, m)| m).collect();
        assert_eq!(used, ["lockkeeper_api", "lockkeeper_core"]);
    }

    #[test]
    fn measure_functions() {
        let text = "//! x\nfn short() {\n    1\n}\ntrait T {\n    fn of(\n        &self,\n    ) -> u8;\n}\nimpl X {\n    \
                    pub(crate) async fn long(\n        self,\n    ) {\n        if x {\n        }\n    }\n}\n";
        let source = source("a/src/b.rs", text);
        assert_eq!(source.functions(), [(2, "short".to_owned(), 3), (11, "long".to_owned(), 6)]);
    }

    #[test]
    fn leave_tests_out() {
        let text = "//! x\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n    use crate::registry;\n}\n";
        assert_eq!(source("controller/src/ports.rs", text).modules_used(), []);
        assert_eq!(source("controller/src/ports.rs", text).code().count(), 3);
        assert!(source("controller/src/registry/tests/auth.rs", "").is_test());
        assert!(source("controller/src/registry/tests.rs", "").is_test());
        assert!(!source("tests/src/testing.rs", "").is_test());
    }
}
