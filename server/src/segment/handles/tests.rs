#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Barrier;

use super::super::store::DiskFile;
use super::super::store::memory::MemorySegments;
use super::*;

/// Segments whose files take a while to open.
#[derive(Debug)]
struct Slow {
    inner: MemorySegments,
    opening: Barrier,
}

impl SegmentStore for Slow {
    fn list(&self) -> Result<BTreeMap<SegmentId, u64>> {
        self.inner.list()
    }

    fn create(&self, id: SegmentId) -> Result<Arc<dyn SegmentFile>> {
        self.inner.create(id)
    }

    fn open(&self, id: SegmentId) -> Result<Option<Arc<dyn SegmentFile>>> {
        let file = self.inner.open(id);
        self.opening.wait();
        self.opening.wait();
        file
    }

    fn open_disk(&self, id: SegmentId) -> Result<Option<Box<dyn DiskFile>>> {
        self.inner.open_disk(id)
    }

    fn remove(&self, id: SegmentId) -> Result<()> {
        self.inner.remove(id)
    }

    fn sync_directory(&self) -> Result<()> {
        self.inner.sync_directory()
    }

    fn free_bytes(&self) -> Result<u64> {
        self.inner.free_bytes()
    }
}

#[test]
fn a_file_that_is_removed_while_it_is_opened_is_not_kept() {
    let store = Arc::new(Slow { inner: MemorySegments::new(), opening: Barrier::new(2) });
    store.create(SegmentId(1)).unwrap();
    let handles = Handles::new(Arc::clone(&store) as Arc<dyn SegmentStore>);
    let open = |removed: bool| {
        std::thread::scope(|threads| {
            let reader = threads.spawn(|| handles.get(SegmentId(1)).map(drop));
            store.opening.wait();
            if removed {
                handles.forget(SegmentId(1));
            }
            store.opening.wait();
            reader.join().unwrap().unwrap();
        });
        handles.open.lock().files.len()
    };
    assert_eq!(open(true), 0, "its bytes would stay on the disk");
    assert_eq!(open(false), 1);
}
