#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use holdfast_core::error::PosixError::*;
use holdfast_core::op::RenameMode::Replace;
use holdfast_core::op::{AllocateMode, NewNode, Op, XattrMode};
use holdfast_core::volume::Quota;

use crate::segment::store::SegmentStore;
use crate::store::fixture::{ROOT, SEGMENT_BYTES, Volume, noise, xattr};

#[test]
fn the_quota_of_bytes_is_exact() {
    let volume = Volume::new();
    volume.quota.set(Quota { bytes: Some(10_000), inodes: None });
    let file = volume.file(ROOT, "f").unwrap();
    volume.write(file, 0, &[1; 10_000]).unwrap();
    assert_eq!(volume.append(file, b"x").unwrap_err(), NoSpace);
    assert_eq!(volume.write_staged(file, 5000, &[2; 5001]).unwrap_err(), NoSpace);
    assert_eq!(volume.content(file), [1; 10_000], "a refused write changes nothing");
    volume.write(file, 4000, &[3; 6000]).unwrap();
    assert_eq!(volume.allocate(file, 0, 10_001, AllocateMode::Reserve { keep_size: true }).unwrap_err(), NoSpace);
    volume.allocate(file, 0, 10_000, AllocateMode::Zero { keep_size: true }).unwrap();
    let copy = volume.file(ROOT, "copy").unwrap();
    volume.write(file, 0, &[1; 10]).unwrap();
    assert_eq!(volume.copy((file, 0), (copy, 0), 10), Err(NoSpace));
    volume.truncate(file, 1 << 40).unwrap();
    volume.truncate(file, 9990).unwrap();
    assert_eq!(volume.copy((file, 0), (copy, 0), 10), Ok(10));
    assert_eq!(volume.store.usage().bytes, 10_000);
    volume.sound();
}

#[test]
fn the_quota_of_inodes_counts_the_root_and_orphans() {
    let volume = Volume::new();
    volume.quota.set(Quota { bytes: None, inodes: Some(3) });
    let first = volume.file(ROOT, "a").unwrap();
    volume.dir(ROOT, "b").unwrap();
    assert_eq!(volume.file(ROOT, "c"), Err(NoSpace));
    assert_eq!(volume.file(ROOT, "a"), Err(Exists), "the name comes first");
    volume.link(first, ROOT, "c").unwrap();
    volume.rmdir(ROOT, "b").unwrap();
    volume.opens.borrow_mut().insert(first);
    volume.file(ROOT, "d").unwrap();
    volume.rename((ROOT, "d"), (ROOT, "c"), Replace).unwrap();
    volume.unlink(ROOT, "a").unwrap();
    assert_eq!(volume.file(ROOT, "e"), Err(NoSpace), "an open file without a name still counts");
    volume.store.drop_orphan(first).unwrap();
    volume.file(ROOT, "e").unwrap();
    volume.sound();
}

#[test]
fn a_quota_below_what_there_is_lets_only_growth_fail() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    volume.write(file, 0, &[1; 10_000]).unwrap();
    volume.quota.set(Quota { bytes: Some(5000), inodes: Some(1) });
    volume.write(file, 0, &[2; 10_000]).unwrap();
    volume.truncate(file, 8000).unwrap();
    assert_eq!(volume.append(file, b"x").unwrap_err(), NoSpace);
    volume.unlink(ROOT, "f").unwrap();
    volume.sound();
}

#[test]
fn a_full_disk_refuses_what_takes_space_and_lets_delete_work() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    volume.write_staged(file, 0, &[1; 200_000]).unwrap();
    volume.segments.set_free_bytes(Some(1000));
    volume.commit();
    assert_eq!(volume.file(ROOT, "g"), Err(NoSpace));
    assert_eq!(volume.file(ROOT, "f"), Err(Exists));
    assert_eq!(volume.create(ROOT, "l", NewNode::Symlink { target: Bytes::from_static(b"x") }, 0o777), Err(NoSpace));
    assert_eq!(volume.link(file, ROOT, "g"), Err(NoSpace));
    assert_eq!(volume.write(file, 0, b"x").unwrap_err(), NoSpace);
    assert_eq!(volume.write_staged(file, 0, b"x").unwrap_err(), NoSpace);
    assert_eq!(volume.allocate(file, 0, 10, AllocateMode::Zero { keep_size: true }).unwrap_err(), NoSpace);
    let op = Op::SetXattr {
        ino: file,
        name: xattr("user.a"),
        value: Bytes::new(),
        mode: XattrMode::Either,
        kill_setgid: false,
    };
    assert_eq!(volume.apply(op).unwrap_err(), NoSpace);
    assert_eq!(volume.store.disk_free_bytes().unwrap(), 0);
    volume.truncate(file, 100).unwrap();
    volume.allocate(file, 0, 10, AllocateMode::PunchHole).unwrap();
    volume.rename((ROOT, "f"), (ROOT, "g"), Replace).unwrap();
    volume.unlink(ROOT, "g").unwrap();
    volume.segments.set_free_bytes(None);
    volume.commit();
    volume.file(ROOT, "h").unwrap();
    volume.sound();
}

/// A file of more extents than are dropped at once.
fn large(volume: &Volume, name: &str, seed: u64) -> holdfast_core::id::InodeId {
    let file = volume.file(ROOT, name).unwrap();
    for block in 0..6 {
        volume.write_staged(file, block << 20, &noise(seed + block, 1 << 20)).unwrap();
    }
    file
}

#[test]
fn large_files_go_at_once_and_their_extents_in_steps() {
    let volume = Volume::new();
    large(&volume, "a", 1);
    let cut = large(&volume, "b", 2);
    volume.commit();
    volume.unlink(ROOT, "a").unwrap();
    volume.truncate(cut, 0).unwrap();
    volume.write(cut, 0, b"new").unwrap();
    assert_eq!(volume.store.usage().bytes, 3);
    volume.sound();
    let mut steps = 0;
    while volume.store.reap(10).unwrap() {
        volume.sound();
        steps += 1;
    }
    assert!(steps > 10, "12 MiB are 192 extents, in steps of 10: {steps}");
    assert_eq!(volume.content(cut), b"new");
    volume.sound();
}

#[test]
fn dead_data_is_reaped_after_a_crash() {
    let volume = Volume::new();
    large(&volume, "a", 1);
    volume.unlink(ROOT, "a").unwrap();
    assert!(volume.store.reap(10).unwrap());
    volume.commit();
    let volume = volume.crash();
    volume.sound();
    while volume.store.reap(1000).unwrap() {}
    volume.commit();
    volume.sound();
    let volume = volume.restart();
    assert!(!volume.store.reap(1000).unwrap());
}

#[test]
fn empty_segments_go_once_that_is_durable() {
    let volume = Volume::new();
    let first = large(&volume, "a", 1);
    let second = large(&volume, "b", 2);
    volume.commit();
    let files = || volume.segments.list().unwrap().len();
    let before = files();
    assert!(before >= 3, "12 MiB in segments of {SEGMENT_BYTES} bytes");
    volume.unlink(ROOT, "a").unwrap();
    while volume.store.reap(1000).unwrap() {}
    assert_eq!(files(), before, "a crash now would still need them");
    volume.commit();
    assert!(files() < before);
    assert!(volume.store.getattr(first).is_err());
    assert!(volume.content(second) == (0..6).flat_map(|block| noise(2 + block, 1 << 20)).collect::<Vec<_>>());
    volume.sound();
    let volume = volume.restart();
    assert_eq!(volume.content(second).len(), 6 << 20);
    volume.sound();
}

#[test]
fn stages_that_nobody_used_are_dead_bytes() {
    let volume = Volume::new();
    for _ in 0..8 {
        drop(volume.store.stage(Bytes::from(vec![1; 1 << 20])).unwrap());
    }
    let kept = volume.store.stage(Bytes::from(vec![1; 1 << 20])).unwrap();
    let before = volume.segments.list().unwrap().len();
    assert!(before >= 3);
    volume.store.reap(1).unwrap();
    assert_eq!(volume.segments.list().unwrap().len(), 1);
    drop(kept);
    volume.sound();
}

#[test]
fn a_replay_is_not_refused_for_lack_of_space() {
    let volume = Volume::new();
    volume.commit();
    let create = |text| Op::Create {
        parent: ROOT,
        name: crate::store::fixture::name(text),
        node: NewNode::File { open: false },
        mode: crate::store::fixture::mode(0o644).into(),
        ino: None,
    };
    let lost = volume.logged(create("a"), None, None);
    volume.segments.set_free_bytes(Some(0));
    let volume = volume.crash();
    volume.quota.set(Quota { bytes: None, inodes: Some(1) });
    let staged = volume.store.stage(Bytes::from(vec![1; 100]));
    assert!(staged.is_ok(), "its data must come in too");
    assert!(volume.logged(create("a"), None, Some(lost.commit)).result.is_ok());
    assert_eq!(volume.logged(create("b"), None, None).result, Err(NoSpace));
    assert!(volume.store.stage(Bytes::from(vec![1; 100])).is_err());
    volume.sound();
}
