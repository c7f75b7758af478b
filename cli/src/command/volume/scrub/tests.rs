#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use holdfast_core::id::{InodeId, SegmentId};
use holdfast_core::integrity::{BadFrame, BadRange, BadSegment, Fault};
use holdfast_core::time::Timestamp;

use super::*;
use crate::output::Report as _;

fn bad_run() -> ScrubRun {
    let file = |ino, paths: &[&[u8]]| BadRange {
        ino: InodeId(ino),
        paths: paths.iter().map(|path| path.to_vec()).collect(),
        start: 65_536,
        len: 10,
    };
    let files = vec![file(3, &[b"/a", b"/b\xff"]), file(4, &[])];
    let bad = BadFrame { segment: SegmentId(1), position: 64, len: 10, fault: Fault::Content, files };
    ScrubRun {
        ended: Some(Timestamp { secs: 0, nanos: 0 }),
        frames: 1000,
        bytes: 1 << 20,
        bytes_total: 1 << 20,
        bad_frames: 1,
        bad: vec![bad],
        segments: vec![BadSegment { segment: SegmentId(2), expected: 9, found: None }],
        ..ScrubRun::default()
    }
}

#[test]
fn bad_frames_are_rows_of_every_path() {
    let name = "v".parse().unwrap();
    let expected = "\
volume v: 1,000 frames, 1 MiB verified: 1 bad frame, 1 bad segments
  FILE              BYTES        SEGMENT  POSITION  WHAT
  /a                65536-65545        1        64  fails its checksum
  /b\\xff            65536-65545        1        64  fails its checksum
  inode 4, no name  65536-65545        1        64  fails its checksum
  segment 2 of 9 bytes is missing
";
    assert_eq!(RunView::new(&name, &bad_run()).text(), expected);
    let json = serde_json::to_value(RunView::new(&name, &bad_run())).unwrap();
    assert_eq!((&json["bad"][0]["fault"], &json["bad"][0]["files"][0]["start"]), (&"content".into(), &65_536.into()));
}

#[test]
fn what_is_bad_fails_and_what_is_not_does_not() {
    let name = "v".parse().unwrap();
    let failure = verdict(&name, &bad_run()).unwrap_err();
    assert!(failure.message().contains("1 bad frame in 2 files, and 1 segment missing"), "{}", failure.message());
    verdict(&name, &ScrubRun::default()).unwrap();
}

#[test]
fn a_status_is_of_the_run_that_tells_most() {
    let name = "v".parse().unwrap();
    let mut status = ScrubStatus { running: false, current: None, last: None };
    assert!(newest(&status).is_none());
    assert!(StatusView::new(&name, &status).text().contains("last end:  never"));
    status.last = Some(bad_run());
    assert_eq!(newest(&status), Some(&bad_run()));
    assert_eq!(StatusView::new(&name, &status).words(), "1970-01-01T00:00:00Z: 1 bad frame, 1 bad segments");
    status.current = Some(ScrubRun { bytes: 1, bytes_total: 4, ..ScrubRun::default() });
    assert_eq!(newest(&status), Some(&bad_run()), "one that has found nothing yet says nothing");
    let words = StatusView::new(&name, &status).words();
    assert!(words.ends_with("broken off, 25 %, nothing bad"), "{words}");
}
