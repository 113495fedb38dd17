//! Files of repositories: what the last passes asked of them, and the commits that are due there.
//!
//! Guarantees: reading is from memory and never waits; a branch is visited by one task at a time, as one ServiceAccount,
//! and everything that is due there goes into one commit; a commit is made only as long as the last pass wants it; what
//! fails is tried again after two seconds to a minute; policies are woken when there is an answer that is new, or a
//! commit came to its end. May not: decide.

use super::{background::work, requests, secrets::Secrets};
use crate::ports::{
    Clock, Cluster, Fence, Identity, PolicyKey, Wakes,
    forges::Forges,
    git::{Branches, Due, Errand, GitAccess, GitError},
    signals::SignalAccess,
};
use futures::FutureExt as _;
use lockkeeper_core::{
    git::{Commit, Delivery, Files, FilesSeen, Remote},
    observed::{Answer, Failure},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

/// Branches that are visited at once.
const PARALLEL: usize = 8;
/// How long what becomes due at one branch is gathered for one commit.
const GATHER: Duration = Duration::from_millis(300);
/// How often it is looked whether files still say what they did.
const AGAIN: Duration = Duration::from_mins(1);
/// The same while a request is open: people wait for what follows. Many at one forge are looked at less often.
const AGAIN_OPEN: Duration = Duration::from_secs(15);
/// For each errand of a visit, at least this passes until the next one where a forge is asked.
const EACH: Duration = Duration::from_secs(1);
/// After the first failure in a row.
const SOON: Duration = Duration::from_secs(2);

/// The service. Clones share one state.
#[derive(Clone)]
pub struct Deliveries {
    shared: Arc<Shared>,
}

struct Shared {
    branches: Arc<dyn Branches>,
    forges: Arc<dyn Forges>,
    secrets: Secrets<GitAccess>,
    /// Of forges, where they are not those of the repositories.
    tokens: Secrets<SignalAccess>,
    signers: Secrets<Vec<u8>>,
    wakes: Arc<dyn Wakes>,
    clock: Arc<dyn Clock>,
    fence: Fence,
    state: Mutex<State>,
    changed: Notify,
}

/// Everything of one branch that one ServiceAccount reaches with one Secret is visited together.
type Branch = (Identity, Remote);

#[derive(Default)]
struct State {
    by_policy: BTreeMap<PolicyKey, BTreeMap<Delivery, Slot>>,
    visited: BTreeSet<Branch>,
}

/// One delivery.
struct Slot {
    identity: Identity,
    answer: Option<Answer<FilesSeen>>,
    commit: Option<Due>,
    /// When its branch is visited for it.
    due: Instant,
    /// Nothing is committed before: the last time failed.
    not_before: Instant,
    failures: u32,
}

impl Slot {
    fn new(identity: Identity) -> Self {
        let now = Instant::now();
        Self { identity, answer: None, commit: None, due: now, not_before: now, failures: 0 }
    }

    /// It failed: the first time since when, and when it is tried again.
    fn fail(&mut self, failure: Failure) -> Failure {
        let before = match &self.answer {
            Some(Answer::Failed(before) | Answer::Known(FilesSeen { rejected: Some(before), .. })) => {
                Some(before.since)
            }
            _ => None,
        };
        let wait = SOON.saturating_mul(1 << self.failures.min(5)).min(AGAIN);
        self.failures += 1;
        self.not_before = Instant::now() + wait;
        self.due = self.not_before;
        Failure { since: before.unwrap_or(failure.since), ..failure }
    }
}

/// A branch, and whose errands there are run.
struct Visit {
    branch: Branch,
    whose: Vec<PolicyKey>,
    errands: Vec<Errand>,
}

impl Deliveries {
    /// A service that knows nothing yet.
    pub fn new(
        (branches, forges): (Arc<dyn Branches>, Arc<dyn Forges>),
        cluster: Arc<dyn Cluster>,
        wakes: Arc<dyn Wakes>,
        clock: Arc<dyn Clock>,
        fence: Fence,
    ) -> Self {
        let signers = Secrets::of_signers(Arc::clone(&cluster));
        let tokens = Secrets::new(Arc::clone(&cluster));
        let (secrets, state, changed) = (Secrets::of_repositories(cluster), Mutex::default(), Notify::new());
        let shared =
            Shared { branches, forges, secrets, tokens, signers, wakes, clock, fence, state, changed };
        Self { shared: Arc::new(shared) }
    }

    /// These are the questions of `policy` now; what it does not ask any more is forgotten.
    pub fn ask(&self, policy: &PolicyKey, identity: &Identity, asked: BTreeSet<Delivery>) {
        let mut state = self.lock();
        if asked.is_empty() {
            state.by_policy.remove(policy);
            return;
        }
        let slots = state.by_policy.entry(policy.clone()).or_default();
        slots.retain(|delivery, slot| asked.contains(delivery) && slot.identity == *identity);
        for delivery in asked {
            slots.entry(delivery).or_insert_with(|| Slot::new(identity.clone()));
        }
        drop(state);
        self.shared.changed.notify_one();
    }

    /// These commits of `policy` are due now, and no others. Returns how many were not due before.
    pub fn commit(&self, policy: &PolicyKey, commits: Vec<Commit>) -> usize {
        let mut state = self.lock();
        let Some(slots) = state.by_policy.get_mut(policy) else { return 0 };
        let mut due: BTreeMap<Delivery, Due> = commits.into_iter().map(due).collect();
        let mut new = 0;
        for (delivery, slot) in slots {
            let before = slot.commit.take();
            slot.commit = due.remove(delivery);
            if slot.commit.is_some() {
                let at = slot.not_before.max(Instant::now() + GATHER);
                if before.is_none() {
                    new += 1;
                    slot.due = at;
                }
            }
        }
        drop(state);
        if new > 0 {
            self.shared.changed.notify_one();
        }
        new
    }

    /// What is known of what `policy` asked.
    #[must_use]
    pub fn answers(&self, policy: &PolicyKey) -> BTreeMap<Delivery, Answer<FilesSeen>> {
        let state = self.lock();
        let slots = state.by_policy.get(policy).into_iter().flatten();
        slots.filter_map(|(delivery, slot)| Some((delivery.clone(), slot.answer.clone()?))).collect()
    }

    /// The policy asks nothing any more.
    pub fn forget(&self, policy: &PolicyKey) {
        self.lock().by_policy.remove(policy);
    }

    /// Visits branches until `stop`. A visit that is under way then is dropped: whether its push landed is found out by
    /// the next start.
    pub async fn run(self, stop: CancellationToken) {
        let next = || self.next().ok_or_else(|| self.next_due());
        work(&stop, PARALLEL, &self.shared.changed, next, |visit| {
            let this = self.clone();
            async move {
                let seen = AssertUnwindSafe(this.visit(&visit)).catch_unwind().await;
                let seen = seen.unwrap_or_else(|_| {
                    tracing::error!(url = visit.branch.1.url, "a visit of a repository panicked");
                    let message = "the visit ended by itself; please report this with the controller's log";
                    Err(GitError { reason: "Failed", message: message.to_owned() })
                });
                this.take_in(visit, &seen);
            }
        })
        .await;
    }

    /// The first branch at which something is due and nobody is, with everything that is due there.
    fn next(&self) -> Option<Visit> {
        let now = Instant::now();
        let mut state = self.lock();
        let State { by_policy, visited } = &mut *state;
        let all = || by_policy.values().flatten();
        let (_, branch) = all()
            .filter(|(_, slot)| slot.due <= now)
            .map(|(delivery, slot)| (slot.due, (slot.identity.clone(), delivery.remote.clone())))
            .filter(|(_, branch)| !visited.contains(branch))
            .min()?;
        let mut visit = Visit { branch: branch.clone(), whose: Vec::new(), errands: Vec::new() };
        let here =
            |delivery: &Delivery, slot: &Slot| slot.identity == branch.0 && delivery.remote == branch.1;
        let commits = |slot: &Slot| slot.commit.is_some() && slot.not_before <= now;
        // What shares a branch of its own is looked at together: its one commit brings all of it.
        let is_due = |slot: &Slot| slot.due <= now || commits(slot);
        let due =
            by_policy.values().flatten().filter(|(delivery, slot)| here(delivery, slot) && is_due(slot));
        let shared: BTreeSet<String> = due.filter_map(|(delivery, _)| delivery.own_branch()).collect();
        for (policy, slots) in by_policy {
            for (delivery, slot) in slots {
                let together = || delivery.own_branch().is_some_and(|own| shared.contains(&own));
                if here(delivery, slot) && (is_due(slot) || together()) {
                    let commits = commits(slot);
                    visit.whose.push(policy.clone());
                    let due = if commits { slot.commit.take() } else { None };
                    visit.errands.push(Errand { delivery: delivery.clone(), due });
                }
            }
        }
        visited.insert(branch);
        Some(visit)
    }

    fn next_due(&self) -> Option<Instant> {
        let state = self.lock();
        let all = state.by_policy.values().flatten();
        let free = all.filter(|(delivery, slot)| {
            !state.visited.contains(&(slot.identity.clone(), delivery.remote.clone()))
        });
        free.map(|(_, slot)| slot.due).min()
    }

    async fn visit(&self, visit: &Visit) -> Result<Vec<FilesSeen>, GitError> {
        let Visit { branch: (identity, remote), errands, .. } = visit;
        let Shared { branches, forges, secrets, tokens, signers, fence, clock, .. } = &*self.shared;
        let refused = |message| GitError { reason: "AuthFailed", message };
        let mut access = match &remote.secret {
            None => GitAccess::default(),
            Some(name) => {
                let read = secrets.read(identity, name).await;
                read.map_err(refused)?
            }
        };
        if let Some(name) = &remote.style.signing {
            access.signing = Some(signers.read(identity, name).await.map_err(refused)?);
        }
        let own = remote.request.as_ref().and_then(|request| request.secret.as_ref());
        let seen = if remote.request.is_some() {
            let token = match own {
                Some(name) => tokens.read(identity, name).await.map_err(refused)?,
                None => access.http.clone(),
            };
            let (branches, forges, now) = (&**branches, &**forges, clock.now());
            let (access, forge) = (&access, &token);
            requests::Visit { branches, forges, access, forge, remote, errands, fence, now }.run().await
        } else {
            branches.visit(&access, remote, errands, fence).await
        };
        if let Err(GitError { reason: "AuthFailed", .. }) = &seen {
            if let Some(name) = &remote.secret {
                secrets.refused(identity, name);
            }
            if let Some(name) = own {
                tokens.refused(identity, name);
            }
        }
        seen
    }

    fn take_in(&self, visit: Visit, seen: &Result<Vec<FilesSeen>, GitError>) {
        let (now, wall) = (Instant::now(), self.shared.clock.now());
        let mut woken = BTreeSet::new();
        let mut state = self.lock();
        state.visited.remove(&visit.branch);
        if let Err(GitError { reason, message }) = seen {
            tracing::warn!(reason, message, url = visit.branch.1.url, "a repository could not be visited");
        }
        let again = match &visit.branch.1.request {
            Some(_) => {
                AGAIN_OPEN.max(EACH.saturating_mul(u32::try_from(visit.errands.len()).unwrap_or(u32::MAX)))
            }
            None => AGAIN,
        };
        for (index, (policy, errand)) in visit.whose.into_iter().zip(visit.errands).enumerate() {
            let slots = state.by_policy.get_mut(&policy);
            let Some(slot) = slots.and_then(|slots| slots.get_mut(&errand.delivery)) else { continue };
            slot.due = now + again;
            let answer = match seen {
                Err(GitError { reason, message }) => {
                    let failure =
                        Failure { since: wall, reason: (*reason).to_owned(), message: message.clone() };
                    Answer::Failed(slot.fail(failure))
                }
                Ok(all) => {
                    let Some(mut seen) = all.get(index).cloned() else { continue };
                    match (seen.rejected.take(), &seen.files) {
                        (Some(failure), _) => seen.rejected = Some(slot.fail(failure)),
                        (None, Files::Say(_)) => slot.failures = 0,
                        // It was only looked at: what was rejected is so still.
                        (None, _) if errand.due.is_none() => {
                            if let Some(Answer::Known(before)) = &slot.answer {
                                seen.rejected.clone_from(&before.rejected);
                            }
                        }
                        (None, _) => {}
                    }
                    Answer::Known(seen)
                }
            };
            if errand.due.is_some() || slot.answer.as_ref() != Some(&answer) {
                woken.insert(policy);
            }
            slot.answer = Some(answer);
            if slot.commit.is_some() {
                // It became due meanwhile.
                slot.due = slot.not_before.max(now);
            }
        }
        drop(state);
        for policy in &woken {
            self.shared.wakes.wake(policy);
        }
        self.shared.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing below can panic half-way through a change, so a poisoned state is still whole.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn due(Commit { delivery, expects, takes_back, only_closes }: Commit) -> (Delivery, Due) {
    (delivery, Due { expects, takes_back, only_closes })
}
