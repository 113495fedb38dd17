//! Commits: made without a working tree, found again by their marks, pushed without force.
//!
//! Guarantees: a commit changes the files that were edited and nothing else, and keeps their modes; its message ends in
//! trailers that no tag, digest or name can forge, as none of them can hold a line break.

use super::{
    cache::Checkout,
    program::{LOCAL, Program},
    trouble::{Pushed, of_call, of_push},
};
use crate::ports::git::GitError;
use lockkeeper_core::git::{CommitStyle, Delivery, Remote, marks, message};
use std::{collections::BTreeMap, fmt::Write as _, fs, time::Duration};

/// Who commits.
const AUTHOR: (&str, &str) = ("Lockkeeper", "lockkeeper@lockkeeper.dev");
/// Longest time of a push.
const PUSH: Duration = Duration::from_mins(1);

/// A commit that is due.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// The errands that it carries out, by index.
    pub errands: Vec<usize>,
    /// What it brings, and whether that takes a release back.
    pub brings: Vec<(Delivery, bool)>,
    /// Files by path, with their new contents.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Makes a commit on top of what was looked at. Nobody else sees it yet.
pub async fn make(
    program: &Program,
    checkout: &Checkout,
    draft: &Draft,
    style: &CommitStyle,
) -> Result<String, GitError> {
    let mut index = String::new();
    for (path, bytes) in &draft.files {
        let Some(blob) = checkout.files.get(path).filter(|blob| blob.bytes.as_ref() != Some(bytes)) else {
            continue;
        };
        let name = line(program, &["hash-object", "-w", "--no-filters", "--stdin"], bytes, &[]).await?;
        // Writing to a text cannot fail.
        let _ = write!(index, "{} {name}\t{path}\0", blob.mode);
    }
    let file = program.folder().join("lockkeeper-index");
    let place = file.display().to_string();
    let with = [("GIT_INDEX_FILE", place.as_str())];
    let tree = async {
        line(program, &["read-tree", &checkout.head], b"", &with).await?;
        line(program, &["update-index", "-z", "--index-info"], index.as_bytes(), &with).await?;
        line(program, &["write-tree", "--missing-ok"], b"", &with).await
    };
    let tree = tree.await;
    // It is read anew for each commit.
    let _ = fs::remove_file(&file);
    let own = style.author.as_ref().map(|(name, mail)| (name.as_str(), mail.as_str()));
    let (name, mail) = own.unwrap_or(AUTHOR);
    let who = [
        ("GIT_AUTHOR_NAME", name),
        ("GIT_AUTHOR_EMAIL", mail),
        ("GIT_COMMITTER_NAME", name),
        ("GIT_COMMITTER_EMAIL", mail),
    ];
    let sign = style.signing.is_some().then_some("-S");
    let tree = tree?;
    let commit: Vec<&str> = ["commit-tree"]
        .into_iter()
        .chain(sign)
        .chain([tree.as_str(), "-p", &checkout.head, "-F", "-"])
        .collect();
    line(program, &commit, message(&draft.brings, style.message.as_deref()).as_bytes(), &who).await
}

/// Pushes a commit to a branch, which must still be where it was looked at. `replaces`: of a branch of our own, the commit
/// that it still has to be at, empty where it must not be there. `left`: it may not land later than that.
pub async fn push(
    program: &Program,
    remote: &Remote,
    branch: &str,
    commit: &str,
    replaces: Option<&str>,
    left: Duration,
) -> Result<Pushed, GitError> {
    let spec = format!("{commit}:refs/heads/{branch}");
    let lease = replaces.map(|tip| format!("--force-with-lease=refs/heads/{branch}:{tip}"));
    let push: Vec<&str> = ["push", "--porcelain", "--no-verify"]
        .into_iter()
        .chain(lease.as_deref())
        .chain(["origin", spec.as_str()])
        .collect();
    match program.run(&push, b"", &[], PUSH.min(left)).await {
        Ok(printed) => {
            let pushed = of_push(&printed);
            tracing::info!(
                url = remote.url,
                branch,
                commit,
                landed = matches!(pushed, Pushed::Landed),
                "push"
            );
            Ok(pushed)
        }
        // The server may have it all the same.
        Err(error @ super::program::CallError::TooLong { .. }) => Ok(Pushed::Outrun(error.to_string())),
        Err(error) => Err(of_call(error)),
    }
}

/// The one line that a call prints.
pub async fn line(
    program: &Program,
    arguments: &[&str],
    input: &[u8],
    environment: &[(&str, &str)],
) -> Result<String, GitError> {
    let bytes = program.output(arguments, input, environment, LOCAL).await.map_err(of_call)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// Who committed last, since `own`, to what a delivery edits; none where git cannot tell.
pub async fn last_author(
    program: &Program,
    checkout: &Checkout,
    own: &str,
    delivery: &Delivery,
) -> Option<String> {
    let range = format!("{own}..{}", checkout.head);
    let paths = delivery.edits.iter().map(|edit| if edit.path().is_empty() { "." } else { edit.path() });
    let log: Vec<&str> = ["log", "-1", "--format=%an", &range, "--"].into_iter().chain(paths).collect();
    match line(program, &log, b"", &[]).await {
        Ok(name) => Some(name.chars().filter(|c| !c.is_control()).take(100).collect())
            .filter(|n: &String| !n.is_empty()),
        Err(error) => {
            tracing::debug!(%error, "who took a release out of the files could not be found out");
            None
        }
    }
}

/// The newest commit that carries the mark of this delivery.
pub fn own(log: &[(String, String)], delivery: &Delivery) -> Option<String> {
    let mark = delivery.mark();
    log.iter().find(|(_, message)| marks(message).any(|found| found == mark)).map(|(name, _)| name.clone())
}
