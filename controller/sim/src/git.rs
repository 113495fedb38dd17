//! Files of repositories, what is committed to them, and a tool that applies them.
//!
//! Each branch has one file, which names one image. The tool gives it to the owners whose pods a target observes: their
//! templates change, and their pods are born anew, a quarter of them at a time.

use crate::{Effect, World};
use jiff::{SignedDuration, Timestamp};
use lockkeeper_core::{
    git::{
        Commit, Delivery, Files, FilesSeen, GitTarget, Place, Proposal, Remote, RequestSeen, RequestState,
    },
    observed::Answer,
    policy::Target,
};
use std::collections::{BTreeMap, BTreeSet};

/// Branches of repositories.
#[derive(Clone, Debug, Default)]
pub struct Branches {
    /// What the file of each says.
    pub files: BTreeMap<Remote, String>,
    /// The marks of the commits that were made, in order, each with what it says.
    pub commits: Vec<(String, String)>,
    /// Of branches of our own: the mark of what each brings, what its file says, and whether that takes a release back.
    pub own: BTreeMap<String, (String, String, bool)>,
    /// Requests to merge, oldest first.
    pub requests: Vec<Request>,
    /// How long a request is open before somebody merges it.
    pub merged_after: SignedDuration,
    /// What was asked in the last pass.
    pub(crate) asked: BTreeSet<Delivery>,
}

/// A request to merge a branch of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which.
    pub branch: String,
    /// Into which.
    pub into: Remote,
    /// The mark in its text.
    pub brings: String,
    /// What became of it.
    pub state: RequestState,
    /// Since when it is there.
    pub opened: Timestamp,
}

impl World {
    /// The file of the branch that a target names says this; its owners' templates say so, too.
    pub fn add_branch(&mut self, remote: Remote, says: &str) {
        self.branches.files.insert(remote, says.to_owned());
    }

    pub(crate) fn deliveries(&self) -> BTreeMap<Delivery, Answer<FilesSeen>> {
        let answer = |delivery: &Delivery| match self.branches.files.get(&delivery.remote) {
            None => Answer::Absent,
            Some(says) => {
                let mark = delivery.mark();
                let own = self.branches.commits.iter().any(|(made, _)| *made == mark).then_some(mark);
                let files = if says.ends_with(delivery.digest.as_str()) {
                    Files::Say("head".to_owned())
                } else {
                    Files::Differ(vec![place(says)])
                };
                let proposal = self.proposal(delivery, says);
                Answer::Known(FilesSeen { own, files, undone_by: None, rejected: None, proposal })
            }
        };
        self.branches.asked.iter().map(|delivery| (delivery.clone(), answer(delivery))).collect()
    }

    /// What was found of the request that a delivery asks for.
    fn proposal(&self, delivery: &Delivery, says: &str) -> Option<Proposal> {
        let (branch, mark) = (delivery.own_branch()?, delivery.mark());
        let ready = self.branches.own.get(&branch).is_some_and(|(brings, ..)| *brings == mark);
        let mine = |request: &&Request| request.branch == branch;
        let open = |request: &&Request| mine(request) && request.state == RequestState::Open;
        let all = || self.branches.requests.iter();
        let newest = all().find(open).or_else(|| all().rfind(mine));
        let request = newest.map(|request| RequestSeen {
            url: format!("https://forge/{branch}"),
            brings: request.brings == mark,
            state: request.state,
        });
        Some(Proposal { ready: ready && !says.is_empty(), request })
    }

    /// What is due of a request, one step at a time: its branch is pushed, and then it is opened or brought up to date.
    fn propose(&mut self, commit: &Commit, branch: String) -> bool {
        let Delivery { remote, repositories, tag, digest, .. } = &commit.delivery;
        let (mark, now) = (commit.delivery.mark(), self.now);
        let open = |r: &&mut Request| r.branch == branch && r.state == RequestState::Open;
        if commit.only_closes {
            let found = self.branches.requests.iter_mut().find(open);
            return found.map(|request| request.state = RequestState::Closed).is_some();
        }
        let Some(says) = self.branches.files.get(remote) else { return false };
        let Some(repository) = repositories.first().filter(|_| commit.expects == [place(says)]) else {
            return false;
        };
        if self.branches.own.get(&branch).is_none_or(|(brings, ..)| *brings != mark) {
            let tag = tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
            let says = format!("{repository}{tag}@{digest}");
            self.branches.own.insert(branch, (mark, says, commit.takes_back));
            return true;
        }
        match self.branches.requests.iter_mut().find(open) {
            Some(request) if request.brings == mark => return false,
            Some(request) => request.brings = mark,
            None => self.branches.requests.push(Request {
                branch,
                into: remote.clone(),
                brings: mark,
                state: RequestState::Open,
                opened: now,
            }),
        }
        true
    }

    /// People merge what has been open for long enough.
    pub(crate) fn merge_requests(&mut self) {
        for index in 0..self.branches.requests.len() {
            let request = self.branches.requests[index].clone();
            let over = request.opened.saturating_add(self.branches.merged_after).unwrap_or(self.now);
            if request.state != RequestState::Open || self.now < over {
                continue;
            }
            self.branches.requests[index].state = RequestState::Merged;
            let Some((mark, image, takes_back)) = self.branches.own.get(&request.branch).cloned() else {
                continue;
            };
            self.branches.files.insert(request.into, image.clone());
            self.branches.commits.push((mark, image.clone()));
            self.record(Effect::Committed { image, takes_back });
        }
    }

    /// One commit, made only where the file still says what it expects and no commit of its mark is there.
    pub(crate) fn commit(&mut self, commit: &Commit) -> bool {
        if let Some(branch) = commit.delivery.own_branch() {
            return self.propose(commit, branch);
        }
        let Delivery { remote, repositories, tag, digest, .. } = &commit.delivery;
        let mark = commit.delivery.mark();
        let Some(says) = self.branches.files.get_mut(remote) else { return false };
        let made = self.branches.commits.iter().any(|(other, _)| *other == mark);
        let Some(repository) = repositories.first().filter(|_| !made && commit.expects == [place(says)])
        else {
            return false;
        };
        let tag = tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        *says = format!("{repository}{tag}@{digest}");
        let image = says.clone();
        self.branches.commits.push((mark, image.clone()));
        self.record(Effect::Committed { image, takes_back: commit.takes_back });
        true
    }

    /// The tool looks at every branch: templates get what the file says, and one part of the pods after the other is
    /// born anew.
    pub(crate) fn apply_files(&mut self) {
        let targets: Vec<(String, GitTarget)> = self.git_targets().collect();
        for (says, target) in targets {
            let namespaces = self.namespaces_of(&target.namespaces);
            for index in 0..self.owners.len() {
                let owner = &self.owners[index];
                let mine = target.match_labels.iter().all(|(k, v)| owner.labels.get(k) == Some(v))
                    && namespaces.contains(&owner.namespace);
                if !mine {
                    continue;
                }
                if owner.image != says {
                    self.change_template(index, Some(says.clone()));
                }
                self.roll_on(index);
            }
        }
    }

    fn git_targets(&self) -> impl Iterator<Item = (String, GitTarget)> + '_ {
        self.policy.stages.iter().flat_map(|stage| &stage.targets).filter_map(|target| match target {
            Target::Git(target) => Some((self.branches.files.get(&target.remote)?.clone(), target.clone())),
            Target::Pods(_) | Target::Workloads(_) => None,
        })
    }

    /// A rolling update goes on: at most a quarter of the pods is away at once.
    fn roll_on(&mut self, owner: usize) {
        let (template, replicas) = (self.owners[owner].template.clone(), self.owners[owner].replicas);
        let old = |pod: &crate::Pod| pod.owner == owner && !pod.deleting && pod.template != template;
        let away = (0..self.pods.len()).filter(|i| self.pods[*i].owner == owner && !self.ready(*i)).count();
        let most = (replicas / 4).max(1).saturating_sub(away);
        self.pods.iter_mut().filter(|pod| old(pod)).take(most).for_each(|pod| pod.deleting = true);
    }
}

fn place(says: &str) -> Place {
    Place { file: "app.yaml".to_owned(), path: "image".to_owned(), from: says.to_owned() }
}
