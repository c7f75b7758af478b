//! Waiting for a lock.

use std::future::Future;
use std::sync::{Arc, Weak};

use holdfast_core::error::Result;
use holdfast_core::lock::LockAsk;
use holdfast_proto::lock::LockConflict;
use tokio::sync::oneshot;

use crate::session::lost;
use crate::session::shared::Shared;

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

/// Asks for a lock.
pub(crate) fn lock(
    shared: &Arc<Shared>,
    ask: LockAsk,
    wait: bool,
) -> (LockTicket, impl Future<Output = Result<()>> + Send + use<>) {
    let (waiter, answer) = oneshot::channel();
    let now = shared.now();
    let id = shared.update(|state| state.lock(ask, wait, waiter, now));
    let ticket = LockTicket { shared: Arc::downgrade(shared), id: id.as_ref().ok().copied() };
    let given_up = GivenUp { ticket: ticket.clone(), answered: false };
    let answer = async move {
        id?;
        let result = heard(answer).await;
        given_up.settle();
        result.map(|_| ())
    };
    (ticket, answer)
}

/// Waits for an answer about a lock.
pub(crate) async fn heard(answer: oneshot::Receiver<Result<Option<LockConflict>>>) -> Result<Option<LockConflict>> {
    answer.await.unwrap_or_else(|_| Err(lost()))
}
