//! Requests to merge: how a delivery asks for one, and what a forge was found to say of it.
//!
//! Guarantees: a stage of a policy has one branch of its own for each branch that it wants changed, so that it has one open
//! request there; a request says in its text which deliveries it brings.

use super::Delivery;

/// The branch is changed by a request that somebody merges.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PullRequest {
    /// Whose interface is spoken.
    pub forge: Forge,
    /// Its address, where it does not follow from the repository's.
    pub address: Option<String>,
    /// The Secret of the policy's namespace with the credential for it; none: the repository's.
    pub secret: Option<String>,
    /// What names of its branches begin with.
    pub prefix: String,
    /// Labels that it is given.
    pub labels: Vec<String>,
    /// Who is asked to look at it.
    pub reviewers: Vec<String>,
    /// The forge merges it by itself once its own rules allow that.
    pub auto_merge: Option<MergeMethod>,
}

/// Whose interface is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Forge {
    /// GitHub, and GitHub Enterprise Server.
    GitHub,
    /// GitLab.
    GitLab,
    /// Gitea and Forgejo.
    Gitea,
    /// Bitbucket Cloud.
    Bitbucket,
    /// Azure DevOps.
    AzureDevOps,
}

impl Forge {
    /// All, as they are written in a policy.
    pub const ALL: [(&'static str, Self); 5] = [
        ("github", Self::GitHub),
        ("gitlab", Self::GitLab),
        ("gitea", Self::Gitea),
        ("bitbucket", Self::Bitbucket),
        ("azuredevops", Self::AzureDevOps),
    ];
}

/// How a forge merges by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MergeMethod {
    /// A commit of two parents.
    Merge,
    /// One commit with everything.
    Squash,
    /// The commits on top of the branch.
    Rebase,
}

impl MergeMethod {
    /// All, as they are written in a policy.
    pub const ALL: [(&'static str, Self); 3] =
        [("Merge", Self::Merge), ("Squash", Self::Squash), ("Rebase", Self::Rebase)];
}

/// What was found of the request that a delivery asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proposal {
    /// The branch of its own has exactly what the delivery would change in the branch as it is now.
    pub ready: bool,
    /// The newest request from that branch.
    pub request: Option<RequestSeen>,
}

/// A request of a forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestSeen {
    /// Where people look at it.
    pub url: String,
    /// Its text says that it brings the delivery.
    pub brings: bool,
    /// What became of it.
    pub state: RequestState,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestState {
    /// Nothing yet.
    Open,
    /// It was closed and not merged.
    Closed,
    /// It was merged.
    Merged,
}

impl Delivery {
    /// The branch of its own that is asked to be merged; none where the branch itself is pushed to.
    #[must_use]
    pub fn own_branch(&self) -> Option<String> {
        let prefix = &self.remote.request.as_ref()?.prefix;
        let (namespace, policy) = &self.policy;
        // The branch's name comes last: two of them never lie within each other, as git has it.
        Some(format!("{prefix}/{namespace}/{policy}/{}/{}", self.stage, self.remote.branch))
    }
}

/// The host of a repository's address, with its port over https, and the parts of its path.
#[must_use]
pub fn place_of(url: &str) -> (String, Vec<&str>) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
    // A forge speaks ssh at another port than https.
    let host = match host.rsplit_once(':') {
        Some((name, port)) if scheme == "ssh" && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    (host.to_owned(), path.split('/').filter(|part| !part.is_empty()).collect())
}

/// Why it cannot be told where this forge has the repository of this address, if it cannot.
#[must_use]
pub fn wrong_place(forge: Forge, url: &str) -> Option<&'static str> {
    let (host, path) = place_of(url);
    match (forge, path.as_slice()) {
        (Forge::GitHub | Forge::Gitea, [_, _]) | (Forge::GitLab, [_, _, ..]) => None,
        (Forge::GitHub | Forge::GitLab | Forge::Gitea, _) => {
            Some("has no repository where the address has no path owner/repository")
        }
        (Forge::Bitbucket, [_, _]) if host == "bitbucket.org" => None,
        (Forge::Bitbucket, _) => Some("is Bitbucket Cloud, at bitbucket.org/workspace/repository"),
        (Forge::AzureDevOps, [_, _, "_git", _]) if host == "dev.azure.com" => None,
        (Forge::AzureDevOps, ["v3", _, _, _]) if host == "ssh.dev.azure.com" => None,
        (Forge::AzureDevOps, _) => {
            Some("is at dev.azure.com/organization/project/_git/repository, or ssh.dev.azure.com/v3/…")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forge_is_found_where_the_repository_is() {
        let found = |url| {
            let (host, path) = place_of(url);
            format!("{host} {}", path.join(" "))
        };
        assert_eq!(found("https://git.example.com:8443/a/b.git"), "git.example.com:8443 a b");
        assert_eq!(found("ssh://git@git.example.com:2222/a/b/"), "git.example.com a b");
        assert_eq!(found("ssh://git@[::1]:22/a/b"), "[::1] a b");
        for (forge, url) in [
            (Forge::GitHub, "https://github.com/a/b"),
            (Forge::GitLab, "https://gitlab.com/a/b/c"),
            (Forge::Gitea, "ssh://git@codeberg.org/a/b.git"),
            (Forge::Bitbucket, "https://bitbucket.org/a/b"),
            (Forge::AzureDevOps, "https://dev.azure.com/o/p/_git/r"),
            (Forge::AzureDevOps, "ssh://git@ssh.dev.azure.com/v3/o/p/r"),
        ] {
            assert_eq!(wrong_place(forge, url), None, "{url}");
        }
        for (forge, url) in [
            (Forge::GitHub, "https://github.com/a"),
            (Forge::GitLab, "https://gitlab.com/a"),
            (Forge::Gitea, "https://git.example.com/forge/a/b"),
            (Forge::Bitbucket, "https://git.example.com/a/b"),
            (Forge::AzureDevOps, "https://dev.azure.com/o/p/r"),
        ] {
            assert!(wrong_place(forge, url).is_some(), "{url}");
        }
    }
}
