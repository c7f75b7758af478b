//! copy_file_range: the destination points to the source's frames; no data moves.

use holdfast_core::error::PosixError;
use holdfast_core::id::InodeId;
use holdfast_core::op::{COPY_BYTES_MAX, OpReply};
use holdfast_core::range::ByteRange;

use super::{Decision, Txn, extents, write};
use crate::meta::query::Extent;
use crate::meta::record::extent::Content;

/// Extents that one call copies; a badly fragmented file takes several calls.
const EXTENTS_MAX: usize = 8192;

/// Copies up to `len` bytes between two offsets. Holes, and reserved space, become holes.
pub(super) fn copy(txn: &mut Txn<'_>, from: (InodeId, u64), to: (InodeId, u64), len: u64) -> Decision {
    let source = txn.regular(from.0)?;
    let mut target = txn.regular(to.0)?;
    let wanted = len.min(COPY_BYTES_MAX).min(source.size.saturating_sub(from.1));
    if wanted == 0 {
        return Ok(OpReply::Copied { len: 0, attr: target.attr(to.0) });
    }
    let copied: Vec<Extent> = match source.data {
        Some(data) => txn.view().extents(data, from.1, from.1.saturating_add(wanted), EXTENTS_MAX)?,
        None => Vec::new(),
    };
    let len = match copied.last() {
        Some(last) if copied.len() == EXTENTS_MAX => wanted.min(last.end().saturating_sub(from.1)),
        _ => wanted,
    };
    let source_range = ByteRange::new(from.1, len).ok_or(PosixError::FileTooLarge)?;
    let range = ByteRange::new(to.1, len).ok_or(PosixError::FileTooLarge)?;
    if from.0 == to.0 && source_range.overlaps(range) {
        return Err(PosixError::Invalid.into());
    }
    txn.take_space();
    extents::clear(txn, &mut target, range.start(), range.end())?;
    for extent in copied.iter().filter_map(|extent| extent.clip(source_range.start(), source_range.end())) {
        if !matches!(extent.content, Content::Reserved { .. }) {
            let start = extent.start - source_range.start() + range.start();
            extents::put(txn, &mut target, start, &extent.content);
        }
    }
    write::changed(txn, to.0, &mut target, range.end(), false)?;
    txn.put_inode(to.0, &target);
    Ok(OpReply::Copied { len, attr: target.attr(to.0) })
}
