//! The extents of a file under change: every byte of space is counted here and nowhere else.

use holdfast_core::error::Result;

use super::Txn;
use crate::meta::keys::{self, DataId};
use crate::meta::query::Extent;
use crate::meta::record::extent::Content;
use crate::meta::record::inode::Inode;

/// Extents that are looked at in one go.
const CHUNK: usize = 1024;
/// A file with up to this many extents gives them back at once; a larger one by the reaper.
const DROP_AT_ONCE_MAX: usize = 16;

/// What the file's extents are keyed by; it begins to have some now if it had none.
fn data_of(txn: &Txn<'_>, inode: &mut Inode) -> DataId {
    *inode.data.get_or_insert(DataId(txn.context.commit.0))
}

/// Adds an extent where there is none.
pub(super) fn put(txn: &mut Txn<'_>, inode: &mut Inode, start: u64, content: &Content) {
    let len = content.len();
    let data = data_of(txn, inode);
    if let Content::Framed { frame, len, .. } = content {
        txn.refer(frame, *len);
    }
    txn.put(keys::extent(data, start + len), content);
    inode.allocated += len;
    inode.extent_end = inode.extent_end.max(start + len);
    txn.add_bytes(len);
}

/// Takes an extent away.
pub(super) fn remove(txn: &mut Txn<'_>, inode: &mut Inode, data: DataId, extent: &Extent) {
    let len = extent.content.len();
    forget(txn, data, extent);
    inode.allocated = inode.allocated.saturating_sub(len);
    txn.free_bytes(len);
}

/// Takes an extent away whose bytes are no longer counted.
pub(super) fn forget(txn: &mut Txn<'_>, data: DataId, extent: &Extent) {
    if let Content::Framed { frame, len, .. } = &extent.content {
        txn.unrefer(frame, *len);
    }
    txn.delete(keys::extent(data, extent.end()));
}

/// Makes `from..to` a hole; extents that reach into it are cut.
pub(super) fn clear(txn: &mut Txn<'_>, inode: &mut Inode, from: u64, to: u64) -> Result<()> {
    let Some(data) = inode.data else { return Ok(()) };
    let mut at = from;
    while at < to.min(inode.extent_end) {
        let found = txn.view().extents(data, at, to, CHUNK)?;
        let Some(last) = found.last() else { break };
        at = last.end();
        for extent in &found {
            remove(txn, inode, data, extent);
            for part in [extent.clip(0, from), extent.clip(to, u64::MAX)].into_iter().flatten() {
                put(txn, inode, part.start, &part.content);
            }
        }
        if found.len() < CHUNK {
            break;
        }
    }
    Ok(())
}

/// The stretches of `from..to` that no extent covers, in order.
pub(super) fn holes(txn: &Txn<'_>, inode: &Inode, from: u64, to: u64) -> Result<Vec<(u64, u64)>> {
    let mut holes = Vec::new();
    let mut at = from;
    while let Some(data) = inode.data
        && at < to.min(inode.extent_end)
    {
        let found = txn.view().extents(data, at, to, CHUNK)?;
        for extent in &found {
            if extent.start > at {
                holes.push((at, extent.start));
            }
            at = extent.end();
        }
        if found.len() < CHUNK {
            break;
        }
    }
    if at < to {
        holes.push((at, to));
    }
    Ok(holes)
}

/// The file has no content any more. Takes no time by its size: its space counts as free at once,
/// and the reaper removes the extents of a large one.
pub(super) fn drop_all(txn: &mut Txn<'_>, inode: &mut Inode) -> Result<()> {
    let Some(data) = inode.data.take() else { return Ok(()) };
    let found = txn.view().extents(data, 0, u64::MAX, DROP_AT_ONCE_MAX + 1)?;
    if found.len() <= DROP_AT_ONCE_MAX {
        found.iter().for_each(|extent| forget(txn, data, extent));
    } else {
        txn.bury(data);
    }
    txn.free_bytes(inode.allocated);
    inode.allocated = 0;
    inode.extent_end = 0;
    Ok(())
}
