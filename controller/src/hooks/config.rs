//! The receivers of an installation: a file, because a person who may send hooks is chosen by who runs the controller.
//!
//! Guarantees: a file with a mistake is refused as a whole, before anything listens; a secret is named, never held:
//! its file is read when a hook arrives, so that a rotated one needs no restart.

use std::{collections::BTreeSet, path::PathBuf};

use lockkeeper_core::image::shown;
use serde::Deserialize;

/// Most receivers of one installation.
const MOST: usize = 64;

/// What is listened for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// One per path.
    pub receivers: Vec<Receiver>,
}

/// One path, `/hooks/<name>`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Receiver {
    /// A lower-case name, part of the path and of a metric.
    pub name: String,
    /// Who sends, and therefore how a hook proves itself and what it looks like.
    pub kind: Kind,
    /// The file that holds the secret which sender and receiver share. Every kind but `ArtifactRegistry` needs one.
    pub secret_file: Option<PathBuf>,
    /// The registry as policies name it. Kinds that do not say it themselves need it; it wins over what a hook says.
    pub registry: Option<String>,
    /// `ArtifactRegistry`: the audience that the push subscription puts into its tokens.
    pub audience: Option<String>,
    /// `ArtifactRegistry`: the service account that the push subscription authenticates as.
    pub service_account: Option<String>,
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Kind {
    /// Docker Hub.
    DockerHub,
    /// GitHub packages (`registry_package`, `package`).
    GitHub,
    /// GitLab: any hook of a project; it names the project only.
    GitLab,
    /// Quay.
    Quay,
    /// Harbor, in its own form or as `CloudEvents`.
    Harbor,
    /// Sonatype Nexus Repository.
    Nexus,
    /// `JFrog` Artifactory.
    Artifactory,
    /// Azure Container Registry.
    AzureContainerRegistry,
    /// Google Artifact Registry, through a Pub/Sub push subscription.
    ArtifactRegistry,
    /// Amazon ECR, through an `EventBridge` API destination.
    Ecr,
    /// The CNCF distribution's notifications.
    Distribution,
    /// Anything that speaks `CloudEvents` over HTTP.
    CloudEvents,
}

/// How a hook shows that it comes from where it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The sender can show nothing: the secret is the last part of the path.
    Path,
    /// A header that holds the secret itself.
    Token(&'static str),
    /// `Authorization: Bearer <secret>`, or the secret as the header's whole value.
    Authorization,
    /// A header that holds the HMAC-SHA256 of the raw body in hex, after a prefix.
    HmacSha256(&'static str, &'static str),
    /// The same with SHA-1, which is all that the sender knows.
    HmacSha1(&'static str),
    /// A header that holds the secret, or (as the sender is set up) the HMAC-SHA256 of the raw body in hex.
    TokenOrHmac(&'static str),
    /// A token signed by Google, for our audience and from our service account.
    Google,
}

impl Kind {
    /// How its hooks prove themselves.
    #[must_use]
    pub fn proof(self) -> Proof {
        match self {
            Self::DockerHub | Self::Quay => Proof::Path,
            Self::GitHub => Proof::HmacSha256("x-hub-signature-256", "sha256="),
            Self::GitLab => Proof::Token("x-gitlab-token"),
            Self::Nexus => Proof::HmacSha1("x-nexus-webhook-signature"),
            Self::Artifactory => Proof::TokenOrHmac("x-jfrog-event-auth"),
            Self::ArtifactRegistry => Proof::Google,
            Self::Harbor
            | Self::AzureContainerRegistry
            | Self::Ecr
            | Self::Distribution
            | Self::CloudEvents => Proof::Authorization,
        }
    }

    /// Its hooks do not say which registry they speak of.
    fn needs_registry(self) -> bool {
        matches!(self, Self::GitLab | Self::Nexus | Self::Artifactory)
    }
}

impl Config {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// What is wrong: which receiver, which field, why, what to do.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self =
            serde_saphyr::from_str(text).map_err(|error| format!("it is no list of receivers: {error}"))?;
        if config.receivers.len() > MOST {
            return Err(format!("{} receivers; at most {MOST} are served", config.receivers.len()));
        }
        let mut names = BTreeSet::new();
        for (index, receiver) in config.receivers.iter().enumerate() {
            receiver.check().map_err(|why| format!("receivers[{index}].{why}"))?;
            if !names.insert(receiver.name.as_str()) {
                return Err(format!(
                    "receivers[{index}].name: {:?} is there twice; use another",
                    receiver.name
                ));
            }
        }
        Ok(config)
    }
}

impl Receiver {
    fn check(&self) -> Result<(), String> {
        let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || self.name.len() > 63 || !self.name.chars().all(letter) {
            return Err(format!("name: {} is no name; use up to 63 of a-z, 0-9 and -", shown(&self.name)));
        }
        let google = self.kind.proof() == Proof::Google;
        if google == self.secret_file.is_some() {
            return Err(if google {
                "secretFile: hooks of ArtifactRegistry carry a signed token; remove it".to_owned()
            } else {
                format!("secretFile: {:?} needs the file of the shared secret", self.kind)
            });
        }
        for (field, value) in [("audience", &self.audience), ("serviceAccount", &self.service_account)] {
            if google && value.as_ref().is_none_or(String::is_empty) {
                return Err(format!("{field}: ArtifactRegistry needs it, as the push subscription has it"));
            }
            if !google && value.is_some() {
                return Err(format!("{field}: only ArtifactRegistry has it; remove it"));
            }
        }
        match &self.registry {
            None if self.kind.needs_registry() => Err(format!(
                "registry: hooks of {:?} do not say it; write the registry as policies do",
                self.kind
            )),
            Some(registry) if super::payload::repository(Some(registry), "a").is_none() => {
                Err(format!("registry: {} is no registry; write host[:port]", shown(registry)))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        Config::parse(text).unwrap_err()
    }

    #[test]
    fn a_file_is_read() {
        let config = Config::parse(
            "receivers:\n- {name: hub, kind: DockerHub, secretFile: /s/hub}\n\
             - {name: lab, kind: GitLab, secretFile: /s/lab, registry: 'registry.gitlab.com'}\n\
             - {name: gar, kind: ArtifactRegistry, audience: lockkeeper, serviceAccount: push@p.iam.gserviceaccount.com}\n",
        )
        .unwrap();
        assert_eq!(config.receivers.len(), 3);
        assert_eq!(config.receivers[1].kind, Kind::GitLab);
    }

    #[test]
    fn a_mistake_names_the_receiver_the_field_and_what_to_do() {
        for (receiver, parts) in [
            ("{name: Hub, kind: DockerHub, secretFile: /s}", ["receivers[0].name", "a-z"]),
            ("{name: '', kind: DockerHub, secretFile: /s}", ["receivers[0].name", "a-z"]),
            ("{name: hub, kind: DockerHub}", ["receivers[0].secretFile", "DockerHub needs"]),
            ("{name: lab, kind: GitLab, secretFile: /s}", ["receivers[0].registry", "GitLab do not say"]),
            (
                "{name: a, kind: Harbor, secretFile: /s, registry: 'a b'}",
                ["receivers[0].registry", "host[:port]"],
            ),
            ("{name: a, kind: Harbor, secretFile: /s, audience: x}", ["receivers[0].audience", "remove it"]),
            ("{name: a, kind: ArtifactRegistry, audience: x}", ["receivers[0].serviceAccount", "needs it"]),
            ("{name: a, kind: ArtifactRegistry, secretFile: /s}", ["receivers[0].secretFile", "remove it"]),
            ("{name: a, kind: Bitbucket, secretFile: /s}", ["no list of receivers", "Bitbucket"]),
            ("{name: a, kind: Quay, secretFile: /s, token: x}", ["no list of receivers", "token"]),
        ] {
            let error = wrong(&format!("receivers:\n- {receiver}\n"));
            assert!(parts.iter().all(|part| error.contains(part)), "{receiver}: {error}");
        }
        let twice = "{name: a, kind: Quay, secretFile: /s}";
        assert!(wrong(&format!("receivers:\n- {twice}\n- {twice}\n")).contains("receivers[1].name"));
        let many: Vec<String> =
            (0..65).map(|n| format!("- {{name: r{n}, kind: Quay, secretFile: /s}}\n")).collect();
        assert!(wrong(&format!("receivers:\n{}", many.concat())).contains("at most 64"));
    }
}
