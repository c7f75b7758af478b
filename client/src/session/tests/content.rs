//! What the fake says of files.

use bytes::Bytes;
use holdfast_core::hash::FrameHash;
use holdfast_proto::v1;

/// One piece; `damaged`: its hash is that of something else.
pub(super) fn content(offset: u64, data: Vec<u8>, size: u64, damaged: bool) -> v1::ReadResponse {
    let hash = FrameHash::of(if damaged { b"something else" } else { &data });
    let len = u32::try_from(data.len()).unwrap_or_default();
    let piece = v1::ReadPiece { offset, data: data.into(), blake3: Bytes::copy_from_slice(&hash.0) };
    v1::ReadResponse { pieces: vec![piece], len, size, data_version: 3 }
}
