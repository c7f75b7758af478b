//! Opens a directory inside a volume, beneath the volume's root and nowhere else.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use holdfast_core::error::{Error, ErrorKind, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{Mode, fstat, major, minor};

use super::layout::broken;
use super::mounter::LiveMount;
use super::request::{RemoteVolume, Subdir};

/// How often a lookup that raced with a rename is tried again.
const TRIES: u32 = 128;

/// Pins a mount point and makes sure that it is the mount that was looked at, and not what may
/// have come in its place.
pub(super) fn open_root(target: &Path, live: &LiveMount) -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let root = open(target, flags, Mode::empty()).map_err(|errno| broken("open", target, errno.into()))?;
    let (device, _) = identity(&root).map_err(|errno| broken("look at", target, errno.into()))?;
    if (major(device), minor(device)) != (live.device.0.into(), live.device.1.into()) {
        let message = format!("the mount at {} changed while it was opened; try again", target.display());
        return Err(Error::new(ErrorKind::Unavailable, message));
    }
    Ok(root)
}

/// Pins the directory: resolved by the kernel in one go, below `root`, without symbolic links,
/// without crossing into another mount.
pub(super) fn open_beneath(root: impl AsFd, subdir: &Subdir, volume: &RemoteVolume) -> Result<OwnedFd> {
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC).resolve(
        ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_MAGICLINKS
            | ResolveFlag::RESOLVE_NO_XDEV,
    );
    let mut tries = 0;
    let errno = loop {
        match openat2(root.as_fd(), subdir.as_path(), how) {
            Ok(dir) => return Ok(dir),
            Err(Errno::EAGAIN | Errno::EINTR) if tries < TRIES => tries += 1,
            Err(errno) => break errno,
        }
    };
    let (kind, why) = match errno {
        Errno::ENOENT => (ErrorKind::NotFound, "there is no such directory; make it first"),
        Errno::ENOTDIR => (ErrorKind::Invalid, "it is no directory, or a part of the path is none"),
        Errno::ELOOP => (ErrorKind::Denied, "a part of the path is a symbolic link, which is never followed"),
        Errno::EXDEV => (ErrorKind::Denied, "the path leads out of the volume"),
        Errno::EAGAIN => (ErrorKind::InUse, "its path is being renamed all the time; try again"),
        Errno::ENOSYS => (ErrorKind::Internal, "this needs openat2(2): Linux 5.6 or newer"),
        _ => (ErrorKind::Unavailable, errno.desc()),
    };
    Err(Error::new(kind, format!("cannot open directory '{subdir}' of volume {volume}: {why}")))
}

/// What a descriptor points to, whatever its path: device and inode number.
pub(super) fn identity(fd: impl AsFd) -> nix::Result<(u64, u64)> {
    fstat(fd).map(|stat| (stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests;
