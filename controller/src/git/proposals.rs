//! Branches of our own that are asked to be merged: what they hold, and one commit on each of what is due there.
//!
//! Guarantees: the branch that is to be changed is never pushed to; a branch of our own is replaced only where its newest
//! commit is ours, and only while it is where it was looked at; it is one commit on top of what was looked at, and is left
//! alone while that would be the same.

use super::{
    PAUSE, PUSHES,
    cache::{Checkout, OWN},
    commit::{self, Draft, line},
    edits::{self, Looked},
    is_due, name_who_undid,
    program::{LOCAL, Program},
    refusal, share_of,
    trouble::{Pushed, error, of_call},
};
use crate::ports::{
    Fence,
    git::{Errand, GitError},
};
use lockkeeper_core::git::{FilesSeen, Proposal, PullRequest, Remote, marks};
use std::collections::{BTreeMap, BTreeSet};

/// The newest commit of a branch of our own.
struct Tip {
    commit: String,
    /// What it brings; nothing: it is somebody else's.
    marks: BTreeSet<String>,
}

/// What came of one branch.
enum Came {
    /// It holds what is due, or nothing is due.
    Settled,
    /// Somebody was faster, or nobody knows: look again.
    Again(String),
}

/// One branch of our own, the errands that share it, and what was seen.
struct Own<'a> {
    program: &'a Program,
    remote: &'a Remote,
    branch: &'a str,
    tip: Option<&'a Tip>,
    members: &'a [usize],
    errands: &'a [Errand],
    looked: &'a Looked,
}

/// Looks at the branch and at those of our own, and commits what is due to these.
pub async fn look_and_propose(
    program: &Program,
    remote: &Remote,
    request: &PullRequest,
    errands: &[Errand],
    fence: &Fence,
) -> Result<Vec<FilesSeen>, GitError> {
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, errand) in errands.iter().enumerate() {
        groups.entry(errand.delivery.own_branch().unwrap_or_default()).or_default().push(index);
    }
    let mut outrun = String::new();
    for push in 0..PUSHES {
        let checkout = Checkout::fetch(program, remote, errands).await?;
        let tips = tips(program, request).await?;
        let looked = edits::look(checkout, errands.to_vec()).await?;
        let mut seen = looked.seen.clone();
        for one in &mut seen {
            one.proposal = Some(Proposal::default());
        }
        let mut again = None;
        for (branch, members) in &groups {
            let tip = tips.get(branch);
            let own = Own { program, remote, branch, tip, members, errands, looked: &looked };
            if let Came::Again(why) = own.settle(&mut seen, fence).await? {
                again = Some(why);
            }
        }
        let Some(why) = again else {
            name_who_undid(program, &looked.checkout, errands, &mut seen).await;
            return Ok(seen);
        };
        let most = PAUSE.saturating_mul(1 << push.min(5));
        tokio::time::sleep(most.mul_f64(share_of(&looked.checkout.head))).await;
        outrun = why;
    }
    let why = format!("a branch of our own moved {PUSHES} times while it was pushed to: {outrun}");
    Err(error("Unreachable", why))
}

impl Own<'_> {
    async fn settle(&self, seen: &mut [FilesSeen], fence: &Fence) -> Result<Came, GitError> {
        let due = |index: usize| is_due(self.errands[index].due.as_ref(), &self.looked.seen[index]);
        let there = |index: usize| {
            let mark = self.errands[index].delivery.mark();
            self.tip.is_some_and(|tip| tip.marks.contains(&mark)) && self.looked.seen[index].own.is_none()
        };
        let wanted = |index: usize| self.members.contains(&index) && (due(index) || there(index));
        let Some(draft) = self.looked.draft_of(self.errands, wanted) else { return Ok(Came::Settled) };
        let ready = |seen: &mut [FilesSeen]| {
            for &index in &draft.errands {
                seen[index].proposal = Some(Proposal { ready: true, request: None });
            }
        };
        if self.holds(&draft).await? {
            ready(seen);
            return Ok(Came::Settled);
        }
        if !self.members.iter().any(|index| due(*index)) {
            return Ok(Came::Settled);
        }
        let refused = |seen: &mut [FilesSeen], why: &str| {
            for &index in &draft.errands {
                seen[index].rejected = Some(refusal(why));
            }
        };
        if self.tip.is_some_and(|tip| tip.marks.is_empty()) {
            let fix = "merge its request, or delete the branch, which is then made anew";
            refused(seen, &format!("branch {} has a commit of somebody else on top; {fix}", self.branch));
            return Ok(Came::Settled);
        }
        let Some(left) = fence.left() else {
            return Err(error("Fenced", "another replica leads; nothing was pushed".to_owned()));
        };
        let commit = commit::make(self.program, &self.looked.checkout, &draft, &self.remote.style).await?;
        let before = self.tip.map_or("", |tip| tip.commit.as_str());
        match commit::push(self.program, self.remote, self.branch, &commit, Some(before), left).await? {
            Pushed::Landed => ready(seen),
            Pushed::Outrun(why) => return Ok(Came::Again(why)),
            Pushed::Refused(why) => refused(seen, &why),
        }
        Ok(Came::Settled)
    }

    /// The branch brings exactly this already: as many deliveries, and the same contents of the files.
    async fn holds(&self, draft: &Draft) -> Result<bool, GitError> {
        let Some(tip) = self.tip else { return Ok(false) };
        let wanted: BTreeSet<String> = draft.brings.iter().map(|(delivery, _)| delivery.mark()).collect();
        if tip.marks != wanted {
            return Ok(false);
        }
        for (path, bytes) in &draft.files {
            let hash = ["hash-object", "--no-filters", "--stdin"];
            let name = line(self.program, &hash, bytes, &[]).await?;
            let there =
                line(self.program, &["ls-tree", "--full-tree", &tip.commit, "--", path], b"", &[]).await?;
            if there.split_ascii_whitespace().nth(2) != Some(name.as_str()) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The newest commits of the branches of our own, by the branches' names.
async fn tips(program: &Program, request: &PullRequest) -> Result<BTreeMap<String, Tip>, GitError> {
    let list = ["for-each-ref", "--format=%(refname)%00%(objectname)%00%(contents)%01", OWN];
    let list = program.output(&list, b"", &[], LOCAL).await.map_err(of_call)?;
    let text = String::from_utf8_lossy(&list);
    let tips = text.split('\u{1}').filter_map(|entry| {
        let mut parts = entry.trim_start().split('\0');
        let name = parts.next()?.strip_prefix(OWN)?;
        let (commit, message) = (parts.next()?.to_owned(), parts.next()?);
        let tip = Tip { commit, marks: marks(message).map(str::to_owned).collect() };
        Some((format!("{}/{name}", request.prefix), tip))
    });
    Ok(tips.collect())
}
