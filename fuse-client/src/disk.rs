//! The disk cache: blocks of files on a local disk, by their checksums, for all mounts of a host that name
//! the same directory.
//!
//! Guarantees: what is read is what its name says, or it is not found; the server has said before what a
//! file consists of, so a block is never stale. Whatever the disk does, a read goes on: without it, if need
//! be. What waits to be written is bounded; more is left out. ([design](../../docs/design/0005-disk-cache.md))
//!
//! - [`shelf`]: names, and what has to go. Pure.
//! - [`directory`]: whether a directory is one of ours.
//! - [`files`]: reads and writes of blocks.
//! - [`keeper`]: the thread that writes and makes room.
//! - [`rest`]: when the disk is left alone.

mod directory;
mod files;
mod keeper;
mod rest;
mod shelf;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::buffers::Buffers;
use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::hash::FrameHash;
use holdfast_core::limits::{FRAME_BYTES_MAX, IO_BYTES_MAX};
use holdfast_core::size::ByteSize;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use files::{Files, Found};
use keeper::Keeper;
use rest::Rest;

/// The smallest cache: a few blocks in each of its directories.
pub const SIZE_MIN: ByteSize = ByteSize(64 << 20);
/// How large it is where nobody says.
pub const SIZE_DEFAULT: ByteSize = ByteSize(10 << 30);

/// Bytes that may wait to be written.
const WAITING_MAX: usize = 32 << 20;
/// Answers of the server that may wait, each with some blocks.
const BATCHES_MAX: usize = 1024;
/// A disk that takes longer to read is slower than the server.
const PATIENCE: Duration = Duration::from_secs(5);
/// For the blocks of the longest read, which may begin and end within one.
const BUFFER_BYTES: usize = IO_BYTES_MAX + 2 * FRAME_BYTES_MAX;
/// Buffers that are kept for reads to come, at most.
const BUFFERS_KEPT: usize = 8;

/// A block, for who wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) hash: FrameHash,
    pub(crate) len: u32,
}

/// Blocks that are worth keeping.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) blocks: Vec<(FrameHash, Bytes)>,
    /// Memory that they hold on to: that of the whole answer that they came in.
    pub(crate) weight: usize,
}

/// What the cache has done for one mount, and how full its directory is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CacheFigures {
    /// Where it is.
    pub directory: PathBuf,
    /// Bytes that it may take.
    pub bytes_max: u64,
    /// Bytes that it takes, as far as this mount has looked.
    pub bytes_held: u64,
    /// The disk does not work and is left alone for a while.
    pub resting: bool,
    /// Blocks that were found.
    pub hits: u64,
    /// Blocks that were looked for and not found.
    pub misses: u64,
    /// Bytes of blocks that were found.
    pub bytes_read: u64,
    /// Bytes of blocks that were put there.
    pub bytes_written: u64,
    /// Blocks that were put there.
    pub stored: u64,
    /// Blocks that were not put there, since the disk was busy or did not work.
    pub skipped: u64,
    /// Blocks that were removed to make room.
    pub evictions: u64,
    /// Blocks that were not what their names say, and were removed.
    pub bad: u64,
}

impl CacheFigures {
    /// What came since an earlier look; what it holds is as of now.
    #[must_use]
    pub fn since(&self, earlier: Option<&Self>) -> Self {
        let none = Self::default();
        let earlier = earlier.unwrap_or(&none);
        Self {
            hits: self.hits.saturating_sub(earlier.hits),
            misses: self.misses.saturating_sub(earlier.misses),
            bytes_read: self.bytes_read.saturating_sub(earlier.bytes_read),
            bytes_written: self.bytes_written.saturating_sub(earlier.bytes_written),
            stored: self.stored.saturating_sub(earlier.stored),
            skipped: self.skipped.saturating_sub(earlier.skipped),
            evictions: self.evictions.saturating_sub(earlier.evictions),
            bad: self.bad.saturating_sub(earlier.bad),
            ..self.clone()
        }
    }
}

#[derive(Debug, Default)]
struct Counters {
    bytes_held: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    stored: AtomicU64,
    skipped: AtomicU64,
    evictions: AtomicU64,
    bad: AtomicU64,
}

/// What the cache and its keeper have in common.
#[derive(Debug)]
struct Common {
    files: Files,
    counters: Counters,
    /// Bytes that wait to be written.
    waiting: AtomicUsize,
    reads: Rest,
    writes: Rest,
}

/// The cache of one mount.
#[derive(Debug)]
pub struct DiskCache {
    common: Arc<Common>,
    queue: SyncSender<Batch>,
    directory: PathBuf,
    size: ByteSize,
    buffers: Buffers,
    runtime: Handle,
}

impl DiskCache {
    /// Opens the cache in a directory, which is made if it is absent. Blocks are read on threads of `runtime`
    /// that may wait.
    ///
    /// # Errors
    /// `Invalid`: the directory holds something else, or cannot hold a cache. `Denied`: it is somebody else's.
    /// `Unavailable`: it cannot be read or written.
    pub fn open(directory: &Path, size: ByteSize, runtime: Handle) -> Result<Arc<Self>> {
        let files = Files::new(directory::open(directory)?);
        let common = Arc::new(Common {
            files,
            counters: Counters::default(),
            waiting: AtomicUsize::new(0),
            reads: Rest::default(),
            writes: Rest::default(),
        });
        let (queue, batches) = sync_channel(BATCHES_MAX);
        let keeper = Keeper::new(Arc::clone(&common), size);
        // It ends when the cache is dropped.
        let started = thread::Builder::new().name("disk-cache".to_owned()).spawn(move || keeper.run(&batches));
        started.map_err(|error| {
            Error::new(ErrorKind::Internal, format!("cannot start a thread for the disk cache: {error}")).because(error)
        })?;
        let buffers = Buffers::new(BUFFER_BYTES, BUFFERS_KEPT);
        Ok(Arc::new(Self { common, queue, directory: directory.to_owned(), size, buffers, runtime }))
    }

    /// Whether it is of any use now.
    pub(crate) fn works(&self) -> bool {
        !self.common.reads.is_on()
    }

    /// Reads blocks, each verified; `None` for what is not here.
    pub(crate) async fn read(self: &Arc<Self>, wanted: Vec<Wanted>) -> Vec<Option<Bytes>> {
        let count = wanted.len();
        let cache = Arc::clone(self);
        let reading = self.runtime.spawn_blocking(move || cache.read_here(&wanted));
        match tokio::time::timeout(PATIENCE, reading).await {
            Ok(Ok(found)) => return found,
            // The runtime ends, or a defect was told of.
            Ok(Err(error)) => tracing::debug!(%error, "blocks cannot be read"),
            Err(_) => self.common.reads.begin("the disk cache does not answer", &format!("{PATIENCE:?} are over")),
        }
        vec![None; count]
    }

    /// The same on this thread.
    fn read_here(&self, wanted: &[Wanted]) -> Vec<Option<Bytes>> {
        let len = wanted.iter().map(|block| block.len as usize).sum();
        if !(BUFFER_BYTES / 2..=BUFFER_BYTES).contains(&len) {
            let mut buffer = vec![0; len];
            let sound = self.fill(wanted, &mut buffer);
            return cut(wanted, &sound, &Bytes::from(buffer));
        }
        let mut buffer = self.buffers.take();
        let sound = self.fill(wanted, buffer.room());
        cut(wanted, &sound, &buffer.share(len))
    }

    /// Reads blocks into a buffer, one behind the other; says which are there.
    fn fill(&self, wanted: &[Wanted], buffer: &mut [u8]) -> Vec<bool> {
        let counters = &self.common.counters;
        let (mut rest, mut sound) = (buffer, Vec::with_capacity(wanted.len()));
        for block in wanted {
            let (place, behind) = rest.split_at_mut(block.len as usize);
            rest = behind;
            let here = self.works() && self.read_one(block, place);
            sound.push(here);
            let counter = if here { &counters.hits } else { &counters.misses };
            counter.fetch_add(1, Ordering::Relaxed);
            if here {
                counters.bytes_read.fetch_add(block.len.into(), Ordering::Relaxed);
            }
        }
        sound
    }

    fn read_one(&self, block: &Wanted, place: &mut [u8]) -> bool {
        match self.common.files.read(&block.hash, place) {
            Ok(Found::Sound) => {
                self.common.reads.end();
                return true;
            }
            Ok(Found::Nothing) => {}
            Ok(Found::Bad(why)) => {
                self.common.counters.bad.fetch_add(1, Ordering::Relaxed);
                let removed = self.common.files.remove(&block.hash);
                tracing::warn!(block = %block.hash, why, ?removed, "a block of the disk cache is bad; the server has it");
            }
            Err(error) => self.common.reads.begin("cannot read the disk cache", &error),
        }
        false
    }

    /// Keeps blocks, soon, or not if the disk is busy.
    pub(crate) fn keep(&self, batch: Batch) {
        let (blocks, weight) = (batch.blocks.len() as u64, batch.weight);
        if blocks == 0 {
            return;
        }
        let waiting = self.common.waiting.fetch_add(weight, Ordering::Relaxed);
        if waiting + weight > WAITING_MAX || self.common.writes.is_on() || self.queue.try_send(batch).is_err() {
            self.common.waiting.fetch_sub(weight, Ordering::Relaxed);
            self.common.counters.skipped.fetch_add(blocks, Ordering::Relaxed);
        }
    }

    /// What it has done.
    pub(crate) fn figures(&self) -> CacheFigures {
        let counters = &self.common.counters;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheFigures {
            directory: self.directory.clone(),
            bytes_max: self.size.bytes(),
            bytes_held: get(&counters.bytes_held),
            resting: self.common.reads.is_on() || self.common.writes.is_on(),
            hits: get(&counters.hits),
            misses: get(&counters.misses),
            bytes_read: get(&counters.bytes_read),
            bytes_written: get(&counters.bytes_written),
            stored: get(&counters.stored),
            skipped: get(&counters.skipped),
            evictions: get(&counters.evictions),
            bad: get(&counters.bad),
        }
    }
}

/// The blocks that are there, out of what was read.
fn cut(wanted: &[Wanted], sound: &[bool], bytes: &Bytes) -> Vec<Option<Bytes>> {
    let mut at = 0;
    let block = |(block, &sound): (&Wanted, &bool)| {
        let start = at;
        at += block.len as usize;
        sound.then(|| bytes.slice(start..at))
    };
    wanted.iter().zip(sound).map(block).collect()
}

#[cfg(test)]
mod tests;
