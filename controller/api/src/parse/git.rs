//! `spec.stages[].targets[].git` and what is observed beside it.

mod request;

use super::{error::Errors, targets};
use crate::{
    bounds,
    spec::{self, GitAuthor, GitCommit, GitEdit, Observe},
};
use lockkeeper_core::git::{
    CommitStyle, FileEdit, GitTarget, Remote, wrong_author, wrong_branch, wrong_message, wrong_path,
    wrong_url,
};

pub(super) fn parse(
    errors: &mut Errors,
    target: &str,
    git: &spec::GitTarget,
    observe: Option<&Observe>,
) -> Option<GitTarget> {
    let path = format!("{target}.git");
    let long = (git.url.len() > bounds::ADDRESS).then_some("is too long");
    if let Some(reason) = long.or_else(|| wrong_url(&git.url)) {
        let fix = "write https://host/path or ssh://user@host/path, and put credentials into a Secret that secretRef names";
        errors.add(format!("{path}.url"), &git.url, reason, fix);
    }
    let long = (git.branch.len() > bounds::PATH).then_some("is too long");
    if let Some(reason) = long.or_else(|| wrong_branch(&git.branch)) {
        errors.add(
            format!("{path}.branch"),
            &git.branch,
            reason,
            "write the branch's short name, such as main",
        );
    }
    if let Some(secret) = &git.secret_ref {
        errors.own_object(&format!("{path}.secretRef.name"), &secret.name, "Secret");
    }
    let request = git.pull_request.as_ref();
    let request = request.map(|request| request::parse(errors, &format!("{path}.pullRequest"), git, request));
    errors.count(&format!("{path}.edits"), git.edits.len(), 1, bounds::EDITS);
    let style = git.commit.as_ref().map(|commit| style(errors, &format!("{path}.commit"), commit));
    let style = style.unwrap_or_default();
    let edits: Vec<Option<FileEdit>> = git
        .edits
        .iter()
        .enumerate()
        .map(|(n, edit)| one(errors, &format!("{path}.edits[{n}]"), edit))
        .collect();
    let edits: Option<Vec<FileEdit>> = edits.into_iter().collect();
    let Some(observe) = observe else {
        let fix = "name the pods in observe.pods, with a selector";
        errors.add(
            format!("{target}.observe"),
            "",
            "is missing: nothing would show that the files were applied",
            fix,
        );
        return None;
    };
    let (pods, path) = (&observe.pods, format!("{target}.observe.pods"));
    let namespaces = targets::namespaces(errors, &path, &pods.namespaces, pods.namespace_selector.as_ref());
    let match_labels = targets::labels(errors, &format!("{path}.selector.matchLabels"), &pods.selector);
    let containers = targets::containers(errors, &path, &pods.containers);
    Some(GitTarget {
        remote: Remote {
            url: git.url.trim_end_matches('/').to_owned(),
            branch: git.branch.clone(),
            secret: git.secret_ref.as_ref().map(|secret| secret.name.clone()),
            style,
            request: match request {
                Some(request) => Some(Box::new(request?)),
                None => None,
            },
        },
        edits: edits?,
        namespaces: namespaces?,
        match_labels,
        containers,
    })
}

fn style(errors: &mut Errors, path: &str, commit: &GitCommit) -> CommitStyle {
    if let Some(message) = &commit.message {
        let long = (message.len() > bounds::MESSAGE).then(|| "is too long".to_owned());
        if let Some(reason) = long.or_else(|| wrong_message(message)) {
            errors.add(
                format!("{path}.message"),
                message,
                reason,
                "write text, with $(image) and the like in it",
            );
        }
    }
    if let Some(GitAuthor { name, email }) = &commit.author {
        for (field, text) in [("name", name), ("email", email)] {
            if let Some(reason) = wrong_author(text) {
                errors.add(format!("{path}.author.{field}"), text, reason, "write it without them");
            }
        }
    }
    if let Some(secret) = &commit.signing_secret_ref {
        errors.own_object(&format!("{path}.signingSecretRef.name"), &secret.name, "Secret");
    }
    CommitStyle {
        message: commit.message.clone(),
        author: commit.author.as_ref().map(|author| (author.name.clone(), author.email.clone())),
        signing: commit.signing_secret_ref.as_ref().map(|secret| secret.name.clone()),
    }
}

fn one(errors: &mut Errors, path: &str, edit: &GitEdit) -> Option<FileEdit> {
    match (&edit.kustomize, &edit.helm_values, &edit.path, &edit.marker) {
        (Some(edit), None, None, None) => {
            let place = within(errors, &format!("{path}.kustomize.path"), &edit.path)?;
            Some(FileEdit::Kustomize { path: place, name: edit.name.clone() })
        }
        (None, Some(edit), None, None) => {
            let place = within(errors, &format!("{path}.helmValues.path"), &edit.path)?;
            Some(FileEdit::HelmValues { path: place, image: edit.image.clone() })
        }
        (None, None, Some(edit), None) => {
            let place = within(errors, &format!("{path}.path.path"), &edit.path)?;
            Some(FileEdit::Path { path: place, at: edit.at.clone() })
        }
        (None, None, None, Some(edit)) => {
            Some(FileEdit::Marker { path: within(errors, &format!("{path}.marker.path"), &edit.path)? })
        }
        _ => {
            let fix = "set exactly one of kustomize, helmValues, path and marker";
            errors.add(path, "", "is not one edit", fix);
            None
        }
    }
}

/// A path within the repository, without `.` and empty parts; empty for the root.
fn within(errors: &mut Errors, path: &str, text: &str) -> Option<String> {
    let long = (text.len() > bounds::PATH).then_some("is too long");
    if let Some(reason) = long.or_else(|| wrong_path(text)) {
        errors.add(path, text, reason, "name a file or a folder below the root of the repository");
        return None;
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    Some(parts.join("/"))
}
