//! What compaction has done in a volume since the server was started.

use holdfast_core::time::Timestamp;
use parking_lot::Mutex;

/// The figures of one volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// It is at work.
    pub(crate) running: bool,
    /// Segments that it freed.
    pub(crate) segments: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Frames that it wrote anew.
    pub(crate) frames_moved: u64,
    /// Their bytes.
    pub(crate) bytes_moved: u64,
    /// What went wrong last, and when.
    pub(crate) failure: Option<(Timestamp, String)>,
}

/// Keeps them, whether or not the volume is open.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Done>);

/// Work on a volume, until it is dropped.
#[derive(Debug)]
pub(super) struct AtWork<'a>(&'a Ledger);

impl Ledger {
    /// The figures now.
    pub(crate) fn done(&self) -> Done {
        self.0.lock().clone()
    }

    pub(super) fn at_work(&self) -> AtWork<'_> {
        self.0.lock().running = true;
        AtWork(self)
    }

    pub(super) fn moved(&self, frames: u64, bytes: u64) {
        let mut done = self.0.lock();
        done.frames_moved += frames;
        done.bytes_moved += bytes;
    }

    pub(super) fn freed(&self, bytes: u64) {
        let mut done = self.0.lock();
        done.segments += 1;
        done.bytes += bytes;
    }

    /// Keeps a failure; whether it is another one than the last.
    pub(super) fn failed(&self, now: Timestamp, why: String) -> bool {
        let before = self.0.lock().failure.replace((now, why.clone()));
        before.is_none_or(|(_, before)| before != why)
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.0.lock().running = false;
    }
}
