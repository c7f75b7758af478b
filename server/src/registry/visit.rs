//! What checks and scrubs ask of the registry.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::error::{ErrorKind, Result};
use holdfast_proto::volume::VolumeRef;
use tokio::time::Instant;

use super::Registry;
use crate::integrity::desk::Desk;
use crate::integrity::schedule::Candidate;
use crate::volume::Visit;

/// A volume that is closed just as somebody comes is opened again for so long.
const OPEN_TIME_MAX: Duration = Duration::from_secs(10);
/// Time between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(20);

impl Registry {
    /// Begins a look at a volume, which is opened for it if need be.
    ///
    /// # Errors
    /// `NotFound` when there is none; what the store says when it cannot be opened.
    pub(crate) async fn visit(&self, volume: &VolumeRef) -> Result<Visit> {
        let id = self.find(volume)?.id;
        let patience = Instant::now() + OPEN_TIME_MAX;
        loop {
            let owner = self.open(id).await?;
            let begun = match owner.ready().await {
                Ok(()) => Visit::begin(owner),
                Err(error) => Err(error),
            };
            match begun {
                Err(error) if error.kind() == ErrorKind::Unavailable && Instant::now() < patience => {
                    tokio::time::sleep(TRY_AGAIN).await;
                }
                result => return result,
            }
        }
    }

    /// The directory of a volume, beside its store, and who scrubs it.
    ///
    /// # Errors
    /// `NotFound` when there is no such volume.
    pub(crate) fn scrub_desk(&self, volume: &VolumeRef) -> Result<(PathBuf, Arc<Desk>)> {
        let slot = self.find(volume)?;
        Ok((slot.dir.clone(), Arc::clone(&slot.desk)))
    }

    /// All volumes, for the schedule.
    pub(crate) fn scrub_candidates(&self) -> Vec<Candidate> {
        let index = self.index.lock();
        let slots = index.by_id.values();
        slots
            .map(|slot| Candidate {
                id: slot.id,
                created: slot.record.lock().created,
                dir: slot.dir.clone(),
                desk: Arc::clone(&slot.desk),
            })
            .collect()
    }
}
