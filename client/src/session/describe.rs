//! The answer to a question of people: who uses what of this session?

use std::sync::Weak;

use holdfast_core::id::SessionId;
use holdfast_proto::inspect::Description;

use crate::session::shared::Shared;

/// Answers what the server was asked. Dropped without that, the server shows what it knows itself.
#[derive(Debug)]
pub struct DescribeDone {
    shared: Weak<Shared>,
    session: SessionId,
    id: u64,
}

impl DescribeDone {
    pub(crate) const fn new(shared: Weak<Shared>, session: SessionId, id: u64) -> Self {
        Self { shared, session, id }
    }

    /// Sends the answer. From any thread; returns at once.
    pub fn answer(self, description: &Description) {
        if let Some(shared) = self.shared.upgrade() {
            let now = shared.now();
            shared.update(|state| state.described(self.session, description.to_wire(self.id), now));
        }
    }
}
