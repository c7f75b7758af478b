//! Where the registry keeps things, under one directory that only its owner can enter.
//!
//! ```text
//! RUN/agent/NS/mounts/ID              mount point of one (server, volume, read-only)
//! RUN/agent/NS/state/ID/lock          whoever changes anything of this mount holds it
//! RUN/agent/NS/state/ID/mount.json, mount.log, refs/HASH.json
//! RUN/agent/NS/binds/ID-HASH-HASH     directories inside a volume, bound here
//! ```
//!
//! NS is the mount namespace: who is in another one does not see these mounts and must not count
//! on them, though it may see the same files. RUN itself is shared with the processes of mounts,
//! which keep their own records in it.

use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use holdfast_core::error::{Error, ErrorKind, Result};
use nix::unistd::Uid;

use super::kernel::mount_namespace_id;
use super::request::{RefId, RemoteVolume, Subdir};

/// The run directory when nothing else is said.
pub const RUN_DIR_DEFAULT: &str = "/run/holdfast";
/// The environment variable that names another run directory.
pub const RUN_DIR_VARIABLE: &str = "HOLDFAST_RUN_DIR";

/// Names one mount: 32 hexadecimal digits, a hash of server, volume and read-only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MountId([u8; 16]);

impl MountId {
    /// The id of the mount of a volume. Two volumes have two ids, whatever their names contain.
    #[must_use]
    pub fn of(volume: &RemoteVolume, read_only: bool) -> Self {
        let access: &[u8] = if read_only { b"ro" } else { b"rw" };
        Self(hash(&[volume.server.to_string().as_bytes(), volume.volume.as_str().as_bytes(), access]))
    }

    /// The id that a directory name stands for, if it is one.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let digits = name.len() == 32 && name.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        digits.then(|| u128::from_str_radix(name, 16).ok())?.map(|number| Self(number.to_be_bytes()))
    }
}

impl fmt::Display for MountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for MountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MountId({self})")
    }
}

/// The run directory: exists, is ours, and nobody else can write in it. Holds its part `agent`,
/// which nobody else can enter.
#[derive(Clone, Debug)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// The directory that `HOLDFAST_RUN_DIR` names, or else `/run/holdfast`; for a user who is not
    /// root, `holdfast` in `XDG_RUNTIME_DIR`.
    ///
    /// `variable` reads the environment.
    pub fn choose(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
        let set = |name| variable(name).filter(|value| !value.as_os_str().is_empty());
        match (set(RUN_DIR_VARIABLE), set("XDG_RUNTIME_DIR")) {
            (Some(dir), _) => dir,
            (None, Some(own)) if !Uid::effective().is_root() => own.join("holdfast"),
            _ => PathBuf::from(RUN_DIR_DEFAULT),
        }
    }

    /// Makes it where it is missing (mode 0700), checks it otherwise.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] when it belongs to somebody else or others can write in it,
    /// [`ErrorKind::Invalid`] when it is no absolute path or no directory, [`ErrorKind::Internal`]
    /// when it cannot be made.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        if !path.is_absolute() {
            let message = format!("run directory {shown} is not an absolute path; set {RUN_DIR_VARIABLE} to one");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        make(path)?;
        let meta = fs::symlink_metadata(path).map_err(|error| broken("look at", path, error))?;
        if !meta.is_dir() {
            let message = format!("run directory {shown} is no directory; set {RUN_DIR_VARIABLE} to another path");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        if meta.uid() != Uid::effective().as_raw() || meta.mode() & 0o022 != 0 {
            let message = format!(
                "run directory {shown} belongs to another user or can be written by others; make it yours with mode 0700, or set {RUN_DIR_VARIABLE} to another path"
            );
            return Err(Error::new(ErrorKind::Denied, message));
        }
        let agent = fs::canonicalize(path).map_err(|error| broken("resolve", path, error))?.join("agent");
        make(&agent)?;
        fs::set_permissions(&agent, fs::Permissions::from_mode(0o700))
            .map_err(|error| broken("guard", &agent, error))?;
        let run = Self(agent.join(namespace()?));
        for dir in [run.mounts(), run.states(), run.binds()] {
            make(&dir)?;
        }
        Ok(run)
    }

    /// The registry's part of it in this mount namespace, without symbolic links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    fn mounts(&self) -> PathBuf {
        self.0.join("mounts")
    }

    pub(super) fn states(&self) -> PathBuf {
        self.0.join("state")
    }

    pub(super) fn binds(&self) -> PathBuf {
        self.0.join("binds")
    }

    /// The mount point of a mount.
    #[must_use]
    pub fn mount_point(&self, id: MountId) -> PathBuf {
        self.mounts().join(id.to_string())
    }

    pub(super) fn state(&self, id: MountId) -> PathBuf {
        self.states().join(id.to_string())
    }

    pub(super) fn bind(&self, id: MountId, reference: &RefId, subdir: &Subdir) -> PathBuf {
        let subdir = hex(&hash(&[subdir.as_str().as_bytes()])[..8]);
        self.binds().join(format!("{id}-{}-{subdir}", reference_name(reference)))
    }
}

/// The name of a reference's record: 32 hexadecimal digits.
pub(super) fn reference_name(reference: &RefId) -> String {
    hex(&hash(&[reference.as_str().as_bytes()]))
}

/// What the calling thread's mount namespace is called: its number, or on kernels without one its
/// inode number, which another namespace can get when it is gone.
fn namespace() -> Result<String> {
    let path = Path::new("/proc/thread-self/ns/mnt");
    let failed = |error: io::Error| broken("look at", path, error);
    let file = fs::File::open(path).map_err(failed)?;
    match mount_namespace_id(file.as_fd()) {
        Ok(id) => Ok(id.to_string()),
        Err(_) => Ok(format!("inode-{}", file.metadata().map_err(failed)?.ino())),
    }
}

/// Makes a directory of mode 0700, and those above it.
pub(super) fn make(path: &Path) -> Result<()> {
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(broken("make", path, error)),
    }
}

/// A failure of the run directory itself.
pub(super) fn broken(verb: &str, path: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        io::ErrorKind::StorageFull => ErrorKind::NoSpace,
        _ => ErrorKind::Internal,
    };
    Error::new(kind, format!("cannot {verb} {}", path.display())).because(error)
}

/// A hash of parts that no other list of parts has.
fn hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_be_bytes()).update(part);
    }
    let mut short = [0; 16];
    short.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    short
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
