//! How a read is put together of blocks and of what the server gives. Pure.

use std::ops::Range;

use bytes::Bytes;
use holdfast_client::{Block, BlockMap, Piece, ReadData};
use holdfast_core::hash::FrameHash;
use holdfast_core::id::{DataVersion, Epoch};
use holdfast_core::limits::{FRAME_BYTES_MAX, IO_BYTES_MAX};

use crate::disk::Wanted;

/// What was found between two stretches that were not is read again, up to so many bytes: a call costs more.
const GAP_MAX: u64 = 128 << 10;
/// A read from so many bytes on brings the blocks at its ends as a whole, so that they can be kept. Of a
/// shorter one that would be more than was asked for.
const WHOLE_FROM: u64 = FRAME_BYTES_MAX as u64;

/// A read, and what the range consists of.
#[derive(Debug)]
pub(super) struct Plan {
    /// What the answer gives.
    range: Range<u64>,
    /// What lies in it at least in part.
    blocks: Vec<Block>,
    size: u64,
    data_version: DataVersion,
    epoch: Epoch,
}

/// The blocks of a plan that are here; `None` for others.
#[derive(Debug)]
pub(super) struct Found(Vec<Option<Bytes>>);

impl Plan {
    /// A read of `len` bytes at `offset`; `None` if the map does not tell of all of them, or no block has a
    /// name.
    pub(super) fn new(map: &BlockMap, offset: u64, len: u32) -> Option<Self> {
        let end = offset.saturating_add(len.into()).min(map.size);
        let range = offset..end.max(offset);
        if map.offset > range.start || map.end() < end {
            return None;
        }
        let within = |block: &&Block| block.offset < range.end && block.end() > range.start;
        let blocks: Vec<Block> = map.blocks.iter().filter(within).copied().collect();
        let named = blocks.iter().any(|block| block.hash.is_some());
        named.then_some(Self { range, blocks, size: map.size, data_version: map.data_version, epoch: map.epoch })
    }

    /// The blocks to look for on the disk.
    pub(super) fn wanted(&self) -> Vec<Wanted> {
        let wanted = |block: &Block| block.hash.map(|hash| Wanted { hash, len: block.len });
        self.blocks.iter().filter_map(wanted).collect()
    }

    /// What was found of those.
    pub(super) fn found(&self, blocks: Vec<Option<Bytes>>) -> Found {
        let mut blocks = blocks.into_iter();
        let found = |block: &Block| block.hash.and_then(|_| blocks.next().flatten());
        Found(self.blocks.iter().map(found).collect())
    }

    /// What the server has to be asked for: offsets and lengths.
    pub(super) fn missing(&self, found: &Found) -> Vec<(u64, u32)> {
        let mut stretches: Vec<Range<u64>> = Vec::new();
        for (block, _) in self.blocks.iter().zip(&found.0).filter(|(_, found)| found.is_none()) {
            let part = block.offset.max(self.range.start)..block.end().min(self.range.end);
            match stretches.last_mut() {
                Some(last) if part.start - last.end <= GAP_MAX => last.end = part.end,
                _ => stretches.push(part),
            }
        }
        for stretch in stretches.iter_mut().filter(|stretch| stretch.end - stretch.start >= WHOLE_FROM) {
            for block in self.blocks.iter().filter(|block| block.hash.is_some()) {
                if block.offset < stretch.start && stretch.start < block.end() {
                    stretch.start = block.offset;
                }
                if block.offset < stretch.end && stretch.end < block.end() {
                    stretch.end = block.end();
                }
            }
        }
        stretches.into_iter().flat_map(reads).collect()
    }

    /// Blocks that are not on the disk yet and are all in what the server gave.
    pub(super) fn whole(&self, found: &Found, data: &ReadData) -> Vec<(FrameHash, Bytes)> {
        let mut pieces = data.pieces.iter().peekable();
        let mut whole = Vec::new();
        for (block, _) in self.blocks.iter().zip(&found.0).filter(|(_, found)| found.is_none()) {
            let Some(hash) = block.hash else { continue };
            while pieces.next_if(|piece| piece.offset < block.offset).is_some() {}
            let piece = pieces.peek().filter(|piece| piece.offset == block.offset);
            if let Some(piece) = piece.filter(|piece| piece.data.len() == block.len as usize) {
                whole.push((hash, piece.data.clone()));
            }
        }
        whole
    }

    /// The answer.
    pub(super) fn together(self, found: Found, rest: Vec<ReadData>) -> ReadData {
        let told: Vec<Range<u64>> = rest.iter().map(|data| data.offset..data.offset + u64::from(data.len)).collect();
        let blocks = self.blocks.iter().zip(found.0);
        let blocks = blocks.filter_map(|(block, data)| Some(Piece { offset: block.offset, data: data? }));
        // The server has told the same anew.
        let blocks =
            blocks.filter(|block| !told.iter().any(|range| range.contains(&block.offset.max(self.range.start))));
        let pieces = blocks.chain(rest.into_iter().flat_map(|data| data.pieces));
        let mut pieces: Vec<Piece> = pieces.filter_map(|piece| clip(piece, &self.range)).collect();
        pieces.sort_unstable_by_key(|piece| piece.offset);
        ReadData {
            offset: self.range.start,
            pieces,
            len: u32::try_from(self.range.end - self.range.start).unwrap_or(u32::MAX),
            size: self.size,
            data_version: self.data_version,
            epoch: self.epoch,
        }
    }
}

/// Cuts a stretch into reads that are not too long; it may be longer than one by the ends of two blocks.
fn reads(stretch: Range<u64>) -> impl Iterator<Item = (u64, u32)> {
    let longest = IO_BYTES_MAX as u64;
    let count = (stretch.end - stretch.start).div_ceil(longest);
    (0..count).map(move |number| {
        let start = stretch.start + number * longest;
        (start, u32::try_from(longest.min(stretch.end - start)).unwrap_or(u32::MAX))
    })
}

/// The part of a piece within a range, if any.
fn clip(piece: Piece, range: &Range<u64>) -> Option<Piece> {
    let end = piece.offset + piece.data.len() as u64;
    let (start, end) = (piece.offset.max(range.start), end.min(range.end));
    if start >= end {
        return None;
    }
    let within = |at: u64| usize::try_from(at - piece.offset).unwrap_or(usize::MAX);
    Some(Piece { offset: start, data: piece.data.slice(within(start)..within(end)) })
}

#[cfg(test)]
mod tests;
