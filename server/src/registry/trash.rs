//! Where deleted volumes go until their files are gone.
//!
//! A volume leaves as a whole, by a rename on the same file system, so no half of one is ever seen.

use std::path::Path;

use holdfast_core::error::Result;
use holdfast_core::id::VolumeId;
use tracing::warn;

use crate::data_dir::cannot;

/// Moves a volume's directory into the trash, under its id.
///
/// # Errors
/// When the file system refuses.
pub(super) fn move_to_trash(trash: &Path, dir: &Path, id: VolumeId) -> Result<()> {
    std::fs::rename(dir, trash.join(id.to_string())).map_err(|error| cannot("move to the trash", dir, error))
}

/// Removes what is in the trash, in the background. What a stop cuts short is there at the next
/// start.
pub(super) fn empty_trash(trash: &Path) {
    let trash = trash.to_owned();
    let work = move || {
        let entries = std::fs::read_dir(&trash).into_iter().flatten().filter_map(|entry| entry.ok());
        for entry in entries {
            if let Err(error) = std::fs::remove_dir_all(entry.path())
                && error.kind() != std::io::ErrorKind::NotFound
            {
                warn!(path = %entry.path().display(), %error, "cannot remove a deleted volume; the next start tries again");
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("trash".to_owned()).spawn(work) {
        warn!(%error, "cannot empty the trash; the next start tries again");
    }
}
