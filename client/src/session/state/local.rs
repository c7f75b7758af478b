//! What the session answers by itself, under exclusive leases, before the server has applied it.
//!
//! The caller knows the leases and foretells the outcome; this gives the time, numbers for new
//! inodes, and a place in the log, or refuses while something is in doubt:
//! - No stream, or a session that only reads.
//! - An operation whose effect on others' inodes is not known here is under way, or one that was put
//!   off and so came to another place in the order.
//! - The server has as much unapplied as the lease on the volume's room allows.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::id::{InodeBlock, InodeId, Seq, StageId};
use holdfast_core::lease::{ROOM_BYTES, ROOM_INODES};
use holdfast_core::limits::INLINE_BYTES_MAX;
use holdfast_core::op::{Caller, Op, OpReply, WriteData};
use holdfast_core::session::BootTime;
use holdfast_core::time::Timestamp;
use tokio::sync::oneshot;

use super::{Leaving, StageJob, State};
use crate::session::log::{created, touched};

/// Operations that wait to be sent before they are sent without delay.
const SEND_AT: u64 = 64;
/// The same for one that brings so many bytes.
const SEND_BYTES: usize = 16 << 10;

/// How far what is heard of may be ahead of the server's clock as it is known here.
const AHEAD_MAX: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Local {
    /// The server's clock at a moment of ours.
    clock: Option<(Timestamp, BootTime)>,
    /// The last time that was given: what comes later is not earlier.
    last_time: Timestamp,
    /// The newest change that was heard of: what is answered after that is not earlier either.
    heard: Timestamp,
    block: InodeBlock,
    /// Nothing is answered here before the outcome of this has come.
    pub(super) not_before: Seq,
    /// The last operation on each inode that was answered here and is not known to be applied.
    last: HashMap<InodeId, Seq>,
    /// Who waits for those up to here to be applied.
    settling: BTreeMap<Seq, Vec<oneshot::Sender<()>>>,
    /// Answered here and not known to be applied: bytes that they take at most, and inodes.
    bytes: u64,
    inodes: u64,
}

/// What a change that is answered here can have.
#[derive(Debug)]
pub struct Answering<'a> {
    /// When it happens. The caller may move it on.
    pub now: Timestamp,
    block: &'a mut InodeBlock,
}

impl Answering<'_> {
    /// A number for a new inode.
    pub fn inode(&mut self) -> Option<InodeId> {
        self.block.take()
    }
}

/// A change that its caller answers.
#[derive(Debug)]
pub struct Foretold {
    /// Who asks.
    pub caller: Caller,
    /// For what; a write of any length bears its data.
    pub op: Op,
    /// What the server will say.
    pub reply: OpReply,
}

impl State {
    /// Answers a change here, if nothing is in doubt: its number, data to be staged, and whether
    /// somebody must see to it that it is sent.
    pub(crate) fn answer(
        &mut self,
        now: BootTime,
        foretell: impl FnOnce(&mut Answering<'_>) -> Option<Foretold>,
    ) -> Option<(Seq, Vec<StageJob>, bool)> {
        let time = self.may_answer(now).then(|| self.local_time(now))??;
        let mut answering = Answering { now: time, block: &mut self.local.block };
        let Foretold { caller, mut op, reply } = foretell(&mut answering)?;
        let time = answering.now;
        self.tell_opens_before(&op);
        self.local.last_time = time;
        self.local.count(&op, true);
        let seq = self.log.next_seq();
        let payload = payload_of(&mut op, seq);
        for ino in touched(&op, created(&op, &reply)) {
            self.local.last.insert(ino, seq);
        }
        let large = payload.is_some() || op.weight() > SEND_BYTES;
        self.log.push_answered(caller, op, payload, (time, reply));
        let (jobs, idle) = self.admit_idly(large || seq.0 >= self.log.sent().0 + SEND_AT);
        Some((seq, jobs, idle))
    }

    fn may_answer(&self, now: BootTime) -> bool {
        let ours = self.is_up() && now < self.trusted_until && !self.read_only && self.leaving == Leaving::No;
        let room = self.local.bytes < ROOM_BYTES / 2 && self.local.inodes < ROOM_INODES / 2;
        ours && self.is_sure() && room && !self.log.is_held_up()
    }

    /// Whether it is known what everything that was submitted does to inodes that it does not name.
    pub(crate) fn is_sure(&self) -> bool {
        self.parked.is_empty() && self.log.answered() >= self.local.not_before
    }

    /// The server's clock, as far as it is known here; never back.
    fn local_time(&mut self, now: BootTime) -> Option<Timestamp> {
        let time = self.server_time(now)?;
        if self.local.heard > time.after(AHEAD_MAX) {
            // That was no clock of today.
            self.local.heard = Timestamp::default();
        }
        Some(time.max(self.local.heard).max(self.local.last_time))
    }

    /// The server's clock, as far as it is known here.
    pub(crate) fn server_time(&self, now: BootTime) -> Option<Timestamp> {
        let (then, at) = self.local.clock?;
        Some(then.after(now.0.saturating_sub(at.0)))
    }

    /// The server has told its time.
    pub(crate) fn set_clock(&mut self, server: Timestamp, now: BootTime) {
        self.local.clock = Some((server, now));
    }

    /// Somebody has changed something at this time.
    pub(super) fn heard_time(&mut self, time: Timestamp) {
        self.local.heard = self.local.heard.max(time);
    }

    /// A new session has numbers of its own.
    pub(super) fn set_block(&mut self, block: InodeBlock) {
        self.local.block = block;
    }

    /// An operation is submitted whose outcome the server decides.
    pub(super) fn is_decided_elsewhere(&mut self, op: &Op, seq: Seq) {
        let unsure = matches!(
            op,
            Op::Link { .. }
                | Op::Unlink { .. }
                | Op::Rmdir { .. }
                | Op::Rename { .. }
                | Op::Allocate { .. }
                | Op::Copy { .. }
        );
        if unsure {
            self.local.not_before = seq;
        }
    }

    /// Waits, if need be, until what was answered here about an inode is applied: for who asks the
    /// server beside the order.
    pub(crate) fn settle(&mut self, ino: InodeId) -> Option<oneshot::Receiver<()>> {
        let seq = *self.local.last.get(&ino)?;
        Some(self.settle_up_to(seq))
    }

    /// The same for everything that was answered here.
    pub(crate) fn settle_all(&mut self) -> Option<oneshot::Receiver<()>> {
        let last = self.local.last.values().max().copied()?;
        Some(self.settle_up_to(last))
    }

    /// Waits, if need be, for the outcomes of what was sent and changes an inode: for who was told by the server
    /// beside the order what that may have done already.
    pub(crate) fn settle_sent(&mut self, ino: InodeId) -> Option<oneshot::Receiver<()>> {
        let seq = self.log.last_unanswered(|op| op.changes().into_iter().any(|changed| changed == ino))?;
        Some(self.settle_up_to(seq))
    }

    fn settle_up_to(&mut self, seq: Seq) -> oneshot::Receiver<()> {
        let (waiter, settled) = oneshot::channel();
        self.local.settling.entry(seq).or_default().push(waiter);
        self.dirty = true;
        settled
    }

    /// The outcome of an operation that was answered here has come for the first time.
    pub(super) fn is_applied(&mut self, seq: Seq, op: &Op, reply: Option<&OpReply>) {
        self.local.count(op, false);
        for ino in touched(op, reply.and_then(|reply| created(op, reply))) {
            if self.local.last.get(&ino) == Some(&seq) {
                self.local.last.remove(&ino);
            }
        }
        self.settled_up_to(seq);
    }

    /// All outcomes up to here have come.
    pub(super) fn settled_up_to(&mut self, seq: Seq) {
        let later = self.local.settling.split_off(&seq.next());
        for waiter in std::mem::replace(&mut self.local.settling, later).into_values().flatten() {
            // Whoever does not wait any more does not want to know.
            let _ = waiter.send(());
        }
    }

    /// The session is lost, and with it what was answered here. Who waits is let go.
    pub(super) fn forget_local(&mut self) {
        let last_time = self.local.last_time;
        self.local = Local { last_time, ..Local::default() };
    }
}

impl Local {
    fn count(&mut self, op: &Op, comes: bool) {
        let (bytes, inodes) = (op.weight() as u64, u64::from(matches!(op, Op::Create { .. })));
        if comes {
            self.bytes += bytes;
            self.inodes += inodes;
        } else {
            self.bytes = self.bytes.saturating_sub(bytes);
            self.inodes = self.inodes.saturating_sub(inodes);
        }
    }
}

/// Data that travels beside its operation.
fn payload_of(op: &mut Op, seq: Seq) -> Option<Bytes> {
    let Op::Write { data, .. } = op else { return None };
    let WriteData::Inline(bytes) = data else { return None };
    if bytes.len() <= INLINE_BYTES_MAX {
        return None;
    }
    let payload = std::mem::take(bytes);
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    *data = WriteData::Staged { stage: StageId(seq.0), len };
    Some(payload)
}
