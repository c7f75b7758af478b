//! How a session ends: lost and begun anew, ended for good, left.

use holdfast_core::error::{Error, ErrorKind};
use holdfast_core::id::{InodeId, SessionId};
use holdfast_core::op::{Caller, Op, OpReply};
use holdfast_core::session::BootTime;

use super::{Leaving, OpWaiter, Phase, State, closed};

impl State {
    /// The session is lost. Everybody who waits is told `error`; a new session begins under a new
    /// id, with the same files open. The inodes that lost something.
    pub(crate) fn lose(&mut self, new_session: SessionId, error: &dyn Fn() -> Error) -> Vec<InodeId> {
        let lost = self.abandon(new_session, error);
        for ino in std::mem::take(&mut self.opens) {
            self.log.push(Caller::default(), Op::open(ino), None, None);
        }
        lost
    }

    /// The session ended for good.
    pub(crate) fn end(&mut self, kind: ErrorKind, message: String) -> Vec<InodeId> {
        let session = self.session;
        let lost = self.abandon(session, &|| Error::new(kind, message.clone()));
        self.phase = Phase::Over(kind, message);
        lost
    }

    fn abandon(&mut self, new_session: SessionId, error: &dyn Fn() -> Error) -> Vec<InodeId> {
        self.disconnect();
        let wreck = self.log.wreck();
        for dropped in wreck.dropped {
            match (&dropped.op, dropped.unanswered) {
                (Op::Close { ino }, true) => {
                    self.opens.remove(ino);
                }
                // Nobody waits for it: it was answered under a lease, and the file is open.
                (Op::Open { ino, .. }, true) if dropped.waiter.as_ref().is_none_or(OpWaiter::is_closed) => {
                    self.opens.insert(*ino);
                }
                _ => {}
            }
            let Some(waiter) = dropped.waiter else { continue };
            // A send fails where nobody waits any more.
            let _ = match dropped.op {
                Op::Close { .. } => waiter.send(Ok(OpReply::Done)),
                _ => waiter.send(Err(error())),
            };
        }
        for parked in std::mem::take(&mut self.parked) {
            if let Some(waiter) = parked.waiter {
                let _ = waiter.send(Err(error()));
            }
        }
        for waiter in self.questions.wreck() {
            let _ = waiter.send(Err(error()));
        }
        for waiter in self.syncs.wreck() {
            let _ = waiter.send(Err(error()));
        }
        let (waiters, files) = self.locks.wreck(new_session);
        for waiter in waiters {
            let _ = waiter.send(Err(error()));
        }
        self.forget_local();
        let mut lost = wreck.lost;
        lost.extend(files);
        self.losses.extend(&lost);
        self.session = new_session;
        self.trusted_until = BootTime::default();
        self.terms = None;
        self.confirmed.clear();
        self.heartbeats.unanswered.clear();
        self.phase = Phase::Down;
        lost.into_iter().collect()
    }

    /// Begins to leave: Goodbye goes out behind everything that was submitted.
    pub(crate) fn leave(&mut self) {
        if self.leaving == Leaving::No {
            self.leaving = Leaving::Wanted;
            self.dirty = true;
        }
    }

    /// Whether Goodbye was said on this stream: then a farewell is its answer.
    pub(crate) fn has_said_goodbye(&self) -> bool {
        self.leaving == Leaving::Said
    }

    /// The server does not know the session any more, which wanted to leave: nothing is lost if it had nothing
    /// that was not durable. Then it is as if the farewell had come; whether it is so.
    pub(crate) fn had_left(&mut self) -> bool {
        let gone = self.leaving != Leaving::No && self.log.len() == 0 && self.parked.is_empty();
        if gone {
            self.left();
        }
        gone
    }

    /// The server let us go: everything is durable.
    pub(crate) fn left(&mut self) {
        let error = closed();
        self.end(error.kind(), error.message().to_owned());
    }
}
