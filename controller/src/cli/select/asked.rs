//! What is asked for: a selection from flags, or from the file of a policy.

use super::{Args, By, Direction};
use crate::cli::exit::Failure;
use lockkeeper_api::Quarantine;
use lockkeeper_core::{
    image::Repository,
    select::{DISCOVERY_LIMIT, Order, SelectError, Selection, TagFilter, ignored, platforms},
    signature::Verify,
};
use std::{io::Read as _, path::Path};

/// A selection, and where its tags are listed.
pub struct Asked {
    pub selection: Selection,
    pub repository: Option<Repository>,
    /// Whose signature the policy asks for.
    pub verify: Option<Verify>,
    /// The Quarantines beside the policy.
    pub quarantines: Vec<Quarantine>,
    /// The policy asks for plain HTTP.
    pub insecure: bool,
}

impl Asked {
    pub fn read(args: &Args) -> Result<Self, Failure> {
        let named = match &args.image {
            Some(text) => Some(text.parse().map_err(|error| Failure::Usage(format!("IMAGE: {error}")))?),
            None => None,
        };
        match &args.file {
            Some(file) => Self::of_policy(args, file, named),
            None => {
                let selection = of_flags(&args.by).map_err(|error| Failure::Usage(error.to_string()))?;
                Ok(Self {
                    selection,
                    repository: named,
                    verify: None,
                    quarantines: Vec::new(),
                    insecure: args.access.insecure,
                })
            }
        }
    }

    fn of_policy(args: &Args, file: &Path, named: Option<Repository>) -> Result<Self, Failure> {
        if file.as_os_str() == "-" && args.tags.as_deref() == Some(file) {
            return Err(Failure::Usage("--file and --tags cannot both be standard input".to_owned()));
        }
        let text = String::from_utf8_lossy(&read("--file", file)?).into_owned();
        let wrong = |errors: Vec<lockkeeper_api::FieldError>| {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Failure::Usage(format!("--file {}: {}", file.display(), lines.join("\n")))
        };
        let (object, quarantines) =
            lockkeeper_api::policy_and_quarantines_from_yaml(&text, "default").map_err(wrong)?;
        let insecure = object.registry_insecure();
        let policy = lockkeeper_api::parse(&object).map_err(wrong)?;
        Ok(Self {
            selection: policy.select,
            repository: Some(named.unwrap_or(policy.image)),
            verify: policy.verify,
            quarantines,
            insecure: insecure || args.access.insecure,
        })
    }
}

fn of_flags(by: &By) -> Result<Selection, SelectError> {
    let descending = |direction: Direction| direction == Direction::Desc;
    let order = match by {
        By { alphabetical: Some(direction), .. } => {
            Order::Alphabetical { descending: descending(*direction) }
        }
        By { numerical: Some(direction), .. } => Order::Numerical { descending: descending(*direction) },
        By { newest_build: true, .. } => Order::newest_build(by.discovery_limit.unwrap_or(DISCOVERY_LIMIT))?,
        By { digest: Some(tag), .. } => Order::digest(tag)?,
        // People who ask for nothing want the newest version.
        By { semver, .. } => Order::semver(semver.as_deref().unwrap_or("*"))?,
    };
    let filter = match &by.filter {
        Some(pattern) => Some(TagFilter::new(pattern, by.extract.as_deref().unwrap_or_default())?),
        None => None,
    };
    let (ignore, platforms) = (ignored(&by.ignore)?, platforms(&by.platform)?);
    Selection::new(order, filter, ignore, platforms, by.minimum_release_age.unwrap_or_default(), false)
}

/// A file, or standard input.
pub fn read(flag: &str, file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut bytes).map(drop)
    } else {
        std::fs::read(file).map(|content| bytes = content)
    };
    read.map_err(|error| Failure::Usage(format!("{flag} {} cannot be read: {error}", file.display())))?;
    Ok(bytes)
}
