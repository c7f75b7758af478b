//! An open volume: its owner and the thread that commits for it.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::volume::VolumeSpec;
use tracing::warn;

use super::{Shared, blocking};
use crate::store::Store;
use crate::volume::{Owner, Settings};

/// How long the reads that are under way may take when a volume is closed.
const READS_END_TIME_MAX: Duration = Duration::from_secs(5);

/// An owner that runs.
#[derive(Debug)]
pub(super) struct OpenVolume {
    owner: Arc<Owner>,
    committer: JoinHandle<()>,
}

impl OpenVolume {
    /// Starts the owner of an opened store.
    pub(super) fn start(store: Store, spec: &VolumeSpec, shared: &Shared) -> Result<Self> {
        let settings = Settings {
            name: spec.name.to_string(),
            quota: spec.quota,
            policy: spec.policy,
            times: shared.times,
            commit: shared.commit,
            sessions_max: shared.limits.sessions_per_volume,
        };
        let owner = Arc::new(Owner::new(
            store,
            settings,
            Arc::clone(&shared.clock),
            shared.fatal.clone(),
            Arc::clone(&shared.directory),
        ));
        let thread = Arc::clone(&owner);
        let committer =
            std::thread::Builder::new().name("commit".to_owned()).spawn(move || thread.run_committer()).map_err(
                |error| Error::new(ErrorKind::Internal, format!("cannot start a thread: {error}")).because(error),
            )?;
        Ok(Self { owner, committer })
    }

    /// The owner.
    pub(super) const fn owner(&self) -> &Arc<Owner> {
        &self.owner
    }

    /// Stops serving, commits, and marks the stop clean.
    pub(super) async fn close(self) -> Result<()> {
        self.owner.stop();
        let Self { mut owner, committer } = self;
        join(committer).await?;
        // Reads that are under way hold the owner for a moment.
        let patience = tokio::time::Instant::now() + READS_END_TIME_MAX;
        loop {
            match Arc::try_unwrap(owner) {
                Ok(owner) => return blocking(move || owner.close()).await,
                Err(shared) if tokio::time::Instant::now() < patience => owner = shared,
                Err(_) => {
                    // All is durable; only the mark of a clean stop is missing.
                    warn!("reads of a volume that is being closed do not end; it is not marked as clean");
                    return Ok(());
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Stops at once, without a commit, as a crash would.
    pub(super) async fn abandon(self) {
        self.owner.abandon();
        let Self { owner, committer } = self;
        if let Err(error) = join(committer).await {
            warn!(?error, "the committer of an abandoned volume broke");
        }
        drop(owner);
    }
}

async fn join(thread: JoinHandle<()>) -> Result<()> {
    blocking(move || {
        thread.join().map_err(|_| Error::new(ErrorKind::Internal, "the committer of a volume broke; see the log"))
    })
    .await
}
