//! What git's complaints mean.
//!
//! Guarantees: every category is bounded and said with what to do; a push that may have landed is never taken for one that
//! was refused.

use super::program::{CallError, Printed};
use crate::ports::git::GitError;

/// What came of a push.
pub enum Pushed {
    /// The branch has the commit.
    Landed,
    /// The branch has moved, or nobody knows what became of it.
    Outrun(String),
    /// The server takes it from nobody, or not from us.
    Refused(String),
}

pub fn error(reason: &'static str, message: String) -> GitError {
    GitError { reason, message }
}

/// A read that failed.
#[allow(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
pub fn of_call(failed: CallError) -> GitError {
    let CallError::Failed { complaints, .. } = &failed else {
        let reason = if matches!(failed, CallError::TooLong { .. }) { "Unreachable" } else { "Failed" };
        return error(reason, failed.to_string());
    };
    let has = |words: &[&str]| words.iter().any(|word| complaints.contains(word));
    if has(&["REMOTE HOST IDENTIFICATION HAS CHANGED"]) {
        let what = "the server shows another host key than known_hosts of the Secret has: somebody may be in between, or \
                    the server was given a new one";
        error(
            "HostKeyUnknown",
            format!("{what}; nothing was sent. Ask its owner, and then put the new key there"),
        )
    } else if has(&["Host key verification failed", "No ED25519 host key is known", "host key is known for"])
    {
        let what = "known_hosts of the Secret has no key of this server; nothing was sent";
        let fix =
            "add the lines that ssh-keyscan prints for it, once they were compared with what its owner says";
        error("HostKeyUnknown", format!("{what}; {fix}"))
    } else if has(&["failed to sign", "failed to write commit object", "Couldn't load public key"]) {
        let fix = "the key identity of the Secret that signingSecretRef names must be a private key of ssh without a passphrase";
        error("AuthFailed", format!("the commit could not be signed: {complaints}; {fix}"))
    } else if has(&["cannot run ssh", "ssh: not found", "ssh: command not found"]) {
        let what =
            "the program ssh is not beside the controller; put it into the image (Debian: openssh-client)";
        error("Unreachable", what.to_owned())
    } else if has(&[
        "Permission denied (",
        "Authentication failed",
        "could not read Username",
        "returned error: 401",
        "returned error: 403",
    ]) {
        let fix = "the Secret that secretRef names must hold a credential that may read and push here";
        error("AuthFailed", format!("the server refused the credential: {complaints}; {fix}"))
    } else if has(&["couldn't find remote ref"]) {
        error("NotFound", format!("there is no such branch: {complaints}; correct `branch`, or create it"))
    } else if has(&["not found", "does not appear to be a git repository", "returned error: 404"]) {
        error("NotFound", format!("there is no such repository: {complaints}; correct `url`"))
    } else if has(&["certificate", "SSL", "gnutls"]) {
        let fix = "put the authority's certificate into the Secret's key ca.crt";
        error("TLSUntrusted", format!("the server's certificate is not trusted: {complaints}; {fix}"))
    } else if has(&[
        "unable to access",
        "Could not resolve",
        "Failed to connect",
        "Connection refused",
        "Connection closed",
        "Connection reset",
        "timed out",
        "hung up",
        "RPC failed",
    ]) {
        error("Unreachable", format!("the server does not answer: {complaints}"))
    } else {
        error("Failed", failed.to_string())
    }
}

/// What came of a push, by what git printed with `--porcelain`.
pub fn of_push(printed: &Printed) -> Pushed {
    if printed.status.success() {
        return Pushed::Landed;
    }
    let text = String::from_utf8_lossy(&printed.bytes);
    let line = text.lines().find(|line| line.starts_with('!')).unwrap_or_default();
    let summary: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    let why = format!("{summary} {}", printed.complaints).trim().to_owned();
    let moved =
        ["[rejected]", "cannot lock ref", "failed to update ref", "incorrect old value", "fetch first"];
    if line.is_empty() || moved.iter().any(|word| line.contains(word)) {
        // Without a line about the branch the server has not answered: the next look says what it did.
        return Pushed::Outrun(why);
    }
    Pushed::Refused(why)
}
