//! How much is read from the disk at a time. Pure.

use crate::meta::record::extent::Frame;
use crate::segment::frame;
use crate::store::Live;

/// Bytes of a segment that are read in one go, at most.
const SPAN_BYTES_MAX: u64 = 1 << 20;
/// Bytes that nobody uses and that are read rather than passed over.
const GAP_BYTES_MAX: u64 = 128 << 10;

/// The end of the stretch of `live`, which is in order of places, that begins at `at` and is read in one
/// go: one segment, no wide gaps, not too long. Extents of one frame stay together.
pub(super) fn end(live: &[Live], at: usize) -> usize {
    let Some(first) = live.get(at) else { return at };
    let mut before = &first.frame;
    for (index, next) in live.iter().enumerate().skip(at + 1) {
        let next = &next.frame;
        let is_same = next.segment == before.segment && next.position == before.position;
        let fits = next.segment == first.frame.segment
            && next.position.saturating_sub(frame::end(before)) <= GAP_BYTES_MAX
            && frame::end(next).saturating_sub(first.frame.position) <= SPAN_BYTES_MAX;
        if !is_same && !fits {
            return index;
        }
        before = next;
    }
    live.len()
}

/// The frames of a stretch, each once.
pub(super) fn frames(live: &[Live]) -> Vec<Frame> {
    let mut frames: Vec<Frame> = live.iter().map(|live| live.frame).collect();
    frames.dedup();
    frames
}

#[cfg(test)]
mod tests;
