//! How long calls wait for a server that is away.
//!
//! Each call of a soft session has a time of its own, which begins with it, and anew whenever something is
//! heard of the server. The session itself is never given up for it.

use std::future::Future;
use std::sync::Arc;

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::session::BootTime;
use tokio::sync::oneshot;

use crate::session::options::Patience;
use crate::session::shared::Shared;
use crate::session::state::State;
use crate::session::{Session, lost};

/// Whether patience has ended, or the server says that its own has.
pub(crate) fn is_timeout<T>(result: &Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == ErrorKind::Timeout)
}

impl Shared {
    /// Ends when a soft session's patience with a call that began then is over; never that of a hard one.
    pub(crate) async fn patience_ends(&self, began: BootTime) -> Error {
        let Patience::Soft(patience) = self.options.patience else { return std::future::pending().await };
        loop {
            let silent_since = self.look(|state| state.heard_at).max(began);
            let left = patience.saturating_sub(self.now().0.saturating_sub(silent_since.0));
            if left.is_zero() {
                let message = format!("the server was away for {patience:?}, longer than this soft mount waits");
                return Error::new(ErrorKind::Timeout, message);
            }
            tokio::time::sleep(left).await;
        }
    }

    /// Waits for something of the server as long as the session's patience lasts.
    pub(crate) async fn patiently<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let began = self.now();
        tokio::select! {
            biased;
            result = work => result,
            error = self.patience_ends(began) => Err(error),
        }
    }

    /// Waits for an answer as long as patience lasts, and then gives it up.
    pub(crate) async fn answer<T>(
        &self,
        answer: oneshot::Receiver<Result<T>>,
        give_up: impl FnOnce(&mut State),
    ) -> Result<T> {
        let result = self.patiently(async { answer.await.unwrap_or_else(|_| Err(lost())) }).await;
        if is_timeout(&result) {
            self.update(give_up);
        }
        result
    }

    /// Something was heard of the server.
    pub(crate) fn note_heard(&self) {
        if self.options.patience != Patience::Hard {
            let now = self.now();
            self.update(|state| state.heard_at = now);
        }
    }
}

impl Session {
    /// Ends when patience with a call that begins now ends: a soft session has heard nothing of its server
    /// for so long. Changes that were sent by then may still be carried out, and their outcomes are
    /// still waited for; so whoever answers a caller in their place does it by this.
    pub fn patience(&self) -> impl Future<Output = Error> + Send + use<> {
        let shared = Arc::clone(self.shared());
        let began = shared.now();
        async move { shared.patience_ends(began).await }
    }
}
