//! Threads that are walking a path again because an inode went under them.
//!
//! The kernel looks a name up and then opens the inode, in two requests. If another host replaces
//! the file between the two, the open says `ESTALE` and the kernel starts over, once. On that second
//! walk the inode is pinned at its lookup, so that the open cannot fail again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Threads remembered at most; they come back within microseconds.
const THREADS_MAX: usize = 256;
/// How long a thread may take to come back.
const BACK: Duration = Duration::from_secs(5);

/// The threads that were told `ESTALE`.
#[derive(Debug, Default)]
pub(super) struct StaleThreads(Mutex<VecDeque<(u32, Instant)>>);

impl StaleThreads {
    /// A thread is told that an inode is gone.
    pub(super) fn told(&self, thread: u32) {
        let mut threads = self.0.lock();
        threads.retain(|(known, _)| *known != thread);
        if threads.len() == THREADS_MAX {
            threads.pop_front();
        }
        threads.push_back((thread, Instant::now()));
    }

    /// Whether a thread was told so a moment ago, and has not opened anything since.
    pub(super) fn walks_again(&self, thread: u32) -> bool {
        let threads = self.0.lock();
        threads.iter().any(|(known, since)| *known == thread && since.elapsed() < BACK)
    }

    /// A thread has opened what it looked for.
    pub(super) fn opened(&self, thread: u32) {
        let mut threads = self.0.lock();
        if !threads.is_empty() {
            threads.retain(|(known, _)| *known != thread);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_known_until_it_opens() {
        let threads = StaleThreads::default();
        assert!(!threads.walks_again(7));
        threads.told(7);
        assert!(threads.walks_again(7) && !threads.walks_again(8));
        threads.opened(7);
        assert!(!threads.walks_again(7));
    }

    #[test]
    fn the_table_is_bounded() {
        let threads = StaleThreads::default();
        for thread in 0..1000 {
            threads.told(thread);
        }
        assert_eq!(threads.0.lock().len(), THREADS_MAX);
        assert!(threads.walks_again(999) && !threads.walks_again(0));
    }
}
