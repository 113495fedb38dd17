//! Who opens and closes requests to merge.
//!
//! Contracts: a request says in its text what it brings, and is known by that; a branch has one open request at most, which
//! is brought up to date where it is; every write asks the fence; an error is a sentence that holds no credential.

use super::{Fence, git::GitError, signals::SignalAccess};
use futures::future::BoxFuture;
use lockkeeper_core::git::{Remote, RequestState};

/// The newest request from a branch into another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What the forge knows it by.
    pub number: String,
    /// What some calls of the forge know it, or whoever opened it, by.
    pub id: String,
    /// Where people look at it.
    pub url: String,
    /// What became of it.
    pub state: RequestState,
    /// Its text.
    pub text: String,
}

/// What a request shall be.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The branch that is asked to be merged.
    pub branch: &'a str,
    /// The first line of what it says, and the rest.
    pub title: &'a str,
    /// See `title`. It ends in the marks of what it brings.
    pub text: &'a str,
}

/// Forges.
pub trait Forges: Send + Sync + 'static {
    /// The newest request from `branch` into that of `remote`: the open one if one is open.
    fn newest<'a>(
        &'a self,
        access: &'a SignalAccess,
        remote: &'a Remote,
        branch: &'a str,
    ) -> BoxFuture<'a, Result<Option<Request>, GitError>>;

    /// Makes it, or brings the open one that was found up to date. What was begun and not ended is found and ended.
    fn bring<'a>(
        &'a self,
        access: &'a SignalAccess,
        remote: &'a Remote,
        wanted: Wanted<'a>,
        open: Option<Request>,
        fence: &'a Fence,
    ) -> BoxFuture<'a, Result<Request, GitError>>;

    /// Closes it without merging it.
    fn close<'a>(
        &'a self,
        access: &'a SignalAccess,
        remote: &'a Remote,
        open: &'a Request,
        fence: &'a Fence,
    ) -> BoxFuture<'a, Result<(), GitError>>;
}
