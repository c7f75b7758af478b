//! The mount registry of a host: the one owner of its volume mounts.
//!
//! A container runtime, and later an orchestrator's plugin, asks to [`Acquire`] a volume for a
//! named reference and gets a host path; [`Release`] gives up everything of that reference. Each
//! (server, volume, read-only) has one mount however many references there are, and the mount goes
//! with the last of them.
//!
//! What it guarantees:
//! - A path is handed out only after the kernel showed a live Holdfast mount of that volume there.
//! - Calls can be repeated and can come from several processes at once: a file lock per mount
//!   serializes them, and references are records on disk, so a crash in the middle loses nothing.
//! - A directory inside a volume is opened beneath the volume's root without following a single
//!   symbolic link, and bound to a path of ours, so that nothing resolves it a second time.
//! - The directory under a mount cannot be written to when the mount is gone.
//! - Every wait has a deadline.
//!
//! It never derives a path from a name that somebody chose: directories are named by hashes.

mod beneath;
mod bind;
mod command;
mod deadline;
mod kernel;
mod layout;
mod lock;
mod mounter;
mod mountinfo;
mod record;
mod registry;
mod report;
mod request;
mod target;

pub use command::CommandMounter;
pub use deadline::Deadline;
pub use layout::{MountId, RUN_DIR_DEFAULT, RUN_DIR_VARIABLE, RunDir};
pub use mounter::{LiveMount, MountState, Mounter};
pub use registry::{Registry, Timeouts};
pub use report::{MountReport, ReferenceReport};
pub use request::{
    Acquire, Acquired, RefId, RefIdError, Release, Released, RemoteVolume, Subdir, SubdirError, VolumePath,
    VolumePathError, parse_server,
};

#[cfg(test)]
mod fixture;
