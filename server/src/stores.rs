//! The seam to what keeps the volumes of a server: each in a directory of its own, or wherever a simulation
//! keeps them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::error::Result;
use holdfast_core::id::VolumeId;
use holdfast_core::time::Timestamp;

use crate::store::{RootOwner, Store, StoreOptions};

/// Makes and opens volumes by the directories that are theirs.
pub trait Stores: fmt::Debug + Send + Sync {
    /// Makes a new volume. Durable on return.
    ///
    /// # Errors
    /// As for [`Store::create`].
    fn create(&self, dir: &Path, id: VolumeId, now: Timestamp, root: RootOwner) -> Result<()>;

    /// Opens a volume.
    ///
    /// # Errors
    /// As for [`Store::open`].
    fn open(&self, dir: &Path, options: &StoreOptions) -> Result<Store>;
}

/// Volumes on the machine's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskStores;

impl Stores for DiskStores {
    fn create(&self, dir: &Path, id: VolumeId, now: Timestamp, root: RootOwner) -> Result<()> {
        Store::create(dir, id, now, root)
    }

    fn open(&self, dir: &Path, options: &StoreOptions) -> Result<Store> {
        Store::open(dir, options)
    }
}

/// Who makes durable what was applied to an open volume.
#[derive(Clone)]
pub enum Committer {
    /// A thread of each volume.
    Thread,
    /// A task of the runtime. A commit takes the time that this says, and nobody is held up meanwhile: for
    /// simulations, in which one thread does everything.
    Task(Arc<dyn Fn() -> Duration + Send + Sync>),
}

impl fmt::Debug for Committer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Thread => "Thread",
            Self::Task(_) => "Task",
        })
    }
}
