//! Questions, leases, and operations that the server wants to have again.

use bytes::Bytes;
use holdfast_core::error::{PosixError, Result};
use holdfast_core::id::{InodeId, Seq, StageId};
use holdfast_core::lease::{GiveBack, Target};
use holdfast_core::op::{Caller, Op, WriteData};
use holdfast_core::session::BootTime;
use holdfast_proto::lease::{Question, Reply, give_back_to_wire};
use holdfast_proto::v1::client_message::Message;

use super::{AnswerWaiter, OpWaiter, StageJob, State};

/// An operation that took no effect because the session was asked for a lease. It goes to the end
/// of the log when everything that was asked for is given back.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) caller: Caller,
    pub(super) op: Op,
    pub(super) payload: Option<Bytes>,
    pub(super) waiter: Option<OpWaiter>,
}

impl State {
    /// Asks a question; its place is behind everything that was submitted.
    pub(crate) fn ask(&mut self, question: Question, waiter: AnswerWaiter) -> Result<u64> {
        self.check_open()?;
        let id = self.questions.ask(question, waiter);
        self.say_questions();
        Ok(id)
    }

    /// Nobody waits for its answer any more.
    pub(crate) fn give_up_question(&mut self, id: u64) {
        self.questions.give_up(id);
    }

    /// What was asked under a number on this stream, and behind which operation.
    pub(crate) fn question(&self, id: u64) -> Option<(&Question, Seq)> {
        self.questions.question(id)
    }

    /// A question was answered. Whoever does not wait any more does not want to know.
    pub(crate) fn answered(&mut self, id: u64, result: Result<Reply>) {
        match &result {
            Ok(Reply::Lookup(attr) | Reply::GetAttr(attr)) => self.heard_time(attr.ctime),
            Ok(Reply::ReadDir(page)) => {
                let newest = page.entries.iter().filter_map(|entry| entry.attr.as_ref()).map(|attr| attr.ctime).max();
                self.heard_time(newest.unwrap_or_default());
            }
            Err(_) => {}
        }
        if let Some(waiter) = self.questions.answered(id) {
            let _ = waiter.send(result);
        }
        self.say_questions();
    }

    /// The server wants a lease back.
    pub(crate) fn recalled(&mut self, ino: InodeId) {
        self.owed.insert(ino);
    }

    /// A lease is given back, behind everything that was submitted under it. Data to be staged for
    /// operations that waited for this comes back.
    pub(crate) fn give_back(&mut self, back: &GiveBack, now: BootTime) -> Vec<StageJob> {
        if let Target::Inode(ino) = back.target {
            self.owed.remove(&ino);
            // Others can have locks there from here on.
            self.tell_locks(ino, now);
            if self.untold_opens.remove(&ino) {
                self.tell_open(ino);
            }
        }
        self.say_in_order(Message::GiveBack(give_back_to_wire(back)));
        self.unpark()
    }

    /// Puts a message out behind all operations that were submitted so far.
    fn say_in_order(&mut self, message: Message) {
        if self.is_up() {
            self.ordered.push_back((self.log.last_seq(), message));
            self.dirty = true;
        }
    }

    pub(super) fn say_questions(&mut self) {
        while self.is_up() {
            let Some(message) = self.questions.say(self.log.last_seq()) else { return };
            self.say_in_order(message);
        }
    }

    /// The oldest message whose operations are sent.
    pub(super) fn next_in_order(&mut self) -> Option<Message> {
        let sent = self.log.sent();
        self.ordered.pop_front_if(|(after, _)| *after <= sent).map(|(_, message)| message)
    }

    /// An operation is to be done again.
    pub(super) fn park(&mut self, seq: Seq, parked: Parked) {
        tracing::debug!(%seq, "an operation is put off until a lease is given back");
        self.parked.push(parked);
    }

    /// Numbers what was put off, if nothing is in its way any more.
    pub(super) fn unpark(&mut self) -> Vec<StageJob> {
        if !self.owed.is_empty() || self.parked.is_empty() {
            return Vec::new();
        }
        for Parked { caller, mut op, payload, waiter } in std::mem::take(&mut self.parked) {
            self.tell_opens_before(&op);
            if let Op::Write { data: WriteData::Staged { stage, .. }, .. } = &mut op {
                *stage = StageId(self.log.next_seq().0);
            }
            // Its effect has no place yet in what is foretold.
            self.local.not_before = self.log.push(caller, op, payload, waiter);
        }
        self.admit()
    }

    /// Whether an outcome says that the operation is to be done again.
    pub(super) fn is_put_off(result: &holdfast_core::op::OpResult) -> bool {
        matches!(result, Err(PosixError::Retry))
    }
}
