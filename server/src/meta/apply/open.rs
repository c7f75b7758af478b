//! open and close, as far as they change the volume. Who has what open is the owner's to keep.

use holdfast_core::attr::FileKind;
use holdfast_core::error::PosixError;
use holdfast_core::id::InodeId;
use holdfast_core::op::OpReply;

use super::{Decision, Txn, access, drop_orphan, setattr};

/// Checks that there is something to open; empties it if asked to.
pub(super) fn open(txn: &mut Txn<'_>, ino: InodeId, truncate: bool, kill_privileges: bool) -> Decision {
    let mut inode = txn.view().existing(ino)?;
    if truncate {
        match inode.kind {
            FileKind::Directory => return Err(PosixError::IsDirectory.into()),
            FileKind::Regular => {
                setattr::resize(txn, &mut inode, 0)?;
                inode.mtime = txn.context.now;
                inode.ctime = txn.context.now;
                access::content_changes(txn, ino, &mut inode, kill_privileges, true)?;
                txn.put_inode(ino, &inode);
            }
            FileKind::Symlink | FileKind::Fifo | FileKind::Socket | FileKind::CharDevice | FileKind::BlockDevice => {}
        }
    }
    Ok(OpReply::Attr(inode.attr(ino)))
}

/// The session closed its last handle: an inode without a name goes when nobody else has it open.
pub(super) fn close(txn: &mut Txn<'_>, ino: InodeId) -> Decision {
    if !(txn.context.is_open)(ino) {
        drop_orphan(txn, ino)?;
    }
    Ok(OpReply::Done)
}
