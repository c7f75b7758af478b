//! The seam to what keeps segments: numbered files that only grow.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use holdfast_core::error::Result;
use holdfast_core::id::SegmentId;

mod direct;
pub mod files;
pub mod memory;

/// A place for segments.
pub trait SegmentStore: fmt::Debug + Send + Sync {
    /// All segments with their lengths.
    ///
    /// # Errors
    /// `Unavailable` when the place cannot be read.
    fn list(&self) -> Result<BTreeMap<SegmentId, u64>>;

    /// Makes a new, empty segment.
    ///
    /// # Errors
    /// `NoSpace`, `AlreadyExists`, `Unavailable`.
    fn create(&self, id: SegmentId) -> Result<Arc<dyn SegmentFile>>;

    /// Opens a segment; `None` when there is none of that number.
    ///
    /// # Errors
    /// `Unavailable`.
    fn open(&self, id: SegmentId) -> Result<Option<Arc<dyn SegmentFile>>>;

    /// Opens a segment for a look at what the disk has; `None` when there is none of that number.
    ///
    /// # Errors
    /// `Unavailable`.
    fn open_disk(&self, id: SegmentId) -> Result<Option<Box<dyn DiskFile>>>;

    /// Removes a segment, if it is there. Whoever has it open can go on reading.
    ///
    /// # Errors
    /// `Unavailable`.
    fn remove(&self, id: SegmentId) -> Result<()>;

    /// Makes it durable which segments there are.
    ///
    /// # Errors
    /// `Unavailable`: the caller must stop.
    fn sync_directory(&self) -> Result<()>;

    /// Free bytes of the disk.
    ///
    /// # Errors
    /// `Unavailable`.
    fn free_bytes(&self) -> Result<u64>;
}

/// One segment as the disk has it: not what a cache remembers, and leaving nothing in one.
pub trait DiskFile: fmt::Debug + Send {
    /// The bytes from `position` on; fewer than `len` only at the end of the segment.
    ///
    /// # Errors
    /// `Unavailable` when the disk fails.
    fn read(&mut self, position: u64, len: u64) -> Result<&[u8]>;
}

/// One segment.
pub trait SegmentFile: fmt::Debug + Send + Sync {
    /// Writes parts one after the other from `position` on. Callers write to ranges that do not
    /// overlap, perhaps at the same time.
    ///
    /// # Errors
    /// `NoSpace`, `Unavailable`; the range then holds anything.
    fn write_at(&self, position: u64, parts: &[&[u8]]) -> Result<()>;

    /// Fills the buffer from `position` on; fewer bytes only at the end of the segment.
    ///
    /// # Errors
    /// `Unavailable` when the disk fails.
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> Result<usize>;

    /// Makes everything durable that was written before the call.
    ///
    /// # Errors
    /// `Unavailable`: what was written may be lost; the caller must stop.
    fn sync(&self) -> Result<()>;

    /// A hint that this range will be read soon.
    fn expect(&self, position: u64, len: u64);

    /// A hint that this range should go to the disk soon.
    fn start_writeback(&self, position: u64, len: u64);

    /// Cuts the segment to this length.
    ///
    /// # Errors
    /// `Unavailable`.
    fn truncate(&self, len: u64) -> Result<()>;
}
