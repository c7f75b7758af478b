//! What stat(2) shows of an inode, and what a change of it may set.

use crate::id::{DataVersion, InodeId};
use crate::time::Timestamp;

/// The type of an inode; fixed for its life (inode(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Bytes.
    Regular,
    /// Names.
    Directory,
    /// A path in text.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A named socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

/// Permission bits with set-user-id, set-group-id and sticky: 0 to 0o7777. No file type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mode(u16);

impl Mode {
    /// Set-user-id.
    pub const SETUID: u16 = 0o4000;
    /// Set-group-id.
    pub const SETGID: u16 = 0o2000;
    /// Sticky.
    pub const STICKY: u16 = 0o1000;

    /// The lowest twelve bits; the others (a file type, say) are dropped.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self((bits & 0o7777) as u16)
    }

    /// The bits, 0 to 0o7777.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether any of these bits is set.
    #[must_use]
    pub const fn has(self, bits: u16) -> bool {
        self.0 & bits != 0
    }

    /// These bits too.
    #[must_use]
    pub const fn with(self, bits: u16) -> Self {
        Self(self.0 | bits & 0o7777)
    }

    /// None of these bits.
    #[must_use]
    pub const fn without(self, bits: u16) -> Self {
        Self(self.0 & !bits)
    }

    /// Set-user-id goes, and set-group-id where the group may execute. Where it may not the bit is
    /// a marker of mandatory locking: it stays if the caller is in the file's group.
    #[must_use]
    pub const fn without_privileges(self, in_group: bool) -> Self {
        let keep = in_group && !self.has(0o010);
        self.without(if keep { Self::SETUID } else { Self::SETUID | Self::SETGID })
    }
}

/// Everything stat(2) shows, and the version of the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    /// The inode.
    pub ino: InodeId,
    /// Its type.
    pub kind: FileKind,
    /// Its permissions.
    pub mode: Mode,
    /// Names that lead to it; a directory counts 2 and its subdirectories.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device inode, as Linux packs it into 32 bits; else 0.
    pub rdev: u32,
    /// Bytes of content: file length, target length of a symlink, 4096 for a directory.
    pub size: u64,
    /// Bytes of space it takes (holes take none).
    pub allocated: u64,
    /// Last read.
    pub atime: Timestamp,
    /// Last change of content.
    pub mtime: Timestamp,
    /// Last change of content or attributes.
    pub ctime: Timestamp,
    /// Birth.
    pub btime: Timestamp,
    /// Raised by each change of content, whatever happens to `mtime`: who has seen this version
    /// has seen these bytes.
    pub data_version: DataVersion,
    /// It certainly has no xattrs, and so no access lists; false: it may have some.
    pub no_xattrs: bool,
}

/// A time to set (utimensat(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// The time of the operation (`UTIME_NOW`).
    Now,
    /// This time.
    To(Timestamp),
}

impl SetTime {
    /// The time that there is afterwards.
    #[must_use]
    pub const fn chosen(set: Option<Self>, before: Timestamp, now: Timestamp) -> Timestamp {
        match set {
            None => before,
            Some(Self::Now) => now,
            Some(Self::To(time)) => time,
        }
    }
}

/// What a setattr changes; `None` leaves as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttr {
    /// chmod(2).
    pub mode: Option<Mode>,
    /// chown(2), owner.
    pub uid: Option<u32>,
    /// chown(2), group.
    pub gid: Option<u32>,
    /// truncate(2): shorter drops the rest, longer adds a hole.
    pub size: Option<u64>,
    /// utimensat(2), access time.
    pub atime: Option<SetTime>,
    /// utimensat(2), modification time.
    pub mtime: Option<SetTime>,
    /// Of a session that has the volume to itself: when its kernel has changed the inode. `None`: now.
    pub ctime: Option<Timestamp>,
    /// A truncate or another change of content by somebody without `CAP_FSETID`: set-user-id and
    /// set-group-id go.
    pub kill_privileges: bool,
    /// The caller is in the file's group, or has `CAP_FSETID`: set-group-id that the group may not
    /// execute stays.
    pub keep_setgid: bool,
}

impl SetAttr {
    /// Whether it changes nothing, whoever asks: chown(2) for nothing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self { keep_setgid: self.keep_setgid, ctime: self.ctime, ..Self::default() }
    }
}
