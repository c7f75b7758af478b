//! What follows a header in the archive, and where in the file it belongs.

use std::collections::VecDeque;

use holdfast_core::error::{Error, ErrorKind, Result};

use crate::header::BLOCK;
use crate::sparse::{Map, Stretch};

/// Content that is still to be read. By default: none.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// Bytes in the archive, with what fills the last block.
    left: u64,
    stretches: VecDeque<Stretch>,
    /// Each stretch fills whole blocks; else only the last one.
    in_blocks: bool,
    /// What to pass over before the next stretch.
    gap: u64,
}

impl Content {
    /// A file in one piece.
    pub(super) fn whole(size: u64) -> Self {
        let stretches = VecDeque::from([Stretch { start: 0, len: size }]);
        Self { left: filled(size), stretches, in_blocks: false, gap: 0 }
    }

    /// A file with holes, of which `size` bytes are in the archive.
    ///
    /// # Errors
    /// `Invalid`: that is not what the map needs.
    pub(super) fn mapped(map: &Map, size: u64) -> Result<Self> {
        let stretches: VecDeque<Stretch> = map.stretches().iter().copied().filter(|part| part.len > 0).collect();
        // Some writers round each stretch up to whole blocks. For those that are, it is the same.
        let in_blocks: u64 = stretches.iter().fold(0, |sum, part| sum.saturating_add(filled(part.len)));
        let in_blocks = match size {
            size if size == map.data_bytes() => false,
            size if filled(size) == in_blocks => true,
            _ => return Err(Error::new(ErrorKind::Invalid, "its length is not that of the map of its holes")),
        };
        Ok(Self { left: filled(size), stretches, in_blocks, gap: 0 })
    }

    /// Something that is passed over.
    pub(super) fn unwanted(size: u64) -> Self {
        Self { left: filled(size), ..Self::default() }
    }

    /// Where the next bytes belong, and how many: at most `most`.
    pub(super) fn next(&mut self, most: u64) -> Option<(u64, u64)> {
        let stretch = self.stretches.front_mut()?;
        let (offset, len) = (stretch.start, stretch.len.min(most));
        if len == 0 {
            return None;
        }
        stretch.start += len;
        stretch.len -= len;
        self.left = self.left.saturating_sub(len);
        if stretch.len == 0 {
            self.stretches.pop_front();
            // What is left is whole blocks, and what fills the one that this stretch ended in.
            self.gap = if self.in_blocks { self.left % BLOCK as u64 } else { 0 };
        }
        Some((offset, len))
    }

    /// Bytes to pass over after what `next` told of was read.
    pub(super) fn gap(&mut self) -> u64 {
        let gap = std::mem::take(&mut self.gap);
        self.left = self.left.saturating_sub(gap);
        gap
    }

    /// Bytes to pass over to the next header.
    pub(super) const fn rest(&self) -> u64 {
        self.left
    }
}

/// So many bytes in whole blocks.
pub(super) fn filled(size: u64) -> u64 {
    size.checked_next_multiple_of(BLOCK as u64).unwrap_or(u64::MAX)
}
