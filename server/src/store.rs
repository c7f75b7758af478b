//! Everything of one volume: its metadata engine, what is applied and not yet durable, its data.
//!
//! An operation is *applied* in memory, at once visible to every read, and becomes *durable* with
//! the next commit, as a whole together with everything that was applied before it. So a crash
//! always leaves a prefix of the volume's order of operations. Three stations:
//!
//! 1. the **active** overlay takes the changes of [`Store::apply`];
//! 2. [`Store::commit`] swaps it out (now it is the **flushing** one), syncs the segments that it
//!    points to, and then writes it to the **engine** as one synced batch;
//! 3. the flushing overlay is dropped.
//!
//! Reads see active over flushing over engine, as of one moment. The counters (usage, live bytes a
//! segment, how far each session is) are kept in memory and written with every overlay that they
//! belong to.
//!
//! After a failed sync nobody knows what the disk has: the store then refuses everything
//! ([`Store::failed`]), and the server must stop. It is never tried again.
//!
//! Locks, always taken in this order: `committing`, `writer`, `overlays`. None is held during a
//! sync but `committing`. The store never waits for anybody and reads no clock.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use holdfast_core::error::{Error, ErrorKind, PosixError, Result};
use holdfast_core::hash::Framed;
use holdfast_core::id::{Epoch, VolumeId};
use holdfast_core::time::Timestamp;
use holdfast_core::volume::{Quota, Usage};
use parking_lot::{Mutex, RwLock};

use self::overlays::Overlays;
use self::writer::Writer;
use crate::meta::engine::Engine;
use crate::meta::view::View;
use crate::segment::Segments;
use crate::segment::store::SegmentStore;

mod apply;
mod check;
mod commit;
mod compact;
mod open;
mod overlays;
mod read;
mod reap;
mod scrub;
mod sessions;
mod types;
mod writer;

pub use self::compact::{InUse, Relocated, SegmentSums, batch_end, bytes_needed};
pub use self::scrub::{Live, Named};
pub use self::types::{
    ApplyContext, Block, BlocksResult, Committed, DirEntry, DirPage, Pending, Piece, ReadResult, RootOwner,
    SessionInfo, SessionState, SharedMemory, StagedData, StoreOptions,
};

/// One open volume. Dropping it without [`Store::close`] is what a crash is: what was not
/// committed is lost.
#[derive(Debug)]
pub struct Store {
    identity: Identity,
    engine: Arc<dyn Engine>,
    segments: Segments,
    disk_reserve_bytes: u64,
    disk_full: AtomicBool,
    /// Free bytes beyond the reserve, when the disk was looked at last.
    disk_free: AtomicU64,
    committing: Mutex<()>,
    /// Commits that have taken up what was applied, and those of them that are over.
    commits: (AtomicU64, AtomicU64),
    writer: Mutex<Writer>,
    overlays: RwLock<Overlays>,
    failure: OnceLock<String>,
}

/// What does not change while the volume is open.
#[derive(Clone, Copy, Debug)]
struct Identity {
    id: VolumeId,
    epoch: Epoch,
    created: Timestamp,
    was_clean: bool,
}

impl Store {
    /// Makes a new volume in `dir`, which must be absent or empty. Durable on return.
    ///
    /// # Errors
    /// `AlreadyExists` when there is something in `dir`; `Unavailable` when the disk fails. What
    /// was made by then is left behind and is no volume.
    pub fn create(dir: &Path, id: VolumeId, now: Timestamp, root: RootOwner) -> Result<()> {
        open::create(dir, id, now, root)
    }

    /// Opens a volume: raises its epoch, durably, and removes data that a crash left unused.
    ///
    /// # Errors
    /// `NotFound` when there is no volume in `dir`, `InUse` when another server has it open,
    /// `Version` when it has another format, `Damaged` when it fails its own checks, `Unavailable`
    /// when the disk fails.
    pub fn open(dir: &Path, options: &StoreOptions) -> Result<Self> {
        open::open(dir, options)
    }

    /// Makes a new volume in an engine that is empty. Durable on return.
    ///
    /// # Errors
    /// The engine's.
    pub fn create_in(engine: &dyn Engine, id: VolumeId, now: Timestamp, root: RootOwner) -> Result<()> {
        open::format(engine, id, now, root)
    }

    /// Opens a volume on any engine and any place for segments.
    ///
    /// # Errors
    /// As for [`Store::open`].
    pub fn open_in(engine: Arc<dyn Engine>, place: Arc<dyn SegmentStore>, options: &StoreOptions) -> Result<Self> {
        open::assemble(engine, place, open::Limits::of(options))
    }

    /// The volume.
    #[must_use]
    pub const fn id(&self) -> VolumeId {
        self.identity.id
    }

    /// The owner's authority, raised by each open.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.identity.epoch
    }

    /// When the volume was made.
    #[must_use]
    pub const fn created(&self) -> Timestamp {
        self.identity.created
    }

    /// Whether the last stop before this open was clean: nothing applied was lost.
    #[must_use]
    pub const fn clean(&self) -> bool {
        self.identity.was_clean
    }

    /// Why the store refuses everything, if it does.
    #[must_use]
    pub fn failed(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// What the volume holds.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.overlays.read().usage
    }

    /// What waits for a commit.
    #[must_use]
    pub fn pending(&self) -> Pending {
        self.overlays.read().pending()
    }

    /// Free bytes of the disk that the volume is on, less the reserve.
    ///
    /// # Errors
    /// `Unavailable` when the disk does not say.
    pub fn disk_free_bytes(&self) -> Result<u64> {
        Ok(self.segments.free_bytes()?.saturating_sub(self.disk_reserve_bytes))
    }

    /// What the volume may still take, by its limits and by the disk as it was at the last commit:
    /// bytes and inodes.
    #[must_use]
    pub fn room(&self, quota: Quota) -> Usage {
        let usage = self.overlays.read().usage;
        let left = |limit: Option<u64>, used: u64| limit.map_or(u64::MAX, |limit| limit.saturating_sub(used));
        Usage {
            bytes: left(quota.bytes, usage.bytes).min(self.disk_free.load(Ordering::Relaxed)),
            inodes: left(quota.inodes, usage.inodes),
        }
    }

    /// Appends data to the active segment: not yet durable, not yet part of any file. Takes the
    /// time of copying; several callers work in parallel.
    ///
    /// # Errors
    /// `Invalid` for no data or more than 1 MiB; the file system's `NoSpace` when the server's
    /// disk is at its reserve (unless what a crash forgot may still be brought back);
    /// `Unavailable` when it fails.
    pub fn stage(&self, data: impl Into<Framed>) -> Result<StagedData> {
        self.alive()?;
        if self.disk_full.load(Ordering::Relaxed) && !self.writer.lock().may_replay() {
            return Err(PosixError::NoSpace.into());
        }
        let staged = self.segments.stage(&data.into());
        if staged.as_ref().is_err_and(|error| error.kind() == ErrorKind::NoSpace) {
            self.disk_full.store(true, Ordering::Relaxed);
            return Err(PosixError::NoSpace.into());
        }
        staged
    }

    fn alive(&self) -> Result<()> {
        match self.failure.get() {
            None => Ok(()),
            Some(why) => Err(Error::new(
                ErrorKind::Unavailable,
                format!("volume {} stopped after a failure of its disk ({why}); restart the server", self.id()),
            )),
        }
    }

    /// From here on nothing is answered any more.
    fn poison(&self, error: &Error) {
        let _ = self.failure.set(format!("{error:?}"));
    }

    /// Answers a question about the volume as it is now.
    fn ask<T>(&self, question: impl FnOnce(View<'_>) -> Result<T>) -> Result<T> {
        self.alive()?;
        question(self.overlays.read().view(&*self.engine))
    }

    /// Asks the disk whether there is still room, for the operations that follow.
    fn look_at_disk(&self) {
        match self.segments.free_bytes() {
            Ok(free) => {
                self.disk_full.store(free < self.disk_reserve_bytes, Ordering::Relaxed);
                self.disk_free.store(free.saturating_sub(self.disk_reserve_bytes), Ordering::Relaxed);
            }
            Err(error) => tracing::warn!(?error, "cannot see how much room the disk has"),
        }
    }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
