//! One process at a time per mount: a file lock that goes with its holder, however that one ends.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use holdfast_core::error::{Error, ErrorKind, Result};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::deadline::Deadline;
use super::layout::{broken, make};

/// The right to change a mount and its records, until dropped.
#[derive(Debug)]
pub(super) struct MountLock {
    _file: Flock<File>,
}

impl MountLock {
    /// Takes the lock of a state directory, which is made if it is missing.
    ///
    /// The last holder may remove the directory while it holds the lock; whoever waited then starts again.
    pub(super) fn take(state: &Path, deadline: Deadline) -> Result<Self> {
        let path = state.join("lock");
        let locked = deadline.poll(|| {
            make(state)?;
            let file = match OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(broken("open", &path, error)),
            };
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) => Ok(is_at(&file, &path)?.then_some(file)),
                Err((_, Errno::EWOULDBLOCK | Errno::EINTR)) => Ok(None),
                Err((_, errno)) => Err(broken("lock", &path, errno.into())),
            }
        })?;
        match locked {
            Some(file) => Ok(Self { _file: file }),
            None => Err(Error::new(
                ErrorKind::Timeout,
                format!("another process is busy with this mount for too long; see who holds {}", path.display()),
            )),
        }
    }
}

/// Whether the file that was locked is still the one with that name.
fn is_at(file: &File, path: &Path) -> Result<bool> {
    let ours = file.metadata().map_err(|error| broken("look at", path, error))?;
    match fs::symlink_metadata(path) {
        Ok(theirs) => Ok((ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(broken("look at", path, error)),
    }
}
