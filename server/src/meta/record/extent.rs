//! A stretch of a file and where its bytes are.

use bytes::Bytes;
use holdfast_core::hash::FrameHash;
use holdfast_core::id::SegmentId;
use holdfast_core::limits::{FILE_BYTES_MAX, FRAME_BYTES_MAX, INLINE_BYTES_MAX};

use super::codec::{Decoder, Encoder};
use super::{Malformed, Record};

/// A frame in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The segment.
    pub segment: SegmentId,
    /// Where the frame's header begins in it.
    pub position: u64,
    /// Bytes of content, 1 to `FRAME_BYTES_MAX`.
    pub len: u32,
    /// BLAKE3 of the whole content.
    pub hash: FrameHash,
}

/// Where the bytes of an extent are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nowhere: zeros, with space set aside.
    Reserved {
        /// Length of the extent.
        len: u64,
    },
    /// In the record itself; the engine's own checksums guard them.
    Inline(Bytes),
    /// In a frame.
    Framed {
        /// Which.
        frame: Frame,
        /// First byte of the frame's content that belongs to the extent.
        skip: u32,
        /// Length of the extent; with `skip` at most the frame's.
        len: u32,
    },
}

impl Content {
    /// Length of the extent in bytes; never 0.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Reserved { len } => *len,
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Framed { len, .. } => u64::from(*len),
        }
    }

    /// Whether it has no byte: never so in a record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The part from `from` (included) to `to` (excluded), which lies within it and is not empty.
    #[must_use]
    pub fn slice(&self, from: u64, to: u64) -> Self {
        debug_assert!(from < to && to <= self.len(), "a slice of an extent lies within it");
        match self {
            Self::Reserved { .. } => Self::Reserved { len: to - from },
            Self::Inline(bytes) => Self::Inline(bytes.slice(within(from)..within(to))),
            Self::Framed { frame, skip, .. } => {
                Self::Framed { frame: *frame, skip: skip + short(from), len: short(to - from) }
            }
        }
    }
}

/// A position within an extent that is not reserved: at most 64 KiB.
fn within(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

fn short(position: u64) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

const VERSION: u8 = 1;
const RESERVED: u8 = 0;
const INLINE: u8 = 1;
const FRAMED: u8 = 2;

impl Record for Content {
    fn encode(&self) -> Bytes {
        match self {
            Self::Reserved { len } => {
                let mut to = Encoder::new(VERSION, 9);
                to.u8(RESERVED);
                to.u64(*len);
                to.finish()
            }
            Self::Inline(bytes) => {
                let mut to = Encoder::new(VERSION, 1 + bytes.len());
                to.u8(INLINE);
                to.raw(bytes);
                to.finish()
            }
            Self::Framed { frame, skip, len } => {
                let mut to = Encoder::new(VERSION, 61);
                to.u8(FRAMED);
                to.u32(*len);
                to.u64(frame.segment.0);
                to.u64(frame.position);
                to.u32(frame.len);
                to.u32(*skip);
                to.raw(&frame.hash.0);
                to.finish()
            }
        }
    }

    fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut from = Decoder::new(bytes, VERSION)?;
        match from.u8()? {
            RESERVED => {
                let len = from.u64()?;
                from.finish()?;
                match len {
                    1..=FILE_BYTES_MAX => Ok(Self::Reserved { len }),
                    _ => Err(Malformed("its length is out of range")),
                }
            }
            INLINE => {
                let bytes = from.rest();
                match bytes.len() {
                    1..=INLINE_BYTES_MAX => Ok(Self::Inline(bytes)),
                    _ => Err(Malformed("its length is out of range")),
                }
            }
            FRAMED => {
                let len = from.u32()?;
                let segment = SegmentId(from.u64()?);
                let position = from.u64()?;
                let frame_len = from.u32()?;
                let skip = from.u32()?;
                let hash = FrameHash(from.fixed()?);
                from.finish()?;
                let fits = skip.checked_add(len).is_some_and(|end| end <= frame_len);
                if len == 0 || !fits || frame_len as usize > FRAME_BYTES_MAX {
                    return Err(Malformed("its length is out of range"));
                }
                Ok(Self::Framed { frame: Frame { segment, position, len: frame_len, hash }, skip, len })
            }
            _ => Err(Malformed("it has an unknown kind of content")),
        }
    }
}
