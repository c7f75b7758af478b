//! Every lock of a volume and everybody who waits for one: events in, outcomes out.
//!
//! - Two locks conflict when they are of one space and file, of different holders, share a byte,
//!   and one of them is exclusive. Conflicting locks are never held together.
//! - A request is granted as soon as nothing *held* is in its way. Those who wait are looked at in
//!   the order in which they came, whenever something is let go.
//! - A newcomer may overtake those who wait, but nobody is overtaken for ever: see [`queue`].
//! - Converting a flock lets the old one go first (flock(2)), so a conversion that fails has lost
//!   it. Converting a record lock changes nothing until it is granted (fcntl(2)).
//! - A wait for a record lock that would close a circle of waits, across files, is refused.
//!   flock(2) and waits for open-file-description locks have no such check.
//!
//! The table never speaks to anybody and never reads a clock: it is told the time.

mod queue;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::pieces::{Held, Pieces};
use super::{AwaitedLock, HeldLock, Holder, LockAsk, LockClaim, LockMode, LockRange, LockSpace};
use crate::id::{InodeId, LockOwner, SessionId};
use crate::session::BootTime;

const EVERY_FILE: RangeInclusive<InodeId> = InodeId(0)..=InodeId(u64::MAX);

/// Names one waiting request, from 1; never used again in the life of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What became of a request at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquire {
    /// Held now (or, of an unlock, let go).
    Granted,
    /// Somebody else's lock is in the way, and the request does not wait (`EAGAIN`).
    WouldBlock,
    /// It waits; a [`Woken`] with this ticket follows, unless it is cancelled first.
    Queued(Ticket),
    /// Waiting would be a deadlock (`EDEADLK`).
    Deadlock,
    /// The session has as many locks as it may have (`ENOLCK`).
    NoLocks,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Held now.
    Granted,
    /// What was granted to others has closed a circle of waits.
    Deadlock,
    /// The session has as many locks as it may have.
    NoLocks,
}

/// A request that waits no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Woken {
    /// Which.
    pub ticket: Ticket,
    /// What became of it.
    pub outcome: Outcome,
}

/// Locks and waiters of one volume.
#[derive(Clone, Debug)]
pub struct LockTable {
    files: BTreeMap<(InodeId, LockSpace), FileLocks>,
    waits: BTreeMap<Ticket, Wait>,
    waiting: BTreeSet<(Holder, Ticket)>,
    /// Where each session holds or awaits something.
    places: BTreeSet<(SessionId, InodeId, LockSpace)>,
    counts: BTreeMap<SessionId, usize>,
    per_session_max: usize,
    last_ticket: u64,
    now: BootTime,
    /// Who waits out of courtesy only, and until when.
    polite: BTreeSet<(BootTime, Ticket)>,
}

/// One file's locks of one space.
#[derive(Clone, Debug, Default)]
struct FileLocks {
    held: BTreeMap<Holder, Pieces>,
    /// In order of arrival.
    queue: BTreeSet<Ticket>,
}

#[derive(Clone, Copy, Debug)]
struct Wait {
    holder: Holder,
    ino: InodeId,
    space: LockSpace,
    mode: LockMode,
    range: LockRange,
    pid: u32,
    open_file: bool,
    since: BootTime,
    /// Nothing held is in its way: it lets others go first, until then at most.
    polite_until: Option<BootTime>,
}

impl LockTable {
    /// An empty table in which no session has more than so many locks and waits together.
    #[must_use]
    pub const fn new(per_session_max: usize) -> Self {
        Self {
            files: BTreeMap::new(),
            waits: BTreeMap::new(),
            waiting: BTreeSet::new(),
            places: BTreeSet::new(),
            counts: BTreeMap::new(),
            per_session_max,
            last_ticket: 0,
            now: BootTime(std::time::Duration::ZERO),
            polite: BTreeSet::new(),
        }
    }

    /// Takes, changes or (`mode: None`) lets go a lock. Requests that wait no longer because of
    /// it, those of others, are added to `woken` in the order in which they were granted.
    pub fn acquire(&mut self, session: SessionId, ask: &LockAsk, wait: bool, woken: &mut Vec<Woken>) -> Acquire {
        let holder = Holder { session, owner: ask.owner };
        let range = effective_range(ask);
        let key = (ask.ino, ask.space);
        let Some(mode) = ask.mode else {
            return self.unlock(key, holder, range, ask.pid, woken);
        };
        if !self.has_room(session) {
            return Acquire::NoLocks;
        }
        let is_new = self.pieces(key, holder).is_none();
        let converts = ask.space == LockSpace::Flock && self.converts(key, holder, mode);
        if converts {
            self.set(key, holder, range, None, ask.pid);
        }
        let request = self.request(session, ask, mode);
        let outcome = if !self.conflicts(&request) {
            match self.courtesy(&request).filter(|_| wait && is_new) {
                Some(until) => Acquire::Queued(self.enqueue(Wait { polite_until: Some(until), ..request })),
                None => {
                    self.set(key, holder, range, Some(mode), ask.pid);
                    Acquire::Granted
                }
            }
        } else if !wait {
            Acquire::WouldBlock
        } else if self.closes_circle(&request) {
            Acquire::Deadlock
        } else {
            Acquire::Queued(self.enqueue(request))
        };
        // A downgrade or a conversion may have freed what others wait for; a grant may have
        // closed a circle of theirs.
        self.wake(key, woken);
        outcome
    }

    /// Ends a wait without a lock. False: that ticket waits no longer; its outcome was told.
    pub fn cancel(&mut self, ticket: Ticket, woken: &mut Vec<Woken>) -> bool {
        let Some(wait) = self.forget_wait(ticket) else { return false };
        // Others may have let it go first.
        self.wake((wait.ino, wait.space), woken);
        true
    }

    /// Everything goes that one holder has or awaits, in every file and space.
    pub fn release_owner(&mut self, holder: Holder, woken: &mut Vec<Woken>) {
        self.release(holder.session, |candidate| candidate == holder, woken);
    }

    /// Everything goes that a session has or awaits. Its own waiters are not told.
    pub fn release_session(&mut self, session: SessionId, woken: &mut Vec<Woken>) {
        self.release(session, |_| true, woken);
    }

    /// Makes what a session holds exactly this, as it says when it comes back: what it does not
    /// name goes, its waits too (it asks again), and nobody gets in between. Returns what it claims
    /// and cannot have because somebody else holds it.
    pub fn reclaim_session(
        &mut self,
        session: SessionId,
        claims: &[LockClaim],
        woken: &mut Vec<Woken>,
    ) -> Vec<LockAsk> {
        self.reclaim(session, EVERY_FILE, claims, woken)
    }

    /// The same of one file, which the claims are all about: a session says what it has granted by itself.
    pub fn reclaim_file(
        &mut self,
        session: SessionId,
        ino: InodeId,
        claims: &[LockClaim],
        woken: &mut Vec<Woken>,
    ) -> Vec<LockAsk> {
        self.reclaim(session, ino..=ino, claims, woken)
    }

    fn reclaim(
        &mut self,
        session: SessionId,
        files: RangeInclusive<InodeId>,
        claims: &[LockClaim],
        woken: &mut Vec<Woken>,
    ) -> Vec<LockAsk> {
        let mut touched = self.clear(session, files, |_| true);
        let mut refused = Vec::new();
        for LockClaim { ask, held_for } in claims {
            let Some(mode) = ask.mode else { continue };
            let request = self.request(session, ask, mode);
            if self.conflicts(&request) || !self.has_room(session) {
                refused.push(*ask);
            } else {
                let key = (ask.ino, ask.space);
                let since = BootTime(self.now.0.saturating_sub(*held_for));
                self.set_since(key, request.holder, request.range, Some(mode), (ask.pid, since));
                touched.insert(key);
            }
        }
        for key in touched {
            self.wake(key, woken);
        }
        refused
    }

    /// The lock that is in the way of this one, the first by offset (`F_GETLK`).
    #[must_use]
    pub fn query(&self, session: SessionId, ask: &LockAsk) -> Option<HeldLock> {
        let request = self.request(session, ask, ask.mode?);
        self.obstacles(&request).min_by_key(|lock| (lock.range, lock.holder))
    }

    /// Every lock that is held, in order of files.
    pub fn held(&self) -> impl Iterator<Item = (InodeId, HeldLock)> + '_ {
        self.files.iter().flat_map(|(&(ino, space), file)| {
            file.held
                .iter()
                .flat_map(move |(&holder, pieces)| pieces.iter().map(move |piece| (ino, shown(holder, space, piece))))
        })
    }

    /// What a session holds in one file.
    pub fn held_in(&self, session: SessionId, ino: InodeId) -> impl Iterator<Item = HeldLock> + '_ {
        [LockSpace::Flock, LockSpace::Record].into_iter().flat_map(move |space| {
            let file = self.files.get(&(ino, space)).into_iter();
            let held = file.flat_map(move |file| file.held.range(first_holder(session)..=last_holder(session)));
            held.flat_map(move |(&holder, pieces)| pieces.iter().map(move |piece| shown(holder, space, piece)))
        })
    }

    /// Whether anybody but this session holds or awaits a lock in a file.
    #[must_use]
    pub fn is_used_elsewhere(&self, ino: InodeId, session: SessionId) -> bool {
        [LockSpace::Flock, LockSpace::Record].into_iter().filter_map(|space| self.files.get(&(ino, space))).any(
            |file| {
                let waiters = file.queue.iter().filter_map(|ticket| self.waits.get(ticket)).map(|wait| wait.holder);
                file.held.keys().copied().chain(waiters).any(|holder| holder.session != session)
            },
        )
    }

    /// How many locks a session holds, pieces of ranges each for itself, and how many it awaits.
    #[must_use]
    pub fn count(&self, session: SessionId) -> usize {
        self.counts.get(&session).copied().unwrap_or(0)
    }

    /// What one holder has of a range of a file, in order.
    pub fn held_within(&self, holder: Holder, ask: &LockAsk) -> impl Iterator<Item = HeldLock> + '_ {
        let (space, range) = (ask.space, effective_range(ask));
        let pieces = self.pieces((ask.ino, ask.space), holder).into_iter();
        pieces.flat_map(move |pieces| pieces.overlapping(range)).map(move |piece| shown(holder, space, piece))
    }

    /// Every request that waits, in order of arrival.
    pub fn waiting(&self) -> impl Iterator<Item = AwaitedLock> + '_ {
        self.waits.iter().map(|(&ticket, wait)| {
            let &Wait { holder, ino, space, mode, range, pid, open_file, since, .. } = wait;
            let ask = LockAsk { ino, space, owner: holder.owner, mode: Some(mode), range, pid, open_file };
            AwaitedLock { ticket, session: holder.session, ask, since }
        })
    }

    /// Whether nothing is held and nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    fn request(&self, session: SessionId, ask: &LockAsk, mode: LockMode) -> Wait {
        let &LockAsk { ino, space, owner, pid, open_file, .. } = ask;
        let (holder, range) = (Holder { session, owner }, effective_range(ask));
        Wait { holder, ino, space, mode, range, pid, open_file, since: self.now, polite_until: None }
    }

    fn unlock(
        &mut self,
        key: (InodeId, LockSpace),
        holder: Holder,
        range: LockRange,
        pid: u32,
        woken: &mut Vec<Woken>,
    ) -> Acquire {
        // Unlocking the middle of a piece makes two of it.
        let splits = self.pieces(key, holder).is_some_and(|pieces| {
            pieces.overlapping(range).any(|p| p.range.start() < range.start() && p.range.end() > range.end())
        });
        if splits && !self.has_room(holder.session) {
            return Acquire::NoLocks;
        }
        self.set(key, holder, range, None, pid);
        self.wake(key, woken);
        Acquire::Granted
    }

    fn release(&mut self, session: SessionId, mine: impl Fn(Holder) -> bool, woken: &mut Vec<Woken>) {
        for key in self.clear(session, EVERY_FILE, mine) {
            self.wake(key, woken);
        }
    }

    /// Drops waits and locks in these files without waking anybody; the places where something was let go.
    fn clear(
        &mut self,
        session: SessionId,
        files: RangeInclusive<InodeId>,
        mine: impl Fn(Holder) -> bool,
    ) -> BTreeSet<(InodeId, LockSpace)> {
        let first = (session, *files.start(), LockSpace::Flock);
        let last = (session, *files.end(), LockSpace::Record);
        let mut places: BTreeSet<_> = self.places.range(first..=last).map(|&(_, ino, space)| (ino, space)).collect();
        let tickets: Vec<Ticket> = self
            .waiting
            .range((first_holder(session), Ticket(0))..=(last_holder(session), Ticket(u64::MAX)))
            .filter(|(holder, _)| mine(*holder))
            .map(|&(_, ticket)| ticket)
            .filter(|ticket| self.waits.get(ticket).is_some_and(|wait| files.contains(&wait.ino)))
            .collect();
        for ticket in tickets {
            places.extend(self.forget_wait(ticket).map(|wait| (wait.ino, wait.space)));
        }
        for &key in &places {
            let holders: Vec<Holder> = self.files.get(&key).map_or_else(Vec::new, |file| {
                file.held
                    .range(first_holder(session)..=last_holder(session))
                    .map(|(&holder, _)| holder)
                    .filter(|&holder| mine(holder))
                    .collect()
            });
            for holder in holders {
                self.set(key, holder, LockRange::WHOLE, None, 0);
            }
        }
        places
    }

    /// Changes one holder's pieces, and everything that counts them.
    fn set(&mut self, key: (InodeId, LockSpace), holder: Holder, range: LockRange, mode: Option<LockMode>, pid: u32) {
        self.set_since(key, holder, range, mode, (pid, self.now));
    }

    fn set_since(
        &mut self,
        key: (InodeId, LockSpace),
        holder: Holder,
        range: LockRange,
        mode: Option<LockMode>,
        (pid, since): (u32, BootTime),
    ) {
        let file = self.files.entry(key).or_default();
        let pieces = file.held.entry(holder).or_default();
        let before = pieces.len();
        pieces.set(range, mode, pid, since);
        let after = pieces.len();
        if pieces.is_empty() {
            file.held.remove(&holder);
        }
        let place = (holder.session, key.0, key.1);
        let here = file.held.range(first_holder(holder.session)..=last_holder(holder.session)).next().is_some();
        if here {
            self.places.insert(place);
        } else {
            self.places.remove(&place);
        }
        *self.counts.entry(holder.session).or_default() += after;
        self.lower_count(holder.session, before);
        self.tidy(key);
    }

    fn lower_count(&mut self, session: SessionId, by: usize) {
        if let Some(count) = self.counts.get_mut(&session) {
            *count = count.saturating_sub(by);
            if *count == 0 {
                self.counts.remove(&session);
            }
        }
    }

    fn tidy(&mut self, key: (InodeId, LockSpace)) {
        if self.files.get(&key).is_some_and(|file| file.held.is_empty() && file.queue.is_empty()) {
            self.files.remove(&key);
        }
    }

    /// One request makes at most two pieces more.
    fn has_room(&self, session: SessionId) -> bool {
        self.count(session) + 2 <= self.per_session_max
    }

    fn pieces(&self, key: (InodeId, LockSpace), holder: Holder) -> Option<&Pieces> {
        self.files.get(&key)?.held.get(&holder)
    }

    fn converts(&self, key: (InodeId, LockSpace), holder: Holder, mode: LockMode) -> bool {
        self.pieces(key, holder).is_some_and(|pieces| pieces.iter().any(|piece| piece.mode != mode))
    }

    fn conflicts(&self, request: &Wait) -> bool {
        self.obstacles(request).next().is_some()
    }

    fn obstacles(&self, request: &Wait) -> impl Iterator<Item = HeldLock> + use<'_> {
        let &Wait { holder, range, mode, space, .. } = request;
        self.files.get(&(request.ino, request.space)).into_iter().flat_map(move |file| {
            file.held.iter().filter(move |(other, _)| **other != holder).flat_map(move |(&other, pieces)| {
                pieces
                    .overlapping(range)
                    .filter(move |piece| mode == LockMode::Exclusive || piece.mode == LockMode::Exclusive)
                    .map(move |piece| shown(other, space, piece))
            })
        })
    }

    /// Whether somebody in the way of this request waits, over however many steps, for its holder.
    fn closes_circle(&self, request: &Wait) -> bool {
        if !request.is_checked() {
            return false;
        }
        let mut seen = BTreeSet::new();
        let mut next: Vec<Holder> = self.obstacles(request).map(|lock| lock.holder).collect();
        while let Some(holder) = next.pop() {
            if holder == request.holder {
                return true;
            }
            if !seen.insert(holder) {
                continue;
            }
            let tickets = self.waiting.range((holder, Ticket(0))..=(holder, Ticket(u64::MAX)));
            let waits = tickets.filter_map(|(_, ticket)| self.waits.get(ticket));
            let waits = waits.filter(|wait| wait.is_checked());
            next.extend(waits.flat_map(|wait| self.obstacles(wait)).map(|lock| lock.holder));
        }
        false
    }
}

impl Wait {
    /// Whether it is looked at for deadlocks.
    const fn is_checked(&self) -> bool {
        matches!(self.space, LockSpace::Record) && !self.open_file
    }

    /// Whether the two cannot be held together.
    fn excludes(&self, other: &Self) -> bool {
        self.holder != other.holder
            && self.range.overlaps(other.range)
            && (self.mode == LockMode::Exclusive || other.mode == LockMode::Exclusive)
    }
}

/// flock(2) knows no ranges.
fn effective_range(ask: &LockAsk) -> LockRange {
    match ask.space {
        LockSpace::Flock => LockRange::WHOLE,
        LockSpace::Record => ask.range,
    }
}

fn shown(holder: Holder, space: LockSpace, piece: Held) -> HeldLock {
    HeldLock { holder, space, mode: piece.mode, range: piece.range, pid: piece.pid, since: piece.since }
}

const fn first_holder(session: SessionId) -> Holder {
    Holder { session, owner: LockOwner(0) }
}

const fn last_holder(session: SessionId) -> Holder {
    Holder { session, owner: LockOwner(u64::MAX) }
}

#[cfg(test)]
mod tests;
