//! An open volume: its owner and who commits for it.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::volume::VolumeSpec;
use tokio::task;
use tracing::warn;

use super::Shared;
use crate::offload::blocking;
use crate::store::Store;
use crate::stores::Committer;
use crate::volume::{Owner, Settings};

/// How long the reads that are under way may take when a volume is closed.
const READS_END_TIME_MAX: Duration = Duration::from_secs(5);

/// An owner that runs.
#[derive(Debug)]
pub(super) struct OpenVolume {
    owner: Arc<Owner>,
    committer: Option<Running>,
}

/// A committer that runs.
#[derive(Debug)]
enum Running {
    Thread(thread::JoinHandle<()>),
    Task(task::JoinHandle<()>),
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
        let committing = Arc::clone(&owner);
        let committer = match &shared.committer {
            Committer::Thread => {
                let thread = thread::Builder::new().name("commit".to_owned());
                Running::Thread(thread.spawn(move || committing.run_committer()).map_err(|error| {
                    Error::new(ErrorKind::Internal, format!("cannot start a thread: {error}")).because(error)
                })?)
            }
            Committer::Task(disk) => {
                let disk = Arc::clone(disk);
                Running::Task(tokio::spawn(async move { committing.commit_as_task(&*disk).await }))
            }
        };
        Ok(Self { owner, committer: Some(committer) })
    }

    /// The owner.
    pub(super) const fn owner(&self) -> &Arc<Owner> {
        &self.owner
    }

    /// Stops serving, commits, and marks the stop clean.
    pub(super) async fn close(mut self) -> Result<()> {
        self.owner.stop();
        join(self.committer.take()).await?;
        match self.into_owner().await {
            Some(owner) => blocking(move || owner.close()).await,
            None => {
                // All is durable; only the mark of a clean stop is missing.
                warn!("reads of a volume that is being closed do not end; it is not marked as clean");
                Ok(())
            }
        }
    }

    /// Stops at once, without a commit, as a crash would.
    pub(super) async fn abandon(mut self) {
        self.owner.abandon();
        if let Err(error) = join(self.committer.take()).await {
            warn!(?error, "the committer of an abandoned volume broke");
        }
        drop(self.into_owner().await);
    }

    /// The owner, once nobody else has it: reads that are under way hold it for a moment.
    async fn into_owner(self) -> Option<Owner> {
        let mut owner = Arc::clone(&self.owner);
        drop(self);
        let patience = tokio::time::Instant::now() + READS_END_TIME_MAX;
        loop {
            match Arc::try_unwrap(owner) {
                Ok(owner) => return Some(owner),
                Err(shared) if tokio::time::Instant::now() < patience => owner = shared,
                Err(_) => return None,
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for OpenVolume {
    /// Ends the committer of a volume that nobody closed, and waits for it: a thread that is in the
    /// metadata engine while the process ends would break on what the engine has torn down.
    fn drop(&mut self) {
        self.owner.abandon();
        if let Some(Running::Thread(thread)) = self.committer.take()
            && thread.join().is_err()
        {
            warn!("the committer of a volume broke");
        }
    }
}

async fn join(committer: Option<Running>) -> Result<()> {
    let broke = || Error::new(ErrorKind::Internal, "the committer of a volume broke; see the log");
    match committer {
        None => Ok(()),
        Some(Running::Thread(thread)) => blocking(move || thread.join().map_err(|_| broke())).await,
        Some(Running::Task(task)) => task.await.map_err(|error| broke().because(error)),
    }
}
