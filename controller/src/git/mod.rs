//! Repositories through the `git` program: files are read and commits made in a bare, shallow cache without contents.
//!
//! Guarantees: one cache per repository and credential, made anew by each process and thrown away whenever anything about
//! it is wrong; hosts are checked before they are dialled, and the addresses that were checked are those that git dials;
//! a push is a child of what was looked at and is never forced; the fence is asked before each push.
//! Assumes: the program `git`, 2.39 or later, is in the path.

mod cache;
mod commit;
mod edits;
mod program;
mod trouble;

use crate::{
    hosts::{Filter, HostKind, HostPolicy, Lookup, PolicyResolver, Route},
    ports::{
        Fence,
        git::{Branches, Due, Errand, GitError},
        signals::{SignalAccess, SignalCredential},
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use cache::{Cache, Checkout};
use futures::{FutureExt as _, future::BoxFuture};
use lockkeeper_core::{
    git::{Files, FilesSeen, Remote},
    observed::Failure,
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use trouble::{Pushed, error};
use url::{Host, Url};

/// Pushes of one visit that others may come before.
const PUSHES: usize = 12;
/// How long is waited before the second of them, at most; twice as long before the third, and so on.
const PAUSE: Duration = Duration::from_millis(50);

/// All repositories.
pub struct Git {
    hosts: Arc<HostPolicy>,
    lookup: Arc<dyn Lookup>,
    caches: Arc<Cache>,
    /// `https`; tests speak to repositories on disk.
    protocol: &'static str,
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
        Ok(Self { hosts, lookup, caches: Arc::new(Cache::new(folder)?), protocol: "https" })
    }

    async fn visited(
        &self,
        access: &SignalAccess,
        remote: &Remote,
        errands: &[Errand],
        fence: &Fence,
    ) -> Result<Vec<FilesSeen>, GitError> {
        let config = self.config(access, remote).await?;
        let cache = self.caches.of(&remote.url, access);
        let mut cache = cache.lock().await;
        let program = cache.open(config, self.protocol).await?;
        let seen = self.look_and_commit(&program, remote, errands, fence).await;
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
            let Some(draft) = looked.draft(errands) else { return Ok(seen) };
            let Some(left) = fence.left() else {
                return Err(error("Fenced", "another replica leads; nothing was pushed".to_owned()));
            };
            let commit = commit::make(program, &looked.checkout, &draft).await?;
            match commit::push(program, remote, &commit, left).await? {
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

    /// Address, credential, authority and the addresses that may be dialled.
    async fn config(
        &self,
        access: &SignalAccess,
        remote: &Remote,
    ) -> Result<Vec<(String, String)>, GitError> {
        let mut config = vec![("remote.origin.url".to_owned(), remote.url.clone())];
        if self.protocol != "https" {
            return Ok(config);
        }
        let url = Url::parse(&remote.url).ok().filter(|url| url.scheme() == "https");
        let url = url.ok_or_else(|| error("HostDenied", format!("{} is no https address", remote.url)))?;
        let denied = |why: String| error("HostDenied", why);
        let route = self.hosts.check(HostKind::Git, &url).map_err(|why| denied(why.to_string()))?;
        if let Some(Host::Domain(name)) = url.host() {
            let filter = if route == Route::Listed { Filter::Nothing } else { Filter::Denied };
            let resolver =
                PolicyResolver::new(HostKind::Git, Arc::clone(&self.hosts), Arc::clone(&self.lookup), filter);
            let addresses = resolver.addresses(name.to_owned()).await.map_err(|why| {
                let denied = why.is::<crate::hosts::HostDenied>();
                error(if denied { "HostDenied" } else { "Unreachable" }, format!("{name}: {why}"))
            })?;
            let addresses: Vec<String> = addresses.iter().map(|at| at.ip().to_string()).collect();
            let port = url.port_or_known_default().unwrap_or(443);
            config.push(("http.curloptResolve".to_owned(), format!("{name}:{port}:{}", addresses.join(","))));
        }
        for header in headers(access)? {
            config.push(("http.extraHeader".to_owned(), header));
        }
        if let Some(authority) = &access.authority {
            let file = self.caches.authority(authority).map_err(|why| {
                error("Unreachable", format!("the key ca.crt of the Secret could not be kept: {why}"))
            })?;
            config.push(("http.sslCAInfo".to_owned(), file));
        }
        Ok(config)
    }
}

impl Branches for Git {
    fn visit<'a>(
        &'a self,
        access: &'a SignalAccess,
        remote: &'a Remote,
        errands: &'a [Errand],
        fence: &'a Fence,
    ) -> BoxFuture<'a, Result<Vec<FilesSeen>, GitError>> {
        self.visited(access, remote, errands, fence).boxed()
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
    FilesSeen { own: Some(commit.to_owned()), files: Files::Say(commit.to_owned()), rejected: None }
}

/// A number from 0 to 1 that differs between commits.
fn share_of(commit: &str) -> f64 {
    let digits = commit.get(..4).and_then(|digits| u16::from_str_radix(digits, 16).ok()).unwrap_or_default();
    f64::from(digits) / f64::from(u16::MAX)
}

/// What is sent with every request.
fn headers(access: &SignalAccess) -> Result<Vec<String>, GitError> {
    let mut headers: Vec<String> = Vec::new();
    match &access.credential {
        Some(SignalCredential::Bearer(token)) => headers.push(format!("Authorization: Bearer {token}")),
        Some(SignalCredential::Basic(user, password)) => {
            headers.push(format!("Authorization: Basic {}", STANDARD.encode(format!("{user}:{password}"))));
        }
        None => {}
    }
    headers.extend(access.headers.iter().map(|(name, value)| format!("{name}: {value}")));
    if headers.iter().any(|header| header.contains(char::is_control)) {
        let why = "the Secret has a value with a control character in it; write it anew";
        return Err(error("AuthFailed", why.to_owned()));
    }
    Ok(headers)
}

/// Where caches are kept if nothing is said.
#[must_use]
pub fn usual_folder() -> PathBuf {
    std::env::temp_dir()
}

/// A commit that is due, if the files say what it expects and it was not made before.
fn is_due(due: Option<&Due>, seen: &FilesSeen) -> bool {
    let (Some(due), Files::Differ(places), None) = (due, &seen.files, &seen.own) else { return false };
    due.expects == *places
}

#[cfg(test)]
mod tests;
