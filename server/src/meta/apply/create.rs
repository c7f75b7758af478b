//! creat, mkdir, symlink, mknod, O_TMPFILE.

use holdfast_core::attr::FileKind;
use holdfast_core::derive::AskedMode;
use holdfast_core::error::PosixError;
use holdfast_core::id::{DataVersion, DirCookie, InodeBlock, InodeId};
use holdfast_core::limits::LINKS_MAX;
use holdfast_core::name::FileName;
use holdfast_core::op::{NewNode, OpReply};

use super::{Decision, Txn, access, orphan};
use crate::meta::keys;
use crate::meta::record::entry::Entry;
use crate::meta::record::inode::{Inode, NamedAt};

/// A new inode under a new name. `ino`: the number that the session has given it.
pub(super) fn create(
    txn: &mut Txn<'_>,
    (parent, name): (InodeId, &FileName),
    node: &NewNode,
    mode: AskedMode,
    ino: Option<InodeId>,
) -> Decision {
    let ino = number(txn, ino)?;
    let mut directory = txn.live_directory(parent)?;
    if txn.view().entry(parent, name)?.is_some() {
        return Err(PosixError::Exists.into());
    }
    if matches!(node, NewNode::Directory) && directory.nlink >= LINKS_MAX {
        return Err(PosixError::TooManyLinks.into());
    }
    let cookie = txn.new_cookie();
    let inode = make(txn, (parent, &directory), ino, node, mode, Some(cookie))?;
    txn.put_entry(parent, name, Entry { ino, kind: inode.kind, cookie });
    directory.entries += 1;
    directory.nlink += u32::from(inode.is_directory());
    txn.touch_directory(&mut directory);
    txn.put_inode(parent, &directory);
    Ok(OpReply::Attr(inode.attr(ino)))
}

/// A new file without a name: an orphan that may get one.
pub(super) fn create_unnamed(txn: &mut Txn<'_>, parent: InodeId, mode: AskedMode) -> Decision {
    let directory = txn.live_directory(parent)?;
    let ino = new_ino(txn);
    let inode = make(txn, (parent, &directory), ino, &NewNode::File { open: true }, mode, None)?;
    txn.put(keys::orphan(ino), &orphan::unnamed());
    Ok(OpReply::Attr(inode.attr(ino)))
}

/// A new inode that takes after a directory; `cookie` is the place there of its name, if it has one.
pub(super) fn make(
    txn: &mut Txn<'_>,
    (parent, directory): (InodeId, &Inode),
    ino: InodeId,
    node: &NewNode,
    mode: AskedMode,
    cookie: Option<DirCookie>,
) -> Decision<Inode> {
    let (kind, size, rdev) = node.shape()?;
    let given = access::inherited(txn, parent, directory, kind, mode)?;
    let now = txn.context.now;
    let is_directory = kind == FileKind::Directory;
    let mut inode = Inode {
        kind,
        mode: given.mode,
        nlink: u32::from(cookie.is_some()) + u32::from(is_directory),
        uid: txn.context.caller.uid,
        gid: given.gid,
        rdev,
        size,
        allocated: 0,
        atime: now,
        mtime: now,
        ctime: now,
        btime: now,
        data_version: DataVersion(0),
        data: None,
        extent_end: 0,
        xattr_bytes: 0,
        parent: is_directory.then_some(parent),
        entries: 0,
        named: cookie.map(|cookie| NamedAt { directory: parent, cookie }),
    };
    if let NewNode::Symlink { target } = node {
        txn.put(keys::symlink(ino), &Txn::store_bytes(target));
    }
    access::give(txn, ino, &mut inode, given.access.as_ref(), given.default.as_ref())?;
    txn.put_inode(ino, &inode);
    txn.add_inode();
    Ok(inode)
}

/// The number of the inode that an operation makes: after the root's come those of the
/// operations, in the volume's order.
pub(super) const fn new_ino(txn: &Txn<'_>) -> InodeId {
    InodeId(txn.context.commit.0 + InodeId::ROOT.0)
}

/// The number that a session has chosen: from a block of a session's, and not in use.
fn number(txn: &Txn<'_>, chosen: Option<InodeId>) -> Decision<InodeId> {
    let Some(ino) = chosen else { return Ok(new_ino(txn)) };
    if !InodeBlock::is_of_first(txn.context.inode_blocks, ino) || txn.view().inode(ino)?.is_some() {
        return Err(PosixError::Invalid.into());
    }
    Ok(ino)
}
