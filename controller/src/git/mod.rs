//! Repositories through the `git` program: files are read and commits made in a bare, shallow cache without contents.
//!
//! Guarantees: one cache per repository and credential, made anew by each process and thrown away whenever anything about
//! it is wrong; hosts are checked before they are dialled, and the addresses that were checked are those that git dials;
//! a push is a child of what was looked at and is never forced; the fence is asked before each push.
//! Assumes: the program `git`, 2.39 or later, is in the path.

mod access;
mod cache;
mod commit;
mod edits;
mod program;
mod proposals;
mod trouble;

use crate::{
    hosts::{HostPolicy, Lookup},
    ports::{
        Fence,
        git::{Branches, Due, Errand, GitAccess, GitError},
    },
};
use cache::{Cache, Checkout};
use futures::{FutureExt as _, future::BoxFuture};
use lockkeeper_core::{
    git::{Files, FilesSeen, Remote},
    observed::Failure,
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use trouble::{Pushed, error};

/// Pushes of one visit that others may come before.
const PUSHES: usize = 12;
/// How long is waited before the second of them, at most; twice as long before the third, and so on.
const PAUSE: Duration = Duration::from_millis(50);

/// All repositories.
pub struct Git {
    hosts: Arc<HostPolicy>,
    lookup: Arc<dyn Lookup>,
    caches: Arc<Cache>,
    /// Repositories on disk are read, too: for tests.
    on_disk: bool,
}

impl Git {
    /// Caches are made in a folder of this process below `folder`. Nothing is dialled yet.
    ///
    /// # Errors
    /// What an earlier process left there cannot be taken away.
    pub fn new(
        hosts: Arc<HostPolicy>,
        lookup: Arc<dyn Lookup>,
        folder: &std::path::Path,
    ) -> std::io::Result<Self> {
        Ok(Self { hosts, lookup, caches: Arc::new(Cache::new(folder)?), on_disk: false })
    }

    async fn visited(
        &self,
        access: &GitAccess,
        remote: &Remote,
        errands: &[Errand],
        fence: &Fence,
    ) -> Result<Vec<FilesSeen>, GitError> {
        let way = self.way(access, remote).await?;
        let cache = self.caches.of(&remote.url, access);
        let mut cache = cache.lock().await;
        let program = cache.open(way.config.clone(), way.protocol).await?;
        let seen = match &remote.request {
            None => self.look_and_commit(&program, remote, errands, fence).await,
            Some(request) => proposals::look_and_propose(&program, remote, request, errands, fence).await,
        };
        if seen.as_ref().is_err_and(|error| error.reason == "Failed") || cache.is_large() {
            cache.throw_away();
        }
        seen
    }

    async fn look_and_commit(
        &self,
        program: &program::Program,
        remote: &Remote,
        errands: &[Errand],
        fence: &Fence,
    ) -> Result<Vec<FilesSeen>, GitError> {
        let mut rejected = String::new();
        for push in 0..PUSHES {
            let checkout = Checkout::fetch(program, remote, errands).await?;
            let looked = edits::look(checkout, errands.to_vec()).await?;
            let mut seen = looked.seen.clone();
            let Some(draft) = looked.draft(errands) else {
                name_who_undid(program, &looked.checkout, errands, &mut seen).await;
                return Ok(seen);
            };
            let Some(left) = fence.left() else {
                return Err(error("Fenced", "another replica leads; nothing was pushed".to_owned()));
            };
            let commit = commit::make(program, &looked.checkout, &draft, &remote.style).await?;
            match commit::push(program, remote, &remote.branch, &commit, None, left).await? {
                Pushed::Landed => {
                    for index in draft.errands {
                        seen[index] = said(&commit);
                    }
                    return Ok(seen);
                }
                // Somebody was faster, or nobody knows: look again, at what is there now.
                Pushed::Outrun(why) => rejected = why,
                Pushed::Refused(why) => {
                    for index in draft.errands {
                        seen[index].rejected = Some(refusal(&why));
                    }
                    return Ok(seen);
                }
            }
            // Those who were outrun together do not come again together.
            let most = PAUSE.saturating_mul(1 << push.min(5));
            tokio::time::sleep(most.mul_f64(share_of(&commit))).await;
        }
        let checkout = Checkout::fetch(program, remote, errands).await?;
        let looked = edits::look(checkout, errands.to_vec()).await?;
        let mut seen = looked.seen.clone();
        if let Some(draft) = looked.draft(errands) {
            for index in draft.errands {
                seen[index].rejected =
                    Some(refusal(&format!("others pushed first {PUSHES} times: {rejected}")));
            }
        }
        Ok(seen)
    }
}

impl Branches for Git {
    fn visit<'a>(
        &'a self,
        access: &'a GitAccess,
        remote: &'a Remote,
        errands: &'a [Errand],
        fence: &'a Fence,
    ) -> BoxFuture<'a, Result<Vec<FilesSeen>, GitError>> {
        self.visited(access, remote, errands, fence).boxed()
    }
}

/// Whose commit took out what an own one brought.
async fn name_who_undid(
    program: &program::Program,
    checkout: &Checkout,
    errands: &[Errand],
    all: &mut [FilesSeen],
) {
    for (errand, seen) in errands.iter().zip(all) {
        if let (Some(own), Files::Differ(_)) = (&seen.own, &seen.files) {
            seen.undone_by = commit::last_author(program, checkout, own, &errand.delivery).await;
        }
    }
}

/// Since when is filled in by whoever knows what was before.
fn refusal(why: &str) -> Failure {
    Failure {
        since: jiff::Timestamp::now(),
        reason: "Failed".to_owned(),
        message: format!("takes no commit: {why}"),
    }
}

fn said(commit: &str) -> FilesSeen {
    let files = Files::Say(commit.to_owned());
    FilesSeen { own: Some(commit.to_owned()), files, undone_by: None, rejected: None, proposal: None }
}

/// A number from 0 to 1 that differs between commits.
fn share_of(commit: &str) -> f64 {
    let digits = commit.get(..4).and_then(|digits| u16::from_str_radix(digits, 16).ok()).unwrap_or_default();
    f64::from(digits) / f64::from(u16::MAX)
}

/// Where caches are kept if nothing is said.
#[must_use]
pub fn usual_folder() -> PathBuf {
    std::env::temp_dir()
}

/// A commit that is due, if the files say what it expects and it was not made before.
fn is_due(due: Option<&Due>, seen: &FilesSeen) -> bool {
    let (Some(due), Files::Differ(places), None) = (due, &seen.files, &seen.own) else { return false };
    !due.only_closes && due.expects == *places
}

#[cfg(test)]
mod tests;
