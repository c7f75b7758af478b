//! The seam to a sorted key-value store: what a volume's metadata asks of it.
//!
//! An engine guarantees that a batch is visible and durable as a whole or not at all, and that
//! [`Engine::write`] returns only when it is durable. It never interprets keys or values. There is
//! one writer; readers may be many and run at the same time.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use bytes::Bytes;
use holdfast_core::error::Result;

use super::view::Changes;

pub mod memory;
pub mod rocksdb;

/// Called with each key and value of a scan, in order of key; says whether to go on.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// The reading half: a sorted map of bytes to bytes.
pub trait Reader: fmt::Debug + Send + Sync {
    /// The value of a key.
    ///
    /// # Errors
    /// `Damaged` when what is stored fails its checksum, `Unavailable` when it cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>>;

    /// Visits the keys from `from` (included) to `to` (excluded) as they are at the time of the
    /// call, in order.
    ///
    /// # Errors
    /// As for [`Reader::get`]; what was visited before the error stays visited.
    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<()>;
}

/// A sorted map of bytes to bytes that survives crashes.
pub trait Engine: Reader {
    /// Everything as it is now, whatever is written later: for long looks at all of it. Costs
    /// nothing to take, holds nobody up, and keeps out of the caches what it reads in passing.
    fn snapshot(&self) -> Box<dyn Reader + '_>;

    /// Writes all changes as one atomic batch. On return they are durable.
    ///
    /// # Errors
    /// Any failure leaves open whether the batch will be there after a restart: the caller must
    /// stop and recover, never go on or try again.
    fn write(&self, changes: &Changes) -> Result<()>;

    /// Writes a consistent copy of everything durable into `dir`, which must not exist; shares
    /// storage with the original where it can.
    ///
    /// # Errors
    /// The copy is not complete and should be removed.
    fn checkpoint(&self, dir: &Path) -> Result<()>;
}

#[cfg(test)]
mod tests;
