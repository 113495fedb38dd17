//! What is written: an image, and how much of a file's own text for it stays.
//!
//! Guarantees: a repository that is another spelling of the same place, or a mirror that the policy names, stays as the
//! file has it; a digest is never left beside a tag that it does not belong to.

use lockkeeper_core::image::{Digest, ImageRef, Repository, Tag, shown};

/// An image to be written into a file.
#[derive(Clone, Debug)]
pub struct Pin {
    image: ImageRef,
    same: Vec<Repository>,
    only_these: bool,
}

impl Pin {
    /// This image, whatever the file had there.
    #[must_use]
    pub fn of_image(image: ImageRef) -> Self {
        Self { same: vec![image.repository().clone()], image, only_these: false }
    }

    /// This image where the file has one of these repositories, which stays; any other is refused.
    #[must_use]
    pub fn of_policy(image: ImageRef, repositories: Vec<Repository>) -> Self {
        Self { image, same: repositories, only_these: true }
    }

    /// The tag, if there is one.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        self.image.tag()
    }

    /// The digest, if there is one.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.image.digest()
    }

    /// The repository as it is written where a file names none.
    #[must_use]
    pub fn repository(&self) -> &str {
        self.image.repository_text()
    }

    /// Whether a text of a file names the same image, in any spelling and from any mirror.
    pub(crate) fn is_same(&self, repository: &str) -> bool {
        repository.parse::<ImageRef>().is_ok_and(|found| self.same.contains(found.repository()))
    }

    /// The repository to write where the file has this one.
    pub(crate) fn repository_for(&self, found: &str) -> Result<String, String> {
        if self.is_same(found) {
            return Ok(found.to_owned());
        }
        if self.only_these && !found.is_empty() {
            let reason = "names another repository than the policy's image and pullFrom";
            return Err(format!("{} {reason}; correct the file or the policy", shown(found)));
        }
        Ok(self.repository().to_owned())
    }

    /// The whole reference to write where the file has this one.
    pub(crate) fn reference_for(&self, found: &str) -> Result<String, String> {
        let repository = match found.parse::<ImageRef>() {
            Ok(image) => self.repository_for(image.repository_text())?,
            Err(_) => self.repository_for(found)?,
        };
        let digest = self.digest().map(|digest| format!("@{digest}")).unwrap_or_default();
        let tag = self.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
        Ok(repository + &tag + &digest)
    }

    /// The tag, for a place that holds the tag alone.
    pub(crate) fn need_tag(&self) -> Result<String, String> {
        let none = || {
            format!(
                "the image {} has no tag, and the file has a place for one",
                shown(&self.image.to_string())
            )
        };
        self.tag().map(ToString::to_string).ok_or_else(none)
    }

    /// The digest, for a place that holds the digest alone.
    pub(crate) fn need_digest(&self) -> Result<String, String> {
        let none = || {
            let image = shown(&self.image.to_string());
            format!(
                "the image {image} has no digest, and the one in the file would belong to another release"
            )
        };
        self.digest().map(ToString::to_string).ok_or_else(none)
    }

    /// Tag and digest for a place that holds both in one text.
    pub(crate) fn tag_and_digest(&self) -> Result<String, String> {
        let digest = self.digest().map(|digest| format!("@{digest}")).unwrap_or_default();
        Ok(self.need_tag()? + &digest)
    }
}
