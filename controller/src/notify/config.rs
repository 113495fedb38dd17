//! The receivers of an installation: those of every policy that names none of its own.
//!
//! Guarantees: a file with a mistake is refused as a whole, before anything runs; secrets are named, never held: the files
//! of a folder, as a mounted Secret has them, are read for every message, so that rotated ones need no restart.

use lockkeeper_core::{
    image::shown,
    notices::{Occasion, Place, Receiver, Service},
};
use serde::Deserialize;
use std::{collections::BTreeMap, fs, io, path::PathBuf};

/// Most receivers of one installation.
const MOST: usize = 16;
/// The keys that a service may have.
const KEYS: [&str; 7] = ["url", "routingKey", "key", "token", "username", "password", "ca.crt"];
/// Largest value of a key.
const LARGEST: u64 = 64 * 1024;

/// Who is told by default.
#[derive(Clone, Debug, Default)]
pub struct Config {
    receivers: Vec<Receiver>,
    folders: BTreeMap<String, PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    receivers: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    name: String,
    service: String,
    secret_folder: PathBuf,
    #[serde(default)]
    events: Vec<String>,
}

impl Config {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// What is wrong: which receiver, which field, why, what to do.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File =
            serde_saphyr::from_str(text).map_err(|error| format!("it is no list of receivers: {error}"))?;
        if file.receivers.len() > MOST {
            return Err(format!("{} receivers; at most {MOST} are told", file.receivers.len()));
        }
        let mut config = Self::default();
        for (index, entry) in file.receivers.into_iter().enumerate() {
            let receiver = entry.receiver().map_err(|why| format!("receivers[{index}].{why}"))?;
            if config.folders.insert(receiver.name.clone(), entry.secret_folder).is_some() {
                return Err(format!("receivers[{index}].name: {:?} is there twice; use another", entry.name));
            }
            config.receivers.push(receiver);
        }
        Ok(config)
    }

    pub(super) fn receivers(&self) -> &[Receiver] {
        &self.receivers
    }

    /// What is in a receiver's folder now.
    pub(super) fn values(&self, receiver: &str) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let folder = self.folders.get(receiver).ok_or("the installation does not know it any more")?;
        let mut values = BTreeMap::new();
        for key in KEYS {
            let file = folder.join(key);
            let read = fs::metadata(&file).and_then(|file_is| {
                if file_is.len() > LARGEST {
                    Err(io::ErrorKind::FileTooLarge.into())
                } else {
                    fs::read(&file)
                }
            });
            match read {
                Ok(value) => {
                    values.insert(key.to_owned(), value);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(format!("key {key} of its Secret cannot be read: {}", error.kind()));
                }
            }
        }
        Ok(values)
    }
}

impl Entry {
    fn receiver(&self) -> Result<Receiver, String> {
        let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || self.name.len() > 50 || !self.name.chars().all(letter) {
            return Err(format!("name: {} is no name; use up to 50 of a-z, 0-9 and -", shown(&self.name)));
        }
        let service = Service::ALL.into_iter().find(|service| service.name() == self.service);
        let service = service.ok_or_else(|| {
            let all = Service::ALL.map(Service::name).join(", ");
            format!("service: {} is none; there are: {all}", shown(&self.service))
        })?;
        let occasion = |text: &String| {
            service.takes().iter().copied().find(|occasion| occasion.name() == text).ok_or_else(|| {
                let all: Vec<&str> = service.takes().iter().copied().map(Occasion::name).collect();
                let fix = all.join(", ");
                format!("events: {} is not told by {}; there are: {fix}", shown(text), service.name())
            })
        };
        let mut occasions: Vec<Occasion> = self.events.iter().map(occasion).collect::<Result<_, _>>()?;
        if occasions.is_empty() {
            occasions.extend(service.takes());
        }
        Ok(Receiver {
            // No receiver of a policy has such a name: there it begins with the service.
            name: format!("installation/{}", self.name),
            service,
            place: Place::Installation,
            occasions: occasions.into_iter().collect(),
            stages: std::collections::BTreeSet::new(),
        })
    }
}
