//! How the committer is woken: a thread that waits with the owner's mutex, or a task that must not block.

use std::time::Duration;

use parking_lot::{Condvar, MutexGuard};
use tokio::sync::Notify;

/// Something may have to be done. Whoever waits looks for himself what.
#[derive(Debug, Default)]
pub(super) struct Demand {
    thread: Condvar,
    task: Notify,
}

impl Demand {
    /// Wakes the committer.
    pub(super) fn wake(&self) {
        self.thread.notify_one();
        self.task.notify_one();
    }

    /// Waits, as a thread.
    pub(super) fn wait<T>(&self, state: &mut MutexGuard<'_, T>) {
        self.thread.wait(state);
    }

    /// Waits, as a thread, while this holds, and at most so long; whether it still did then.
    pub(super) fn wait_while<T>(
        &self,
        state: &mut MutexGuard<'_, T>,
        holds: impl FnMut(&mut T) -> bool,
        time_max: Duration,
    ) -> bool {
        self.thread.wait_while_for(state, holds, time_max).timed_out()
    }

    /// Waits, as a task. What has woken nobody yet wakes the next who waits.
    pub(super) async fn woken(&self) {
        self.task.notified().await;
    }
}
