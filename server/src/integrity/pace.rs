//! How fast a scrub may read, and compaction move.

use std::time::Duration;

use holdfast_core::error::Result;
use holdfast_core::session::BootTime;

/// Time between two looks at whether it is to go on.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Lets so many bytes a second through, evenly. Pure: the time comes in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    bytes_per_second: u64,
    /// When the next bytes may be read.
    free: BootTime,
}

impl Pace {
    /// From now on.
    pub(crate) fn new(bytes_per_second: u64, now: BootTime) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), free: now }
    }

    /// So many bytes were read: how long to wait before the next.
    pub(crate) fn took(&mut self, bytes: u64, now: BootTime) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        let worth = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        // Time that was not used is not made up for: that would be a burst.
        let from = self.free.0.max(now.0.saturating_sub(worth));
        self.free = BootTime(from.saturating_add(worth));
        self.free.0.saturating_sub(now.0)
    }
}

/// Waits so long, unless it is not to go on.
///
/// # Errors
/// Those of `go_on`.
pub(crate) async fn rest(mut wait: Duration, go_on: impl Fn() -> Result<()>) -> Result<()> {
    while !wait.is_zero() {
        go_on()?;
        let step = wait.min(LOOK_EVERY);
        tokio::time::sleep(step).await;
        wait -= step;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
