//! AWS Signature Version 4 of one kind of request: `POST /` without a query.
//!
//! Guarantees: every header that is passed is signed, and so is the whole body. Checked against AWS's published examples.
//! May not: read a clock.

use aws_lc_rs::hmac;
use jiff::{Timestamp, fmt::strtime, tz::TimeZone};
use sha2::{Digest as _, Sha256};

/// Keys of AWS. They have no `Debug`: nothing shows them.
#[derive(Clone)]
pub struct Keys {
    /// Which.
    pub id: String,
    /// What is signed with.
    pub secret: String,
    /// Of temporary keys, what is sent along; empty: they are not temporary.
    pub session: String,
}

/// For whom a request is signed.
pub struct Scope<'a> {
    /// Such as `eu-west-1`.
    pub region: &'a str,
    /// Such as `monitoring`.
    pub service: &'a str,
}

/// The value of `X-Amz-Date`; none for a time that no calendar has.
#[must_use]
pub fn date(at: Timestamp) -> Option<String> {
    strtime::format("%Y%m%dT%H%M%SZ", &at.to_zoned(TimeZone::UTC)).ok()
}

/// The value of `Authorization`. `headers` are in lower case, sorted, with `host` and `x-amz-date` (`date`) among them.
#[must_use]
pub fn authorization(
    keys: &Keys,
    scope: &Scope<'_>,
    date: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> String {
    let lines: Vec<String> =
        headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let lines = lines.concat();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let request = format!("POST\n/\n\n{lines}\n{names}\n{:x}", Sha256::digest(body));
    let day = date.get(..8).unwrap_or(date);
    let scope_text = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let signed = format!("AWS4-HMAC-SHA256\n{date}\n{scope_text}\n{:x}", Sha256::digest(request));
    let mut key = format!("AWS4{}", keys.secret).into_bytes();
    for part in [day, scope.region, scope.service, "aws4_request"] {
        key = mac(&key, part);
    }
    let signature = hex(&mac(&key, &signed));
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope_text}, SignedHeaders={names}, Signature={signature}",
        keys.id
    )
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

    fn signed(headers: &[(&str, &str)], body: &str) -> String {
        let keys = Keys {
            id: "AKIDEXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session: String::new(),
        };
        let at = date("2015-08-30T12:36:00Z".parse().unwrap()).unwrap();
        assert_eq!(at, "20150830T123600Z");
        authorization(&keys, &Scope { region: "us-east-1", service: "service" }, &at, headers, body)
    }

    /// The examples of AWS's test suite for version 4 that are a `POST /`.
    #[test]
    fn the_examples_of_aws_are_signed_as_aws_says() {
        let host = ("host", "example.amazonaws.com");
        let at = ("x-amz-date", "20150830T123600Z");
        let form = ("content-type", "application/x-www-form-urlencoded");
        for (name, headers, body, signature) in [
            (
                "post-vanilla",
                vec![host, at],
                "",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-header-key-sort",
                vec![host, ("my-header1", "value1"), at],
                "",
                "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
            ),
            (
                "post-header-value-case",
                vec![host, ("my-header1", "VALUE1"), at],
                "",
                "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
            ),
            (
                "post-sts-header-before",
                vec![host, at, ("x-amz-security-token", SESSION)],
                "",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
            (
                "post-x-www-form-urlencoded",
                vec![form, host, at],
                "Param1=value1",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ] {
            let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
            assert_eq!(
                signed(&headers, body),
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                     SignedHeaders={names}, Signature={signature}"
                ),
                "{name}"
            );
        }
    }
}
