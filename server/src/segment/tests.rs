#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use holdfast_core::hash::FrameHash;

use super::store::files::FileSegments;
use super::store::memory::MemorySegments;
use super::*;
use crate::meta::record::extent::Frame;

const BYTES_MAX: u64 = 3 << 20;

fn data(seed: u8, len: usize) -> Bytes {
    (0..len).map(|index| seed.wrapping_add(u8::try_from(index % 251).unwrap())).collect::<Vec<u8>>().into()
}

fn open(store: Arc<dyn SegmentStore>, accounts: &BTreeMap<SegmentId, SegmentAccount>) -> Segments {
    Segments::open(store, BYTES_MAX, accounts, SegmentId(1)).unwrap()
}

fn whole(staged: &StagedData) -> Vec<Wanted> {
    staged.frames().iter().map(|frame| Wanted { frame: *frame, skip: 0, len: frame.len }).collect()
}

fn account(staged: &StagedData) -> (SegmentId, SegmentAccount) {
    let last = staged.frames().last().unwrap();
    (last.segment, SegmentAccount { len: frame::end(last), live: staged.bytes() })
}

fn on_every_store(test: impl Fn(Arc<dyn SegmentStore>)) {
    test(Arc::new(MemorySegments::new()));
    let dir = tempfile::tempdir().unwrap();
    test(Arc::new(FileSegments::new(dir.path().to_owned())));
}

#[test]
fn staged_bytes_come_back_whole_and_in_part() {
    on_every_store(|store| {
        let segments = open(store, &BTreeMap::new());
        let bytes = data(1, 200_000);
        let staged = segments.stage(&bytes.clone().into()).unwrap();
        assert_eq!(staged.frames().iter().map(|frame| frame.len).collect::<Vec<_>>(), [65_536, 65_536, 65_536, 3392]);
        let read = segments.read(&whole(&staged)).unwrap();
        assert!(read.iter().all(|(piece, hash)| hash.matches(piece)));
        assert_eq!(read.iter().flat_map(|(piece, _)| piece.to_vec()).collect::<Vec<u8>>(), bytes);
        let frames = staged.frames();
        let parts = [
            Wanted { frame: frames[2], skip: 100, len: 50 },
            Wanted { frame: frames[2], skip: 65_535, len: 1 },
            Wanted { frame: frames[3], skip: 0, len: 3392 },
            Wanted { frame: frames[0], skip: 1, len: 65_535 },
        ];
        let read = segments.read(&parts).unwrap();
        assert!(read.iter().all(|(piece, hash)| hash.matches(piece)));
        assert_eq!(read[0].0, bytes.slice(131_172..131_222));
        assert_eq!(read[1].0, bytes.slice(196_607..196_608));
        assert_eq!(read[2].0, bytes.slice(196_608..));
        assert_eq!(read[3].0, bytes.slice(1..65_536));
        assert!(segments.read(&[]).unwrap().is_empty());
    });
}

#[test]
fn full_segments_are_sealed_and_empty_ones_can_go() {
    on_every_store(|store| {
        let segments = open(Arc::clone(&store), &BTreeMap::new());
        let first = segments.stage(&data(1, 1 << 20).into()).unwrap();
        let second = segments.stage(&data(2, 1 << 20).into()).unwrap();
        assert!(segments.take_sealed().is_empty());
        let third = segments.stage(&data(3, 1 << 20).into()).unwrap();
        assert_eq!([&first, &second, &third].map(|staged| staged.frames()[0].segment.0), [1, 1, 2]);
        assert_eq!(segments.take_sealed(), BTreeSet::from([SegmentId(1)]));
        assert!(!segments.is_idle(SegmentId(1)), "staged data waits in it");
        drop(second);
        assert!(!segments.is_idle(SegmentId(1)));
        let wanted = whole(&first);
        drop(first);
        assert!(segments.is_idle(SegmentId(1)));
        assert!(!segments.is_idle(SegmentId(2)), "it is the active one");
        segments.remove(SegmentId(1)).unwrap();
        assert_eq!(segments.read(&wanted).unwrap_err().kind(), ErrorKind::Damaged);
        assert_eq!(store.list().unwrap().into_keys().collect::<Vec<_>>(), [SegmentId(2)]);
        segments.remove(SegmentId(1)).unwrap();
    });
}

#[test]
fn an_active_segment_that_nobody_uses_is_sealed_early() {
    on_every_store(|store| {
        let segments = open(Arc::clone(&store), &BTreeMap::new());
        drop(segments.stage(&data(1, 1000).into()).unwrap());
        segments.seal_unused(|_| true);
        assert!(segments.take_sealed().is_empty(), "too small to matter");
        let staged = segments.stage(&data(2, 1 << 20).into()).unwrap();
        segments.seal_unused(|_| true);
        assert!(segments.take_sealed().is_empty(), "staged data waits in it");
        drop(staged);
        segments.seal_unused(|_| false);
        assert!(segments.take_sealed().is_empty(), "a file uses it");
        segments.seal_unused(|_| true);
        assert_eq!(segments.take_sealed(), BTreeSet::from([SegmentId(1)]));
        assert!(segments.is_idle(SegmentId(1)));
        assert_eq!(segments.stage(&data(3, 10).into()).unwrap().frames()[0].segment, SegmentId(2));
    });
}

#[test]
fn a_flipped_bit_is_found_and_named() {
    let store = MemorySegments::new();
    let segments = open(Arc::new(store.clone()), &BTreeMap::new());
    let staged = segments.stage(&data(1, 70_000).into()).unwrap();
    store.flip_bit(SegmentId(1), 70_100);
    let wanted = whole(&staged);
    segments.read(&wanted[..1]).unwrap();
    let error = segments.read(&wanted).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.message().contains("at 65600 of segment 1"), "{error}");
}

#[test]
fn what_is_synced_survives_a_power_cut() {
    let store = MemorySegments::new();
    let segments = open(Arc::new(store.clone()), &BTreeMap::new());
    let kept = segments.stage(&data(1, 100_000).into()).unwrap();
    segments.sync(&BTreeSet::from([SegmentId(1)])).unwrap();
    let lost = segments.stage(&data(2, 100_000).into()).unwrap();
    let accounts = BTreeMap::from([account(&kept)]);
    store.crash();
    let segments = open(Arc::new(store), &accounts);
    let read = segments.read(&whole(&kept)).unwrap();
    assert_eq!(read.iter().map(|(piece, _)| piece.len()).sum::<usize>(), 100_000);
    assert!(segments.read(&whole(&lost)).is_err());
}

#[test]
fn opening_cuts_and_removes_what_the_metadata_does_not_know() {
    on_every_store(|store| {
        let segments = open(Arc::clone(&store), &BTreeMap::new());
        let known = segments.stage(&data(1, 10_000).into()).unwrap();
        let unknown = segments.stage(&data(2, 1 << 20).into()).unwrap();
        let elsewhere =
            [segments.stage(&data(3, 1 << 20).into()).unwrap(), segments.stage(&data(4, 1 << 20).into()).unwrap()];
        assert_eq!(elsewhere[1].frames()[0].segment, SegmentId(2));
        let accounts = BTreeMap::from([account(&known)]);
        drop((segments, unknown, elsewhere));
        let segments = open(Arc::clone(&store), &accounts);
        assert_eq!(store.list().unwrap(), BTreeMap::from([(SegmentId(1), 10_064)]));
        let more = segments.stage(&data(5, 100).into()).unwrap();
        assert_eq!((more.frames()[0].segment, more.frames()[0].position), (SegmentId(1), 10_064));
        segments.read(&whole(&known)).unwrap();
    });
}

#[test]
fn a_segment_without_its_end_is_not_written_to() {
    on_every_store(|store| {
        let segments = open(Arc::clone(&store), &BTreeMap::new());
        let known = segments.stage(&data(1, 10_000).into()).unwrap();
        let accounts = BTreeMap::from([account(&known)]);
        store.open(SegmentId(1)).unwrap().unwrap().truncate(5000).unwrap();
        let segments = open(Arc::clone(&store), &accounts);
        assert_eq!(segments.read(&whole(&known)).unwrap_err().kind(), ErrorKind::Damaged);
        assert_eq!(segments.stage(&data(5, 100).into()).unwrap().frames()[0].segment, SegmentId(2));
    });
}

#[test]
fn many_stage_at_the_same_time() {
    on_every_store(|store| {
        let segments = open(store, &BTreeMap::new());
        std::thread::scope(|threads| {
            for seed in 0..4 {
                let segments = &segments;
                threads.spawn(move || {
                    for round in 0..20_u8 {
                        let bytes = data(seed, 90_000 + usize::from(round));
                        let staged = segments.stage(&bytes.clone().into()).unwrap();
                        segments.sync(&BTreeSet::from([staged.frames()[0].segment])).unwrap();
                        let read = segments.read(&whole(&staged)).unwrap();
                        assert_eq!(read.iter().flat_map(|(piece, _)| piece.to_vec()).collect::<Vec<u8>>(), bytes);
                    }
                });
            }
        });
    });
}

#[test]
fn stages_have_limits() {
    let segments = open(Arc::new(MemorySegments::new()), &BTreeMap::new());
    assert_eq!(segments.stage(&Bytes::new().into()).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(segments.stage(&data(1, (1 << 20) + 1).into()).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(segments.next(), SegmentId(1), "what is refused makes no segment");
}

#[test]
fn headers_tell_what_a_segment_holds() {
    let store = MemorySegments::new();
    let segments = open(Arc::new(store.clone()), &BTreeMap::new());
    let staged = segments.stage(&data(1, 70_000).into()).unwrap();
    let file = store.open(SegmentId(1)).unwrap().unwrap();
    let mut found: Vec<Frame> = Vec::new();
    loop {
        let mut header = [0; frame::HEADER_BYTES];
        let position = found.last().map_or(0, frame::end);
        if file.read_at(position, &mut header).unwrap() == 0 {
            break;
        }
        found.push(frame::decode_header(&header).unwrap());
        header[40] ^= 1;
        assert_ne!(frame::decode_header(&header), found.last().copied());
        header[4] += 1;
        assert_eq!(frame::decode_header(&header), None);
    }
    assert_eq!(found, staged.frames());
    assert_eq!(found[0].hash, FrameHash::of(&data(1, 70_000)[..65_536]));
}
