//! `WWW-Authenticate` (RFC 9110 §11.6.1).
//!
//! Guarantees: total on any bytes; reads at most 16 KiB. Knows the schemes `Bearer` and `Basic` only.

use http::{HeaderMap, header};

/// Longest header value that is read, in bytes.
const LONGEST: usize = 16 * 1024;

/// How a registry wants to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With a token from `realm`.
    Bearer {
        /// Where tokens are given out.
        realm: String,
        /// Whom the token is for.
        service: Option<String>,
        /// What it must allow.
        scope: Option<String>,
    },
    /// With user and password.
    Basic,
}

/// The best challenge of an answer: `Bearer` before `Basic`.
pub(super) fn best(headers: &HeaderMap) -> Option<Challenge> {
    let mut basic = None;
    for value in headers.get_all(header::WWW_AUTHENTICATE) {
        let Ok(text) = value.to_str() else { continue };
        if text.len() > LONGEST {
            continue;
        }
        for (scheme, parameters) in challenges(text) {
            let parameter = |name: &str| {
                parameters
                    .iter()
                    .find(|(key, _)| key.eq_ignore_ascii_case(name))
                    .map(|(_, value)| value.clone())
            };
            if scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = parameter("realm")
            {
                return Some(Challenge::Bearer {
                    realm,
                    service: parameter("service"),
                    scope: parameter("scope"),
                });
            }
            if scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Challenge::Basic);
            }
        }
    }
    basic
}

type Parameters = Vec<(String, String)>;

/// Schemes with their parameters. A word that no `=` follows begins a challenge.
fn challenges(text: &str) -> Vec<(String, Parameters)> {
    let mut found: Vec<(String, Parameters)> = Vec::new();
    let mut rest = text.trim_start_matches(separator);
    while !rest.is_empty() {
        let (word, after) = split_word(rest);
        if word.is_empty() {
            // A character that belongs nowhere.
            rest = rest.chars().next().map_or("", |c| &rest[c.len_utf8()..]);
            continue;
        }
        let value = after.trim_start_matches([' ', '\t']).strip_prefix('=');
        rest = match (value, found.last_mut()) {
            (Some(value), Some((_, parameters))) => {
                let (value, after) = parameter_value(value.trim_start_matches([' ', '\t']));
                parameters.push((word.to_owned(), value));
                after
            }
            (Some(value), None) => parameter_value(value).1,
            (None, _) => {
                found.push((word.to_owned(), Vec::new()));
                after
            }
        };
        rest = rest.trim_start_matches(separator);
    }
    found
}

fn separator(c: char) -> bool {
    matches!(c, ' ' | '\t' | ',')
}

fn split_word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| separator(c) || matches!(c, '=' | '"')).unwrap_or(text.len());
    text.split_at(end)
}

/// A quoted or bare value, and what follows it.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(separator).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (value, &quoted[at + 1..]),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best_of(values: &[&str]) -> Option<Challenge> {
        best(&values.iter().map(|v| (header::WWW_AUTHENTICATE, v.parse().unwrap())).collect())
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.into(), service: own(service), scope: own(scope) }
    }

    #[test]
    fn the_forms_that_registries_send() {
        assert_eq!(
            best_of(&["Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",\
                       scope=\"repository:library/nginx:pull,push\""]),
            Some(bearer(
                "https://auth.docker.io/token",
                Some("registry.docker.io"),
                Some("repository:library/nginx:pull,push")
            ))
        );
        assert_eq!(best_of(&["bearer REALM = \"r\" , scope=aws"]), Some(bearer("r", None, Some("aws"))));
        assert_eq!(
            best_of(&["Basic realm=\"x\", Bearer realm=\"a\\\"b\""]),
            Some(bearer("a\"b", None, None))
        );
        assert_eq!(best_of(&["Basic realm=\"Bearer realm=evil\""]), Some(Challenge::Basic));
        assert_eq!(best_of(&["Negotiate", "BASIC"]), Some(Challenge::Basic));
    }

    #[test]
    fn anything_else_is_no_challenge() {
        for text in [
            "",
            "Bearer",
            "Bearer service=\"x\"",
            "=",
            "\"",
            ",,,",
            "Digest realm=\"x\"",
            "realm=\"x\"",
            "= = =",
        ] {
            assert_eq!(best_of(&[text]), None, "{text}");
        }
        assert_eq!(best_of(&[&format!("Bearer realm=\"{}\"", "x".repeat(20_000))]), None);
        assert_eq!(best_of(&["Bearer realm=\"unclosed"]), Some(bearer("unclosed", None, None)));
    }
}
