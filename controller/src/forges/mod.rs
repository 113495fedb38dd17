//! Adapters that open and close requests to merge: one file for each forge, over one kind of connection.
//!
//! Guarantees: what is said in [`door`] of every request; a request is found by its branch, and its mark is written last:
//! what was begun and not ended is found open and ended.

mod azure_devops;
mod bitbucket;
mod door;
mod gitea;
mod github;
mod gitlab;

pub use door::{Door, Tls};

use crate::ports::{
    Fence,
    forges::{Forges, Request, Wanted},
    git::GitError,
    signals::SignalAccess,
};
use door::{Call, Scheme};
use futures::{FutureExt as _, future::BoxFuture};
use lockkeeper_core::git::{Forge, PullRequest, Remote, place_of, unmarked};

/// What one call gives.
type Done<'a, T> = BoxFuture<'a, Result<T, GitError>>;

/// One kind of forge.
trait Service: Sync {
    /// Where its interface is, for a repository on this host.
    fn base(&self, host: &str, path: &[&str]) -> String;
    /// What it wants to be sent with every request.
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
    /// How a credential is shown.
    fn scheme(&self) -> Scheme {
        Scheme::Usual
    }
    /// The open request from a branch, or else the newest.
    fn newest<'a>(&'a self, call: &'a Call<'a>, branch: &'a str) -> Done<'a, Option<Request>>;
    /// Opens one.
    fn open<'a>(&'a self, call: &'a Call<'a>, wanted: Wanted<'a>) -> Done<'a, Request>;
    /// Gives it labels, reviewers and a merge by itself; it may have them already.
    fn dress<'a>(&'a self, call: &'a Call<'a>, request: &'a Request) -> Done<'a, ()>;
    /// Says this from now on.
    fn say<'a>(&'a self, call: &'a Call<'a>, request: &'a Request, wanted: Wanted<'a>) -> Done<'a, ()>;
    /// Closes it unmerged.
    fn close<'a>(&'a self, call: &'a Call<'a>, request: &'a Request) -> Done<'a, ()>;
}

/// All kinds of forges.
pub struct ForgeClients {
    door: Door,
}

impl ForgeClients {
    /// Nothing is dialled yet.
    #[must_use]
    pub fn new(door: Door) -> Self {
        Self { door }
    }

    fn call<'a>(
        &'a self,
        access: &'a SignalAccess,
        remote: &'a Remote,
        fence: Option<&'a Fence>,
    ) -> Result<(&'static dyn Service, Call<'a>), GitError> {
        let none = || GitError { reason: "Failed", message: format!("{remote} is pushed to, not asked for") };
        let wanted = remote.request.as_deref().ok_or_else(none)?;
        let service = of(wanted);
        let (host, path) = place_of(&remote.url);
        let base = wanted.address.clone().unwrap_or_else(|| service.base(&host, &path));
        let (headers, scheme) = (service.headers(), service.scheme());
        if access.credential.is_none() && access.headers.is_empty() {
            let fix = "name a Secret with token in pullRequest.secretRef";
            let message = format!("the Secret holds nothing that opens {host} over https; {fix}");
            return Err(GitError { reason: "AuthFailed", message });
        }
        Ok((service, Call { door: &self.door, access, base, remote, wanted, headers, scheme, fence }))
    }
}

fn of(request: &PullRequest) -> &'static dyn Service {
    match request.forge {
        Forge::GitHub => &github::GitHub,
        Forge::GitLab => &gitlab::GitLab,
        Forge::Gitea => &gitea::Gitea,
        Forge::Bitbucket => &bitbucket::Bitbucket,
        Forge::AzureDevOps => &azure_devops::AzureDevOps,
    }
}

impl Forges for ForgeClients {
    fn newest<'a>(
        &'a self,
        access: &'a SignalAccess,
        remote: &'a Remote,
        branch: &'a str,
    ) -> Done<'a, Option<Request>> {
        async move {
            let (service, call) = self.call(access, remote, None)?;
            service.newest(&call, branch).await
        }
        .boxed()
    }

    fn bring<'a>(
        &'a self,
        access: &'a SignalAccess,
        remote: &'a Remote,
        wanted: Wanted<'a>,
        open: Option<Request>,
        fence: &'a Fence,
    ) -> Done<'a, Request> {
        async move {
            let (service, call) = self.call(access, remote, Some(fence))?;
            let request = match open {
                Some(request) => request,
                None => {
                    let text = unmarked(wanted.text);
                    let request = service.open(&call, Wanted { text: &text, ..wanted }).await?;
                    tracing::info!(url = request.url, "a request was opened");
                    request
                }
            };
            service.dress(&call, &request).await?;
            service.say(&call, &request, wanted).await?;
            Ok(Request { text: wanted.text.to_owned(), ..request })
        }
        .boxed()
    }

    fn close<'a>(
        &'a self,
        access: &'a SignalAccess,
        remote: &'a Remote,
        open: &'a Request,
        fence: &'a Fence,
    ) -> Done<'a, ()> {
        async move {
            let (service, call) = self.call(access, remote, Some(fence))?;
            service.close(&call, open).await?;
            tracing::info!(url = open.url, "a request was closed");
            Ok(())
        }
        .boxed()
    }
}

/// An answer that lacks what it is documented to have.
fn unread(what: &str) -> GitError {
    GitError {
        reason: "Failed",
        message: format!("the forge's answer has no {what}; is `provider` the right one?"),
    }
}

/// A text of an answer; a number is one, too.
fn text(value: &serde_json::Value, what: &str) -> Result<String, GitError> {
    match value {
        serde_json::Value::String(text) => Ok(text.clone()),
        serde_json::Value::Number(number) => Ok(number.to_string()),
        _ => Err(unread(what)),
    }
}

/// The last two parts of a repository's path, as most forges name it.
fn owner_and_name(remote: &Remote) -> (String, String) {
    let (_, path) = place_of(&remote.url);
    let mut last = path.iter().rev();
    let name = last.next().copied().unwrap_or_default().to_owned();
    (last.next().copied().unwrap_or_default().to_owned(), name)
}

/// One part of a path, with everything escaped that could end it.
fn part(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests;
