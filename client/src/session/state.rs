//! Everything a session knows, behind one mutex: events in, effects out, nothing waits.
//!
//! The session outlives its streams. A stream is numbered (`generation`); what belongs to one (the
//! outbox, what was sent) goes with it, what belongs to the session (log, syncs, locks, opens)
//! stays and is said again on the next.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::error::{Error, ErrorKind, PosixError, Result};
use holdfast_core::id::{Epoch, InodeId, Seq, SessionId, StageId, VolumeId};
use holdfast_core::limits::{BATCH_OPS_MAX, UNANSWERED_OPS_MAX};
use holdfast_core::lock::LockAsk;
use holdfast_core::op::{Caller, Op, OpReply, WriteAt, WriteData};
use holdfast_core::session::{BootTime, client_trusts_until};
use holdfast_core::volume::MountPolicy;
use holdfast_proto::lock::LockConflict;
use holdfast_proto::op::to_wire;
use holdfast_proto::outcome::applied_op;
use holdfast_proto::v1::{self, client_message::Message};
use prost::Message as _;
use tokio::sync::oneshot;

use crate::admin::distrust;
use crate::session::locks::{LockResult, Locks};
use crate::session::log::{Answered, Limits, OpLog, changes_something, opened};
use crate::session::syncs::Syncs;

pub(crate) type OpWaiter = oneshot::Sender<Result<OpReply>>;
pub(crate) type SyncWaiter = oneshot::Sender<Result<()>>;
pub(crate) type LockWaiter = oneshot::Sender<Result<Option<LockConflict>>>;

/// Bytes of operations after which a batch goes out; one more operation may exceed it.
const BATCH_BYTES: usize = 256 << 10;
/// Messages that may wait in the outbox before the stream is taken for stuck.
const OUTBOX_MAX: usize = 16 << 10;

/// Where a session stands.
#[derive(Debug)]
pub(crate) enum Phase {
    /// No stream, or one that is not yet welcome.
    Down,
    /// Operations flow.
    Up,
    /// It ended and will not come back; why.
    Over(ErrorKind, String),
}

/// How far leaving has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    No,
    Wanted,
    /// Goodbye was sent on this stream.
    Said,
}

/// What the server said at the last welcome.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    pub(crate) root: InodeId,
    pub(crate) policy: MountPolicy,
    pub(crate) epoch: Epoch,
    pub(crate) lease: Duration,
    pub(crate) heartbeat: Duration,
}

/// Data to be staged for the operation of this number, which names it.
#[derive(Debug)]
pub(crate) struct StageJob {
    pub(crate) generation: u64,
    pub(crate) session: SessionId,
    pub(crate) seq: Seq,
    pub(crate) data: Bytes,
}

#[derive(Debug, Default)]
struct Heartbeats {
    last_id: u64,
    /// Sent and not answered, in order.
    unanswered: VecDeque<(u64, BootTime)>,
    rtt: Option<Duration>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) volume: VolumeId,
    pub(crate) session: SessionId,
    pub(crate) generation: u64,
    pub(crate) phase: Phase,
    /// Of the present session; none until its first welcome.
    pub(crate) terms: Option<Terms>,
    /// Of whatever session was welcomed last.
    pub(crate) last_terms: Terms,
    pub(crate) log: OpLog<OpWaiter>,
    /// The server is believed in until then.
    pub(crate) trusted_until: BootTime,
    read_only: bool,
    syncs: Syncs<SyncWaiter>,
    locks: Locks<LockWaiter>,
    opens: BTreeSet<InodeId>,
    losses: HashSet<InodeId>,
    outbox: VecDeque<Message>,
    /// Invalidations that were carried out while there was no stream.
    confirmed: Vec<(Epoch, u64)>,
    heartbeats: Heartbeats,
    received_told: Seq,
    leaving: Leaving,
    waker: Option<Waker>,
    /// There is something new for the stream.
    dirty: bool,
}

/// What a message of the server's leads to outside of the state.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) ops: Vec<(OpWaiter, Result<OpReply>)>,
    pub(crate) syncs: Vec<SyncWaiter>,
    pub(crate) stages: Vec<StageJob>,
    /// Inodes that lost a change although their session lives.
    pub(crate) lost: Vec<InodeId>,
}

/// How a session introduces itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Introduction<'a> {
    pub(crate) host: &'a str,
    pub(crate) program: &'a str,
}

impl State {
    pub(crate) fn new(
        volume: VolumeId,
        session: SessionId,
        read_only: bool,
        pending_bytes_max: usize,
        now: BootTime,
    ) -> Self {
        Self {
            volume,
            session,
            generation: 0,
            phase: Phase::Down,
            terms: None,
            last_terms: Terms::default(),
            log: OpLog::new(Limits { bytes: pending_bytes_max, ops: UNANSWERED_OPS_MAX }),
            trusted_until: now,
            read_only,
            syncs: Syncs::new(),
            locks: Locks::new(session),
            opens: BTreeSet::new(),
            losses: HashSet::new(),
            outbox: VecDeque::new(),
            confirmed: Vec::new(),
            heartbeats: Heartbeats::default(),
            received_told: Seq(0),
            leaving: Leaving::No,
            waker: None,
            dirty: false,
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up)
    }

    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over(..))
    }

    pub(crate) const fn rtt(&self) -> Option<Duration> {
        self.heartbeats.rtt
    }

    /// Fails when the session ended for good, or is being left.
    pub(crate) fn check_open(&self) -> Result<()> {
        match &self.phase {
            Phase::Over(kind, message) => Err(Error::new(*kind, message.clone())),
            Phase::Down | Phase::Up if self.leaving != Leaving::No => Err(closed()),
            Phase::Down | Phase::Up => Ok(()),
        }
    }

    /// Whoever must be woken because there is something new to send; once.
    pub(crate) fn take_waker(&mut self) -> Option<Waker> {
        if std::mem::take(&mut self.dirty) { self.waker.take() } else { None }
    }

    // === operations ===

    /// Numbers an operation. Data to be staged now comes back.
    pub(crate) fn submit(&mut self, caller: Caller, op: Op, waiter: OpWaiter) -> Result<Vec<StageJob>> {
        self.check_open()?;
        if self.read_only && changes_something(&op) {
            return Err(PosixError::ReadOnly.into());
        }
        self.log.push(caller, op, None, Some(waiter));
        Ok(self.admit())
    }

    /// Numbers a write whose data travels beside it.
    pub(crate) fn submit_staged(
        &mut self,
        caller: Caller,
        (ino, at, kill_privileges): (InodeId, WriteAt, bool),
        (payload, len): (Bytes, u32),
        waiter: OpWaiter,
    ) -> Result<Vec<StageJob>> {
        self.check_open()?;
        if self.read_only {
            return Err(PosixError::ReadOnly.into());
        }
        // The number of the operation is unique in the session, so it names its data too.
        let data = WriteData::Staged { stage: StageId(self.log.next_seq().0), len };
        self.log.push(caller, Op::Write { ino, at, data, kill_privileges }, Some(payload), Some(waiter));
        Ok(self.admit())
    }

    /// Lets operations go that fit within the limits.
    fn admit(&mut self) -> Vec<StageJob> {
        if !self.is_up() {
            return Vec::new();
        }
        let mut jobs = Vec::new();
        for seq in self.log.admit().map(Seq) {
            self.dirty = true;
            jobs.extend(self.stage_job(seq));
        }
        if self.log.is_held_up() || self.log.is_heavy() {
            self.syncs.hurry(self.log.admitted());
            self.dirty = true;
        }
        jobs
    }

    fn stage_job(&self, seq: Seq) -> Option<StageJob> {
        let data = self.log.entry(seq)?.payload.clone()?;
        Some(StageJob { generation: self.generation, session: self.session, seq, data })
    }

    /// Staging failed for good: the operation is taken back and its caller told. False: it was
    /// answered already.
    pub(crate) fn withdraw(&mut self, job: &StageJob, error: Error) -> bool {
        if job.session != self.session {
            return false;
        }
        let Some((waiter, lost)) = self.log.withdraw(job.seq) else { return false };
        self.losses.extend(lost);
        if let Some(waiter) = waiter {
            // Nobody waits any more: then nobody wants to know.
            let _ = waiter.send(Err(error));
        }
        true
    }

    /// Whether an operation still waits for its answer on this stream.
    pub(crate) fn awaits(&self, job: &StageJob) -> bool {
        self.session == job.session && self.log.awaits(job.seq)
    }

    pub(crate) fn sync(&mut self, waiter: SyncWaiter) -> Result<()> {
        self.check_open()?;
        self.syncs.push(self.log.last_seq(), waiter);
        self.dirty = true;
        Ok(())
    }

    pub(crate) fn take_loss(&mut self, ino: InodeId) -> bool {
        self.losses.remove(&ino)
    }

    // === locks ===

    pub(crate) fn lock(&mut self, ask: LockAsk, wait: bool, waiter: LockWaiter) -> Result<u64> {
        self.check_open()?;
        let (id, message) = self.locks.lock(ask, wait, Some(waiter));
        self.say(message);
        Ok(id)
    }

    pub(crate) fn query_lock(&mut self, ask: LockAsk, waiter: LockWaiter) -> Result<()> {
        self.check_open()?;
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
    pub(crate) fn lock_answered(&mut self, id: u64, result: LockResult) {
        let Some(answered) = self.locks.answered(id, &result) else { return };
        let heard = answered.waiter.is_some_and(|waiter| waiter.send(result.map_err(Error::from)).is_ok());
        if let (false, Some(ask)) = (heard, answered.granted) {
            let (_, message) = self.locks.lock(LockAsk { mode: None, ..ask }, false, None);
            self.say(message);
        }
    }

    /// Puts a message out if there is a stream; what must be said on the next one is said from
    /// what the session keeps.
    fn say(&mut self, message: Message) {
        if self.is_up() {
            self.outbox.push_back(message);
            self.dirty = true;
        }
    }

    /// An invalidation was carried out.
    pub(crate) fn confirm(&mut self, session: SessionId, epoch: Epoch, id: u64) {
        if session != self.session {
            return;
        }
        if !self.is_up() {
            self.confirmed.push((epoch, id));
        } else if self.terms.is_some_and(|terms| terms.epoch == epoch) {
            self.say(Message::InvalidateDone(v1::InvalidateDone { id }));
        }
    }

    // === the stream ===

    /// Begins a stream with Hello; its number.
    pub(crate) fn begin_stream(&mut self, who: Introduction<'_>) -> u64 {
        self.generation += 1;
        self.phase = Phase::Down;
        self.outbox.clear();
        self.heartbeats.unanswered.clear();
        self.log.rewind();
        self.syncs.rewind();
        self.received_told = Seq(0);
        if self.leaving == Leaving::Said {
            self.leaving = Leaving::Wanted;
        }
        let resume = self.terms.is_some();
        let claims = self.locks.claims();
        self.outbox.push_back(Message::Hello(v1::Hello {
            protocol: holdfast_proto::version::PROTOCOL_NEWEST,
            protocol_oldest: holdfast_proto::version::PROTOCOL_OLDEST,
            volume_id: self.volume.to_string(),
            session_id: Bytes::copy_from_slice(&self.session.0),
            host: who.host.to_owned(),
            pid: std::process::id(),
            program: who.program.to_owned(),
            read_only: self.read_only,
            resume,
            open_inodes: if resume { self.opens.iter().map(|ino| ino.0).collect() } else { Vec::new() },
            held_locks: claims.iter().map(|ask| v1::HeldLock { lock: Some(ask.into()) }).collect(),
            next_seq: self.log.first_seq().0,
            pending_until: self.log.ever_sent().0,
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
        for (epoch, id) in std::mem::take(&mut self.confirmed) {
            if epoch == terms.epoch {
                self.say(Message::InvalidateDone(v1::InvalidateDone { id }));
            }
        }
        for message in self.locks.to_ask_again() {
            self.say(message);
        }
        self.dirty = true;
        let mut jobs = self.admit();
        jobs.retain(|job| job.seq.0 > welcome.applied_seq);
        self.log.durable(Seq(welcome.durable_seq));
        Ok(jobs)
    }

    /// The stream broke.
    pub(crate) fn disconnect(&mut self) {
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
            let op = to_wire(entry.caller, None, entry.commit, &entry.op);
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
        self.received_told = self.log.answered();
        batch.received_seq = self.received_told.0;
        Some(batch)
    }

    // === what the server says ===

    /// Outcomes of operations.
    pub(crate) fn applied(&mut self, outcomes: Vec<v1::OpOutcome>) -> Result<Effects> {
        let mut effects = Effects { ops: Vec::with_capacity(outcomes.len()), ..Effects::default() };
        for wire in outcomes {
            let seq = Seq(wire.seq);
            if seq > self.log.ever_sent() {
                return Err(distrust("outcome", &format!("operation {seq} was never sent")));
            }
            let Some(entry) = self.log.entry(seq) else { continue };
            let commit = holdfast_core::id::CommitSeq(wire.commit);
            let (result, defect) = match applied_op(wire, &entry.op) {
                Ok(applied) => (applied.result, None),
                Err(error) => (Err(PosixError::Io), Some(distrust("outcome of an operation", error.message()))),
            };
            let open = result.as_ref().ok().and_then(|reply| opened(&entry.op, reply));
            let close = if let Op::Close { ino } = entry.op { Some(ino) } else { None };
            match self.log.outcome(seq, commit, &result) {
                Answered::First(waiter) => {
                    self.opens.extend(open);
                    if let Some(ino) = close {
                        self.opens.remove(&ino);
                    }
                    if let Some(defect) = &defect {
                        tracing::error!(%seq, error = %defect, "an operation got an answer that cannot be");
                    }
                    if let Some(waiter) = waiter {
                        effects.ops.push((waiter, defect.map_or_else(|| result.map_err(Error::from), Err)));
                    }
                }
                Answered::Undone(inodes) => {
                    self.losses.extend(&inodes);
                    effects.lost.extend(inodes);
                }
                Answered::Again | Answered::Unknown => {}
            }
        }
        effects.stages = self.admit();
        Ok(effects)
    }

    /// Operations are on disk.
    pub(crate) fn durable(&mut self, seq: Seq, sync_id: u64) -> Result<Effects> {
        if !self.log.durable(seq) {
            return Err(distrust("report of what is on disk", &format!("operation {seq} was never sent")));
        }
        let syncs = self.syncs.answered(sync_id, seq);
        Ok(Effects { syncs, stages: self.admit(), ..Effects::default() })
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
        self.say(Message::Heartbeat(v1::Heartbeat { id }));
        if self.received_told < self.log.answered() {
            self.received_told = self.log.answered();
            let received_seq = self.received_told.0;
            self.say(Message::Ops(v1::OpBatch { first_seq: self.log.sent().next().0, ops: Vec::new(), received_seq }));
        }
        Ok(())
    }

    /// A heartbeat was answered: the session is good for a lease from its sending.
    pub(crate) fn heartbeat_answered(&mut self, id: u64, now: BootTime) {
        while let Some(&(front, sent)) = self.heartbeats.unanswered.front().filter(|(front, _)| *front <= id) {
            self.heartbeats.unanswered.pop_front();
            if let Some(terms) = self.terms.filter(|_| front == id) {
                self.trusted_until = self.trusted_until.max(client_trusts_until(sent, terms.lease));
                self.heartbeats.rtt = Some(now.0.saturating_sub(sent.0));
            }
        }
    }

    // === the end ===

    /// Whether somebody waits for the server.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.log.has_unanswered() || self.syncs.is_waiting() || self.locks.is_waiting()
    }

    /// The session is lost. Everybody who waits is told `error`; a new session begins under a new
    /// id, with the same files open. The inodes that lost something.
    pub(crate) fn lose(&mut self, new_session: SessionId, error: &dyn Fn() -> Error) -> Vec<InodeId> {
        let lost = self.abandon(new_session, error);
        for ino in std::mem::take(&mut self.opens) {
            let op = Op::Open { ino, truncate: false, kill_privileges: false };
            self.log.push(Caller::default(), op, None, None);
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
            if let (Op::Close { ino }, true) = (&dropped.op, dropped.unanswered) {
                self.opens.remove(ino);
            }
            let Some(waiter) = dropped.waiter else { continue };
            // A send fails where nobody waits any more.
            let _ = match dropped.op {
                Op::Close { .. } => waiter.send(Ok(OpReply::Done)),
                _ => waiter.send(Err(error())),
            };
        }
        for waiter in self.syncs.wreck() {
            let _ = waiter.send(Err(error()));
        }
        let (waiters, files) = self.locks.wreck(new_session);
        for waiter in waiters {
            let _ = waiter.send(Err(error()));
        }
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

    /// The server let us go: everything is durable.
    pub(crate) fn left(&mut self) {
        let error = closed();
        self.end(error.kind(), error.message().to_owned());
    }
}

/// The session was closed by its user.
fn closed() -> Error {
    Error::new(ErrorKind::SessionLost, "the session was closed")
}
