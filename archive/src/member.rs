//! One thing in an archive: a file, a directory, another name of a file...

use bytes::Bytes;
use holdfast_core::attr::{Attr, Mode};
use holdfast_core::time::Timestamp;

use crate::sparse::Map;

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file; its content follows.
    File {
        /// Its length in bytes.
        size: u64,
        /// Where its data is; `None`: everywhere.
        map: Option<Map>,
    },
    /// Another name of a member that came before.
    Link {
        /// That member's path.
        target: Vec<u8>,
    },
    /// A symbolic link.
    Symlink {
        /// Its text.
        target: Bytes,
    },
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A named socket.
    Socket,
    /// A character device.
    CharDevice {
        /// Its number, as Linux packs it into 32 bits.
        rdev: u32,
    },
    /// A block device.
    BlockDevice {
        /// Its number, as Linux packs it into 32 bits.
        rdev: u32,
    },
}

/// A member without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its path, bytes, as it stands in the archive; a directory's without the slash at the end.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permissions.
    pub mode: Mode,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of content.
    pub mtime: Timestamp,
    /// Last read, if the archive says.
    pub atime: Option<Timestamp>,
    /// Last change of attributes, if the archive says.
    pub ctime: Option<Timestamp>,
    /// Extended attributes: names as bytes, with their name space.
    pub xattrs: Vec<(Vec<u8>, Bytes)>,
}

impl Member {
    /// A member with the attributes of an inode and no xattrs.
    #[must_use]
    pub fn new(path: &[u8], kind: Kind, attr: &Attr) -> Self {
        Self {
            path: path.to_vec(),
            kind,
            mode: attr.mode,
            uid: attr.uid,
            gid: attr.gid,
            mtime: attr.mtime,
            atime: Some(attr.atime),
            ctime: Some(attr.ctime),
            xattrs: Vec::new(),
        }
    }

    /// Bytes of content that stand in the archive, without a map of holes.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        match &self.kind {
            Kind::File { map: Some(map), .. } => map.data_bytes(),
            Kind::File { size, map: None } => *size,
            _ => 0,
        }
    }
}

/// Major and minor number of a device as Linux packs it.
#[must_use]
pub const fn split_device(rdev: u32) -> (u32, u32) {
    ((rdev >> 8) & 0xfff, (rdev & 0xff) | ((rdev >> 12) & 0xf_ff00))
}

/// The reverse; `None`: the numbers do not fit.
#[must_use]
pub const fn join_device(major: u32, minor: u32) -> Option<u32> {
    if major > 0xfff || minor > 0xf_ffff {
        return None;
    }
    Some((minor & 0xff) | (major << 8) | ((minor & 0xf_ff00) << 12))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_come_apart_and_together() {
        for (rdev, major, minor) in [(0x0103, 1, 3), (0, 0, 0), (0x0000_08ff, 8, 255), (0xfff_fffff, 0xfff, 0xf_ffff)] {
            assert_eq!(split_device(rdev), (major, minor), "{rdev:x}");
            assert_eq!(join_device(major, minor), Some(rdev));
        }
        assert_eq!(join_device(0x1000, 0), None);
        assert_eq!(join_device(0, 0x10_0000), None);
    }
}
