//! Signatures of webhooks as <https://www.standardwebhooks.com> has them: over id, time and body.
//!
//! Guarantees: no error holds a part of a key. May not: read a clock.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Fewer bytes of a key can be guessed.
const SHORTEST_KEY: usize = 16;

/// A key. It has no `Debug`: nothing shows it.
pub struct Key(hmac::Key);

impl Key {
    /// `whsec_` and base64, as the standard writes keys; anything else is the key itself.
    ///
    /// # Errors
    /// What is wrong with it, to be put after the name of the place that it is from.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bytes = match text.strip_prefix("whsec_") {
            Some(encoded) => STANDARD
                .decode(encoded)
                .map_err(|_| "begins with whsec_ and is no base64; write it anew".to_owned())?,
            None => text.as_bytes().to_vec(),
        };
        if bytes.len() < SHORTEST_KEY {
            return Err(format!("has fewer than {SHORTEST_KEY} bytes; make a longer one"));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The value of `webhook-signature`; `time` is in seconds since 1970.
    #[must_use]
    pub fn sign(&self, id: &str, time: &str, body: &[u8]) -> String {
        let signed = [id.as_bytes(), b".", time.as_bytes(), b".", body].concat();
        format!("v1,{}", STANDARD.encode(hmac::sign(&self.0, &signed)))
    }
}
