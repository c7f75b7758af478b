//! Blocks as files: `SHELF/NAME`, written under another name in `new/` first. Nothing is synced: what a
//! power failure leaves is found out by its checksum.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use holdfast_core::hash::FrameHash;

use super::directory::{Directory, NEW};
use super::shelf::{Kept, Shelf, cost};

/// A use is noted at most so often.
const NOTED_AFTER: Duration = Duration::from_secs(60);
/// What is still in `new/` after so long is left over from a process that is gone.
const LEFT_OVER_AFTER: Duration = Duration::from_secs(600);

/// The blocks of a cache.
#[derive(Debug)]
pub(super) struct Files {
    directory: Directory,
    next: AtomicU64,
}

/// What a read finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The block.
    Sound,
    Nothing,
    /// Something else under its name, and why that is not the block.
    Bad(&'static str),
}

impl Files {
    pub(super) const fn new(directory: Directory) -> Self {
        Self { directory, next: AtomicU64::new(0) }
    }

    /// Reads a block that is as long as the buffer, and verifies it.
    ///
    /// # Errors
    /// When the disk does not work.
    pub(super) fn read(&self, hash: &FrameHash, into: &mut [u8]) -> io::Result<Found> {
        let file = match File::open(self.path(hash)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(error),
        };
        let meta = file.metadata()?;
        if meta.len() != into.len() as u64 {
            return Ok(Found::Bad("it has another length"));
        }
        if file.read_exact_at(into, 0).is_err() {
            return Ok(Found::Bad("it cannot be read"));
        }
        if !hash.matches(into) {
            return Ok(Found::Bad("it does not match its checksum"));
        }
        let now = SystemTime::now();
        if meta.modified().is_ok_and(|used| now.duration_since(used).is_ok_and(|since| since >= NOTED_AFTER)) {
            // Else it goes a little earlier.
            let _ = file.set_modified(now);
        }
        Ok(Found::Sound)
    }

    /// Writes a block.
    ///
    /// # Errors
    /// When the disk is full or does not work. Nothing is left of it.
    pub(super) fn write(&self, hash: &FrameHash, data: &[u8]) -> io::Result<()> {
        let (mut file, new) = self.create()?;
        let written = file.write_all(data).and_then(|()| self.publish(&new, hash));
        if written.is_err() {
            // It is removed when the cache is opened, at the latest.
            let _ = fs::remove_file(&new);
        }
        written
    }

    /// A file of its own. Processes of several pid name spaces may use the directory.
    fn create(&self) -> io::Result<(File, PathBuf)> {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let path = self.directory.path().join(NEW).join(format!("{}-{number}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => return Ok((file, path)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn publish(&self, new: &PathBuf, hash: &FrameHash) -> io::Result<()> {
        let path = self.path(hash);
        match fs::rename(new, &path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            renamed => return renamed,
        }
        // The first block of its shelf.
        let shelf = self.directory.path().join(Shelf::of(hash).name());
        match DirBuilder::new().mode(0o700).create(shelf) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        fs::rename(new, path)
    }

    /// Removes a block.
    ///
    /// # Errors
    /// When the disk does not work.
    pub(super) fn remove(&self, hash: &FrameHash) -> io::Result<()> {
        gone(fs::remove_file(self.path(hash)))
    }

    /// What is on a shelf.
    ///
    /// # Errors
    /// When the disk does not work.
    pub(super) fn list(&self, shelf: Shelf) -> io::Result<Vec<Kept>> {
        let entries = match fs::read_dir(self.directory.path().join(shelf.name())) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut kept = Vec::new();
        for entry in entries {
            let entry = entry?;
            // Another process may have removed it.
            let Ok(meta) = entry.metadata() else { continue };
            let used = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            kept.push(Kept { name: entry.file_name(), cost: cost(meta.len()), used });
        }
        Ok(kept)
    }

    /// Removes something from a shelf.
    ///
    /// # Errors
    /// When the disk does not work.
    pub(super) fn discard(&self, shelf: Shelf, kept: &Kept) -> io::Result<()> {
        gone(fs::remove_file(self.directory.path().join(shelf.name()).join(&kept.name)))
    }

    /// Removes what processes that are gone were writing.
    ///
    /// # Errors
    /// When the disk does not work.
    pub(super) fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.directory.path().join(NEW))? {
            let entry = entry?;
            let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
            if age.is_some_and(|age| age > LEFT_OVER_AFTER) {
                gone(fs::remove_file(entry.path()))?;
            }
        }
        Ok(())
    }

    fn path(&self, hash: &FrameHash) -> PathBuf {
        self.directory.path().join(format!("{}/{hash}", Shelf::of(hash).name()))
    }
}

/// Another process may have removed it first.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
