//! The checksum of a frame, and data with the checksums of its frames.

use std::fmt;

use bytes::Bytes;

use crate::limits::FRAME_BYTES_MAX;

/// BLAKE3 of a frame's content (256 bits).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameHash(pub [u8; 32]);

impl FrameHash {
    /// The hash of some content.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self(*blake3::hash(content).as_bytes())
    }

    /// Whether the content is what was hashed.
    #[must_use]
    pub fn matches(&self, content: &[u8]) -> bool {
        *self == Self::of(content)
    }
}

impl fmt::Display for FrameHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for FrameHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameHash({self})")
    }
}

/// Data that is cut into frames of 64 KiB (the last one may be shorter), and the checksum of each: who
/// sends it, who verifies it and who stores it need the same ones, so each computes them once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framed {
    data: Bytes,
    hashes: Vec<FrameHash>,
}

impl Framed {
    /// Data that came with checksums; `None` unless there is one for each frame and each is right.
    #[must_use]
    pub fn verified(data: Bytes, hashes: Vec<FrameHash>) -> Option<Self> {
        let right = hashes.len() == data.len().div_ceil(FRAME_BYTES_MAX)
            && data.chunks(FRAME_BYTES_MAX).zip(&hashes).all(|(frame, hash)| hash.matches(frame));
        right.then_some(Self { data, hashes })
    }

    /// All of it.
    #[must_use]
    pub const fn data(&self) -> &Bytes {
        &self.data
    }

    /// The checksums, in order.
    #[must_use]
    pub fn hashes(&self) -> &[FrameHash] {
        &self.hashes
    }

    /// The frames, in order.
    pub fn frames(&self) -> impl ExactSizeIterator<Item = (&[u8], FrameHash)> {
        self.data.chunks(FRAME_BYTES_MAX).zip(self.hashes.iter().copied())
    }
}

impl From<Bytes> for Framed {
    /// Computes the checksums.
    fn from(data: Bytes) -> Self {
        let hashes = data.chunks(FRAME_BYTES_MAX).map(FrameHash::of).collect();
        Self { data, hashes }
    }
}

#[cfg(test)]
mod tests;
