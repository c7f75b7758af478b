//! An inode.

use bytes::Bytes;
use holdfast_core::attr::{Attr, FileKind, Mode};
use holdfast_core::id::{DataVersion, DirCookie, InodeId};
use holdfast_core::limits::FILE_BYTES_MAX;
use holdfast_core::time::Timestamp;

use super::codec::{Decoder, Encoder};
use super::{Malformed, Record};
use crate::meta::keys::DataId;

/// Everything that is known of an inode, but its names, xattrs, target and extents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    /// Its type.
    pub kind: FileKind,
    /// Its permissions.
    pub mode: Mode,
    /// Names; of a directory 2 and its subdirectories; 0 when it has no name any more.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device, else 0.
    pub rdev: u32,
    /// Bytes of content; of a directory always [`DIRECTORY_BYTES`].
    pub size: u64,
    /// Lengths of its extents together; only of a regular file.
    pub allocated: u64,
    /// Last read.
    pub atime: Timestamp,
    /// Last change of content.
    pub mtime: Timestamp,
    /// Last change.
    pub ctime: Timestamp,
    /// Birth.
    pub btime: Timestamp,
    /// Changes of content so far.
    pub data_version: DataVersion,
    /// What its extents are keyed by; `None`: it has none. Only of a regular file.
    pub data: Option<DataId>,
    /// No extent ends after this offset (one may end before it).
    pub extent_end: u64,
    /// Names of its xattrs together, each with a NUL, as listxattr(2) counts; 0: it has none.
    pub xattr_bytes: u32,
    /// Of a directory: the directory that it is in; the root's is itself.
    pub parent: Option<InodeId>,
    /// Of a directory: number of its entries.
    pub entries: u64,
    /// Where the name stands that it was given last; `None`: it never had one. Of a directory that
    /// is exact; of another inode only a hint: the name may be gone, or lead elsewhere by now.
    pub named: Option<NamedAt>,
}

/// A place in the listing of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedAt {
    /// The directory.
    pub directory: InodeId,
    /// The place.
    pub cookie: DirCookie,
}

pub use holdfast_core::limits::DIRECTORY_BYTES;

const VERSION: u8 = 1;
const ENCODED_BYTES: usize = 143;

impl Inode {
    /// What stat(2) shows.
    #[must_use]
    pub const fn attr(&self, ino: InodeId) -> Attr {
        Attr {
            ino,
            kind: self.kind,
            mode: self.mode,
            nlink: self.nlink,
            uid: self.uid,
            gid: self.gid,
            rdev: self.rdev,
            size: self.size,
            allocated: self.allocated,
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
            btime: self.btime,
            data_version: self.data_version,
            no_xattrs: self.xattr_bytes == 0,
        }
    }

    /// Whether it is a directory.
    #[must_use]
    pub const fn is_directory(&self) -> bool {
        matches!(self.kind, FileKind::Directory)
    }

    fn check(self) -> Result<Self, Malformed> {
        let regular = self.kind == FileKind::Regular;
        let directory = self.is_directory();
        if !regular && (self.data.is_some() || self.allocated != 0 || self.extent_end != 0) {
            return Err(Malformed("only a regular file has extents"));
        }
        if self.data.is_none() && (self.allocated != 0 || self.extent_end != 0) {
            return Err(Malformed("it has extents but no data id"));
        }
        if directory != self.parent.is_some() || (!directory && self.entries != 0) {
            return Err(Malformed("a directory, and nothing else, has a parent and entries"));
        }
        if self.size > FILE_BYTES_MAX || self.extent_end > FILE_BYTES_MAX {
            return Err(Malformed("it is larger than a file can be"));
        }
        Ok(self)
    }
}

pub(super) const fn kind_code(kind: FileKind) -> u8 {
    match kind {
        FileKind::Regular => 1,
        FileKind::Directory => 2,
        FileKind::Symlink => 3,
        FileKind::Fifo => 4,
        FileKind::Socket => 5,
        FileKind::CharDevice => 6,
        FileKind::BlockDevice => 7,
    }
}

pub(super) const fn kind_of(code: u8) -> Result<FileKind, Malformed> {
    Ok(match code {
        1 => FileKind::Regular,
        2 => FileKind::Directory,
        3 => FileKind::Symlink,
        4 => FileKind::Fifo,
        5 => FileKind::Socket,
        6 => FileKind::CharDevice,
        7 => FileKind::BlockDevice,
        _ => return Err(Malformed("it has an unknown file type")),
    })
}

pub(super) fn mode_of(bits: u16) -> Result<Mode, Malformed> {
    if bits <= 0o7777 { Ok(Mode::from_bits(u32::from(bits))) } else { Err(Malformed("its mode has unknown bits")) }
}

const fn named_at(directory: u64, cookie: u64) -> Result<Option<NamedAt>, Malformed> {
    match (directory, cookie) {
        (0, 0) => Ok(None),
        (0, _) => Err(Malformed("its name stands in no directory")),
        _ => Ok(Some(NamedAt { directory: InodeId(directory), cookie: DirCookie(cookie) })),
    }
}

impl Record for Inode {
    fn encode(&self) -> Bytes {
        let mut to = Encoder::new(VERSION, ENCODED_BYTES);
        to.u8(kind_code(self.kind));
        to.u16(self.mode.bits());
        to.u32(self.nlink);
        to.u32(self.uid);
        to.u32(self.gid);
        to.u32(self.rdev);
        to.u64(self.size);
        to.u64(self.allocated);
        for time in [self.atime, self.mtime, self.ctime, self.btime] {
            to.time(time);
        }
        to.u64(self.data_version.0);
        to.u64(self.data.map_or(0, |data| data.0));
        to.u64(self.extent_end);
        to.u32(self.xattr_bytes);
        to.u64(self.parent.map_or(0, |parent| parent.0));
        to.u64(self.entries);
        to.u64(self.named.map_or(0, |named| named.directory.0));
        to.u64(self.named.map_or(0, |named| named.cookie.0));
        to.finish()
    }

    fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut from = Decoder::new(bytes, VERSION)?;
        let inode = Self {
            kind: kind_of(from.u8()?)?,
            mode: mode_of(from.u16()?)?,
            nlink: from.u32()?,
            uid: from.u32()?,
            gid: from.u32()?,
            rdev: from.u32()?,
            size: from.u64()?,
            allocated: from.u64()?,
            atime: from.time()?,
            mtime: from.time()?,
            ctime: from.time()?,
            btime: from.time()?,
            data_version: DataVersion(from.u64()?),
            data: Some(from.u64()?).filter(|&data| data != 0).map(DataId),
            extent_end: from.u64()?,
            xattr_bytes: from.u32()?,
            parent: Some(from.u64()?).filter(|&parent| parent != 0).map(InodeId),
            entries: from.u64()?,
            named: named_at(from.u64()?, from.u64()?)?,
        };
        from.finish()?;
        inode.check()
    }
}
