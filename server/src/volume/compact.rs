//! What compaction asks of the owner of a volume: that what it moved becomes durable.

use std::sync::atomic::Ordering;

use super::Owner;

impl Owner {
    /// Whether everybody is served: the volume is open, and nobody brings anything back any more.
    pub(crate) fn is_serving(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Frames were moved: they become durable with the next commit, as operations do; `at_once`: now.
    pub(crate) fn compacted(&self, at_once: bool) {
        let mut state = self.lock();
        if !state.dirty {
            state.dirty = true;
            state.dirty_ticks = 0;
        }
        if at_once || self.settings.commit.is_due(&self.store.pending()) {
            self.demand_commit(&mut state);
        }
    }

    /// Whether so much waits for the disk that nothing should be added to it.
    pub(crate) fn is_behind(&self) -> bool {
        let pending = self.store.pending();
        self.settings.commit.is_due(&pending) || pending.bytes >= self.settings.commit.backlog_bytes_max / 2
    }
}
