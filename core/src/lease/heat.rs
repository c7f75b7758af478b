//! Which inodes are contended: their leases would only travel to and fro.

use std::time::Duration;

use super::Mode;
use crate::id::SessionId;
use crate::session::BootTime;

/// Two conflicts within this time make an inode hot.
pub(super) const HOT_WINDOW: Duration = Duration::from_secs(1);
/// So long after the last conflict it is cold again.
pub(super) const COOL_AFTER: Duration = Duration::from_secs(1);

/// How contended an inode is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Heat {
    last_conflict: Option<BootTime>,
    hot: bool,
    last_use: Option<(SessionId, Mode)>,
}

impl Heat {
    /// Somebody's lease was in the way of somebody else.
    pub(super) fn conflict(&mut self, now: BootTime) {
        let again = self.last_conflict.is_some_and(|last| now.0.saturating_sub(last.0) < HOT_WINDOW);
        self.hot = again || self.is_hot(now);
        self.last_conflict = Some(now);
    }

    /// A session used the inode at the server. While it is hot there are no leases that could
    /// conflict, so uses by turns, one of them a change, count as conflicts.
    pub(super) fn used(&mut self, by: SessionId, mode: Mode, now: BootTime) {
        let turn = self.last_use.is_some_and(|(last, before)| last != by && mode.conflicts(before));
        if turn && self.is_hot(now) {
            self.last_conflict = Some(now);
        }
        self.last_use = Some((by, mode));
    }

    /// Whether this session was the last to use it, or nobody has, and it is not hot.
    pub(super) fn is_only_for(&self, session: SessionId, now: BootTime) -> bool {
        self.last_use.is_none_or(|(last, _)| last == session) && !self.is_hot(now)
    }

    /// Whether nothing is to be lent on it.
    pub(super) fn is_hot(&self, now: BootTime) -> bool {
        self.hot && self.last_conflict.is_some_and(|last| now.0.saturating_sub(last.0) < COOL_AFTER)
    }

    /// Whether nothing of it matters any more.
    pub(super) fn is_cold(&self, now: BootTime) -> bool {
        let long = HOT_WINDOW.max(COOL_AFTER);
        self.last_conflict.is_none_or(|last| now.0.saturating_sub(last.0) >= long)
    }
}
