//! Making and opening volumes.
//!
//! A volume is a directory with `meta/` (the engine's files) and `segments/`. It is a volume from
//! the moment that its header is durable.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use holdfast_core::attr::FileKind;
use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::id::{CommitSeq, DataVersion, Epoch, InodeId, SegmentId, SessionId, VolumeId};
use holdfast_core::time::Timestamp;
use holdfast_core::volume::Usage;
use parking_lot::{Mutex, RwLock};

use super::overlays::Overlays;
use super::writer::{Session, Writer};
use super::{Identity, RootOwner, SharedMemory, Store, StoreOptions};
use crate::meta::engine::Engine;
use crate::meta::engine::rocksdb::{Presence, RocksEngine};
use crate::meta::keys;
use crate::meta::record::header::Header;
use crate::meta::record::inode::{DIRECTORY_BYTES, Inode};
use crate::meta::record::segment::SegmentAccount;
use crate::meta::record::session::SessionRecord;
use crate::meta::record::{Record, damaged, decode};
use crate::meta::view::{Changes, View};
use crate::segment::Segments;
use crate::segment::store::SegmentStore;
use crate::segment::store::files::FileSegments;

const META: &str = "meta";
const SEGMENTS: &str = "segments";
/// A new volume's engine needs next to nothing.
const CREATE_CACHE_BYTES: usize = 9 << 20;
const CREATE_BUFFER_BYTES: usize = 8 << 20;
const CREATE_FILES_MAX: u32 = 16;

fn disk_failure(dir: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("cannot make a volume in {}; check the directory and its disk", dir.display()))
        .because(error)
}

/// See [`Store::create`].
pub(super) fn create(dir: &Path, id: VolumeId, now: Timestamp, root: RootOwner) -> Result<()> {
    let failed = |error| disk_failure(dir, error);
    fs::create_dir_all(dir).map_err(failed)?;
    if fs::read_dir(dir).map_err(failed)?.next().is_some() {
        let message = format!("there is something in {} already; choose an empty directory", dir.display());
        return Err(Error::new(ErrorKind::AlreadyExists, message));
    }
    fs::create_dir(dir.join(META)).map_err(failed)?;
    fs::create_dir(dir.join(SEGMENTS)).map_err(failed)?;
    let memory = SharedMemory::new(CREATE_CACHE_BYTES, CREATE_BUFFER_BYTES);
    let engine = RocksEngine::open(&dir.join(META), Presence::New, &memory, CREATE_FILES_MAX)?;
    format(&engine, id, now, root)?;
    drop(engine);
    for synced in [&dir.join(META), &dir.join(SEGMENTS), dir] {
        File::open(synced).and_then(|dir| dir.sync_all()).map_err(failed)?;
    }
    match dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed),
        None => Ok(()),
    }
}

/// Writes what a new volume consists of into an empty engine: a header and a root directory.
///
/// # Errors
/// The engine's.
pub(super) fn format(engine: &dyn Engine, id: VolumeId, now: Timestamp, root: RootOwner) -> Result<()> {
    let header = Header {
        volume: id,
        created: now,
        epoch: Epoch(0),
        clean: true,
        last_commit: CommitSeq(0),
        commit_bound: CommitSeq(1),
        next_segment: SegmentId(1),
        inode_blocks: 0,
        usage: Usage { bytes: 0, inodes: 1 },
    };
    let directory = Inode {
        kind: FileKind::Directory,
        mode: root.mode,
        nlink: 2,
        uid: root.uid,
        gid: root.gid,
        rdev: 0,
        size: DIRECTORY_BYTES,
        allocated: 0,
        atime: now,
        mtime: now,
        ctime: now,
        btime: now,
        data_version: DataVersion(0),
        data: None,
        extent_end: 0,
        xattr_bytes: 0,
        parent: Some(InodeId::ROOT),
        entries: 0,
        named: None,
    };
    let mut changes = Changes::default();
    changes.put(keys::header(), header.encode());
    changes.put(keys::inode(InodeId::ROOT), directory.encode());
    engine.write(&changes)
}

/// See [`Store::open`].
pub(super) fn open(dir: &Path, options: &StoreOptions) -> Result<Store> {
    let engine = RocksEngine::open(&dir.join(META), Presence::Existing, &options.memory, options.engine_files_max)?;
    let segments = FileSegments::new(dir.join(SEGMENTS));
    assemble(Arc::new(engine), Arc::new(segments), Limits::of(options))
}

/// The part of the options that does not depend on the engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) disk_reserve_bytes: u64,
    pub(crate) segment_bytes_max: u64,
}

impl Limits {
    pub(super) const fn of(options: &StoreOptions) -> Self {
        Self { disk_reserve_bytes: options.disk_reserve_bytes, segment_bytes_max: options.segment_bytes_max }
    }
}

/// Opens a volume on any engine and any place for segments.
///
/// # Errors
/// As for [`Store::open`].
pub(super) fn assemble(engine: Arc<dyn Engine>, place: Arc<dyn SegmentStore>, limits: Limits) -> Result<Store> {
    let Some(stored) = engine.get(&keys::header())? else {
        return Err(Error::new(
            ErrorKind::NotFound,
            "there is a database but no volume in it; its creation did not finish",
        ));
    };
    let mut header = Header::read(&stored)?;
    let was_clean = header.clean;
    // After a crash the numbers up to the bound belong to the operations that will be replayed.
    let fresh = if was_clean { header.last_commit.next() } else { header.commit_bound };
    header.clean = false;
    header.epoch = header.epoch.next();
    header.commit_bound = Writer::bound_after(CommitSeq(fresh.0.saturating_sub(1)));
    let mut changes = Changes::default();
    changes.put(keys::header(), header.encode());
    engine.write(&changes)?;

    let accounts = accounts(&*engine)?;
    let segments = Segments::open(place, limits.segment_bytes_max, &accounts, header.next_segment)?;
    let identity = Identity { id: header.volume, epoch: header.epoch, created: header.created, was_clean };
    let usage = header.usage;
    let writer = Writer::new(header, fresh, sessions(&*engine)?, accounts, dead(&*engine)?);
    let store = Store {
        identity,
        engine,
        segments,
        disk_reserve_bytes: limits.disk_reserve_bytes,
        disk_full: AtomicBool::new(false),
        disk_free: AtomicU64::new(0),
        committing: Mutex::new(()),
        commits: (AtomicU64::new(0), AtomicU64::new(0)),
        writer: Mutex::new(writer),
        overlays: RwLock::new(Overlays { usage, ..Overlays::default() }),
        failure: OnceLock::new(),
    };
    store.look_at_disk();
    Ok(store)
}

/// Visits all records of one kind.
fn each(engine: &dyn Engine, tag: u8, mut visit: impl FnMut(&[u8], &Bytes) -> Result<()>) -> Result<()> {
    let nothing = Changes::default();
    View::new(&nothing, None, engine).scan(&keys::all(tag), |key, value| {
        visit(key, &value)?;
        Ok(ControlFlow::Continue(()))
    })
}

fn number(key: &[u8]) -> Result<u64> {
    match keys::split(key) {
        Some((number, [])) => Ok(number),
        _ => Err(damaged(key, "its key has the wrong length")),
    }
}

fn accounts(engine: &dyn Engine) -> Result<BTreeMap<SegmentId, SegmentAccount>> {
    let mut accounts = BTreeMap::new();
    each(engine, keys::tag::SEGMENT, |key, value| {
        accounts.insert(SegmentId(number(key)?), decode(key, value)?);
        Ok(())
    })?;
    Ok(accounts)
}

fn sessions(engine: &dyn Engine) -> Result<BTreeMap<SessionId, Session>> {
    let mut sessions = BTreeMap::new();
    each(engine, keys::tag::SESSION, |key, value| {
        let record: SessionRecord = decode(key, value)?;
        sessions.insert(record.info.id, Session::stored(record));
        Ok(())
    })?;
    Ok(sessions)
}

fn dead(engine: &dyn Engine) -> Result<VecDeque<(keys::DataId, u64)>> {
    let mut dead = VecDeque::new();
    each(engine, keys::tag::DEAD, |key, _| {
        dead.push_back((keys::DataId(number(key)?), 0));
        Ok(())
    })?;
    Ok(dead)
}
