//! What the metadata knows of a segment.

use bytes::Bytes;

use super::codec::{Decoder, Encoder};
use super::{Malformed, Record};

/// How much of a segment is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentAccount {
    /// Where the last frame ends that an extent ever pointed to: bytes after it belong to nobody.
    pub len: u64,
    /// Lengths of all extents that point into it, together.
    pub live: u64,
}

const VERSION: u8 = 1;

impl Record for SegmentAccount {
    fn encode(&self) -> Bytes {
        let mut to = Encoder::new(VERSION, 16);
        to.u64(self.len);
        to.u64(self.live);
        to.finish()
    }

    fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut from = Decoder::new(bytes, VERSION)?;
        let account = Self { len: from.u64()?, live: from.u64()? };
        from.finish()?;
        Ok(account)
    }
}
