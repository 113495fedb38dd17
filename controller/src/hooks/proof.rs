//! Whether a hook comes from where it says.
//!
//! Guarantees: HMACs are of the raw bytes that arrived; every comparison takes the same time however much matches; a
//! header that is there twice proves nothing; an empty secret proves nothing. May not: log or keep a secret.

use aws_lc_rs::{constant_time, hmac};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header::AUTHORIZATION};

use super::config::Proof;

/// What a hook showed.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// The part of the path after the receiver's name.
    pub path: Option<&'a str>,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its raw body.
    pub body: &'a [u8],
}

/// Whether `shown` proves knowledge of `secret`. Google's tokens are another matter.
#[must_use]
pub fn holds(proof: Proof, secret: &[u8], shown: Shown<'_>) -> bool {
    if secret.is_empty() {
        return false;
    }
    let header = |name: &str| sole(shown.headers, name);
    match proof {
        Proof::Path => shown.path.is_some_and(|path| equal(path.as_bytes(), secret)),
        Proof::Token(name) => header(name).is_some_and(|token| equal(token, secret)),
        Proof::Authorization => header(AUTHORIZATION.as_str()).is_some_and(|value| {
            let bearer = value.strip_prefix(b"Bearer ").unwrap_or(value);
            let basic = value.strip_prefix(b"Basic ").and_then(|encoded| STANDARD.decode(encoded).ok());
            equal(value, secret) || equal(bearer, secret) || basic.is_some_and(|basic| equal(&basic, secret))
        }),
        Proof::HmacSha256(name, prefix) => {
            let mac = header(name).and_then(|value| value.strip_prefix(prefix.as_bytes()));
            mac.is_some_and(|mac| signed(hmac::HMAC_SHA256, secret, shown.body, mac))
        }
        Proof::HmacSha1(name) => header(name)
            .is_some_and(|mac| signed(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret, shown.body, mac)),
        Proof::TokenOrHmac(name) => header(name).is_some_and(|value| {
            equal(value, secret) || signed(hmac::HMAC_SHA256, secret, shown.body, value)
        }),
        Proof::Google => false,
    }
}

/// The value of a header that is there once.
pub fn sole<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first.as_bytes())
}

fn signed(algorithm: hmac::Algorithm, secret: &[u8], body: &[u8], mac: &[u8]) -> bool {
    let Some(mac) = unhex(mac) else { return false };
    hmac::verify(&hmac::Key::new(algorithm, secret), body, &mac).is_ok()
}

/// In the same time for all values of one length: both are hashed first.
fn equal(shown: &[u8], secret: &[u8]) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"equal");
    let (a, b) = (hmac::sign(&key, shown), hmac::sign(&key, secret));
    constant_time::verify_slices_are_equal(a.as_ref(), b.as_ref()).is_ok()
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    /// Headers, by name.
    type Sent<'a> = &'a [(&'a str, &'a str)];

    const SECRET: &[u8] = b"It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";

    fn headers(all: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        all.iter().map(pair).collect()
    }

    fn proves(proof: Proof, path: Option<&str>, all: &[(&str, &str)]) -> bool {
        holds(proof, SECRET, Shown { path, headers: &headers(all), body: BODY })
    }

    /// The value that GitHub's documentation gives for this secret and body.
    const SIGNED: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    #[test]
    fn row_40_only_the_right_signature_over_the_raw_body_counts() {
        let proof = Proof::HmacSha256("x-hub-signature-256", "sha256=");
        let name = "x-hub-signature-256";
        assert!(proves(proof, None, &[(name, SIGNED)]));
        let flipped = SIGNED.replace("757107", "757108");
        let upper = SIGNED[7..].to_uppercase();
        for wrong in ["", "sha256=", &SIGNED[7..], &SIGNED[..70], &flipped, &upper, "sha256=zz", "sha1=00"] {
            assert!(!proves(proof, None, &[(name, wrong)]), "{wrong}");
        }
        assert!(!proves(proof, None, &[]), "none");
        assert!(!proves(proof, None, &[(name, SIGNED), (name, SIGNED)]), "two");
        let other = Shown { path: None, headers: &headers(&[(name, SIGNED)]), body: b"Hello, World?" };
        assert!(!holds(proof, SECRET, other), "another body");
        let right = Shown { path: None, headers: &headers(&[(name, SIGNED)]), body: BODY };
        assert!(!holds(proof, b"another", right), "another secret");
    }

    #[test]
    fn every_other_proof() {
        let secret = "It's a Secret to Everybody";
        let bearer = format!("Bearer {secret}");
        let basic = format!("Basic {}", STANDARD.encode(secret));
        // openssl dgst -sha1 -hmac
        let sha1 = "01dc10d0c83e72ed246219cdd91669667fe2ca59";
        let table: [(Proof, Option<&str>, Sent<'_>, bool); 14] = [
            (Proof::Path, Some(secret), &[], true),
            (Proof::Path, Some("It's"), &[], false),
            (Proof::Path, None, &[("authorization", secret)], false),
            (Proof::Token("x-gitlab-token"), None, &[("x-gitlab-token", secret)], true),
            (Proof::Token("x-gitlab-token"), None, &[("x-gitlab-token", "x")], false),
            (Proof::Authorization, None, &[("authorization", secret)], true),
            (Proof::Authorization, None, &[("authorization", &bearer)], true),
            (Proof::Authorization, None, &[("authorization", &basic)], true),
            (Proof::Authorization, None, &[("authorization", "Bearer ")], false),
            (Proof::Authorization, None, &[("authorization", "Basic %")], false),
            (Proof::HmacSha1("s"), None, &[("s", sha1)], true),
            (Proof::HmacSha1("s"), None, &[("s", secret)], false),
            (Proof::TokenOrHmac("s"), None, &[("s", &SIGNED[7..])], true),
            (Proof::TokenOrHmac("s"), None, &[("s", secret)], true),
        ];
        for (proof, path, all, expected) in table {
            assert_eq!(proves(proof, path, all), expected, "{proof:?} {path:?} {all:?}");
        }
    }

    #[test]
    fn an_empty_secret_proves_nothing() {
        let none = headers(&[("authorization", "")]);
        assert!(!holds(Proof::Authorization, b"", Shown { path: Some(""), headers: &none, body: b"" }));
        assert!(!holds(Proof::Path, b"", Shown { path: Some(""), headers: &none, body: b"" }));
    }
}
