//! Bytes of files on the wire, each piece with its checksum.

use bytes::{Bytes, BytesMut};
use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::hash::FrameHash;
use holdfast_core::id::{DataVersion, Epoch};
use holdfast_core::limits::{FILE_BYTES_MAX, IO_BYTES_MAX};

use crate::error::invalid;
use crate::v1;

/// Bytes at an offset of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where in the file they stand.
    pub offset: u64,
    /// The bytes.
    pub data: Bytes,
}

impl Piece {
    /// With the checksum that was kept with the bytes.
    #[must_use]
    pub fn to_wire(&self, hash: &FrameHash) -> v1::ReadPiece {
        v1::ReadPiece { offset: self.offset, data: self.data.clone(), blake3: Bytes::copy_from_slice(&hash.0) }
    }
}

/// The answer to a read, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadData {
    /// Where the read began.
    pub offset: u64,
    /// Pieces in order of offset, without overlap; what none covers reads as zeros.
    pub pieces: Vec<Piece>,
    /// Bytes read; fewer than asked only at the end of the file.
    pub len: u32,
    /// The file's length at that moment.
    pub size: u64,
    /// The version of its content at that moment.
    pub data_version: DataVersion,
    /// Authority of the owner that answered, within which a version means one content; 0: it did not say.
    pub epoch: Epoch,
}

impl ReadData {
    /// Reads the answer to a read of `len` bytes at `offset`, and verifies every piece.
    ///
    /// # Errors
    /// `Damaged` when a piece does not match its checksum; `Invalid` when the answer does not fit
    /// the question.
    pub fn from_wire(wire: v1::ReadResponse, offset: u64, len: u32) -> Result<Self> {
        if wire.len > len || wire.len as usize > IO_BYTES_MAX || wire.size > FILE_BYTES_MAX {
            return Err(invalid(format!(
                "asked for {len} bytes, the answer has {} of a file of {}",
                wire.len, wire.size
            )));
        }
        let end = offset.saturating_add(wire.len.into());
        let mut at = offset;
        let mut pieces = Vec::with_capacity(wire.pieces.len());
        for piece in wire.pieces {
            let piece_end = piece.offset.checked_add(piece.data.len() as u64);
            let Some(piece_end) = piece_end.filter(|&piece_end| piece.offset >= at && piece_end <= end) else {
                return Err(invalid(format!(
                    "a piece of {} bytes at {} lies outside of the {} bytes read at {offset}, or over another",
                    piece.data.len(),
                    piece.offset,
                    wire.len
                )));
            };
            let hash = frame_hash(&piece.blake3)?;
            if !hash.matches(&piece.data) {
                return Err(Error::new(
                    ErrorKind::Damaged,
                    format!("{} bytes at offset {} do not match their checksum", piece.data.len(), piece.offset),
                ));
            }
            at = piece_end;
            pieces.push(Piece { offset: piece.offset, data: piece.data });
        }
        Ok(Self {
            offset,
            pieces,
            len: wire.len,
            size: wire.size,
            data_version: DataVersion(wire.data_version),
            epoch: Epoch(wire.epoch),
        })
    }

    /// All bytes in a row, holes as zeros: `len` bytes. No copy where one piece covers all.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        let len = self.len as usize;
        if let [piece] = &mut self.pieces[..]
            && piece.data.len() == len
        {
            return std::mem::take(&mut piece.data);
        }
        let mut bytes = BytesMut::with_capacity(len);
        for piece in &self.pieces {
            // `from_wire` made sure that every piece lies within `len` of the start.
            let start = usize::try_from(piece.offset - self.offset).unwrap_or(len).min(len);
            bytes.resize(start.max(bytes.len()), 0);
            bytes.extend_from_slice(&piece.data);
        }
        bytes.resize(len, 0);
        bytes.freeze()
    }
}

/// A BLAKE3 hash.
///
/// # Errors
/// `Invalid` unless it has 32 bytes.
pub fn frame_hash(bytes: &[u8]) -> Result<FrameHash> {
    let hash = bytes.try_into().map_err(|_| invalid(format!("a checksum has {} bytes in place of 32", bytes.len())))?;
    Ok(FrameHash(hash))
}

/// BLAKE3 hashes, one behind the other.
///
/// # Errors
/// `Invalid` unless each has 32 bytes.
pub fn frame_hashes(bytes: &[u8]) -> Result<Vec<FrameHash>> {
    bytes.chunks(size_of::<FrameHash>()).map(frame_hash).collect()
}

/// The same on the wire.
#[must_use]
pub fn frame_hashes_to_wire(hashes: &[FrameHash]) -> Bytes {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

#[cfg(test)]
mod tests;
