//! The containers of manifests: every `image` of the pin's repositories, wherever a pod template stands.
//!
//! Guarantees: only items of lists named `containers` and `initContainers` are looked at; an image of another repository
//! stays; a container that has the image by an alias or a merge is refused, not passed over.

use crate::{
    find,
    path::{Path, Step},
    pin::Pin,
    refusal::Why,
    session::Session,
    tree::{Id, Tree},
};
use lockkeeper_core::image::ImageRef;

/// The lists that hold containers.
const LISTS: [&str; 2] = ["containers", "initContainers"];

pub fn edit(session: &mut Session<'_>, pin: &Pin, document: Option<usize>) -> Result<(), Why> {
    let mut places = Vec::new();
    for index in find::documents(&session.tree, document)? {
        if let Some(root) = session.tree.documents[index].root {
            let mut search = Search { tree: &session.tree, pin, document: index, places: &mut places };
            search.below(root, &mut Vec::new())?;
        }
    }
    for (document, path) in places {
        let found = find::one(&session.tree, &path, Some(document + 1))?;
        let (line, old) =
            (session.tree.nodes[found.id].line, session.tree.scalar(found.id).unwrap_or_default());
        let value = pin.reference_for(old).map_err(|reason| Why::at(line, reason))?;
        session.set(&found, &value)?;
    }
    Ok(())
}

struct Search<'s, 'a> {
    tree: &'s Tree<'a>,
    pin: &'s Pin,
    document: usize,
    /// The document and the path of each image.
    places: &'s mut Vec<(usize, Path)>,
}

impl Search<'_, '_> {
    /// Nesting is bounded by the parser.
    fn below(&mut self, id: Id, at: &mut Vec<Step>) -> Result<(), Why> {
        for &(key, value) in self.tree.entries(id) {
            let Some(name) = self.tree.scalar(key) else { continue };
            at.push(Step::Key(name.to_owned()));
            if LISTS.contains(&name) {
                self.containers(value, at)?;
            }
            self.below(value, at)?;
            at.pop();
        }
        for (index, &item) in self.tree.items(id).iter().enumerate() {
            at.push(Step::Index(index));
            self.below(item, at)?;
            at.pop();
        }
        Ok(())
    }

    fn containers(&mut self, list: Id, at: &[Step]) -> Result<(), Why> {
        let tree = self.tree;
        for (index, &item) in tree.items(tree.meant(list)).iter().enumerate() {
            let Some(image) = self.image(item) else { continue };
            let own = tree.meant(list) == list && tree.get(item, "image") == Some(image);
            if !own {
                let reason =
                    "a container has its image by an alias or a merge; write the image out there first";
                return Err(Why::at(tree.nodes[item].line, reason));
            }
            let mut path = at.to_vec();
            path.extend([Step::Index(index), Step::Key("image".to_owned())]);
            self.places.push((self.document, Path::of(path)));
        }
        Ok(())
    }

    /// The node that holds the image of a container, if it is the pin's.
    fn image(&self, item: Id) -> Option<Id> {
        let tree = self.tree;
        let item = tree.meant(item);
        let merged = || tree.get(item, "<<").and_then(|from| tree.get(tree.meant(from), "image"));
        let image = tree.get(item, "image").or_else(merged)?;
        let text = tree.scalar(tree.meant(image))?;
        let repository = text.parse::<ImageRef>().ok()?;
        self.pin.is_same(repository.repository_text()).then_some(image)
    }
}
