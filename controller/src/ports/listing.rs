//! All tags of a repository, kept compactly: 100,000 of them are normal.

use std::sync::Arc;

/// All tags of a repository: sorted as text, each once, in one piece of memory. Clones share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// One tag a line.
    text: Arc<str>,
    tags: usize,
}

impl Listing {
    /// Tags in any order, any number of times. What is empty or holds a control character cannot be a tag and is left
    /// out.
    pub fn new<'a>(tags: impl IntoIterator<Item = &'a str>) -> Self {
        let is_text = |tag: &&str| !tag.is_empty() && !tag.contains(char::is_control);
        let mut tags: Vec<&str> = tags.into_iter().filter(is_text).collect();
        tags.sort_unstable();
        tags.dedup();
        Self { tags: tags.len(), text: tags.join("\n").into() }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tags
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tags == 0
    }

    /// The tags, sorted as text.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }

    /// The very same piece of memory: nothing has to be compared, or evaluated again.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.text, &other.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_and_how_often_tags_are_listed_do_not_matter() {
        let listing = Listing::new(["b", "a", "", "b", "c\nd", "a.1"]);
        assert_eq!(listing.iter().collect::<Vec<_>>(), ["a", "a.1", "b"]);
        assert_eq!((listing.len(), listing.is_empty()), (3, false));
        assert_eq!(listing, Listing::new(["a.1", "b", "a"]));
        assert!(listing.is(&listing.clone()) && !listing.is(&Listing::new(listing.iter())));
        assert!(Listing::default().is_empty() && Listing::new([]).iter().next().is_none());
    }
}
