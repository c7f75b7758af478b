//! The answer to an invalidation.

use std::sync::Weak;

use holdfast_core::id::{Epoch, SessionId};

use crate::session::shared::Shared;

/// Says that an invalidation was carried out. Dropped without that, the server waits until the
/// session's lease is over.
#[derive(Debug)]
#[must_use = "another host's caller waits for `confirm`"]
pub struct InvalidateDone {
    shared: Weak<Shared>,
    session: SessionId,
    epoch: Epoch,
    id: u64,
}

impl InvalidateDone {
    pub(crate) const fn new(shared: Weak<Shared>, session: SessionId, epoch: Epoch, id: u64) -> Self {
        Self { shared, session, epoch, id }
    }

    /// The kernel's copy is gone. From any thread; returns at once.
    pub fn confirm(self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.update(|state| state.confirm(self.session, self.epoch, self.id));
        }
    }
}
