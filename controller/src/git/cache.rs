//! The caches, and one branch as it is now.
//!
//! Guarantees: what is in them can be fetched again; nobody else's cache is used with a credential; so many are kept at
//! most, each of bounded size; folders of processes before this one are not read.

use super::{
    edits::wants,
    program::{LOCAL, Program},
    trouble::{error, of_call},
};
use crate::ports::git::{Errand, GitAccess, GitError};
use lockkeeper_core::git::Remote;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Mutex as Turn;

/// Commits that are fetched: in those an attempt's own one is looked for.
const DEPTH: &str = "100";
/// Where branches of our own are kept; what follows is their names without the prefix.
pub const OWN: &str = "refs/own/";
/// Longest time of a fetch.
const FETCH: Duration = Duration::from_mins(2);
/// Caches that are kept.
const KEPT: usize = 64;
/// A larger cache is thrown away after its visit.
const LARGE: u64 = 512 * 1024 * 1024;

/// All caches.
pub struct Cache {
    folder: PathBuf,
    kept: Mutex<Vec<Kept>>,
    made: AtomicU64,
}

struct Kept {
    url: String,
    access: GitAccess,
    place: Arc<Turn<Place>>,
}

/// One git directory.
pub struct Place {
    folder: PathBuf,
    made: bool,
}

impl Drop for Cache {
    fn drop(&mut self) {
        // A cache: whoever comes next makes its own.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Cache {
    pub fn new(folder: &Path) -> io::Result<Self> {
        let folder = folder.join(format!("lockkeeper-git-{}", std::process::id()));
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            // It is made where one is needed: many installations have no folder to write to, and no such target.
            _ => Ok(Self { folder, kept: Mutex::default(), made: AtomicU64::new(0) }),
        }
    }

    /// The cache of a repository that is reached like this.
    pub fn of(&self, url: &str, access: &GitAccess) -> Arc<Turn<Place>> {
        let mut kept = self.lock();
        let found = kept.iter().position(|kept| kept.url == url && kept.access == *access);
        let mine = match found {
            Some(index) => kept.remove(index),
            None => Kept {
                url: url.to_owned(),
                access: access.clone(),
                place: Arc::new(Turn::new(Place { folder: self.free(), made: false })),
            },
        };
        let place = Arc::clone(&mine.place);
        kept.push(mine);
        if kept.len() > KEPT {
            // The one that was not used for longest. A visit that is under way keeps its own until it ends.
            kept.remove(0);
        }
        place
    }

    /// A folder that no cache has.
    fn free(&self) -> PathBuf {
        self.folder.join(format!("{}.git", self.made.fetch_add(1, Ordering::Relaxed)))
    }

    /// A file with these certificates.
    pub fn authority(&self, pem: &[u8]) -> io::Result<String> {
        let name = lockkeeper_core::image::Digest::of(pem);
        let file = self.folder.join(format!("{}.pem", name.hex()));
        if fs::read(&file).ok().as_deref() != Some(pem) {
            fs::create_dir_all(&self.folder)?;
            fs::write(&file, pem)?;
        }
        Ok(file.display().to_string())
    }

    /// Files with these keys, which only this process may read, for as long as the result is kept.
    pub fn keys(&self, access: &GitAccess) -> io::Result<Keys> {
        let folder = self.folder.join(format!("keys-{}", self.made.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all(&self.folder)?;
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let keys = Keys { folder };
        let ssh = access.ssh.as_ref();
        let files = [
            (keys.identity(), ssh.map(|ssh| &ssh.identity)),
            (keys.known_hosts(), ssh.map(|ssh| &ssh.known_hosts)),
            (keys.signing(), access.signing.as_ref()),
        ];
        for (file, bytes) in files {
            if let Some(bytes) = bytes {
                private(&file, &ended(bytes))?;
            }
        }
        Ok(keys)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys in files, which are gone when this is dropped.
pub struct Keys {
    folder: PathBuf,
}

impl Keys {
    /// The private key that logs in.
    pub fn identity(&self) -> PathBuf {
        self.folder.join("identity")
    }

    /// The keys of the server.
    pub fn known_hosts(&self) -> PathBuf {
        self.folder.join("known_hosts")
    }

    /// The private key that signs.
    pub fn signing(&self) -> PathBuf {
        self.folder.join("signing")
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::error!(%error, "files with keys of a repository could not be taken away");
        }
    }
}

fn private(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    file.write_all(bytes)
}

/// With the line's end that ssh asks for and people forget.
fn ended(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.last().is_some_and(|last| *last != b'\n') {
        bytes.push(b'\n');
    }
    bytes
}

impl Place {
    /// The cache, made if it is not there.
    pub async fn open(
        &mut self,
        config: Vec<(String, String)>,
        protocol: &'static str,
    ) -> Result<Program, GitError> {
        let failed =
            |why: io::Error| error("Failed", format!("the cache of the repository cannot be made: {why}"));
        if !self.made {
            fs::create_dir_all(&self.folder).map_err(failed)?;
        }
        let program = Program::new(self.folder.clone(), config, protocol);
        if !self.made {
            let init = ["init", "--quiet", "--bare", "--template="];
            program.output(&init, b"", &[], LOCAL).await.map_err(of_call)?;
            self.made = true;
        }
        Ok(program)
    }

    pub fn is_large(&self) -> bool {
        size(&self.folder) > LARGE
    }

    /// It is made anew for the next visit.
    pub fn throw_away(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, "a cache of a repository could not be thrown away");
        }
        self.made = false;
    }
}

fn size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(about) if about.is_dir() => size(&entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

/// A file of the branch.
#[derive(Clone, Debug)]
pub struct Blob {
    /// Such as `100644`.
    pub mode: String,
    /// The name of its contents.
    pub name: String,
    /// Its contents, of those that are wanted.
    pub bytes: Option<Vec<u8>>,
}

/// A branch as it is now.
#[derive(Clone, Debug)]
pub struct Checkout {
    /// Its newest commit.
    pub head: String,
    /// Its files by path; those whose names are no text are left out.
    pub files: BTreeMap<String, Blob>,
    /// The newest commits with their messages, newest first.
    pub log: Vec<(String, String)>,
}

impl Checkout {
    /// Fetches the branch, and the contents of the files that these errands are about.
    pub async fn fetch(program: &Program, remote: &Remote, errands: &[Errand]) -> Result<Self, GitError> {
        let place = format!("refs/lockkeeper/{}", remote.branch);
        let spec = format!("+refs/heads/{}:{place}", remote.branch);
        let depth = format!("--depth={DEPTH}");
        let own = remote.request.as_ref().map(|request| format!("+refs/heads/{}/*:{OWN}*", request.prefix));
        let fetch: Vec<&str> = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--prune",
            &depth,
            "--filter=blob:none",
            "origin",
            &spec,
        ]
        .into_iter()
        .chain(own.as_deref())
        .collect();
        program.output(&fetch, b"", &[], FETCH).await.map_err(of_call)?;
        let head =
            program.output(&["rev-parse", "--verify", &format!("{place}^{{commit}}")], b"", &[], LOCAL).await;
        let head = String::from_utf8_lossy(&head.map_err(of_call)?).trim().to_owned();
        let log = ["log", "--max-count", DEPTH, "--format=%H%x00%B%x01", &head];
        let log = program.output(&log, b"", &[], LOCAL).await.map_err(of_call)?;
        let list = program
            .output(&["ls-tree", "-r", "-z", "--full-tree", &head], b"", &[], LOCAL)
            .await
            .map_err(of_call)?;
        let mut checkout = Self { head, files: files(&list), log: commits(&log) };
        checkout.read(program, errands).await?;
        Ok(checkout)
    }

    /// Reads the contents of the files that are wanted.
    async fn read(&mut self, program: &Program, errands: &[Errand]) -> Result<(), GitError> {
        let edits = || errands.iter().flat_map(|errand| &errand.delivery.edits);
        let wanted = self
            .files
            .iter()
            .filter(|(path, blob)| blob.mode.starts_with("100") && edits().any(|edit| wants(edit, path)));
        let names: BTreeSet<String> = wanted.map(|(_, blob)| blob.name.clone()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let lines = |names: &mut dyn Iterator<Item = &String>| {
            names.flat_map(|name| [name.as_str(), "\n"]).collect::<String>().into_bytes()
        };
        let here = ["cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objectname)"];
        let here = program.output(&here, b"", &[], LOCAL).await.map_err(of_call)?;
        let here: BTreeSet<&str> = std::str::from_utf8(&here).unwrap_or_default().lines().collect();
        let missing = lines(&mut names.iter().filter(|name| !here.contains(name.as_str())));
        if !missing.is_empty() {
            let fetch = [
                "fetch",
                "--quiet",
                "--no-tags",
                "--no-write-fetch-head",
                "--filter=blob:none",
                "--stdin",
                "origin",
            ];
            program.output(&fetch, &missing, &[], FETCH).await.map_err(of_call)?;
        }
        let all = program.output(&["cat-file", "--batch"], &lines(&mut names.iter()), &[], FETCH).await;
        let contents = contents(&all.map_err(of_call)?)?;
        for blob in self.files.values_mut() {
            blob.bytes = contents.get(&blob.name).cloned();
        }
        Ok(())
    }
}

/// What `ls-tree -z` prints: mode, type, name and path.
fn files(list: &[u8]) -> BTreeMap<String, Blob> {
    let entries = list.split(|byte| *byte == 0).filter_map(|entry| std::str::from_utf8(entry).ok());
    let files = entries.filter_map(|entry| {
        let (about, path) = entry.split_once('\t')?;
        let mut about = about.split(' ');
        let (mode, _, name) = (about.next()?, about.next()?, about.next()?);
        Some((path.to_owned(), Blob { mode: mode.to_owned(), name: name.to_owned(), bytes: None }))
    });
    files.collect()
}

fn commits(log: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(log);
    let entries = text.split('\u{1}').filter_map(|entry| entry.trim_start().split_once('\0'));
    entries.map(|(name, message)| (name.to_owned(), message.to_owned())).collect()
}

/// What `cat-file --batch` prints: a line with name, type and size, and the contents.
fn contents(mut all: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, GitError> {
    let broken = || error("Failed", "git cat-file printed something else than contents".to_owned());
    let mut found = BTreeMap::new();
    while !all.is_empty() {
        let end = all.iter().position(|byte| *byte == b'\n').ok_or_else(broken)?;
        let line = std::str::from_utf8(&all[..end]).map_err(|_| broken())?;
        let mut parts = line.split(' ');
        let (Some(name), Some("blob"), Some(size)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(broken());
        };
        let (begin, size) = (end + 1, size.parse::<usize>().map_err(|_| broken())?);
        let bytes = all.get(begin..begin + size).ok_or_else(broken)?;
        found.insert(name.to_owned(), bytes.to_vec());
        all = all.get(begin + size + 1..).ok_or_else(broken)?;
    }
    Ok(found)
}
