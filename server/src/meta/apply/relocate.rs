//! Extents that point to another place of the same bytes: for compaction.
//!
//! Only where the bytes are changes, and the accounts of the segments with it: no time, no version, no sum
//! of the file or the volume, and no extent's bounds.

use holdfast_core::error::Result;

use super::Txn;
use crate::meta::keys::{self, DataId};
use crate::meta::record::extent::{Content, Frame};

/// Extents of one file that may have come of one, at most.
const PIECES_MAX: usize = 1024;

/// A part of a frame that is a frame of its own now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relocation {
    /// The frame that it was in.
    pub from: Frame,
    /// First byte of that frame's content.
    pub skip: u32,
    /// Its bytes, all of them.
    pub to: Frame,
}

impl Relocation {
    /// Where an extent of the old frame begins in the new one, if it is there with all its bytes.
    fn place(&self, skip: u32, len: u32) -> Option<u32> {
        let place = skip.checked_sub(self.skip)?;
        (u64::from(place) + u64::from(len) <= u64::from(self.to.len)).then_some(place)
    }
}

/// Points the extents of `data` within `from..to` that point into relocated parts to their new place; those
/// that were written over, cut or removed meanwhile are as they are now. How many it has changed.
///
/// # Errors
/// The engine's, and `Damaged`.
pub fn relocate(txn: &mut Txn<'_>, data: DataId, range: (u64, u64), parts: &[Relocation]) -> Result<usize> {
    let mut changed = 0;
    for extent in txn.view().extents(data, range.0, range.1, PIECES_MAX)? {
        let Content::Framed { frame, skip, len } = extent.content else { continue };
        let place = |part: &Relocation| part.place(skip, len).map(|place| (part.to, place));
        let Some((to, place)) = parts.iter().filter(|part| part.from == frame).find_map(place) else { continue };
        txn.unrefer(&frame, len);
        txn.refer(&to, len);
        txn.put(keys::extent(data, extent.end()), &Content::Framed { frame: to, skip: place, len });
        changed += 1;
    }
    Ok(changed)
}
