//! Waiting for the server's disk, and hearing of what did not reach it.

use std::future::Future;
use std::sync::Arc;

use holdfast_core::error::{Error, ErrorKind, PosixError, Result};
use holdfast_core::id::InodeId;
use tokio::sync::oneshot;

use crate::session::Session;

impl Session {
    /// Waits until everything submitted before the call, and everything that others had applied,
    /// is on the server's disk. What is covered is fixed when this is called.
    ///
    /// # Errors
    /// `Posix(Io)` when the session is lost meanwhile; `Timeout` on a soft mount.
    pub fn sync(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        let (waiter, done) = oneshot::channel();
        let shared = Arc::clone(self.shared());
        let asked = shared.update(|state| state.sync(waiter));
        async move {
            let id = asked?;
            shared.answer(done, |state| state.give_up_sync(id)).await
        }
    }

    /// The same for fsync(2) of one file: also reports, once, that changes of it were lost.
    ///
    /// # Errors
    /// `Posix(Io)`.
    pub fn sync_file(&self, ino: InodeId) -> impl Future<Output = Result<()>> + Send + use<> {
        let done = self.sync();
        let shared = Arc::clone(self.shared());
        async move {
            let result = done.await;
            // Also when the sync failed: this is the one report.
            if shared.update(|state| state.take_loss(ino)) {
                return Err(Error::new(ErrorKind::Posix(PosixError::Io), format!("changes of inode {ino} were lost")));
            }
            result
        }
    }

    /// Whether changes of this inode were lost; the next call says `false` (for close and flush).
    #[must_use]
    pub fn take_loss(&self, ino: InodeId) -> bool {
        self.shared().update(|state| state.take_loss(ino))
    }
}
