//! Where a text stops being a reference: for people who look for the typo.

use super::repository::LONGEST_PATH;
use super::shown::credentials_end;
use super::{DigestError, ImageRef, ImageRefError, RepositoryError, TagError};

/// The first character that cannot be there, counted from 1; one behind the end where something is missing. `None`:
/// the text is a reference.
#[must_use]
pub fn mistake_at(text: &str) -> Option<usize> {
    let error = text.parse::<ImageRef>().err()?;
    let offset = match &error {
        ImageRefError::Repository(error) => in_repository(text, error),
        ImageRefError::Tag(error) => in_tag(text, error),
        ImageRefError::Digest(error) => in_digest(text, error),
    };
    Some(text.get(..offset).unwrap_or(text).chars().count() + 1)
}

fn in_repository(text: &str, error: &RepositoryError) -> usize {
    let name = name_of(text);
    let path = name.find('/').map_or(0, |slash| if is_host(&name[..slash]) { slash + 1 } else { 0 });
    match error {
        RepositoryError::Empty | RepositoryError::ImageId { .. } => 0,
        RepositoryError::Control { .. } => text.find(char::is_control).unwrap_or(0),
        RepositoryError::Credentials { .. } => credentials_end(text).unwrap_or(0),
        RepositoryError::Scheme { .. } => text.find("://").unwrap_or(0),
        RepositoryError::HasDigest { .. } => text.find('@').unwrap_or(0),
        RepositoryError::HasTag { .. } => path + name[path..].find(':').unwrap_or(0),
        RepositoryError::Host { .. } => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
            name.find(|c| !allowed(c)).filter(|at| *at < path.saturating_sub(1)).unwrap_or(0)
        }
        RepositoryError::Port { .. } => name[..path].rfind(':').map_or(0, |colon| colon + 1),
        RepositoryError::UpperCase { .. } => {
            path + name[path..].find(|c: char| c.is_ascii_uppercase()).unwrap_or(0)
        }
        RepositoryError::Part { .. } => path + bad_part(&name[path..]),
        RepositoryError::NoPath { .. } => name.len(),
        // Docker Hub's `library/` counts, and is not written.
        RepositoryError::Length { length, .. } => {
            name.len().saturating_sub(length.saturating_sub(LONGEST_PATH))
        }
    }
}

/// The name without tag and digest, as the parser takes it.
fn name_of(text: &str) -> &str {
    let name = text.rsplit_once('@').map_or(text, |(name, _)| name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains(['/', ']']) => repository,
        _ => name,
    }
}

fn is_host(first: &str) -> bool {
    first.contains(['.', ':', '[']) || first.eq_ignore_ascii_case("localhost")
}

/// The first character of a path that no path has there: words are separated by `/`, one `.`, one or two `_`, or
/// any number of `-`.
fn bad_part(path: &str) -> usize {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if let Some(at) = path.find(|c| !word(c) && !"/._-".contains(c)) {
        return at;
    }
    let mut separator: Option<usize> = Some(0);
    for (at, c) in path.char_indices() {
        match separator {
            _ if word(c) => separator = None,
            None => separator = Some(at),
            Some(start) => match &path[start..=at] {
                "__" => {}
                several if several.bytes().all(|b| b == b'-') => {}
                _ => return at,
            },
        }
    }
    path.len()
}

fn in_tag(text: &str, error: &TagError) -> usize {
    let start = name_of(text).len() + 1;
    let tag = text.get(start..).unwrap_or_default();
    match error {
        TagError::Empty | TagError::Start { .. } => start,
        TagError::Length { .. } => start + tag.char_indices().nth(128).map_or(0, |(at, _)| at),
        TagError::Character { at, .. } => start + tag.char_indices().nth(at - 1).map_or(0, |(at, _)| at),
    }
}

fn in_digest(text: &str, error: &DigestError) -> usize {
    let start = text.rfind('@').map_or(0, |at| at + 1);
    let hex = start + text[start..].find(':').map_or(0, |at| at + 1);
    match error {
        DigestError::NoAlgorithm { .. } | DigestError::Algorithm { .. } => start,
        DigestError::NotHex { .. } => {
            let digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
            hex + text[hex..].find(|c| !digit(c)).unwrap_or(0)
        }
        DigestError::Length { expected, found, .. } => {
            if found < expected {
                text.len()
            } else {
                hex + text[hex..].char_indices().nth(*expected).map_or(0, |(at, _)| at)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_typo_has_a_position() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for (text, position) in [
            ("", 1),
            ("NGINX:latest", 1),
            ("ghcr.io/My/app", 9),
            ("nginx:la test", 9),
            ("nginx:", 7),
            ("nginx:.a", 7),
            ("a b", 2),
            ("nginx\u{1f512}", 6),
            ("nginx\r\n", 6),
            ("http://a/b", 5),
            ("user:pw@ghcr.io/a", 8),
            ("ghcr.io/", 9),
            ("ghcr.io:x/a", 9),
            ("ghcr.io:99999/a", 9),
            ("a..b/c", 1),
            ("a/b..c", 5),
            ("a/b-", 5),
            ("a//b", 3),
            ("a:b:c", 2),
            ("nginx@md5:00", 7),
            ("nginx@sha256:abc", 17),
            (&format!("nginx@sha256:{}g", &hex[..63]), 77),
            (&format!("nginx@sha256:{hex}0"), 78),
            (&format!("nginx:{}", "a".repeat(129)), 135),
            (&format!("ghcr.io/{}:1", "a".repeat(256)), 264),
            (&format!("{}:1", "a".repeat(248)), 248),
        ] {
            assert_eq!(mistake_at(text), Some(position), "{text}");
        }
        for text in ["nginx", "[::1]:5000/a:1", &format!("a/b:1@sha256:{hex}")] {
            assert_eq!(mistake_at(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_text_has_an_answer_within_it(text in "[a-zA-Z0-9:/@.\\[\\]_ é-]{0,24}") {
            let length = text.chars().count();
            let position = mistake_at(&text);
            prop_assert_eq!(position.is_none(), text.parse::<ImageRef>().is_ok());
            prop_assert!(position.is_none_or(|at| (1..=length + 1).contains(&at)), "{:?} of {:?}", position, text);
        }
    }
}
