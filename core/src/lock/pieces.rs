//! What one holder has locked in one file: pieces that never overlap or touch with the same mode.
//!
//! This is the part of fcntl(2) that splits, merges, upgrades and downgrades. A flock is a piece
//! over every byte.

use std::collections::BTreeMap;

use super::{LockMode, LockRange};
use crate::session::BootTime;

/// One piece; its first byte is its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    end: u64,
    mode: LockMode,
    pid: u32,
    since: BootTime,
}

/// A piece, as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) range: LockRange,
    pub(super) mode: LockMode,
    pub(super) pid: u32,
    pub(super) since: BootTime,
}

/// The pieces of one holder in one file, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pieces(BTreeMap<u64, Piece>);

impl Pieces {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Every piece.
    pub(super) fn iter(&self) -> impl Iterator<Item = Held> + '_ {
        self.0.iter().filter_map(|(&start, piece)| held(start, *piece))
    }

    /// The pieces that share a byte with a range.
    pub(super) fn overlapping(&self, range: LockRange) -> impl Iterator<Item = Held> + '_ {
        let first = self.0.range(..=range.start()).next_back().map_or(range.start(), |(&start, _)| start);
        self.0
            .range(first..=range.end())
            .filter_map(|(&start, piece)| held(start, *piece))
            .filter(move |piece| piece.range.overlaps(range))
    }

    /// Makes a range what is asked for, whatever it was before; `None` unlocks it.
    pub(super) fn set(&mut self, range: LockRange, mode: Option<LockMode>, pid: u32, now: BootTime) {
        self.clear(range);
        let Some(mode) = mode else { return };
        let (mut start, mut end, mut since) = (range.start(), range.end(), now);
        // A neighbour that touches with the same mode becomes part of it.
        if let Some((&before, piece)) = self.0.range(..start).next_back()
            && piece.mode == mode
            && piece.end.checked_add(1) == Some(start)
        {
            start = before;
            since = since.min(piece.since);
        }
        if let Some(after) = end.checked_add(1)
            && let Some(piece) = self.0.get(&after)
            && piece.mode == mode
        {
            end = piece.end;
            since = since.min(piece.since);
            self.0.remove(&after);
        }
        self.0.insert(start, Piece { end, mode, pid, since });
    }

    fn clear(&mut self, range: LockRange) {
        let inside: Vec<(u64, Piece)> = self.overlapping(range).map(|held| parts(&held)).collect();
        for (start, piece) in inside {
            self.0.remove(&start);
            if start < range.start() {
                self.0.insert(start, Piece { end: range.start() - 1, ..piece });
            }
            if piece.end > range.end() {
                self.0.insert(range.end() + 1, piece);
            }
        }
    }
}

fn held(start: u64, piece: Piece) -> Option<Held> {
    let Piece { end, mode, pid, since } = piece;
    LockRange::new(start, end).map(|range| Held { range, mode, pid, since })
}

fn parts(held: &Held) -> (u64, Piece) {
    let &Held { range, mode, pid, since } = held;
    (range.start(), Piece { end: range.end(), mode, pid, since })
}
