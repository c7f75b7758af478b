#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;

#[test]
fn figures_come_back_as_they_were_sent() {
    let full = SegmentsView {
        sums: Some(SegmentSums { segments: 1, bytes: 2, live_bytes: 3, dead_bytes: 4 }),
        compaction: CompactionView {
            running: true,
            freed_segments: 5,
            freed_bytes: 6,
            moved_frames: 7,
            moved_bytes: 8,
            failure: Some((Timestamp { secs: 9, nanos: 10 }, "why".into())),
        },
    };
    for view in [full, SegmentsView::default()] {
        assert_eq!(SegmentsView::try_from(v1::GetSegmentsResponse::from(&view)).unwrap(), view);
    }
    assert_eq!(SegmentsView::try_from(v1::GetSegmentsResponse::default()).unwrap(), SegmentsView::default());
    let failed = Some(v1::Timestamp { nanos: u32::MAX, ..v1::Timestamp::default() });
    let compaction = Some(v1::Compaction { failed, ..v1::Compaction::default() });
    assert!(SegmentsView::try_from(v1::GetSegmentsResponse { compaction, sums: None }).is_err());
}
