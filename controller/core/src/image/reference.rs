//! References to images, as pods write them.

use std::fmt;
use std::str::FromStr;

use super::shown::credentials_end;
use super::{Digest, DigestError, Repository, RepositoryError, Tag, TagError, shown, text_type};

/// `repository[:tag][@digest]`.
///
/// Keeps the repository's own text besides the normalised one: a pin changes tag and digest of a container and never
/// the name it is pulled by. Compare `repository()`, not whole references, to see whether two name the same place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    repository: Repository,
    text: String,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

/// Why a text is no reference: which part of it is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageRefError {
    /// The part before tag and digest.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The part after `:`.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// The part after `@`.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl ImageRef {
    /// Where the image is, normalised.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The repository as it was written (`nginx` stays `nginx`).
    #[must_use]
    pub fn repository_text(&self) -> &str {
        &self.text
    }

    /// The tag, if one was written.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// The digest, if one was written.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The reference as it is compared: the repository normalised, tag and digest as written.
    #[must_use]
    pub fn canonical(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        format!("{}{tag}{digest}", self.repository)
    }

    /// A reference by a digest that is registered and that nothing here can compute (`blake3`), without that digest, and
    /// the digest's text: to be read and printed, never to be pinned or believed.
    #[must_use]
    pub fn by_registered_digest(text: &str) -> Option<(Self, &str)> {
        let (name, digest) = text.rsplit_once('@')?;
        let hex = digest.strip_prefix("blake3:")?;
        let whole = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let image: Self = name.parse().ok().filter(|_| whole && credentials_end(text).is_none())?;
        image.digest.is_none().then_some((image, digest))
    }

    /// This container's image, pinned: its own repository text, the tag if one is given, the digest.
    #[must_use]
    pub fn pinned(&self, tag: Option<&Tag>, digest: &Digest) -> String {
        match tag {
            Some(tag) => format!("{}:{tag}@{digest}", self.text),
            None => format!("{}@{digest}", self.text),
        }
    }
}

impl FromStr for ImageRef {
    type Err = ImageRefError;

    fn from_str(text: &str) -> Result<Self, ImageRefError> {
        // A password must not end up in the message of another mistake.
        if credentials_end(text).is_some() {
            return Err(RepositoryError::Credentials { value: shown(text) }.into());
        }
        let (name, digest) = match text.rsplit_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains(['/', ']']) => (repository, Some(tag)),
            _ => (name, None),
        };
        Ok(Self {
            repository: repository.parse()?,
            text: repository.to_owned(),
            tag: tag.map(str::parse).transpose()?,
            digest: digest.map(str::parse).transpose()?,
        })
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

text_type!(
    ImageRef,
    "ImageRef",
    "An image reference: repository[:tag][@digest].",
    "^[^\\s@]+(@[^\\s@]+)?$",
    600
);

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn every_part_is_read_and_printed_as_written() {
        for (text, own, whole, tag, digest) in [
            ("nginx", "nginx", "docker.io/library/nginx", None, false),
            ("nginx:1.2", "nginx", "docker.io/library/nginx", Some("1.2"), false),
            ("index.docker.io/nginx", "index.docker.io/nginx", "docker.io/library/nginx", None, false),
            ("Reg.example:5000/a/b:v1", "Reg.example:5000/a/b", "reg.example:5000/a/b", Some("v1"), false),
            ("[::1]:5000/a", "[::1]:5000/a", "[::1]:5000/a", None, false),
            ("[::1]/a:1", "[::1]/a", "[::1]/a", Some("1"), false),
            (&format!("nginx:1.2@{D}"), "nginx", "docker.io/library/nginx", Some("1.2"), true),
            (&format!("ghcr.io/a/b@{D}"), "ghcr.io/a/b", "ghcr.io/a/b", None, true),
        ] {
            let image: ImageRef = text.parse().unwrap();
            assert_eq!(image.repository_text(), own);
            assert_eq!(image.repository().to_string(), whole);
            assert_eq!(image.tag().map(Tag::as_str), tag);
            assert_eq!(image.digest().is_some(), digest);
            assert_eq!(image.to_string(), text);
        }
    }

    #[test]
    fn a_pin_keeps_the_containers_own_repository() {
        let image: ImageRef = format!("nginx:latest@{D}").parse().unwrap();
        let (digest, tag) = (Digest::of(b"new"), "1.3".parse().unwrap());
        assert_eq!(image.pinned(Some(&tag), &digest), format!("nginx:1.3@{digest}"));
        assert_eq!(image.pinned(None, &digest), format!("nginx@{digest}"));
        let mirror: ImageRef = "harbor.example.com/hub/nginx".parse().unwrap();
        assert_eq!(mirror.pinned(None, &digest), format!("harbor.example.com/hub/nginx@{digest}"));
    }

    #[test]
    fn row_4_short_digest_in_a_reference() {
        let message = "repo@sha256:abc".parse::<ImageRef>().unwrap_err().to_string();
        assert!(message.contains("64 hex digits"), "{message}");
        let message = "nginx@latest".parse::<ImageRef>().unwrap_err().to_string();
        assert!(message.contains("starts with sha256:"), "{message}");
    }

    #[test]
    fn row_26_credentials_are_refused_and_left_out() {
        for text in ["user:pw@registry.example.com/app:1", "user:p!pw@registry", "https://user:pw@registry/a"]
        {
            let message = text.parse::<ImageRef>().unwrap_err().to_string();
            assert!(!message.contains("pw"), "{message}");
        }
    }

    #[test]
    fn a_digest_that_is_registered_and_not_computed_here_is_read_and_never_a_digest() {
        let digest = format!("blake3:{}", "ab".repeat(32));
        let text = format!("nginx:1.2@{digest}");
        let (image, read) = ImageRef::by_registered_digest(&text).unwrap();
        assert_eq!((image.canonical().as_str(), read), ("docker.io/library/nginx:1.2", digest.as_str()));
        assert!(text.parse::<ImageRef>().is_err() && digest.parse::<Digest>().is_err());
        for other in [
            format!("nginx@{digest}0"),
            format!("nginx@{}", digest.to_uppercase()),
            format!("nginx@md5:{}", "ab".repeat(16)),
            format!("Nginx@{digest}"),
            format!("user:pw@registry/a@{digest}"),
            format!("nginx@{D}@{digest}"),
            format!("nginx@{D}"),
        ] {
            assert!(ImageRef::by_registered_digest(&other).is_none(), "{other}");
        }
    }

    #[test]
    fn nothing_at_all_is_an_error() {
        for text in ["", ":", "@", ":tag", "a:", "a@", &format!("@{D}"), "a:1:2", "a b", "\0"] {
            assert!(text.parse::<ImageRef>().is_err(), "{text}");
        }
    }
}
