//! Temporary directories, and the sweeper of what a killed run left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::mount::{MntFlags, umount2};

/// A directory that goes with its last user, mounts below it first.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

const PREFIX: &str = "holdfast-test-";

impl Scratch {
    /// A new one. Its name has the process id, so that a later run can tell who left it.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(purpose: &str) -> Self {
        static SWEPT: Once = Once::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        SWEPT.call_once(sweep);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("{PREFIX}{}-{next}-{purpose}", std::process::id()));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        Self { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A directory in it, made if it is not there.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        clear(&self.path);
    }
}

/// Unmounts everything below a directory and removes it. Never follows into a mount: what cannot
/// be unmounted stays, rather than lose somebody's files.
fn clear(path: &Path) {
    let mounts = || {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = table.lines().filter_map(|line| line.split(' ').nth(4).map(PathBuf::from));
        points.filter(|point| point.starts_with(path)).collect::<Vec<_>>()
    };
    for point in mounts().iter().rev() {
        let _ = umount2(point, MntFlags::MNT_DETACH);
    }
    if mounts().is_empty() {
        let _ = fs::remove_dir_all(path);
    } else {
        eprintln!("{} is left: something is still mounted in it", path.display());
    }
}

/// Removes what test programs left that do not run any more. Their processes died with them (see
/// `process`), and their name spaces with those; mounts outside name spaces and directories stay.
fn sweep() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|rest| rest.split('-').next());
        if let Some(pid) = owner.filter(|pid| pid.bytes().all(|digit| digit.is_ascii_digit()))
            && !Path::new("/proc").join(pid).exists()
        {
            clear(&entry.path());
        }
    }
}
