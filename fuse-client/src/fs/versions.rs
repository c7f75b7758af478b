//! Which version of each file's content the kernel's page cache agrees with.
//!
//! The kernel may keep the pages of a closed file over the next open only if nobody has changed the
//! file meanwhile. While a file is open here the server pushes every foreign change before it is
//! answered, so the version seen last stands for what the cache holds; while it is closed nothing
//! is pushed, so only a gapless step counts. Forgetting is always safe: it costs a read.
//!
//! With each version goes the size that the file had, so that the kernel can be told how long a file
//! is that others make longer.

use std::collections::HashMap;

use holdfast_core::id::{DataVersion, Epoch, InodeId};
use parking_lot::Mutex;

/// Files remembered, at most about; 24 bytes each and the table's overhead.
const FILES_MAX: usize = 131_072;

/// A version, and the size of that one.
#[derive(Clone, Copy, Debug)]
struct Seen {
    version: DataVersion,
    size: u64,
}

/// The table. Bounded: the older half goes when the younger is full.
#[derive(Debug, Default)]
pub(crate) struct CachedVersions(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    epoch: Epoch,
    young: HashMap<InodeId, Seen>,
    old: HashMap<InodeId, Seen>,
}

impl Generations {
    fn get(&self, ino: InodeId) -> Option<Seen> {
        self.young.get(&ino).or_else(|| self.old.get(&ino)).copied()
    }

    fn put(&mut self, ino: InodeId, seen: Seen) {
        if self.young.len() >= FILES_MAX / 2 && !self.young.contains_key(&ino) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(ino, seen);
    }

    fn raise(&mut self, ino: InodeId, seen: Seen) {
        let latest = self.get(ino).filter(|known| known.version > seen.version).unwrap_or(seen);
        self.put(ino, latest);
    }

    fn forget(&mut self, ino: InodeId) {
        self.young.remove(&ino);
        self.old.remove(&ino);
    }
}

impl CachedVersions {
    /// A file was opened and found at `version`. Whether the kernel's pages are still true.
    ///
    /// Versions of another `epoch` count for nothing: an owner that came back after a crash may
    /// have given a number again.
    pub(crate) fn opened(&self, ino: InodeId, version: DataVersion, size: u64, epoch: Epoch) -> bool {
        let mut table = self.0.lock();
        if table.epoch != epoch {
            *table = Generations { epoch, ..Generations::default() };
        }
        let keep = table.get(ino).is_some_and(|seen| seen.version == version);
        table.raise(ino, Seen { version, size });
        keep
    }

    /// This mount changed a file; `open`: it was open here when the change was submitted.
    pub(crate) fn changed(&self, ino: InodeId, version: DataVersion, size: u64, open: bool) {
        let mut table = self.0.lock();
        if open {
            table.raise(ino, Seen { version, size });
        } else if table.get(ino).is_some_and(|seen| seen.version.next() == version) {
            table.put(ino, Seen { version, size });
        } else {
            table.forget(ino);
        }
    }

    /// Others changed a file that is open here, and the kernel was or will be told. Whether that
    /// left it at least as long as it was, as far as is known.
    pub(crate) fn invalidated(&self, ino: InodeId, version: DataVersion, size: u64) -> bool {
        let mut table = self.0.lock();
        let grew = table.get(ino).is_none_or(|seen| seen.size <= size);
        table.raise(ino, Seen { version, size });
        grew
    }

    /// How long a file was at the latest version that this mount has heard of.
    pub(crate) fn size(&self, ino: InodeId) -> Option<u64> {
        self.0.lock().get(ino).map(|seen| seen.size)
    }

    /// Nothing is known any more (the session was lost).
    pub(crate) fn clear(&self) {
        let mut table = self.0.lock();
        let epoch = table.epoch;
        *table = Generations { epoch, ..Generations::default() };
    }
}

#[cfg(test)]
mod tests;
