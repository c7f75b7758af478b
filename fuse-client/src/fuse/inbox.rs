//! What a reader of requests reads into.
//!
//! Most messages are short, and their parts are copied out. A long one, which is a large write, takes
//! the buffer along, so that its bytes are not copied on their way to the server.

use bytes::Bytes;
use holdfast_core::buffers::{Buffer, Buffers};

use super::{BUFFER_BYTES, IO_BYTES};

/// Messages from this length on take the buffer along: then at least half of it is in use.
const LONG_BYTES_FROM: usize = IO_BYTES / 2;
/// Buffers that a connection keeps for large writes to come, at most.
const KEPT: usize = 8;

/// The buffers of a connection.
pub(super) fn buffers() -> Buffers {
    Buffers::new(BUFFER_BYTES, KEPT)
}

/// One reader's.
#[derive(Debug)]
pub(super) struct Inbox {
    buffers: Buffers,
    buffer: Buffer,
}

/// A message of the kernel.
#[derive(Debug)]
pub(super) enum Message<'a> {
    /// In the reader's buffer.
    Short(&'a [u8]),
    /// In a buffer of its own.
    Long(Bytes),
}

impl Inbox {
    pub(super) fn new(buffers: &Buffers) -> Self {
        Self { buffer: buffers.take(), buffers: buffers.clone() }
    }

    /// Where the next message goes.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.buffer.room()
    }

    /// The message that was put there.
    pub(super) fn message(&mut self, len: usize) -> Message<'_> {
        if len < LONG_BYTES_FROM {
            return Message::Short(&self.buffer.as_ref()[..len]);
        }
        Message::Long(std::mem::replace(&mut self.buffer, self.buffers.take()).share(len))
    }
}

impl Message<'_> {
    /// All of it.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(bytes) => bytes,
            Self::Long(bytes) => bytes,
        }
    }

    /// A part of [`bytes`](Self::bytes), to be kept.
    pub(super) fn keep(&self, part: &[u8]) -> Bytes {
        match self {
            Self::Short(_) => Bytes::copy_from_slice(part),
            Self::Long(bytes) => bytes.slice_ref(part),
        }
    }
}

#[cfg(test)]
mod tests;
