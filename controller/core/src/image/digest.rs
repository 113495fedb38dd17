//! Content digests.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::{shown, text_type};

/// The digest of some bytes: `sha256:` and 64, or `sha512:` and 128 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

/// Why a text is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// No `algorithm:` in front.
    #[error("{value} is no digest: it has no algorithm in front; write it as sha256: and 64 hex digits")]
    NoAlgorithm {
        /// As shown to people.
        value: String,
    },
    /// Known or unknown, but not one of ours.
    #[error(
        "{value} is no usable digest: the algorithm {algorithm} is not supported; supported are sha256 and sha512"
    )]
    Algorithm {
        /// As shown to people.
        value: String,
        /// As shown to people.
        algorithm: String,
    },
    /// Too short or too long.
    #[error(
        "{value} is no digest: {algorithm} has {expected} hex digits, here are {found}; copy the whole digest"
    )]
    Length {
        /// As shown to people.
        value: String,
        /// `sha256` or `sha512`.
        algorithm: &'static str,
        /// In hex digits.
        expected: usize,
        /// In characters.
        found: usize,
    },
    /// Right length, wrong characters.
    #[error(
        "{value} is no digest: after {algorithm}: only the {expected} hex digits 0-9 and a-f in lower case may follow"
    )]
    NotHex {
        /// As shown to people.
        value: String,
        /// `sha256` or `sha512`.
        algorithm: &'static str,
        /// In hex digits.
        expected: usize,
    },
}

impl Digest {
    /// The sha256 digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut text = String::with_capacity(7 + 64);
        text.push_str("sha256:");
        for byte in Sha256::digest(bytes) {
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        }
        Self(text)
    }

    /// The whole text, algorithm included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `sha256` or `sha512`.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }

    /// The hex digits alone.
    #[must_use]
    pub fn hex(&self) -> &str {
        self.0.split(':').nth(1).unwrap_or_default()
    }

    /// The first twelve hex digits: for people, never for comparison.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }

    /// Whether these bytes are the ones this digest names, by its own algorithm.
    #[must_use]
    pub fn names(&self, bytes: &[u8]) -> bool {
        match self.algorithm() {
            "sha512" => {
                let sum = sha2::Sha512::digest(bytes);
                let digits = self.hex().as_bytes();
                sum.iter().enumerate().all(|(n, byte)| {
                    digits[2 * n] == HEX[usize::from(byte >> 4)]
                        && digits[2 * n + 1] == HEX[usize::from(byte & 15)]
                })
            }
            _ => Self::of(bytes) == *self,
        }
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let value = || shown(text);
        let Some((algorithm, hex)) = text.split_once(':') else {
            return Err(DigestError::NoAlgorithm { value: value() });
        };
        let (algorithm, expected) = match algorithm {
            "sha256" => ("sha256", 64),
            "sha512" => ("sha512", 128),
            other => return Err(DigestError::Algorithm { value: value(), algorithm: shown(other) }),
        };
        let found = hex.chars().count();
        if found != expected {
            return Err(DigestError::Length { value: value(), algorithm, expected, found });
        }
        if !hex.bytes().all(|b| HEX.contains(&b)) {
            return Err(DigestError::NotHex { value: value(), algorithm, expected });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_type!(
    Digest,
    "Digest",
    "A content digest: sha256: and 64 hex digits, or sha512: and 128.",
    "^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$",
    135
);

/// The digest in a pod's `imageID`: `host/repository@sha256:…`, `docker-pullable://…@sha256:…`, or a bare
/// `sha256:…` (then it is the digest of the image's config). `None` for anything else, the empty text included.
///
/// The repository in it is of no use: containerd may name any repository that has the same contents.
#[must_use]
pub fn digest_of_image_id(image_id: &str) -> Option<Digest> {
    let rest = image_id.split_once("://").map_or(image_id, |(_, rest)| rest);
    rest.rsplit('@').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_digest_of_no_bytes_is_the_known_one() {
        assert_eq!(Digest::of(b"").as_str(), EMPTY);
        assert!(EMPTY.parse::<Digest>().unwrap().names(b""));
        assert!(!EMPTY.parse::<Digest>().unwrap().names(b"x"));
    }

    #[test]
    fn sha512_is_accepted_and_checked() {
        let empty = "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
                     47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";
        let digest: Digest = empty.parse().unwrap();
        assert!(digest.names(b"") && !digest.names(b"x"));
        assert_eq!(digest.algorithm(), "sha512");
    }

    #[test]
    fn row_4_short_digest_says_how_many_hex_digits() {
        let message = "sha256:abc".parse::<Digest>().unwrap_err().to_string();
        assert!(message.contains("64 hex digits") && message.contains("\"sha256:abc\""), "{message}");
    }

    #[test]
    fn row_5_other_algorithms_get_the_list_of_supported_ones() {
        for value in ["md5:d41d8cd98f00b204e9800998ecf8427e", "SHA256:abc", "sha384:00", ":"] {
            let message = value.parse::<Digest>().unwrap_err().to_string();
            assert!(message.contains("supported are sha256 and sha512"), "{message}");
        }
    }

    #[test]
    fn upper_case_digits_are_refused() {
        let message =
            EMPTY.to_uppercase().replace("SHA256", "sha256").parse::<Digest>().unwrap_err().to_string();
        assert!(message.contains("lower case"), "{message}");
    }

    #[test]
    fn image_ids_of_all_runtimes() {
        for id in [
            format!("docker.io/library/nginx@{EMPTY}"),
            format!("docker-pullable://nginx@{EMPTY}"),
            format!("docker://{EMPTY}"),
            format!("[::1]:5000/a:1@{EMPTY}"),
            EMPTY.to_owned(),
        ] {
            assert_eq!(digest_of_image_id(&id).unwrap().as_str(), EMPTY, "{id}");
        }
        for id in ["", "nginx:1.2", "docker-pullable://", "a@", "a@sha256:00", "@@@"] {
            assert_eq!(digest_of_image_id(id), None, "{id}");
        }
    }

    #[test]
    fn the_wire_form_is_the_text() {
        let digest = Digest::of(b"a");
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, format!("\"{digest}\""));
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
        assert!(serde_json::from_str::<Digest>("\"latest\"").is_err());
    }
}
