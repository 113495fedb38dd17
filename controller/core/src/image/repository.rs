//! Repositories: where an image is pulled from.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use super::shown::credentials_end;
use super::{shown, text_type};

/// Longest path that container runtimes accept, in characters.
pub(super) const LONGEST_PATH: usize = 255;
/// Longest host name, in characters (RFC 1035).
const LONGEST_HOST: usize = 253;
/// What is meant when no registry is named.
const DEFAULT_REGISTRY: &str = "docker.io";

/// `registry/path`, normalised whole: `nginx` is `docker.io/library/nginx`, Docker Hub has one name, the host is in
/// lower case. Two repositories are the same if and only if their texts are equal; a prefix means nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    registry: String,
    path: String,
}

/// Why a text is no repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryError {
    /// Nothing there.
    #[error("\"\" is no repository: it is empty; write registry/path such as ghcr.io/example/app")]
    Empty,
    /// A line break or another control character: it could forge a header.
    #[error("{value} is no repository: it contains a control character; remove it")]
    Control {
        /// As shown to people.
        value: String,
    },
    /// `user:password@`.
    #[error(
        "{value} is no repository: it has a user name or password before @; remove it and put the credentials into \
         a Secret of type kubernetes.io/dockerconfigjson (a digest after @ starts with sha256:)"
    )]
    Credentials {
        /// As shown to people, without them.
        value: String,
    },
    /// `http://`, `https://`, `oci://`, …
    #[error(
        "{value} is no repository: it starts with a scheme; write {fix} (TLS is used; a registry without it must be \
         allowed by the installation)"
    )]
    Scheme {
        /// As shown to people.
        value: String,
        /// As shown to people.
        fix: String,
    },
    /// A digest behind it.
    #[error(
        "{value} is no repository: it ends in a digest; write {fix} and leave choosing the digest to select"
    )]
    HasDigest {
        /// As shown to people.
        value: String,
        /// As shown to people.
        fix: String,
    },
    /// A tag behind it.
    #[error("{value} is no repository: it ends in a tag; write {fix} and put what to follow into select")]
    HasTag {
        /// As shown to people.
        value: String,
        /// As shown to people.
        fix: String,
    },
    /// The part before the first `/`.
    #[error(
        "{value} is no repository: {host} is no registry host; use letters, digits, - and . with an optional port, \
         or an IPv6 address in brackets"
    )]
    Host {
        /// As shown to people.
        value: String,
        /// As shown to people.
        host: String,
    },
    /// The number after the host.
    #[error("{value} is no repository: the port {port} is no number from 1 to 65535; correct it")]
    Port {
        /// As shown to people.
        value: String,
        /// As shown to people.
        port: String,
    },
    /// Letters in upper case.
    #[error("{value} is no repository: it must be in lower case; did you mean {fix}?")]
    UpperCase {
        /// As shown to people.
        value: String,
        /// As shown to people.
        fix: String,
    },
    /// Spaces, emoji, doubled separators and the like.
    #[error(
        "{value} is no repository: {part} is no part of a path; use lower-case ASCII letters and digits, with \
         single . or _, __ or any number of - between them{hint}"
    )]
    Part {
        /// As shown to people.
        value: String,
        /// As shown to people.
        part: String,
        /// Empty, or `; did you mean …?`.
        hint: String,
    },
    /// Only a host.
    #[error("{value} is no repository: there is no path after the registry; write registry/path")]
    NoPath {
        /// As shown to people.
        value: String,
    },
    /// A path of more than 255 characters.
    #[error(
        "{value} is no repository: its path has {length} characters, at most 255 are allowed; use a shorter one"
    )]
    Length {
        /// As shown to people.
        value: String,
        /// In characters.
        length: usize,
    },
    /// 64 hex digits alone mean an image on the node, not a repository.
    #[error("{value} is no repository: 64 hex digits alone are an image's id; write registry/path")]
    ImageId {
        /// As shown to people.
        value: String,
    },
}

impl Repository {
    /// The host to ask, with its port if one is given; Docker Hub is always `docker.io`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The name within the registry (`library/nginx`).
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Every spelling of this repository that a pod may use, the normalised one first: Docker Hub has short names.
    #[must_use]
    pub fn spellings(&self) -> Vec<String> {
        let mut all = vec![self.to_string()];
        if self.registry() == "docker.io" {
            let path = self.path();
            all.extend(["index.docker.io", "registry-1.docker.io"].map(|host| format!("{host}/{path}")));
            all.push(path.to_owned());
            if let Some(short) = path.strip_prefix("library/") {
                all.push(short.to_owned());
                all.push(format!("docker.io/{short}"));
            }
        }
        all
    }
}

impl FromStr for Repository {
    type Err = RepositoryError;

    fn from_str(text: &str) -> Result<Self, RepositoryError> {
        refuse_what_is_more_than_a_repository(text)?;
        let value = || shown(text);
        let (host, path) = split_host(text);
        let registry = match host {
            Some(host) => registry(host, text)?,
            None => DEFAULT_REGISTRY.to_owned(),
        };
        if path.is_empty() {
            return Err(RepositoryError::NoPath { value: value() });
        }
        if host.is_none() && path.len() == 64 && path.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(RepositoryError::ImageId { value: value() });
        }
        if let Some((name, tag)) = path.rsplit_once(':')
            && !tag.contains('/')
        {
            let end = text.len() - path.len() + name.len();
            let fix = suggestion(&text[..end]);
            if name.contains(|c: char| c.is_ascii_uppercase()) {
                return Err(RepositoryError::UpperCase { value: value(), fix });
            }
            return Err(RepositoryError::HasTag { value: value(), fix });
        }
        check_path(path, text)?;
        let path = match registry.as_str() {
            DEFAULT_REGISTRY if !path.contains('/') => format!("library/{path}"),
            _ => path.to_owned(),
        };
        check_length(&path, text)?;
        Ok(Self { registry, path })
    }
}

/// Scheme, credentials, digest, control characters: each gets its own message, before any other mistake can repeat
/// a password.
fn refuse_what_is_more_than_a_repository(text: &str) -> Result<(), RepositoryError> {
    let value = || shown(text);
    if text.is_empty() {
        return Err(RepositoryError::Empty);
    }
    if credentials_end(text).is_some() {
        return Err(RepositoryError::Credentials { value: value() });
    }
    if text.chars().any(char::is_control) {
        return Err(RepositoryError::Control { value: value() });
    }
    if let Some((_, rest)) = text.split_once("://") {
        return Err(RepositoryError::Scheme { value: value(), fix: suggestion(rest) });
    }
    if let Some((name, _)) = text.split_once('@') {
        return Err(RepositoryError::HasDigest { value: value(), fix: suggestion(name) });
    }
    Ok(())
}

/// Docker's rule: the first part is a host if it could not be a path (a dot, a colon, `localhost`).
fn split_host(text: &str) -> (Option<&str>, &str) {
    match text.split_once('/') {
        Some((host, path)) if host.contains(['.', ':', '[']) || host.eq_ignore_ascii_case("localhost") => {
            (Some(host), path)
        }
        _ => (None, text),
    }
}

/// The host in lower case, Docker Hub's other names replaced, its port checked.
fn registry(host: &str, text: &str) -> Result<String, RepositoryError> {
    let bad = || RepositoryError::Host { value: shown(text), host: shown(host) };
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or_else(bad)?;
            let address: Ipv6Addr = address.parse().map_err(|_| bad())?;
            let port = match port {
                "" => None,
                port => Some(port.strip_prefix(':').ok_or_else(bad)?),
            };
            (format!("[{address}]"), port)
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name.to_ascii_lowercase(), Some(port)),
            None => (host.to_ascii_lowercase(), None),
        },
    };
    if !name.starts_with('[') && !is_host_name(&name) {
        return Err(bad());
    }
    let name = match name.as_str() {
        "index.docker.io" | "registry-1.docker.io" if port.is_none() => DEFAULT_REGISTRY.to_owned(),
        _ => name,
    };
    let Some(port) = port else { return Ok(name) };
    let number = port.parse::<u16>().ok().filter(|n| *n > 0 && port.bytes().all(|b| b.is_ascii_digit()));
    match number {
        Some(number) => Ok(format!("{name}:{number}")),
        None => Err(RepositoryError::Port { value: shown(text), port: shown(port) }),
    }
}

fn is_host_name(name: &str) -> bool {
    name.len() <= LONGEST_HOST
        && name.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}

fn check_length(path: &str, text: &str) -> Result<(), RepositoryError> {
    let length = path.chars().count();
    if length > LONGEST_PATH {
        return Err(RepositoryError::Length { value: shown(text), length });
    }
    Ok(())
}

fn check_path(path: &str, text: &str) -> Result<(), RepositoryError> {
    check_length(path, text)?;
    let Some(part) = path.split('/').find(|part| !is_path_part(part)) else { return Ok(()) };
    if path.split('/').all(|part| is_path_part(&part.to_ascii_lowercase())) {
        return Err(RepositoryError::UpperCase { value: shown(text), fix: suggestion(text) });
    }
    // Once only: what is trimmed and in lower case already has no further suggestion.
    let meant = text.trim().to_ascii_lowercase();
    let hint = if meant != text && meant.parse::<Repository>().is_ok() {
        format!("; did you mean {}?", shown(&meant))
    } else {
        String::new()
    };
    Err(RepositoryError::Part { value: shown(text), part: shown(part), hint })
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, the grammar of the OCI distribution specification.
fn is_path_part(part: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut rest = part;
    loop {
        let after_word = rest.trim_start_matches(word);
        if after_word.len() == rest.len() {
            return false;
        }
        let after_separator = after_word.trim_start_matches(|c| !word(c));
        match &after_word[..after_word.len() - after_separator.len()] {
            "" => return true,
            "." | "_" | "__" => rest = after_separator,
            hyphens if hyphens.bytes().all(|b| b == b'-') => rest = after_separator,
            _ => return false,
        }
    }
}

/// What the person probably meant, as shown to people.
fn suggestion(text: &str) -> String {
    shown(&text.trim().trim_end_matches('/').to_ascii_lowercase())
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)
    }
}

text_type!(
    Repository,
    "Repository",
    "A repository: [registry/]path, without scheme, credentials, tag or digest; no registry means docker.io.",
    "^[^\\s@]+$",
    520
);

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        let message = text.parse::<Repository>().unwrap_err().to_string();
        assert!(!message.contains(char::is_control), "{message}");
        message
    }

    #[test]
    fn row_1_no_registry_is_docker_hub() {
        for text in [
            "nginx",
            "docker.io/nginx",
            "index.docker.io/library/nginx",
            "registry-1.docker.io/nginx",
            "DOCKER.io/nginx",
        ] {
            let repository: Repository = text.parse().unwrap();
            assert_eq!(repository.to_string(), "docker.io/library/nginx", "{text}");
            assert_eq!((repository.registry(), repository.path()), ("docker.io", "library/nginx"));
        }
        assert_eq!("bitnami/nginx".parse::<Repository>().unwrap().to_string(), "docker.io/bitnami/nginx");
    }

    #[test]
    fn hosts_ports_and_addresses() {
        for (text, whole) in [
            ("localhost/a", "localhost/a"),
            ("localhost:5000/a/b", "localhost:5000/a/b"),
            ("Registry.Example.com:0443/a", "registry.example.com:443/a"),
            ("[::1]:5000/a", "[::1]:5000/a"),
            ("[0:0::1]/a", "[::1]/a"),
            ("10.0.0.1/a", "10.0.0.1/a"),
            ("ghcr.io/a.b/c__d/e---f_g", "ghcr.io/a.b/c__d/e---f_g"),
            (
                "public.ecr.aws/aws-observability/aws-otel-collector",
                "public.ecr.aws/aws-observability/aws-otel-collector",
            ),
        ] {
            let repository: Repository = text.parse().unwrap();
            assert_eq!(repository.to_string(), whole);
            assert_eq!(whole.parse::<Repository>().unwrap(), repository);
        }
    }

    #[test]
    fn a_prefix_is_not_the_same_repository() {
        let (a, b): (Repository, Repository) =
            ("ghcr.io/a/b".parse().unwrap(), "ghcr.io/a/bc".parse().unwrap());
        assert_ne!(a, b);
    }

    #[test]
    fn row_2_upper_case_gets_a_suggestion() {
        for (text, fix) in [
            ("NGINX", "\"nginx\""),
            ("NGINX:Latest", "\"nginx\""),
            ("MyOrg/App", "\"myorg/app\""),
            ("ghcr.io/Org/app", "\"ghcr.io/org/app\""),
        ] {
            let message = message(text);
            assert!(message.contains("lower case") && message.contains(fix), "{message}");
        }
    }

    #[test]
    fn row_2_spaces_and_emoji_are_named() {
        assert!(message(" nginx ").contains("did you mean \"nginx\"?"), "{}", message(" nginx "));
        assert!(message("my app").contains("\"my app\" is no part"), "{}", message("my app"));
        assert!(message("ghcr.io/🔒/app").contains("\"🔒\""), "{}", message("ghcr.io/🔒/app"));
    }

    #[test]
    fn row_22_a_scheme_is_refused() {
        for text in [
            "http://registry.example.com/app",
            "https://registry.example.com/app/",
            "oci://registry.example.com/app",
        ] {
            let message = message(text);
            assert!(
                message.contains("scheme") && message.contains("write \"registry.example.com/app\""),
                "{message}"
            );
        }
    }

    #[test]
    fn row_26_credentials_are_refused_and_left_out() {
        for text in [
            "user:s3cret@registry.example.com/app",
            "https://user:s3cret@registry/app",
            "s3cret@registry/app",
        ] {
            let message = message(text);
            assert!(message.contains("Secret") && message.contains("***@"), "{message}");
            assert!(!message.contains("s3cret"), "{message}");
        }
    }

    #[test]
    fn row_28_line_breaks_are_refused_and_escaped() {
        for text in ["nginx\r\nHost: evil", "ghcr.io\n/a", "a\0b", "a\u{85}"] {
            assert!(message(text).contains("control character"), "{}", message(text));
        }
    }

    #[test]
    fn tags_and_digests_belong_elsewhere() {
        assert!(message("nginx:1.2").contains("ends in a tag; write \"nginx\""), "{}", message("nginx:1.2"));
        assert!(message("ghcr.io/a:1").contains("write \"ghcr.io/a\""), "{}", message("ghcr.io/a:1"));
        assert!(
            message("a@sha256:00").contains("ends in a digest; write \"a\""),
            "{}",
            message("a@sha256:00")
        );
    }

    #[test]
    fn malformed_hosts_ports_and_paths() {
        for (text, part) in [
            ("", "empty"),
            ("registry.example.com./a", "no registry host"),
            ("-a.example/b", "no registry host"),
            ("a_b.example/c", "no registry host"),
            ("[::1/a", "no registry host"),
            ("[::1]x/a", "no registry host"),
            ("[::g]/a", "no registry host"),
            ("ex\u{e4}mple.com/a", "no registry host"),
            ("a.b:0/c", "port"),
            ("a.b:70000/c", "port"),
            ("a.b:+5/c", "port"),
            ("a.b:/c", "port"),
            ("ghcr.io/", "no path"),
            ("/a", "\"\" is no part"),
            ("a//b", "\"\" is no part"),
            ("a/", "\"\" is no part"),
            ("a..b", "\"a..b\""),
            ("a___b", "\"a___b\""),
            ("-a", "\"-a\""),
            ("a/../b", "\"..\""),
        ] {
            let message = message(text);
            assert!(message.contains(part), "{text}: {message}");
        }
        assert!(message(&"a".repeat(256)).contains("256 characters"));
        // Docker Hub's `library/` counts.
        assert!(message(&"a".repeat(248)).contains("256 characters"));
        assert!(message(&"0".repeat(64)).contains("image's id"));
    }
}
