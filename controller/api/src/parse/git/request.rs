//! `spec.stages[].targets[].git.pullRequest`.

use crate::{
    bounds, defaults,
    parse::error::Errors,
    spec::{self, GitTarget},
};
use lockkeeper_core::git::{Forge, MergeMethod, PullRequest, wrong_branch, wrong_place, wrong_url};

pub(super) fn parse(
    errors: &mut Errors,
    path: &str,
    git: &GitTarget,
    request: &spec::PullRequest,
) -> Option<PullRequest> {
    let forge = errors.word(&format!("{path}.provider"), &request.provider, &Forge::ALL);
    if let Some(address) = &request.address {
        let reason = if address.len() > bounds::ADDRESS {
            Some("is too long")
        } else if address.starts_with("https://") {
            wrong_url(&format!("{}/x", address.trim_end_matches('/')))
        } else {
            Some("does not begin with https://")
        };
        if let Some(reason) = reason {
            let fix = "write https://host/path, and put credentials into a Secret that secretRef names";
            errors.add(format!("{path}.address"), address, reason, fix);
        }
    } else if let Some(reason) = forge.and_then(|forge| wrong_place(forge, &git.url)) {
        let fix = "correct git.url or provider, or name the interface in address";
        errors.add(format!("{path}.provider"), &request.provider, reason, fix);
    }
    if let Some(secret) = &request.secret_ref {
        errors.own_object(&format!("{path}.secretRef.name"), &secret.name, "Secret");
    }
    let prefix = request.branch_prefix.as_deref().unwrap_or(defaults::BRANCH_PREFIX);
    let long = (prefix.len() > 63).then_some("is too long");
    if let Some(reason) = long.or_else(|| wrong_branch(prefix)) {
        errors.add(format!("{path}.branchPrefix"), prefix, reason, "write a short name, such as lockkeeper");
    }
    for (field, all) in [("labels", &request.labels), ("reviewers", &request.reviewers)] {
        errors.count(&format!("{path}.{field}"), all.len(), 0, bounds::REQUESTED);
        for (n, text) in all.iter().enumerate() {
            if text.is_empty() || text.len() > 100 || text.contains(char::is_control) {
                let reason = "is empty, too long, or holds a control character";
                errors.add(format!("{path}.{field}[{n}]"), text, reason, "write the name that the forge has");
            }
        }
    }
    let auto_merge = request.auto_merge.as_deref();
    let auto_merge =
        auto_merge.map(|word| errors.word(&format!("{path}.autoMerge"), word, &MergeMethod::ALL));
    if forge == Some(Forge::Bitbucket) && (auto_merge.is_some() || !request.labels.is_empty()) {
        let reason = "has neither labels nor a merge by itself";
        errors.add(format!("{path}.provider"), &request.provider, reason, "remove labels and autoMerge");
    }
    Some(PullRequest {
        forge: forge?,
        address: request.address.as_ref().map(|address| address.trim_end_matches('/').to_owned()),
        secret: request.secret_ref.as_ref().map(|secret| secret.name.clone()),
        prefix: prefix.to_owned(),
        labels: request.labels.clone(),
        reviewers: request.reviewers.clone(),
        auto_merge: match auto_merge {
            Some(method) => Some(method?),
            None => None,
        },
    })
}
