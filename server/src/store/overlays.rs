//! What is applied and not yet in the engine.

use std::sync::Arc;

use holdfast_core::time::Timestamp;
use holdfast_core::volume::Usage;

use super::Pending;
use crate::meta::engine::Engine;
use crate::meta::view::{Changes, View};

/// The overlays, and what readers want to know beside them.
#[derive(Debug, Default)]
pub(super) struct Overlays {
    /// Takes new changes.
    pub(super) active: Changes,
    /// On its way into the engine.
    pub(super) flushing: Option<Arc<Changes>>,
    /// What the volume holds, both overlays included.
    pub(super) usage: Usage,
    /// What the outcomes of operations take that no commit has taken up.
    pub(super) outcome_bytes: u64,
    /// Staged data that became part of files and that no commit has taken up.
    pub(super) data_bytes: u64,
    /// When the first operation came of those that no commit has taken up.
    pub(super) oldest: Option<Timestamp>,
}

impl Overlays {
    /// The volume as it is now.
    pub(super) fn view<'a>(&'a self, engine: &'a dyn Engine) -> View<'a> {
        View::new(&self.active, self.flushing.as_deref(), engine)
    }

    pub(super) fn pending(&self) -> Pending {
        let uncommitted_bytes = self.active.bytes() as u64 + self.outcome_bytes;
        let flushing_bytes = self.flushing.as_ref().map_or(0, |flushing| flushing.bytes() as u64);
        Pending {
            bytes: uncommitted_bytes + flushing_bytes,
            uncommitted_bytes,
            uncommitted_data_bytes: self.data_bytes,
            oldest: self.oldest,
        }
    }
}
