//! Locks: between the streams and core's lock table.

use holdfast_core::error::{Error, ErrorKind, PosixError, Result};
use holdfast_core::id::{InodeId, SessionId};
use holdfast_core::lock::{Acquire, LockAsk, LockClaim, Outcome, Woken};
use tracing::warn;

use super::member::{DeferredLock, Leave};
use super::staging::session_lost;
use super::{Owner, Phase, State};
use crate::failpoint::Failpoint;
use crate::session::{LockAnswer, Outbound, short};

/// Lock requests of one session that wait for the end of recovery.
const DEFERRED_MAX: usize = 4096;

impl Owner {
    /// A lock is wanted, changed or let go.
    ///
    /// # Errors
    /// When the stream is no longer the session's, or the id is in use.
    pub(crate) fn lock_request(
        &self,
        session: SessionId,
        generation: u64,
        id: u64,
        ask: LockAsk,
        wait: bool,
    ) -> Result<()> {
        let mut state = self.enter(session, generation)?;
        if self.defer(&mut state, session, DeferredLock::Request { id, ask, wait })? {
            return Ok(());
        }
        if state.members.get(&session).is_some_and(|member| member.lock_waits.contains_key(&id)) {
            return Err(Error::new(ErrorKind::Invalid, format!("lock request {id} is waiting already")));
        }
        self.request_lock(&mut state, session, id, &ask, wait);
        Ok(())
    }

    /// A waiting request is not wanted any more.
    ///
    /// # Errors
    /// When the stream is no longer the session's.
    pub(crate) fn lock_cancel(&self, session: SessionId, generation: u64, id: u64) -> Result<()> {
        let mut state = self.enter(session, generation)?;
        let mut woken = Vec::new();
        let Some(member) = state.members.get_mut(&session) else { return Ok(()) };
        let deferred = member.deferred_locks.len();
        member
            .deferred_locks
            .retain(|lock| !matches!(lock, DeferredLock::Request { id: waiting, .. } if *waiting == id));
        let interrupted = match member.lock_waits.remove(&id) {
            Some(ticket) => {
                state.lock_waits.remove(&ticket);
                state.locks.cancel(ticket, &mut woken)
            }
            None => member.deferred_locks.len() < deferred,
        };
        if interrupted {
            let answer = LockAnswer::Refused(PosixError::Interrupted);
            Self::send(&mut state, session, Outbound::Lock { id, answer });
        }
        self.deliver(&mut state, woken);
        Ok(())
    }

    /// A session says which locks it has in a file: it has granted some by itself, under an exclusive
    /// lease.
    ///
    /// # Errors
    /// When the stream is no longer the session's; `SessionLost` when another one holds what it names,
    /// which no lease allows.
    pub(crate) fn locks_of(&self, session: SessionId, generation: u64, ino: InodeId, held: &[LockClaim]) -> Result<()> {
        let mut state = self.enter(session, generation)?;
        self.tell_locks_the_time(&mut state);
        let mut woken = Vec::new();
        let refused = state.locks.reclaim_file(session, ino, held, &mut woken);
        self.deliver(&mut state, woken);
        self.check_reclaimed(&mut state, session, &refused)
    }

    /// What a session claims to hold and cannot have ends it.
    pub(super) fn check_reclaimed(&self, state: &mut State, session: SessionId, refused: &[LockAsk]) -> Result<()> {
        if refused.is_empty() || Failpoint::StaleReclaim.is_armed() {
            return Ok(());
        }
        warn!(
            volume = %self.settings.name,
            session = %short(session),
            locks = refused.len(),
            "a session claims locks that others hold; it is ended"
        );
        self.leave(state, session, Leave::Inconsistent);
        Err(session_lost())
    }

    /// Who would be in the way of a lock?
    ///
    /// # Errors
    /// When the stream is no longer the session's.
    pub(crate) fn lock_query(&self, session: SessionId, generation: u64, id: u64, ask: LockAsk) -> Result<()> {
        let mut state = self.enter(session, generation)?;
        if !self.defer(&mut state, session, DeferredLock::Query { id, ask })? {
            self.query_lock(&mut state, session, id, &ask);
        }
        Ok(())
    }

    /// Carries out what had to wait for the end of recovery.
    pub(super) fn run_deferred_locks(&self, state: &mut State) {
        let sessions: Vec<SessionId> = state.members.keys().copied().collect();
        for session in sessions {
            let deferred = state.members.get_mut(&session).map(|member| std::mem::take(&mut member.deferred_locks));
            for lock in deferred.into_iter().flatten() {
                match lock {
                    DeferredLock::Request { id, ask, wait } => self.request_lock(state, session, id, &ask, wait),
                    DeferredLock::Query { id, ask } => self.query_lock(state, session, id, &ask),
                }
            }
        }
    }

    /// Tells those whose waits are over.
    pub(super) fn deliver(&self, state: &mut State, woken: Vec<Woken>) {
        for Woken { ticket, outcome } in woken {
            let Some((session, id)) = state.lock_waits.remove(&ticket) else { continue };
            let answer = match outcome {
                Outcome::Granted => LockAnswer::Done,
                Outcome::Deadlock => LockAnswer::Refused(PosixError::Deadlock),
                Outcome::NoLocks => LockAnswer::Refused(PosixError::NoLocks),
            };
            if let Some(member) = state.members.get_mut(&session) {
                member.lock_waits.remove(&id);
                member.send(Outbound::Lock { id, answer });
            }
        }
    }

    /// Time has passed: some have let others go first for long enough.
    pub(super) fn tell_locks_the_time(&self, state: &mut State) {
        let mut woken = Vec::new();
        state.locks.tell_time(self.clock.boot(), &mut woken);
        self.deliver(state, woken);
    }

    fn request_lock(&self, state: &mut State, session: SessionId, id: u64, ask: &LockAsk, wait: bool) {
        self.tell_locks_the_time(state);
        let mut woken = Vec::new();
        let refused = |error| Some(LockAnswer::Refused(error));
        let answer = match state.locks.acquire(session, ask, wait, &mut woken) {
            Acquire::Granted => Some(LockAnswer::Done),
            Acquire::WouldBlock => refused(PosixError::WouldBlock),
            Acquire::Deadlock => refused(PosixError::Deadlock),
            Acquire::NoLocks => refused(PosixError::NoLocks),
            Acquire::Queued(ticket) => {
                state.lock_waits.insert(ticket, (session, id));
                if let Some(member) = state.members.get_mut(&session) {
                    member.lock_waits.insert(id, ticket);
                }
                None
            }
        };
        if let Some(answer) = answer {
            Self::send(state, session, Outbound::Lock { id, answer });
        }
        self.deliver(state, woken);
    }

    fn query_lock(&self, state: &mut State, session: SessionId, id: u64, ask: &LockAsk) {
        let conflict = state.locks.query(session, ask).map(|held| (ask.ino, held.seen_by(session)));
        Self::send(state, session, Outbound::Lock { id, answer: LockAnswer::Conflict(conflict) });
    }

    fn defer(&self, state: &mut State, session: SessionId, lock: DeferredLock) -> Result<bool> {
        if matches!(state.phase, Phase::Open) {
            return Ok(false);
        }
        let Some(member) = state.members.get_mut(&session) else { return Ok(true) };
        if member.deferred_locks.len() >= DEFERRED_MAX {
            return Err(Error::new(ErrorKind::Invalid, format!("over {DEFERRED_MAX} lock requests are unanswered")));
        }
        member.deferred_locks.push(lock);
        Ok(true)
    }
}
