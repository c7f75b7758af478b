use holdfast_core::hash::FrameHash;
use holdfast_core::id::SegmentId;

use super::*;
use crate::meta::keys::DataId;
use crate::meta::record::extent::Frame;

fn live(position: u64, frame: u32, skip: u32, len: u32) -> Live {
    let frame = Frame { segment: SegmentId(1), position, len: frame, hash: FrameHash([0; 32]) };
    Live { frame, data: DataId(1), start: 0, len, skip }
}

fn ranges(live: &[Live]) -> Vec<(u64, u32, u32)> {
    parts(live).into_iter().map(|part| (part.frame.position, part.skip, part.skip + part.len)).collect()
}

#[test]
fn only_what_is_in_use_is_moved_and_once() {
    let extents = [live(0, 1000, 0, 100), live(0, 1000, 500, 500), live(0, 1000, 50, 100), live(2000, 10, 0, 10)];
    assert_eq!(ranges(&extents), [(0, 0, 150), (0, 500, 1000), (2000, 0, 10)]);
    assert_eq!(bytes_needed(&extents), 150 + 500 + 10 + 3 * 64);
    // A gap that costs less than a header.
    assert_eq!(ranges(&[live(0, 1000, 0, 100), live(0, 1000, 164, 10)]), [(0, 0, 174)]);
    assert_eq!(ranges(&[live(0, 1000, 0, 100), live(0, 1000, 165, 10)]), [(0, 0, 100), (0, 165, 175)]);
    assert_eq!(ranges(&[]), []);
}

#[test]
fn a_step_is_what_can_be_staged_at_a_time() {
    let frames: Vec<Live> = (0..40).map(|frame| live(frame * 65_600, 65_536, 0, 65_536)).collect();
    let mut at = 0;
    while at < frames.len() {
        let end = batch_end(&frames, at);
        let bytes: usize = parts(&frames[at..end]).iter().map(|part| part.len as usize + HEADER_BYTES).sum();
        assert!(end > at && bytes <= IO_BYTES_MAX, "{at} to {end}");
        at = end;
    }
    assert_eq!(batch_end(&frames, 0), 15);
    // Many extents of one frame are several steps.
    let pieces: Vec<Live> = (0..2000).map(|piece| live(0, 65_536, piece * 32, 1)).collect();
    assert_eq!(batch_end(&pieces, 0), FRAMES_MAX);
    assert_eq!(batch_end(&pieces, 1800), 2000);
    assert_eq!(batch_end(&[], 0), 0);
}
