//! What a walk reads from: a session with a server, or a volume's own files.

use std::collections::VecDeque;

use bytes::Bytes;
use holdfast_core::attr::Attr;
use holdfast_core::error::Result;
use holdfast_core::id::{DataVersion, DirCookie, InodeId};
use holdfast_core::name::{FileName, XattrName};

/// Where in a directory's listing one reads on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At its beginning.
    Start,
    /// Behind this cookie.
    Cookie(DirCookie),
    /// Among the names, behind this one; `None`: from the first on.
    Name(Option<FileName>),
}

/// An entry of a directory.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name.
    pub name: FileName,
    /// What it leads to.
    pub attr: Attr,
    /// Where the listing goes on behind it.
    pub place: Place,
}

/// A part of a listing.
#[derive(Debug, Default)]
pub struct Page {
    /// In order.
    pub entries: VecDeque<Listed>,
    /// Where it goes on; `None`: that was all.
    pub next: Option<Place>,
    /// What should be there and cannot be read, in words.
    pub lost: Vec<String>,
}

/// The xattrs of an inode.
#[derive(Debug, Default)]
pub struct Xattrs {
    /// Names and values.
    pub xattrs: Vec<(XattrName, Bytes)>,
    /// What should be there and cannot be read, in words.
    pub lost: Vec<String>,
}

/// Bytes of a file that are zeros in place of what was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// First byte.
    pub from: u64,
    /// The byte after the last.
    pub to: u64,
    /// What was found.
    pub why: String,
}

/// Bytes of a file.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The bytes, holes as zeros; fewer than asked for only at the end of the file.
    pub data: Bytes,
    /// The version of the file's content at that moment.
    pub version: DataVersion,
    /// What of it is not as it was, in order.
    pub damage: Vec<Damage>,
}

/// A tree.
///
/// Errors: `Posix(NoEntry)` is something that is not there any more, `Damaged` something that cannot be
/// read for good. Both concern that one thing; any other ends the walk.
pub trait Source {
    /// Attributes of an inode, as they are now.
    ///
    /// # Errors
    /// See the trait; so for all that follow.
    fn attr(&mut self, ino: InodeId) -> Result<Attr>;

    /// A part of a directory's listing.
    ///
    /// # Errors
    /// See the trait.
    fn list(&mut self, directory: InodeId, place: &Place) -> Result<Page>;

    /// These will be asked for next, in this order.
    fn expect(&mut self, entries: &VecDeque<Listed>) {
        let _ = entries;
    }

    /// The text of a symbolic link.
    ///
    /// # Errors
    /// See the trait.
    fn target(&mut self, ino: InodeId) -> Result<Bytes>;

    /// All xattrs.
    ///
    /// # Errors
    /// See the trait.
    fn xattrs(&mut self, ino: InodeId) -> Result<Xattrs>;

    /// At most `len` bytes (up to `IO_BYTES_MAX`) from `offset`; the caller goes on up to `until`.
    ///
    /// # Errors
    /// See the trait.
    fn read(&mut self, ino: InodeId, offset: u64, len: u32, until: u64) -> Result<Piece>;

    /// The next data at or behind `from` and before `size`, from its first byte to the one after its last.
    ///
    /// # Errors
    /// See the trait.
    fn next_data(&mut self, ino: InodeId, from: u64, size: u64) -> Result<Option<(u64, u64)>>;
}
