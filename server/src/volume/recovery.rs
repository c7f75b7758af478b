//! When a volume that was left with sessions may open to everybody, and in which order it takes
//! up what they bring back.
//!
//! Pure. The owner waits until every known session has returned and re-sent all it has, at most
//! one lease; while a session that did return is still re-sending, two more. Who is not complete
//! then is fenced.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use holdfast_core::id::SessionId;
use holdfast_core::op::LoggedOp;
use holdfast_core::session::BootTime;

/// How far a known session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Not seen, or gone again before it was complete.
    Away,
    /// Back, and sending.
    Resending,
    /// Everything that it has is here.
    Complete,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Wait on.
    Wait,
    /// Apply what is here and open; these sessions are fenced.
    Open {
        /// Who did not come back complete in time.
        absent: Vec<SessionId>,
    },
}

/// The wait for the sessions that a volume knew.
#[derive(Debug)]
pub(crate) struct Recovery {
    known: BTreeMap<SessionId, Standing>,
    until: BootTime,
    until_at_most: BootTime,
}

impl Recovery {
    /// Begins to wait.
    pub(crate) fn new(known: impl IntoIterator<Item = SessionId>, now: BootTime, wait: Duration) -> Self {
        Self {
            known: known.into_iter().map(|session| (session, Standing::Away)).collect(),
            until: BootTime(now.0 + wait),
            until_at_most: BootTime(now.0 + wait * 3),
        }
    }

    /// A session is back and begins to send.
    pub(crate) fn returned(&mut self, session: SessionId) {
        self.set(session, Standing::Resending);
    }

    /// Everything that a session has is here.
    pub(crate) fn complete(&mut self, session: SessionId) {
        self.set(session, Standing::Complete);
    }

    /// A session's stream broke. What is here of it stays, if it is complete.
    pub(crate) fn broke(&mut self, session: SessionId) {
        if self.known.get(&session) == Some(&Standing::Resending) {
            self.set(session, Standing::Away);
        }
    }

    /// The time was not the sessions'.
    pub(crate) fn forgive(&mut self, pause: Duration) {
        self.until = BootTime(self.until.0 + pause);
        self.until_at_most = BootTime(self.until_at_most.0 + pause);
    }

    /// Whether to wait on.
    pub(crate) fn verdict(&self, now: BootTime) -> Verdict {
        let any = |wanted: Standing| self.known.values().any(|standing| *standing == wanted);
        let over = if any(Standing::Resending) {
            now >= self.until_at_most
        } else {
            now >= self.until || !any(Standing::Away)
        };
        if !over {
            return Verdict::Wait;
        }
        let absent = self.known.iter().filter(|(_, standing)| **standing != Standing::Complete);
        Verdict::Open { absent: absent.map(|(&session, _)| session).collect() }
    }

    fn set(&mut self, session: SessionId, to: Standing) {
        if let Some(standing) = self.known.get_mut(&session) {
            *standing = to;
        }
    }
}

/// An operation that waits, with its place in the order of arrival over all sessions.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    pub(crate) arrival: u64,
    pub(crate) op: LoggedOp,
}

/// Splits a session's queue: operations up to the last that an earlier owner gave its place, and
/// those behind it. These may be new, so they are applied as all others are, once the volume is open.
pub(crate) fn split(mut queue: VecDeque<Queued>) -> (VecDeque<Queued>, VecDeque<Queued>) {
    let replays = queue.iter().rposition(|queued| queued.op.replay_of.is_some()).map_or(0, |last| last + 1);
    let new = queue.split_off(replays);
    (queue, new)
}

/// Puts operations of several sessions into one order: those with a commit number in that order,
/// then the others as they arrived; and always each session's own as they stand in its log.
pub(crate) fn one_order(mut queues: BTreeMap<SessionId, VecDeque<Queued>>) -> Vec<(SessionId, LoggedOp)> {
    let mut order = Vec::with_capacity(queues.values().map(VecDeque::len).sum());
    let place = |queued: &Queued| match queued.op.replay_of {
        Some(commit) => (0, commit.0, queued.arrival),
        None => (1, queued.arrival, 0),
    };
    // The first of each queue; there may be very many queues.
    let heads = queues.iter().filter_map(|(&session, queue)| queue.front().map(|head| (place(head), session)));
    let mut heads: BTreeSet<_> = heads.collect();
    while let Some((_, session)) = heads.pop_first() {
        let Some(queue) = queues.get_mut(&session) else { continue };
        order.extend(queue.pop_front().map(|queued| (session, queued.op)));
        heads.extend(queue.front().map(|head| (place(head), session)));
    }
    order
}

#[cfg(test)]
mod tests;
