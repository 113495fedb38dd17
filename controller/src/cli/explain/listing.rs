//! Every tag that the registry lists now, for `--all-tags`: the status has room for the newest few only.
//!
//! Guarantees: of a tag that the controller looked at, what it found counts, as it stands in the status; of the others
//! what the controller's own selection says, and the best of those is looked at as the controller would. Where the answer
//! is another one than the controller's, that is said. The registry is asked with the credentials of whoever asks.

use super::super::{
    exit::Failure,
    known::Loaded,
    select::{
        Access,
        held::Held,
        judge::Judge,
        listing::Listed,
        look::{Look, Looked},
        signed::Signatures,
    },
};
use jiff::Timestamp;
use lockkeeper_core::{
    conditions::TAGS,
    select::{Explained, Verdict},
    status::TagSeen,
};
use serde::Serialize;
use std::{collections::BTreeSet, path::PathBuf};

/// Reasons of tags that selection admits and nothing speaks against.
const TAKEN: [&str; 2] = ["Candidate", "TooYoung"];

#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "All tags")]
pub struct FromRegistry {
    /// Ask the registry for its tags, and show every one of them with its reason.
    #[arg(long)]
    pub all_tags: bool,
    /// A public key in PEM form, in place of the Secret that select.verify names, for tags that the controller has not
    /// looked at. Repeatable.
    #[arg(long, value_name = "FILE", requires = "all_tags")]
    cosign_key: Vec<PathBuf>,
    #[command(flatten)]
    access: Access,
}

/// What the registry lists now.
#[derive(Debug, Serialize)]
pub struct Listing {
    /// Every tag with its reason.
    #[serde(skip)]
    pub tags: Vec<TagSeen>,
    /// How many there are.
    pub count: usize,
    /// Where this is not what the controller saw when it looked last.
    pub differs: Vec<String>,
}

/// Asks for it.
pub async fn listing(loaded: &Loaded, args: &FromRegistry, now: Timestamp) -> Result<Listing, Failure> {
    let policy = &loaded.policy;
    let insecure = args.access.insecure || loaded.object.registry_insecure();
    let look = Look::at(&args.access, insecure, policy.image.clone())?;
    let listed = look.list().await?;
    let verify = policy.verify.as_ref();
    let judge = Judge {
        selection: &policy.select,
        verify,
        signatures: Signatures::new(verify, &args.cosign_key, &args.access.registries)?,
        held: Held::new(&[], &loaded.quarantines)?,
        looked: looked(loaded),
    };
    let found = judge.judge(&look, &listed, now).await?;
    let differs = differs(loaded, &listed, &found);
    let tags: Vec<TagSeen> = said(loaded, found);
    Ok(Listing { count: tags.len(), tags, differs })
}

/// What the controller found when it looked at tags that selection admits.
fn looked(loaded: &Loaded) -> Looked {
    let mut looked = Looked::default();
    for seen in &loaded.status.tags {
        let Some(reason) = TAGS.iter().map(|word| word.name).find(|name| *name == seen.reason) else {
            continue;
        };
        if TAKEN.contains(&reason) {
            looked.take(&seen.tag);
        } else if reason != "Older" && loaded.policy.select.judge(&seen.tag).is_ok() {
            looked.refuse(Verdict { tag: seen.tag.clone(), reason, message: seen.message.clone() });
        }
    }
    looked
}

/// The chosen tag as the controller speaks of it, if it is the candidate.
fn said(loaded: &Loaded, found: Explained) -> Vec<TagSeen> {
    let candidate = loaded.status.tags.iter().find(|seen| TAKEN.contains(&seen.reason.as_str()));
    let verdicts = found.tags.into_iter().map(|verdict| match candidate {
        Some(candidate) if verdict.reason == "Chosen" && candidate.tag == verdict.tag => TagSeen {
            message: if candidate.message.is_empty() { verdict.message } else { candidate.message.clone() },
            ..candidate.clone()
        },
        _ => TagSeen { tag: verdict.tag, reason: verdict.reason.to_owned(), message: verdict.message },
    });
    verdicts.collect()
}

fn differs(loaded: &Loaded, listed: &[Listed], found: &Explained) -> Vec<String> {
    let there: BTreeSet<&str> = listed.iter().map(|listed| listed.tag.as_str()).collect();
    let mut all = Vec::new();
    let gone = loaded.status.tags.iter().filter(|seen| !there.contains(seen.tag.as_str()));
    for seen in gone.filter(|seen| seen.reason != "NotATag") {
        all.push(format!("the controller saw tag {} ({}), which is not listed now", seen.tag, seen.reason));
    }
    let before = loaded.status.candidate.as_ref().and_then(|release| release.tag.as_ref());
    let now = found.chosen.as_ref().map(|ranked| &ranked.tag);
    if before != now {
        let before = before.map_or("chosen none".to_owned(), |tag| format!("chosen {tag}"));
        let now = now.map_or("nothing is".to_owned(), |tag| format!("{tag} is"));
        let interval = loaded.status.effective.get("interval").map_or("its interval", String::as_str);
        all.push(format!(
            "the controller has {before}; {now} what would be chosen of this listing. It looks every {interval}, with its own \
             credentials; annotate the policy with lockkeeper.dev/requestedAt to make it look now"
        ));
    }
    all
}
