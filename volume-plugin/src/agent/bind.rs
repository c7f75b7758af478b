//! Binds an opened directory to a path of ours. From then on nobody resolves its path again, and
//! nobody can exchange what is there.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::path::Path;

use holdfast_core::error::{Error, ErrorKind, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;

use super::beneath::identity;
use super::layout::{broken, make};
use super::mountinfo;

/// Binds `dir` at `path`, and makes sure that it is what is there.
pub(super) fn bind(dir: impl AsFd, path: &Path) -> Result<()> {
    make(path)?;
    let source = format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd());
    let none: Option<&str> = None;
    let failed = |errno: Errno| broken("bind", path, errno.into());
    mount(Some(source.as_str()), path, none, MsFlags::MS_BIND, none).map_err(failed)?;
    mount(none, path, none, MsFlags::MS_PRIVATE, none).map_err(failed)?;
    if is_bound(dir, path)? {
        return Ok(());
    }
    unbind(path)?;
    let message = format!("the directory bound at {} is not the one that was opened; try again", path.display());
    Err(Error::new(ErrorKind::Unavailable, message))
}

/// Whether `path` shows the very directory that `dir` is.
fn is_bound(dir: impl AsFd, path: &Path) -> Result<bool> {
    let failed = |errno: Errno| broken("look at", path, errno.into());
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let there = open(path, flags, Mode::empty()).map_err(failed)?;
    Ok(identity(there).map_err(failed)? == identity(dir).map_err(failed)?)
}

/// Whether something of this device is bound at `path`.
pub(super) fn is_bound_from(path: &Path, device: (u32, u32)) -> Result<bool> {
    Ok(mountinfo::at(path)?.is_some_and(|entry| entry.device == device))
}

/// Takes away whatever is bound at `path`, and the path.
///
/// Lazily: a container that has it keeps its own, and a dead mount does not refuse.
pub(super) fn unbind(path: &Path) -> Result<()> {
    while mountinfo::at(path)?.is_some() {
        umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
            .map_err(|errno| broken("unbind", path, errno.into()))?;
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(broken("remove", path, error)),
        _ => Ok(()),
    }
}
