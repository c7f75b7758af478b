//! fallocate.

use holdfast_core::error::PosixError;
use holdfast_core::id::InodeId;
use holdfast_core::op::{AllocateMode, OpReply};
use holdfast_core::range::ByteRange;

use super::{Decision, Txn, access, extents};
use crate::meta::record::extent::Content;
use crate::meta::record::inode::Inode;

/// Reserves space, or gives it back.
pub(super) fn allocate(txn: &mut Txn<'_>, ino: InodeId, range: ByteRange, mode: AllocateMode) -> Decision {
    let mut inode = txn.regular(ino)?;
    if range.is_empty() {
        return Err(PosixError::Invalid.into());
    }
    let (from, to) = (range.start(), range.end());
    let changed = match mode {
        AllocateMode::Reserve { keep_size } => {
            txn.take_space();
            for (from, to) in extents::holes(txn, &inode, from, to)? {
                extents::put(txn, &mut inode, from, &Content::Reserved { len: to - from });
            }
            grow(&mut inode, to, keep_size)
        }
        AllocateMode::PunchHole => {
            extents::clear(txn, &mut inode, from, to)?;
            true
        }
        AllocateMode::Zero { keep_size } => {
            txn.take_space();
            extents::clear(txn, &mut inode, from, to)?;
            extents::put(txn, &mut inode, from, &Content::Reserved { len: to - from });
            grow(&mut inode, to, keep_size);
            true
        }
    };
    if changed {
        inode.data_version = inode.data_version.next();
    }
    inode.mtime = txn.context.now;
    inode.ctime = txn.context.now;
    access::content_changes(txn, ino, &mut inode, false, false)?;
    txn.put_inode(ino, &inode);
    Ok(OpReply::Attr(inode.attr(ino)))
}

/// Lengthens the file to `end` unless its size is to stay; whether it did.
const fn grow(inode: &mut Inode, end: u64, keep_size: bool) -> bool {
    let grows = !keep_size && end > inode.size;
    if grows {
        inode.size = end;
    }
    grows
}
