//! The directory to mount on.

use std::io;
use std::path::{Path, PathBuf};

use holdfast_core::error::{Error, ErrorKind, Result};
use nix::errno::Errno;

use super::table;

/// A directory on which nothing is mounted yet: absolute, without links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPoint(PathBuf);

impl MountPoint {
    /// Checks a directory.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` or `InUse`, naming the directory and what to do.
    pub fn check(path: &Path) -> Result<Self> {
        let shown = path.display();
        let failed = |error: io::Error| match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT) => Error::new(
                ErrorKind::NotFound,
                format!("mount point {shown} does not exist; make it with mkdir -p {shown}"),
            ),
            Some(Errno::ENOTCONN) => Error::new(
                ErrorKind::InUse,
                format!(
                    "mount point {shown} is a mount that nobody serves any more; run holdfast umount {shown} first"
                ),
            ),
            _ => Error::new(ErrorKind::Invalid, format!("mount point {shown} cannot be used: {error}")).because(error),
        };
        let point = path.canonicalize().map_err(failed)?;
        let attributes = point.metadata().map_err(failed)?;
        if !attributes.is_dir() {
            return Err(Error::new(ErrorKind::Invalid, format!("mount point {shown} is not a directory")));
        }
        let mounted = table::at(&point).map_err(|error| {
            Error::new(ErrorKind::Unavailable, "cannot read the list of mounts in /proc; is /proc mounted?")
                .because(error)
        })?;
        match mounted {
            Some(mount) if point != Path::new("/") => Err(Error::new(
                ErrorKind::InUse,
                format!(
                    "mount point {shown} is in use: {} ({}) is mounted there; unmount it first or take another directory",
                    mount.source, mount.kind
                ),
            )),
            _ => Ok(Self(point)),
        }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
    use super::*;

    #[test]
    fn a_directory_is_made_absolute_and_anything_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let point = MountPoint::check(&dir.path().join(".")).unwrap();
        assert_eq!(point.path(), dir.path().canonicalize().unwrap());
        let missing = MountPoint::check(&dir.path().join("missing")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(missing.to_string().contains("mkdir"));
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(MountPoint::check(&file).unwrap_err().to_string().contains("not a directory"));
        let busy = MountPoint::check(Path::new("/proc")).unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::InUse);
        assert!(busy.to_string().contains("proc"));
    }
}
