//! Which segments are worth their compaction, and in what order. Pure.
//!
//! To free a segment costs the move of what is in use there, and a pass costs a look at all extents of the
//! volume. So a segment is worth it when enough of it is dead, and a pass when enough is freed by it. What is
//! being deleted just now is left until it has come to rest: waiting makes it cheaper. When the disk is
//! nearly full none of that counts any more, but what can be freed with the room that there is.

use std::collections::BTreeMap;

use holdfast_core::id::SegmentId;

/// A pass frees at least so many bytes, unless the disk is nearly full.
const GAIN_BYTES_MIN: u64 = 8 << 20;
/// And one part in so many of what is in use, since it looks at all of that.
const GAIN_SHARE: u64 = 64;
/// A pass frees at least so many bytes even when the disk is nearly full.
const TIGHT_GAIN_BYTES_MIN: u64 = 1 << 20;
/// The disk is nearly full when less than so many times its reserve is free.
const TIGHT_RESERVES: u64 = 4;
/// Dead bytes in a hundred that are enough then.
const TIGHT_DEAD_PERCENT: u64 = 10;
/// Of the reserve one part in so many is never used, not even to make room.
const FLOOR_SHARE: u64 = 4;
/// A segment is at rest that loses less than one part in so many between two looks.
const RESTLESS_SHARE: u64 = 16;
/// A segment that was not worth it after all is looked at again when one part in so many of it is gone.
const SETTLED_SHARE: u64 = 32;
/// Room that moving takes beside the bytes: headers of frames, and the batches of the engine.
const OVERHEAD_BYTES: u64 = 1 << 20;
const OVERHEAD_SHARE: u64 = 16;

/// A segment as its account tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) id: SegmentId,
    /// Where its last frame ends.
    pub(super) len: u64,
    /// Lengths of the extents that point into it.
    pub(super) live: u64,
}

impl Segment {
    /// Bytes that no extent points to, if extents share none.
    const fn dead(&self) -> u64 {
        self.len.saturating_sub(self.live)
    }
}

/// The disk that the volume is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) free: u64,
    pub(super) reserve: u64,
}

impl Disk {
    /// Whether making room comes before all else.
    pub(super) const fn is_tight(&self) -> bool {
        self.free < self.reserve.saturating_mul(TIGHT_RESERVES)
    }

    /// Whether there is room to move so many bytes. Room for others is not used up, but where the disk is full
    /// for them already.
    pub(super) const fn has_room(&self, bytes: u64) -> bool {
        let kept = if self.is_tight() { self.reserve / FLOOR_SHARE } else { self.reserve };
        self.free.saturating_sub(kept) >= bytes + bytes / OVERHEAD_SHARE + OVERHEAD_BYTES
    }
}

/// What is remembered of the segments of a volume from one look to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Live bytes at the last look.
    seen: BTreeMap<SegmentId, u64>,
    /// Live bytes of those that were not worth it when they were looked into.
    settled: BTreeMap<SegmentId, u64>,
}

impl Memory {
    /// A segment was not worth it, or could not be freed, with so many live bytes.
    pub(super) fn settle(&mut self, id: SegmentId, live: u64) {
        self.settled.insert(id, live);
    }

    fn is_settled(&self, segment: &Segment) -> bool {
        self.settled.get(&segment.id).is_some_and(|&then| !has_lost(then, segment.live))
    }

    fn is_at_rest(&self, segment: &Segment) -> bool {
        let lost = |then: &u64| then.saturating_sub(segment.live);
        self.seen.get(&segment.id).is_some_and(|then| lost(then) <= segment.len / RESTLESS_SHARE)
    }

    fn look(&mut self, segments: &[Segment]) {
        self.seen = segments.iter().map(|segment| (segment.id, segment.live)).collect();
        self.settled.retain(|id, _| self.seen.contains_key(id));
    }
}

/// Whether a segment with so many live bytes has lost enough of them for another look into it.
pub(super) const fn has_lost(then: u64, now: u64) -> bool {
    now <= then - then / SETTLED_SHARE
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Segments to be freed, the most worthy first.
    pub(super) victims: Vec<Segment>,
    /// The disk is nearly full.
    pub(super) tight: bool,
    /// Dead bytes in a hundred that make a segment worth it.
    pub(super) dead_percent: u64,
    /// Some are worth it, and there is no room to move this many bytes of the smallest.
    pub(super) no_room: Option<u64>,
}

impl Plan {
    /// Whether a segment of this length with so many bytes to be moved is worth it.
    pub(super) const fn is_worth(&self, len: u64, moved: u64) -> bool {
        len.saturating_sub(moved).saturating_mul(100) >= len.saturating_mul(self.dead_percent)
    }
}

/// Decides what to do now, and remembers what was seen.
pub(super) fn plan(segments: &[Segment], memory: &mut Memory, disk: Disk, dead_percent: u64) -> Plan {
    let tight = disk.is_tight();
    let dead_percent = if tight { dead_percent.min(TIGHT_DEAD_PERCENT) } else { dead_percent };
    let mut plan = Plan { victims: Vec::new(), tight, dead_percent, no_room: None };
    // What has no live byte goes by itself.
    let worth = |segment: &&Segment| {
        segment.live > 0
            && plan.is_worth(segment.len, segment.live)
            && !memory.is_settled(segment)
            && (tight || memory.is_at_rest(segment))
    };
    let mut victims: Vec<Segment> = segments.iter().filter(worth).copied().collect();
    memory.look(segments);
    if tight {
        // The room that there is grows with each of them.
        victims.sort_by_key(|victim| (victim.live, victim.id));
    } else {
        let share = |victim: &Segment| u128::from(victim.live) * 1_000_000 / u128::from(victim.len.max(1));
        victims.sort_by_key(|victim| (share(victim), victim.id));
    }
    let in_use: u64 = segments.iter().map(|segment| segment.live).sum();
    let gain_min = if tight { TIGHT_GAIN_BYTES_MIN } else { GAIN_BYTES_MIN.max(in_use / GAIN_SHARE) };
    let is_enough = |victims: &[Segment]| victims.iter().map(Segment::dead).sum::<u64>() >= gain_min;
    if !is_enough(&victims) {
        return plan;
    }
    let least = victims.iter().map(|victim| victim.live).min();
    victims.retain(|victim| disk.has_room(victim.live));
    if victims.is_empty() {
        plan.no_room = least;
    } else if is_enough(&victims) {
        plan.victims = victims;
    }
    plan
}

#[cfg(test)]
mod tests;
