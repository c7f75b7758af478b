//! What the tests of the registry share: mounts that nobody else sees, and a mounter whose volumes
//! are tmpfs and which can be told to fail.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use holdfast_core::error::{Error, ErrorKind, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

use super::deadline::Deadline;
use super::layout::RunDir;
use super::mounter::{LiveMount, MountState, Mounter};
use super::mountinfo;
use super::registry::{Registry, Timeouts};
use super::request::{Acquire, RefId, RemoteVolume};

/// Gives the calling thread, and those that it starts from now on, mounts of their own.
pub(super) fn private_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).expect("these tests run as root");
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
}

pub(super) fn volume(name: &str) -> RemoteVolume {
    RemoteVolume { server: "h:1".parse().unwrap(), volume: name.parse().unwrap() }
}

pub(super) fn reference(id: &str) -> RefId {
    id.parse().unwrap()
}

pub(super) fn acquire(name: &str, subdir: Option<&str>, id: &str) -> Acquire {
    Acquire {
        volume: volume(name),
        subdir: subdir.map(|subdir| subdir.parse().unwrap()),
        read_only: false,
        reference: reference(id),
        witness: None,
    }
}

/// Volumes as tmpfs: content lasts as long as the mount.
#[derive(Debug, Default)]
pub(super) struct Fake {
    pub(super) mounts: AtomicUsize,
    pub(super) unmounts: AtomicUsize,
    pub(super) fails: AtomicBool,
    pub(super) busy: AtomicBool,
    pub(super) dead: Mutex<HashSet<PathBuf>>,
}

impl Mounter for &Fake {
    fn inspect(&self, volume: &RemoteVolume, target: &Path, _: Deadline) -> Result<MountState> {
        Ok(match mountinfo::at(target)? {
            None => MountState::Absent,
            Some(entry) if entry.source != *volume.to_string() => MountState::Foreign(entry.fs_type),
            Some(_) if self.dead.lock().unwrap().contains(target) => MountState::Dead,
            Some(entry) => MountState::Live(LiveMount {
                device: entry.device,
                nosuid: entry.has("nosuid"),
                nodev: entry.has("nodev"),
            }),
        })
    }

    fn mount(&self, volume: &RemoteVolume, read_only: bool, target: &Path, log: &Path, _: Deadline) -> Result<()> {
        fs::write(log, "mounting").unwrap();
        if self.fails.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "told to fail"));
        }
        self.mounts.fetch_add(1, Ordering::Relaxed);
        let mut flags = MsFlags::MS_NOSUID;
        flags.set(MsFlags::MS_RDONLY, read_only);
        mount(Some(volume.to_string().as_str()), target, Some("tmpfs"), flags, None::<&str>).unwrap();
        Ok(())
    }

    fn unmount(&self, target: &Path, _: Deadline) -> Result<()> {
        if self.busy.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::InUse, "told to be busy"));
        }
        self.unmounts.fetch_add(1, Ordering::Relaxed);
        umount2(target, MntFlags::empty()).unwrap();
        Ok(())
    }

    fn detach(&self, target: &Path) -> Result<()> {
        umount2(target, MntFlags::MNT_DETACH).unwrap();
        self.dead.lock().unwrap().remove(target);
        Ok(())
    }
}

/// A run directory of its own, unmounted when the thread's mounts go.
pub(super) struct Host {
    pub(super) dir: TempDir,
    pub(super) fake: Fake,
}

impl Host {
    pub(super) fn new() -> Self {
        private_mounts();
        let dir = tempfile::tempdir().unwrap();
        // The immutable flag would outlive a failed test on the real disk.
        mount(Some("run"), dir.path(), Some("tmpfs"), MsFlags::empty(), Some("mode=700")).unwrap();
        Self { dir, fake: Fake::default() }
    }

    pub(super) fn run_dir(&self) -> RunDir {
        RunDir::open(&self.dir.path().join("run")).unwrap()
    }

    pub(super) fn registry(&self) -> Registry<&Fake> {
        let timeouts = Timeouts { acquire: Duration::from_secs(20), ..Timeouts::default() };
        Registry::new(self.run_dir(), &self.fake, timeouts)
    }

    /// What is left in the run directory below its three parts.
    pub(super) fn remains(&self) -> Vec<String> {
        let run = self.run_dir();
        let mut names = Vec::new();
        for part in ["mounts", "state", "binds"] {
            for entry in fs::read_dir(run.path().join(part)).unwrap() {
                names.push(format!("{part}/{}", entry.unwrap().file_name().to_string_lossy()));
            }
        }
        names
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Only fails when the test has failed to mount it.
        umount2(self.dir.path(), MntFlags::MNT_DETACH).ok();
    }
}
