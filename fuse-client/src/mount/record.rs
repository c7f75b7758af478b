//! Which process serves which mount: one small file a mount, in a directory of the host.
//!
//! `umount` reads it to wait for the process that makes the mount's last changes durable, and to
//! learn what was lost if it could not.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The environment variable that names the directory of records.
pub const RUN_DIR_VARIABLE: &str = "HOLDFAST_RUN_DIR";
const RUN_DIR_DEFAULT: &str = "/run/holdfast";

/// The directory of records: `HOLDFAST_RUN_DIR`, else `/run/holdfast`.
#[must_use]
pub fn default_run_dir() -> PathBuf {
    std::env::var_os(RUN_DIR_VARIABLE)
        .filter(|dir| !dir.is_empty())
        .map_or_else(|| RUN_DIR_DEFAULT.into(), PathBuf::from)
}

/// A process and its mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountRecord {
    /// The process that serves the mount.
    pub pid: u32,
    /// When it started, in clock ticks since boot: tells it from a later process of the same number.
    pub started: u64,
    /// Minor number of the mount's device.
    pub minor: u32,
    /// Where it is mounted.
    pub point: PathBuf,
    /// What is mounted.
    pub source: String,
    /// The kernel's side is gone; the process makes the last changes durable.
    pub closing: bool,
    /// Set when the process ended and could not make everything durable: what a person should know.
    pub lost: Option<String>,
}

impl MountRecord {
    /// A record of this process.
    #[must_use]
    pub fn of_this_process(minor: u32, point: &Path, source: String) -> Self {
        let pid = std::process::id();
        let started = start_time(pid).unwrap_or(0);
        Self { pid, started, minor, point: point.to_owned(), source, closing: false, lost: None }
    }

    /// Writes it, over an older one of the same device.
    ///
    /// # Errors
    /// When the directory cannot be made or written.
    pub fn write(&self, run_dir: &Path) -> io::Result<()> {
        let path = path(run_dir, self.minor);
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let new = path.with_extension("new");
        std::fs::write(&new, serde_json::to_vec(self)?)?;
        std::fs::rename(new, path)
    }

    /// Reads the record of a device, if there is one that can be read.
    #[must_use]
    pub fn read(run_dir: &Path, minor: u32) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path(run_dir, minor)).ok()?).ok()
    }

    /// All records whose process runs, in order of device.
    #[must_use]
    pub fn list(run_dir: &Path) -> Vec<Self> {
        let Ok(files) = std::fs::read_dir(run_dir.join("mounts")) else { return Vec::new() };
        let minors = files.flatten().filter_map(|file| file.path().file_stem()?.to_str()?.parse().ok());
        let mut records: Vec<Self> = minors.filter_map(|minor| Self::read(run_dir, minor)).collect();
        records.retain(Self::is_alive);
        records.sort_by_key(|record| record.minor);
        records
    }

    /// Removes it.
    pub fn remove(&self, run_dir: &Path) {
        // It is in memory of the host only; what stays behind is overwritten or ignored.
        let _ = std::fs::remove_file(path(run_dir, self.minor));
    }

    /// Whether its process still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }
}

fn path(run_dir: &Path, minor: u32) -> PathBuf {
    run_dir.join("mounts").join(format!("{minor}.json"))
}

/// Start of a process in clock ticks since boot (proc_pid_stat(5), field 22); `None`: there is none,
/// or it has ended and only waits to be reaped.
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
    use super::*;

    #[test]
    fn a_record_is_read_back_and_knows_whether_its_process_lives() {
        let dir = tempfile::tempdir().unwrap();
        let record = MountRecord::of_this_process(48, Path::new("/mnt/a b"), "s:/v".to_owned());
        record.write(dir.path()).unwrap();
        assert_eq!(MountRecord::read(dir.path(), 48), Some(record.clone()));
        assert_eq!(MountRecord::read(dir.path(), 49), None);
        assert!(record.is_alive());
        assert_eq!(MountRecord::list(dir.path()).first(), Some(&record));
        assert!(!MountRecord { started: record.started + 1, ..record.clone() }.is_alive());
        record.remove(dir.path());
        assert_eq!(MountRecord::read(dir.path(), 48), None);
    }
}
