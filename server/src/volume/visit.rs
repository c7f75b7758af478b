//! Looks of the server's own at a volume: a check, a scrub. A visitor keeps the volume open, and goes
//! when it is to be closed.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use holdfast_core::error::Result;
use tokio::time::Instant;

use super::{Owner, Phase};

/// How long a commit may take.
const DURABLE_TIME_MAX: Duration = Duration::from_secs(60);
/// Time between two looks at whether something is durable.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// An owner that is in use until this is dropped.
#[derive(Debug)]
pub(crate) struct Visit(Arc<Owner>);

impl Visit {
    /// Begins one.
    ///
    /// # Errors
    /// `Unavailable` when the volume is being closed, `Damaged` when it has failed.
    pub(crate) fn begin(owner: Arc<Owner>) -> Result<Self> {
        {
            let mut state = owner.lock();
            if let Phase::Over(over) = &state.phase {
                return Err(owner.over_error(over));
            }
            state.visits += 1;
        }
        Ok(Self(owner))
    }

    /// Waits until a commit has taken up all that was applied at a [mark](crate::store::Store::applied_mark),
    /// a minute at most; whether one has.
    ///
    /// # Errors
    /// Those of `go_on`.
    pub(crate) async fn until_durable(&self, mark: u64, go_on: impl Fn() -> Result<()>) -> Result<bool> {
        let patience = Instant::now() + DURABLE_TIME_MAX;
        while !self.store.is_durable(mark) {
            go_on()?;
            if Instant::now() >= patience {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(true)
    }
}

impl Deref for Visit {
    type Target = Owner;

    fn deref(&self) -> &Owner {
        &self.0
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.visits = state.visits.saturating_sub(1);
    }
}

impl Owner {
    /// Whether a visitor may go on: the volume serves.
    ///
    /// # Errors
    /// `Unavailable` when it is being closed, `Damaged` when it has failed.
    pub(crate) fn is_open(&self) -> Result<()> {
        if self.ready.load(Ordering::Acquire) {
            return Ok(());
        }
        match &self.lock().phase {
            Phase::Over(over) => Err(self.over_error(over)),
            Phase::Open | Phase::Recovering(_) | Phase::Replaying { .. } => Ok(()),
        }
    }

    /// The volume's name, for people.
    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }
}
