//! chmod, chown, truncate, utimensat.

use holdfast_core::attr::{FileKind, SetAttr, SetTime};
use holdfast_core::error::PosixError;
use holdfast_core::id::InodeId;
use holdfast_core::limits::FILE_BYTES_MAX;
use holdfast_core::op::OpReply;
use holdfast_core::relatime;

use super::{Decision, Txn, access, extents};
use crate::meta::record::inode::Inode;

/// Changes attributes. To change nothing is chown(2) for nothing.
pub(super) fn setattr(txn: &mut Txn<'_>, ino: InodeId, set: &SetAttr) -> Decision {
    let mut inode = txn.view().existing(ino)?;
    let now = txn.context.now;
    if let Some(size) = set.size {
        match inode.kind {
            FileKind::Regular => resize(txn, &mut inode, size)?,
            FileKind::Directory => return Err(PosixError::IsDirectory.into()),
            FileKind::Symlink | FileKind::Fifo | FileKind::Socket | FileKind::CharDevice | FileKind::BlockDevice => {
                return Err(PosixError::Invalid.into());
            }
        }
        inode.mtime = now;
    }
    if set.uid.is_some() || set.gid.is_some() || set.is_nothing() {
        access::owner_changes(txn, ino, &mut inode, set.keep_setgid)?;
    } else if set.size.is_some() || set.kill_privileges {
        access::content_changes(txn, ino, &mut inode, set.kill_privileges, set.keep_setgid)?;
    }
    inode.uid = set.uid.unwrap_or(inode.uid);
    inode.gid = set.gid.unwrap_or(inode.gid);
    if let Some(mode) = set.mode {
        inode.mode = mode;
        access::chmod(txn, ino, &mut inode)?;
    }
    inode.atime = SetTime::chosen(set.atime, inode.atime, now);
    inode.mtime = SetTime::chosen(set.mtime, inode.mtime, now);
    inode.ctime = set.ctime.unwrap_or(now);
    txn.put_inode(ino, &inode);
    Ok(OpReply::Attr(inode.attr(ino)))
}

/// It was read. No time but that of access changes, and that only where it is due.
pub(super) fn touch(txn: &mut Txn<'_>, ino: InodeId) -> Decision {
    let mut inode = txn.view().existing(ino)?;
    let now = txn.context.now;
    if relatime::is_due(&inode.attr(ino), now) {
        inode.atime = now;
        txn.put_inode(ino, &inode);
    }
    Ok(OpReply::Attr(inode.attr(ino)))
}

/// Cuts a file, or lengthens it by a hole. Space past the end goes in any case.
pub(super) fn resize(txn: &mut Txn<'_>, inode: &mut Inode, size: u64) -> Decision<()> {
    if size > FILE_BYTES_MAX {
        return Err(PosixError::FileTooLarge.into());
    }
    if size == 0 {
        extents::drop_all(txn, inode)?;
    } else {
        extents::clear(txn, inode, size, u64::MAX)?;
        inode.extent_end = inode.extent_end.min(size);
    }
    if inode.size != size {
        inode.size = size;
        inode.data_version = inode.data_version.next();
    }
    Ok(())
}
