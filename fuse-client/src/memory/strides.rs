//! Reads of a large file in steps of one length, forwards or backwards: what comes next is asked for ahead.
//! (What is read without gaps the kernel asks for ahead itself.) Pure.
//!
//! Guarantees: nothing is asked for before the same step was seen three times; what is asked for and not
//! wanted is bounded, by number and bytes, in each of few files.

use std::collections::{HashMap, HashSet};

use holdfast_core::id::InodeId;

use super::contents::PIECE_BYTES_MAX;

/// Steps in a row from which on the next are foreseen.
const SURE: u32 = 2;
/// Reads that are asked for ahead, at most: each time twice as many.
const AHEAD_MAX: u32 = 32;
/// Their bytes, at most about.
const AHEAD_BYTES_MAX: u32 = 512 << 10;
/// Files that are followed at a time.
const FILES_MAX: usize = 32;

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) ino: InodeId,
    pub(crate) offset: u64,
    pub(crate) len: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Strides {
    files: HashMap<InodeId, Walk>,
    uses: u64,
}

/// How one file is read.
#[derive(Debug, Default)]
struct Walk {
    last: u64,
    step: i64,
    /// Steps of this length in a row.
    right: u32,
    /// The last place that was asked for ahead.
    asked: Option<u64>,
    /// Places that are asked for.
    coming: HashSet<u64>,
    /// Places that are here and were not read.
    here: HashSet<u64>,
    used: u64,
}

impl Strides {
    /// A part of a file of this size is read: what to read ahead now, and whether this was.
    pub(super) fn read(&mut self, part: Part, size: u64) -> (Vec<Part>, bool) {
        if part.len == 0 || part.len as usize > PIECE_BYTES_MAX {
            return (Vec::new(), false);
        }
        if self.files.len() >= FILES_MAX && !self.files.contains_key(&part.ino) {
            let oldest = self.files.iter().min_by_key(|(_, walk)| walk.used).map(|(&ino, _)| ino);
            oldest.and_then(|ino| self.files.remove(&ino));
        }
        self.uses += 1;
        let walk = self.files.entry(part.ino).or_default();
        walk.used = self.uses;
        let was_here = walk.here.remove(&part.offset);
        (walk.read(part, size), was_here)
    }

    /// Somebody waits for it already.
    pub(super) fn is_coming(&self, ino: InodeId, offset: u64) -> bool {
        self.files.get(&ino).is_some_and(|walk| walk.coming.contains(&offset))
    }

    /// What was asked for is here, or will not come.
    pub(super) fn came(&mut self, part: &Part, here: bool) {
        let Some(walk) = self.files.get_mut(&part.ino) else { return };
        if walk.coming.remove(&part.offset) && here {
            walk.here.insert(part.offset);
        }
    }
}

impl Walk {
    fn read(&mut self, part: Part, size: u64) -> Vec<Part> {
        let Part { ino, offset, len } = part;
        let Some(step) = offset.checked_signed_diff(self.last).filter(|step| *step != 0) else {
            // The same again, such as one that has waited.
            return Vec::new();
        };
        self.last = offset;
        if step == self.step {
            self.right = self.right.saturating_add(1);
        } else {
            // What was foreseen is not wanted.
            (self.step, self.right, self.asked) = (step, 0, None);
            self.here.clear();
        }
        if self.right < SURE || step.unsigned_abs() <= u64::from(len) {
            return Vec::new();
        }
        let doubled = 2_u32.checked_shl(self.right - SURE).unwrap_or(AHEAD_MAX);
        let most = doubled.min(AHEAD_MAX).min((AHEAD_BYTES_MAX / len).max(1));
        let front = self.asked.unwrap_or(offset);
        let ahead = front.checked_signed_diff(offset).map_or(0, |gap| gap / step);
        // In few large groups: they share a call.
        if ahead > i64::from(most) / 2 {
            return Vec::new();
        }
        let mut next = Vec::new();
        for nth in ahead.max(0) + 1..=i64::from(most) {
            let place = step.checked_mul(nth).and_then(|gap| offset.checked_add_signed(gap));
            let Some(place) = place.filter(|place| *place < size) else { break };
            self.asked = Some(place);
            if !self.here.contains(&place) && self.coming.insert(place) {
                next.push(Part { ino, offset: place, len });
            }
        }
        next
    }
}

#[cfg(test)]
mod tests;
