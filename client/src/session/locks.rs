//! Locks of a session: what it holds, and what it asked for and waits to hear.
//!
//! What is held is a copy of the server's table, kept by its answers in their order, so that it
//! can be claimed again after a break. What is unanswered is asked again. Pure.
//!
//! Of a file that is exclusively ours nobody else has a lock, or can get one. So what can be granted at
//! once is granted here, while nothing about the file is unanswered, and the server is told of the file's
//! locks as a whole before it needs to know: before anything is asked about the file, and before its lease
//! is given back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast_core::error::PosixError;
use holdfast_core::id::{InodeId, SessionId};
use holdfast_core::lock::{Acquire, HeldLock, Holder, LockAsk, LockClaim, LockMode, LockRange, LockSpace, LockTable};
use holdfast_core::session::BootTime;
use holdfast_proto::lock::{LockConflict, claim_to_wire};
use holdfast_proto::v1;

/// Locks of a session up to which more are granted here: what is told of a file must fit a message, and
/// what was granted must not be refused.
const GRANTED_HERE_MAX: usize = 1024;
/// More locks than any server grants a session.
const LOCKS_MAX: usize = 1 << 24;

/// What a question is about.
#[derive(Clone, Copy, Debug)]
enum Question {
    /// Take, change or release.
    Lock { ask: LockAsk, wait: bool, cancelled: bool },
    /// Who is in the way?
    Query(LockAsk),
}

#[derive(Debug)]
struct Pending<W> {
    question: Question,
    waiter: Option<W>,
}

/// An answer for somebody: of a query, who is in the way.
pub(crate) type LockResult = Result<Option<LockConflict>, PosixError>;

/// A lock is had, or refused.
pub(crate) type LockDecision = Result<(), PosixError>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Locks<W> {
    session: SessionId,
    held: LockTable,
    /// In order of asking.
    pending: BTreeMap<u64, Pending<W>>,
    /// Files in which the server does not know what was granted or let go here.
    untold: BTreeSet<InodeId>,
    last_id: u64,
}

/// What to do about an answer.
#[derive(Debug)]
pub(crate) struct LockAnswered<W> {
    /// Who waits for it.
    pub(crate) waiter: Option<W>,
    /// What to ask for when nobody wants any more what was granted: what there was before.
    pub(crate) undo: Vec<LockAsk>,
}

impl<W> Locks<W> {
    pub(crate) fn new(session: SessionId) -> Self {
        Self { session, held: LockTable::new(LOCKS_MAX), pending: BTreeMap::new(), untold: BTreeSet::new(), last_id: 0 }
    }

    /// Notes a lock request; its id and message.
    pub(crate) fn lock(&mut self, ask: LockAsk, wait: bool, waiter: Option<W>) -> (u64, v1::client_message::Message) {
        self.ask(Question::Lock { ask, wait, cancelled: false }, waiter)
    }

    /// Notes a query; its id and message.
    pub(crate) fn query(&mut self, ask: LockAsk, waiter: W) -> (u64, v1::client_message::Message) {
        self.ask(Question::Query(ask), Some(waiter))
    }

    /// Takes, changes or lets go a lock in a file that is exclusively ours. `None`: the server must be
    /// asked, behind what [`tell`](Self::tell) says.
    pub(crate) fn lock_here(&mut self, ask: &LockAsk, wait: bool, now: BootTime) -> Option<LockDecision> {
        if self.is_pending(ask.ino) || self.held.count(self.session) >= GRANTED_HERE_MAX {
            return None;
        }
        self.held.tell_time(now, &mut Vec::new());
        self.untold.insert(ask.ino);
        match self.held.acquire(self.session, ask, false, &mut Vec::new()) {
            Acquire::Granted => Some(Ok(())),
            Acquire::WouldBlock if !wait => Some(Err(PosixError::WouldBlock)),
            Acquire::WouldBlock | Acquire::Queued(_) | Acquire::Deadlock | Acquire::NoLocks => None,
        }
    }

    /// Who would be in the way of a lock in a file that is exclusively ours? `None`: the server must be
    /// asked.
    pub(crate) fn query_here(&self, ask: &LockAsk) -> Option<Option<LockConflict>> {
        let known = !self.is_pending(ask.ino);
        let conflict = |held: HeldLock| LockConflict { mode: held.mode, range: held.range, pid: held.pid };
        known.then(|| self.held.query(self.session, ask).map(conflict))
    }

    /// Whether something about a file is unanswered.
    fn is_pending(&self, ino: InodeId) -> bool {
        self.pending.values().any(|pending| pending.question.ino() == ino)
    }

    /// What the server has to be told of a file before it decides anything about it.
    pub(crate) fn tell(&mut self, ino: InodeId, now: BootTime) -> Option<v1::client_message::Message> {
        if !self.untold.remove(&ino) {
            return None;
        }
        let held = self.held.held_in(self.session, ino).map(|lock| claim_to_wire(&claim(ino, &lock, now))).collect();
        Some(v1::client_message::Message::LocksOf(v1::LocksOf { ino: ino.0, held }))
    }

    /// The same of every file.
    pub(crate) fn tell_all(&mut self, now: BootTime) -> Vec<v1::client_message::Message> {
        let files: Vec<InodeId> = self.untold.iter().copied().collect();
        files.into_iter().filter_map(|ino| self.tell(ino, now)).collect()
    }

    fn ask(&mut self, question: Question, waiter: Option<W>) -> (u64, v1::client_message::Message) {
        self.last_id += 1;
        self.pending.insert(self.last_id, Pending { question, waiter });
        (self.last_id, message(self.last_id, &question))
    }

    /// Stops waiting for a lock: the message that says so, unless it was answered or cancelled.
    pub(crate) fn cancel(&mut self, id: u64) -> Option<v1::client_message::Message> {
        match self.pending.get_mut(&id).map(|pending| &mut pending.question) {
            Some(Question::Lock { cancelled, ask, .. }) if !*cancelled && ask.mode.is_some() => {
                *cancelled = true;
                Some(v1::client_message::Message::LockCancel(v1::LockCancel { id }))
            }
            _ => None,
        }
    }

    /// Who waits for this lock, to be told that it was interrupted before the server says so.
    pub(crate) fn take_waiter(&mut self, id: u64) -> Option<W> {
        self.pending.get_mut(&id)?.waiter.take()
    }

    /// The server answered.
    pub(crate) fn answered(&mut self, id: u64, result: &LockResult, now: BootTime) -> Option<LockAnswered<W>> {
        let pending = self.pending.remove(&id)?;
        let mut undo = Vec::new();
        if let Question::Lock { ask, .. } = pending.question {
            if result.is_ok() && ask.mode.is_some() {
                undo = self.before(&ask);
            }
            // Nobody waits in this table.
            self.held.tell_time(now, &mut Vec::new());
            self.mirror(&ask, result.is_ok());
        }
        Some(LockAnswered { waiter: pending.waiter, undo })
    }

    /// What leads back to what is held now of a range. Only lets go, so that each is granted.
    fn before(&self, ask: &LockAsk) -> Vec<LockAsk> {
        if ask.space == LockSpace::Flock {
            // Converting it has let go of the old one.
            return vec![LockAsk { mode: None, range: LockRange::WHOLE, ..*ask }];
        }
        let (mut asks, mut next) = (Vec::new(), Some(ask.range.start()));
        let holder = Holder { session: self.session, owner: ask.owner };
        let gap = |from: Option<u64>, end: Option<u64>| from.zip(end).and_then(|(from, end)| LockRange::new(from, end));
        let unlock = |range| LockAsk { mode: None, range, ..*ask };
        for held in self.held.held_within(holder, ask) {
            let (start, end) = (held.range.start().max(ask.range.start()), held.range.end().min(ask.range.end()));
            asks.extend(gap(next, start.checked_sub(1)).map(unlock));
            asks.extend(LockRange::new(start, end).map(|range| LockAsk { mode: Some(held.mode), range, ..*ask }));
            next = end.checked_add(1);
        }
        asks.extend(gap(next, Some(ask.range.end())).map(unlock));
        asks
    }

    fn mirror(&mut self, ask: &LockAsk, granted: bool) {
        // A flock that could not be converted has let go of the old one.
        let ask = match (granted, ask.space) {
            (true, _) => *ask,
            (false, LockSpace::Flock) => LockAsk { mode: None, range: LockRange::WHOLE, ..*ask },
            (false, LockSpace::Record) => return,
        };
        match self.held.acquire(self.session, &ask, false, &mut Vec::new()) {
            Acquire::Granted => {}
            refused => tracing::warn!(
                ino = ask.ino.0,
                ?refused,
                "the server granted a lock that conflicts with another of ours"
            ),
        }
    }

    /// What is held, to be claimed by a session that comes back: then all of it is told. What an unanswered
    /// request lets go or lowers is not held: the server may have done it, and another session may have what
    /// became free.
    pub(crate) fn claims(&mut self, now: BootTime) -> Vec<LockClaim> {
        self.untold.clear();
        let mut surely = self.held.clone();
        for pending in self.pending.values() {
            if let Question::Lock { ask, .. } = pending.question {
                for less in self.let_go_by(&surely, &ask) {
                    // Only lets go, so that each is granted.
                    let _granted = surely.acquire(self.session, &less, false, &mut Vec::new());
                }
            }
        }
        surely.held().map(|(ino, lock)| claim(ino, &lock, now)).collect()
    }

    /// What of these locks is gone as soon as the server sees a request, whatever becomes of it.
    fn let_go_by(&self, held: &LockTable, ask: &LockAsk) -> Vec<LockAsk> {
        match (ask.space, ask.mode) {
            // Converting it lets go of the old one first.
            (LockSpace::Flock, _) => vec![LockAsk { mode: None, range: LockRange::WHOLE, ..*ask }],
            (LockSpace::Record, None) => vec![*ask],
            (LockSpace::Record, Some(LockMode::Exclusive)) => Vec::new(),
            (LockSpace::Record, Some(LockMode::Shared)) => {
                let holder = Holder { session: self.session, owner: ask.owner };
                let lowered = held.held_within(holder, ask).filter(|held| held.mode == LockMode::Exclusive);
                let within = |held: HeldLock| {
                    let (start, end) =
                        (held.range.start().max(ask.range.start()), held.range.end().min(ask.range.end()));
                    LockRange::new(start, end).map(|range| LockAsk { range, ..*ask })
                };
                lowered.filter_map(within).collect()
            }
        }
    }

    /// The processes that hold or await something, each with the time since which it surely has
    /// been there.
    pub(crate) fn users(&self, now: BootTime) -> Vec<(u32, Duration)> {
        let held = self.held.held().map(|(_, lock)| (lock.pid, now.0.saturating_sub(lock.since.0)));
        let waiting = self.pending.values().filter_map(|pending| match pending.question {
            Question::Lock { ask, .. } => Some((ask.pid, Duration::ZERO)),
            Question::Query(_) => None,
        });
        held.chain(waiting).collect()
    }

    /// Everything that is unanswered, to be asked again, in order.
    pub(crate) fn to_ask_again(&self) -> Vec<v1::client_message::Message> {
        let mut messages = Vec::new();
        for (&id, pending) in &self.pending {
            messages.push(message(id, &pending.question));
            if matches!(pending.question, Question::Lock { cancelled: true, .. }) {
                messages.push(v1::client_message::Message::LockCancel(v1::LockCancel { id }));
            }
        }
        messages
    }

    /// The session is lost, and all its locks: who waits, and the files whose locks are gone.
    pub(crate) fn wreck(&mut self, new_session: SessionId) -> (Vec<W>, Vec<InodeId>) {
        let files = self.held.held().map(|(ino, _)| ino).collect();
        let last_id = self.last_id;
        let old = std::mem::replace(self, Self::new(new_session));
        self.last_id = last_id;
        (old.pending.into_values().filter_map(|pending| pending.waiter).collect(), files)
    }
}

impl Question {
    const fn ino(&self) -> InodeId {
        match self {
            Self::Lock { ask, .. } | Self::Query(ask) => ask.ino,
        }
    }
}

fn claim(ino: InodeId, lock: &HeldLock, now: BootTime) -> LockClaim {
    let &HeldLock { holder, space, mode, range, pid, since } = lock;
    let ask = LockAsk { ino, space, owner: holder.owner, mode: Some(mode), range, pid, open_file: false };
    LockClaim { ask, held_for: now.0.saturating_sub(since.0) }
}

fn message(id: u64, question: &Question) -> v1::client_message::Message {
    match question {
        Question::Lock { ask, wait, .. } => {
            v1::client_message::Message::Lock(v1::LockRequest { id, lock: Some(ask.into()), wait: *wait })
        }
        Question::Query(ask) => v1::client_message::Message::LockQuery(v1::LockQuery { id, lock: Some(ask.into()) }),
    }
}

#[cfg(test)]
mod tests;
