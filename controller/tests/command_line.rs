//! The program as a process: readers that close a pipe, the names it may be installed under, completion, exit codes.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_lockkeeper"))
}

/// The program under another name.
fn installed_as(folder: &tempfile::TempDir, name: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::os::unix::fs::symlink(program(), &path).unwrap();
    path
}

#[test]
fn a_closed_pipe_is_no_panic_and_no_error() {
    // More than a pipe holds: the program is still writing when its reader goes.
    let mut child =
        Command::new(program()).arg("crd").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn nobody_has_to_read_what_a_command_says() {
    let incident = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/incident.yaml");
    for (args, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["get", "--no-such-flag"], 2),
        (&["get", "--kubeconfig", "/none"], 1),
        (&["completion", "zsh"], 0),
        (&["resolve", "--offline", "nginx"], 0),
        (&["resolve", "--offline", "-o", "json", "nginx"], 0),
        (&["select", "--tags", "-", "--semver", ">=1"], 3),
        (&["simulate", incident], 0),
        (&["simulate", incident, "-o", "json"], 0),
    ] {
        let mut child = Command::new(program())
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().unwrap().code(), Some(code), "{args:?}");
    }
}

#[test]
fn no_colours_where_no_terminal_reads() {
    let output = Command::new(program()).arg("get").arg("--help").output().unwrap();
    assert!(!output.stdout.contains(&0x1b) && !output.stdout.is_empty());
}

#[test]
fn as_a_kubectl_plugin_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let output =
        Command::new(installed_as(&folder, "kubectl-lockkeeper")).args(["get", "--help"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("Usage: kubectl lockkeeper get"), "{text}");
}

#[test]
fn kubectl_asks_the_completion_program_and_gets_candidates() {
    let folder = tempfile::tempdir().unwrap();
    let helper = installed_as(&folder, "kubectl_complete-lockkeeper");
    let asked = |words: &[&str]| {
        let output = Command::new(&helper).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let commands = asked(&["pl"]);
    assert!(commands.starts_with("plan\t") && commands.ends_with(":4\n"), "{commands}");
    // No cluster answers there: no names, and no complaint.
    assert_eq!(asked(&["get", "--kubeconfig", "/none", "ot"]), ":4\n");
}

#[test]
fn bash_completes_by_the_script_it_is_given() {
    let script = "COMP_WORDS=(lockkeeper comp); COMP_CWORD=1; COMP_TYPE=9; \
                  PATH=\"$BIN:$PATH\"; source <(lockkeeper completion bash); \
                  _clap_complete_lockkeeper lockkeeper comp lockkeeper; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let output = Command::new("bash")
        .args(["-c", script])
        .env("BIN", program().parent().unwrap())
        .output()
        .expect("bash is there");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.split_whitespace().any(|word| word == "completion"), "{text}\n{:?}", output.stderr);
}
