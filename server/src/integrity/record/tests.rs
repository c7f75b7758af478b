#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;

fn run() -> ScrubRun {
    let file = BadRange { ino: InodeId(9), paths: vec![b"/a/\xc3\xa9".to_vec(), b"/\xff".to_vec()], start: 7, len: 3 };
    let bad = BadFrame { segment: SegmentId(2), position: 64, len: 100, fault: Fault::Content, files: vec![file] };
    ScrubRun {
        begun: Timestamp { secs: 5, nanos: 6 },
        ended: Some(Timestamp { secs: 7, nanos: 0 }),
        place: ScrubPlace { segment: SegmentId(3), position: 99 },
        until: SegmentId(4),
        frames: 10,
        bytes: 20,
        bytes_total: 30,
        bad_frames: 1,
        bad: vec![bad],
        segments: vec![BadSegment { segment: SegmentId(1), expected: 8, found: None }],
    }
}

#[test]
fn a_record_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(read(dir.path()).unwrap(), Record::default());
    let record = Record { current: Some(ScrubRun { ended: None, ..run() }), last: Some(run()) };
    write(dir.path(), &record).unwrap();
    assert_eq!(read(dir.path()).unwrap(), record);
}

#[test]
fn what_is_no_record_is_told() {
    let dir = tempfile::tempdir().unwrap();
    for (text, kind) in [
        ("{", ErrorKind::Damaged),
        ("{\"version\":2,\"current\":null,\"last\":null}", ErrorKind::Version),
        ("{\"version\":1,\"current\":{},\"last\":null}", ErrorKind::Damaged),
    ] {
        std::fs::write(dir.path().join(FILE), text).unwrap();
        let error = read(dir.path()).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.message().contains("scrub.json"), "{error}");
    }
}
