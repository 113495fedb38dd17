//! Who reads and writes branches of repositories.
//!
//! Contracts: one visit of a branch is one look at it and at most one commit; a commit is made only where the files still
//! say what it expects, as a child of what was looked at, and is never forced; a delivery whose commit is in the branch
//! gets no second one; an error is a sentence that holds no credential.

use super::{Fence, signals::SignalAccess};
use futures::future::BoxFuture;
use lockkeeper_core::git::{Delivery, FilesSeen, Place, Remote};
use std::fmt;

/// What a repository wants to see. `Debug` shows nothing of it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct GitAccess {
    /// Over https.
    pub http: SignalAccess,
    /// Over ssh.
    pub ssh: Option<SshAccess>,
    /// The private key of ssh that signs commits.
    pub signing: Option<Vec<u8>>,
}

/// Who logs in, and which server is believed.
#[derive(Clone, PartialEq, Eq)]
pub struct SshAccess {
    /// The private key, as ssh-keygen writes it.
    pub identity: Vec<u8>,
    /// The keys of the server, as `known_hosts` has them. No other one is believed.
    pub known_hosts: Vec<u8>,
}

impl fmt::Debug for GitAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitAccess")
            .field("http", &self.http)
            .field("ssh", &self.ssh.is_some())
            .field("signing", &self.signing.is_some())
            .finish()
    }
}

/// What is to be done about one delivery.
#[derive(Clone, Debug)]
pub struct Errand {
    /// Which.
    pub delivery: Delivery,
    /// Commit it; none: only look.
    pub due: Option<Due>,
}

/// A commit that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// What the files say until then.
    pub expects: Vec<Place>,
    /// It takes a release back.
    pub takes_back: bool,
    /// Nothing is written: an open request from the stage's own branch is closed.
    pub only_closes: bool,
}

/// Branches of repositories.
pub trait Branches: Send + Sync + 'static {
    /// Looks at a branch, and commits what is due in one commit. What was seen of each errand, in their order, after
    /// that commit. Where the branch is changed by requests, the commits are to the branches that errands have of their own, one
    /// for each of these, and what they were found to hold is the `ready` of each [`Proposal`](lockkeeper_core::git::Proposal).
    fn visit<'a>(
        &'a self,
        access: &'a GitAccess,
        remote: &'a Remote,
        errands: &'a [Errand],
        fence: &'a Fence,
    ) -> BoxFuture<'a, Result<Vec<FilesSeen>, GitError>>;
}

/// Why a branch could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct GitError {
    /// A bounded category: `AuthFailed`, `HostDenied`, `HostKeyUnknown`, `TLSUntrusted`, `NotFound`, `Unreachable`, `Fenced`, `Failed`.
    pub reason: &'static str,
    /// Host, what happened and what to do; never a credential.
    pub message: String,
}
