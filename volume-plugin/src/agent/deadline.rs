//! A point in time after which waiting ends.

use std::thread;
use std::time::{Duration, Instant};

/// The longest pause between two looks at something that is polled.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// When to stop waiting. Copied into everything that a request does, so that its parts share one limit.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// The point that is `limit` from now.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    /// What is left; zero when it is over.
    #[must_use]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// The earlier of this point and `limit` from now.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self(self.0.min(Instant::now() + limit))
    }

    /// Looks again and again, with growing pauses from half a millisecond, until `look` has an answer.
    ///
    /// `None` when the time is over. It looks at least once.
    ///
    /// # Errors
    /// Those of `look`, at once.
    pub(crate) fn poll<T, E>(self, mut look: impl FnMut() -> Result<Option<T>, E>) -> Result<Option<T>, E> {
        let mut pause = Duration::from_micros(500);
        loop {
            if let Some(answer) = look()? {
                return Ok(Some(answer));
            }
            let left = self.left();
            if left.is_zero() {
                return Ok(None);
            }
            thread::sleep(pause.min(left));
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}
