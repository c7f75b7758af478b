//! A mount: what is asked for, the checks, and its life.
//!
//! - [`options`], [`source`]: what people write, checked.
//! - [`point`]: the directory to mount on.
//! - [`table`]: the kernel's list of mounts.
//! - [`run`]: the life of a mount in this process.
//! - [`daemon`]: the same in a process of its own.
//! - [`record`]: which process serves which mount.
//! - [`figures`]: what a mount tells of itself.
//!
//! Nothing is mounted before everything that can be checked was checked.

mod access;
pub mod daemon;
mod events;
pub mod figures;
pub mod options;
pub mod point;
mod readahead;
pub mod record;
pub mod remount;
pub mod run;
pub mod source;
pub mod table;

pub use daemon::{Daemon, spawn_daemon};
pub use figures::read_figures;
pub use options::MountOptions;
pub use record::{MountRecord, default_run_dir};
pub use run::{Mount, MountConfig, run_mount};
pub use source::{MountSource, Subdirectory};
