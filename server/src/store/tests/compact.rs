//! Compaction: what is in use moves and stays what it is, whatever happens meanwhile.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast_core::error::{ErrorKind, PosixError};
use holdfast_core::id::{InodeId, SegmentId};
use holdfast_core::op::AllocateMode;

use super::faults::Failing;
use crate::segment::store::SegmentStore as _;
use crate::store::compact::compact_all;
use crate::store::fixture::{ROOT, SEGMENT_BYTES, Volume, noise};
use crate::store::{InUse, Live, Relocated, Store, batch_end, bytes_needed};

const FRAME: u64 = 65_536;
const MIB: u64 = 1 << 20;

/// A volume with 16 MiB of data of which a quarter is left: whole frames, and parts of frames, some of them
/// in several files.
struct Scattered {
    volume: Volume,
    kept: Vec<InodeId>,
}

impl Scattered {
    fn new() -> Self {
        let volume = Volume::new();
        let mut kept = Vec::new();
        for number in 0..16 {
            let file = volume.file(ROOT, &format!("f{number}")).unwrap();
            volume.write_staged(file, 0, &noise(number, 1 << 20)).unwrap();
            if number % 4 == 0 {
                kept.push(file);
            } else if number % 4 == 1 {
                // Every fourth frame stays, and of every other one of these a piece in the middle.
                for frame in (0..16).filter(|frame| frame % 4 != 0) {
                    volume.allocate(file, frame * FRAME, FRAME, AllocateMode::PunchHole).unwrap();
                }
                for frame in [0, 8] {
                    volume.write(file, frame * FRAME, &noise(100 + number, 20_000)).unwrap();
                    volume.allocate(file, frame * FRAME + 40_000, FRAME - 40_000, AllocateMode::PunchHole).unwrap();
                }
                kept.push(file);
            } else {
                volume.unlink(ROOT, &format!("f{number}")).unwrap();
            }
        }
        let copy = volume.file(ROOT, "copy").unwrap();
        volume.copy((kept[0], 1000), (copy, 50), 300_000).unwrap();
        volume.truncate(kept[0], MIB / 2).unwrap();
        kept.push(copy);
        while volume.store.reap(1000).unwrap() {}
        volume.commit();
        volume.sound();
        Self { volume, kept }
    }

    fn contents(&self) -> Vec<Vec<u8>> {
        self.kept.iter().map(|ino| self.volume.content(*ino)).collect()
    }
}

fn disk_bytes(volume: &Volume) -> u64 {
    volume.segments.list().unwrap().values().sum()
}

fn live_bytes(store: &Store) -> u64 {
    store.segment_accounts().iter().map(|(_, account)| account.live).sum()
}

fn everything(store: &Store) -> Vec<InUse> {
    let segments: Vec<SegmentId> = store.segment_accounts().into_iter().map(|(id, _)| id).collect();
    let sealed: Vec<SegmentId> = segments.into_iter().filter(|id| store.seal(*id)).collect();
    store.in_use(&sealed, usize::MAX, &|| Ok(())).unwrap()
}

fn relocate(store: &Store, live: &[Live]) -> u64 {
    let (mut at, mut moved) = (0, 0);
    while at < live.len() {
        let end = batch_end(live, at);
        match store.relocate(&live[at..end]).unwrap() {
            Relocated::Moved { bytes, .. } => moved += bytes,
            Relocated::Damaged(error) => panic!("{error}"),
        }
        at = end;
    }
    moved
}

/// What is done to a volume, of which this is in use.
type Act = fn(&Store, &[InUse]);

fn relocate_all(store: &Store, found: &[InUse]) {
    for of in found {
        relocate(store, &of.live);
    }
}

#[test]
fn what_is_in_use_moves_and_nothing_that_a_client_sees_changes() {
    let Scattered { volume, kept } = Scattered::new();
    let (before, was) = (volume.snapshot(), disk_bytes(&volume));
    let moved = compact_all(&volume.store, |_, account| account.live < account.len).unwrap();
    assert_eq!(volume.snapshot(), before, "at once");
    volume.sound();
    volume.commit();
    assert_eq!(volume.snapshot(), before);
    volume.sound();
    let sums = volume.store.segment_sums().unwrap();
    assert_eq!((sums.bytes, sums.live), (disk_bytes(&volume), live_bytes(&volume.store)));
    // What two files share is moved once, and counts twice.
    assert!(moved < sums.live && sums.bytes - moved < moved / 50, "{moved} bytes moved, {sums:?}");
    assert!(sums.bytes * 3 < was, "{} of {was} bytes are left", sums.bytes);
    // Done is done.
    assert_eq!(compact_all(&volume.store, |_, account| account.live * 10 < account.len * 9).unwrap(), 0);
    let volume = volume.crash();
    assert_eq!(volume.snapshot(), before, "after a power cut");
    volume.sound();
    let volume = volume.restart();
    for ino in kept {
        volume.truncate(ino, 0).unwrap();
    }
    while volume.store.reap(1000).unwrap() {}
    volume.commit();
    assert_eq!(live_bytes(&volume.store), 0);
    volume.sound();
}

#[test]
fn a_power_cut_at_any_step_leaves_every_byte() {
    let steps: &[(&str, Act)] = &[
        ("some frames are moved", |store, found| relocate_all(store, &found[..1])),
        ("and durable", |store, _| drop(store.commit().unwrap())),
        ("all are moved", |store, found| relocate_all(store, &found[1..])),
        ("and durable", |store, _| drop(store.commit().unwrap())),
        ("segments are let go", |store, _| store.drop_empty_segments().unwrap()),
        ("and gone", |store, _| drop(store.commit().unwrap())),
    ];
    for last in 0..=steps.len() {
        let Scattered { volume, kept } = Scattered::new();
        let before = volume.snapshot();
        let found = everything(&volume.store);
        assert!(found.len() > 2);
        steps[..last].iter().for_each(|(_, step)| step(&volume.store, &found));
        let volume = volume.crash();
        let what = last.checked_sub(1).map_or("nothing", |last| steps[last].0);
        assert_eq!(volume.snapshot(), before, "cut off after: {what}");
        volume.sound();
        // It goes on from there.
        compact_all(&volume.store, |_, account| account.live < account.len).unwrap();
        volume.commit();
        let volume = volume.crash();
        assert_eq!(volume.snapshot(), before, "cut off after: {what}");
        volume.sound();
        assert!(disk_bytes(&volume) * 3 < 16 * MIB, "{} bytes are left", disk_bytes(&volume));
        assert_eq!(volume.names(ROOT).len(), kept.len());
    }
}

#[test]
fn a_batch_that_fails_leaves_the_old_place() {
    let Scattered { volume, .. } = Scattered::new();
    let before = volume.snapshot();
    let engine = Arc::new(Failing::new(volume.engine.clone()));
    let store = volume.with_engine(engine.clone());
    compact_all(&store, |_, account| account.live < account.len).unwrap();
    engine.fail();
    assert!(store.commit().is_err());
    assert!(store.relocate(&[]).is_err(), "nothing goes on after that");
    assert!(store.in_use(&[], 1, &|| Ok(())).is_err() && store.drop_empty_segments().is_err());
    let volume = volume.crash();
    assert_eq!(volume.snapshot(), before);
    volume.sound();
}

#[test]
fn what_clients_do_meanwhile_is_not_lost() {
    let Scattered { volume, kept } = Scattered::new();
    let found = everything(&volume.store);
    let mut expected: Vec<Vec<u8>> = kept.iter().map(|ino| volume.content(*ino)).collect();
    let overwritten = noise(77, 100_000);
    volume.write_staged(kept[2], 30_000, &overwritten).unwrap();
    expected[2][30_000..130_000].copy_from_slice(&overwritten);
    volume.allocate(kept[2], 200_000, 1000, AllocateMode::PunchHole).unwrap();
    expected[2][200_000..201_000].fill(0);
    volume.truncate(kept[4], 100_000).unwrap();
    expected[4].truncate(100_000);
    let late = volume.file(ROOT, "late").unwrap();
    volume.copy((kept[6], 0), (late, 0), 200_000).unwrap();
    let source = expected[6].clone();
    expected.push(source[..200_000].to_vec());
    volume.copy((kept[6], 0), (kept[6], 600_000), 100_000).unwrap();
    expected[6][600_000..700_000].copy_from_slice(&source[..100_000]);
    volume.unlink(ROOT, "f1").unwrap();
    let all = [&kept[..], &[late]].concat();
    let seen = |volume: &Volume| {
        for (number, (ino, expected)) in all.iter().zip(&expected).enumerate().filter(|(number, _)| *number != 1) {
            assert!(volume.content(*ino) == *expected, "file {number}");
        }
        volume.sound();
    };
    for InUse { live, .. } in &found {
        relocate(&volume.store, live);
        seen(&volume);
    }
    volume.store.drop_empty_segments().unwrap();
    volume.commit();
    seen(&volume);
    // What came in between pointed to the old places; it is found the next time.
    compact_all(&volume.store, |_, account| account.live < account.len).unwrap();
    seen(&volume);
    volume.commit();
    let volume = volume.crash();
    seen(&volume);
}

#[test]
fn the_same_step_twice_moves_nothing_twice() {
    let Scattered { volume, .. } = Scattered::new();
    let before = volume.snapshot();
    let found = everything(&volume.store);
    let live = &found[0].live;
    relocate(&volume.store, live);
    let accounts = volume.store.segment_accounts();
    relocate(&volume.store, live);
    assert_eq!(volume.store.segment_accounts(), accounts);
    assert_eq!(volume.snapshot(), before);
    volume.commit();
    // The segment is gone by now.
    volume.store.drop_empty_segments().unwrap();
    volume.commit();
    assert!(volume.store.segment_account(found[0].segment).is_none());
    assert!(matches!(volume.store.relocate(&live[..1]).unwrap(), Relocated::Moved { frames: 0, bytes: 0 }));
    assert!(!volume.store.seal(found[0].segment));
    assert_eq!(volume.snapshot(), before);
    volume.sound();
}

#[test]
fn a_damaged_frame_stays_and_so_does_its_segment() {
    let scattered = Scattered::new();
    let contents = scattered.contents();
    let Scattered { volume, kept } = scattered;
    let found = everything(&volume.store);
    let (first, others) = found.split_first().unwrap();
    let bad = first.live[first.live.len() - 1];
    let at = usize::try_from(bad.frame.position).unwrap() + 64 + bad.skip as usize;
    volume.segments.flip_bit(first.segment, at);
    let begin = first.live.iter().position(|live| live.frame == bad.frame).unwrap();
    match volume.store.relocate(&first.live[begin..]).unwrap() {
        Relocated::Damaged(error) => assert_eq!(error.kind(), ErrorKind::Damaged),
        Relocated::Moved { .. } => panic!("damage was moved"),
    }
    volume.sound();
    compact_all(&volume.store, |_, account| account.live < account.len).unwrap();
    volume.commit();
    assert!(volume.store.segment_account(first.segment).is_some_and(|account| account.live > 0));
    for other in others {
        assert_eq!(volume.store.segment_account(other.segment), None, "{}", other.segment);
    }
    assert_eq!(volume.store.verify(&[bad.frame]).unwrap().len(), 1, "a scrub finds it where it was");
    assert!(volume.store.is_live(&bad).unwrap());
    let mut failed = 0;
    for (ino, content) in kept.iter().zip(&contents) {
        for offset in (0..content.len() as u64).step_by(4096) {
            match volume.store.read(*ino, offset, 1) {
                Ok(_) => {
                    let from = usize::try_from(offset).unwrap();
                    assert_eq!(volume.read(*ino, offset, 100), content[from..content.len().min(from + 100)]);
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Damaged);
                    failed += 1;
                }
            }
        }
    }
    assert!((1..=2 * FRAME / 4096 + 2).contains(&failed), "{failed} reads failed");
    volume.sound();
}

#[test]
fn a_full_disk_is_made_room_on_or_refuses_cleanly() {
    let Scattered { volume, .. } = Scattered::new();
    let before = volume.snapshot();
    let (found, accounts) = (everything(&volume.store), volume.store.segment_accounts());
    volume.segments.set_full(true);
    let end = batch_end(&found[0].live, 0);
    let error = volume.store.relocate(&found[0].live[..end]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert_eq!((volume.snapshot(), volume.store.segment_accounts()), (before.clone(), accounts));
    volume.sound();
    // Below the reserve nobody else gets any.
    volume.segments.set_full(false);
    volume.segments.set_free_bytes(Some(1000));
    volume.file(ROOT, "more").unwrap();
    volume.commit();
    let file = volume.lookup(ROOT, "more").unwrap();
    assert_eq!(volume.write_staged(file, 0, &noise(1, 100_000)).unwrap_err(), PosixError::NoSpace);
    compact_all(&volume.store, |_, account| account.live < account.len).unwrap();
    volume.commit();
    assert!(disk_bytes(&volume) * 3 < 16 * MIB);
    assert_eq!(volume.unlink(ROOT, "more"), Ok(holdfast_core::op::OpReply::Done));
    volume.sound();
}

#[test]
fn a_segment_with_staged_data_is_left_until_that_is_used() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    volume.write_staged(file, 0, &noise(1, 200_000)).unwrap();
    volume.truncate(file, 100_000).unwrap();
    let staged = volume.store.stage(bytes::Bytes::from(noise(2, 1000))).unwrap();
    volume.commit();
    assert!(!volume.store.seal(SegmentId(1)), "data waits in it");
    assert_eq!(compact_all(&volume.store, |_, _| true).unwrap(), 0);
    drop(staged);
    assert!(volume.store.seal(SegmentId(1)));
    assert_eq!(compact_all(&volume.store, |_, _| true).unwrap(), 100_000);
    volume.commit();
    assert_eq!(volume.segments.list().unwrap().into_keys().collect::<Vec<_>>(), [SegmentId(2)]);
    volume.sound();
}

#[test]
fn where_much_is_in_use_some_is_moved_at_a_time() {
    let Scattered { volume, .. } = Scattered::new();
    let all = everything(&volume.store);
    let order: Vec<SegmentId> = all.iter().rev().map(|of| of.segment).collect();
    let some = volume.store.in_use(&order, all[all.len() - 1].live.len() + 1, &|| Ok(())).unwrap();
    assert_eq!(some.first(), all.last(), "the most worthy one is complete");
    assert!(some.len() < all.len());
    let one = volume.store.in_use(&order, 3, &|| Ok(())).unwrap();
    assert_eq!(one.iter().map(|of| of.live.len()).collect::<Vec<_>>(), [3]);
    let needed: u64 = all.iter().map(|of| bytes_needed(&of.live)).sum();
    assert!(needed > MIB && needed < 6 * MIB, "{needed}");
    let ended = volume.store.in_use(&order, 3, &|| Err(PosixError::Interrupted.into()));
    assert!(ended.is_ok(), "it is asked every few thousand extents");
}

#[test]
fn readers_never_notice() {
    let volume = Volume::new();
    let files: Vec<InodeId> = (0..4).map(|file| volume.file(ROOT, &file.to_string()).unwrap()).collect();
    let content: Vec<Vec<u8>> = (0..4).map(|file| noise(file, 600_000)).collect();
    for (ino, content) in files.iter().zip(&content) {
        volume.write_staged(*ino, 0, content).unwrap();
    }
    volume.commit();
    let (store, done) = (&volume.store, AtomicBool::new(false));
    let reads: u64 = std::thread::scope(|threads| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                threads.spawn(|| {
                    let mut reads = 0;
                    while !done.load(Ordering::Relaxed) {
                        for (ino, content) in files.iter().zip(&content) {
                            let read = store.read(*ino, 0, 600_000).unwrap();
                            let bytes: Vec<u8> = read.pieces.iter().flat_map(|piece| piece.data.to_vec()).collect();
                            assert!(bytes == *content, "a reader saw something else");
                            reads += 1;
                        }
                    }
                    reads
                })
            })
            .collect();
        for _ in 0..60 {
            // Everything, from segment to segment.
            compact_all(store, |_, _| true).unwrap();
            store.commit().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().unwrap()).sum()
    });
    assert!(reads > 0);
    let segments = volume.segments.list().unwrap();
    assert!(segments.keys().next().is_some_and(|first| first.0 > 60), "{segments:?}");
    assert!(segments.values().sum::<u64>() <= SEGMENT_BYTES);
    volume.sound();
}
