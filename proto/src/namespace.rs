//! Answers about names: directory pages, lists of xattrs, space.

use bytes::Bytes;
use holdfast_core::attr::{Attr, FileKind};
use holdfast_core::error::{Error, Result};
use holdfast_core::id::{DirCookie, InodeId};
use holdfast_core::limits::{DIR_PAGE_ENTRIES_MAX, SYMLINK_BYTES_MAX, XATTR_LIST_BYTES_MAX, XATTR_VALUE_BYTES_MAX};
use holdfast_core::name::{FileName, XattrName};

use crate::attr::{file_kind, inode};
use crate::error::invalid;
use crate::v1;

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name.
    pub name: FileName,
    /// What it leads to.
    pub ino: InodeId,
    /// Its type.
    pub kind: FileKind,
    /// Where a listing goes on after it.
    pub cookie: DirCookie,
    /// Its attributes, when they were asked for.
    pub attr: Option<Attr>,
}

/// A stretch of a directory's listing, in order of cookies. Without `.` and `..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirPage {
    /// The names.
    pub entries: Vec<DirEntry>,
    /// Nothing comes after these.
    pub end: bool,
    /// The inode of `..`; the root's is its own.
    pub parent: InodeId,
}

impl From<&DirEntry> for v1::DirEntry {
    fn from(entry: &DirEntry) -> Self {
        Self {
            name: entry.name.clone().into_bytes(),
            ino: entry.ino.0,
            kind: v1::FileKind::from(entry.kind).into(),
            cookie: entry.cookie.0,
            attr: entry.attr.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::DirEntry> for DirEntry {
    type Error = Error;

    fn try_from(wire: v1::DirEntry) -> Result<Self> {
        let entry = Self {
            name: file_name(wire.name)?,
            ino: inode(wire.ino)?,
            kind: file_kind(wire.kind)?,
            cookie: DirCookie(wire.cookie),
            attr: wire.attr.map(Attr::try_from).transpose()?,
        };
        match &entry.attr {
            Some(attr) if attr.ino != entry.ino || attr.kind != entry.kind => {
                Err(invalid(format!("the attributes of entry {} are those of another inode", entry.name)))
            }
            _ => Ok(entry),
        }
    }
}

impl From<&DirPage> for v1::ReadDirResponse {
    fn from(page: &DirPage) -> Self {
        Self { entries: page.entries.iter().map(Into::into).collect(), end: page.end, parent: page.parent.0 }
    }
}

impl DirPage {
    /// Reads a page that was asked for from `after` on: cookies must rise from there, and a page
    /// that is not the last must bring the listing on.
    ///
    /// # Errors
    /// `Invalid` when something in it does not fit.
    pub fn from_wire(wire: v1::ReadDirResponse, after: DirCookie) -> Result<Self> {
        if wire.entries.len() > DIR_PAGE_ENTRIES_MAX {
            return Err(invalid(format!(
                "a directory page has {} entries, over {DIR_PAGE_ENTRIES_MAX}",
                wire.entries.len()
            )));
        }
        if wire.entries.is_empty() && !wire.end {
            return Err(invalid("a directory page is empty and not the last"));
        }
        let mut last = after;
        let entries = wire.entries.into_iter().map(|entry| {
            let entry = DirEntry::try_from(entry)?;
            if entry.cookie <= last {
                return Err(invalid(format!("cookies of a directory page do not rise: {} after {last}", entry.cookie)));
            }
            last = entry.cookie;
            Ok(entry)
        });
        Ok(Self { entries: entries.collect::<Result<_>>()?, end: wire.end, parent: inode(wire.parent)? })
    }
}

/// The name of a directory entry.
///
/// # Errors
/// `Invalid` for a name that no entry can have.
pub fn file_name(name: Bytes) -> Result<FileName> {
    FileName::new(name).map_err(|error| invalid(error.to_string()))
}

/// The name of an xattr.
///
/// # Errors
/// `Invalid` for a name that no xattr can have.
pub fn xattr_name(name: Bytes) -> Result<XattrName> {
    XattrName::new(name).map_err(|error| invalid(format!("xattr: {error}")))
}

/// The value of an xattr.
///
/// # Errors
/// `Invalid` when it is too long.
pub fn xattr_value(value: Bytes) -> Result<Bytes> {
    if value.len() > XATTR_VALUE_BYTES_MAX {
        return Err(invalid(format!(
            "an xattr value of {} bytes is too long; at most {XATTR_VALUE_BYTES_MAX}",
            value.len()
        )));
    }
    Ok(value)
}

/// The names of an inode's xattrs.
///
/// # Errors
/// `Invalid` when one of them cannot be, or they are too long together.
pub fn xattr_names(wire: v1::ListXattrResponse) -> Result<Vec<XattrName>> {
    let total: usize = wire.names.iter().map(|name| name.len() + 1).sum();
    if total > XATTR_LIST_BYTES_MAX {
        return Err(invalid(format!("a list of xattrs of {total} bytes is too long; at most {XATTR_LIST_BYTES_MAX}")));
    }
    wire.names.into_iter().map(xattr_name).collect()
}

/// The target of a symbolic link: 1 to 4095 bytes without NUL.
///
/// # Errors
/// `Invalid` when it does not fit.
pub fn symlink_target(target: Bytes) -> Result<Bytes> {
    if target.is_empty() || target.len() > SYMLINK_BYTES_MAX || target.contains(&0) {
        return Err(invalid(format!("a symbolic link's target has 1 to {SYMLINK_BYTES_MAX} bytes without NUL")));
    }
    Ok(target)
}

/// Space of a volume (statvfs(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FsStat {
    /// Bytes that fit in all: the quota, or the server's disk.
    pub bytes_total: u64,
    /// Bytes that are free.
    pub bytes_free: u64,
    /// Inodes that there can be in all.
    pub inodes_total: u64,
    /// Inodes that are free.
    pub inodes_free: u64,
}

impl From<FsStat> for v1::StatFsResponse {
    fn from(stat: FsStat) -> Self {
        Self {
            bytes_total: stat.bytes_total,
            bytes_free: stat.bytes_free,
            inodes_total: stat.inodes_total,
            inodes_free: stat.inodes_free,
        }
    }
}

impl From<v1::StatFsResponse> for FsStat {
    fn from(wire: v1::StatFsResponse) -> Self {
        Self {
            bytes_total: wire.bytes_total,
            bytes_free: wire.bytes_free.min(wire.bytes_total),
            inodes_total: wire.inodes_total,
            inodes_free: wire.inodes_free.min(wire.inodes_total),
        }
    }
}

#[cfg(test)]
mod tests;
