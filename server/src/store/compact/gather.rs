//! Extents by the segment that they point into, a bounded number of them. Pure.

use std::collections::HashMap;

use holdfast_core::id::SegmentId;

use super::InUse;
use crate::store::Live;

/// See [`Gather::new`].
#[derive(Debug)]
pub(super) struct Gather {
    /// Place in the order of worth.
    ranks: HashMap<SegmentId, usize>,
    found: Vec<InUse>,
    count: usize,
    max: usize,
}

impl Gather {
    /// Gathers what points into these segments, the most worthy first. Past `max` extents the last segment is
    /// given up, again and again; of the first, when it is alone, as many are kept as there is room for.
    pub(super) fn new(segments: &[SegmentId], max: usize) -> Self {
        let found: Vec<InUse> = segments.iter().map(|&segment| InUse { segment, live: Vec::new() }).collect();
        let ranks = segments.iter().enumerate().map(|(rank, &segment)| (segment, rank)).collect();
        Self { ranks, found, count: 0, max: max.max(1) }
    }

    /// Takes an extent, if it points into one of them.
    pub(super) fn take(&mut self, live: Live) {
        let Some(&rank) = self.ranks.get(&live.frame.segment) else { return };
        while rank < self.found.len() && self.count >= self.max && self.found.len() > 1 {
            let last = self.found.pop();
            self.count -= last.map_or(0, |last| last.live.len());
        }
        if self.count < self.max
            && let Some(of) = self.found.get_mut(rank)
        {
            of.live.push(live);
            self.count += 1;
        }
    }

    /// What was gathered, each segment's in order of place.
    pub(super) fn finish(mut self) -> Vec<InUse> {
        for of in &mut self.found {
            of.live.sort_unstable_by_key(|live| (live.frame.position, live.data, live.start));
        }
        self.found
    }
}

#[cfg(test)]
mod tests;
