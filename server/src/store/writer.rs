//! What only the one who applies operations touches: counters, sessions, accounts.
//!
//! All of it is also in the engine, as of the last commit. [`Writer::seal`] writes what has
//! changed since into an overlay that is about to be flushed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::id::{CommitSeq, SegmentId, Seq, SessionId};
use holdfast_core::limits::UNANSWERED_OPS_MAX;
use holdfast_core::op::{AppliedOp, Op};
use tracing::error;

use super::SessionState;
use crate::meta::apply::Effects;
use crate::meta::keys::{self, DataId};
use crate::meta::record::Record;
use crate::meta::record::header::Header;
use crate::meta::record::segment::SegmentAccount;
use crate::meta::record::session::{SessionInfo, SessionRecord};
use crate::meta::view::Changes;

/// Commit numbers that are set aside beyond those in use. A crash skips the rest of them, so it
/// must be more operations than can be applied between two commits.
const COMMITS_AHEAD: u64 = 1 << 20;

/// State under the writer's lock.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) header: Header,
    /// First commit number that no operation before the last crash can have been given.
    fresh: CommitSeq,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    pub(super) segments: BTreeMap<SegmentId, SegmentAccount>,
    /// Accounts that differ from what was last written.
    changed_segments: BTreeSet<SegmentId>,
    /// Segments that the active overlay points to: to be synced before it is written.
    touched: BTreeSet<SegmentId>,
    /// Segments without a live byte.
    pub(super) empty: BTreeSet<SegmentId>,
    /// Segments whose account the active overlay deletes: files to be removed once that is durable.
    pub(super) removed: Vec<SegmentId>,
    /// Data whose file is gone, and how far the reaper has come in it.
    pub(super) dead: VecDeque<(DataId, u64)>,
    /// Whether there is anything that no commit has taken up.
    pub(super) dirty: bool,
}

/// A session in memory.
#[derive(Debug)]
pub(super) struct Session {
    info: SessionInfo,
    pub(super) applied: Seq,
    pub(super) durable: Seq,
    received: Seq,
    /// In order of seq without a gap, up to `applied`: what the client may ask for again.
    outcomes: VecDeque<AppliedOp>,
    changed: bool,
}

/// What a commit takes along beside the overlay.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    /// Segments to sync before the overlay is written.
    pub(super) touched: BTreeSet<SegmentId>,
    /// Segment files to remove after it is durable.
    pub(super) removed: Vec<SegmentId>,
    /// How far each session will be.
    pub(super) applied: Vec<(SessionId, Seq)>,
}

impl Session {
    pub(super) const fn new(info: SessionInfo) -> Self {
        Self { info, applied: Seq(0), durable: Seq(0), received: Seq(0), outcomes: VecDeque::new(), changed: true }
    }

    pub(super) fn stored(record: SessionRecord) -> Self {
        Self {
            info: record.info,
            applied: record.applied,
            durable: record.applied,
            received: record.received,
            outcomes: record.outcomes.into(),
            changed: false,
        }
    }

    pub(super) fn state(&self) -> SessionState {
        SessionState { info: self.info.clone(), applied: self.applied, durable: self.durable, received: self.received }
    }

    pub(super) const fn set_read_only(&mut self, read_only: bool) {
        self.info.read_only = read_only;
    }

    /// Whether this operation is refused because the session only reads.
    pub(super) const fn refuses(&self, op: &Op) -> bool {
        self.info.read_only && !matches!(op, Op::Open { truncate: false, .. } | Op::Close { .. })
    }

    /// The outcome of an operation that was applied before, while it is kept.
    pub(super) fn outcome(&self, seq: Seq) -> Option<&AppliedOp> {
        let first = self.outcomes.front()?.seq;
        self.outcomes.get(usize::try_from(seq.0.checked_sub(first.0)?).ok()?)
    }

    pub(super) fn record(&mut self, outcome: AppliedOp) {
        self.applied = outcome.seq;
        self.outcomes.push_back(outcome);
        self.changed = true;
    }

    pub(super) fn confirm(&mut self, received: Seq) {
        self.received = self.received.max(received.min(self.applied));
        self.forget_settled();
    }

    /// Whatever the client says, it has no more than this many operations unanswered.
    fn received_for_sure(&self) -> Seq {
        self.received.max(Seq(self.applied.0.saturating_sub(UNANSWERED_OPS_MAX as u64)))
    }

    /// Forgets outcomes that the client has and, since they are durable, will not ask for again.
    pub(super) fn forget_settled(&mut self) {
        let settled = self.received_for_sure().min(self.durable);
        while self.outcomes.front().is_some_and(|outcome| outcome.seq <= settled) {
            self.outcomes.pop_front();
        }
    }

    fn to_record(&self) -> SessionRecord {
        let received = self.received_for_sure();
        SessionRecord {
            info: self.info.clone(),
            applied: self.applied,
            received,
            outcomes: self.outcomes.iter().filter(|outcome| outcome.seq > received).cloned().collect(),
        }
    }
}

impl Writer {
    /// The state as the engine has it. `fresh` is the first commit number for operations that are
    /// no replay.
    pub(super) fn new(
        header: Header,
        fresh: CommitSeq,
        sessions: BTreeMap<SessionId, Session>,
        segments: BTreeMap<SegmentId, SegmentAccount>,
        dead: VecDeque<(DataId, u64)>,
    ) -> Self {
        let empty = segments.iter().filter(|(_, account)| account.live == 0).map(|(id, _)| *id).collect();
        Self {
            header,
            fresh,
            sessions,
            segments,
            changed_segments: BTreeSet::new(),
            touched: BTreeSet::new(),
            empty,
            removed: Vec::new(),
            dead,
            dirty: false,
        }
    }

    /// The bound of commit numbers to write when `last` is the last in use.
    pub(super) const fn bound_after(last: CommitSeq) -> CommitSeq {
        CommitSeq(last.0.saturating_add(COMMITS_AHEAD))
    }

    /// The commit number of the next operation. A replay gets the number that it had, as long as
    /// that keeps the order; so it makes the same inode numbers.
    ///
    /// # Errors
    /// `Unavailable` when too many operations were applied since the last commit.
    pub(super) fn number(&self, replay_of: Option<CommitSeq>) -> Result<CommitSeq> {
        let last = self.header.last_commit;
        let commit = match replay_of {
            Some(before) if before > last && before < self.fresh => before,
            _ => last.next().max(self.fresh),
        };
        if commit < self.header.commit_bound {
            Ok(commit)
        } else {
            Err(Error::new(ErrorKind::Unavailable, "too many operations wait for the disk; try again"))
        }
    }

    /// Whether this is the number of an operation that a crash forgot. Its client has been told
    /// its outcome, so it must not fail now for lack of space.
    pub(super) fn is_replay(&self, commit: CommitSeq) -> bool {
        commit < self.fresh
    }

    /// Whether such operations may still come: nothing new has been applied since the crash.
    pub(super) fn may_replay(&self) -> bool {
        self.header.last_commit.next() < self.fresh
    }

    /// Takes over the sums of an operation.
    pub(super) fn take_effects(&mut self, effects: &Effects) {
        self.header.usage = effects.usage;
        for (id, delta) in &effects.live {
            let account = self.segments.entry(*id).or_default();
            account.live = account.live.checked_add_signed(*delta).unwrap_or_else(|| {
                error!(segment = id.0, live = account.live, delta, "the live bytes of a segment do not add up");
                0
            });
            if let Some(end) = effects.referenced.get(id) {
                account.len = account.len.max(*end);
                self.touched.insert(*id);
            }
            if account.live == 0 {
                self.empty.insert(*id);
            } else {
                self.empty.remove(id);
            }
            self.changed_segments.insert(*id);
        }
        self.dead.extend(effects.dead.iter().map(|data| (*data, 0)));
        self.dirty = true;
    }

    /// Takes a segment off the books.
    pub(super) fn drop_segment(&mut self, id: SegmentId, overlay: &mut Changes) {
        self.segments.remove(&id);
        self.changed_segments.remove(&id);
        self.touched.remove(&id);
        self.empty.remove(&id);
        overlay.delete(keys::segment(id));
        self.removed.push(id);
        self.dirty = true;
    }

    /// Forgets a session. Whether there was one.
    pub(super) fn drop_session(&mut self, id: SessionId, overlay: &mut Changes) -> bool {
        let known = self.sessions.remove(&id).is_some();
        if known {
            overlay.delete(keys::session(id));
            self.dirty = true;
        }
        known
    }

    /// Completes an overlay: writes every counter that changed into it.
    pub(super) fn seal(&mut self, overlay: &mut Changes, next_segment: SegmentId) -> Sealed {
        let mut sealed = Sealed {
            touched: std::mem::take(&mut self.touched),
            removed: std::mem::take(&mut self.removed),
            applied: Vec::new(),
        };
        self.header.commit_bound = self.header.commit_bound.max(Self::bound_after(self.header.last_commit));
        self.header.next_segment = self.header.next_segment.max(next_segment);
        overlay.put(keys::header(), self.header.encode());
        for id in std::mem::take(&mut self.changed_segments) {
            if let Some(account) = self.segments.get(&id) {
                overlay.put(keys::segment(id), account.encode());
            }
        }
        for (id, session) in self.sessions.iter_mut().filter(|(_, session)| session.changed) {
            session.changed = false;
            overlay.put(keys::session(*id), session.to_record().encode());
            sealed.applied.push((*id, session.applied));
        }
        self.dirty = false;
        sealed
    }
}
