//! What a client must drop of its kernel's copy of a file.

use holdfast_core::error::{Error, Result};
use holdfast_core::id::{DataVersion, InodeId};

use crate::attr::inode;
use crate::v1;

/// Another session changed the content of a file that this one has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalidation {
    /// The file.
    pub ino: InodeId,
    /// First byte that changed.
    pub offset: u64,
    /// Number of bytes; `None`: to the end of the file.
    pub len: Option<u64>,
    /// The version of the content from now on.
    pub data_version: DataVersion,
    /// The size of the file from now on.
    pub size: u64,
}

impl Invalidation {
    /// As a message under an id that its answer will bear.
    #[must_use]
    pub fn to_wire(&self, id: u64) -> v1::Invalidate {
        v1::Invalidate {
            id,
            ino: self.ino.0,
            offset: self.offset,
            len: self.len.unwrap_or(0),
            data_version: self.data_version.0,
            size: self.size,
        }
    }
}

impl TryFrom<&v1::Invalidate> for Invalidation {
    type Error = Error;

    fn try_from(wire: &v1::Invalidate) -> Result<Self> {
        Ok(Self {
            ino: inode(wire.ino)?,
            offset: wire.offset,
            len: (wire.len != 0).then_some(wire.len),
            data_version: DataVersion(wire.data_version),
            size: wire.size,
        })
    }
}
