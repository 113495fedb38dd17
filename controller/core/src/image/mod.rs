//! What images are called and when two of them are the same: digests, tags, repositories, references, platforms,
//! releases.
//!
//! Guarantees: a value of these types is well formed and normalised; equality and order are those of the normalised
//! text; every error names the value (passwords left out, at most 100 characters, control characters escaped), the
//! reason and the fix. Assumes nothing about registries. May not resolve, fetch or guess.

mod cloud;
mod digest;
mod mistake;
mod platform;
mod reference;
mod release;
mod repository;
mod shown;
mod tag;
mod text;

pub use cloud::{CloudRegistry, Provider};
pub use digest::{Digest, DigestError, digest_of_image_id};
pub use mistake::mistake_at;
pub use platform::{Platform, PlatformError};
pub use reference::{ImageRef, ImageRefError};
pub use release::{PlatformImage, Release};
pub use repository::{Repository, RepositoryError};
pub use shown::shown;
pub use tag::{Tag, TagError};
pub(crate) use text::text_type;

#[cfg(test)]
mod tests;
