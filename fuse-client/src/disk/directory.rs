//! The directory of a cache: one that is empty is made one, one that holds something else is refused.
//!
//! It is kept open, and everything in it is found through that: so nothing that is mounted over its path, be
//! it the very mount that uses it, comes in between.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use holdfast_core::error::{Error, ErrorKind, Result};
use nix::sys::statfs::{FUSE_SUPER_MAGIC, fstatfs};
use nix::unistd::geteuid;

/// Says that the directory is one of ours, and of which format.
const MARKER: &str = "holdfast-cache";
const FORMAT: &str = "holdfast disk cache, format 1\n";
/// Blocks that are being written.
pub(super) const NEW: &str = "new";
/// What a disk of its own has at its root.
const LOST_AND_FOUND: &str = "lost+found";
/// Another mount may be opening it at this moment.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// A directory that is one of ours.
#[derive(Debug)]
pub(super) struct Directory {
    /// Through `opened`.
    path: PathBuf,
    _opened: File,
}

impl Directory {
    /// Its path, for this process only.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Opens the directory of a cache.
///
/// # Errors
/// `Invalid`, `Denied`, `Unavailable`, with the reason.
pub(super) fn open(dir: &Path) -> Result<Directory> {
    let failed = |what: &str, error: io::Error| {
        let message = format!("the cache directory {} {what}: {error}", dir.display());
        Error::new(ErrorKind::Unavailable, message).because(error)
    };
    let refused = |kind, why: &str| Error::new(kind, format!("the cache directory {} {why}", dir.display()));
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed("cannot be made", error)),
        _ => {}
    }
    let opened = File::open(dir).map_err(|error| failed("cannot be opened", error))?;
    let meta = opened.metadata().map_err(|error| failed("cannot be looked at", error))?;
    if !meta.is_dir() {
        return Err(refused(ErrorKind::Invalid, "is no directory"));
    }
    if meta.uid() != geteuid().as_raw() {
        return Err(refused(ErrorKind::Denied, "belongs to another user; name one of your own"));
    }
    let disk = fstatfs(&opened).map_err(|errno| failed("cannot be looked at", errno.into()))?;
    if disk.filesystem_type() == FUSE_SUPER_MAGIC {
        return Err(refused(ErrorKind::Invalid, "is on a FUSE mount; it has to be on a local disk"));
    }
    lock(&opened).map_err(|error| failed("is being opened by another process, which does not go on", error))?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()));
    if !is_ours(&path).map_err(|error| failed("cannot be read", error))? {
        return Err(refused(
            ErrorKind::Invalid,
            "holds something else, or the cache of another version; name one that is empty or absent",
        ));
    }
    prepare(&path).map_err(|error| failed("cannot be written", error))?;
    opened.unlock().map_err(|error| failed("cannot be unlocked", error))?;
    Ok(Directory { path, _opened: opened })
}

fn lock(opened: &File) -> io::Result<()> {
    for _ in 0..TRIES {
        match opened.try_lock() {
            Ok(()) => return Ok(()),
            Err(fs::TryLockError::WouldBlock) => thread::sleep(PAUSE),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Whether it has our marker, or nothing. (A marker that is empty was never finished.)
fn is_ours(path: &Path) -> io::Result<bool> {
    match fs::read(path.join(MARKER)) {
        Ok(marker) if marker == FORMAT.as_bytes() => return Ok(true),
        Ok(marker) if !marker.is_empty() => return Ok(false),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(_) | Err(_) => {}
    }
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        if name != MARKER && name != LOST_AND_FOUND {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes it what a cache needs, which also tells whether it can be written.
fn prepare(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o700))?;
    fs::write(path.join(MARKER), FORMAT)?;
    match DirBuilder::new().mode(0o700).create(path.join(NEW)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
