//! The controller as a process: it serves while it cannot reach its API server, and ends well when it is told to.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

/// A kubeconfig for an address where nobody listens.
const NOWHERE: &str = "apiVersion: v1
kind: Config
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
clusters: [{name: nowhere, cluster: {server: 'https://127.0.0.1:1'}}]
users: [{name: nobody, user: {token: none}}]
";

/// Starts it and waits until it serves; returns the process, the address and the rest of its log.
fn start(folder: &std::path::Path) -> (Child, String, BufReader<std::process::ChildStderr>) {
    let kubeconfig = folder.join("kubeconfig");
    std::fs::write(&kubeconfig, NOWHERE).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_lockkeeper"))
        .args(["run", "--http-addr", "127.0.0.1:0", "--kubeconfig"])
        .arg(&kubeconfig)
        .env("RUST_LOG", "info")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while log.read_line(&mut line).unwrap() > 0 {
        if let Ok(event) = serde_json::from_str::<serde_json::Value>(&line)
            && let Some(address) = event["address"].as_str()
        {
            return (child, address.to_owned(), log);
        }
        line.clear();
    }
    panic!("it ended before it served: {:?}", child.wait());
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn sigterm_and_sigint_end_it_with_status_0() {
    for signal in ["TERM", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let (mut child, address, mut log) = start(folder.path());
        let healthz = get(&address, "/healthz");
        assert!(
            healthz.starts_with("HTTP/1.1 200 "),
            "an API server that is away is no reason to restart: {healthz}"
        );
        let readyz = get(&address, "/readyz");
        assert!(
            readyz.starts_with("HTTP/1.1 503 ") && readyz.contains("waits for the first list of"),
            "{readyz}"
        );
        let metrics = get(&address, "/metrics");
        assert!(metrics.contains("lockkeeper_watch_synced{kind=\"Pods\"} 0"), "{metrics}");
        let killed = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let mut rest = String::new();
        log.read_to_string(&mut rest).unwrap();
        let status = child.wait().unwrap();
        assert!(status.success(), "{signal}: {status}\n{rest}");
        assert!(rest.contains("told to end"), "{rest}");
    }
}

#[test]
fn an_address_that_is_taken_is_an_error_that_names_the_flag() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, NOWHERE).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_lockkeeper"))
        .args(["run", "--http-addr", &address, "--kubeconfig"])
        .arg(&kubeconfig)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains(&format!("--http-addr {address}: cannot listen there")), "{error}");
}
