//! Locks of a session, and waiting for them.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use holdfast_core::error::{PosixError, Result};
use holdfast_core::lock::LockAsk;
use holdfast_proto::lock::LockConflict;
use tokio::sync::oneshot;

use crate::session::patience::is_timeout;
use crate::session::shared::Shared;
use crate::session::{Session, lost};

/// A lock that was asked for and may still be waited for.
#[derive(Clone, Debug)]
pub struct LockTicket {
    shared: Weak<Shared>,
    id: Option<u64>,
}

impl LockTicket {
    /// Stop waiting: the lock's future ends with `Interrupted`, or with the lock if it came first.
    /// Later, or of an unlock, it does nothing.
    pub fn cancel(&self) {
        if let (Some(shared), Some(id)) = (self.shared.upgrade(), self.id) {
            shared.update(|state| state.cancel_lock(id));
        }
    }
}

/// Cancels when the wait is given up by dropping it.
struct GivenUp {
    ticket: LockTicket,
    answered: bool,
}

impl GivenUp {
    /// The answer came: there is nothing to cancel.
    fn settle(mut self) {
        self.answered = true;
    }
}

impl Drop for GivenUp {
    fn drop(&mut self) {
        if !self.answered {
            self.ticket.cancel();
        }
    }
}

impl Session {
    /// Takes, changes or releases a lock (`mode: None`); `wait`: until it is free. It has its place
    /// in the session's order of lock requests when this returns. Dropping the future gives up the
    /// wait, and the lock if it comes all the same.
    ///
    /// # Errors
    /// `Posix(WouldBlock)`, `Posix(Interrupted)`, `Posix(Deadlock)`, `Posix(NoLocks)`; `Timeout`: a soft
    /// mount's patience ended. An unlock is done all the same, when the server is back.
    pub fn lock(&self, ask: LockAsk, wait: bool) -> (LockTicket, impl Future<Output = Result<()>> + Send + use<>) {
        let (waiter, answer) = oneshot::channel();
        let shared = self.shared();
        let now = shared.now();
        let id = shared.update(|state| state.lock(ask, wait, waiter, now));
        let ticket = LockTicket { shared: Arc::downgrade(shared), id: id.as_ref().ok().copied() };
        let given_up = GivenUp { ticket: ticket.clone(), answered: false };
        let patient = Arc::clone(shared);
        let answer = async move {
            id?;
            let result = patient.patiently(heard(answer)).await;
            // Else it is cancelled, and the lock let go if it comes all the same.
            if !is_timeout(&result) {
                given_up.settle();
            }
            result.map(|_| ())
        };
        (ticket, answer)
    }

    /// Decides about a lock by itself, in a file on which the caller has an exclusive lease that is not
    /// given back before this returns. `None`: the server must be asked, with [`lock`](Self::lock).
    #[must_use]
    pub fn lock_here(&self, ask: &LockAsk, wait: bool) -> Option<std::result::Result<(), PosixError>> {
        let now = self.shared().now();
        self.shared().update(|state| state.lock_here(ask, wait, now))
    }

    /// As [`query_lock`](Self::query_lock), by itself, where [`lock_here`](Self::lock_here) may decide.
    #[must_use]
    pub fn query_lock_here(&self, ask: &LockAsk) -> Option<Option<LockConflict>> {
        self.shared().look(|state| state.query_lock_here(ask))
    }

    /// Who would be in the way of a lock (`F_GETLK`).
    ///
    /// # Errors
    /// Those of every call.
    pub async fn query_lock(&self, ask: LockAsk) -> Result<Option<LockConflict>> {
        let (waiter, answer) = oneshot::channel();
        let now = self.shared().now();
        self.shared().update(|state| state.query_lock(ask, waiter, now))?;
        self.shared().patiently(heard(answer)).await
    }

    /// The processes that hold or await locks, as this host numbers them, each with a time for which
    /// it has been there at least.
    #[must_use]
    pub fn lock_users(&self) -> Vec<(u32, Duration)> {
        let now = self.shared().now();
        self.shared().look(|state| state.lock_users(now))
    }
}

/// Waits for an answer about a lock.
async fn heard(answer: oneshot::Receiver<Result<Option<LockConflict>>>) -> Result<Option<LockConflict>> {
    answer.await.unwrap_or_else(|_| Err(lost()))
}
