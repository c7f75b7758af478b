//! What is written down about a mount: which volume it is, and one small file per reference.
//!
//! A file is replaced as a whole or not at all. Records of an earlier boot count as absent:
//! whatever they say was mounted is not.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use holdfast_core::error::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::layout::{broken, make, reference_name};
use super::request::{RefId, RemoteVolume, Subdir, parse_server};

/// The version of both files' format.
const VERSION: u32 = 1;

/// `mount.json`
#[derive(Serialize, Deserialize)]
struct MountFile {
    version: u32,
    server: String,
    volume: String,
    read_only: bool,
}

/// `refs/HASH.json`
#[derive(Serialize, Deserialize)]
struct ReferenceFile {
    version: u32,
    boot: String,
    reference: String,
    witness: Option<PathBuf>,
    whole: bool,
    subdirs: BTreeSet<String>,
    pid: u32,
    pid_started: u64,
    created_unix_secs: u64,
}

/// One reference to one mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) id: RefId,
    pub(super) witness: Option<PathBuf>,
    /// It holds the volume's root.
    pub(super) whole: bool,
    /// It holds these directories inside.
    pub(super) subdirs: BTreeSet<Subdir>,
    /// The process that asked, and when that one started (clock ticks since boot).
    pub(super) holder: (u32, u64),
    pub(super) created: SystemTime,
}

impl Reference {
    /// A reference of the calling process that holds nothing yet. Times have whole seconds.
    pub(super) fn new(id: RefId, witness: Option<PathBuf>) -> Self {
        let pid = std::process::id();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            id,
            witness,
            whole: false,
            subdirs: BTreeSet::new(),
            holder: (pid, process_started(pid).unwrap_or(0)),
            created: SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs()),
        }
    }

    /// Adds a directory, or the root. False when it was held before.
    pub(super) fn add(&mut self, subdir: Option<&Subdir>) -> bool {
        match subdir {
            Some(subdir) => self.subdirs.insert(subdir.clone()),
            None => !std::mem::replace(&mut self.whole, true),
        }
    }

    /// Whether the holder is certainly gone: its witness is, and so is the process that was to make it.
    pub(super) fn is_stale(&self) -> bool {
        let gone =
            |path: &Path| matches!(fs::symlink_metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound);
        let (pid, started) = self.holder;
        self.witness.as_deref().is_some_and(gone) && process_started(pid) != Some(started)
    }
}

/// The records of one mount. Whoever writes holds the mount's lock.
#[derive(Debug)]
pub(super) struct Records {
    state: PathBuf,
}

impl Records {
    pub(super) fn at(state: PathBuf) -> Self {
        Self { state }
    }

    fn references(&self) -> PathBuf {
        self.state.join("refs")
    }

    fn path(&self, id: &RefId) -> PathBuf {
        self.references().join(format!("{}.json", reference_name(id)))
    }

    /// The file for what the mount process says.
    pub(super) fn log(&self) -> PathBuf {
        self.state.join("mount.log")
    }

    /// Writes down which volume this is. The first of all files.
    pub(super) fn begin(&self, volume: &RemoteVolume, read_only: bool) -> Result<()> {
        make(&self.references())?;
        let file = MountFile {
            version: VERSION,
            server: volume.server.to_string(),
            volume: volume.volume.to_string(),
            read_only,
        };
        replace(&self.state.join("mount.json"), &file)
    }

    /// Which volume this is; `None` when nothing was begun.
    pub(super) fn volume(&self) -> Result<Option<(RemoteVolume, bool)>> {
        let path = self.state.join("mount.json");
        let Some(file) = load::<MountFile>(&path)? else { return Ok(None) };
        let (Ok(server), Ok(volume)) = (parse_server(&file.server), file.volume.parse()) else {
            return Err(damaged(&path));
        };
        Ok(Some((RemoteVolume { server, volume }, file.read_only)))
    }

    /// Whether a reference has a record, readable or not. Needs no lock.
    pub(super) fn has(&self, id: &RefId) -> bool {
        fs::symlink_metadata(self.path(id)).is_ok()
    }

    /// The record of a reference.
    pub(super) fn get(&self, id: &RefId) -> Result<Option<Reference>> {
        read_reference(&self.path(id), &boot_id()?)
    }

    /// Writes a record.
    pub(super) fn put(&self, reference: &Reference) -> Result<()> {
        let file = ReferenceFile {
            version: VERSION,
            boot: boot_id()?,
            reference: reference.id.to_string(),
            witness: reference.witness.clone(),
            whole: reference.whole,
            subdirs: reference.subdirs.iter().map(|subdir| subdir.as_str().to_owned()).collect(),
            pid: reference.holder.0,
            pid_started: reference.holder.1,
            created_unix_secs: reference.created.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
        };
        replace(&self.path(&reference.id), &file)
    }

    /// Removes a record; also one that is not there.
    pub(super) fn remove(&self, id: &RefId) -> Result<()> {
        remove(&self.path(id))
    }

    /// Every reference. A file that cannot be read is an error: it stands for somebody.
    pub(super) fn all(&self) -> Result<Vec<Reference>> {
        let boot = boot_id()?;
        let dir = self.references();
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(broken("list", &dir, error)),
        };
        let mut references = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| broken("list", &dir, error))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                references.extend(read_reference(&path, &boot)?);
            }
        }
        references.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        Ok(references)
    }

    /// Removes everything, the lock last: from then on somebody else may have begun anew.
    pub(super) fn end(self) -> Result<()> {
        let dir = self.references();
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(broken("remove", &dir, error)),
            _ => {}
        }
        for name in ["mount.log", "mount.json", "mount.json.new", "lock"] {
            remove(&self.state.join(name))?;
        }
        match fs::remove_dir(&self.state) {
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
                Err(broken("remove", &self.state, error))
            }
            _ => Ok(()),
        }
    }
}

fn read_reference(path: &Path, boot: &str) -> Result<Option<Reference>> {
    let Some(file) = load::<ReferenceFile>(path)? else { return Ok(None) };
    if file.boot != boot {
        return Ok(None);
    }
    let subdirs: std::result::Result<BTreeSet<Subdir>, _> = file.subdirs.iter().map(|subdir| subdir.parse()).collect();
    let (Ok(id), Ok(subdirs)) = (file.reference.parse(), subdirs) else {
        return Err(damaged(path));
    };
    Ok(Some(Reference {
        id,
        witness: file.witness,
        whole: file.whole,
        subdirs,
        holder: (file.pid, file.pid_started),
        created: SystemTime::UNIX_EPOCH + Duration::from_secs(file.created_unix_secs),
    }))
}

/// The version comes first, so that a newer format is recognized whatever else it holds.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(broken("read", path, error)),
    };
    match serde_json::from_slice::<Versioned>(&bytes) {
        Ok(file) if file.version != VERSION => {
            let message = format!(
                "{} was written by another version of holdfast; end the containers on this volume with that version first",
                path.display()
            );
            Err(Error::new(ErrorKind::Version, message))
        }
        Ok(_) => serde_json::from_slice(&bytes).map(Some).map_err(|error| damaged(path).because(error)),
        Err(error) => Err(damaged(path).because(error)),
    }
}

fn damaged(path: &Path) -> Error {
    let message = format!("{} is damaged; remove it if no container uses the volume", path.display());
    Error::new(ErrorKind::Damaged, message)
}

/// Writes a file so that readers, also after a crash, see the old content or the new.
fn replace(path: &Path, content: &impl Serialize) -> Result<()> {
    let failed = |error| broken("write", path, error);
    let bytes = serde_json::to_vec(content).map_err(|error| failed(error.into()))?;
    let new = path.with_extension("json.new");
    let mut options = OpenOptions::new();
    let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&new).map_err(failed)?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&new, path)).map_err(failed)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(broken("remove", path, error)),
        _ => Ok(()),
    }
}

/// What the kernel calls this boot.
fn boot_id() -> Result<String> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    fs::read_to_string(path).map(|id| id.trim().to_owned()).map_err(|error| broken("read", path, error))
}

/// When a process started, in clock ticks since boot (proc_pid_stat(5), field 22); `None` when it is gone.
fn process_started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests;
