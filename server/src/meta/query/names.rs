//! Names: lookup, listing, the target of a symlink.

use std::ops::ControlFlow;

use bytes::Bytes;
use holdfast_core::attr::{Attr, FileKind};
use holdfast_core::error::{PosixError, Result};
use holdfast_core::id::{DirCookie, InodeId};
use holdfast_core::name::FileName;

use crate::meta::keys;
use crate::meta::record::entry::Listed;
use crate::meta::record::inode::NamedAt;
use crate::meta::record::text::Text;
use crate::meta::record::{damaged, decode};
use crate::meta::view::View;

/// Longest path that is shown, in bytes.
const PATH_BYTES_MAX: usize = 4096;

/// One entry of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name.
    pub name: FileName,
    /// What it leads to.
    pub ino: InodeId,
    /// The type of that.
    pub kind: FileKind,
    /// Its place in the listing: the next page begins after it.
    pub cookie: DirCookie,
    /// The inode, when asked for.
    pub attr: Option<Attr>,
}

/// A part of a listing; `.` and `..` are not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirPage {
    /// Entries in order of cookie.
    pub entries: Vec<DirEntry>,
    /// Whether the directory has none after these.
    pub end: bool,
    /// The directory's parent; the root's is itself.
    pub parent: InodeId,
}

/// What a name leads to.
///
/// # Errors
/// `NoEntry`, `NotDirectory`.
pub fn lookup(view: View<'_>, parent: InodeId, name: &FileName) -> Result<Attr> {
    match view.entry(parent, name)? {
        Some(entry) => Ok(view.referenced(entry.ino)?.attr(entry.ino)),
        // Why there is no such entry: only now is the directory itself of interest.
        None => Err(view.directory(parent).err().unwrap_or_else(|| PosixError::NoEntry.into())),
    }
}

/// What `..` leads to.
///
/// # Errors
/// `NoEntry`, `NotDirectory`; also `NoEntry` when the directory has been removed and its parent
/// after it.
pub fn lookup_parent(view: View<'_>, ino: InodeId) -> Result<Attr> {
    let parent = view.directory(ino)?.parent.unwrap_or(InodeId::ROOT);
    Ok(view.existing(parent)?.attr(parent))
}

/// A page of a listing: at most `max` entries (at least one) after `after`.
///
/// # Errors
/// `NoEntry`, also of a directory that was removed; `NotDirectory`.
pub fn list(view: View<'_>, ino: InodeId, after: DirCookie, max: usize, with_attr: bool) -> Result<DirPage> {
    let directory = view.directory(ino)?;
    if directory.nlink == 0 {
        return Err(PosixError::NoEntry.into());
    }
    let max = max.max(1);
    let mut entries: Vec<DirEntry> = Vec::new();
    let mut end = true;
    let parent = directory.parent.unwrap_or(InodeId::ROOT);
    if directory.entries == 0 {
        return Ok(DirPage { entries, end, parent });
    }
    view.scan(&keys::entries_after(ino, after), |key, value| {
        if entries.len() == max {
            end = false;
            return Ok(ControlFlow::Break(()));
        }
        let (_, cookie) = keys::split_pair(key).ok_or_else(|| damaged(key, "its key has the wrong length"))?;
        let Listed { ino, kind, name } = decode(key, &value)?;
        entries.push(DirEntry { name, ino, kind, cookie: DirCookie(cookie), attr: None });
        Ok(ControlFlow::Continue(()))
    })?;
    if with_attr {
        for entry in &mut entries {
            entry.attr = Some(view.referenced(entry.ino)?.attr(entry.ino));
        }
    }
    Ok(DirPage { entries, end, parent })
}

/// A path from the volume's root to an inode, as far as the place of the name that it was given last
/// still leads to it. `None`: the inode has no name, or another one.
///
/// # Errors
/// The engine's, and `Damaged`.
pub fn path(view: View<'_>, ino: InodeId) -> Result<Option<Vec<u8>>> {
    let (mut names, mut at, mut bytes): (Vec<FileName>, InodeId, usize) = (Vec::new(), ino, 0);
    while at != InodeId::ROOT {
        let Some(NamedAt { directory, cookie }) = view.inode(at)?.and_then(|inode| inode.named) else {
            return Ok(None);
        };
        let key = keys::cookie(directory, cookie);
        let Some(listed) = view.get(&key)?.map(|value| decode::<Listed>(&key, &value)).transpose()? else {
            return Ok(None);
        };
        bytes += listed.name.as_bytes().len() + 1;
        if listed.ino != at || bytes > PATH_BYTES_MAX {
            return Ok(None);
        }
        names.push(listed.name);
        at = directory;
    }
    let mut path = Vec::with_capacity(bytes.max(1));
    for name in names.iter().rev() {
        path.push(b'/');
        path.extend_from_slice(name.as_bytes());
    }
    Ok(Some(if path.is_empty() { b"/".to_vec() } else { path }))
}

/// The text of a symlink.
///
/// # Errors
/// `NoEntry`; `Invalid` when it is none.
pub fn readlink(view: View<'_>, ino: InodeId) -> Result<Bytes> {
    if view.existing(ino)?.kind != FileKind::Symlink {
        return Err(PosixError::Invalid.into());
    }
    let key = keys::symlink(ino);
    match view.get(&key)? {
        Some(value) => decode::<Text>(&key, &value).map(|text| text.0),
        None => Err(damaged(&key, "it is missing")),
    }
}
