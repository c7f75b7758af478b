//! Everything a session knows, behind one mutex: events in, effects out, nothing waits.
//!
//! The session outlives its streams. A stream is numbered (`generation`); what belongs to one (the
//! outbox, what was sent) goes with it, what belongs to the session (log, syncs, locks, opens)
//! stays and is said again on the next.

mod end;
mod leases;
mod local;
mod locking;
mod opens;
mod outcomes;
mod stream;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::error::{Error, ErrorKind, PosixError, Result};
use holdfast_core::id::{Epoch, InodeBlock, InodeId, Seq, SessionId, StageId, VolumeId};
use holdfast_core::lease::Mode;
use holdfast_core::limits::UNANSWERED_OPS_MAX;
use holdfast_core::op::{Caller, Op, OpReply, WriteAt, WriteData};
use holdfast_core::session::BootTime;
use holdfast_core::time::Timestamp;
use holdfast_core::volume::MountPolicy;
use holdfast_proto::lease::Reply;
use holdfast_proto::lock::LockConflict;
use holdfast_proto::v1::{self, client_message::Message};
use tokio::sync::oneshot;

use crate::admin::distrust;
use crate::session::locks::Locks;
use crate::session::log::{Limits, OpLog, changes_something};
use crate::session::questions::Questions;
use crate::session::state::leases::Parked;
use crate::session::state::local::Local;

use crate::session::syncs::Syncs;
pub use local::{Answering, Foretold};

pub(crate) type OpWaiter = oneshot::Sender<Result<OpReply>>;
pub(crate) type AnswerWaiter = oneshot::Sender<Result<Reply>>;
pub(crate) type SyncWaiter = oneshot::Sender<Result<()>>;
pub(crate) type LockWaiter = oneshot::Sender<Result<Option<LockConflict>>>;

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
    /// The version that is spoken.
    pub(crate) protocol: u32,
    pub(crate) lease: Duration,
    pub(crate) heartbeat: Duration,
    /// The server's clock.
    pub(crate) now: Option<Timestamp>,
    /// Inode numbers of the session's own, if it is new.
    pub(crate) block: InodeBlock,
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
    /// When something was heard of the server last; only kept where patience ends.
    pub(crate) heard_at: BootTime,
    read_only: bool,
    syncs: Syncs<SyncWaiter>,
    locks: Locks<LockWaiter>,
    opens: BTreeSet<InodeId>,
    /// Opened under their leases, and nowhere else in this session; the server does not know yet.
    untold_opens: BTreeSet<InodeId>,
    /// Of those that were told since, how many.
    pub(crate) opens_told: u64,
    losses: HashSet<InodeId>,
    questions: Questions<AnswerWaiter>,
    /// What the server wants back and has not been told about.
    owed: BTreeSet<InodeId>,
    /// In their old order.
    parked: Vec<Parked>,
    /// What is answered here.
    local: Local,
    outbox: VecDeque<Message>,
    /// Messages that go out behind an operation.
    ordered: VecDeque<(Seq, Message)>,
    /// Invalidations that were carried out while there was no stream.
    confirmed: Vec<(Epoch, u64)>,
    heartbeats: Heartbeats,
    received_told: Seq,
    leaving: Leaving,
    waker: Option<Waker>,
    /// There is something new for the stream.
    dirty: bool,
    /// There is something that nobody waits for: it goes with what comes next, or a little later.
    idle: bool,
}

/// What a message of the server's leads to outside of the state.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) ops: Vec<(OpWaiter, Result<OpReply>)>,
    pub(crate) syncs: Vec<SyncWaiter>,
    pub(crate) stages: Vec<StageJob>,
    /// Inodes that lost a change although their session lives.
    pub(crate) lost: Vec<InodeId>,
    /// Operations whose answer here is not what the server has done.
    pub(crate) misread: Vec<Op>,
}

/// How a session introduces itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Introduction<'a> {
    pub(crate) host: &'a str,
    pub(crate) program: &'a str,
    pub(crate) exclusive: bool,
    pub(crate) leases: &'a [(InodeId, Mode)],
    pub(crate) now: BootTime,
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
            heard_at: now,
            read_only,
            syncs: Syncs::new(),
            locks: Locks::new(session),
            opens: BTreeSet::new(),
            untold_opens: BTreeSet::new(),
            opens_told: 0,
            losses: HashSet::new(),
            questions: Questions::new(),
            owed: BTreeSet::new(),
            parked: Vec::new(),
            local: Local::default(),
            outbox: VecDeque::new(),
            ordered: VecDeque::new(),
            confirmed: Vec::new(),
            heartbeats: Heartbeats::default(),
            received_told: Seq(0),
            leaving: Leaving::No,
            waker: None,
            dirty: false,
            idle: false,
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
    pub(crate) fn submit(&mut self, caller: Caller, op: Op, waiter: OpWaiter) -> Result<(Seq, Vec<StageJob>)> {
        self.check_open()?;
        if self.read_only && changes_something(&op) {
            return Err(PosixError::ReadOnly.into());
        }
        self.tell_opens_before(&op);
        self.is_decided_elsewhere(&op, self.log.next_seq());
        let seq = self.log.push(caller, op, None, Some(waiter));
        Ok((seq, self.admit()))
    }

    /// Numbers an operation that nobody waits for. True: somebody must see to it that it is sent.
    pub(crate) fn submit_idly(&mut self, caller: Caller, op: Op) -> Result<(Seq, bool)> {
        self.check_open()?;
        if self.read_only && changes_something(&op) {
            return Err(PosixError::ReadOnly.into());
        }
        self.tell_opens_before(&op);
        let seq = self.log.push(caller, op, None, None);
        // It brings no data to be staged.
        Ok((seq, self.admit_idly(false).1))
    }

    /// As [`admit`](Self::admit), for what nobody waits for: without waking the stream, unless there is
    /// `much`. True: somebody must see to it that it is sent.
    fn admit_idly(&mut self, much: bool) -> (Vec<StageJob>, bool) {
        let urgent = std::mem::replace(&mut self.dirty, false);
        let jobs = self.admit();
        self.dirty = urgent || much || self.log.is_held_up() || self.log.is_heavy();
        (jobs, !std::mem::replace(&mut self.idle, true))
    }

    /// Sends what nobody waits for.
    pub(crate) fn hurry(&mut self) {
        self.tell_opens();
        self.dirty |= std::mem::take(&mut self.idle);
    }

    /// Numbers a write whose data travels beside it.
    pub(crate) fn submit_staged(
        &mut self,
        caller: Caller,
        (ino, at, kill_privileges): (InodeId, WriteAt, bool),
        (payload, len): (Bytes, u32),
        waiter: OpWaiter,
    ) -> Result<(Seq, Vec<StageJob>)> {
        self.check_open()?;
        if self.read_only {
            return Err(PosixError::ReadOnly.into());
        }
        self.tell_opens();
        // The number of the operation is unique in the session, so it names its data too.
        let data = WriteData::Staged { stage: StageId(self.log.next_seq().0), len };
        let seq = self.log.push(caller, Op::Write { ino, at, data, kill_privileges }, Some(payload), Some(waiter));
        Ok((seq, self.admit()))
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

    /// Staging failed for good: the operation is taken back, and its caller told by the effects. `None`:
    /// it was answered already.
    pub(crate) fn withdraw(&mut self, job: &StageJob, error: Error) -> Option<Effects> {
        if job.session != self.session {
            return None;
        }
        let entry = self.log.entry(job.seq)?;
        let misread: Vec<Op> = entry.time.map(|_| entry.op.clone()).into_iter().collect();
        let (waiter, lost) = self.log.withdraw(job.seq)?;
        self.losses.extend(lost);
        for op in &misread {
            self.is_applied(job.seq, op, None);
        }
        let ops = waiter.map(|waiter| (waiter, Err(error))).into_iter().collect();
        Some(Effects { ops, misread, ..Effects::default() })
    }

    /// Whether an operation still waits for its answer on this stream, and names its data.
    pub(crate) fn awaits(&self, job: &StageJob) -> bool {
        let names = self.log.entry(job.seq).is_some_and(|entry| entry.payload.is_some());
        self.session == job.session && names && self.log.awaits(job.seq)
    }

    /// Takes back an operation that was never sent and that nobody waits for any more: it is surely not
    /// carried out. False: it may be, or is of a session of before.
    pub(crate) fn take_back(&mut self, session: SessionId, seq: Seq) -> bool {
        session == self.session && self.log.take_back(seq)
    }

    pub(crate) fn sync(&mut self, waiter: SyncWaiter) -> Result<u64> {
        self.check_open()?;
        let id = self.syncs.push(self.log.last_seq(), waiter);
        self.dirty = true;
        Ok(id)
    }

    /// Nobody waits for this sync any more.
    pub(crate) fn give_up_sync(&mut self, id: u64) {
        self.syncs.give_up(id);
    }

    pub(crate) fn take_loss(&mut self, ino: InodeId) -> bool {
        self.losses.remove(&ino)
    }

    pub(crate) const fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// From now on changes are sent; the next stream says so first. True: that is news.
    pub(crate) fn allow_changes(&mut self) -> bool {
        let news = std::mem::take(&mut self.read_only);
        if news {
            self.disconnect();
        }
        news
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

    // === what the server says ===

    /// Operations are on disk.
    pub(crate) fn durable(&mut self, seq: Seq, sync_id: u64) -> Result<Effects> {
        if !self.log.durable(seq) {
            return Err(distrust("report of what is on disk", &format!("operation {seq} was never sent")));
        }
        let syncs = self.syncs.answered(sync_id, seq);
        Ok(Effects { syncs, stages: self.admit(), ..Effects::default() })
    }
}

/// The session was closed by its user.
fn closed() -> Error {
    Error::new(ErrorKind::SessionLost, "the session was closed")
}
