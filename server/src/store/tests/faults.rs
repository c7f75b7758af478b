#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use holdfast_core::error::{Error, ErrorKind, PosixError, Result};
use holdfast_core::id::{InodeId, SegmentId, Seq, VolumeId};
use holdfast_core::op::{Caller, LoggedOp, NewNode, Op};

use crate::meta::engine::memory::MemoryEngine;
use crate::meta::engine::{Engine, Reader, Visit};
use crate::meta::keys;
use crate::meta::view::Changes;
use crate::store::fixture::{ROOT, SESSION, Volume, at, mode, name, noise, snapshot};
use crate::store::{ApplyContext, RootOwner, SharedMemory, Store, StoreOptions};

/// An engine whose disk fails when told to.
#[derive(Debug)]
pub(super) struct Failing {
    inner: MemoryEngine,
    broken: AtomicBool,
}

impl Failing {
    pub(super) fn new(inner: MemoryEngine) -> Self {
        Self { inner, broken: AtomicBool::new(false) }
    }

    pub(super) fn fail(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }
}

impl Reader for Failing {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.inner.get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        self.inner.scan(from, to, visit)
    }
}

impl Engine for Failing {
    fn snapshot(&self) -> Box<dyn Reader + '_> {
        self.inner.snapshot()
    }

    fn write(&self, changes: &Changes) -> Result<()> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "the disk is gone"));
        }
        self.inner.write(changes)
    }

    fn checkpoint(&self, dir: &Path) -> Result<()> {
        self.inner.checkpoint(dir)
    }
}

#[test]
fn after_a_failed_commit_nothing_is_answered() {
    let volume = Volume::new();
    volume.file(ROOT, "durable").unwrap();
    volume.commit();
    let engine = Arc::new(Failing::new(volume.engine.clone()));
    let store = volume.with_engine(engine.clone());
    let before = snapshot(&store);
    let op =
        Op::Create { parent: ROOT, name: name("x"), node: NewNode::Directory, mode: mode(0o755).into(), ino: None };
    let op = LoggedOp { seq: Seq(2), caller: Caller::default(), time: None, replay_of: None, op };
    let context =
        || ApplyContext { now: at(5), quota: volume.quota.get(), is_open: &|_| false, staged: None, refused: None };
    store.apply(SESSION, &op, &context()).unwrap().result.unwrap();
    engine.fail();
    assert!(store.failed().is_none());
    assert!(store.commit().is_err());
    assert!(store.failed().is_some_and(|why| why.contains("the disk is gone")));
    engine.broken.store(false, Ordering::Relaxed);
    assert_eq!(store.commit().unwrap_err().kind(), ErrorKind::Unavailable, "a failed sync is never tried again");
    assert_eq!(store.apply(SESSION, &op, &context()).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(store.getattr(ROOT).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(store.stage(Bytes::from_static(b"x")).unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(store.close().is_err());
    let volume = volume.crash();
    assert_eq!(volume.snapshot(), before);
    volume.sound();
}

#[test]
fn a_flipped_bit_in_a_segment_is_never_read() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    volume.write_staged(file, 0, &noise(1, 200_000)).unwrap();
    volume.commit();
    volume.segments.flip_bit(SegmentId(1), 100_000);
    let volume = volume.restart();
    assert_eq!(volume.read(file, 0, 65_536), noise(1, 200_000)[..65_536]);
    let error = volume.store.read(file, 0, 200_000).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.message().contains(&format!("inode {file}")) && error.message().contains("segment 1"), "{error}");
    assert_eq!(
        volume.store.read(file, 70_000, 1).unwrap_err().kind(),
        ErrorKind::Damaged,
        "one byte is not trusted either"
    );
    assert_eq!(volume.read(file, 131_072, 10), noise(1, 200_000)[131_072..131_082]);
    volume.sound();
}

#[test]
fn a_damaged_record_fails_what_needs_it_and_names_the_key() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    volume.file(ROOT, "g").unwrap();
    volume.commit();
    let mut damage = Changes::default();
    damage.put(keys::inode(file), Bytes::from_static(b"\x01nonsense"));
    volume.engine.write(&damage).unwrap();
    let volume = volume.restart();
    let error = volume.store.getattr(file).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.message().contains(&format!("I {file}")), "{error}");
    assert_eq!(volume.write(file, 0, b"x").unwrap_err(), PosixError::Io);
    volume.rename_fails_alone();
    let findings = volume.store.check_now().unwrap().findings;
    assert!(findings.iter().any(|finding| finding.to_string().contains(&format!("I {file}"))), "{findings:?}");
}

impl Volume {
    /// The rest of the volume goes on.
    fn rename_fails_alone(&self) {
        self.unlink(ROOT, "g").unwrap();
        assert_eq!(self.unlink(ROOT, "f").unwrap_err(), PosixError::Io);
        self.file(ROOT, "h").unwrap();
    }
}

#[test]
fn a_check_finds_what_is_wrong() {
    let wrong = |damage: &dyn Fn(&Volume, &mut Changes)| {
        let volume = Volume::new();
        let file = volume.file(ROOT, "f").unwrap();
        volume.write_staged(file, 0, &noise(1, 100_000)).unwrap();
        volume.dir(ROOT, "d").unwrap();
        volume.commit();
        volume.sound();
        let mut changes = Changes::default();
        damage(&volume, &mut changes);
        volume.engine.write(&changes).unwrap();
        let volume = volume.restart();
        assert!(!volume.store.check_now().unwrap().findings.is_empty());
    };
    let first_of = |volume: &Volume, tag: u8| {
        let range = keys::all(tag);
        let mut first = None;
        let take = &mut |key: &[u8], value: &[u8]| {
            first = Some((key.to_vec(), Bytes::copy_from_slice(value)));
            std::ops::ControlFlow::Break(())
        };
        volume.engine.scan(&range.from, &range.to, take).unwrap();
        first.unwrap()
    };
    for tag in [keys::tag::INODE, keys::tag::ENTRY, keys::tag::COOKIE, keys::tag::EXTENT] {
        wrong(&|volume, changes| changes.delete(first_of(volume, tag).0));
    }
    wrong(&|volume, changes| {
        let (_, extent) = first_of(volume, keys::tag::EXTENT);
        changes.put(keys::extent(keys::DataId(999), 65_536), extent);
    });
    wrong(&|volume, changes| {
        let (_, extent) = first_of(volume, keys::tag::EXTENT);
        let (key, _) = first_of(volume, keys::tag::EXTENT);
        let (data, end) = keys::split_pair(&key).unwrap();
        changes.put(keys::extent(keys::DataId(data), end + 5), extent);
    });
    wrong(&|_, changes| changes.put(keys::orphan(InodeId(2)), Bytes::from_static(b"\x01")));
    wrong(&|_, changes| changes.put(keys::dead(keys::DataId(2)), Bytes::from_static(b"\x01")));
}

fn options() -> StoreOptions {
    StoreOptions {
        memory: SharedMemory::new(8 << 20, 8 << 20),
        disk_reserve_bytes: 0,
        segment_bytes_max: 8 << 20,
        engine_files_max: 64,
    }
}

#[test]
fn directories_that_are_no_volume_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let root = RootOwner { uid: 3, gid: 4, mode: mode(0o1777) };
    let path = dir.path().join("volume");
    assert_eq!(Store::open(&path, &options()).unwrap_err().kind(), ErrorKind::NotFound);
    Store::create(&path, VolumeId([5; 16]), at(77), root).unwrap();
    assert_eq!(Store::create(&path, VolumeId([6; 16]), at(77), root).unwrap_err().kind(), ErrorKind::AlreadyExists);
    let store = Store::open(&path, &options()).unwrap();
    assert_eq!((store.id(), store.created(), store.clean()), (VolumeId([5; 16]), at(77), true));
    let attr = store.getattr(ROOT).unwrap();
    assert_eq!((attr.uid, attr.gid, attr.mode, attr.nlink, attr.btime), (3, 4, mode(0o1777), 2, at(77)));
    assert_eq!(Store::open(&path, &options()).unwrap_err().kind(), ErrorKind::InUse);
    store.close().unwrap();
    assert!(Store::open(&path, &options()).unwrap().clean());
    std::fs::write(dir.path().join("file"), "x").unwrap();
    assert!(Store::create(dir.path(), VolumeId([6; 16]), at(77), root).is_err());
    assert!(Store::create(&dir.path().join("file"), VolumeId([6; 16]), at(77), root).is_err());
}

#[test]
fn a_volume_of_another_format_is_refused_and_left_alone() {
    let volume = Volume::new();
    volume.commit();
    let mut newer = Changes::default();
    newer.put(keys::header(), Bytes::from_static(b"\x03something newer"));
    volume.engine.write(&newer).unwrap();
    let open = || {
        let limits = crate::store::fixture::limits();
        crate::store::open::assemble(Arc::new(volume.engine.clone()), Arc::new(volume.segments.clone()), limits)
    };
    assert_eq!(open().unwrap_err().kind(), ErrorKind::Version);
    assert_eq!(volume.engine.get(&keys::header()).unwrap().unwrap(), &b"\x03something newer"[..]);
    let mut damaged = Changes::default();
    damaged.put(keys::header(), Bytes::from_static(b"\x02short"));
    volume.engine.write(&damaged).unwrap();
    assert_eq!(open().unwrap_err().kind(), ErrorKind::Damaged);
    damaged.delete(keys::header());
    volume.engine.write(&damaged).unwrap();
    assert_eq!(open().unwrap_err().kind(), ErrorKind::NotFound);
}
