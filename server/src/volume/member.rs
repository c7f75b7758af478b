//! One session, as the owner of its volume keeps it in memory.

use std::collections::{HashMap, VecDeque};

use holdfast_core::error::Error;
use holdfast_core::id::{InodeBlock, InodeId, Seq, StageId};
use holdfast_core::lease::{ClaimId, Grant, Needs};
use holdfast_core::lock::{LockAsk, Ticket};
use holdfast_core::op::AppliedOp;
use holdfast_core::session::BootTime;
use holdfast_proto::inspect::Description;
use tokio::sync::{mpsc, oneshot};

use super::leases::{Emptying, Held, Later, Resumed};
use super::patience::{HeldUp, WaitsFor};
use super::recovery::Queued;
use super::staging::Stages;
use super::unsettled::Round;
use crate::session::{Hello, OpAnswer, Outbound, Sync};
use crate::store::{SessionInfo, SessionState};

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its record is not on disk yet; it is welcomed when it is.
    Entering,
    /// It lives, whether or not it has a stream now.
    Live,
    /// Its record is being taken off the disk; then its locks go.
    Leaving(Leave),
}

/// Why a session goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// It asked to.
    Goodbye,
    /// Its lease was over.
    Expired,
    /// It did not drop from its cache what it was told to.
    Unresponsive,
    /// It claimed what it cannot have.
    Inconsistent,
    /// Somebody ended it (a forced deletion).
    Ended,
}

/// The answer to an applied operation, until it may go out.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) applied: AppliedOp,
    /// The file whose content it changed, or tried to.
    pub(super) content: Option<InodeId>,
    /// Notices to others that it waits for.
    pub(super) waits: usize,
    /// The commit that it waits for.
    pub(super) round: Option<Round>,
    /// What is lent with it.
    pub(super) grants: Vec<Grant>,
    /// Inodes that it changed, beside the one in its outcome.
    pub(super) changed: Vec<InodeId>,
}

impl Answer {
    const fn may_go(&self) -> bool {
        self.waits == 0 && self.round.is_none()
    }
}

/// A request about locks that came before the volume was open.
#[derive(Clone, Copy, Debug)]
pub(super) enum DeferredLock {
    /// Take or let go.
    Request { id: u64, ask: LockAsk, wait: bool },
    /// Who is in the way?
    Query { id: u64, ask: LockAsk },
}

/// A session.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) info: SessionInfo,
    pub(super) standing: Standing,
    pub(super) protocol: u32,
    /// It has the volume to itself.
    pub(super) exclusive: bool,
    pub(super) link: Option<mpsc::Sender<Outbound>>,
    pub(super) generation: u64,
    /// When its lease is over.
    pub(super) deadline: BootTime,
    /// Inode numbers of its own; none of one that an earlier owner has welcomed, who has said them.
    pub(super) block: InodeBlock,
    pub(super) applied: Seq,
    pub(super) durable: Seq,
    /// What `Durable` was last said of.
    told_durable: Seq,
    pub(super) received: Seq,
    /// The last operation that has come.
    pub(super) arrived: Seq,
    /// Come and not applied.
    pub(super) queue: VecDeque<Queued>,
    pub(super) queue_bytes: usize,
    /// Applied and not answered, without gaps.
    pub(super) answers: VecDeque<Answer>,
    /// What else waits for commits, in order.
    held: VecDeque<Held>,
    /// Content operations that have come and are not answered, by file.
    unanswered: HashMap<InodeId, u32>,
    pub(super) stages: Stages,
    /// It has asked a question: it remembers answers, and gives back what it is lent.
    pub(super) remembers: bool,
    /// The claim that the first operation of the queue waits with.
    pub(super) blocked: Option<ClaimId>,
    /// What the first operation of the queue may count on: its claim has waited and is clear.
    pub(super) cleared: Option<Needs>,
    /// What counts behind operations, in order.
    pub(super) later: VecDeque<(Seq, Later)>,
    /// The directory that it empties.
    pub(super) emptying: Option<Emptying>,
    /// What it has by its own word.
    pub(super) resumed: Option<Resumed>,
    /// What the first operation of the queue waits for, and until when.
    pub(super) stage_wait: Option<(StageId, BootTime)>,
    /// Wanted on disk, in order; no commit for them has begun.
    pub(super) syncs: VecDeque<Sync>,
    /// Committed as wanted, and not yet said.
    syncs_done: VecDeque<Sync>,
    /// Newest wish that was answered on this stream.
    told_sync: u64,
    pub(super) lock_waits: HashMap<u64, Ticket>,
    pub(super) deferred_locks: Vec<DeferredLock>,
    /// Whether it waits for others.
    pub(super) held_up: HeldUp,
    /// Who waits for what it says of its processes.
    pub(super) questions: HashMap<u64, oneshot::Sender<Description>>,
    /// During recovery: the last operation that it will re-send, once it has said so.
    pub(super) pending_until: Option<Seq>,
    pub(super) goodbye: bool,
    /// Its lease was over, and it was not fenced as it must be ([`super::unfenced`]).
    pub(super) spared: bool,
}

impl Member {
    /// A session that comes for the first time.
    pub(super) fn new(info: SessionInfo, block: InodeBlock, deadline: BootTime) -> Self {
        let state = SessionState { info, applied: Seq(0), durable: Seq(0), received: Seq(0) };
        Self { standing: Standing::Entering, block, ..Self::known(state, deadline) }
    }

    /// A session that the volume knows from before.
    pub(super) fn known(state: SessionState, deadline: BootTime) -> Self {
        Self {
            info: state.info,
            standing: Standing::Live,
            protocol: 0,
            exclusive: false,
            link: None,
            generation: 0,
            deadline,
            block: InodeBlock::default(),
            applied: state.applied,
            durable: state.durable,
            told_durable: state.durable,
            received: state.received,
            arrived: state.applied,
            queue: VecDeque::new(),
            queue_bytes: 0,
            answers: VecDeque::new(),
            held: VecDeque::new(),
            unanswered: HashMap::new(),
            stages: Stages::default(),
            remembers: false,
            blocked: None,
            cleared: None,
            later: VecDeque::new(),
            emptying: None,
            resumed: None,
            stage_wait: None,
            syncs: VecDeque::new(),
            syncs_done: VecDeque::new(),
            told_sync: 0,
            lock_waits: HashMap::new(),
            deferred_locks: Vec::new(),
            held_up: HeldUp::default(),
            questions: HashMap::new(),
            pending_until: None,
            goodbye: false,
            spared: false,
        }
    }

    /// Takes up a stream; what was queued is forgotten, since the client sends it again.
    pub(super) fn attach(&mut self, hello: &Hello, link: mpsc::Sender<Outbound>, generation: u64) {
        self.link = Some(link);
        self.generation = generation;
        self.protocol = hello.protocol;
        self.exclusive = hello.exclusive;
        self.arrived = self.applied;
        self.queue.clear();
        self.queue_bytes = 0;
        self.stage_wait = None;
        self.remembers = !hello.leases.is_empty();
        self.blocked = None;
        self.cleared = None;
        self.later.clear();
        self.resumed = None;
        self.syncs.clear();
        self.syncs_done.clear();
        self.told_sync = 0;
        self.deferred_locks.clear();
        self.questions.clear();
        self.goodbye = false;
        self.told_durable = self.durable;
        self.held.clear();
        self.unanswered.clear();
        let contents: Vec<InodeId> = self.answers.iter().filter_map(|answer| answer.content).collect();
        for ino in contents {
            self.count_unanswered(ino);
        }
    }

    /// Queues a message; a stream that has no room for it is cut off.
    pub(super) fn send(&mut self, message: Outbound) {
        if let Some(link) = &self.link
            && link.try_send(message).is_err()
        {
            self.link = None;
        }
    }

    /// Ends the stream with an error.
    pub(super) fn end(&mut self, error: Error) {
        self.send(Outbound::End(error));
        self.link = None;
    }

    /// Whether it goes when its lease is over.
    pub(super) fn may_expire(&self) -> bool {
        !self.is_leaving()
    }

    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.standing, Standing::Leaving(_))
    }

    /// Operations that have come and are not answered.
    pub(super) fn unanswered_len(&self) -> usize {
        self.queue.len() + self.answers.len()
    }

    pub(super) fn count_unanswered(&mut self, ino: InodeId) {
        *self.unanswered.entry(ino).or_default() += 1;
    }

    /// Whether it waits for the answer to a change of this file's content.
    pub(super) fn has_unanswered(&self, ino: InodeId) -> bool {
        self.unanswered.contains_key(&ino)
    }

    /// The last operation that was answered.
    pub(super) fn answered(&self) -> Seq {
        self.answers.front().map_or(self.applied, |answer| Seq(answer.applied.seq.0.saturating_sub(1)))
    }

    /// Whether the next answer can go out at once.
    pub(super) fn answers_at_once(&self) -> bool {
        self.answers.iter().all(Answer::may_go)
    }

    /// What others have to do before it goes on.
    pub(super) fn waits_for(&self) -> Option<WaitsFor> {
        let notices = self.answers.front().filter(|answer| answer.waits > 0);
        let claim = self.blocked.map(WaitsFor::Claim);
        claim.or(notices.map(|answer| WaitsFor::Notices(answer.applied.seq)))
    }

    /// An answer waits for one notice less.
    pub(super) fn release(&mut self, seq: Seq) {
        let first = self.answers.front().map_or(Seq(0), |answer| answer.applied.seq);
        let index = seq.0.checked_sub(first.0).and_then(|index| usize::try_from(index).ok());
        if let Some(answer) = index.and_then(|index| self.answers.get_mut(index)) {
            answer.waits = answer.waits.saturating_sub(1);
        }
    }

    /// The answer to a question goes out when a commit is over.
    pub(super) fn hold(&mut self, held: Held) {
        self.held.push_back(held);
    }

    /// Answers to questions that wait for a commit.
    pub(super) fn held_len(&self) -> usize {
        self.held.len()
    }

    /// A commit is over: what waited for it goes out, but for what is returned.
    pub(super) fn settle(&mut self, done: Round) -> Vec<Held> {
        for answer in &mut self.answers {
            answer.round.take_if(|round| *round <= done);
        }
        self.flush_answers();
        let settled = self.held.iter().take_while(|held| held.round <= done).count();
        self.held.drain(..settled).collect()
    }

    /// Whether anything waits for a commit.
    pub(super) fn waits_for_commit(&self) -> bool {
        !self.held.is_empty() || self.answers.iter().any(|answer| answer.round.is_some())
    }

    /// Sends the answers that may go, and says what is durable of them.
    pub(super) fn flush_answers(&mut self) {
        let mut ready = Vec::new();
        while self.answers.front().is_some_and(Answer::may_go) {
            let Some(answer) = self.answers.pop_front() else { break };
            if let Some(ino) = answer.content {
                self.uncount_unanswered(ino);
            }
            ready.push(OpAnswer { applied: answer.applied, grants: answer.grants, changed: answer.changed });
        }
        if !ready.is_empty() {
            self.send(Outbound::Applied(ready));
        }
        self.tell_durable();
    }

    /// Says `Durable` where there is something to say: never of what is not answered.
    pub(super) fn tell_durable(&mut self) {
        let seq = self.durable.min(self.answered());
        let mut news = seq > self.told_durable;
        while self.syncs_done.front().is_some_and(|sync| sync.seq <= seq) {
            let Some(sync) = self.syncs_done.pop_front() else { break };
            self.told_sync = self.told_sync.max(sync.id);
            news = true;
        }
        if news {
            self.told_durable = seq;
            self.send(Outbound::Durable { seq, sync_id: self.told_sync });
        }
    }

    /// The oldest wish for the disk of which all is applied.
    pub(super) fn take_sync(&mut self) -> Option<Sync> {
        let applied = self.applied;
        self.syncs.pop_front_if(|sync| sync.seq <= applied)
    }

    /// A wish was fulfilled; it is said as soon as its operations are answered.
    pub(super) fn sync_done(&mut self, sync: Sync) {
        self.syncs_done.push_back(sync);
    }

    /// Says that all that is applied is on disk, which it is not ([`crate::failpoint`]).
    pub(super) fn acknowledge_early(&mut self) {
        while let Some(sync) = self.take_sync() {
            self.sync_done(sync);
        }
        self.durable = self.applied;
        self.tell_durable();
    }

    /// The oldest operation of the queue, if it is there to be applied now.
    pub(super) fn take_first(&mut self) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        self.queue_bytes = self.queue_bytes.saturating_sub(queued.op.op.weight());
        Some(queued)
    }

    /// Whether the oldest operation of the queue was answered by its session.
    pub(super) fn is_first_answered(&self) -> bool {
        self.queue.front().is_some_and(|queued| queued.op.time.is_some())
    }

    /// The operation that was taken waits after all.
    pub(super) fn put_back_first(&mut self, queued: Queued) {
        self.queue_bytes += queued.op.op.weight();
        self.queue.push_front(queued);
    }

    fn uncount_unanswered(&mut self, ino: InodeId) {
        if let Some(count) = self.unanswered.get_mut(&ino) {
            *count -= 1;
            if *count == 0 {
                self.unanswered.remove(&ino);
            }
        }
    }
}
