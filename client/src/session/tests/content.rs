//! What the fake says of files.

use bytes::Bytes;
use holdfast_core::hash::FrameHash;
use holdfast_proto::v1;

/// One piece; `damaged`: its hash is that of something else.
pub(super) fn content(offset: u64, data: Vec<u8>, size: u64, damaged: bool) -> v1::ReadResponse {
    let hash = FrameHash::of(if damaged { b"something else" } else { &data });
    let len = u32::try_from(data.len()).unwrap_or_default();
    let piece = v1::ReadPiece { offset, data: data.into(), blake3: Bytes::copy_from_slice(&hash.0) };
    v1::ReadResponse { pieces: vec![piece], len, size, data_version: 3, epoch: 1 }
}

/// What there is everywhere.
pub(super) fn of_range(range: &v1::ReadRequest) -> v1::ReadResponse {
    content(range.offset, vec![b'x'; range.len as usize], 1 << 20, false)
}

/// A file that consists of its own number.
pub(super) fn beginning(ino: u64, damaged: bool) -> v1::FileBeginning {
    let data = ino.to_string().into_bytes();
    let size = data.len() as u64;
    v1::FileBeginning { ino, content: Some(content(0, data, size, damaged)) }
}

/// All that is asked about is one block without a name.
pub(super) fn blocks(asked: &v1::BlocksRequest) -> v1::BlocksResponse {
    let blocks = vec![v1::Block { offset: asked.offset, len: asked.len, blake3: Bytes::new() }];
    v1::BlocksResponse { blocks, len: asked.len, size: 1 << 20, data_version: 3, epoch: 1 }
}
