//! One visit of a branch that is changed by requests: what is open, what the branches say, and what of it is brought up to date.
//!
//! Guarantees: the forge is asked before the branch is fetched, so that one that says "merged" is merged in what is seen;
//! a request is made only after its branch was pushed, and only where none is open. May not: decide.

use crate::ports::{
    Fence,
    forges::{Forges, Request, Wanted},
    git::{Branches, Errand, GitAccess, GitError},
    signals::SignalAccess,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use lockkeeper_core::{
    git::{Delivery, Files, FilesSeen, Remote, RequestSeen, RequestState, marks, message},
    observed::Failure,
};
use std::collections::BTreeMap;

/// Requests that a forge is asked about at once.
const PARALLEL: usize = 4;

/// What a visit needs.
pub struct Visit<'a> {
    /// Who has branches.
    pub branches: &'a dyn Branches,
    /// Who has requests.
    pub forges: &'a dyn Forges,
    /// What opens the repository.
    pub access: &'a GitAccess,
    /// What opens the forge.
    pub forge: &'a SignalAccess,
    /// The branch.
    pub remote: &'a Remote,
    /// What is to be done.
    pub errands: &'a [Errand],
    /// Asked before each write.
    pub fence: &'a Fence,
    /// What time it is.
    pub now: Timestamp,
}

/// Errands that share a branch of their own, by index.
type Group = (String, Vec<usize>);

impl Visit<'_> {
    /// What was seen of each errand, after what is due was done.
    pub async fn run(&self) -> Result<Vec<FilesSeen>, GitError> {
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, errand) in self.errands.iter().enumerate() {
            groups.entry(errand.delivery.own_branch().unwrap_or_default()).or_default().push(index);
        }
        let asked = groups.into_iter().map(|group| async move {
            let found = self.forges.newest(self.forge, self.remote, &group.0).await?;
            Ok::<_, GitError>((group, found))
        });
        let found: Vec<(Group, Option<Request>)> =
            stream::iter(asked).buffered(PARALLEL).try_collect().await?;
        let mut seen = self.branches.visit(self.access, self.remote, self.errands, self.fence).await?;
        for ((branch, members), request) in found {
            match self.settle(&branch, &members, request, &seen).await {
                Ok(request) => {
                    for &index in &members {
                        let mark = self.errands[index].delivery.mark();
                        let request = request.as_ref().map(|request| seen_as(request, &mark));
                        seen[index].proposal.get_or_insert_default().request = request;
                    }
                }
                // The files were seen all the same.
                Err(failed) => {
                    for &index in &members {
                        seen[index].rejected = Some(self.failure(&failed));
                    }
                }
            }
        }
        Ok(seen)
    }

    /// Brings the request of one branch to what is due; how it is then.
    async fn settle(
        &self,
        branch: &str,
        members: &[usize],
        request: Option<Request>,
        seen: &[FilesSeen],
    ) -> Result<Option<Request>, GitError> {
        let open = request.clone().filter(|request| request.state == RequestState::Open);
        let due = |index: &usize| self.errands[*index].due.as_ref();
        if let Some(open) =
            open.as_ref().filter(|_| members.iter().filter_map(due).any(|due| due.only_closes))
        {
            self.forges.close(self.forge, self.remote, open, self.fence).await?;
            return Ok(Some(Request { state: RequestState::Closed, ..open.clone() }));
        }
        let is_ready = |index: &usize| {
            let seen = &seen[*index];
            matches!(seen.files, Files::Differ(_))
                && seen.proposal.as_ref().is_some_and(|proposal| proposal.ready)
        };
        let ready = || members.iter().filter(|index| is_ready(index));
        if !ready().filter_map(due).any(|due| !due.only_closes) {
            return Ok(request);
        }
        let brings: Vec<(Delivery, bool)> = ready()
            .map(|index| {
                let Errand { delivery, due } = &self.errands[*index];
                (delivery.clone(), due.as_ref().is_some_and(|due| due.takes_back))
            })
            .collect();
        let text = message(&brings, self.remote.style.message.as_deref());
        let (title, text) = text.split_once('\n').unwrap_or((text.as_str(), ""));
        let wanted = Wanted { branch, title, text: text.trim_start() };
        self.forges.bring(self.forge, self.remote, wanted, open, self.fence).await.map(Some)
    }

    /// Since when is filled in by whoever knows what was before.
    fn failure(&self, GitError { reason, message }: &GitError) -> Failure {
        Failure { since: self.now, reason: (*reason).to_owned(), message: message.clone() }
    }
}

fn seen_as(request: &Request, mark: &str) -> RequestSeen {
    RequestSeen {
        url: request.url.clone(),
        brings: marks(&request.text).any(|found| found == mark),
        state: request.state,
    }
}
