//! What others have wanted for themselves a short time ago.
//!
//! Whoever wants such a thing has to wait until the kernel believes no name of it any more. Somebody
//! who looks at what another host changes now and then would hold that host up each time; so the
//! kernel is told nothing for a while after the first time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use holdfast_core::id::InodeId;

/// So long it counts.
const RECENT: Duration = Duration::from_secs(30);
/// Inodes that are known at most; when there are more, old ones go, or else all.
const INODES_MAX: usize = 1 << 14;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Wanted(HashMap<InodeId, Instant>);

impl Wanted {
    /// Somebody wants this for himself.
    pub(super) fn note(&mut self, ino: InodeId, now: Instant) {
        if self.0.len() >= INODES_MAX {
            self.0.retain(|_, at| now.duration_since(*at) < RECENT);
        }
        if self.0.len() >= INODES_MAX {
            self.0.clear();
        }
        self.0.insert(ino, now);
    }

    /// Whether somebody wanted it a short time ago.
    pub(super) fn is_recent(&self, ino: InodeId, now: Instant) -> bool {
        self.0.get(&ino).is_some_and(|at| now.duration_since(*at) < RECENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_wanted_counts_for_a_while() {
        let (mut wanted, now) = (Wanted::default(), Instant::now());
        wanted.note(InodeId(7), now);
        assert!(wanted.is_recent(InodeId(7), now + RECENT.saturating_sub(Duration::from_nanos(1))));
        assert!(!wanted.is_recent(InodeId(7), now + RECENT));
        assert!(!wanted.is_recent(InodeId(8), now));
    }

    #[test]
    fn it_stays_bounded() {
        let (mut wanted, now) = (Wanted::default(), Instant::now());
        for number in 0..=INODES_MAX as u64 {
            wanted.note(InodeId(number), now);
        }
        assert!(wanted.0.len() <= INODES_MAX);
        assert!(wanted.is_recent(InodeId(INODES_MAX as u64), now), "the newest stays");
    }
}
