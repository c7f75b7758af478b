//! write.

use bytes::{Bytes, BytesMut};
use holdfast_core::error::PosixError;
use holdfast_core::id::InodeId;
use holdfast_core::limits::INLINE_BYTES_MAX;
use holdfast_core::op::{OpReply, WriteAt, WriteData};
use holdfast_core::range::ByteRange;

use super::{Decision, Txn, access, extents};
use crate::meta::keys;
use crate::meta::query::Extent;
use crate::meta::record::decode;
use crate::meta::record::extent::{Content, Frame};
use crate::meta::record::inode::Inode;

/// Small writes that follow each other (a log, say) grow one extent up to this length.
const GROWN_EXTENT_BYTES_MAX: usize = 4096;

/// Writes bytes into a regular file.
pub(super) fn write(
    txn: &mut Txn<'_>,
    ino: InodeId,
    at: WriteAt,
    data: &WriteData,
    staged: &[Frame],
    kill_privileges: bool,
) -> Decision {
    let mut inode = txn.regular(ino)?;
    let offset = at.offset().unwrap_or(inode.size);
    let len = match data {
        WriteData::Inline(bytes) if bytes.len() > INLINE_BYTES_MAX => return Err(PosixError::Invalid.into()),
        WriteData::Inline(bytes) => u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        WriteData::Staged { len, .. } => *len,
    };
    // What a mapping has behind the end of the file is not the file's (mmap(2)). The kernel sends it when
    // it has not heard yet that another host has made the file shorter.
    let kept = match at {
        WriteAt::Mapped(_) => inode.size.saturating_sub(offset).min(u64::from(len)),
        WriteAt::Offset(_) | WriteAt::End | WriteAt::WrittenBack(_) => u64::from(len),
    };
    if kept == 0 {
        return Ok(OpReply::Written { offset, len, attr: inode.attr(ino) });
    }
    let range = ByteRange::new(offset, kept).ok_or(PosixError::FileTooLarge)?;
    txn.take_space();
    extents::clear(txn, &mut inode, range.start(), range.end())?;
    match data {
        WriteData::Inline(bytes) => {
            let kept = bytes.slice(..usize::try_from(kept).unwrap_or(bytes.len()));
            put_inline(txn, &mut inode, offset, &kept)?;
        }
        WriteData::Staged { .. } => put_frames(txn, &mut inode, range, staged),
    }
    grew(&mut inode, range.end());
    if !matches!(at, WriteAt::WrittenBack(_)) {
        happened_now(txn, &mut inode);
    }
    if !matches!(at, WriteAt::Mapped(_)) {
        takes_privileges(txn, ino, &mut inode, kill_privileges)?;
    }
    txn.put_inode(ino, &inode);
    Ok(OpReply::Written { offset, len, attr: inode.attr(ino) })
}

/// The content of a file changed, and reaches at least to `end`.
pub(super) fn changed(
    txn: &mut Txn<'_>,
    ino: InodeId,
    inode: &mut Inode,
    end: u64,
    kill_privileges: bool,
) -> Decision<()> {
    grew(inode, end);
    happened_now(txn, inode);
    takes_privileges(txn, ino, inode, kill_privileges)
}

fn grew(inode: &mut Inode, end: u64) {
    inode.size = inode.size.max(end);
    inode.data_version = inode.data_version.next();
}

fn happened_now(txn: &Txn<'_>, inode: &mut Inode) {
    inode.mtime = txn.context.now;
    inode.ctime = txn.context.now;
}

fn takes_privileges(txn: &mut Txn<'_>, ino: InodeId, inode: &mut Inode, kill_privileges: bool) -> Decision<()> {
    // Set-group-id without execution is the client's to take away, who knows the writer's groups.
    access::content_changes(txn, ino, inode, kill_privileges, true)
}

/// Puts as much of the frames as the range takes.
fn put_frames(txn: &mut Txn<'_>, inode: &mut Inode, range: ByteRange, frames: &[Frame]) {
    let mut at = range.start();
    for frame in frames {
        let len = u32::try_from(range.end() - at).map_or(frame.len, |left| left.min(frame.len));
        if len == 0 {
            break;
        }
        extents::put(txn, inode, at, &Content::Framed { frame: *frame, skip: 0, len });
        at += u64::from(len);
    }
}

fn put_inline(txn: &mut Txn<'_>, inode: &mut Inode, offset: u64, bytes: &Bytes) -> Decision<()> {
    if let Some((before, grown)) = grow(txn, inode, offset, bytes)? {
        if let Some(data) = inode.data {
            extents::remove(txn, inode, data, &before);
        }
        extents::put(txn, inode, before.start, &Content::Inline(grown));
    } else {
        extents::put(txn, inode, offset, &Content::Inline(bytes.clone()));
    }
    Ok(())
}

/// The small inline extent that ends where these bytes begin, and what the two make together.
fn grow(txn: &Txn<'_>, inode: &Inode, offset: u64, bytes: &Bytes) -> Decision<Option<(Extent, Bytes)>> {
    let Some(data) = inode.data.filter(|_| offset > 0 && bytes.len() < GROWN_EXTENT_BYTES_MAX) else {
        return Ok(None);
    };
    let key = keys::extent(data, offset);
    let Some(value) = txn.view().get(&key)? else { return Ok(None) };
    let content: Content = decode(&key, &value)?;
    match &content {
        Content::Inline(before) if before.len() + bytes.len() <= GROWN_EXTENT_BYTES_MAX => {
            let mut grown = BytesMut::with_capacity(before.len() + bytes.len());
            grown.extend_from_slice(before);
            grown.extend_from_slice(bytes);
            let start = offset.saturating_sub(before.len() as u64);
            Ok(Some((Extent { start, content }, grown.freeze())))
        }
        Content::Inline(_) | Content::Framed { .. } | Content::Reserved { .. } => Ok(None),
    }
}
