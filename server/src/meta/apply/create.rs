//! creat, mkdir, symlink, mknod.

use holdfast_core::attr::{FileKind, Mode};
use holdfast_core::error::PosixError;
use holdfast_core::id::{DataVersion, InodeId};
use holdfast_core::limits::{LINKS_MAX, SYMLINK_BYTES_MAX};
use holdfast_core::name::FileName;
use holdfast_core::op::{NewNode, OpReply};

use super::{Decision, Txn};
use crate::meta::keys;
use crate::meta::record::entry::Entry;
use crate::meta::record::inode::{DIRECTORY_BYTES, Inode, NamedAt};

/// A new inode under a new name.
pub(super) fn create(txn: &mut Txn<'_>, parent: InodeId, name: &FileName, node: &NewNode, mode: Mode) -> Decision {
    let mut directory = txn.live_directory(parent)?;
    if txn.view().entry(parent, name)?.is_some() {
        return Err(PosixError::Exists.into());
    }
    let ino = new_ino(txn);
    let (kind, size, rdev) = shape(node)?;
    if kind == FileKind::Directory && directory.nlink >= LINKS_MAX {
        return Err(PosixError::TooManyLinks.into());
    }
    let (gid, mode) = inherit(txn, &directory, kind, mode);
    let now = txn.context.now;
    let is_directory = kind == FileKind::Directory;
    let cookie = txn.new_cookie();
    let inode = Inode {
        kind,
        mode,
        nlink: if is_directory { 2 } else { 1 },
        uid: txn.context.caller.uid,
        gid,
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
        named: Some(NamedAt { directory: parent, cookie }),
    };
    if let NewNode::Symlink { target } = node {
        txn.put(keys::symlink(ino), &Txn::store_bytes(target));
    }
    txn.put_inode(ino, &inode);
    txn.add_inode();
    txn.put_entry(parent, name, Entry { ino, kind, cookie });
    directory.entries += 1;
    directory.nlink += u32::from(is_directory);
    txn.touch_directory(&mut directory);
    txn.put_inode(parent, &directory);
    Ok(OpReply::Attr(inode.attr(ino)))
}

/// The number of the inode that an operation makes: after the root's come those of the
/// operations, in the volume's order.
const fn new_ino(txn: &Txn<'_>) -> InodeId {
    InodeId(txn.context.commit.0 + InodeId::ROOT.0)
}

/// Type, size and device number of a new node.
fn shape(node: &NewNode) -> Result<(FileKind, u64, u32), PosixError> {
    match node {
        NewNode::File { .. } => Ok((FileKind::Regular, 0, 0)),
        NewNode::Directory => Ok((FileKind::Directory, DIRECTORY_BYTES, 0)),
        NewNode::Symlink { target } => match target.len() {
            0 => Err(PosixError::NoEntry),
            1..=SYMLINK_BYTES_MAX if target.contains(&0) => Err(PosixError::Invalid),
            len @ 1..=SYMLINK_BYTES_MAX => Ok((FileKind::Symlink, len as u64, 0)),
            _ => Err(PosixError::NameTooLong),
        },
        NewNode::Special { kind: kind @ (FileKind::CharDevice | FileKind::BlockDevice), rdev } => Ok((*kind, 0, *rdev)),
        NewNode::Special { kind: kind @ (FileKind::Fifo | FileKind::Socket), .. } => Ok((*kind, 0, 0)),
        NewNode::Special { kind: FileKind::Regular | FileKind::Directory | FileKind::Symlink, .. } => {
            Err(PosixError::Invalid)
        }
    }
}

/// Group and mode: a set-group-id directory passes its group on, and the bit to directories.
const fn inherit(txn: &Txn<'_>, directory: &Inode, kind: FileKind, mode: Mode) -> (u32, Mode) {
    let mode = match kind {
        FileKind::Symlink => Mode::from_bits(0o777),
        FileKind::Directory if directory.mode.has(Mode::SETGID) => {
            Mode::from_bits(mode.bits() as u32 | Mode::SETGID as u32)
        }
        _ => mode,
    };
    let gid = if directory.mode.has(Mode::SETGID) { directory.gid } else { txn.context.caller.gid };
    (gid, mode)
}
