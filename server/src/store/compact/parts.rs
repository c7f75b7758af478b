//! Which parts of frames are moved, and how many at a time. Pure.

use holdfast_core::limits::IO_BYTES_MAX;

use crate::segment::frame::HEADER_BYTES;
use crate::segment::{FRAMES_MAX, Wanted};
use crate::store::Live;

/// Bytes between two parts that are moved with them: no more than the header that this saves.
const GAP_BYTES_MAX: u32 = 64;

/// The end of the step that begins at `at`: as much as is read and staged in one go. At least one extent.
#[must_use]
pub fn batch_end(live: &[Live], at: usize) -> usize {
    let mut bytes = 0;
    let mut before = None;
    for (index, next) in live.iter().enumerate().skip(at) {
        // A header for each extent: at worst each is a part of its own.
        let frame = if before == Some(next.frame) { 0 } else { next.frame.len as usize };
        bytes += frame + HEADER_BYTES;
        if index > at && (bytes > IO_BYTES_MAX || index - at >= FRAMES_MAX) {
            return index;
        }
        before = Some(next.frame);
    }
    live.len()
}

/// Bytes that moving these extents of one segment, in order of place, takes elsewhere.
#[must_use]
pub fn bytes_needed(live: &[Live]) -> u64 {
    parts(live).into_iter().map(|part| u64::from(part.len) + HEADER_BYTES as u64).sum()
}

/// The parts of frames that these extents point to, in order of place, each once.
pub(super) fn parts(live: &[Live]) -> Vec<Wanted> {
    let mut parts: Vec<Wanted> = Vec::new();
    for extents in live.chunk_by(|one, other| one.frame == other.frame) {
        let mut ranges: Vec<(u32, u32)> = extents.iter().map(|live| (live.skip, live.skip + live.len)).collect();
        ranges.sort_unstable();
        let mut joined: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (from, to) in ranges {
            match joined.last_mut() {
                Some(last) if from <= last.1.saturating_add(GAP_BYTES_MAX) => last.1 = last.1.max(to),
                _ => joined.push((from, to)),
            }
        }
        let frame = extents[0].frame;
        parts.extend(joined.into_iter().map(|(from, to)| Wanted { frame, skip: from, len: to - from }));
    }
    parts
}

#[cfg(test)]
mod tests;
