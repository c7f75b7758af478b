//! Answers to the kernel, from values to bytes. Pure.

use std::time::Duration;

use holdfast_core::attr::{Attr, FileKind};
use holdfast_core::time::Timestamp;

use super::abi;

/// Bytes of an answer's body, appended field by field.
#[derive(Debug, Default)]
pub(super) struct Output(Vec<u8>);

/// How long the kernel may believe an answer without asking again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ttl {
    /// That a name leads to this inode.
    pub(super) entry: Duration,
    /// The attributes.
    pub(super) attr: Duration,
}

impl Output {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn u16(&mut self, value: u16) -> &mut Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    pub(super) fn i64(&mut self, value: i64) -> &mut Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    fn zeros(&mut self, len: usize) -> &mut Self {
        self.0.resize(self.0.len() + len, 0);
        self
    }

    /// `fuse_attr`, 88 bytes.
    fn attr(&mut self, node: u64, attr: &Attr) -> &mut Self {
        let rdev = attr.rdev;
        self.u64(node).u64(attr.size).u64(attr.allocated.div_ceil(512));
        self.i64(attr.atime.secs).i64(attr.mtime.secs).i64(attr.ctime.secs);
        self.u32(attr.atime.nanos).u32(attr.mtime.nanos).u32(attr.ctime.nanos);
        self.u32(mode_bits(attr)).u32(attr.nlink).u32(attr.uid).u32(attr.gid).u32(rdev);
        self.u32(BLOCK_BYTES).u32(0)
    }

    /// `fuse_attr_out`, 104 bytes.
    pub(super) fn attr_out(&mut self, node: u64, attr: &Attr, ttl: Ttl) -> &mut Self {
        self.u64(ttl.attr.as_secs()).u32(ttl.attr.subsec_nanos()).u32(0).attr(node, attr)
    }

    /// `fuse_entry_out`, 128 bytes. `id` is the kernel's name for it, `node` the number that stat(2) shows.
    pub(super) fn entry_out(&mut self, id: u64, node: u64, attr: &Attr, ttl: Ttl) -> &mut Self {
        self.u64(id).u64(0).u64(ttl.entry.as_secs()).u64(ttl.attr.as_secs());
        self.u32(ttl.entry.subsec_nanos()).u32(ttl.attr.subsec_nanos()).attr(node, attr)
    }

    /// `fuse_entry_out` of a name that leads to nothing: the kernel takes node 0 for that.
    pub(super) fn no_entry_out(&mut self, ttl: Duration) -> &mut Self {
        self.u64(0).u64(0).u64(ttl.as_secs()).u64(0).u32(ttl.subsec_nanos()).zeros(abi::ENTRY_OUT - 36)
    }

    /// `fuse_open_out`, 16 bytes.
    pub(super) fn open_out(&mut self, handle: u64, flags: u32) -> &mut Self {
        self.u64(handle).u32(flags).u32(0)
    }

    /// `fuse_statx_out`, 288 bytes: everything of `stat`, and the time of birth.
    pub(super) fn statx_out(&mut self, node: u64, attr: &Attr, ttl: Ttl) -> &mut Self {
        self.u64(ttl.attr.as_secs()).u32(ttl.attr.subsec_nanos()).u32(0).zeros(16);
        self.u32(libc::STATX_BASIC_STATS | libc::STATX_BTIME).u32(BLOCK_BYTES).u64(0);
        self.u32(attr.nlink).u32(attr.uid).u32(attr.gid);
        #[expect(clippy::cast_possible_truncation, reason = "a mode with its type has sixteen bits")]
        self.u16(mode_bits(attr) as u16).u16(0);
        self.u64(node).u64(attr.size).u64(attr.allocated.div_ceil(512)).u64(0);
        for time in [attr.atime, attr.btime, attr.ctime, attr.mtime] {
            self.statx_time(time);
        }
        let (major, minor) = split_device(attr.rdev);
        self.u32(major).u32(minor).u32(0).u32(0).zeros(14 * 8)
    }

    fn statx_time(&mut self, time: Timestamp) -> &mut Self {
        self.i64(time.secs).u32(time.nanos).u32(0)
    }

    /// `fuse_dirent` with its name, if it fits into `room` bytes in all; else nothing, and false.
    pub(super) fn dirent(&mut self, room: usize, node: u64, offset: u64, kind: FileKind, name: &[u8]) -> bool {
        let len = (abi::DIRENT + name.len()).next_multiple_of(8);
        if self.0.len() + len > room {
            return false;
        }
        let end = self.0.len() + len;
        #[expect(clippy::cast_possible_truncation, reason = "names have at most 255 bytes")]
        self.u64(node).u64(offset).u32(name.len() as u32).u32(type_bits(kind) >> 12);
        self.0.extend_from_slice(name);
        self.0.resize(end, 0);
        true
    }

    /// `fuse_direntplus` with its name, if it fits; `attr: None` tells the kernel no attributes.
    pub(super) fn dirent_plus(&mut self, room: usize, entry: PlusEntry<'_>, ttl: Ttl) -> bool {
        let len = abi::ENTRY_OUT + (abi::DIRENT + entry.name.len()).next_multiple_of(8);
        if self.0.len() + len > room {
            return false;
        }
        match entry.attr {
            Some(attr) => self.entry_out(entry.id, entry.node, attr, ttl),
            None => self.zeros(abi::ENTRY_OUT),
        };
        self.dirent(room, entry.node, entry.offset, entry.kind, entry.name)
    }
}

/// An entry of a listing with attributes.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlusEntry<'a> {
    pub(super) id: u64,
    pub(super) node: u64,
    pub(super) offset: u64,
    pub(super) kind: FileKind,
    pub(super) name: &'a [u8],
    /// `None` for `.` and `..`, which the kernel does not enter into its cache.
    pub(super) attr: Option<&'a Attr>,
}

/// What stat(2) tells programs as the preferred unit of IO, in bytes.
const BLOCK_BYTES: u32 = 4096;

/// The `S_IF*` bits of a kind.
pub(super) const fn type_bits(kind: FileKind) -> u32 {
    match kind {
        FileKind::Regular => libc::S_IFREG,
        FileKind::Directory => libc::S_IFDIR,
        FileKind::Symlink => libc::S_IFLNK,
        FileKind::Fifo => libc::S_IFIFO,
        FileKind::Socket => libc::S_IFSOCK,
        FileKind::CharDevice => libc::S_IFCHR,
        FileKind::BlockDevice => libc::S_IFBLK,
    }
}

/// The kind of `S_IF*` bits, as mknod(2) takes them: none means a regular file.
pub(super) const fn kind_of_bits(mode: u32) -> Option<FileKind> {
    Some(match mode & libc::S_IFMT {
        0 | libc::S_IFREG => FileKind::Regular,
        libc::S_IFDIR => FileKind::Directory,
        libc::S_IFLNK => FileKind::Symlink,
        libc::S_IFIFO => FileKind::Fifo,
        libc::S_IFSOCK => FileKind::Socket,
        libc::S_IFCHR => FileKind::CharDevice,
        libc::S_IFBLK => FileKind::BlockDevice,
        _ => return None,
    })
}

fn mode_bits(attr: &Attr) -> u32 {
    type_bits(attr.kind) | u32::from(attr.mode.bits())
}

/// Major and minor of a device number as Linux packs it into 32 bits (`new_encode_dev`).
const fn split_device(rdev: u32) -> (u32, u32) {
    ((rdev & 0xf_ff00) >> 8, rdev & 0xff | (rdev >> 12) & 0xf_ff00)
}

#[cfg(test)]
mod tests;
