//! What an operation makes of the attributes that it touches, where that follows from what they are:
//! so that a client can answer it before the server has applied it.
//!
//! Pure. `None`: it does not follow (the file has holes, there are access lists, a limit is near), or
//! the operation fails; then the server is asked. What is foretold is what the server will do, as
//! long as nobody else changes the inodes meanwhile; the server's outcome is compared with it.
//! Directions are those of the server's `meta::apply`.

use crate::attr::{Attr, FileKind, Mode, SetAttr, SetTime};
use crate::derive::{self, AskedMode, Parent};
use crate::id::{DataVersion, InodeId};
use crate::limits::{FILE_BYTES_MAX, LINKS_MAX};
use crate::op::{Caller, NewNode, WriteAt};
use crate::range::ByteRange;
use crate::relatime;
use crate::time::Timestamp;

/// Every byte below the size takes space, as far as its attributes tell.
const fn is_dense(attr: &Attr) -> bool {
    attr.allocated == attr.size
}

/// There are no xattrs that a change would touch, and privileges need no look at who changes it.
const fn is_plain(attr: &Attr) -> bool {
    attr.no_xattrs && attr.nlink > 0 && !attr.mode.has(Mode::SETUID | Mode::SETGID)
}

/// The file after a write of `len` bytes, at least one.
#[must_use]
pub fn written(file: &Attr, at: WriteAt, len: u32, now: Timestamp) -> Option<Attr> {
    let offset = at.offset().unwrap_or(file.size);
    let range = ByteRange::new(offset, u64::from(len))?;
    if file.kind != FileKind::Regular || !is_plain(file) || !is_dense(file) || offset > file.size {
        return None;
    }
    let size = file.size.max(range.end());
    let (mtime, ctime) = if let WriteAt::WrittenBack(_) = at { (file.mtime, file.ctime) } else { (now, now) };
    Some(Attr { size, allocated: size, mtime, ctime, data_version: file.data_version.next(), ..*file })
}

/// The inode after a change of attributes.
#[must_use]
pub fn set(inode: &Attr, set: &SetAttr, now: Timestamp) -> Option<Attr> {
    if !is_plain(inode) || set.is_nothing() {
        return None;
    }
    let mut after = *inode;
    if let Some(size) = set.size {
        after = resized(&after, size)?;
        after.mtime = now;
    }
    after.uid = set.uid.unwrap_or(after.uid);
    after.gid = set.gid.unwrap_or(after.gid);
    after.mode = set.mode.unwrap_or(after.mode);
    after.atime = SetTime::chosen(set.atime, after.atime, now);
    after.mtime = SetTime::chosen(set.mtime, after.mtime, now);
    after.ctime = set.ctime.unwrap_or(now);
    Some(after)
}

/// The inode after a read.
#[must_use]
pub fn read(inode: &Attr, now: Timestamp) -> Option<Attr> {
    (inode.nlink > 0 && relatime::is_due(inode, now)).then_some(Attr { atime: now, ..*inode })
}

/// The file after an open that empties it.
#[must_use]
pub fn emptied(file: &Attr, now: Timestamp) -> Option<Attr> {
    if file.kind != FileKind::Regular || !is_plain(file) {
        return None;
    }
    let after = resized(file, 0)?;
    Some(Attr { mtime: now, ctime: now, ..after })
}

fn resized(file: &Attr, size: u64) -> Option<Attr> {
    let known = file.kind == FileKind::Regular && size <= FILE_BYTES_MAX && (size == 0 || is_dense(file));
    if !known {
        return None;
    }
    let data_version = if size == file.size { file.data_version } else { file.data_version.next() };
    Some(Attr { size, allocated: file.allocated.min(size), data_version, ..*file })
}

/// A new inode in a directory.
#[must_use]
pub fn made(
    directory: &Attr,
    ino: InodeId,
    node: &NewNode,
    asked: AskedMode,
    caller: Caller,
    now: Timestamp,
) -> Option<Attr> {
    let (kind, size, rdev) = node.shape().ok().filter(|_| !matches!(node, NewNode::Special { .. }))?;
    if directory.kind != FileKind::Directory || !directory.no_xattrs || directory.nlink == 0 {
        return None;
    }
    let parent = Parent { mode: directory.mode, gid: directory.gid, default: None };
    let given = derive::new_inode(kind, asked, caller, parent);
    Some(Attr {
        ino,
        kind,
        mode: given.mode,
        nlink: if kind == FileKind::Directory { 2 } else { 1 },
        uid: caller.uid,
        gid: given.gid,
        rdev,
        size,
        allocated: 0,
        atime: now,
        mtime: now,
        ctime: now,
        btime: now,
        data_version: DataVersion(0),
        no_xattrs: true,
    })
}

/// The directory after a name came (`1`), went (`-1`), or both (`0`), of a subdirectory or not.
#[must_use]
pub fn names_changed(directory: &Attr, subdirectories: i32, now: Timestamp) -> Option<Attr> {
    if directory.kind != FileKind::Directory || directory.nlink == 0 {
        return None;
    }
    let nlink = directory.nlink.checked_add_signed(subdirectories).filter(|count| (2..=LINKS_MAX).contains(count))?;
    Some(Attr { nlink, mtime: now, ctime: now, data_version: directory.data_version.next(), ..*directory })
}

/// A file that gets a name (`1`), loses one (`-1`), or is moved (`0`); no directory.
#[must_use]
pub fn links_changed(file: &Attr, by: i32, now: Timestamp) -> Option<Attr> {
    if file.kind == FileKind::Directory || file.nlink == 0 {
        return None;
    }
    let nlink = file.nlink.checked_add_signed(by).filter(|&count| count <= LINKS_MAX)?;
    Some(Attr { nlink, ctime: now, ..*file })
}
