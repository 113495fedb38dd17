//! What the files of a branch say of each errand, and the files of the commit that is due.
//!
//! Guarantees: only regular files are edited, and only those that an errand names; an errand whose edit is refused, or
//! whose files say something else than it expects, is no part of the commit; the others are.

use super::{
    cache::{Blob, Checkout},
    commit::{self, Draft},
    is_due,
    trouble::error,
};
use crate::ports::git::{Errand, GitError};
use lockkeeper_core::{
    git::{Delivery, FileEdit, Files, FilesSeen, Place},
    image::{ImageRef, shown},
};
use lockkeeper_edit::{Edit, Marked, Pin, edit};
use std::collections::BTreeMap;

/// The names under which a kustomization may stand.
const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// What the files that are searched for markers end with.
const MARKED: [&str; 2] = [".yaml", ".yml"];
/// What every marker has in it.
const MARKER: &[u8] = b"$imagepolicy";

/// A branch that was looked at.
pub struct Looked {
    pub checkout: Checkout,
    /// What was seen, one per errand.
    pub seen: Vec<FilesSeen>,
}

/// Contents of files that were edited, by path.
type Edited = BTreeMap<String, Vec<u8>>;

/// Looks what the files say; away from the runtime's threads, as parsing takes its time.
pub async fn look(checkout: Checkout, errands: Vec<Errand>) -> Result<Looked, GitError> {
    let looked = tokio::task::spawn_blocking(move || {
        let seen = errands.iter().map(|errand| see(&checkout, &errand.delivery)).collect();
        Looked { checkout, seen }
    });
    looked.await.map_err(|_| error("Failed", "looking at the files ended by itself".to_owned()))
}

impl Looked {
    /// The commit of everything that is due; none if nothing is.
    pub fn draft(&self, errands: &[Errand]) -> Option<Draft> {
        self.draft_of(errands, |index| is_due(errands[index].due.as_ref(), &self.seen[index]))
    }

    /// The commit of those errands that are wanted in it; none if none is.
    pub fn draft_of(&self, errands: &[Errand], wanted: impl Fn(usize) -> bool) -> Option<Draft> {
        let mut draft = Draft::default();
        for (index, Errand { delivery, due }) in errands.iter().enumerate() {
            if !wanted(index) {
                continue;
            }
            let mut with = draft.files.clone();
            // Alone it was possible; beside the others it may not be. Then it is due again after them.
            if apply(&self.checkout, delivery, &mut with).is_ok() {
                draft.files = with;
                draft.errands.push(index);
                draft.brings.push((delivery.clone(), due.as_ref().is_some_and(|due| due.takes_back)));
            }
        }
        (!draft.errands.is_empty()).then_some(draft)
    }
}

fn see(checkout: &Checkout, delivery: &Delivery) -> FilesSeen {
    let own = commit::own(&checkout.log, delivery);
    let files = match apply(checkout, delivery, &mut Edited::new()) {
        Err(why) => Files::Refused(why),
        Ok(places) if places.is_empty() => Files::Say(checkout.head.clone()),
        Ok(places) => Files::Differ(places),
    };
    FilesSeen { own, files, undone_by: None, rejected: None, proposal: None }
}

/// Makes the edits of a delivery on top of `edited`, and says which places that changed.
fn apply(checkout: &Checkout, delivery: &Delivery, edited: &mut Edited) -> Result<Vec<Place>, String> {
    let pin = pin(delivery)?;
    let marked = Marked::policy(&delivery.policy.0, &delivery.policy.1);
    let mut places = Vec::new();
    for wanted in &delivery.edits {
        let mut found = 0;
        for path in files_of(checkout, wanted)? {
            let bytes = match edited.get(path) {
                Some(bytes) => bytes,
                None => contents(checkout, path)?,
            };
            if matches!(wanted, FileEdit::Marker { .. })
                && !bytes.windows(MARKER.len()).any(|part| part == MARKER)
            {
                continue;
            }
            let image;
            let one = match wanted {
                FileEdit::Kustomize { name, .. } => Edit::Kustomize { pin: &pin, name: name.as_deref() },
                FileEdit::Marker { .. } => Edit::Marker { policy: &marked, pin: &pin },
                FileEdit::HelmValues { image: text, .. } | FileEdit::Path { at: text, .. } => {
                    image = text.parse().map_err(|why| format!("the edit's path {}: {why}", shown(text)))?;
                    Edit::HelmValues { path: &image, pin: &pin }
                }
            };
            let done = edit(path, bytes, None, &one).map_err(|refusal| refusal.to_string())?;
            found += done.found;
            let new = done.changes.into_iter();
            places.extend(new.map(|change| Place {
                file: path.to_owned(),
                path: change.path,
                from: change.from,
            }));
            edited.insert(path.to_owned(), done.bytes);
        }
        if found == 0 {
            let (namespace, name) = &delivery.policy;
            return Err(format!(
                "{} has no marker of this policy; write {{\"$imagepolicy\": \"{namespace}:{name}\"}} behind the value",
                shown(wanted.path())
            ));
        }
    }
    places.sort();
    Ok(places)
}

fn pin(delivery: &Delivery) -> Result<Pin, String> {
    let Delivery { repositories, tag, digest, .. } = delivery;
    let repository = repositories.first().map(ToString::to_string).unwrap_or_default();
    let tag = tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
    let image: ImageRef = format!("{repository}{tag}@{digest}").parse().map_err(|why| format!("{why}"))?;
    Ok(Pin::of_policy(image, repositories.clone()))
}

/// Whether an edit reads this file.
pub fn wants(edit: &FileEdit, path: &str) -> bool {
    match edit {
        FileEdit::HelmValues { path: file, .. } | FileEdit::Path { path: file, .. } => path == file,
        FileEdit::Kustomize { path: folder, .. } => {
            below(folder, path).is_some_and(|name| KUSTOMIZATIONS.contains(&name)) || path == folder
        }
        FileEdit::Marker { path: place } => {
            path == place || (below(place, path).is_some() && MARKED.iter().any(|end| path.ends_with(end)))
        }
    }
}

/// The rest of a path below a folder.
fn below<'p>(folder: &str, path: &'p str) -> Option<&'p str> {
    if folder.is_empty() { Some(path) } else { path.strip_prefix(folder)?.strip_prefix('/') }
}

/// The files that an edit is about.
fn files_of<'c>(checkout: &'c Checkout, edit: &FileEdit) -> Result<Vec<&'c str>, String> {
    let found: Vec<&str> =
        checkout.files.keys().filter(|path| wants(edit, path)).map(String::as_str).collect();
    let named = shown(edit.path());
    match (edit, found.as_slice()) {
        (FileEdit::Kustomize { .. }, []) => Err(format!(
            "{named} has no kustomization: none of {} is there; correct the edit's path",
            KUSTOMIZATIONS.join(", ")
        )),
        (FileEdit::Kustomize { .. }, [_, _, ..]) => {
            Err(format!("{named} has several kustomizations: {}; leave one", found.join(", ")))
        }
        (_, []) => Err(format!("{named} is not there, or has no file of that kind; correct the edit's path")),
        _ => Ok(found),
    }
}

fn contents<'c>(checkout: &'c Checkout, path: &str) -> Result<&'c [u8], String> {
    match checkout.files.get(path) {
        Some(Blob { bytes: Some(bytes), .. }) => Ok(bytes),
        Some(Blob { mode, .. }) if mode == "120000" => {
            Err(format!("{path} is a symbolic link, which is not followed; name the file that it leads to"))
        }
        _ => Err(format!("{path} is no regular file; correct the edit's path")),
    }
}
