//! What a session says and hears, in our own types: the language between the control stream
//! (`rpc`) and the volume's owner (`volume`).
//!
//! The owner answers by pushing [`Outbound`] into a bounded queue; it never waits for room. A
//! stream whose queue is full is cut off: the session may come back on another.

use std::sync::{Arc, Weak};

use holdfast_core::error::{Error, ErrorKind, PosixError, Result};
use holdfast_core::id::{Epoch, InodeBlock, InodeId, Seq, SessionId, StageId};
use holdfast_core::lease::{GiveBack, Grant, Mode, Recall, Target};
use holdfast_core::lock::{HeldLock, LockAsk, LockClaim};
use holdfast_core::op::AppliedOp;
use holdfast_core::time::Timestamp;
use holdfast_core::volume::MountPolicy;
use holdfast_proto::inspect::Description;
use holdfast_proto::invalidate::Invalidation;
use holdfast_proto::lease::{Answered, Question};
use holdfast_proto::op::OpBatch;
use tokio::sync::mpsc;

use crate::config::LeaseTimes;
use crate::volume::Owner;

/// Messages that may wait for a stream to take them up. A client has at most
/// `UNANSWERED_OPS_MAX` (4096) operations unanswered, each answered once.
pub(crate) const OUTBOUND_MAX: usize = 16_384;

/// Who comes, and what it has.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) protocol: u32,
    pub(crate) session: SessionId,
    pub(crate) host: String,
    pub(crate) pid: u32,
    pub(crate) program: String,
    pub(crate) read_only: bool,
    /// It wants the volume to itself.
    pub(crate) exclusive: bool,
    pub(crate) resume: bool,
    pub(crate) opens: Vec<InodeId>,
    pub(crate) locks: Vec<LockClaim>,
    pub(crate) leases: Vec<(Target, Mode)>,
    pub(crate) next: Seq,
    pub(crate) pending_until: Seq,
}

/// The first message to a session.
#[derive(Clone, Debug)]
pub(crate) struct Welcome {
    pub(crate) protocol: u32,
    pub(crate) epoch: Epoch,
    pub(crate) applied: Seq,
    pub(crate) durable: Seq,
    pub(crate) times: LeaseTimes,
    pub(crate) policy: MountPolicy,
    pub(crate) resumed: bool,
    pub(crate) now: Timestamp,
    /// Inode numbers of its own.
    pub(crate) block: InodeBlock,
}

/// A wish: everything up to `seq` on disk, and what others had applied before it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sync {
    pub(crate) seq: Seq,
    /// Rising in one stream.
    pub(crate) id: u64,
}

/// What became of a lock request or query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockAnswer {
    /// Done.
    Done,
    /// Not done.
    Refused(PosixError),
    /// This one is in the way, or nobody.
    Conflict(Option<(InodeId, HeldLock)>),
}

/// What became of an operation, and what is lent with that.
#[derive(Debug)]
pub(crate) struct OpAnswer {
    pub(crate) applied: AppliedOp,
    pub(crate) grants: Vec<Grant>,
    /// Inodes that it changed, beside the one in its outcome.
    pub(crate) changed: Vec<InodeId>,
}

impl From<AppliedOp> for OpAnswer {
    fn from(applied: AppliedOp) -> Self {
        Self { applied, grants: Vec::new(), changed: Vec::new() }
    }
}

/// A message to a session.
#[derive(Debug)]
pub(crate) enum Outbound {
    Welcome(Welcome),
    Applied(Vec<OpAnswer>),
    /// On disk up to `seq`; and the newest `SyncRequest` of this stream that is answered.
    Durable {
        seq: Seq,
        sync_id: u64,
    },
    Heartbeat {
        id: u64,
        now: Timestamp,
    },
    Lock {
        id: u64,
        answer: LockAnswer,
    },
    Invalidate {
        id: u64,
        what: Invalidation,
    },
    /// To a question.
    Answer {
        id: u64,
        answered: Answered,
    },
    /// Something is to be given back.
    Recall(Recall),
    /// Others have read this.
    Touched {
        ino: InodeId,
        atime: Timestamp,
    },
    /// Who uses what there?
    Describe(u64),
    /// The client asked to leave; all is durable. Ends the stream.
    Farewell,
    /// Ends the stream with an error.
    End(Error),
}

/// One control stream's hold on its session. Dropping it tells the owner that the stream is gone.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) owner: Weak<Owner>,
    pub(crate) session: SessionId,
    /// Tells this stream from earlier and later ones of the same session.
    pub(crate) generation: u64,
    pub(crate) outbound: mpsc::Receiver<Outbound>,
    /// The session has said Goodbye: what it says behind that (a heartbeat, say) means nothing.
    pub(crate) leaving: bool,
    /// It wants something on disk, and that is not begun.
    pub(crate) wishes: bool,
}

impl Link {
    /// Operations have come.
    pub(crate) fn ops(&self, batch: OpBatch) -> Result<()> {
        self.owner()?.ops(self.session, self.generation, batch)
    }

    /// Something is wanted on disk; [`settle`](Self::settle) is due.
    pub(crate) fn sync(&mut self, sync: Sync) -> Result<()> {
        self.wishes = true;
        self.owner()?.sync(self.session, self.generation, sync)
    }

    /// The client has said all that it has to say for now.
    pub(crate) fn settle(&mut self) {
        if std::mem::take(&mut self.wishes)
            && let Some(owner) = self.owner.upgrade()
        {
            owner.settle_syncs(self.session);
        }
    }

    /// The session lives.
    pub(crate) fn heartbeat(&self, id: u64) -> Result<()> {
        self.owner()?.heartbeat(self.session, self.generation, id)
    }

    /// A lock is wanted, or let go.
    pub(crate) fn lock(&self, id: u64, ask: LockAsk, wait: bool) -> Result<()> {
        self.owner()?.lock_request(self.session, self.generation, id, ask, wait)
    }

    /// A lock is not wanted any more.
    pub(crate) fn lock_cancel(&self, id: u64) -> Result<()> {
        self.owner()?.lock_cancel(self.session, self.generation, id)
    }

    /// The session says which locks it has in a file.
    pub(crate) fn locks_of(&self, ino: InodeId, held: &[LockClaim]) -> Result<()> {
        self.owner()?.locks_of(self.session, self.generation, ino, held)
    }

    /// Who is in the way of this lock?
    pub(crate) fn lock_query(&self, id: u64, ask: LockAsk) -> Result<()> {
        self.owner()?.lock_query(self.session, self.generation, id, ask)
    }

    /// The session has dropped what it was told to.
    pub(crate) fn invalidate_done(&self, id: u64) -> Result<()> {
        self.owner()?.invalidate_done(self.session, self.generation, id)
    }

    /// The session asks.
    pub(crate) fn question(&self, id: u64, question: Question) -> Result<()> {
        self.owner()?.question(self.session, self.generation, id, question)
    }

    /// The session gives a lease back.
    pub(crate) fn give_back(&self, back: GiveBack) -> Result<()> {
        self.owner()?.give_back(self.session, self.generation, back)
    }

    /// The session says who uses what.
    pub(crate) fn described(&self, id: u64, description: Description) -> Result<()> {
        self.owner()?.described(self.session, self.generation, id, description)
    }

    /// The session leaves.
    pub(crate) fn goodbye(&mut self) -> Result<()> {
        self.leaving = true;
        self.owner()?.goodbye(self.session, self.generation)
    }

    fn owner(&self) -> Result<Arc<Owner>> {
        self.owner.upgrade().ok_or_else(|| Error::new(ErrorKind::Unavailable, "the volume is being closed; try again"))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(owner) = self.owner.upgrade() {
            owner.unlink(self.session, self.generation);
        }
    }
}

/// The stage that an operation names, if it names one.
pub(crate) fn stage_of(op: &holdfast_core::op::Op) -> Option<(StageId, u32)> {
    match op {
        holdfast_core::op::Op::Write { data: holdfast_core::op::WriteData::Staged { stage, len }, .. } => {
            Some((*stage, *len))
        }
        _ => None,
    }
}

/// Enough of a session's id to find its lines in a log, and too little to take it over.
pub(crate) fn short(session: SessionId) -> String {
    let text = session.to_string();
    text.get(..8).unwrap_or_default().to_owned()
}
