//! A session's streams: how each begins, what goes out on it, how it shows that it lives.

use std::task::{Context, Poll};

use bytes::Bytes;
use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::id::{InodeId, Seq};
use holdfast_core::lease::Mode;
use holdfast_core::limits::BATCH_OPS_MAX;
use holdfast_core::session::{BootTime, client_trusts_until};
use holdfast_core::time::Timestamp;
use holdfast_proto::lease;
use holdfast_proto::lock::claim_to_wire;
use holdfast_proto::op::to_wire;
use holdfast_proto::v1::{self, client_message::Message};
use prost::Message as _;

use super::{Introduction, Leaving, Phase, StageJob, State, Terms};

/// Bytes of operations after which a batch goes out; one more operation may exceed it.
const BATCH_BYTES: usize = 256 << 10;
/// Messages that may wait in the outbox before the stream is taken for stuck.
const OUTBOX_MAX: usize = 16 << 10;

impl State {
    /// Begins a stream with Hello; its number.
    pub(crate) fn begin_stream(&mut self, who: Introduction<'_>) -> u64 {
        self.generation += 1;
        self.phase = Phase::Down;
        self.outbox.clear();
        self.ordered.clear();
        self.questions.rewind();
        self.owed.clear();
        self.heartbeats.unanswered.clear();
        self.log.rewind();
        self.syncs.rewind();
        self.received_told = Seq(0);
        if self.leaving == Leaving::Said {
            self.leaving = Leaving::Wanted;
        }
        let resume = self.terms.is_some();
        let claims = self.locks.claims(who.now);
        self.outbox.push_back(Message::Hello(v1::Hello {
            protocol: holdfast_proto::version::PROTOCOL_NEWEST,
            protocol_oldest: holdfast_proto::version::PROTOCOL_OLDEST,
            volume_id: self.volume.to_string(),
            session_id: Bytes::copy_from_slice(&self.session.0),
            host: who.host.to_owned(),
            pid: std::process::id(),
            program: who.program.to_owned(),
            read_only: self.read_only,
            exclusive: who.exclusive,
            resume,
            open_inodes: if resume { self.opens_to_keep().into_iter().map(|ino| ino.0).collect() } else { Vec::new() },
            held_locks: claims.iter().map(claim_to_wire).collect(),
            next_seq: self.log.first_seq().0,
            pending_until: self.log.ever_sent().0,
            held_leases: if resume { held_to_wire(who.leases) } else { Vec::new() },
        }));
        // Whoever polls an older stream learns that it is over.
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        self.generation
    }

    /// The server welcomed us. Data to be staged again comes back.
    pub(crate) fn welcome(
        &mut self,
        welcome: &v1::Welcome,
        terms: Terms,
        hello_sent: BootTime,
    ) -> Result<Vec<StageJob>> {
        let resume = self.terms.is_some();
        let lost = |why: String| Err(Error::new(ErrorKind::SessionLost, why));
        if resume && !welcome.resumed && self.log.first_seq() != Seq(1) {
            return lost("the server does not know the session any more".to_owned());
        }
        if welcome.applied_seq > self.log.ever_sent().0 || welcome.durable_seq > welcome.applied_seq {
            return lost(format!(
                "the server has applied operations of this session up to {}, we sent {}",
                welcome.applied_seq,
                self.log.ever_sent()
            ));
        }
        self.phase = Phase::Up;
        self.trusted_until = client_trusts_until(hello_sent, terms.lease);
        self.terms = Some(terms);
        self.last_terms = terms;
        if !resume {
            self.set_block(terms.block);
        }
        for (epoch, id) in std::mem::take(&mut self.confirmed) {
            if epoch == terms.epoch {
                self.say(Message::InvalidateDone(v1::InvalidateDone { id }));
            }
        }
        for message in self.locks.to_ask_again() {
            self.say(message);
        }
        // The server begins anew with what it wants back.
        self.owed.clear();
        let mut jobs = self.unpark();
        self.say_questions();
        self.dirty = true;
        jobs.extend(self.admit());
        jobs.retain(|job| job.seq.0 > welcome.applied_seq);
        self.log.durable(Seq(welcome.durable_seq));
        Ok(jobs)
    }

    /// The stream broke.
    pub(crate) fn disconnect(&mut self) {
        self.tell_opens();
        if self.is_up() {
            self.phase = Phase::Down;
        }
        if let Some(terms) = self.terms {
            for message in self.outbox.drain(..) {
                if let Message::InvalidateDone(done) = message {
                    self.confirmed.push((terms.epoch, done.id));
                }
            }
        }
        self.generation += 1;
        self.dirty = true;
    }

    /// The next message for the stream of this number; ends when there is a newer one.
    pub(crate) fn poll_message(&mut self, generation: u64, cx: &Context<'_>) -> Poll<Option<Message>> {
        if generation != self.generation || self.is_over() {
            return Poll::Ready(None);
        }
        match self.next_message() {
            Some(message) => Poll::Ready(Some(message)),
            None => {
                self.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn next_message(&mut self) -> Option<Message> {
        if let Some(message) = self.outbox.pop_front() {
            return Some(message);
        }
        if !self.is_up() {
            return None;
        }
        if let Some(message) = self.next_in_order() {
            return Some(message);
        }
        if let Some((id, seq)) = self.syncs.next_request(self.log.sent()) {
            return Some(Message::Sync(v1::SyncRequest { seq: seq.0, id }));
        }
        if let Some(batch) = self.next_batch() {
            return Some(Message::Ops(batch));
        }
        if self.leaving == Leaving::Wanted && self.log.sent() == self.log.last_seq() {
            self.leaving = Leaving::Said;
            return Some(Message::Goodbye(v1::Goodbye {}));
        }
        None
    }

    fn next_batch(&mut self) -> Option<v1::OpBatch> {
        let mut batch = v1::OpBatch::default();
        let mut last = Seq(0);
        let mut bytes = 0;
        for (seq, entry) in self.log.to_send().take(BATCH_OPS_MAX) {
            if bytes >= BATCH_BYTES {
                break;
            }
            let op = to_wire(entry.caller, entry.time, entry.commit, &entry.op);
            bytes += op.encoded_len();
            if batch.ops.is_empty() {
                batch.first_seq = seq.0;
            }
            batch.ops.push(op);
            last = seq;
        }
        if batch.ops.is_empty() {
            return None;
        }
        self.log.mark_sent(last);
        self.idle = false;
        self.received_told = self.log.answered();
        batch.received_seq = self.received_told.0;
        Some(batch)
    }

    /// A heartbeat is due. Fails when the stream shows no sign of life, or is stuck.
    pub(crate) fn heartbeat(&mut self, now: BootTime) -> Result<()> {
        let Some(terms) = self.terms.filter(|_| self.is_up()) else { return Ok(()) };
        let silent = self.heartbeats.unanswered.front().map(|&(_, sent)| now.0.saturating_sub(sent.0));
        if let Some(silent) = silent.filter(|&silent| silent >= terms.lease / 2) {
            let message = format!("the server has not answered a heartbeat for {silent:?}");
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        if self.outbox.len() >= OUTBOX_MAX {
            return Err(Error::new(ErrorKind::Unavailable, "the server does not take what is sent"));
        }
        self.heartbeats.last_id += 1;
        let id = self.heartbeats.last_id;
        self.heartbeats.unanswered.push_back((id, now));
        self.tell_all_locks(now);
        self.say(Message::Heartbeat(v1::Heartbeat { id }));
        if self.received_told < self.log.answered() {
            self.received_told = self.log.answered();
            let received_seq = self.received_told.0;
            self.say(Message::Ops(v1::OpBatch { first_seq: self.log.sent().next().0, ops: Vec::new(), received_seq }));
        }
        Ok(())
    }

    /// A heartbeat was answered: the session is good for a lease from its sending.
    pub(crate) fn heartbeat_answered(&mut self, id: u64, server: Option<Timestamp>, now: BootTime) {
        while let Some(&(front, sent)) = self.heartbeats.unanswered.front().filter(|(front, _)| *front <= id) {
            self.heartbeats.unanswered.pop_front();
            if let Some(terms) = self.terms.filter(|_| front == id) {
                self.trusted_until = self.trusted_until.max(client_trusts_until(sent, terms.lease));
                self.heartbeats.rtt = Some(now.0.saturating_sub(sent.0));
                if let Some(server) = server {
                    self.set_clock(server, now);
                }
            }
        }
    }
}

fn held_to_wire(leases: &[(InodeId, Mode)]) -> Vec<v1::HeldLease> {
    leases.iter().map(|&(ino, mode)| lease::held_to_wire(ino, mode)).collect()
}
