//! Versions as tags write them.

use std::cmp::Ordering;

use semver::{BuildMetadata, Prerelease};

/// Longest text that is read as a version, in bytes (as in Masterminds semver v3).
const LONGEST: usize = 256;

/// A version, and how much of it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Parts that were not written are 0.
    pub number: semver::Version,
    /// 1 to 3: `1.2` has two.
    pub parts: u8,
}

/// Why a text is no version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// More than 256 bytes.
    #[error("it is longer than 256 characters")]
    TooLong,
    /// Not `1`, `1.2` or `1.2.3`, with or without `v`.
    #[error("it does not start with one to three numbers such as 1.2.3 or v1.2")]
    NoNumbers,
    /// `1.2.3.4`, `1.2.3_4`, `1.2.3foo`.
    #[error("after the numbers only -prerelease or +build may follow")]
    Trailing,
    /// Above 2⁶⁴ − 1.
    #[error("one of its numbers is above 18446744073709551615")]
    TooLarge,
    /// Empty or zero-padded identifiers.
    #[error(
        "what follows the - is no prerelease: identifiers may not be empty, numbers may not start with 0"
    )]
    Prerelease,
    /// Empty identifiers.
    #[error("what follows the + is no build metadata: identifiers may not be empty")]
    Build,
}

impl Version {
    /// One to three parts, an optional `v`, leading zeros in the parts allowed (`2025.07.03`), then an optional
    /// prerelease and build as semver writes them: what Masterminds' `NewVersion` accepts.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        if text.is_empty() {
            return Err(VersionError::Empty);
        }
        if text.len() > LONGEST {
            return Err(VersionError::TooLong);
        }
        let mut rest = text.strip_prefix('v').unwrap_or(text);
        let mut numbers = [0; 3];
        let mut parts = 0;
        for number in &mut numbers {
            let digits = match (parts, rest.strip_prefix('.')) {
                (0, _) => rest,
                (_, Some(after_dot)) => after_dot,
                (_, None) => break,
            };
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            if end == 0 {
                return Err(if parts == 0 { VersionError::NoNumbers } else { VersionError::Trailing });
            }
            *number = digits[..end].parse().map_err(|_| VersionError::TooLarge)?;
            parts += 1;
            rest = &digits[end..];
        }
        let (before_build, build) = match rest.split_once('+') {
            Some((rest, build)) => (rest, build_metadata(build)?),
            None => (rest, BuildMetadata::EMPTY),
        };
        let pre = match before_build.strip_prefix('-') {
            Some(pre) => prerelease(pre)?,
            None if before_build.is_empty() => Prerelease::EMPTY,
            None => return Err(VersionError::Trailing),
        };
        let [major, minor, patch] = numbers;
        Ok(Self { number: semver::Version { major, minor, patch, pre, build }, parts })
    }

    /// Precedence as semver defines it: build metadata has no part in it.
    #[must_use]
    pub fn precedence(&self, other: &Self) -> Ordering {
        self.number.cmp_precedence(&other.number)
    }
}

/// A prerelease that is not empty.
pub(super) fn prerelease(text: &str) -> Result<Prerelease, VersionError> {
    match Prerelease::new(text) {
        Ok(pre) if !pre.is_empty() => Ok(pre),
        _ => Err(VersionError::Prerelease),
    }
}

/// Build metadata that is not empty.
pub(super) fn build_metadata(text: &str) -> Result<BuildMetadata, VersionError> {
    match BuildMetadata::new(text) {
        Ok(build) if !build.is_empty() => Ok(build),
        _ => Err(VersionError::Build),
    }
}

/// A tag that names one release for good: all three numbers written. `1.2`, `latest` and `stable` move.
#[must_use]
pub fn is_full_version(tag: &str) -> bool {
    Version::parse(tag).is_ok_and(|v| v.parts == 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_7_one_to_three_parts_v_leading_zeros_and_build() {
        for (text, normal, parts) in [
            ("1", "1.0.0", 1),
            ("1.2", "1.2.0", 2),
            ("v1.2.0+b", "1.2.0+b", 3),
            ("v1.2.3", "1.2.3", 3),
            ("2025.07.03", "2025.7.3", 3),
            ("007", "7.0.0", 1),
            ("1.2-rc.1", "1.2.0-rc.1", 2),
            ("1.2.3-alpine3.18", "1.2.3-alpine3.18", 3),
            ("1-0", "1.0.0-0", 1),
            ("1.2.3--", "1.2.3--", 3),
            ("1.2.3+001", "1.2.3+001", 3),
            ("18446744073709551615", "18446744073709551615.0.0", 1),
        ] {
            let version = Version::parse(text).unwrap();
            assert_eq!((version.number.to_string().as_str(), version.parts), (normal, parts), "{text}");
        }
    }

    #[test]
    fn what_is_no_version_says_why() {
        for (text, error) in [
            ("", VersionError::Empty),
            ("latest", VersionError::NoNumbers),
            ("V1.2", VersionError::NoNumbers),
            ("vv1", VersionError::NoNumbers),
            ("v", VersionError::NoNumbers),
            ("-1", VersionError::NoNumbers),
            (" 1", VersionError::NoNumbers),
            ("1.2.3.4", VersionError::Trailing),
            ("1..2", VersionError::Trailing),
            ("1.", VersionError::Trailing),
            ("1.2.3_1", VersionError::Trailing),
            ("1.x", VersionError::Trailing),
            ("1a", VersionError::Trailing),
            ("18446744073709551616", VersionError::TooLarge),
            ("1.2.3-", VersionError::Prerelease),
            ("1.2.3-a..b", VersionError::Prerelease),
            ("1.2.3-01", VersionError::Prerelease),
            ("1.2.3-é", VersionError::Prerelease),
            ("1.2.3+", VersionError::Build),
            ("1.2.3+a+b", VersionError::Build),
        ] {
            assert_eq!(Version::parse(text).unwrap_err(), error, "{text}");
        }
        assert_eq!(Version::parse(&"1".repeat(257)).unwrap_err(), VersionError::TooLong);
    }

    #[test]
    fn numeric_identifiers_compare_as_numbers_others_by_ascii() {
        let rising = [
            "0.9",
            "1.0.0-0",
            "1.0.0-2",
            "1.0.0-12",
            "1.0.0-dev-12",
            "1.0.0-dev-9",
            "1.0.0-rc",
            "1.0.0-rc.2",
            "1.0.0-rc.12",
            "1.0.0-rc.a",
            "1.0",
            "1.0.1",
            "1.10",
            "2",
        ];
        for (n, a) in rising.iter().enumerate() {
            for (m, b) in rising.iter().enumerate() {
                let (x, y) = (Version::parse(a).unwrap(), Version::parse(b).unwrap());
                assert_eq!(x.precedence(&y), n.cmp(&m), "{a} and {b}");
            }
        }
        let (a, b) = (Version::parse("1.0.0+a").unwrap(), Version::parse("1.0.0+b").unwrap());
        assert_eq!(a.precedence(&b), Ordering::Equal);
    }
}
