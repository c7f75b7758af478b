//! Buffers that are used again: what is read into one can be shared without a copy, and its memory
//! comes back when nobody has it any more.
//!
//! New memory costs a page fault for each 4 KiB, more than most of what is done with the bytes.
//!
//! Guarantees: all buffers of a pool have one length; a pool keeps at most so many that nobody uses,
//! and never waits. What a buffer holds when it is taken is whatever was in it before: only what was
//! put in since may be shared.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Where buffers wait for their next use.
#[derive(Clone)]
pub struct Buffers(Arc<Shelf>);

struct Shelf {
    len: usize,
    kept_max: usize,
    waiting: Mutex<Vec<Box<[u8]>>>,
}

impl Shelf {
    /// No change of the list can be left half done, so a panic elsewhere does not matter.
    fn waiting(&self) -> MutexGuard<'_, Vec<Box<[u8]>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer that goes back when it is dropped, and when the last of the [`Bytes`] made of it is.
pub struct Buffer {
    bytes: Box<[u8]>,
    shelf: Arc<Shelf>,
}

impl Buffers {
    /// For buffers of `len` bytes, of which at most `kept_max` are kept while nobody uses them.
    #[must_use]
    pub fn new(len: usize, kept_max: usize) -> Self {
        Self(Arc::new(Shelf { len, kept_max, waiting: Mutex::default() }))
    }

    /// A buffer, used before or new.
    #[must_use]
    pub fn take(&self) -> Buffer {
        let used = self.0.waiting().pop();
        let bytes = used.unwrap_or_else(|| vec![0; self.0.len].into_boxed_slice());
        Buffer { bytes, shelf: Arc::clone(&self.0) }
    }
}

impl Buffer {
    /// All of it, to be filled.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Shares the first `len` bytes, at most all.
    #[must_use]
    pub fn share(self, len: usize) -> Bytes {
        let len = len.min(self.bytes.len());
        Bytes::from_owner(self).slice(..len)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut waiting = self.shelf.waiting();
        if waiting.len() < self.shelf.kept_max {
            waiting.push(bytes);
        }
    }
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffers").field("len", &self.0.len).field("kept_max", &self.0.kept_max).finish_non_exhaustive()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
