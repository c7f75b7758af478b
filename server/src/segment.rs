//! File data: append-only segments of frames.
//!
//! A frame is at most 64 KiB of data behind a header; the metadata points to frames and holds the
//! BLAKE3 of each. [`Segments::stage`] appends frames and returns at once (page cache);
//! [`Segments::sync`] makes them durable; [`Segments::read`] verifies every byte that it returns.
//!
//! Guarantees: a byte of a segment is written once and never again; a frame that was synced stays
//! where it is until its segment is removed; what fails its checksum is never handed out. This
//! module never knows which file a frame belongs to, nor which frames are in use: the metadata
//! counts that and says when a segment may go.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use holdfast_core::buffers::Buffers;
use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::id::SegmentId;
use parking_lot::Mutex;
use tracing::{error, info};

use self::handles::Handles;
use self::store::{SegmentFile, SegmentStore};
use crate::meta::record::segment::SegmentAccount;

pub mod frame;
mod handles;
mod read;
mod stage;
pub mod store;
mod verify;
mod writeback;

pub use self::read::Wanted;
pub use self::stage::{FRAMES_MAX, StagedData};

/// A segment that has been written to since the volume was opened.
#[derive(Debug)]
struct Written {
    id: SegmentId,
    file: Arc<dyn SegmentFile>,
    /// Held for a write: the kernel has one writer of a file at a time, and the others would burn a
    /// processor until it is done.
    writing: Mutex<()>,
    /// Writes that are complete.
    writes: AtomicU64,
    /// Of these, how many are durable for sure.
    synced: AtomicU64,
    /// Whether its directory entry is durable.
    listed: AtomicBool,
    /// Bytes from here on have not been given to the disk yet.
    written_back: AtomicU64,
}

/// Bytes from which on a segment that nobody uses is not filled up first.
const SEAL_UNUSED_FROM: u64 = 1 << 20;

/// Where the next frame goes.
#[derive(Debug)]
struct Active {
    segment: Arc<Written>,
    end: u64,
}

#[derive(Debug)]
struct Tail {
    active: Option<Active>,
    /// The number of the next new segment.
    next: SegmentId,
    /// Segments that were filled since the last time somebody asked.
    sealed: BTreeSet<SegmentId>,
}

/// The segments of one volume.
#[derive(Debug)]
pub struct Segments {
    store: Arc<dyn SegmentStore>,
    bytes_max: u64,
    tail: Mutex<Tail>,
    /// Segments that may hold writes that are not durable.
    written: Mutex<BTreeMap<SegmentId, Arc<Written>>>,
    /// Segments with frames that are staged and not yet used, and how many stages.
    pins: Arc<Mutex<HashMap<SegmentId, usize>>>,
    handles: Handles,
    buffers: Buffers,
}

impl Segments {
    /// Opens the segments that the metadata knows of, and removes what it does not know: frames
    /// that were staged before a crash and never became part of a file.
    ///
    /// `accounts` is what the metadata knows; new segments get numbers from `next` on.
    ///
    /// # Errors
    /// `Unavailable` when the directory cannot be read or changed.
    pub fn open(
        store: Arc<dyn SegmentStore>,
        bytes_max: u64,
        accounts: &BTreeMap<SegmentId, SegmentAccount>,
        next: SegmentId,
    ) -> Result<Self> {
        let lengths = store.list()?;
        for id in lengths.keys().filter(|id| !accounts.contains_key(id)) {
            info!(segment = id.0, "remove a segment that no file uses");
            store.remove(*id)?;
        }
        for (id, account) in accounts {
            let len = lengths.get(id).copied().unwrap_or(0);
            if len < account.len {
                error!(segment = id.0, len, expected = account.len, "a segment is damaged: its end is missing");
            }
        }
        let active = match accounts.last_key_value() {
            Some((id, account))
                if account.len < bytes_max && lengths.get(id).is_some_and(|len| *len >= account.len) =>
            {
                Some(Active::reopen(&*store, *id, account.len)?)
            }
            _ => None,
        };
        let next = accounts.last_key_value().map_or(next, |(last, _)| next.max(last.next()));
        Ok(Self {
            handles: Handles::new(Arc::clone(&store)),
            store,
            bytes_max,
            tail: Mutex::new(Tail { active, next, sealed: BTreeSet::new() }),
            written: Mutex::default(),
            pins: Arc::default(),
            buffers: read::buffers(),
        })
    }

    /// The number that the next new segment will have.
    #[must_use]
    pub fn next(&self) -> SegmentId {
        self.tail.lock().next
    }

    /// Segments that were filled since the last call.
    #[must_use]
    pub fn take_sealed(&self) -> BTreeSet<SegmentId> {
        std::mem::take(&mut self.tail.lock().sealed)
    }

    /// Seals the active segment early when it is of some size, no staged data waits in it, and
    /// `unused` says that no file uses what it holds: so its space can go back before it is full.
    pub fn seal_unused(&self, unused: impl FnOnce(SegmentId) -> bool) {
        self.seal_active(|id, end| end >= SEAL_UNUSED_FROM && unused(id));
    }

    /// Seals the active segment early when no staged data waits in it and this, given its number and where it
    /// ends, says so.
    pub fn seal_active(&self, wanted: impl FnOnce(SegmentId, u64) -> bool) {
        let mut tail = self.tail.lock();
        let Some((id, end)) = tail.active.as_ref().map(|active| (active.segment.id, active.end)) else { return };
        // Room is set aside and pinned under the tail's lock, so nobody comes in between.
        if !self.pins.lock().contains_key(&id) && wanted(id, end) {
            tail.active = None;
            tail.sealed.insert(id);
        }
    }

    /// Whether nothing will be written to the segment any more and no staged data waits in it.
    #[must_use]
    pub fn is_idle(&self, id: SegmentId) -> bool {
        let active = self.tail.lock().active.as_ref().is_some_and(|active| active.segment.id == id);
        !active && !self.pins.lock().contains_key(&id)
    }

    /// Makes every frame durable that was staged into these segments before the call. Segments
    /// without new frames cost nothing.
    ///
    /// # Errors
    /// What failed to reach the disk may be lost though it can still be read: the caller must stop.
    pub fn sync(&self, ids: &BTreeSet<SegmentId>) -> Result<()> {
        let dirty: Vec<Arc<Written>> = {
            let written = self.written.lock();
            ids.iter().filter_map(|id| written.get(id).cloned()).collect()
        };
        for segment in dirty {
            let writes = segment.writes.load(Ordering::Acquire);
            if segment.synced.load(Ordering::Acquire) == writes {
                continue;
            }
            segment.file.sync()?;
            if !segment.listed.load(Ordering::Acquire) {
                self.store.sync_directory()?;
                segment.listed.store(true, Ordering::Release);
            }
            segment.synced.fetch_max(writes, Ordering::AcqRel);
            self.forget_if_settled(&segment);
        }
        Ok(())
    }

    /// A sealed segment that is durable as a whole needs no attention any more.
    fn forget_if_settled(&self, segment: &Written) {
        let mut written = self.written.lock();
        let settled = segment.synced.load(Ordering::Acquire) == segment.writes.load(Ordering::Acquire);
        if settled && self.is_idle(segment.id) {
            written.remove(&segment.id);
        }
    }

    /// Removes a segment's file. Reads that have it open go on.
    ///
    /// # Errors
    /// `Unavailable`; the file is removed when the volume is next opened.
    pub fn remove(&self, id: SegmentId) -> Result<()> {
        self.written.lock().remove(&id);
        self.handles.forget(id);
        self.store.remove(id)
    }

    /// Free bytes of the disk.
    ///
    /// # Errors
    /// `Unavailable` when the disk does not say.
    pub fn free_bytes(&self) -> Result<u64> {
        self.store.free_bytes()
    }
}

impl Active {
    /// Goes on after the last frame that the metadata knows; what came after it is cut off.
    fn reopen(store: &dyn SegmentStore, id: SegmentId, end: u64) -> Result<Self> {
        let file = store.open(id)?.ok_or_else(|| missing(id))?;
        file.truncate(end)?;
        Ok(Self { segment: Arc::new(Written::new(id, file, end, true)), end })
    }
}

impl Written {
    fn new(id: SegmentId, file: Arc<dyn SegmentFile>, end: u64, listed: bool) -> Self {
        Self {
            id,
            file,
            writing: Mutex::new(()),
            writes: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            listed: AtomicBool::new(listed),
            written_back: AtomicU64::new(end),
        }
    }
}

fn missing(id: SegmentId) -> Error {
    Error::new(ErrorKind::Damaged, format!("segment {id} is missing; restore its file from a copy"))
}

#[cfg(test)]
mod tests;
