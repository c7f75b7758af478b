use holdfast_core::hash::FrameHash;
use holdfast_core::id::SegmentId;

use super::*;
use crate::meta::keys::DataId;

fn live(segment: u64, position: u64, len: u32) -> Live {
    let frame = Frame { segment: SegmentId(segment), position, len, hash: FrameHash([0; 32]) };
    Live { frame, data: DataId(1), start: 0, len, skip: 0 }
}

fn chunks(all: &[Live]) -> Vec<usize> {
    let (mut at, mut ends) = (0, Vec::new());
    while at < all.len() {
        at = end(all, at);
        ends.push(at);
    }
    ends
}

#[test]
fn neighbours_are_read_together_and_segments_apart() {
    let full = 65_536 + 64;
    let mut all: Vec<Live> = (0..20).map(|n| live(1, n * full, 65_536)).collect();
    all.push(live(2, 0, 10));
    assert_eq!(chunks(&all), [15, 20, 21]);
    assert_eq!(frames(&all).len(), 21);
}

#[test]
fn a_wide_gap_is_passed_over() {
    let all = [live(1, 0, 100), live(1, 50_000, 100), live(1, 400_000, 100), live(1, 400_164, 9)];
    assert_eq!(chunks(&all), [2, 4]);
}

#[test]
fn extents_of_one_frame_stay_together() {
    let mut all = vec![live(1, 0, 65_536); 40];
    all.push(live(1, 65_600, 1));
    assert_eq!(chunks(&all), [41]);
    assert_eq!(frames(&all).len(), 2);
    assert_eq!((end(&[], 0), frames(&[])), (0, Vec::new()));
}
