//! Which version of each file's content the kernel's page cache agrees with.
//!
//! The kernel may keep the pages of a closed file over the next open only if nobody has changed the
//! file meanwhile. While a file is open here the server pushes every foreign change before it is
//! answered, so the version seen last stands for what the cache holds; while it is closed nothing
//! is pushed, so only a gapless step counts. Forgetting is always safe: it costs a read.

use std::collections::HashMap;

use holdfast_core::id::{DataVersion, Epoch, InodeId};
use parking_lot::Mutex;

/// Files remembered, at most about; 16 bytes each and the table's overhead.
const FILES_MAX: usize = 131_072;

/// The table. Bounded: the older half goes when the younger is full.
#[derive(Debug, Default)]
pub(crate) struct CachedVersions(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    epoch: Epoch,
    young: HashMap<InodeId, DataVersion>,
    old: HashMap<InodeId, DataVersion>,
}

impl Generations {
    fn get(&self, ino: InodeId) -> Option<DataVersion> {
        self.young.get(&ino).or_else(|| self.old.get(&ino)).copied()
    }

    fn put(&mut self, ino: InodeId, version: DataVersion) {
        if self.young.len() >= FILES_MAX / 2 && !self.young.contains_key(&ino) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(ino, version);
    }

    fn raise(&mut self, ino: InodeId, version: DataVersion) {
        let version = self.get(ino).map_or(version, |seen| seen.max(version));
        self.put(ino, version);
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
    pub(crate) fn opened(&self, ino: InodeId, version: DataVersion, epoch: Epoch) -> bool {
        let mut table = self.0.lock();
        if table.epoch != epoch {
            *table = Generations { epoch, ..Generations::default() };
        }
        let keep = table.get(ino) == Some(version);
        table.raise(ino, version);
        keep
    }

    /// This mount changed a file; `open`: it was open here when the change was submitted.
    pub(crate) fn changed(&self, ino: InodeId, version: DataVersion, open: bool) {
        let mut table = self.0.lock();
        if open {
            table.raise(ino, version);
        } else if table.get(ino).map(DataVersion::next) == Some(version) {
            table.put(ino, version);
        } else {
            table.forget(ino);
        }
    }

    /// Others changed a file that is open here, and the kernel was or will be told.
    pub(crate) fn invalidated(&self, ino: InodeId, version: DataVersion) {
        self.0.lock().raise(ino, version);
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
