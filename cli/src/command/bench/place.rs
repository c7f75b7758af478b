//! The directories that are measured: checked, ours for the time, and as they were afterwards.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use holdfast_fuse::mount::table;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::statvfs::statvfs;
use serde::Serialize;

use super::plan::{Free, Scale, Sizes};
use crate::failure::{During, Failure, Result};

const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";
/// How long the second directory may take to show what is made in the first.
const SAME_DEADLINE: Duration = Duration::from_secs(10);
const SAME_POLL: Duration = Duration::from_millis(5);

/// How a row that is to be cold is made so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caches {
    /// The kernel's pages of the file that is read next are dropped.
    OfTheFile,
    /// Everything that the machine caches is, also for a server on it.
    OfTheMachine,
}

impl Caches {
    /// # Errors
    /// Without the right to do that.
    pub(super) fn of_the_machine() -> Result<Self> {
        let open = File::options().write(true).open(DROP_CACHES);
        let denied = |error| Failure::new("cannot drop the caches of this machine").because(&error);
        open.map_err(|error| denied(error).hint("be root, or leave --drop-caches out")).map(|_| Self::OfTheMachine)
    }

    /// Drops them, before this file is read.
    pub(super) fn cool(self, file: Option<&File>) -> Result<()> {
        match (self, file) {
            (Self::OfTheMachine, _) => {
                nix::unistd::sync();
                fs::write(DROP_CACHES, "3").during(|| "drop the caches of this machine".into())
            }
            (Self::OfTheFile, Some(file)) => posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
                .during(|| "drop the cached pages of a file".into()),
            (Self::OfTheFile, None) => Ok(()),
        }
    }
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Description {
    pub(super) directory: PathBuf,
    pub(super) second: Option<PathBuf>,
    pub(super) file_system: String,
    pub(super) source: String,
    pub(super) large_bytes: u64,
    pub(super) files: u64,
    /// The sizes are less than was asked for: there is not more room.
    pub(super) cut: bool,
}

/// A directory of ours below the one that is measured. Dropped: removed with all that is in it.
#[derive(Debug)]
pub(super) struct Place {
    writer: PathBuf,
    reader: PathBuf,
    sizes: Sizes,
    description: Description,
    removed: bool,
}

impl Place {
    /// Checks the directories and makes ours.
    ///
    /// # Errors
    /// What is no directory, cannot be written, has too little room; a second directory that does not
    /// show what is made in the first.
    pub(super) fn begin(dir: &Path, second: Option<&Path>, scale: Scale) -> Result<Self> {
        for dir in [Some(dir), second].into_iter().flatten() {
            let shown = dir.display();
            let what =
                fs::metadata(dir).map_err(|error| Failure::new(format!("cannot measure {shown}")).because(&error))?;
            if !what.is_dir() {
                let failure = Failure::new(format!("cannot measure {shown}: it is not a directory"));
                return Err(failure.hint("name a mounted directory, or any other that can be written"));
            }
        }
        let sizes = Sizes::fit(scale, free(dir)?)?;
        let (file_system, source) = mounted(dir);
        let description = Description {
            directory: dir.to_owned(),
            second: second.map(Path::to_owned),
            file_system,
            source,
            large_bytes: sizes.large,
            files: sizes.files,
            cut: sizes.cut,
        };
        let name = name();
        let writer = dir.join(&name);
        fs::create_dir(&writer).map_err(|error| {
            let failure = Failure::new(format!("cannot measure {}: it cannot be written", dir.display()));
            failure.because(&error).hint("name a directory in which you may make files")
        })?;
        let reader = second.unwrap_or(dir).join(&name);
        let place = Self { writer, reader, sizes, description, removed: false };
        place.until_seen(second)?;
        Ok(place)
    }

    fn until_seen(&self, second: Option<&Path>) -> Result<()> {
        let Some(second) = second else { return Ok(()) };
        let end = Instant::now() + SAME_DEADLINE;
        while fs::metadata(&self.reader).is_err() {
            if Instant::now() > end {
                let (first, second) = (self.description.directory.display(), second.display());
                return Err(Failure::new(format!("{second} does not show what is made in {first}"))
                    .hint("both must be mounts of the same volume, or the same directory"));
            }
            thread::sleep(SAME_POLL);
        }
        Ok(())
    }

    pub(super) fn writer(&self) -> &Path {
        &self.writer
    }

    pub(super) fn reader(&self) -> &Path {
        &self.reader
    }

    pub(super) fn sizes(&self) -> Sizes {
        self.sizes
    }

    pub(super) fn description(&self) -> &Description {
        &self.description
    }

    /// Leaves the directory as it was.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub(super) fn remove(mut self) -> Result<()> {
        self.removed = true;
        fs::remove_dir_all(&self.writer).during(|| format!("remove {}; remove it by hand", self.writer.display()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.removed {
            // An error is under way already, and says what happened.
            let _left = fs::remove_dir_all(&self.writer);
        }
    }
}

/// A name that no other run has: not on this host by the process, nor on another by the time.
fn name() -> String {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    format!(".holdfast-bench-{}-{nanos:x}", process::id())
}

fn free(dir: &Path) -> Result<Free> {
    let stat = statvfs(dir).during(|| format!("ask how much is free in {}", dir.display()))?;
    let bytes = stat.blocks_available().saturating_mul(stat.fragment_size());
    // Some file systems do not count inodes, and say that they have none.
    let inodes = (stat.files() > 0).then(|| stat.files_available());
    Ok(Free { bytes, inodes })
}

/// Kind and source of the file system that a directory is on.
fn mounted(dir: &Path) -> (String, String) {
    let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let all = table::read().unwrap_or_default();
    // Of mounts on one place the last one counts.
    let on = all.into_iter().filter(|mount| dir.starts_with(&mount.point));
    let on = on.max_by_key(|mount| mount.point.components().count());
    on.map_or_else(|| ("unknown".to_owned(), "unknown".to_owned()), |mount| (mount.kind, mount.source))
}
