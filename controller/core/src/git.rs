//! Delivery through a repository: what a `git` target pins, what is asked about its files, and what they were found to say.
//!
//! Guarantees: a delivery says all that has to be known to look at the files or to make the commit, so that whoever does
//! it needs to know nothing of stages; it is named after the attempt that it belongs to, and so is its commit. May not:
//! know how a repository is reached.

mod message;
mod request;

pub use message::{marks, message, unmarked};
pub use request::{
    Forge, MergeMethod, Proposal, PullRequest, RequestSeen, RequestState, place_of, wrong_place,
};

use crate::{
    image::{Digest, Release, Repository, Tag},
    observed::Failure,
    policy::Namespaces,
};
use std::{collections::BTreeMap, fmt};

/// Files of a repository that name the image, and the pods in which that shows.
#[derive(Clone, Debug)]
pub struct GitTarget {
    /// Which branch of which repository.
    pub remote: Remote,
    /// What is edited there, at least one.
    pub edits: Vec<FileEdit>,
    /// Where the pods are that the files lead to.
    pub namespaces: Namespaces,
    /// Their labels, at least one.
    pub match_labels: BTreeMap<String, String>,
    /// Names of their containers where the repository is not enough.
    pub containers: Vec<String>,
}

/// One branch, and as whom it is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remote {
    /// `https://host/path` without a user, or `ssh://user@host/path`; without query and fragment.
    pub url: String,
    /// The branch's short name.
    pub branch: String,
    /// The Secret of the policy's namespace with the credential.
    pub secret: Option<String>,
    /// What commits on it are like.
    pub style: CommitStyle,
    /// It is changed by requests that somebody merges; none: it is pushed to.
    pub request: Option<Box<PullRequest>>,
}

/// What commits are like.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommitStyle {
    /// What the message says before its trailers, with [`VARIABLES`] in it; none: what it usually says.
    pub message: Option<String>,
    /// Name and mail address; none: Lockkeeper's own.
    pub author: Option<(String, String)>,
    /// The Secret of the policy's namespace with the key that signs.
    pub signing: Option<String>,
}

/// What stands for something in a message, as `$(stage)`. Nothing else does, and what is put in is not read again.
pub const VARIABLES: [&str; 8] =
    ["action", "policy", "namespace", "stage", "image", "tag", "digest", "attempt"];

/// Why a text is no template of a message, if it is none.
#[must_use]
pub fn wrong_message(text: &str) -> Option<String> {
    if text.lines().next().is_none_or(|line| line.trim().is_empty()) {
        return Some("has no first line".to_owned());
    }
    if text.contains(|c: char| c.is_control() && c != '\n') {
        return Some("holds a control character".to_owned());
    }
    if text.to_ascii_lowercase().contains("lockkeeper-") {
        return Some("holds Lockkeeper-, which only trailers begin with".to_owned());
    }
    let mut parts = text.split("$(");
    parts.next();
    let unknown = parts.find_map(|part| {
        let name = part.split_once(')').map(|(name, _)| name);
        let known = name.is_some_and(|name| VARIABLES.contains(&name));
        (!known).then(|| name.unwrap_or(part).chars().take(20).collect::<String>())
    })?;
    Some(format!("has $({unknown}), and knows only {}", VARIABLES.join(", ")))
}

/// Why a text is no name or mail address of an author, if it is none.
#[must_use]
pub fn wrong_author(text: &str) -> Option<&'static str> {
    let wrong = |c: char| c.is_control() || "<>".contains(c);
    (text.trim().is_empty() || text.contains(wrong))
        .then_some("is empty, or holds <, > or a control character")
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.branch, self.url)
    }
}

/// One edit, by a path within the repository that leads nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileEdit {
    /// The `images` entry of the kustomization in this folder.
    Kustomize {
        /// The folder.
        path: String,
        /// The name that the manifests use, where it is not the repository.
        name: Option<String>,
    },
    /// An image of a chart's values.
    HelmValues {
        /// The file.
        path: String,
        /// Where in it.
        image: String,
    },
    /// An image in any file.
    Path {
        /// The file.
        path: String,
        /// Where in it.
        at: String,
    },
    /// The values that comments mark for the policy.
    Marker {
        /// A file, or a folder with all below it.
        path: String,
    },
}

impl FileEdit {
    /// Where it is, as the policy names it.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Kustomize { path, .. }
            | Self::HelmValues { path, .. }
            | Self::Path { path, .. }
            | Self::Marker { path } => path,
        }
    }
}

/// A release that the files of one target shall name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivery {
    /// The attempt with the target's number, such as `1f0c9a3e-7/0`; `.1` behind it once a commit of it was taken out again.
    pub id: String,
    /// The policy's namespace and name.
    pub policy: (String, String),
    /// The stage.
    pub stage: String,
    /// Where.
    pub remote: Remote,
    /// What is edited there.
    pub edits: Vec<FileEdit>,
    /// The policy's repositories, its own first: a file may name any of them.
    pub repositories: Vec<Repository>,
    /// The tag that is written beside the digest.
    pub tag: Option<Tag>,
    /// The digest.
    pub digest: Digest,
}

impl Delivery {
    /// What names it in the message of its commit. The digest is part of it: attempts are counted anew after a lost
    /// status.
    #[must_use]
    pub fn mark(&self) -> String {
        format!("{}@{}", self.id, self.digest.short())
    }
}

/// One value of one file that would have to change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: String,
    /// Where in it.
    pub path: String,
    /// What it says.
    pub from: String,
}

impl Place {
    /// It names this release: by a digest, or, where it holds no digest, by its whole tag.
    #[must_use]
    pub fn names(&self, release: &Release) -> bool {
        match self.from.find("sha256:").and_then(|at| self.from.get(at..at + "sha256:".len() + 64)) {
            Some(digest) => digest.parse::<Digest>().is_ok_and(|digest| release.answers_to(&digest)),
            None => release
                .tag
                .as_ref()
                .is_some_and(|tag| self.from == tag.as_str() || self.from.ends_with(&format!(":{tag}"))),
        }
    }
}

/// What a branch was found to say about a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesSeen {
    /// The newest commit that carries the delivery's mark, of those looked through.
    pub own: Option<String>,
    /// What the files say.
    pub files: Files,
    /// Who committed to these files last since that commit, where they do not say it any more.
    pub undone_by: Option<String>,
    /// Why the last commit was not taken, and since when none is.
    pub rejected: Option<Failure>,
    /// Where the branch is changed by requests: what was found of this one.
    pub proposal: Option<Proposal>,
}

/// What the files of a delivery say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Files {
    /// They name the release, as of this commit.
    Say(String),
    /// They say something else here.
    Differ(Vec<Place>),
    /// They cannot be edited: file, line and why.
    Refused(String),
}

/// A commit that brings the files to a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// What it brings.
    pub delivery: Delivery,
    /// What the files say until then: where they say anything else by now, nothing is written.
    pub expects: Vec<Place>,
    /// It takes a release back; people read it in the commit's message.
    pub takes_back: bool,
    /// Nothing is written: a request that is open from the stage's own branch is closed.
    pub only_closes: bool,
}

/// Why a text is no path within a repository, if it is none.
#[must_use]
pub fn wrong_path(path: &str) -> Option<&'static str> {
    if path.starts_with('/') || path.contains(['\\', ':']) || path.contains(char::is_control) {
        return Some("is not relative");
    }
    let leads_out =
        |part: &str| part == ".." || part.trim_end_matches([' ', '.']).eq_ignore_ascii_case(".git");
    path.split('/').any(leads_out).then_some("leads out of the files")
}

/// Why a text is no name of a branch, if it is none: git's rules, and no options.
#[must_use]
pub fn wrong_branch(name: &str) -> Option<&'static str> {
    let part = |part: &str| part.is_empty() || part.starts_with('.') || part.strip_suffix(".lock").is_some();
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || "~^:?*[\\+".contains(c);
    if name.starts_with('-') || name.ends_with('.') || name == "@" || name.split('/').any(part) {
        return Some("is not the short name of a branch");
    }
    if name.contains(forbidden) || name.contains("..") || name.contains("@{") {
        return Some("holds what git allows in no branch's name");
    }
    name.starts_with("refs/").then_some("is a full reference")
}

/// Why a text is no address of a repository, if it is none.
#[must_use]
pub fn wrong_url(url: &str) -> Option<&'static str> {
    let (rest, ssh) = match (url.strip_prefix("https://"), url.strip_prefix("ssh://")) {
        (Some(rest), _) => (rest, false),
        (None, Some(rest)) => (rest, true),
        (None, None) => return Some("does not begin with https:// or ssh://"),
    };
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) = place.rsplit_once('@').map_or((None, place), |(user, host)| (Some(user), host));
    let of = |text: &str, more: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
    let wrong_user = |user: &str| user.is_empty() || user.starts_with('-') || !of(user, "._-");
    if user.is_some_and(|user| !ssh || wrong_user(user)) {
        Some("holds a user or a password")
    } else if ssh && user.is_none() {
        Some("names no user, as ssh needs one")
    } else if host.is_empty() || !of(host, ".:_[]-") || host.starts_with('-') {
        Some("has no host")
    } else if path.is_empty() || !of(path, "._~/-") || path.split('/').any(|part| part == "..") {
        Some("has no path, or one with other characters than letters, digits and . _ ~ / -")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_31_a_path_stays_in_the_repository() {
        for path in ["clusters/prod", "a.yaml", ".", "charts/api/values.yaml", "a/.github/x.yaml"] {
            assert_eq!(wrong_path(path), None, "{path}");
        }
        for path in [
            "../../etc",
            "/etc/passwd",
            ".git/config",
            "a/.GIT/config",
            "a/.git./x",
            "C:\\x",
            "C:/x",
            "a/../b",
            "a\nb",
        ] {
            assert!(wrong_path(path).is_some(), "{path}");
        }
    }

    #[test]
    fn row_34_a_branch_is_no_option_and_no_reference() {
        for branch in ["main", "release/1.2", "a-b_c"] {
            assert_eq!(wrong_branch(branch), None, "{branch}");
        }
        for branch in [
            "",
            "-f",
            "--upload-pack=x",
            "a..b",
            "a b",
            "refs/heads/main",
            "a:b",
            "+main",
            "@",
            "a/.b",
            "a.lock",
            "x^",
        ] {
            assert!(wrong_branch(branch).is_some(), "{branch}");
        }
    }

    #[test]
    fn row_34_an_address_is_https_without_a_user_or_ssh_with_one() {
        assert_eq!(wrong_url("https://git.example.com/platform/deploy.git"), None);
        assert_eq!(wrong_url("https://127.0.0.1:8443/deploy"), None);
        assert_eq!(wrong_url("ssh://git@git.example.com:2222/platform/deploy.git"), None);
        for url in [
            "ssh://git.example.com/x",
            "ssh://-Fx@git.example.com/x",
            "ssh://git:secret@git.example.com/x",
            "ssh://git@-oProxyCommand=id/x",
            "ssh://git@git.example.com",
            "git@git.example.com:x",
            "http://git.example.com/x",
            "file:///etc",
            "ext::sh -c id",
            "--upload-pack=x",
            "https://user:secret@git.example.com/x",
            "https://git.example.com",
            "https:///x",
            "https://git.example.com/x?y",
            "https://git.example.com/../x",
        ] {
            assert!(wrong_url(url).is_some(), "{url}");
        }
    }

    #[test]
    fn a_place_names_a_release_by_its_digest_or_by_its_whole_tag() {
        let digest = Digest::of(b"one");
        let release = Release {
            tag: Some("0.28.0".parse().unwrap()),
            version: None,
            digest: digest.clone(),
            platforms: Vec::new(),
            created: None,
        };
        let place = |from: &str| Place { file: "f".into(), path: "p".into(), from: from.into() };
        assert!(place(&format!("ghcr.io/a/b:9@{digest}")).names(&release), "the digest counts, not the tag");
        assert!(place(digest.as_str()).names(&release));
        assert!(place("ghcr.io/a/b:0.28.0").names(&release) && place("0.28.0").names(&release));
        let other = Digest::of(b"two");
        assert!(!place(&format!("ghcr.io/a/b:0.28.0@{other}")).names(&release));
        assert!(!place("ghcr.io/a/b:10.28.0").names(&release) && !place("").names(&release));
    }

    #[test]
    fn row_36_a_message_knows_its_variables_and_no_code() {
        assert_eq!(
            wrong_message("chore: $(action) $(image) in $(stage)\n\nby $(namespace)/$(policy) $"),
            None
        );
        for text in ["", "\nx", "$(secret)", "$(tag", "$($(tag))", "a\u{1b}b", "x\n\nlockkeeper-attempt: y"] {
            assert!(wrong_message(text).is_some(), "{text}");
        }
        assert_eq!(wrong_author("Deploy Bot"), None);
        for text in ["", "a <b>", "a\nb"] {
            assert!(wrong_author(text).is_some(), "{text}");
        }
    }
}
