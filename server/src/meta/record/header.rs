//! The header of a volume: its identity, its owner's epoch, its counters.

use bytes::Bytes;
use holdfast_core::error::{Error, ErrorKind};
use holdfast_core::id::{CommitSeq, Epoch, SegmentId, VolumeId};
use holdfast_core::time::Timestamp;
use holdfast_core::volume::Usage;

use super::codec::{Decoder, Encoder};
use super::{Malformed, Record, decode};
use crate::meta::keys;

/// The one record that every open reads first and every commit writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The volume.
    pub volume: VolumeId,
    /// When it was made.
    pub created: Timestamp,
    /// Raised by each open.
    pub epoch: Epoch,
    /// Whether the last owner stopped with everything applied on disk.
    pub clean: bool,
    /// The last operation that is part of what is stored.
    pub last_commit: CommitSeq,
    /// No operation was ever given a number from here on. What lies between may have been given
    /// to operations that a crash forgot: only their replay may use those again.
    pub commit_bound: CommitSeq,
    /// The number of the next new segment.
    pub next_segment: SegmentId,
    /// Blocks of inode numbers that sessions were given.
    pub inode_blocks: u64,
    /// What the volume holds.
    pub usage: Usage,
}

/// Version of the whole format, the first byte of the header.
pub const FORMAT_VERSION: u8 = 2;

impl Header {
    /// Decodes a header, telling another version from damage.
    ///
    /// # Errors
    /// `Version` for a volume of another format, `Damaged` for one that is none.
    pub fn read(value: &Bytes) -> holdfast_core::error::Result<Self> {
        match value.first() {
            Some(&version) if version != FORMAT_VERSION => Err(Error::new(
                ErrorKind::Version,
                format!(
                    "the volume has format {version} and this server knows format {FORMAT_VERSION}; use a server of the volume's version"
                ),
            )),
            _ => decode(&keys::header(), value),
        }
    }
}

impl Record for Header {
    fn encode(&self) -> Bytes {
        let mut to = Encoder::new(FORMAT_VERSION, 88);
        to.raw(&self.volume.0);
        to.time(self.created);
        to.u64(self.epoch.0);
        to.u8(u8::from(self.clean));
        to.u64(self.last_commit.0);
        to.u64(self.commit_bound.0);
        to.u64(self.next_segment.0);
        to.u64(self.inode_blocks);
        to.u64(self.usage.bytes);
        to.u64(self.usage.inodes);
        to.finish()
    }

    fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut from = Decoder::new(bytes, FORMAT_VERSION)?;
        let header = Self {
            volume: VolumeId(from.fixed()?),
            created: from.time()?,
            epoch: Epoch(from.u64()?),
            clean: from.flag()?,
            last_commit: CommitSeq(from.u64()?),
            commit_bound: CommitSeq(from.u64()?),
            next_segment: SegmentId(from.u64()?),
            inode_blocks: from.u64()?,
            usage: Usage { bytes: from.u64()?, inodes: from.u64()? },
        };
        from.finish()?;
        if header.last_commit >= header.commit_bound || header.next_segment.0 == 0 {
            return Err(Malformed("its counters contradict each other"));
        }
        Ok(header)
    }
}
