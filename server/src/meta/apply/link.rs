//! link, unlink, rmdir.

use holdfast_core::error::PosixError;
use holdfast_core::id::InodeId;
use holdfast_core::limits::LINKS_MAX;
use holdfast_core::name::FileName;
use holdfast_core::op::OpReply;

use super::{Decision, Txn, orphan};
use crate::meta::keys;
use crate::meta::record::entry::Entry;
use crate::meta::record::inode::NamedAt;

/// Another name for a file.
pub(super) fn link(txn: &mut Txn<'_>, ino: InodeId, parent: InodeId, name: &FileName) -> Decision {
    let mut inode = txn.view().existing(ino)?;
    let mut directory = txn.live_directory(parent)?;
    if txn.view().entry(parent, name)?.is_some() {
        return Err(PosixError::Exists.into());
    }
    if inode.is_directory() {
        return Err(PosixError::NotPermitted.into());
    }
    if inode.nlink == 0 {
        if !orphan::may_get_name(txn, ino)? {
            return Err(PosixError::NoEntry.into());
        }
        txn.delete(keys::orphan(ino));
    }
    if inode.nlink >= LINKS_MAX {
        return Err(PosixError::TooManyLinks.into());
    }
    txn.take_space();
    inode.nlink += 1;
    inode.ctime = txn.context.now;
    let cookie = txn.new_cookie();
    inode.named = Some(NamedAt { directory: parent, cookie });
    txn.put_inode(ino, &inode);
    txn.put_entry(parent, name, Entry { ino, kind: inode.kind, cookie });
    directory.entries += 1;
    txn.touch_directory(&mut directory);
    txn.put_inode(parent, &directory);
    Ok(OpReply::Attr(inode.attr(ino)))
}

/// Takes a name away; with the last one goes the file, once nobody has it open.
pub(super) fn unlink(txn: &mut Txn<'_>, parent: InodeId, name: &FileName) -> Decision {
    let mut directory = txn.view().directory(parent)?;
    let entry = txn.entry(parent, name)?;
    let mut inode = txn.view().referenced(entry.ino)?;
    if inode.is_directory() {
        return Err(PosixError::IsDirectory.into());
    }
    txn.delete_entry(parent, name, entry.cookie);
    directory.entries = directory.entries.saturating_sub(1);
    txn.touch_directory(&mut directory);
    txn.put_inode(parent, &directory);
    inode.nlink = inode.nlink.saturating_sub(1);
    inode.ctime = txn.context.now;
    if inode.nlink == 0 {
        txn.release(entry.ino, inode)?;
    } else {
        txn.put_inode(entry.ino, &inode);
    }
    Ok(OpReply::Done)
}

/// Takes an empty directory away.
pub(super) fn rmdir(txn: &mut Txn<'_>, parent: InodeId, name: &FileName) -> Decision {
    let mut directory = txn.view().directory(parent)?;
    let entry = txn.entry(parent, name)?;
    let mut inode = txn.view().referenced(entry.ino)?;
    if !inode.is_directory() {
        return Err(PosixError::NotDirectory.into());
    }
    if inode.entries > 0 {
        return Err(PosixError::NotEmpty.into());
    }
    txn.delete_entry(parent, name, entry.cookie);
    directory.entries = directory.entries.saturating_sub(1);
    directory.nlink = directory.nlink.saturating_sub(1);
    txn.touch_directory(&mut directory);
    txn.put_inode(parent, &directory);
    inode.nlink = 0;
    inode.ctime = txn.context.now;
    txn.release(entry.ino, inode)?;
    Ok(OpReply::Done)
}
