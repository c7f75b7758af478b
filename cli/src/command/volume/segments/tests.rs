use holdfast_core::time::Timestamp;

use super::*;

#[test]
fn figures_read_as_words() {
    let sums = SegmentSums { segments: 3, bytes: 3 << 30, live_bytes: 1 << 30, dead_bytes: 2 << 30 };
    assert_eq!(DataShown::from(sums).words(), "3 GiB on disk in 3 segments: 1 GiB in use, 2 GiB dead");
    let nothing = CompactionShown::from(CompactionView::default());
    assert_eq!(nothing.words(), "nothing since the server's start");
    let done = CompactionView {
        running: true,
        freed_segments: 1200,
        freed_bytes: 2 << 30,
        moved_frames: 10,
        moved_bytes: 1 << 20,
        failure: Some((Timestamp { secs: 0, nanos: 0 }, "no room".into())),
    };
    let expected = "2 GiB in 1,200 segments freed, 1 MiB moved; running; failed 1970-01-01T00:00:00Z: no room";
    assert_eq!(CompactionShown::from(done).words(), expected);
}
