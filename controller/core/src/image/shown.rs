//! How a value that somebody typed appears in a message.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Longest part of a value that a message repeats, in characters.
const LONGEST: usize = 100;

/// The value in double quotes: user names and passwords before an `@` left out, control characters escaped, cut
/// after 100 characters.
#[must_use]
pub fn shown(value: &str) -> String {
    let value = without_credentials(value);
    let mut text = String::from("\"");
    for (n, c) in value.chars().enumerate() {
        if n == LONGEST {
            text.push('…');
            break;
        }
        match c {
            '"' => text.push_str("\\\""),
            c if c.is_control() || is_invisible(c) => {
                // Writing to a String cannot fail.
                let _ = write!(text, "{}", c.escape_default());
            }
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// Characters that change how the text around them is displayed, or are not displayed at all.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Everything between the scheme (or the start) and the last `@` that no digest follows becomes `***`.
fn without_credentials(value: &str) -> Cow<'_, str> {
    let Some(at) = credentials_end(value) else { return Cow::Borrowed(value) };
    let start = value.find("://").map_or(0, |n| n + 3);
    if start > at {
        return Cow::Owned(format!("***{}", &value[at..]));
    }
    Cow::Owned(format!("{}***{}", &value[..start], &value[at..]))
}

/// Where the `@` stands that ends a user name or password, if there is one.
pub(super) fn credentials_end(value: &str) -> Option<usize> {
    value.match_indices('@').map(|(at, _)| at).rfind(|at| !is_digest_like(&value[at + 1..]))
}

/// The algorithms that people write in references, supported or not: what follows is then no host name. Looks at a
/// few characters only, so that a text of many `@` costs no more than its length.
fn is_digest_like(text: &str) -> bool {
    let algorithm: String = text
        .chars()
        .take(12)
        .take_while(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let known = ["sha1", "sha224", "sha256", "sha384", "sha512", "md5", "blake2b", "blake3"];
    text[algorithm.len()..].starts_with(':') && known.contains(&algorithm.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_never_appear() {
        for value in [
            "user:s3cret@registry.example.com/app",
            "https://user:s3cret@registry.example.com/app:1.2",
            "user:s3/cret@registry.example.com/app@sha256:00",
            "s3cret@registry.example.com/app",
            "user:s3cret@sharing:5000/app",
            "user:s3cret@sha256:00@registry.example.com",
        ] {
            let text = shown(value);
            assert!(!text.contains("s3"), "{text}");
            assert!(text.contains("***@"), "{text}");
        }
    }

    #[test]
    fn a_reference_with_a_digest_is_shown_whole() {
        assert_eq!(shown("nginx:1.2@sha256:abc"), "\"nginx:1.2@sha256:abc\"");
    }

    #[test]
    fn control_characters_and_direction_marks_are_escaped() {
        assert_eq!(shown("a\r\nX: 1\u{202e}\""), "\"a\\r\\nX: 1\\u{202e}\\\"\"");
    }

    #[test]
    fn long_values_of_a_hostile_registry_are_shown_in_linear_time() {
        // 6·10^13 steps if every @ looked at all that follows it.
        assert!(shown(&format!("{}:", "@sha".repeat(2_500_000))).starts_with("\"***@sha:"));
        assert!(shown(&"@sha256:".repeat(1_000_000)).starts_with("\"@sha256:@"));
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(shown(&"é".repeat(300)).chars().count(), 100 + 3);
    }
}
