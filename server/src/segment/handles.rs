//! Open segment files for reading, a bounded number of them.

use std::collections::HashMap;
use std::sync::Arc;

use holdfast_core::error::Result;
use holdfast_core::id::SegmentId;
use parking_lot::Mutex;

use super::missing;
use super::store::{SegmentFile, SegmentStore};

/// Segment files that are kept open at most, in one volume.
const OPEN_MAX: usize = 128;

#[derive(Debug, Default)]
struct Open {
    files: HashMap<SegmentId, (Arc<dyn SegmentFile>, u64)>,
    /// Rises with each use; the smallest mark is the file unused for longest.
    uses: u64,
    /// Rises whenever a segment is forgotten.
    forgotten: u64,
}

#[derive(Debug)]
pub(super) struct Handles {
    store: Arc<dyn SegmentStore>,
    open: Mutex<Open>,
}

impl Handles {
    pub(super) fn new(store: Arc<dyn SegmentStore>) -> Self {
        Self { store, open: Mutex::default() }
    }

    /// The file of a segment.
    ///
    /// # Errors
    /// `Damaged` when there is none.
    pub(super) fn get(&self, id: SegmentId) -> Result<Arc<dyn SegmentFile>> {
        let mut open = self.open.lock();
        open.uses += 1;
        let uses = open.uses;
        if let Some((file, used)) = open.files.get_mut(&id) {
            *used = uses;
            return Ok(Arc::clone(file));
        }
        let forgotten = open.forgotten;
        drop(open);
        let file = self.store.open(id)?.ok_or_else(|| missing(id))?;
        let mut open = self.open.lock();
        if open.forgotten != forgotten {
            // It may be this one that was removed meanwhile: kept, it would keep its bytes on the disk.
            return Ok(file);
        }
        if open.files.len() >= OPEN_MAX
            && let Some(oldest) = open.files.iter().min_by_key(|(_, (_, used))| *used).map(|(id, _)| *id)
        {
            open.files.remove(&oldest);
        }
        open.files.insert(id, (Arc::clone(&file), uses));
        Ok(file)
    }

    pub(super) fn forget(&self, id: SegmentId) {
        let mut open = self.open.lock();
        open.forgotten += 1;
        open.files.remove(&id);
    }
}

#[cfg(test)]
mod tests;
