//! Locks: what is decided here, and what the server is asked and told.

use std::time::Duration;

use holdfast_core::error::{Error, PosixError, Result};
use holdfast_core::id::{InodeId, SessionId};
use holdfast_core::lock::LockAsk;
use holdfast_core::session::BootTime;
use holdfast_proto::lock::LockConflict;
use holdfast_proto::v1::{self, client_message::Message};
use holdfast_proto::version::PROTOCOL_LOCAL_LOCKS;

use super::{LockWaiter, State};
use crate::session::locks::{LockDecision, LockResult};

impl State {
    /// Decides about a lock in a file that is exclusively ours. `None`: the server must be asked.
    pub(crate) fn lock_here(&mut self, ask: &LockAsk, wait: bool, now: BootTime) -> Option<LockDecision> {
        self.grants_locks().then(|| self.locks.lock_here(ask, wait, now))?
    }

    /// Who would be in the way of a lock in a file that is exclusively ours? `None`: the server must be
    /// asked.
    pub(crate) fn query_lock_here(&self, ask: &LockAsk) -> Option<Option<LockConflict>> {
        self.grants_locks().then(|| self.locks.query_here(ask))?
    }

    /// Whether the server can be told what is granted here.
    fn grants_locks(&self) -> bool {
        let spoken = self.terms.is_some_and(|terms| terms.protocol >= PROTOCOL_LOCAL_LOCKS);
        spoken && self.is_up() && self.check_open().is_ok()
    }

    /// Tells the server what was granted here in a file.
    pub(super) fn tell_locks(&mut self, ino: InodeId, now: BootTime) {
        if let Some(message) = self.locks.tell(ino, now) {
            self.say(message);
        }
    }

    /// Tells the server everything that was granted here.
    pub(super) fn tell_all_locks(&mut self, now: BootTime) {
        for message in self.locks.tell_all(now) {
            self.say(message);
        }
    }

    pub(crate) fn lock(&mut self, ask: LockAsk, wait: bool, waiter: LockWaiter, now: BootTime) -> Result<u64> {
        self.check_open()?;
        self.tell_locks(ask.ino, now);
        let (id, message) = self.locks.lock(ask, wait, Some(waiter));
        self.say(message);
        Ok(id)
    }

    pub(crate) fn query_lock(&mut self, ask: LockAsk, waiter: LockWaiter, now: BootTime) -> Result<()> {
        self.check_open()?;
        self.tell_locks(ask.ino, now);
        let (_, message) = self.locks.query(ask, waiter);
        self.say(message);
        Ok(())
    }

    pub(crate) fn cancel_lock(&mut self, id: u64) {
        let Some(message) = self.locks.cancel(id) else { return };
        if self.is_up() {
            self.say(message);
        } else if let Some(waiter) = self.locks.take_waiter(id) {
            // The server is told when it is back; the caller need not wait for that.
            let _ = waiter.send(Err(PosixError::Interrupted.into()));
        }
    }

    /// An answer about a lock.
    pub(crate) fn lock_answered(&mut self, id: u64, result: LockResult, now: BootTime) {
        let Some(answered) = self.locks.answered(id, &result, now) else { return };
        let heard = answered.waiter.is_some_and(|waiter| waiter.send(result.map_err(Error::from)).is_ok());
        if heard {
            return;
        }
        for ask in answered.undo {
            let (_, message) = self.locks.lock(ask, false, None);
            self.say(message);
        }
    }

    /// A question about who uses what was answered; only the stream that asked wants to know.
    pub(crate) fn described(&mut self, session: SessionId, description: v1::Description, now: BootTime) {
        if session == self.session {
            self.tell_all_locks(now);
            self.say(Message::Description(description));
        }
    }

    /// The processes that hold or await locks, each with a time for which it has been there.
    pub(crate) fn lock_users(&self, now: BootTime) -> Vec<(u32, Duration)> {
        self.locks.users(now)
    }
}
