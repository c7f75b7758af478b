#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use holdfast_core::attr::{FileKind, SetAttr, SetTime};
use holdfast_core::error::PosixError::*;
use holdfast_core::id::InodeId;
use holdfast_core::limits::FILE_BYTES_MAX;
use holdfast_core::op::{AllocateMode, NewNode, Op, OpReply, WriteAt, WriteData};

use crate::store::ReadResult;
use crate::store::fixture::{ROOT, Volume, at, noise, posix};

const RESERVE: AllocateMode = AllocateMode::Reserve { keep_size: false };
const RESERVE_BEHIND: AllocateMode = AllocateMode::Reserve { keep_size: true };
const ZERO: AllocateMode = AllocateMode::Zero { keep_size: false };

#[test]
fn writes_overlap_in_every_way() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    let mut model = vec![0; 400_000];
    let mut put = |offset: usize, len: usize, staged: bool| {
        let bytes = noise(offset as u64 + len as u64, len);
        model[offset..offset + len].copy_from_slice(&bytes);
        if staged {
            volume.write_staged(file, offset as u64, &bytes).unwrap();
        } else {
            volume.write(file, offset as u64, &bytes).unwrap();
        }
        let size = usize::try_from(volume.attr(file).size).unwrap();
        assert!(volume.content(file) == model[..size]);
        volume.sound();
    };
    put(0, 300_000, true);
    put(100, 50, false);
    put(65_000, 2000, false);
    put(65_500, 100, false);
    put(120_000, 100_000, true);
    put(0, 1, false);
    put(0, 300_000, true);
    put(299_999, 100_001, true);
    put(10, 60_000, false);
    put(0, 60_010, false);
}

#[test]
fn holes_read_as_zeros() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    let attr = volume.write(file, 1_000_000, b"end").unwrap();
    assert_eq!((attr.size, attr.allocated), (1_000_003, 3));
    let read = volume.store.read(file, 999_990, 100).unwrap();
    assert_eq!((read.len, read.size, read.pieces.len()), (13, 1_000_003, 1));
    assert_eq!(volume.read(file, 999_998, 3), b"\0\0e");
    assert!(volume.read(file, 1_000_003, 10).is_empty());
    assert!(volume.read(file, u64::MAX, 10).is_empty());
    assert_eq!(volume.read(file, 0, 4), [0; 4]);
}

#[test]
fn what_a_mapping_has_behind_the_end_is_not_written() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    let page = noise(1, 4096);
    let inline = |offset, bytes: &[u8]| {
        let (at, data) = (WriteAt::Mapped(offset), WriteData::Inline(Bytes::copy_from_slice(bytes)));
        volume.attr_of(Op::Write { ino: file, at, data, kill_privileges: false }).unwrap()
    };
    volume.write(file, 0, &[0; 5000]).unwrap();
    let attr = inline(4096, &page);
    assert_eq!((attr.size, attr.allocated), (5000, 5000));
    assert_eq!(volume.content(file)[4096..], page[..904]);
    assert_eq!((inline(5000, &page), inline(9000, &page)), (attr, attr), "nothing of it is the file's");
    // The same of what is staged, frame by frame.
    let large = noise(2, 200_000);
    volume.write(file, 149_999, b"x").unwrap();
    volume.write_staged_at(file, WriteAt::Mapped(4096), &large).unwrap();
    assert_eq!(volume.attr(file).size, 150_000);
    assert!(volume.content(file)[4096..] == large[..150_000 - 4096]);
    volume.sound();
}

#[test]
fn what_a_kernel_writes_back_leaves_the_times_that_it_told() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    let told = SetAttr { mtime: Some(SetTime::To(at(-70))), ctime: Some(at(-60)), ..SetAttr::default() };
    volume.setattr(file, told).unwrap();
    let (bytes, large) = (noise(1, 4096), noise(2, 200_000));
    let data = WriteData::Inline(Bytes::copy_from_slice(&bytes));
    let op = Op::Write { ino: file, at: WriteAt::WrittenBack(0), data, kill_privileges: false };
    volume.attr_of(op).unwrap();
    volume.write_staged_at(file, WriteAt::WrittenBack(4096), &large).unwrap();
    let attr = volume.attr(file);
    assert_eq!((attr.mtime, attr.ctime, attr.size), (at(-70), at(-60), 204_096), "a file grows by it all the same");
    assert!(volume.content(file) == [bytes, large].concat());
    volume.sound();
}

#[test]
fn ranges_that_are_read_together_are_what_each_is_alone() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    let large: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    volume.write_staged_at(file, WriteAt::Offset(0), &large).unwrap();
    volume.write(file, 70_000, b"inline").unwrap();
    let ranges = [(file, 0, 4096), (ROOT, 0, 10), (file, 69_990, 100), (file, 290_000, 60_000), (InodeId(99), 0, 1)];
    let together = volume.store.read_ranges(&ranges);
    assert_eq!(together.len(), ranges.len());
    for (read, (ino, offset, len)) in together.into_iter().zip(ranges) {
        match (read, volume.store.read(ino, offset, len)) {
            (Ok(together), Ok(alone)) => {
                let parts = |read: &ReadResult| -> Vec<_> {
                    read.pieces.iter().map(|piece| (piece.offset, piece.data.clone(), piece.hash)).collect()
                };
                assert_eq!((together.len, together.size, parts(&together)), (alone.len, alone.size, parts(&alone)));
                assert!(together.pieces.iter().all(|piece| piece.hash.matches(&piece.data)));
            }
            (together, alone) => assert_eq!(posix(together), posix(alone)),
        }
    }
}

#[test]
fn reads_and_writes_refuse_other_kinds() {
    let volume = Volume::new();
    let fifo = volume.create(ROOT, "p", NewNode::Special { kind: FileKind::Fifo, rdev: 0 }, 0o600).unwrap();
    for (ino, error) in [(ROOT, IsDirectory), (fifo, Invalid), (InodeId(99), NoEntry)] {
        assert_eq!(volume.write(ino, 0, b"x").unwrap_err(), error);
        assert_eq!(posix(volume.store.read(ino, 0, 1)), error);
        assert_eq!(posix(volume.store.seek(ino, 0, true)), error);
        assert_eq!(volume.allocate(ino, 0, 1, RESERVE).unwrap_err(), error);
        assert_eq!(volume.copy((ino, 0), (ino, 0), 1).unwrap_err(), error);
    }
    let file = volume.file(ROOT, "f").unwrap();
    assert_eq!(volume.write(file, FILE_BYTES_MAX, b"x").unwrap_err(), FileTooLarge);
    assert_eq!(volume.write(file, u64::MAX, b"x").unwrap_err(), FileTooLarge);
    volume.write(file, FILE_BYTES_MAX - 1, b"x").unwrap();
    assert_eq!(volume.append(file, b"x").unwrap_err(), FileTooLarge);
    volume.sound();
}

#[test]
fn a_write_of_nothing_changes_nothing() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    let before = volume.attr(file);
    assert_eq!(volume.write(file, 5000, b"").unwrap(), before);
    assert_eq!(volume.attr(file), before);
}

#[test]
fn appends_land_one_after_the_other() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    let mut model = Vec::new();
    for number in 0..200_u64 {
        let line = noise(number, 90);
        match volume.append(file, &line).unwrap() {
            OpReply::Written { offset, len, attr } => {
                assert_eq!((offset, len, attr.size), (model.len() as u64, 90, model.len() as u64 + 90));
            }
            other => panic!("{other:?}"),
        }
        model.extend(line);
        if number % 50 == 0 {
            volume.commit();
        }
    }
    assert_eq!(volume.content(file), model);
    let pieces = volume.store.read(file, 0, 18_000).unwrap().pieces.len();
    assert!(pieces <= 6, "small appends grow one extent, but there are {pieces}");
    volume.sound();
}

#[test]
fn versions_rise_with_every_change_of_content() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    let mut versions = vec![volume.attr(file).data_version];
    let mut rises = |volume: &Volume| {
        versions.push(volume.attr(file).data_version);
        let [.., before, after] = versions[..] else { unreachable!("there are two") };
        assert!(before < after);
    };
    volume.write(file, 0, &[1; 10_000]).unwrap();
    rises(&volume);
    volume.truncate(file, 9000).unwrap();
    rises(&volume);
    volume.allocate(file, 0, 20_000, RESERVE).unwrap();
    rises(&volume);
    volume.allocate(file, 0, 100, AllocateMode::PunchHole).unwrap();
    rises(&volume);
    volume.allocate(file, 100, 100, ZERO).unwrap();
    rises(&volume);
    volume.copy((file, 5000), (file, 0), 100).unwrap();
    rises(&volume);
}

#[test]
fn reserved_space_is_counted_and_reads_as_zeros() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    volume.write(file, 1000, &[1; 1000]).unwrap();
    let attr = volume.allocate(file, 0, 10_000, RESERVE).unwrap();
    assert_eq!((attr.size, attr.allocated, attr.mtime, attr.ctime), (10_000, 10_000, volume.now(), volume.now()));
    let mut expected = vec![0; 10_000];
    expected[1000..2000].fill(1);
    assert_eq!(volume.content(file), expected);
    let behind = volume.allocate(file, 5000, 10_000, RESERVE_BEHIND).unwrap();
    assert_eq!((behind.size, behind.allocated), (10_000, 15_000));
    volume.sound();
    volume.write_staged(file, 9000, &[2; 2000]).unwrap();
    assert_eq!((volume.attr(file).size, volume.attr(file).allocated), (11_000, 15_000));
    volume.sound();
    assert_eq!(volume.truncate(file, 11_000).unwrap().allocated, 11_000, "space past the end goes");
    volume.sound();
}

#[test]
fn punched_holes_give_space_back() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    volume.write_staged(file, 0, &noise(1, 200_000)).unwrap();
    let mut expected = noise(1, 200_000);
    let attr = volume.allocate(file, 1000, 150_000, AllocateMode::PunchHole).unwrap();
    expected[1000..151_000].fill(0);
    assert_eq!((attr.size, attr.allocated), (200_000, 50_000));
    assert_eq!(volume.content(file), expected);
    let zeroed = volume.allocate(file, 160_000, 100_000, ZERO).unwrap();
    expected.resize(260_000, 0);
    expected[160_000..].fill(0);
    assert_eq!((zeroed.size, zeroed.allocated), (260_000, 110_000));
    assert_eq!(volume.content(file), expected);
    let kept = volume.allocate(file, 250_000, 100_000, AllocateMode::Zero { keep_size: true }).unwrap();
    assert_eq!((kept.size, kept.allocated), (260_000, 200_000));
    volume.sound();
    volume.allocate(file, 0, 1 << 40, AllocateMode::PunchHole).unwrap();
    assert_eq!((volume.attr(file).size, volume.store.usage().bytes), (260_000, 0));
    assert_eq!(volume.allocate(file, 0, 0, RESERVE).unwrap_err(), Invalid);
    volume.sound();
}

#[test]
fn seeks_find_data_and_holes_exactly() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    volume.write(file, 1000, &[1; 500]).unwrap();
    volume.write(file, 1500, &[2; 500]).unwrap();
    volume.write_staged(file, 100_000, &[3; 70_000]).unwrap();
    volume.allocate(file, 200_000, 1000, RESERVE).unwrap();
    volume.truncate(file, 300_000).unwrap();
    let data = |offset| volume.store.seek(file, offset, false);
    let hole = |offset| volume.store.seek(file, offset, true);
    assert_eq!([data(0), data(1000), data(1999), data(2000)].map(Result::unwrap), [1000, 1000, 1999, 100_000]);
    assert_eq!([hole(0), hole(1000), hole(1700), hole(100_000)].map(Result::unwrap), [0, 2000, 2000, 170_000]);
    assert_eq!(posix(data(170_000)), NoData);
    assert_eq!(hole(299_999).unwrap(), 299_999);
    assert_eq!((posix(data(300_000)), posix(hole(300_000)), posix(hole(u64::MAX))), (NoData, NoData, NoData));
    let full = volume.file(ROOT, "full").unwrap();
    volume.write(full, 0, &[1; 5000]).unwrap();
    assert_eq!(volume.store.seek(full, 0, true).unwrap(), 5000);
}

#[test]
fn seeks_go_through_files_of_many_extents() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    for number in 0..3000 {
        volume.write(file, number * 4096, &[1; 4096]).unwrap();
    }
    assert_eq!(volume.store.seek(file, 5, true).unwrap(), 3000 * 4096);
    volume.allocate(file, 0, 3000 * 4096, AllocateMode::PunchHole).unwrap();
    for number in 0..3000 {
        volume.allocate(file, number * 8192, 4096, RESERVE).unwrap();
    }
    volume.write(file, 3000 * 8192, &[1]).unwrap();
    assert_eq!(volume.store.seek(file, 5, false).unwrap(), 3000 * 8192);
    volume.sound();
}

#[test]
fn copies_share_frames() {
    let volume = Volume::new();
    let source = volume.file(ROOT, "source").unwrap();
    let target = volume.file(ROOT, "target").unwrap();
    let bytes = noise(3, 300_000);
    volume.write_staged(source, 0, &bytes).unwrap();
    volume.write(source, 50, b"inline").unwrap();
    volume.allocate(source, 100_000, 50_000, ZERO).unwrap();
    let mut expected = volume.content(source);
    volume.write(target, 0, &[9; 10]).unwrap();
    let files = volume.segments.clone();
    let on_disk = || crate::segment::store::SegmentStore::list(&files).unwrap().into_values().sum::<u64>();
    let before = on_disk();
    assert_eq!(volume.copy((source, 0), (target, 7), 1 << 40).unwrap(), 300_000);
    assert_eq!(on_disk(), before, "no data moves");
    expected.splice(0..0, [9; 7]);
    assert_eq!(volume.content(target), expected);
    assert_eq!((volume.attr(target).mtime, volume.attr(target).size), (volume.now(), 300_007));
    assert_eq!(volume.attr(target).allocated, 300_007 - 50_000, "reserved space becomes a hole");
    volume.sound();
    volume.unlink(ROOT, "source").unwrap();
    while volume.store.reap(10).unwrap() {}
    volume.commit();
    assert_eq!(volume.content(target), expected);
    volume.sound();
}

#[test]
fn copies_stop_at_the_end_and_never_overlap() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    let other = volume.file(ROOT, "g").unwrap();
    volume.write(file, 0, &noise(1, 1000)).unwrap();
    let before = volume.attr(other);
    assert_eq!(volume.copy((file, 1000), (other, 0), 10), Ok(0));
    assert_eq!(volume.attr(other), before);
    assert_eq!(volume.copy((file, 900), (other, 0), 500), Ok(100));
    assert_eq!(volume.content(other), noise(1, 1000)[900..]);
    assert_eq!(volume.copy((file, 0), (file, 500), 501), Err(Invalid));
    assert_eq!(volume.copy((file, 0), (file, 500), 500), Ok(500));
    assert_eq!(volume.copy((file, 0), (other, FILE_BYTES_MAX - 1), 5), Err(FileTooLarge));
    volume.sound();
}

#[test]
fn copies_of_fragments_come_in_parts() {
    let volume = Volume::new();
    let source = volume.file(ROOT, "source").unwrap();
    let target = volume.file(ROOT, "target").unwrap();
    for number in 0..9000 {
        volume.write(source, number * 2, &noise(number, 1)).unwrap();
    }
    let first = volume.copy((source, 0), (target, 0), 1 << 20).unwrap();
    assert_eq!(first, 8191 * 2 + 1);
    assert_eq!(volume.copy((source, first), (target, first), 1 << 20), Ok(8999 * 2 + 1 - first));
    assert_eq!(volume.content(target), volume.content(source));
    volume.sound();
}

#[test]
fn staged_data_must_fit_its_operation() {
    use holdfast_core::error::ErrorKind;
    use holdfast_core::id::StageId;
    use holdfast_core::op::{Caller, LoggedOp, Op, WriteAt, WriteData};

    use crate::store::ApplyContext;
    use crate::store::fixture::SESSION;

    let volume = Volume::new();
    let ino = volume.file(ROOT, "f").unwrap();
    let data = WriteData::Staged { stage: StageId(4), len: 100 };
    let op = Op::Write { ino, at: WriteAt::Offset(0), data, kill_privileges: false };
    let op = LoggedOp { seq: volume.seq().next(), caller: Caller::default(), time: None, replay_of: None, op };
    let apply = |staged| {
        let context =
            ApplyContext { now: volume.now(), quota: volume.quota.get(), is_open: &|_| false, staged, refused: None };
        volume.store.apply(SESSION, &op, &context)
    };
    assert_eq!(apply(None).unwrap_err().kind(), ErrorKind::Invalid);
    let short = volume.store.stage(Bytes::from(vec![1; 99])).unwrap();
    assert_eq!(apply(Some(short)).unwrap_err().kind(), ErrorKind::Invalid);
    let right = volume.store.stage(Bytes::from(vec![1; 100])).unwrap();
    assert!(apply(Some(right)).unwrap().result.is_ok(), "what was refused used no number up");
    volume.sound();
}
