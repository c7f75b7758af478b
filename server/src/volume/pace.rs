//! How fast commits go, and for whom: whether the thread that serves a session may commit by itself.
//! Pure.
//!
//! The committer is two changes of threads away, which costs more than half of what a quick disk takes. But
//! a thread that commits serves nobody else meanwhile; and wishes of several sessions should share one
//! commit, which they do at the committer.

use std::time::Duration;

use holdfast_core::id::SessionId;
use holdfast_core::session::BootTime;

/// A commit that takes longer is the committer's.
const QUICK: Duration = Duration::from_millis(1);
/// Wishes of two sessions within this time should go together.
const TOGETHER: Duration = Duration::from_millis(10);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// How long the last commit took.
    took: Duration,
    /// Who wished last, and when.
    last: Option<(SessionId, BootTime)>,
    /// When two sessions were seen to wish at the same time.
    crowded: Option<BootTime>,
}

impl Pace {
    /// A commit has taken so long.
    pub(super) const fn took(&mut self, time: Duration) {
        self.took = time;
    }

    /// A session wishes for a commit.
    pub(super) fn wished(&mut self, session: SessionId, now: BootTime) {
        let near = |then: BootTime| now.0.saturating_sub(then.0) < TOGETHER;
        if self.last.is_some_and(|(other, then)| other != session && near(then)) {
            self.crowded = Some(now);
        }
        self.crowded = self.crowded.filter(|&then| near(then));
        self.last = Some((session, now));
    }

    /// Whether a commit is soon done, and one session alone has wished for any lately.
    pub(super) fn is_quick_for_one(&self) -> bool {
        self.crowded.is_none() && self.took < QUICK
    }
}

#[cfg(test)]
mod tests;
