//! Those who wait: who is next, and who may overtake whom.
//!
//! Linux lets a newcomer whom nothing *held* hinders in at once, past all who wait. On one machine
//! that is tolerable; a stream of readers from many hosts would keep a writer out for ever. Making
//! newcomers queue strictly would create deadlocks that programs do not have on a local disk: a
//! program that holds a shared lock and waits for its child, which asks for the same shared lock
//! behind a writer, would never go on, and the table cannot see that the one waits for the other.
//!
//! So a newcomer is *polite*, for a bounded time:
//!
//! - It lets those whom it would exclude go first, for as long as the oldest of them has waited
//!   already when it comes, and at most [`COURTESY_MAX`]. Then it is granted if nothing held
//!   hinders it. Who has waited for less than [`COURTESY_MIN`] is overtaken as on Linux.
//! - Nobody is polite to one whom a lock keeps out that has been held for longer than that: it is
//!   not the newcomers who keep it waiting.
//! - Whoever holds something of the file already, and whoever would not wait (`F_SETLK`,
//!   `LOCK_NB`), is never held up.
//! - A polite wait is for nobody's lock, so it is never part of a circle of waits (`EDEADLK`).
//!
//! The longer a writer waits, the longer readers stay out, so the readers who are in drain: as soon
//! as it has waited for as long as they hold their locks, it is next. And no program waits for ever
//! that would not on a local disk.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{LockTable, Outcome, Ticket, Wait, Woken};
use crate::id::InodeId;
use crate::lock::LockSpace;
use crate::session::BootTime;

/// Who has waited for less is overtaken.
pub(super) const COURTESY_MIN: Duration = Duration::from_millis(100);
/// Longest time that a newcomer lets others go first.
pub(super) const COURTESY_MAX: Duration = Duration::from_secs(5);

impl LockTable {
    /// Tells the time, which never goes back. Those who have been polite for long enough are
    /// granted what they asked for, and added to `woken`.
    pub fn tell_time(&mut self, now: BootTime, woken: &mut Vec<Woken>) {
        self.now = self.now.max(now);
        let due: BTreeSet<(InodeId, LockSpace)> = self
            .polite
            .range(..=(self.now, Ticket(u64::MAX)))
            .filter_map(|(_, ticket)| self.waits.get(ticket))
            .map(|wait| (wait.ino, wait.space))
            .collect();
        for key in due {
            self.wake(key, woken);
        }
    }

    /// Until when a newcomer lets others go first, if it has to.
    pub(super) fn courtesy(&self, request: &Wait) -> Option<BootTime> {
        let file = self.files.get(&(request.ino, request.space))?;
        let overtaken = self.elders(file.queue.iter(), request).filter(|elder| self.is_next(elder));
        let since = overtaken.map(|elder| elder.since).min()?;
        let waited = self.now.0.saturating_sub(since.0);
        (waited >= COURTESY_MIN).then(|| BootTime(self.now.0 + waited.min(COURTESY_MAX)))
    }

    /// Those of these who wait for a lock that somebody holds, and whom the request would exclude.
    fn elders<'a>(
        &'a self,
        tickets: impl Iterator<Item = &'a Ticket> + 'a,
        request: &'a Wait,
    ) -> impl Iterator<Item = &'a Wait> + 'a {
        tickets
            .filter_map(|ticket| self.waits.get(ticket))
            .filter(|elder| elder.polite_until.is_none() && elder.excludes(request))
    }

    /// Whether only newcomers could keep this one waiting for long.
    fn is_next(&self, elder: &Wait) -> bool {
        self.obstacles(elder).all(|lock| self.now.0.saturating_sub(lock.since.0) <= COURTESY_MAX)
    }

    /// Whether a polite wait still has somebody to let go first, and time for it.
    fn is_polite(&self, ticket: Ticket, wait: &Wait) -> bool {
        let Some(file) = self.files.get(&(wait.ino, wait.space)) else { return false };
        wait.polite_until.is_some_and(|until| self.now < until)
            && self.elders(file.queue.range(..ticket), wait).next().is_some()
    }

    /// Grants what can be granted now, in order of arrival, and refuses what has become a circle.
    pub(super) fn wake(&mut self, key: (InodeId, LockSpace), woken: &mut Vec<Woken>) {
        // A grant may close a circle for somebody who was looked at before: again, until it is quiet.
        while self.wake_once(key, woken) {}
    }

    /// Looks at each waiter once; whether one of them was granted.
    fn wake_once(&mut self, key: (InodeId, LockSpace), woken: &mut Vec<Woken>) -> bool {
        let Some(file) = self.files.get(&key) else { return false };
        let queue: Vec<Ticket> = file.queue.iter().copied().collect();
        let mut granted = false;
        for ticket in queue {
            let Some(&wait) = self.waits.get(&ticket) else { continue };
            let outcome = if self.conflicts(&wait) {
                self.be_earnest(ticket);
                if !self.closes_circle(&wait) {
                    continue;
                }
                Outcome::Deadlock
            } else if self.is_polite(ticket, &wait) {
                continue;
            } else if self.has_room(wait.holder.session) {
                Outcome::Granted
            } else {
                Outcome::NoLocks
            };
            self.forget_wait(ticket);
            if outcome == Outcome::Granted {
                self.set(key, wait.holder, wait.range, Some(wait.mode), wait.pid);
                granted = true;
            }
            woken.push(Woken { ticket, outcome });
        }
        granted
    }

    pub(super) fn enqueue(&mut self, wait: Wait) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.files.entry((wait.ino, wait.space)).or_default().queue.insert(ticket);
        self.waits.insert(ticket, wait);
        self.waiting.insert((wait.holder, ticket));
        self.polite.extend(wait.polite_until.map(|until| (until, ticket)));
        *self.counts.entry(wait.holder.session).or_default() += 1;
        ticket
    }

    pub(super) fn forget_wait(&mut self, ticket: Ticket) -> Option<Wait> {
        self.be_earnest(ticket);
        let wait = self.waits.remove(&ticket)?;
        self.waiting.remove(&(wait.holder, ticket));
        self.lower_count(wait.holder.session, 1);
        let key = (wait.ino, wait.space);
        if let Some(file) = self.files.get_mut(&key) {
            file.queue.remove(&ticket);
        }
        self.tidy(key);
        Some(wait)
    }

    /// Somebody holds what a polite one asked for: it waits like all others from here on.
    fn be_earnest(&mut self, ticket: Ticket) {
        if let Some(until) = self.waits.get_mut(&ticket).and_then(|wait| wait.polite_until.take()) {
            self.polite.remove(&(until, ticket));
        }
    }
}
