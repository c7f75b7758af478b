//! What is done to a file system, and what its caller sees.

use holdfast_core::attr::{Attr, FileKind};
use holdfast_core::time::Timestamp;
use nix::errno::Errno;

/// A path from the root of the file system, name by name; empty: the root itself.
pub type Path = Vec<String>;

/// Seconds and nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// Seconds; negative before 1970.
    pub secs: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

/// How a rename treats what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rename {
    /// rename(2)
    Replace,
    /// `RENAME_NOREPLACE`
    NoReplace,
    /// `RENAME_EXCHANGE`
    Exchange,
}

/// How fallocate(2) treats a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocate {
    /// Mode 0, or `KEEP_SIZE`.
    Reserve,
    /// `PUNCH_HOLE | KEEP_SIZE`
    Punch,
    /// `ZERO_RANGE`, with or without `KEEP_SIZE`.
    Zero,
}

/// What happens to the server in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturb {
    /// SIGTERM, and a new one.
    Restart,
    /// SIGKILL, and a new one.
    Kill,
}

/// Access of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// `O_RDONLY` or `O_RDWR`
    pub read: bool,
    /// `O_WRONLY` or `O_RDWR`
    pub write: bool,
    /// `O_APPEND`
    pub append: bool,
    /// `O_TRUNC`
    pub truncate: bool,
    /// `O_CREAT`
    pub create: bool,
    /// `O_EXCL`
    pub exclusive: bool,
}

/// One thing that a program does. `slot` numbers the client's open files.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the arguments of the system call that each names")]
pub enum Step {
    Mkdir {
        path: Path,
        mode: u32,
    },
    Mkfifo {
        path: Path,
        mode: u32,
    },
    Symlink {
        path: Path,
        target: String,
    },
    Link {
        old: Path,
        new: Path,
    },
    Unlink {
        path: Path,
    },
    Rmdir {
        path: Path,
    },
    Rename {
        old: Path,
        new: Path,
        how: Rename,
    },
    /// lstat(2)
    Stat {
        path: Path,
    },
    Readdir {
        path: Path,
    },
    Readlink {
        path: Path,
    },
    /// Opens without following, reads all, closes.
    ReadFile {
        path: Path,
    },
    Chmod {
        path: Path,
        mode: u32,
    },
    /// lchown(2)
    Chown {
        path: Path,
        uid: u32,
        gid: u32,
    },
    Utimens {
        path: Path,
        atime: Time,
        mtime: Time,
    },
    Truncate {
        path: Path,
        size: u64,
    },
    /// lsetxattr(2) of bytes that [`fill`] makes.
    SetXattr {
        path: Path,
        name: String,
        len: u64,
        tag: u8,
        create: bool,
        replace: bool,
    },
    GetXattr {
        path: Path,
        name: String,
    },
    ListXattr {
        path: Path,
    },
    RemoveXattr {
        path: Path,
        name: String,
    },
    /// open(2) with `O_NOFOLLOW`; an open file in the slot is closed first.
    Open {
        slot: usize,
        path: Path,
        mode: u32,
        access: Access,
    },
    Close {
        slot: usize,
    },
    Read {
        slot: usize,
        offset: u64,
        len: u64,
    },
    /// pwrite(2) of bytes that [`fill`] makes.
    Write {
        slot: usize,
        offset: u64,
        len: u64,
        tag: u8,
    },
    /// ftruncate(2)
    Resize {
        slot: usize,
        size: u64,
    },
    Allocate {
        slot: usize,
        how: Allocate,
        offset: u64,
        len: u64,
        keep_size: bool,
    },
    /// copy_file_range(2), again until all is copied.
    Copy {
        from: usize,
        from_offset: u64,
        to: usize,
        to_offset: u64,
        len: u64,
    },
    /// lseek(2), `SEEK_HOLE` or `SEEK_DATA`
    Seek {
        slot: usize,
        offset: u64,
        hole: bool,
    },
    StatOpen {
        slot: usize,
    },
    Sync {
        slot: usize,
    },
    Disturb(Disturb),
}

/// The type of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Kind {
    File,
    Directory,
    Symlink,
    Fifo,
}

/// stat(2), as far as it is promised; the size of a directory reads 0.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of struct stat")]
pub struct Stat {
    pub ino: u64,
    pub kind: Kind,
    pub mode: u32,
    pub nlink: u64,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    /// The model knows it only after it was set.
    pub atime: Option<Time>,
    /// Likewise.
    pub mtime: Option<Time>,
}

impl From<FileKind> for Kind {
    /// # Panics
    /// Of a kind that no step makes.
    fn from(kind: FileKind) -> Self {
        match kind {
            FileKind::Regular => Self::File,
            FileKind::Directory => Self::Directory,
            FileKind::Symlink => Self::Symlink,
            FileKind::Fifo => Self::Fifo,
            other => panic!("an inode of a kind that nobody made: {other:?}"),
        }
    }
}

impl From<&Attr> for Stat {
    fn from(attr: &Attr) -> Self {
        let time = |time: Timestamp| Some(Time { secs: time.secs, nanos: time.nanos });
        Self {
            ino: attr.ino.0,
            kind: attr.kind.into(),
            mode: u32::from(attr.mode.bits()),
            nlink: u64::from(attr.nlink),
            uid: attr.uid,
            gid: attr.gid,
            size: if attr.kind == FileKind::Directory { 0 } else { attr.size },
            atime: time(attr.atime),
            mtime: time(attr.mtime),
        }
    }
}

impl Step {
    /// The open file that it uses, if it uses one.
    #[must_use]
    pub const fn slot(&self) -> Option<usize> {
        match self {
            Self::Open { slot, .. }
            | Self::Close { slot }
            | Self::Read { slot, .. }
            | Self::Write { slot, .. }
            | Self::Resize { slot, .. }
            | Self::Allocate { slot, .. }
            | Self::Copy { to: slot, .. }
            | Self::Seek { slot, .. }
            | Self::StatOpen { slot }
            | Self::Sync { slot } => Some(*slot),
            _ => None,
        }
    }
}

/// What a successful step shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing but success.
    Done,
    /// Attributes.
    Stat(Stat),
    /// Content of a file, target of a link, value of an attribute.
    Bytes(Vec<u8>),
    /// Bytes written or copied.
    Count(u64),
    /// Entries of a directory, sorted.
    Names(Vec<(String, Kind)>),
    /// Names of attributes, sorted.
    Words(Vec<String>),
    /// An offset found by a seek.
    Offset(u64),
    /// The model's answer to a seek: the file. Where holes are is the file system's choice, as
    /// long as all of a hole is zeros.
    Holes(Vec<u8>),
}

/// What the caller sees.
pub type Outcome = Result<Answer, Errno>;

/// The bytes of a write: told apart by tag and place, never zero.
#[must_use]
pub fn fill(tag: u8, offset: u64, len: u64) -> Vec<u8> {
    let byte = |at: u64| 1 + u8::try_from((u64::from(tag) * 37 + at % 241 + at / 4096) % 255).unwrap_or(0);
    (offset..offset + len).map(byte).collect()
}

/// Whether the answer of a real file system is the model's. `real` may know more (times), and is
/// free to choose where holes are.
#[must_use]
pub fn agrees(step: &Step, model: &Outcome, real: &Outcome) -> bool {
    match (model, real) {
        (Ok(Answer::Stat(model)), Ok(Answer::Stat(real))) => {
            let same_time = |model: Option<Time>, real: Option<Time>| model.is_none() || model == real;
            let times = same_time(model.atime, real.atime) && same_time(model.mtime, real.mtime);
            let rest = Stat { ino: model.ino, atime: model.atime, mtime: model.mtime, ..real.clone() };
            times && rest == *model
        }
        (Ok(Answer::Holes(bytes)), real) => match step {
            Step::Seek { offset, hole, .. } => seek_agrees(bytes, *offset, *hole, real),
            _ => false,
        },
        _ => model == real,
    }
}

/// A seek is right if it skips nothing but zeros, and what it calls a hole is one.
fn seek_agrees(bytes: &[u8], offset: u64, hole: bool, real: &Outcome) -> bool {
    let size = bytes.len() as u64;
    let zeros = |from: u64, to: u64| {
        let range = usize::try_from(from).unwrap_or(0)..usize::try_from(to).unwrap_or(0);
        bytes[range].iter().all(|byte| *byte == 0)
    };
    match real {
        _ if offset >= size => *real == Err(Errno::ENXIO),
        Err(Errno::ENXIO) => !hole && zeros(offset, size),
        Ok(Answer::Offset(at)) if *at < offset || *at > size => false,
        Ok(Answer::Offset(at)) if hole => *at == size || zeros(*at, at + 1),
        Ok(Answer::Offset(at)) => *at < size && zeros(offset, *at),
        _ => false,
    }
}
