//! Segments in memory, for tests and simulation: they know what a power cut would leave.
//!
//! Clones share their content, so a test "restarts" by opening a clone; [`MemorySegments::crash`]
//! first throws away everything that was not synced.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::id::SegmentId;
use parking_lot::Mutex;

use super::{DiskFile, SegmentFile, SegmentStore};

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// What the "disk" has.
    durable: Vec<u8>,
    /// Ranges written since the last sync.
    dirty: Vec<Range<usize>>,
}

#[derive(Debug, Default)]
struct Place {
    files: BTreeMap<SegmentId, Arc<MemoryFile>>,
    /// Files whose directory entry the "disk" has.
    durable: BTreeMap<SegmentId, Arc<MemoryFile>>,
    free_bytes: Option<u64>,
    full: Arc<AtomicBool>,
}

/// A place in memory.
#[derive(Clone, Debug, Default)]
pub struct MemorySegments {
    place: Arc<Mutex<Place>>,
}

#[derive(Debug, Default)]
struct MemoryFile {
    content: Mutex<Content>,
    full: Arc<AtomicBool>,
}

impl MemorySegments {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A power cut: what was not synced is gone. Handles from before must not be used any more.
    pub fn crash(&self) {
        let mut place = self.place.lock();
        place.files = place.durable.clone();
        for file in place.files.values() {
            let mut content = file.content.lock();
            content.bytes = content.durable.clone();
            content.dirty.clear();
        }
    }

    /// What the "disk" says is free; `None`: without limit.
    pub fn set_free_bytes(&self, bytes: Option<u64>) {
        self.place.lock().free_bytes = bytes;
    }

    /// From now on nothing can be written, or it can again.
    pub fn set_full(&self, full: bool) {
        self.place.lock().full.store(full, Ordering::Relaxed);
    }

    /// Loses the end of a segment, on the "disk" too.
    pub fn lose_end(&self, id: SegmentId, len: usize) {
        if let Some(file) = self.place.lock().files.get(&id) {
            let mut content = file.content.lock();
            content.bytes.truncate(len);
            content.durable.truncate(len);
        }
    }

    /// Flips one bit of a segment, on the "disk" too.
    pub fn flip_bit(&self, id: SegmentId, position: usize) {
        if let Some(file) = self.place.lock().files.get(&id) {
            let mut content = file.content.lock();
            let Content { bytes, durable, .. } = &mut *content;
            for byte in [bytes.get_mut(position), durable.get_mut(position)].into_iter().flatten() {
                *byte ^= 1;
            }
        }
    }
}

impl SegmentStore for MemorySegments {
    fn list(&self) -> Result<BTreeMap<SegmentId, u64>> {
        let place = self.place.lock();
        Ok(place.files.iter().map(|(id, file)| (*id, file.content.lock().bytes.len() as u64)).collect())
    }

    fn create(&self, id: SegmentId) -> Result<Arc<dyn SegmentFile>> {
        let mut place = self.place.lock();
        if place.files.contains_key(&id) {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("segment {id} exists")));
        }
        refuse_if_full(&place.full)?;
        let file = Arc::new(MemoryFile { full: Arc::clone(&place.full), ..MemoryFile::default() });
        place.files.insert(id, Arc::clone(&file));
        Ok(file)
    }

    fn open(&self, id: SegmentId) -> Result<Option<Arc<dyn SegmentFile>>> {
        Ok(self.place.lock().files.get(&id).map(|file| Arc::clone(file) as _))
    }

    fn open_disk(&self, id: SegmentId) -> Result<Option<Box<dyn DiskFile>>> {
        let file = self.place.lock().files.get(&id).map(Arc::clone);
        Ok(file.map(|file| Box::new(OnDisk { file, read: Vec::new() }) as _))
    }

    fn remove(&self, id: SegmentId) -> Result<()> {
        let mut place = self.place.lock();
        place.files.remove(&id);
        place.durable.remove(&id);
        Ok(())
    }

    fn sync_directory(&self) -> Result<()> {
        let mut place = self.place.lock();
        place.durable = place.files.clone();
        Ok(())
    }

    fn free_bytes(&self) -> Result<u64> {
        Ok(self.place.lock().free_bytes.unwrap_or(u64::MAX))
    }
}

/// A segment as the "disk" has it.
#[derive(Debug)]
struct OnDisk {
    file: Arc<MemoryFile>,
    read: Vec<u8>,
}

impl DiskFile for OnDisk {
    fn read(&mut self, position: u64, len: u64) -> Result<&[u8]> {
        let content = self.file.content.lock();
        let rest = content.durable.get(index(position)..).unwrap_or_default();
        self.read.clear();
        self.read.extend_from_slice(&rest[..rest.len().min(index(len))]);
        Ok(&self.read)
    }
}

fn refuse_if_full(full: &AtomicBool) -> Result<()> {
    if full.load(Ordering::Relaxed) {
        return Err(Error::new(ErrorKind::NoSpace, "there is no room for more"));
    }
    Ok(())
}

fn index(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

impl SegmentFile for MemoryFile {
    fn write_at(&self, position: u64, parts: &[&[u8]]) -> Result<()> {
        refuse_if_full(&self.full)?;
        let mut content = self.content.lock();
        let start = index(position);
        let end = start + parts.iter().map(|part| part.len()).sum::<usize>();
        if content.bytes.len() < end {
            content.bytes.resize(end, 0);
        }
        let mut at = start;
        for part in parts {
            content.bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        content.dirty.push(start..end);
        Ok(())
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> Result<usize> {
        let content = self.content.lock();
        let rest = content.bytes.get(index(position)..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn sync(&self) -> Result<()> {
        let mut content = self.content.lock();
        let Content { bytes, durable, dirty } = &mut *content;
        durable.resize(bytes.len(), 0);
        for range in dirty.drain(..) {
            durable[range.clone()].copy_from_slice(&bytes[range]);
        }
        Ok(())
    }

    fn expect(&self, _position: u64, _len: u64) {}

    fn start_writeback(&self, _position: u64, _len: u64) {}

    fn truncate(&self, len: u64) -> Result<()> {
        let mut content = self.content.lock();
        let Content { bytes, durable, dirty } = &mut *content;
        bytes.truncate(index(len));
        durable.truncate(index(len));
        dirty.retain(|range| range.end <= bytes.len());
        Ok(())
    }
}
