//! The seam between the registry's rules and the machine: who mounts, unmounts and looks.

use std::path::Path;

use holdfast_core::error::Result;

use super::deadline::Deadline;
use super::request::RemoteVolume;

/// A mount that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveMount {
    /// Device number of its file system (major, minor), to tell what is inside it.
    pub device: (u32, u32),
    /// Set-user-id bits are ignored.
    pub nosuid: bool,
    /// Device inodes do not work.
    pub nodev: bool,
}

/// What is at a mount point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountState {
    /// Nothing is mounted.
    Absent,
    /// The volume, and it answers.
    Live(LiveMount),
    /// The volume's mount, but its process is gone (`ENOTCONN`).
    Dead,
    /// The volume's mount, and it does not answer in time; why.
    Silent(String),
    /// Something else; what.
    Foreign(String),
}

/// Mounts volumes. Implementations: [`super::CommandMounter`] and the tests' fake.
pub trait Mounter {
    /// Looks at a mount point. Never waits past the deadline.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    fn inspect(&self, volume: &RemoteVolume, target: &Path, deadline: Deadline) -> Result<MountState>;

    /// Mounts a volume on an empty directory, and returns when it can be used. The mount outlives
    /// the caller. `log` is a file for what the mount says.
    ///
    /// # Errors
    /// Why the volume cannot be mounted, in words for a person.
    fn mount(
        &self,
        volume: &RemoteVolume,
        read_only: bool,
        target: &Path,
        log: &Path,
        deadline: Deadline,
    ) -> Result<()>;

    /// Unmounts a live volume: all that was written is on the server first.
    ///
    /// # Errors
    /// Why not; [`holdfast_core::error::ErrorKind::InUse`] when it is busy.
    fn unmount(&self, target: &Path, deadline: Deadline) -> Result<()>;

    /// Takes a dead mount out of the way, whoever still has it open.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn detach(&self, target: &Path) -> Result<()>;
}
