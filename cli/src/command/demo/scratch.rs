//! The one directory that a demo writes to.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::failure::{During, Failure, Result};

/// Needed bytes: the input three times, the volume's copy, logs.
const FREE_BYTES_MIN: u64 = 2 << 30;

/// A new directory, removed at the end.
#[derive(Debug)]
pub(super) struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// Makes it in `parent`, else in `TMPDIR`, else on the disk that is meant for larger things.
    ///
    /// # Errors
    /// It cannot be made, or there is too little room.
    pub(super) fn new(parent: Option<&Path>) -> Result<Self> {
        let parent = parent
            .map(Path::to_owned)
            .or_else(|| std::env::var_os("TMPDIR").map(PathBuf::from))
            .unwrap_or_else(|| "/var/tmp".into());
        let here = || format!("use {} for the demo's files", parent.display());
        let disk = nix::sys::statvfs::statvfs(&parent).during(here)?;
        let free = disk.blocks_available().saturating_mul(disk.fragment_size());
        if free < FREE_BYTES_MIN {
            return Err(Failure::new(format!("the demo needs 2 GiB of free space in {}", parent.display()))
                .hint("choose another place with --scratch DIR"));
        }
        let dir = tempfile::Builder::new().prefix("holdfast-demo-").tempdir_in(&parent).during(here)?;
        Ok(Self { dir })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Removes it, or says where it stays.
    ///
    /// # Errors
    /// Something in it cannot be removed.
    pub(super) fn close(self, keep: bool) -> Result<Option<PathBuf>> {
        if keep {
            return Ok(Some(self.dir.keep()));
        }
        let path = self.dir.path().to_owned();
        self.dir.close().during(|| format!("remove {}", path.display()))?;
        Ok(None)
    }
}
