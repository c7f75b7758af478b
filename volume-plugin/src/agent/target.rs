//! The directory under a mount. When the mount is gone nothing can be written there by mistake:
//! mode 0, and immutable where the file system knows that.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use holdfast_core::error::{Error, ErrorKind, Result};
use nix::errno::Errno;

use super::kernel::set_immutable;
use super::layout::broken;

/// Makes the directory where it is missing, and guards it. Only for paths where nothing is mounted.
pub(super) fn prepare(target: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o000).create(target) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mut entries = fs::read_dir(target).map_err(|error| broken("list", target, error))?;
            if entries.next().is_some() {
                let message = format!(
                    "the mount point {} is not empty although nothing is mounted there; move its content away",
                    target.display()
                );
                return Err(Error::new(ErrorKind::InUse, message));
            }
        }
        Err(error) => return Err(broken("make", target, error)),
    }
    flag(target, true)
}

/// Removes the directory. Only for paths where nothing is mounted; if something is, it stays.
pub(super) fn discard(target: &Path) -> Result<()> {
    flag(target, false)?;
    match fs::remove_dir(target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(broken("remove", target, error)),
        _ => Ok(()),
    }
}

/// Sets or clears the immutable flag, where there is such a thing and it is allowed.
fn flag(target: &Path, immutable: bool) -> Result<()> {
    let dir = match open(target) {
        Ok(dir) => dir,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Not root: mode 0 keeps even us out, and there is no flag to set.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        Err(error) => return Err(broken("open", target, error)),
    };
    match set_immutable(dir.as_fd(), immutable) {
        Ok(()) | Err(Errno::ENOTTY | Errno::EOPNOTSUPP | Errno::EPERM | Errno::ENOSYS | Errno::EINVAL) => Ok(()),
        Err(errno) => Err(broken("guard", target, errno.into())),
    }
}

fn open(target: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(target)
}

#[cfg(test)]
mod tests;
