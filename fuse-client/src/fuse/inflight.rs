//! Requests that wait, so that the kernel can interrupt them.
//!
//! The kernel says once that the thread behind a request has a signal. A wait for a lock ends then
//! (`EINTR`, as fcntl(2) has it). Any other request goes on, since file IO is not interruptible,
//! unless the thread is being killed: then nobody will see the answer, and it is let go.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Interrupts kept that came before their request was entered.
const EARLY_MAX: usize = 256;
/// How often a thread with a signal is looked at, whether it is being killed.
const KILL_POLL: Duration = Duration::from_millis(100);

/// The requests that wait.
#[derive(Debug, Default)]
pub(super) struct Inflight(Mutex<Waits>);

#[derive(Debug, Default)]
struct Waits {
    waiting: HashMap<u64, oneshot::Sender<()>>,
    early: VecDeque<u64>,
}

/// A request that waits; leaves the table when dropped.
#[derive(Debug)]
pub(super) struct Wait {
    inflight: Arc<Inflight>,
    unique: u64,
    signal: oneshot::Receiver<()>,
}

impl Inflight {
    /// Enters a request.
    pub(super) fn enter(self: &Arc<Self>, unique: u64) -> Wait {
        let (sender, signal) = oneshot::channel();
        let mut waits = self.0.lock();
        match waits.early.iter().position(|early| *early == unique) {
            None => drop(waits.waiting.insert(unique, sender)),
            Some(at) => {
                waits.early.remove(at);
                let _ = sender.send(());
            }
        }
        Wait { inflight: Arc::clone(self), unique, signal }
    }

    /// The kernel says that the thread behind a request has a signal.
    pub(super) fn interrupt(&self, unique: u64) {
        let mut waits = self.0.lock();
        match waits.waiting.remove(&unique) {
            Some(sender) => drop(sender.send(())),
            None => {
                // Answered already, or read by another thread and not yet entered.
                if waits.early.len() == EARLY_MAX {
                    waits.early.pop_front();
                }
                waits.early.push_back(unique);
            }
        }
    }
}

impl Wait {
    /// Returns when the thread has a signal.
    pub(super) async fn interrupted(&mut self) {
        if (&mut self.signal).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns when the thread is being killed.
    pub(super) async fn killed(&mut self, thread: u32) {
        self.interrupted().await;
        while !is_being_killed(thread) {
            tokio::time::sleep(KILL_POLL).await;
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.inflight.0.lock().waiting.remove(&self.unique);
    }
}

/// Whether SIGKILL is pending for a thread: also what another deadly signal turns into.
fn is_being_killed(thread: u32) -> bool {
    const SIGKILL_BIT: u64 = 1 << (libc::SIGKILL - 1);
    if thread == 0 {
        return false;
    }
    let Ok(status) = std::fs::read_to_string(format!("/proc/{thread}/status")) else { return false };
    status.lines().any(|line| {
        line.strip_prefix("SigPnd:")
            .or_else(|| line.strip_prefix("ShdPnd:"))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .is_some_and(|mask| mask & SIGKILL_BIT != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[test]
    fn an_interrupt_reaches_its_request_also_when_it_comes_first() {
        let inflight = Arc::new(Inflight::default());
        let mut wait = inflight.enter(2);
        assert!(wait.interrupted().now_or_never().is_none());
        inflight.interrupt(2);
        assert!(wait.interrupted().now_or_never().is_some());
        inflight.interrupt(4);
        assert!(inflight.enter(4).interrupted().now_or_never().is_some());
        assert!(inflight.enter(6).interrupted().now_or_never().is_none());
    }

    #[test]
    fn the_table_forgets_what_is_over() {
        let inflight = Arc::new(Inflight::default());
        drop(inflight.enter(2));
        for unique in 0..10 * EARLY_MAX as u64 {
            inflight.interrupt(unique);
        }
        let waits = inflight.0.lock();
        assert!(waits.waiting.is_empty());
        assert_eq!(waits.early.len(), EARLY_MAX);
    }

    #[test]
    fn a_living_thread_is_not_being_killed() {
        assert!(!is_being_killed(std::process::id()));
        assert!(!is_being_killed(0));
    }
}
