//! Blocks of files on the wire: data named by its checksum.

use holdfast_core::error::Result;
use holdfast_core::hash::FrameHash;
use holdfast_core::id::{DataVersion, Epoch};
use holdfast_core::limits::{BLOCKS_MAX, FILE_BYTES_MAX, FRAME_BYTES_MAX};

use crate::data::frame_hash;
use crate::error::invalid;
use crate::v1;

/// A stretch of a file that is data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where in the file it begins.
    pub offset: u64,
    /// Its length in bytes, not 0; at most that of a frame if it has a hash.
    pub len: u32,
    /// BLAKE3 of all of it; `None`: it has no name, only the server has it.
    pub hash: Option<FrameHash>,
}

impl Block {
    /// The byte after the last.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.offset.saturating_add(self.len as u64)
    }
}

/// What a range of a file consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockMap {
    /// Where the range begins.
    pub offset: u64,
    /// In order of offset, without overlap, each at least in part within the range; what none covers reads as
    /// zeros.
    pub blocks: Vec<Block>,
    /// Bytes of the range, from its beginning, that this tells of.
    pub len: u32,
    /// The file's length at that moment.
    pub size: u64,
    /// The version of its content at that moment.
    pub data_version: DataVersion,
    /// Authority of the owner that answered, within which a version means one content.
    pub epoch: Epoch,
}

impl BlockMap {
    /// The end of what this tells of.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.offset.saturating_add(self.len as u64)
    }

    /// Reads the answer about `len` bytes at `offset`.
    ///
    /// # Errors
    /// `Invalid` when the answer does not fit the question.
    pub fn from_wire(wire: v1::BlocksResponse, offset: u64, len: u32) -> Result<Self> {
        if wire.len > len || wire.size > FILE_BYTES_MAX || wire.blocks.len() > BLOCKS_MAX {
            return Err(invalid(format!(
                "asked for the blocks of {len} bytes, the answer has {} of {} bytes of a file of {}",
                wire.blocks.len(),
                wire.len,
                wire.size
            )));
        }
        let range_end = offset.saturating_add(wire.len.into());
        let mut at = 0;
        let mut blocks = Vec::with_capacity(wire.blocks.len());
        for block in wire.blocks {
            let hash = if block.blake3.is_empty() { None } else { Some(frame_hash(&block.blake3)?) };
            let block = Block { offset: block.offset, len: block.len, hash };
            let within = block.offset >= at && block.offset < range_end && block.end() > offset;
            let whole = hash.is_none() || block.len as usize <= FRAME_BYTES_MAX;
            if !within || !whole || block.len == 0 || block.end() > wire.size {
                return Err(invalid(format!(
                    "a block of {} bytes at {} is none of the {} bytes at {offset}, or lies over another",
                    block.len, block.offset, wire.len
                )));
            }
            at = block.end();
            blocks.push(block);
        }
        Ok(Self {
            offset,
            blocks,
            len: wire.len,
            size: wire.size,
            data_version: DataVersion(wire.data_version),
            epoch: Epoch(wire.epoch),
        })
    }
}

#[cfg(test)]
mod tests;
