//! What a registry is asked: tags, dates of builds, platforms. One request for what is needed, nothing for the rest.

use super::{Access, Args, Asked, Listed, held::Held, signed::Signatures};
use crate::{
    cli::exit::Failure,
    ports::{Credentials as _, Depth, Reference, Registry as _, RegistryAccess, RegistryError},
    registry::{OciRegistry, Sizes, credentials::SecretCredentials},
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use lockkeeper_core::{
    image::{Platform, Release, Repository, Tag},
    select::{Order, Ranked, Selection, Verdict, rank},
};
use std::collections::{BTreeMap, BTreeSet};

/// Requests at once.
const PARALLEL: usize = 4;

/// A registry to ask; none when there is none, or it may not be asked.
pub struct Look {
    registry: Option<Ask>,
}

/// One repository of a registry.
pub struct Ask {
    client: OciRegistry,
    access: RegistryAccess,
    repository: Repository,
}

impl Ask {
    /// As the flags say.
    pub fn new(access: &Access, insecure: bool, repository: Repository) -> Result<Self, Failure> {
        let credential = match &access.registry_config {
            None => None,
            Some(file) => {
                let bytes = super::asked::read("--registry-config", file)?;
                SecretCredentials
                    .find(&bytes, &repository)
                    .map_err(|why| Failure::Usage(format!("--registry-config {}: {why}", file.display())))?
            }
        };
        let access_to = RegistryAccess {
            scope: "command line".to_owned(),
            credential,
            insecure,
            ..RegistryAccess::default()
        };
        Ok(Self { client: access.registries.client(None)?, access: access_to, repository })
    }

    /// What a reference names; none: there is none.
    pub async fn resolve(&self, reference: &Reference) -> Result<Option<Release>, Failure> {
        let whole = self.client.resolve(&self.access, &self.repository, reference, Depth::Whole).await;
        whole.map_err(|error| failed(&error))
    }

    /// Why a release has not the signature that is asked for, if it has not.
    async fn unsigned(
        &self,
        signatures: Option<&Signatures>,
        release: &Release,
    ) -> Result<Option<(&'static str, String)>, Failure> {
        let Some(signatures) = signatures else { return Ok(None) };
        let found = self.client.signatures(&self.access, &self.repository, &release.digest).await;
        let found = found.map_err(|error| failed(&error))?;
        signatures.refused(&release.digest, &found).map_err(|error| failed(&error))
    }
}

/// What there is to know of a release besides what it is; an error says why it could not be looked up.
pub struct About {
    pub sizes: Result<Sizes, RegistryError>,
    pub signed: Result<bool, RegistryError>,
}

impl Ask {
    /// How large a release is, and whether a signature lies beside it.
    pub async fn about(&self, release: &Release) -> About {
        let Self { client, access, repository } = self;
        let signed = client.signatures(access, repository, &release.digest);
        let (sizes, signed) = tokio::join!(client.sizes(access, repository, release), signed);
        About { sizes, signed: signed.map(|all| !all.is_empty()) }
    }
}

fn failed(error: &RegistryError) -> Failure {
    Failure::Failed(format!("{}: {}", error.reason, error.message))
}

impl Look {
    pub fn new(args: &Args, asked: &Asked) -> Result<Self, Failure> {
        let registry = match &asked.repository {
            Some(repository) if !args.offline => {
                Some(Ask::new(&args.access, asked.insecure, repository.clone())?)
            }
            _ => None,
        };
        if registry.is_none() && args.tags.is_none() {
            let why = if args.offline {
                "--offline asks no registry; give the tags by --tags"
            } else {
                "name the repository whose tags are listed, or give the tags by --tags"
            };
            return Err(Failure::Usage(why.to_owned()));
        }
        Ok(Self { registry })
    }

    /// One repository, as the flags say.
    pub fn at(access: &Access, insecure: bool, repository: Repository) -> Result<Self, Failure> {
        Ok(Self { registry: Some(Ask::new(access, insecure, repository)?) })
    }

    /// The registry, if there is one to ask.
    pub fn registry(&self) -> Option<&Ask> {
        self.registry.as_ref()
    }

    /// All tags of the repository.
    pub async fn list(&self) -> Result<Vec<Listed>, Failure> {
        let Some(ask) = &self.registry else { return Ok(Vec::new()) };
        let tags = ask.client.tags(&ask.access, &ask.repository).await.map_err(|error| failed(&error))?;
        Ok(tags.iter().map(|tag| Listed { tag: tag.to_owned(), created: None }).collect())
    }

    /// Dates of builds, where they decide: those of the list, and those of as many configs as the policy lets be read.
    pub async fn dates(
        &self,
        selection: &Selection,
        listed: &[Listed],
    ) -> Result<BTreeMap<String, Timestamp>, Failure> {
        let mut dates: BTreeMap<String, Timestamp> =
            listed.iter().filter_map(|listed| Some((listed.tag.clone(), listed.created?))).collect();
        let Order::NewestBuild { limit } = selection.order else { return Ok(dates) };
        let Some(ask) = &self.registry else { return Ok(dates) };
        let ranking = rank(selection, listed.iter().map(|listed| listed.tag.as_str()));
        let unknown = ranking.best_first.into_iter().take(limit).map(|ranked| ranked.tag);
        let unknown: Vec<Tag> = unknown.filter(|tag| !dates.contains_key(tag.as_str())).collect();
        let requests = unknown.into_iter().map(|tag| async move {
            let release = ask.resolve(&Reference::Tag(tag.clone())).await?;
            Ok::<_, Failure>((tag.to_string(), release.and_then(|release| release.created)))
        });
        let read: Vec<_> = stream::iter(requests).buffered(PARALLEL).try_collect().await?;
        dates.extend(read.into_iter().filter_map(|(tag, created)| Some((tag, created?))));
        Ok(dates)
    }

    /// Reads the date of the chosen tag's build where an age is asked for; whether one was found that was not known.
    pub async fn date(
        &self,
        selection: &Selection,
        chosen: &Ranked,
        dates: &mut BTreeMap<String, Timestamp>,
    ) -> Result<bool, Failure> {
        let wanted = !selection.minimum_release_age.is_zero() && !dates.contains_key(chosen.tag.as_str());
        let Some(ask) = self.registry.as_ref().filter(|_| wanted) else { return Ok(false) };
        let release = ask.resolve(&Reference::Tag(chosen.tag.clone())).await?;
        let created = release.and_then(|release| release.created);
        Ok(created.is_some_and(|created| dates.insert(chosen.tag.to_string(), created).is_none()))
    }
}

/// What the release of a tag must not be, and must have.
pub struct Against<'a> {
    pub held: &'a Held,
    pub platforms: &'a [Platform],
    pub signatures: Option<&'a Signatures>,
}

impl Ask {
    /// Looks at the release of the chosen tag; why it is not taken, if it is not.
    pub async fn check(&self, against: &Against<'_>, chosen: &Ranked) -> Result<Option<Verdict>, Failure> {
        let tag = chosen.tag.to_string();
        let because = |reason, message| Ok(Some(Verdict { tag: tag.clone(), reason, message }));
        let Some(release) = self.resolve(&Reference::Tag(chosen.tag.clone())).await? else {
            return because(
                "TagGone",
                format!("\"{tag}\" was listed, and the registry has no image of that name"),
            );
        };
        if let Some(why) = against.held.refuses(&release, against.platforms) {
            return because("Quarantined", format!("\"{tag}\" is quarantined: {why}"));
        }
        let missing = release.missing_platforms(against.platforms);
        if !missing.is_empty() {
            let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
            return because("PlatformMissing", format!("\"{tag}\" has no image for {}", names.join(", ")));
        }
        match self.unsigned(against.signatures, &release).await? {
            None => Ok(None),
            Some((reason, why)) => because(reason, format!("\"{tag}\" {why}")),
        }
    }
}

/// What is known of tags that selection admits.
#[derive(Default)]
pub struct Looked {
    refused: BTreeMap<String, Verdict>,
    taken: BTreeSet<String>,
}

impl Looked {
    /// It is not taken.
    pub fn refuse(&mut self, verdict: Verdict) {
        self.refused.insert(verdict.tag.clone(), verdict);
    }

    /// Nothing speaks against it.
    pub fn take(&mut self, tag: &str) {
        self.taken.insert(tag.to_owned());
    }

    pub fn refused(&self, ranked: &Ranked) -> Option<Verdict> {
        self.refused.get(ranked.tag.as_str()).cloned()
    }

    pub fn is_taken(&self, ranked: &Ranked) -> bool {
        self.taken.contains(ranked.tag.as_str())
    }
}
