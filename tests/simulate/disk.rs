//! The disk of a simulated server: volumes in memory that outlive the server, and a plug. Pulled, nothing more
//! reaches the disk; at a power cut what was not synced is gone. It can be told to fail at one of its next
//! steps, with or without having done it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::id::{SegmentId, VolumeId};
use holdfast_core::time::Timestamp;
use holdfast_server::meta::engine::memory::MemoryEngine;
use holdfast_server::meta::engine::{Engine, Reader, Visit};
use holdfast_server::meta::view::Changes;
use holdfast_server::segment::store::memory::MemorySegments;
use holdfast_server::segment::store::{DiskFile, SegmentFile, SegmentStore};
use holdfast_server::store::{RootOwner, Store, StoreOptions};
use holdfast_server::stores::Stores;

type Volumes = BTreeMap<PathBuf, (MemoryEngine, MemorySegments)>;

/// What outlives a server. All clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    volumes: Arc<Mutex<Volumes>>,
    /// A defect that is built in: it says that a segment is synced, and does nothing.
    lies: bool,
}

impl Disk {
    fn lock(&self) -> MutexGuard<'_, Volumes> {
        self.volumes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that forgets its segments when it loses power.
    pub(crate) fn that_lies() -> Self {
        Self { lies: true, ..Self::default() }
    }

    /// What was not synced is gone. Whoever is plugged in must have been unplugged before.
    pub(crate) fn lose_power(&self) {
        self.lock().values().for_each(|(_, segments)| segments.crash());
    }

    /// What the metadata of all volumes, opened as by a server that starts, has wrong.
    ///
    /// # Errors
    /// The store's.
    pub(crate) fn findings(&self, options: &StoreOptions) -> Result<Vec<String>> {
        let volumes = self.lock();
        let mut findings = Vec::new();
        for (engine, segments) in volumes.values() {
            let store = Store::open_in(Arc::new(engine.clone()), Arc::new(segments.clone()), options)?;
            findings.extend(store.check_now()?.findings.iter().map(ToString::to_string));
        }
        Ok(findings)
    }
}

/// What connects one run of a server to the disk.
#[derive(Debug)]
pub(crate) struct Plug {
    disk: Disk,
    pulled: AtomicBool,
    /// Steps that are left until one fails; negative: none does.
    steps: AtomicI64,
    /// Whether that one is done none the less.
    done_though: AtomicBool,
}

impl Plug {
    pub(crate) fn new(disk: &Disk) -> Arc<Self> {
        let (pulled, done_though) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { disk: disk.clone(), pulled, steps: AtomicI64::new(-1), done_though })
    }

    /// Nothing more reaches the disk.
    pub(crate) fn pull(&self) {
        self.pulled.store(true, Ordering::Relaxed);
    }

    /// After so many more steps one fails, and so do all behind it.
    pub(crate) fn fail_after(&self, steps: u32, done_though: bool) {
        self.done_though.store(done_though, Ordering::Relaxed);
        self.steps.store(i64::from(steps), Ordering::Relaxed);
    }

    /// Does one step on the disk, or fails.
    fn step<T>(&self, step: impl FnOnce() -> Result<T>) -> Result<T> {
        let failed = || Err(Error::new(ErrorKind::Unavailable, "the simulated disk has failed"));
        if self.pulled.load(Ordering::Relaxed) {
            return failed();
        }
        let left = self.steps.load(Ordering::Relaxed);
        if left > 0 {
            self.steps.store(left - 1, Ordering::Relaxed);
        } else if left == 0 {
            self.pull();
            if self.done_though.load(Ordering::Relaxed) {
                step()?;
            }
            return failed();
        }
        step()
    }
}

/// What a server is given of the disk.
#[derive(Debug)]
pub(crate) struct Plugged(pub(crate) Arc<Plug>);

impl Stores for Plugged {
    fn create(&self, dir: &Path, id: VolumeId, now: Timestamp, root: RootOwner) -> Result<()> {
        let (engine, segments) = (MemoryEngine::new(), MemorySegments::new());
        Store::create_in(&engine, id, now, root)?;
        self.0.disk.lock().insert(dir.to_owned(), (engine, segments));
        Ok(())
    }

    fn open(&self, dir: &Path, options: &StoreOptions) -> Result<Store> {
        let volume = self.0.disk.lock().get(dir).cloned();
        let absent = || Error::new(ErrorKind::NotFound, format!("there is no volume in {}", dir.display()));
        let (engine, segments) = volume.ok_or_else(absent)?;
        let plug = || Arc::clone(&self.0);
        let (engine, place) = (PluggedEngine { engine, plug: plug() }, PluggedSegments { segments, plug: plug() });
        Store::open_in(Arc::new(engine), Arc::new(place), options)
    }
}

#[derive(Debug)]
struct PluggedEngine {
    engine: MemoryEngine,
    plug: Arc<Plug>,
}

impl Reader for PluggedEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.engine.get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        self.engine.scan(from, to, visit)
    }
}

impl Engine for PluggedEngine {
    fn snapshot(&self) -> Box<dyn Reader + '_> {
        self.engine.snapshot()
    }

    fn write(&self, changes: &Changes) -> Result<()> {
        self.plug.step(|| self.engine.write(changes))
    }

    fn checkpoint(&self, dir: &Path) -> Result<()> {
        self.engine.checkpoint(dir)
    }
}

#[derive(Debug)]
struct PluggedSegments {
    segments: MemorySegments,
    plug: Arc<Plug>,
}

impl PluggedSegments {
    fn plugged(&self, file: Arc<dyn SegmentFile>) -> Arc<dyn SegmentFile> {
        Arc::new(PluggedFile { file, plug: Arc::clone(&self.plug) })
    }
}

impl SegmentStore for PluggedSegments {
    fn list(&self) -> Result<BTreeMap<SegmentId, u64>> {
        self.segments.list()
    }

    fn create(&self, id: SegmentId) -> Result<Arc<dyn SegmentFile>> {
        self.plug.step(|| self.segments.create(id)).map(|file| self.plugged(file))
    }

    fn open(&self, id: SegmentId) -> Result<Option<Arc<dyn SegmentFile>>> {
        Ok(self.segments.open(id)?.map(|file| self.plugged(file)))
    }

    fn open_disk(&self, id: SegmentId) -> Result<Option<Box<dyn DiskFile>>> {
        self.segments.open_disk(id)
    }

    fn remove(&self, id: SegmentId) -> Result<()> {
        self.plug.step(|| self.segments.remove(id))
    }

    fn sync_directory(&self) -> Result<()> {
        self.plug.step(|| self.segments.sync_directory())
    }

    fn free_bytes(&self) -> Result<u64> {
        self.segments.free_bytes()
    }
}

#[derive(Debug)]
struct PluggedFile {
    file: Arc<dyn SegmentFile>,
    plug: Arc<Plug>,
}

impl SegmentFile for PluggedFile {
    fn write_at(&self, position: u64, parts: &[&[u8]]) -> Result<()> {
        self.plug.step(|| self.file.write_at(position, parts))
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> Result<usize> {
        self.file.read_at(position, buffer)
    }

    fn sync(&self) -> Result<()> {
        self.plug.step(|| if self.plug.disk.lies { Ok(()) } else { self.file.sync() })
    }

    fn expect(&self, position: u64, len: u64) {
        self.file.expect(position, len);
    }

    fn start_writeback(&self, position: u64, len: u64) {
        self.file.start_writeback(position, len);
    }

    fn truncate(&self, len: u64) -> Result<()> {
        self.plug.step(|| self.file.truncate(len))
    }
}
