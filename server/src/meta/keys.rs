//! Which key holds what. All integers are big-endian, so keys sort as their numbers do.
//!
//! Every key but the header's begins with a tag and a number of eight bytes: the prefix by which
//! the engine's filters know quickly that there is nothing. docs/FORMAT.md has the whole table.

use std::fmt;

use holdfast_core::id::{DirCookie, InodeId, SegmentId, SessionId};
use holdfast_core::name::{FileName, XattrName};

/// The bytes of a key.
pub type Key = Vec<u8>;

/// Tag and number, shared by all keys of one inode, data id, session...
pub const PREFIX_BYTES: usize = 9;

/// What extents belong to: the content of one file, until it is truncated to nothing or deleted.
///
/// It is the number of the operation that first wrote to it, so it is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataId(pub u64);

impl fmt::Display for DataId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Keys from `from` (included) to `to` (excluded).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// First key.
    pub from: Key,
    /// The key after the last.
    pub to: Key,
}

impl KeyRange {
    /// All keys that begin so. The prefix is not all `0xff`: a tag never is.
    #[must_use]
    pub fn with_prefix(prefix: Key) -> Self {
        Self { to: successor(&prefix), from: prefix }
    }
}

/// The first key after all keys that begin with `prefix`.
#[must_use]
pub fn successor(prefix: &[u8]) -> Key {
    let mut key = prefix.to_vec();
    while let Some(last) = key.pop() {
        if last < u8::MAX {
            key.push(last + 1);
            return key;
        }
    }
    vec![u8::MAX; prefix.len() + 1]
}

/// The kind of record, the first byte of its key.
pub mod tag {
    /// Header of the volume.
    pub const HEADER: u8 = b'H';
    /// Inode.
    pub const INODE: u8 = b'I';
    /// Directory entry by name.
    pub const ENTRY: u8 = b'D';
    /// Directory entry by cookie.
    pub const COOKIE: u8 = b'C';
    /// Target of a symlink.
    pub const SYMLINK: u8 = b'L';
    /// Extended attribute.
    pub const XATTR: u8 = b'X';
    /// Extent.
    pub const EXTENT: u8 = b'E';
    /// Inode without a name.
    pub const ORPHAN: u8 = b'O';
    /// Data whose file is gone.
    pub const DEAD: u8 = b'R';
    /// Session.
    pub const SESSION: u8 = b'S';
    /// Segment.
    pub const SEGMENT: u8 = b'G';
}

fn numbered(tag: u8, number: u64, more: usize) -> Key {
    let mut key = Vec::with_capacity(PREFIX_BYTES + more);
    key.push(tag);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

fn numbered_with(tag: u8, number: u64, rest: &[u8]) -> Key {
    let mut key = numbered(tag, number, rest.len());
    key.extend_from_slice(rest);
    key
}

/// The header.
#[must_use]
pub fn header() -> Key {
    vec![tag::HEADER]
}

/// An inode.
#[must_use]
pub fn inode(ino: InodeId) -> Key {
    numbered(tag::INODE, ino.0, 0)
}

/// An entry by name.
#[must_use]
pub fn entry(parent: InodeId, name: &FileName) -> Key {
    numbered_with(tag::ENTRY, parent.0, name.as_bytes())
}

/// An entry by its place in the listing.
#[must_use]
pub fn cookie(parent: InodeId, cookie: DirCookie) -> Key {
    numbered_with(tag::COOKIE, parent.0, &cookie.0.to_be_bytes())
}

/// The entries of a directory after a place in the listing.
#[must_use]
pub fn entries_after(parent: InodeId, after: DirCookie) -> KeyRange {
    KeyRange { from: cookie(parent, after.next()), to: successor(&numbered(tag::COOKIE, parent.0, 0)) }
}

/// The entries of a directory in order of names, behind one of them or all.
#[must_use]
pub fn entries_by_name(parent: InodeId, after: Option<&FileName>) -> KeyRange {
    let all = numbered(tag::ENTRY, parent.0, 0);
    let from = match after {
        // The next key that there can be: the name and a byte more.
        Some(name) => numbered_with(tag::ENTRY, parent.0, &[name.as_bytes(), &[0]].concat()),
        None => all.clone(),
    };
    KeyRange { from, to: successor(&all) }
}

/// The target of a symlink.
#[must_use]
pub fn symlink(ino: InodeId) -> Key {
    numbered(tag::SYMLINK, ino.0, 0)
}

/// An xattr.
#[must_use]
pub fn xattr(ino: InodeId, name: &XattrName) -> Key {
    numbered_with(tag::XATTR, ino.0, name.as_bytes())
}

/// All xattrs of an inode.
#[must_use]
pub fn xattrs(ino: InodeId) -> KeyRange {
    KeyRange::with_prefix(numbered(tag::XATTR, ino.0, 0))
}

/// The extent that ends at `end` (the offset after its last byte).
///
/// By end and not by start, so that one forward scan finds every extent that reaches into a range.
#[must_use]
pub fn extent(data: DataId, end: u64) -> Key {
    numbered_with(tag::EXTENT, data.0, &end.to_be_bytes())
}

/// The extents that end after `offset`.
#[must_use]
pub fn extents_past(data: DataId, offset: u64) -> KeyRange {
    KeyRange { from: extent(data, offset.saturating_add(1)), to: successor(&numbered(tag::EXTENT, data.0, 0)) }
}

/// The mark of an inode without a name.
#[must_use]
pub fn orphan(ino: InodeId) -> Key {
    numbered(tag::ORPHAN, ino.0, 0)
}

/// The mark of data whose file is gone.
#[must_use]
pub fn dead(data: DataId) -> Key {
    numbered(tag::DEAD, data.0, 0)
}

/// A session.
#[must_use]
pub fn session(id: SessionId) -> Key {
    let mut key = vec![tag::SESSION];
    key.extend_from_slice(&id.0);
    key
}

/// A segment.
#[must_use]
pub fn segment(id: SegmentId) -> Key {
    numbered(tag::SEGMENT, id.0, 0)
}

/// All keys of one kind.
#[must_use]
pub fn all(tag: u8) -> KeyRange {
    KeyRange::with_prefix(vec![tag])
}

/// All keys of one kind whose number is at least `from` and less than `to`.
#[must_use]
pub fn between(tag: u8, from: u64, to: Option<u64>) -> KeyRange {
    let to = to.map_or_else(|| successor(&[tag]), |to| numbered(tag, to, 0));
    KeyRange { from: if from == 0 { vec![tag] } else { numbered(tag, from, 0) }, to }
}

/// The number after the tag, and what follows it; `None` for a key that is too short.
#[must_use]
pub fn split(key: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = key.get(1..)?.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*number), rest))
}

/// The two numbers of a cookie's or an extent's key.
#[must_use]
pub fn split_pair(key: &[u8]) -> Option<(u64, u64)> {
    let (first, rest) = split(key)?;
    Some((first, u64::from_be_bytes(rest.try_into().ok()?)))
}

/// A key as a person reads it: `I 12`, `D 1 "name"`, `E 7 65536`.
#[must_use]
pub fn describe(key: &[u8]) -> String {
    let Some((&first, rest)) = key.split_first() else {
        return "an empty key".to_owned();
    };
    let letter = char::from(first);
    match (first, split(key)) {
        (tag::SESSION, _) | (_, None) => format!("{letter} {}", rest.escape_ascii()),
        (tag::COOKIE | tag::EXTENT, Some((number, after))) => match <[u8; 8]>::try_from(after) {
            Ok(second) => format!("{letter} {number} {}", u64::from_be_bytes(second)),
            Err(_) => format!("{letter} {number} {}", after.escape_ascii()),
        },
        (_, Some((number, []))) => format!("{letter} {number}"),
        (_, Some((number, name))) => format!("{letter} {number} \"{}\"", name.escape_ascii()),
    }
}

#[cfg(test)]
mod tests;
