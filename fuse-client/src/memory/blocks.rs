//! What files consist of, as the server told: blocks by their checksums, for who has a disk cache.
//!
//! Kept in cells of one length, each of one version of its file, and found under that version only, as
//! the bytes in [`contents`](super::contents) are. The caller forgets everything when a number of a version
//! may mean another content. Bounded: what was not used for the longest time goes.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use holdfast_client::{Block, BlockMap};
use holdfast_core::id::{DataVersion, InodeId};

/// Bytes of a file in a cell: 64 frames, whose names fill a small message.
const CELL_BYTES: u64 = 4 << 20;
/// Memory that all cells take, at most about. That names the blocks of some 20 GiB.
const BYTES_MAX: usize = 16 << 20;
/// What a cell costs beside its blocks.
const CELL_COST: usize = 128;

/// A cell: which of which file.
type Place = (InodeId, u64);

/// The table, in two generations, as that of bytes.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    young: HashMap<Place, Cell>,
    old: HashMap<Place, Cell>,
    /// Of the young ones.
    weight: usize,
    /// Cells that somebody asks about.
    asked: HashSet<Place>,
}

#[derive(Debug)]
struct Cell {
    version: DataVersion,
    /// All that lie in the cell at least in part, up to the end of the file.
    blocks: Vec<Block>,
}

impl Blocks {
    /// The range to ask about, for a read of this one.
    pub(super) const fn question(range: &Range<u64>) -> Range<u64> {
        let start = range.start / CELL_BYTES * CELL_BYTES;
        start..range.end.div_ceil(CELL_BYTES).saturating_mul(CELL_BYTES)
    }

    /// Somebody asks about a range.
    pub(super) fn ask(&mut self, ino: InodeId, range: &Range<u64>) {
        self.asked.extend(cells(range).map(|number| (ino, number)));
    }

    /// He has his answer, or will have none.
    pub(super) fn asked(&mut self, ino: InodeId, range: &Range<u64>) {
        for number in cells(range) {
            self.asked.remove(&(ino, number));
        }
    }

    /// Whether somebody asks about a range, at least in part.
    pub(super) fn is_asked(&self, ino: InodeId, range: &Range<u64>) -> bool {
        !self.asked.is_empty() && cells(range).any(|number| self.asked.contains(&(ino, number)))
    }

    /// The blocks of a range of a version of a file, if all of them are known.
    pub(super) fn find(&mut self, ino: InodeId, version: DataVersion, range: &Range<u64>) -> Option<Vec<Block>> {
        let mut found: Vec<Block> = Vec::new();
        for number in cells(range) {
            let cell = self.cell((ino, number)).filter(|cell| cell.version == version)?;
            for block in cell.blocks.iter().filter(|block| block.offset < range.end && block.end() > range.start) {
                // One that lies in two cells is in both.
                if found.last().is_none_or(|last| last.offset < block.offset) {
                    found.push(*block);
                }
            }
        }
        Some(found)
    }

    /// The server told what a range consists of. Cells that it does not tell wholly are left out.
    pub(super) fn heard(&mut self, ino: InodeId, map: &BlockMap) {
        let told = map.offset..map.end();
        for number in cells(&told) {
            let cell = number * CELL_BYTES..(number + 1) * CELL_BYTES;
            if told.start > cell.start || told.end < cell.end.min(map.size) {
                continue;
            }
            let within = |block: &&Block| block.offset < cell.end && block.end() > cell.start;
            let blocks: Vec<Block> = map.blocks.iter().filter(within).copied().collect();
            self.put((ino, number), Cell { version: map.data_version, blocks });
        }
    }

    /// Nothing is known of any file.
    pub(super) fn clear(&mut self) {
        // Who asks goes on.
        *self = Self { asked: std::mem::take(&mut self.asked), ..Self::default() };
    }

    fn cell(&mut self, place: Place) -> Option<&Cell> {
        if let Some(cell) = self.old.remove(&place) {
            self.put(place, cell);
        }
        self.young.get(&place)
    }

    fn put(&mut self, place: Place, cell: Cell) {
        self.old.remove(&place);
        let weight = cell.weight();
        if self.weight + weight > BYTES_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        self.weight += weight;
        if let Some(before) = self.young.insert(place, cell) {
            self.weight -= before.weight();
        }
    }
}

impl Cell {
    fn weight(&self) -> usize {
        CELL_COST + size_of::<Block>() * self.blocks.len()
    }
}

/// The numbers of the cells in which a range lies.
fn cells(range: &Range<u64>) -> Range<u64> {
    range.start / CELL_BYTES..range.end.div_ceil(CELL_BYTES)
}

#[cfg(test)]
mod tests;
