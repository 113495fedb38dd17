//! Docker's configuration file, as Secrets of type `kubernetes.io/dockerconfigjson` hold it.
//!
//! Guarantees: finds the credential for one repository in every spelling of the keys that docker, kubectl and
//! the kubelet write; the most specific key wins; an error names the key and never the content. Nothing here prints a
//! password. Assumes the caller read the Secret with the right identity.
//! May not: fetch, cache, or run credential helpers.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use lockkeeper_core::image::{Repository, shown};
use serde_json::Value;

use crate::ports::{self, Credential};

/// `docker login` pads, many scripts do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Credentials per registry.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct DockerConfig {
    entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, Eq)]
struct Entry {
    /// `host[:port]`, normalised as repositories are.
    host: String,
    /// Without slashes around it; empty: all of the host.
    path: String,
    /// An entry that cannot be used is an error only for the repositories it is for.
    credential: Result<Credential, CredentialsError>,
}

/// The port over [`DockerConfig`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SecretCredentials;

impl ports::Credentials for SecretCredentials {
    fn find(&self, dockerconfigjson: &[u8], repository: &Repository) -> Result<Option<Credential>, String> {
        DockerConfig::parse(dockerconfigjson)
            .and_then(|config| config.for_repository(repository))
            .map_err(|error| error.to_string())
    }
}

impl fmt::Debug for DockerConfig {
    /// The registries only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.entries.iter().map(|entry| format!("{}/{}", entry.host, entry.path)))
            .finish()
    }
}

/// Why a Secret's content cannot be used. Names entries only; the caller names Secret and key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// Not JSON, or not this shape.
    #[error(
        "the file {why}; make it with kubectl create secret docker-registry, or copy the \
         file that docker login writes"
    )]
    File {
        /// What is wrong with it.
        why: &'static str,
    },
    /// One registry's entry.
    #[error("auths[{registry}] {why}; {fix}")]
    Entry {
        /// The key under `auths`, as shown to people.
        registry: String,
        /// What is wrong with it.
        why: &'static str,
        /// What to do.
        fix: &'static str,
    },
}

impl DockerConfig {
    /// Read the file's bytes.
    ///
    /// # Errors
    /// It is no such file at all. A single entry that cannot be used is reported when it is asked for.
    pub fn parse(bytes: &[u8]) -> Result<Self, CredentialsError> {
        let file = |why| CredentialsError::File { why };
        let json: Value = serde_json::from_slice(bytes).map_err(|_| file("is not JSON"))?;
        let json = json.as_object().ok_or_else(|| file("is not a JSON object"))?;
        let auths = match json.get("auths") {
            Some(Value::Object(auths)) => auths,
            Some(_) => return Err(file("has auths that are not a JSON object")),
            None if json.contains_key("credHelpers") || json.contains_key("credsStore") => {
                return Err(file(
                    "names a credential helper, which only works on the machine it was written on",
                ));
            }
            None => return Err(file("has no auths")),
        };
        // Two spellings of one registry: the later key in plain string order wins, always the same one.
        let mut entries = BTreeMap::new();
        for (key, value) in auths {
            let (host, path) = location(key);
            let credential = credential(key, value);
            entries.insert((host.clone(), path.clone()), Entry { host, path, credential });
        }
        Ok(Self { entries: entries.into_values().collect() })
    }

    /// The credential for this repository: of the entries for its registry, the one with the longest path that
    /// leads to it. `None`: no entry is for it.
    ///
    /// # Errors
    /// That entry cannot be used.
    pub fn for_repository(&self, repository: &Repository) -> Result<Option<Credential>, CredentialsError> {
        let host = without_default_port(repository.registry());
        self.entries
            .iter()
            .filter(|entry| entry.host == host && leads_to(&entry.path, repository.path()))
            .max_by_key(|entry| entry.path.len())
            .map(|entry| entry.credential.clone())
            .transpose()
    }
}

/// TLS is what registries speak unless told otherwise.
fn without_default_port(host: &str) -> &str {
    host.strip_suffix(":443").unwrap_or(host)
}

/// Whole segments only: `team` leads to `team/app` and not to `teams/app`.
fn leads_to(path: &str, repository: &str) -> bool {
    path.is_empty()
        || repository.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Registry and path of a key: `https://index.docker.io/v1/`, `ghcr.io`, `ghcr.io/team`, `reg.example:443`.
fn location(key: &str) -> (String, String) {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = match without_default_port(&host.to_ascii_lowercase()) {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => "docker.io".to_owned(),
        host => host.to_owned(),
    };
    // The API's version is no part of a repository.
    let path = path.trim_matches('/');
    let path = match path.split_once('/') {
        _ if path == "v1" || path == "v2" => "",
        Some(("v1" | "v2", rest)) => rest,
        _ => path,
    };
    (host, path.to_owned())
}

/// What an entry holds. A token goes before user and password, as docker does: with an identity token the user is none.
fn credential(key: &str, value: &Value) -> Result<Credential, CredentialsError> {
    let fail = |why, fix| CredentialsError::Entry { registry: shown(key), why, fix };
    let entry =
        value.as_object().ok_or_else(|| fail("is not a JSON object", "give it username and password"))?;
    let text = |name: &str| match entry.get(name) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(_) => Err(fail("has a field that is no string", "write username, password and auth as strings")),
    };
    for (name, made) in [
        ("identitytoken", Credential::Identity as fn(String) -> Credential),
        ("registrytoken", Credential::Token),
    ] {
        match text(name)?.trim() {
            "" => {}
            token if token.contains(char::is_control) => {
                return Err(fail("has a token with a control character in it", "copy it anew"));
            }
            token => return Ok(made(token.to_owned())),
        }
    }
    let (user, password) = match text("auth")? {
        "" => (text("username")?.to_owned(), text("password")?.to_owned()),
        auth => {
            let again = "write the base64 of user:password";
            let bytes =
                BASE64.decode(auth.trim()).map_err(|_| fail("has an auth that is not base64", again))?;
            let plain = String::from_utf8(bytes).map_err(|_| fail("has an auth that is not UTF-8", again))?;
            let (user, password) =
                plain.split_once(':').ok_or_else(|| fail("has an auth without a colon in it", again))?;
            // Docker pads with NUL.
            (user.to_owned(), password.trim_matches('\0').to_owned())
        }
    };
    if user.is_empty() && password.is_empty() {
        return Err(fail("has neither auth nor username and password", "give it username and password"));
    }
    if user.contains(':') {
        return Err(fail("has a user name with a colon in it", "correct username"));
    }
    if user.contains(char::is_control) || password.contains(char::is_control) {
        return Err(fail(
            "has a line break or another control character in user name or password",
            "write it without (echo -n)",
        ));
    }
    Ok(Credential::Basic(user, password))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Credentials as _;

    fn encoded(text: &str) -> String {
        base64::engine::general_purpose::STANDARD.encode(text)
    }

    fn found(json: &Value, repository: &str) -> Option<Credential> {
        let credentials = DockerConfig::parse(json.to_string().as_bytes()).unwrap();
        credentials.for_repository(&repository.parse().unwrap()).unwrap()
    }

    fn pair(user: &str, password: &str) -> Credential {
        Credential::Basic(user.into(), password.into())
    }

    #[test]
    fn docker_hub_has_many_spellings() {
        for key in [
            "https://index.docker.io/v1/",
            "https://index.docker.io/v2/",
            "index.docker.io",
            "docker.io",
            "https://docker.io",
            "registry-1.docker.io",
            "INDEX.docker.io/v1",
        ] {
            let json = serde_json::json!({"auths": {key: {"auth": encoded("u:p:q")}}});
            assert_eq!(found(&json, "nginx"), Some(pair("u", "p:q")), "{key}");
            assert_eq!(found(&json, "ghcr.io/nginx/nginx"), None, "{key}");
        }
    }

    #[test]
    fn the_longest_path_of_whole_segments_wins() {
        let json = serde_json::json!({"auths": {
            "reg.example:5000": {"username": "all", "password": "1"},
            "https://reg.example:5000/team": {"username": "team", "password": "2"},
            "reg.example:5000/team/app/": {"username": "app", "password": "3"},
            "reg.example": {"username": "other port", "password": "4"},
        }});
        for (repository, user) in [
            ("reg.example:5000/x", "all"),
            ("reg.example:5000/teams/x", "all"),
            ("reg.example:5000/team/x", "team"),
            ("reg.example:5000/team/app", "app"),
            ("reg.example:5000/team/app/x", "app"),
            ("reg.example:5000/team/apps", "team"),
            ("reg.example/x", "other port"),
        ] {
            let Some(Credential::Basic(found, _)) = found(&json, repository) else { panic!("{repository}") };
            assert_eq!(found, user, "{repository}");
        }
        assert_eq!(found(&json, "reg.example.evil/x"), None);
    }

    #[test]
    fn auth_wins_over_fields_and_may_lack_padding() {
        let auth = encoded("u:pass");
        let json = serde_json::json!({"auths": {"a.b": {
            "auth": auth.trim_end_matches('='), "username": "old", "password": "old"}}});
        assert_eq!(found(&json, "a.b/c"), Some(pair("u", "pass")));
    }

    #[test]
    fn row_19_mistakes_name_the_key_and_never_the_content() {
        let canary = "c4n4ry-s3cret";
        let entry = |value: Value| serde_json::json!({"auths": {"reg.example": value}}).to_string();
        for (file, part) in [
            (canary.to_owned(), "not JSON"),
            (format!("\"{canary}\""), "not a JSON object"),
            (format!("{{\"auths\": \"{canary}\"}}"), "not a JSON object"),
            (format!("{{\"reg.example\": {{\"password\": \"{canary}\"}}}}"), "no auths"),
            ("{\"credsStore\": \"c4n4ry\"}".to_owned(), "credential helper"),
            (entry(canary.into()), "auths[\"reg.example\"]"),
            (entry(serde_json::json!({"auth": format!("!{canary}")})), "not base64"),
            (entry(serde_json::json!({"auth": encoded(canary)})), "without a colon"),
            (entry(serde_json::json!({"auth": [canary]})), "no string"),
            (entry(serde_json::json!({"username": "u", "password": format!("{canary}\n")})), "echo -n"),
            (entry(serde_json::json!({"username": format!("{canary}:"), "password": "p"})), "colon"),
            (entry(serde_json::json!({"identitytoken": format!("{canary}\n{canary}")})), "control character"),
            (entry(serde_json::json!({"registrytoken": [canary]})), "no string"),
            (entry(serde_json::json!({"email": canary})), "neither auth nor"),
        ] {
            let repository = "reg.example/app".parse().unwrap();
            let error =
                DockerConfig::parse(file.as_bytes()).and_then(|found| found.for_repository(&repository));
            let text = format!("{error:?}");
            assert!(!text.contains("c4n4ry") && !text.contains(&encoded(canary)), "{text}");
            let text = SecretCredentials.find(file.as_bytes(), &repository).unwrap_err();
            assert!(text.contains(part), "{text}");
            assert!(!text.contains("c4n4ry") && !text.contains(&encoded(canary)), "{text}");
        }
    }

    #[test]
    fn tokens_go_before_user_and_password() {
        let user = serde_json::json!({"auth": encoded("<token>:"), "identitytoken": "refresh"});
        let json = serde_json::json!({"auths": {"a.azurecr.io": user, "b.c": {"registrytoken": "bearer"}}});
        assert_eq!(found(&json, "a.azurecr.io/app"), Some(Credential::Identity("refresh".into())));
        assert_eq!(found(&json, "b.c/app"), Some(Credential::Token("bearer".into())));
    }

    #[test]
    fn a_bad_entry_is_an_error_only_where_it_is_needed() {
        let json = serde_json::json!({"auths": {
            "a.b": {"auth": "!"}, "c.d:443": {"username": "u", "password": "p"}}});
        assert_eq!(found(&json, "c.d/app"), Some(pair("u", "p")));
        let credentials = DockerConfig::parse(json.to_string().as_bytes()).unwrap();
        assert!(credentials.for_repository(&"a.b/app".parse().unwrap()).is_err());
    }

    #[test]
    fn debug_shows_registries_only() {
        let json =
            serde_json::json!({"auths": {"a.b": {"username": "c4n4ry-user", "password": "c4n4ry-password"}}});
        let text = format!("{:?}", DockerConfig::parse(json.to_string().as_bytes()).unwrap());
        assert!(text.contains("a.b") && !text.contains("c4n4ry"), "{text}");
    }
}
