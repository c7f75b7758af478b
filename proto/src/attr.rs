//! Times, kinds, modes and attributes of inodes.

use holdfast_core::attr::{Attr, FileKind, Mode, SetTime};
use holdfast_core::error::{Error, Result};
use holdfast_core::id::{DataVersion, InodeId};
use holdfast_core::limits::FILE_BYTES_MAX;
use holdfast_core::time::Timestamp;

use crate::error::invalid;
use crate::v1;

impl From<Timestamp> for v1::Timestamp {
    fn from(time: Timestamp) -> Self {
        Self { secs: time.secs, nanos: time.nanos }
    }
}

impl TryFrom<v1::Timestamp> for Timestamp {
    type Error = Error;

    fn try_from(wire: v1::Timestamp) -> Result<Self> {
        Self::new(wire.secs, wire.nanos)
            .ok_or_else(|| invalid(format!("a time has {} nanoseconds; at most 999999999 are allowed", wire.nanos)))
    }
}

impl From<FileKind> for v1::FileKind {
    fn from(kind: FileKind) -> Self {
        match kind {
            FileKind::Regular => Self::Regular,
            FileKind::Directory => Self::Directory,
            FileKind::Symlink => Self::Symlink,
            FileKind::Fifo => Self::Fifo,
            FileKind::Socket => Self::Socket,
            FileKind::CharDevice => Self::CharDevice,
            FileKind::BlockDevice => Self::BlockDevice,
        }
    }
}

/// A file kind as its wire number.
///
/// # Errors
/// `Invalid` for a number that names none.
pub fn file_kind(number: i32) -> Result<FileKind> {
    match v1::FileKind::try_from(number) {
        Ok(v1::FileKind::Regular) => Ok(FileKind::Regular),
        Ok(v1::FileKind::Directory) => Ok(FileKind::Directory),
        Ok(v1::FileKind::Symlink) => Ok(FileKind::Symlink),
        Ok(v1::FileKind::Fifo) => Ok(FileKind::Fifo),
        Ok(v1::FileKind::Socket) => Ok(FileKind::Socket),
        Ok(v1::FileKind::CharDevice) => Ok(FileKind::CharDevice),
        Ok(v1::FileKind::BlockDevice) => Ok(FileKind::BlockDevice),
        Ok(v1::FileKind::Unspecified) | Err(_) => Err(invalid(format!("there is no file kind {number}"))),
    }
}

/// Permission bits.
///
/// # Errors
/// `Invalid` when a bit outside 07777 is set.
pub fn mode(bits: u32) -> Result<Mode> {
    if bits & !0o7777 == 0 {
        Ok(Mode::from_bits(bits))
    } else {
        Err(invalid(format!("mode {bits:o} has bits outside 7777")))
    }
}

/// An inode number.
///
/// # Errors
/// `Invalid` for zero, which names none.
pub fn inode(number: u64) -> Result<InodeId> {
    if number == 0 { Err(invalid("inode number 0 names nothing")) } else { Ok(InodeId(number)) }
}

impl From<&Attr> for v1::Attr {
    fn from(attr: &Attr) -> Self {
        Self {
            ino: attr.ino.0,
            kind: v1::FileKind::from(attr.kind).into(),
            mode: attr.mode.bits().into(),
            nlink: attr.nlink,
            uid: attr.uid,
            gid: attr.gid,
            rdev: attr.rdev,
            size: attr.size,
            allocated: attr.allocated,
            atime: Some(attr.atime.into()),
            mtime: Some(attr.mtime.into()),
            ctime: Some(attr.ctime.into()),
            btime: Some(attr.btime.into()),
            data_version: attr.data_version.0,
            no_xattrs: attr.no_xattrs,
        }
    }
}

impl TryFrom<v1::Attr> for Attr {
    type Error = Error;

    fn try_from(wire: v1::Attr) -> Result<Self> {
        let time = |time: Option<v1::Timestamp>, which: &str| {
            Timestamp::try_from(time.ok_or_else(|| invalid(format!("attributes lack their {which}")))?)
        };
        if wire.size > FILE_BYTES_MAX {
            return Err(invalid(format!("a size of {} bytes is larger than any file", wire.size)));
        }
        Ok(Self {
            ino: inode(wire.ino)?,
            kind: file_kind(wire.kind)?,
            mode: mode(wire.mode)?,
            nlink: wire.nlink,
            uid: wire.uid,
            gid: wire.gid,
            rdev: wire.rdev,
            size: wire.size,
            allocated: wire.allocated,
            atime: time(wire.atime, "atime")?,
            mtime: time(wire.mtime, "mtime")?,
            ctime: time(wire.ctime, "ctime")?,
            btime: time(wire.btime, "btime")?,
            data_version: DataVersion(wire.data_version),
            no_xattrs: wire.no_xattrs,
        })
    }
}

/// Attributes that a message must have.
///
/// # Errors
/// `Invalid` when they are absent or do not fit.
pub fn required(wire: Option<v1::Attr>) -> Result<Attr> {
    wire.ok_or_else(|| invalid("an answer lacks its attributes"))?.try_into()
}

impl From<SetTime> for v1::SetTime {
    fn from(time: SetTime) -> Self {
        match time {
            SetTime::Now => Self { to: None },
            SetTime::To(to) => Self { to: Some(to.into()) },
        }
    }
}

impl TryFrom<v1::SetTime> for SetTime {
    type Error = Error;

    fn try_from(wire: v1::SetTime) -> Result<Self> {
        match wire.to {
            None => Ok(Self::Now),
            Some(to) => Ok(Self::To(to.try_into()?)),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
