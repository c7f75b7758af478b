//! What compaction asks of the registry.

use std::sync::{Arc, Weak};

use holdfast_core::error::Result;
use holdfast_core::id::VolumeId;
use holdfast_proto::volume::VolumeRef;

use super::Registry;
use crate::compaction::ledger::Ledger;
use crate::volume::Owner;

impl Registry {
    /// The owners of the volumes that are open now, not kept open by this, and what compaction did there.
    pub(crate) fn open_owners(&self) -> Vec<(VolumeId, Weak<Owner>, Arc<Ledger>)> {
        let slots = self.open_slots().into_iter();
        let owners = slots.filter_map(|slot| {
            let owner = slot.owner()?;
            Some((slot.id, Arc::downgrade(&owner), Arc::clone(&slot.ledger)))
        });
        owners.collect()
    }

    /// What compaction did in a volume.
    ///
    /// # Errors
    /// `NotFound` when there is no such volume.
    pub(crate) fn ledger(&self, volume: &VolumeRef) -> Result<Arc<Ledger>> {
        Ok(Arc::clone(&self.find(volume)?.ledger))
    }
}
