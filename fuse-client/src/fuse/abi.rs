//! The numbers of the FUSE kernel ABI (Linux `include/uapi/linux/fuse.h`, version 7.45).
//!
//! Only what this transport speaks. Lengths are bytes; all fields are little- or big-endian as
//! the machine is.

/// Major version; another one cannot be spoken.
pub(super) const MAJOR: u32 = 7;
/// Newest minor version whose structures this transport knows.
pub(super) const MINOR: u32 = 45;
/// Oldest minor version that is served: `max_pages`, copy_file_range and lseek (Linux 4.20).
pub(super) const MINOR_OLDEST: u32 = 28;

/// Length of the header before every answer.
pub(super) const OUT_HEADER: usize = 16;
/// Length of what a name leads to, in an answer (`fuse_entry_out`).
pub(super) const ENTRY_OUT: usize = 128;
/// Length of a directory entry before its name (`fuse_dirent`).
pub(super) const DIRENT: usize = 24;

/// What the kernel asks (`enum fuse_opcode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[expect(missing_docs, reason = "each is the system call or kernel event of its name")]
pub enum Opcode {
    Lookup = 1,
    Forget = 2,
    GetAttr = 3,
    SetAttr = 4,
    ReadLink = 5,
    Symlink = 6,
    MkNod = 8,
    MkDir = 9,
    Unlink = 10,
    RmDir = 11,
    Rename = 12,
    Link = 13,
    Open = 14,
    Read = 15,
    Write = 16,
    StatFs = 17,
    Release = 18,
    FSync = 20,
    SetXattr = 21,
    GetXattr = 22,
    ListXattr = 23,
    RemoveXattr = 24,
    Flush = 25,
    Init = 26,
    OpenDir = 27,
    ReadDir = 28,
    ReleaseDir = 29,
    FSyncDir = 30,
    GetLk = 31,
    SetLk = 32,
    SetLkW = 33,
    Access = 34,
    Create = 35,
    Interrupt = 36,
    BMap = 37,
    Destroy = 38,
    Ioctl = 39,
    Poll = 40,
    NotifyReply = 41,
    BatchForget = 42,
    FAllocate = 43,
    ReadDirPlus = 44,
    Rename2 = 45,
    LSeek = 46,
    CopyFileRange = 47,
    SyncFs = 50,
    TmpFile = 51,
    StatX = 52,
    CopyFileRange64 = 53,
}

impl Opcode {
    /// Every opcode that this transport knows.
    pub const ALL: [Self; 49] = {
        use Opcode::*;
        [
            Lookup,
            Forget,
            GetAttr,
            SetAttr,
            ReadLink,
            Symlink,
            MkNod,
            MkDir,
            Unlink,
            RmDir,
            Rename,
            Link,
            Open,
            Read,
            Write,
            StatFs,
            Release,
            FSync,
            SetXattr,
            GetXattr,
            ListXattr,
            RemoveXattr,
            Flush,
            Init,
            OpenDir,
            ReadDir,
            ReleaseDir,
            FSyncDir,
            GetLk,
            SetLk,
            SetLkW,
            Access,
            Create,
            Interrupt,
            BMap,
            Destroy,
            Ioctl,
            Poll,
            NotifyReply,
            BatchForget,
            FAllocate,
            ReadDirPlus,
            Rename2,
            LSeek,
            CopyFileRange,
            SyncFs,
            TmpFile,
            StatX,
            CopyFileRange64,
        ]
    };

    /// The opcode of a number, where it is known.
    pub(super) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|opcode| *opcode as u32 == number)
    }
}

/// Flags of `fuse_init_in` and `fuse_init_out`.
pub(super) mod init {
    /// Several reads of one file at a time.
    pub(crate) const ASYNC_READ: u64 = 1;
    /// fcntl(2) locks come to us.
    pub(crate) const POSIX_LOCKS: u64 = 1 << 1;
    /// `O_TRUNC` comes with OPEN.
    pub(crate) const ATOMIC_O_TRUNC: u64 = 1 << 3;
    /// Writes of more than a page.
    pub(crate) const BIG_WRITES: u64 = 1 << 5;
    /// The umask comes to us, where the kernel would have applied it.
    pub(crate) const DONT_MASK: u64 = 1 << 6;
    /// flock(2) comes to us.
    pub(crate) const FLOCK_LOCKS: u64 = 1 << 10;
    /// Cached pages go when mtime or size turn out to have changed.
    pub(crate) const AUTO_INVAL_DATA: u64 = 1 << 12;
    /// READDIRPLUS instead of READDIR.
    pub(crate) const DO_READDIRPLUS: u64 = 1 << 13;
    /// Only where it seems to pay.
    pub(crate) const READDIRPLUS_AUTO: u64 = 1 << 14;
    /// Several parts of one direct read or write at a time.
    pub(crate) const ASYNC_DIO: u64 = 1 << 15;
    /// Writes stay in the kernel's pages until they must go; sizes and times of regular files are the kernel's.
    pub(crate) const WRITEBACK_CACHE: u64 = 1 << 16;
    /// Lookups and listings of one directory at a time.
    pub(crate) const PARALLEL_DIROPS: u64 = 1 << 18;
    /// The kernel checks access lists, and they come to us as xattrs.
    pub(crate) const POSIX_ACL: u64 = 1 << 20;
    /// A read of the device after an abort says `ECONNABORTED`.
    pub(crate) const ABORT_ERROR: u64 = 1 << 21;
    /// `max_pages` counts.
    pub(crate) const MAX_PAGES: u64 = 1 << 22;
    /// We clear set-user-id and set-group-id on write, truncate and chown.
    pub(crate) const HANDLE_KILLPRIV_V2: u64 = 1 << 28;
    /// SETXATTR has flags of its own.
    pub(crate) const SETXATTR_EXT: u64 = 1 << 29;
    /// `flags2` counts.
    pub(crate) const INIT_EXT: u64 = 1 << 30;
    /// A shared mapping of a file that is open for direct IO.
    pub(crate) const DIRECT_IO_ALLOW_MMAP: u64 = 1 << 36;
    /// Mounts with mapped user ids (containers with user namespaces).
    pub(crate) const ALLOW_IDMAP: u64 = 1 << 40;
}

/// Bits of `fuse_setattr_in.valid`.
pub(super) mod fattr {
    pub(crate) const MODE: u32 = 1;
    pub(crate) const UID: u32 = 1 << 1;
    pub(crate) const GID: u32 = 1 << 2;
    pub(crate) const SIZE: u32 = 1 << 3;
    pub(crate) const ATIME: u32 = 1 << 4;
    pub(crate) const MTIME: u32 = 1 << 5;
    pub(crate) const ATIME_NOW: u32 = 1 << 7;
    pub(crate) const MTIME_NOW: u32 = 1 << 8;
    pub(crate) const CTIME: u32 = 1 << 10;
    pub(crate) const KILL_SUIDGID: u32 = 1 << 11;
}

/// Bits of `fuse_open_out.open_flags`.
pub(super) mod fopen {
    /// Past the page cache.
    pub(crate) const DIRECT_IO: u32 = 1;
    /// What the page cache holds is still true.
    pub(crate) const KEEP_CACHE: u32 = 1 << 1;
    /// Direct writes of one file at a time, where they do not move its end.
    pub(crate) const PARALLEL_DIRECT_WRITES: u32 = 1 << 6;
}

/// `fuse_open_in.open_flags`: the opener may not keep set-user-id bits when it truncates.
pub(super) const OPEN_KILL_SUIDGID: u32 = 1;
/// `fuse_write_in.write_flags`: pages that were changed in the kernel's cache, through a mapping.
pub(super) const WRITE_CACHE: u32 = 1;
/// `fuse_write_in.write_flags`: the writer may not keep set-user-id bits.
pub(super) const WRITE_KILL_SUIDGID: u32 = 1 << 2;
/// `fuse_setxattr_in.setxattr_flags`: an access list by somebody outside of the file's group.
pub(super) const SETXATTR_ACL_KILL_SGID: u32 = 1;
/// `fuse_lk_in.lk_flags`: flock(2), not fcntl(2).
pub(super) const LK_FLOCK: u32 = 1;
/// `fuse_release_in.release_flags`: the handle holds a flock(2) lock.
pub(super) const RELEASE_FLOCK_UNLOCK: u32 = 1 << 1;

/// `enum fuse_notify_code`: drop attributes and a range of pages of an inode.
pub(super) const NOTIFY_INVAL_INODE: i32 = 2;
/// `enum fuse_notify_code`: drop a name of a directory.
pub(super) const NOTIFY_INVAL_ENTRY: i32 = 3;
/// `enum fuse_notify_code`: take bytes into the page cache; the file is at least as long as they
/// reach.
pub(super) const NOTIFY_STORE: i32 = 4;
