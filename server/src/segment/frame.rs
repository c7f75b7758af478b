//! A frame: the piece of data that has a checksum of its own and is verified as a whole.
//!
//! On disk: a header of 64 bytes, then the content. The metadata repeats what the header says, so
//! reads go by the metadata alone; the header is there to tell what a segment holds without it.

use holdfast_core::hash::FrameHash;
use holdfast_core::id::SegmentId;
use holdfast_core::limits::FRAME_BYTES_MAX;

use crate::meta::record::extent::Frame;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 64;
const MAGIC: [u8; 4] = *b"HFFR";
const VERSION: u8 = 1;

/// Where a frame's content begins in its segment.
#[must_use]
pub const fn content_start(frame: &Frame) -> u64 {
    frame.position.saturating_add(HEADER_BYTES as u64)
}

/// Where the frame ends in its segment.
#[must_use]
pub const fn end(frame: &Frame) -> u64 {
    content_start(frame).saturating_add(frame.len as u64)
}

/// The header of a frame.
#[must_use]
pub fn encode_header(frame: &Frame) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&MAGIC);
    header[4] = VERSION;
    header[8..12].copy_from_slice(&frame.len.to_be_bytes());
    header[16..24].copy_from_slice(&frame.segment.0.to_be_bytes());
    header[24..32].copy_from_slice(&frame.position.to_be_bytes());
    header[32..].copy_from_slice(&frame.hash.0);
    header
}

/// The frame that a header tells of; `None` when it is not a header.
#[must_use]
pub fn decode_header(header: &[u8; HEADER_BYTES]) -> Option<Frame> {
    let number = |at: usize| header[at..].first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes));
    let len = header[8..].first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))?;
    let frame = Frame {
        segment: SegmentId(number(16)?),
        position: number(24)?,
        len,
        hash: FrameHash(*header[32..].first_chunk::<32>()?),
    };
    let sound = (1..=FRAME_BYTES_MAX).contains(&(len as usize)) && encode_header(&frame) == *header;
    sound.then_some(frame)
}
