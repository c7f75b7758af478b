//! The operations: every change that a client can ask of a volume.
//!
//! A session numbers its operations ([`Seq`]) and the server applies them in that order, each
//! exactly once and each whole or not at all. Operations name inodes, never paths. Permission
//! checks against users are the client kernel's (`default_permissions`); the server checks what
//! keeps the volume sound: types, names, limits, space.

use bytes::Bytes;

use crate::attr::{Attr, FileKind, SetAttr};
use crate::derive::AskedMode;
use crate::error::PosixError;
use crate::id::{CommitSeq, InodeId, Seq, StageId};
use crate::limits::{DIRECTORY_BYTES, SYMLINK_BYTES_MAX};
use crate::name::{FileName, XattrName};
use crate::range::ByteRange;
use crate::time::Timestamp;

/// Who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// User id: the owner of what is created.
    pub uid: u32,
    /// Group id; a set-group-id directory passes on its own instead.
    pub gid: u32,
}

/// One operation in its session's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedOp {
    /// Its place in the log.
    pub seq: Seq,
    /// Who asks.
    pub caller: Caller,
    /// When it happened, where the client answered it itself under a lease; else the server's
    /// clock counts.
    pub time: Option<Timestamp>,
    /// Its place in the volume's order, where an earlier server told it before it could make the
    /// operation durable: replays of several clients are put back into one order by this.
    pub replay_of: Option<CommitSeq>,
    /// What to do.
    pub op: Op,
}

/// What a new directory entry leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewNode {
    /// An empty file; `open` also enters it into the session's open files, as [`Op::Open`] does.
    File {
        /// Open it in the same step.
        open: bool,
    },
    /// An empty directory.
    Directory,
    /// A symbolic link to this text, 1 to 4095 bytes without NUL.
    Symlink {
        /// The text.
        target: Bytes,
    },
    /// A pipe, socket or device (`kind` is one of those four).
    Special {
        /// Which.
        kind: FileKind,
        /// Device number, for the two kinds of device.
        rdev: u32,
    },
}

impl NewNode {
    /// Its type, size in bytes, and device number.
    ///
    /// # Errors
    /// Those of mknod(2) and symlink(2) for what cannot be.
    pub fn shape(&self) -> Result<(FileKind, u64, u32), PosixError> {
        match self {
            Self::File { .. } => Ok((FileKind::Regular, 0, 0)),
            Self::Directory => Ok((FileKind::Directory, DIRECTORY_BYTES, 0)),
            Self::Symlink { target } => match target.len() {
                0 => Err(PosixError::NoEntry),
                1..=SYMLINK_BYTES_MAX if target.contains(&0) => Err(PosixError::Invalid),
                len @ 1..=SYMLINK_BYTES_MAX => Ok((FileKind::Symlink, len as u64, 0)),
                _ => Err(PosixError::NameTooLong),
            },
            Self::Special { kind: kind @ (FileKind::CharDevice | FileKind::BlockDevice), rdev } => {
                Ok((*kind, 0, *rdev))
            }
            Self::Special { kind: kind @ (FileKind::Fifo | FileKind::Socket), .. } => Ok((*kind, 0, 0)),
            Self::Special { kind: FileKind::Regular | FileKind::Directory | FileKind::Symlink, .. } => {
                Err(PosixError::Invalid)
            }
        }
    }
}

/// What happens to an existing target of a rename (rename(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameMode {
    /// It is replaced.
    Replace,
    /// It is an error (`RENAME_NOREPLACE`).
    NoReplace,
    /// The two change places (`RENAME_EXCHANGE`).
    Exchange,
    /// It is replaced, and a whiteout (character device 0:0) takes the old name
    /// (`RENAME_WHITEOUT`).
    Whiteout,
    /// The same, where an existing target is an error.
    WhiteoutNoReplace,
}

/// Whether setting an xattr needs it to be there (setxattr(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XattrMode {
    /// Create or replace.
    Either,
    /// `XATTR_CREATE`: it must not exist.
    Create,
    /// `XATTR_REPLACE`: it must exist.
    Replace,
    /// Both flags: it must exist and must not. Always fails, but the error tells which.
    Both,
}

/// Where a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteAt {
    /// To this offset.
    Offset(u64),
    /// To the end of the file as it is when the operation is applied (`O_APPEND`).
    End,
    /// To this offset, from memory that a program has mapped: no call of write(2), so the file keeps
    /// its privileges; and its length: what lies behind the end is dropped.
    Mapped(u64),
    /// To this offset, from the page cache of a kernel that is alone with the volume: it has the times, and
    /// says them by itself ([`SetAttr::ctime`](crate::attr::SetAttr::ctime)), before or after the bytes.
    WrittenBack(u64),
}

impl WriteAt {
    /// The offset, where it is known before the write is applied.
    #[must_use]
    pub const fn offset(self) -> Option<u64> {
        match self {
            Self::Offset(offset) | Self::Mapped(offset) | Self::WrittenBack(offset) => Some(offset),
            Self::End => None,
        }
    }
}

/// The bytes of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteData {
    /// Inside the operation: 1 byte to `INLINE_BYTES_MAX`.
    Inline(Bytes),
    /// Sent ahead, or at the same time, over a data connection.
    Staged {
        /// Under this id.
        stage: StageId,
        /// Number of bytes, 1 to `IO_BYTES_MAX`.
        len: u32,
    },
}

/// What fallocate(2) does with a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocateMode {
    /// Reserves space; holes read as zeros, data stays. The file grows unless `keep_size`.
    Reserve {
        /// `FALLOC_FL_KEEP_SIZE`
        keep_size: bool,
    },
    /// Gives the space back; reads as zeros; size stays (`PUNCH_HOLE | KEEP_SIZE`).
    PunchHole,
    /// Zeros, with space reserved (`FALLOC_FL_ZERO_RANGE`).
    Zero {
        /// `FALLOC_FL_KEEP_SIZE`
        keep_size: bool,
    },
}

/// One change. Errors that each may give are those of the system call it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// creat, mkdir, symlink, mknod: a new inode under a new name.
    Create {
        /// Directory.
        parent: InodeId,
        /// Name in it; must be free.
        name: FileName,
        /// What it leads to.
        node: NewNode,
        /// Permissions.
        mode: AskedMode,
        /// Its number, where the client answered by itself: one of its session's own, see
        /// [`InodeBlock`](crate::id::InodeBlock). Else the server gives one.
        ino: Option<InodeId>,
    },
    /// open(2) with `O_TMPFILE`: a new file without a name, entered into the session's open files.
    /// Its first name comes from [`Op::Link`]; until then it goes with its last close.
    CreateUnnamed {
        /// The directory that it takes group and default list from.
        parent: InodeId,
        /// Permissions.
        mode: AskedMode,
    },
    /// link(2): another name for a file.
    Link {
        /// The file; not a directory.
        ino: InodeId,
        /// Directory of the new name.
        parent: InodeId,
        /// The new name; must be free.
        name: FileName,
    },
    /// unlink(2). An open file lives on until its last close, on whatever host.
    Unlink {
        /// Directory.
        parent: InodeId,
        /// Name; not of a directory.
        name: FileName,
    },
    /// rmdir(2).
    Rmdir {
        /// Directory.
        parent: InodeId,
        /// Name of an empty directory.
        name: FileName,
    },
    /// rename(2), renameat2(2): atomic.
    Rename {
        /// Directory of the old name.
        parent: InodeId,
        /// The old name.
        name: FileName,
        /// Directory of the new name.
        new_parent: InodeId,
        /// The new name.
        new_name: FileName,
        /// What happens to what is there.
        mode: RenameMode,
    },
    /// chmod, chown, truncate, utimensat.
    SetAttr {
        /// The inode.
        ino: InodeId,
        /// What to change.
        set: SetAttr,
    },
    /// It was read: its access time moves on to the time of the operation, if
    /// [`is_due`](crate::relatime::is_due). Else, and for all else, nothing changes. Not a change that
    /// others have to give leases back for: they are told.
    Touch {
        /// The inode.
        ino: InodeId,
    },
    /// setxattr(2).
    SetXattr {
        /// The inode.
        ino: InodeId,
        /// The attribute.
        name: XattrName,
        /// Its value, at most `XATTR_VALUE_BYTES_MAX`.
        value: Bytes,
        /// Whether it must, must not, or may exist.
        mode: XattrMode,
        /// Of an access list: set-group-id goes too, the caller is not in the file's group.
        kill_setgid: bool,
    },
    /// removexattr(2).
    RemoveXattr {
        /// The inode.
        ino: InodeId,
        /// The attribute.
        name: XattrName,
    },
    /// write(2).
    Write {
        /// A regular file.
        ino: InodeId,
        /// Where.
        at: WriteAt,
        /// What.
        data: WriteData,
        /// By somebody without `CAP_FSETID`: set-user-id and set-group-id go.
        kill_privileges: bool,
    },
    /// fallocate(2).
    Allocate {
        /// A regular file.
        ino: InodeId,
        /// The range; not empty.
        range: ByteRange,
        /// What to do with it.
        mode: AllocateMode,
    },
    /// copy_file_range(2) within the volume: shares or copies extents on the server. At most
    /// `COPY_BYTES_MAX` bytes a call; stops at the source's end.
    Copy {
        /// Source, a regular file.
        from: InodeId,
        /// First byte in it.
        from_offset: u64,
        /// Destination, a regular file; the same one only without overlap.
        to: InodeId,
        /// First byte in it.
        to_offset: u64,
        /// Number of bytes.
        len: u64,
    },
    /// Enters the inode into the session's open files, as a set: twice is once. The inode then
    /// lives on without a name, and the session is told before others' changes of its content are
    /// answered.
    Open {
        /// A file or directory.
        ino: InodeId,
        /// Truncate to nothing in the same step (`O_TRUNC`).
        truncate: bool,
        /// As in [`SetAttr::kill_privileges`].
        kill_privileges: bool,
    },
    /// Takes it out of that set: the last handle is closed. Never fails.
    Close {
        /// The inode.
        ino: InodeId,
    },
}

/// Most bytes that one [`Op::Copy`] copies.
pub const COPY_BYTES_MAX: u64 = 64 << 20;

/// What an operation changed, for the caller's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpReply {
    /// Done; nothing to tell (unlink, rmdir, rename, xattrs, close).
    Done,
    /// The inode after the change (both creates, link, setattr, allocate, open).
    Attr(Attr),
    /// A write: where it began (of an append, the server's choice) and the inode after it.
    Written {
        /// First byte written.
        offset: u64,
        /// Bytes written: always all of them.
        len: u32,
        /// The inode after it.
        attr: Attr,
    },
    /// A copy: bytes copied, and the destination after it.
    Copied {
        /// Number of bytes; fewer than asked at the source's end or at `COPY_BYTES_MAX`.
        len: u64,
        /// The destination after it.
        attr: Attr,
    },
}

/// The outcome of one operation.
pub type OpResult = Result<OpReply, PosixError>;

/// An applied operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedOp {
    /// Its place in its session's log.
    pub seq: Seq,
    /// Its place in the volume's order; failed operations have one too.
    pub commit: CommitSeq,
    /// Its outcome.
    pub result: OpResult,
}

impl Op {
    /// An open that changes no content.
    #[must_use]
    pub const fn open(ino: InodeId) -> Self {
        Self::Open { ino, truncate: false, kill_privileges: false }
    }

    /// Bytes of memory that keeping this operation takes, about: for limits on logs.
    #[must_use]
    pub fn weight(&self) -> usize {
        let payload = match self {
            Self::Write { data: WriteData::Inline(data), .. } => data.len(),
            Self::Write { data: WriteData::Staged { len, .. }, .. } => *len as usize,
            Self::SetXattr { value, .. } => value.len(),
            Self::Create { node: NewNode::Symlink { target }, .. } => target.len(),
            _ => 0,
        };
        payload + size_of::<LoggedOp>() + 256
    }

    /// The inodes that it names and changes. What it makes, or finds under a name, is not among them; nor
    /// what was only read.
    #[must_use]
    pub fn changes(&self) -> Vec<InodeId> {
        match self {
            Self::Create { parent, .. } | Self::Unlink { parent, .. } | Self::Rmdir { parent, .. } => vec![*parent],
            Self::Link { ino, parent, .. } => vec![*ino, *parent],
            Self::Rename { parent, new_parent, .. } => vec![*parent, *new_parent],
            Self::SetAttr { ino, .. }
            | Self::SetXattr { ino, .. }
            | Self::RemoveXattr { ino, .. }
            | Self::Write { ino, .. }
            | Self::Allocate { ino, .. }
            | Self::Open { ino, truncate: true, .. } => vec![*ino],
            Self::Copy { to, .. } => vec![*to],
            Self::CreateUnnamed { .. }
            | Self::Open { truncate: false, .. }
            | Self::Close { .. }
            | Self::Touch { .. } => Vec::new(),
        }
    }

    /// The names that it changes, each with its directory.
    #[must_use]
    pub fn names(&self) -> Vec<(InodeId, &FileName)> {
        match self {
            Self::Create { parent, name, .. }
            | Self::Link { parent, name, .. }
            | Self::Unlink { parent, name }
            | Self::Rmdir { parent, name } => vec![(*parent, name)],
            Self::Rename { parent, name, new_parent, new_name, .. } => {
                vec![(*parent, name), (*new_parent, new_name)]
            }
            _ => Vec::new(),
        }
    }

    /// The file whose bytes or size this operation changes for others who have it open.
    #[must_use]
    pub const fn changes_content_of(&self) -> Option<InodeId> {
        match self {
            Self::Write { ino, .. } | Self::Allocate { ino, .. } | Self::Open { ino, truncate: true, .. } => Some(*ino),
            Self::SetAttr { ino, set: SetAttr { size: Some(_), .. } } => Some(*ino),
            Self::Copy { to, .. } => Some(*to),
            _ => None,
        }
    }
}
