//! Access times of what is remembered, and how much that is.

use std::sync::Arc;
use std::time::Instant;

use holdfast_core::id::InodeId;
use holdfast_core::lease::Mode;
use holdfast_core::op::{Caller, Op};
use holdfast_core::relatime;
use holdfast_core::time::Timestamp;

use super::Memory;
use crate::stats::MemoryFigures;

impl Memory {
    /// How much is remembered, and lent.
    pub(crate) fn figures(&self) -> MemoryFigures {
        let state = self.inner.state.lock();
        let (mut shared, mut exclusive) = (0, 0);
        for (_, mode) in state.holdings().inodes() {
            match mode {
                Mode::Shared => shared += 1,
                Mode::Exclusive => exclusive += 1,
            }
        }
        MemoryFigures { inodes: state.len() as u64, shared, exclusive }
    }

    /// Whether a read of an inode moves its access time, as far as is known here.
    pub(crate) fn is_read_due(&self, ino: InodeId) -> bool {
        let now = self.inner.session().and_then(|session| session.server_time());
        let attr = self.inner.state.lock().attr(ino);
        now.zip(attr).is_some_and(|(now, attr)| relatime::is_due(&attr, now))
    }

    /// Moves it. The server is told when something else is, and nobody waits for it.
    pub(crate) fn touch(&self, ino: InodeId) {
        let op = Op::Touch { ino };
        if self.change(Caller::default(), &op, || ()).is_some() {
            return;
        }
        let Some(session) = self.inner.session() else { return };
        let mut state = self.inner.state.lock();
        if let Some(seq) = session.submit_idly(Caller::default(), op.clone()) {
            state.submitted(&op, seq);
        }
    }

    /// Has the kernel ask for the attributes of an inode anew. No lease is given back.
    fn retell(&self, ino: InodeId, told: Option<Instant>) {
        if let (Some(kernel), Some(told)) = (self.kernel.get(), told) {
            let inner = Arc::clone(&self.inner);
            kernel.drop_attributes(ino, told, Box::new(move || _ = inner.replies_are_out()), Box::new(|| ()));
        }
    }

    /// Others have read an inode: this is its access time; `None`: it is another one.
    pub(super) fn read_elsewhere(&self, ino: InodeId, atime: Option<Timestamp>) {
        let told = {
            let mut state = self.inner.state.lock();
            match atime {
                Some(atime) => state.accessed(ino, atime),
                None => state.doubt(ino),
            }
            state.told(ino).attributes
        };
        self.retell(ino, told);
    }
}
