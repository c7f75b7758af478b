//! Operations: from their arrival in a session's queue to their answer.

use std::sync::atomic::Ordering;

use holdfast_core::error::{Error, ErrorKind, PosixError, Result};
use holdfast_core::id::{Seq, SessionId};
use holdfast_core::limits::UNANSWERED_OPS_MAX;
use holdfast_core::op::{AllocateMode, AppliedOp, LoggedOp, NewNode, Op, OpReply, OpResult};
use holdfast_core::session::BootTime;
use holdfast_proto::invalidate::Invalidation;
use holdfast_proto::op::OpBatch;
use parking_lot::MutexGuard;

use super::invalidate::Effects;
use super::leases::{Needed, Wait, needs_of};
use super::member::{Answer, Leave, Member};
use super::recovery::Queued;
use super::staging::session_lost;
use super::{Guard, Owner, Phase, STAGE_WAIT_MAX, State, Thing, unsettled};
use crate::session::{OpAnswer, Outbound, stage_of};
use crate::store::ApplyContext;

/// Memory that the queued operations of one session may take: a client keeps at most 48 MiB.
const QUEUE_BYTES_MAX: usize = 128 << 20;
/// Operations that are applied before others get the mutex in between.
const APPLY_CHUNK: usize = 64;

/// Why a session's queue stands still.
enum Hindrance {
    /// There is nothing in it, or the volume is not open.
    Nothing,
    /// Too much is applied and not durable.
    Backlog,
    /// The data of the first operation is still on its way.
    Stage,
    /// Others have leases on what the first operation changes.
    Lease,
    /// The same, and the session may not wait.
    Owes,
}

impl Owner {
    /// Operations have come on a session's stream.
    ///
    /// # Errors
    /// `Invalid` when their numbers leave a gap or there are too many: the stream is to be ended.
    pub(crate) fn ops(&self, session: SessionId, generation: u64, batch: OpBatch) -> Result<()> {
        let mut state = self.enter(session, generation)?;
        self.confirm(&mut state, session, batch.received)?;
        let mut effects = Effects::default();
        let mut repeated: Vec<OpAnswer> = Vec::new();
        let arrived = batch.ops.into_iter().try_for_each(|op| {
            repeated.extend(self.arrive(&mut state, session, op, &mut effects)?.map(OpAnswer::from));
            Ok(())
        });
        if !repeated.is_empty() {
            Self::send(&mut state, session, Outbound::Applied(repeated));
        }
        self.carry_out(&mut state, effects);
        self.pump(&mut state, session);
        self.consider_complete(&mut state, session);
        arrived
    }

    /// The client has seen every outcome up to here.
    fn confirm(&self, state: &mut State, session: SessionId, received: Seq) -> Result<()> {
        let member = state.members.get_mut(&session).ok_or_else(session_lost)?;
        let received = received.min(member.applied);
        if received > member.received {
            member.received = received;
            self.store.confirm(session, received)?;
        }
        Ok(())
    }

    /// Queues an operation; one that was applied before gives its outcome again.
    fn arrive(
        &self,
        state: &mut State,
        session: SessionId,
        op: LoggedOp,
        effects: &mut Effects,
    ) -> Result<Option<AppliedOp>> {
        let arrival = state.arrivals;
        let member = state.members.get_mut(&session).ok_or_else(session_lost)?;
        if op.seq <= member.applied {
            return self.repeat(state, session, &op);
        }
        if op.seq <= member.arrived {
            return Ok(None);
        }
        if op.seq != member.arrived.next() {
            return Err(broken(format!("operation {} came after {}: there is a gap", op.seq, member.arrived)));
        }
        let weight = op.op.weight();
        if member.unanswered_len() >= UNANSWERED_OPS_MAX || member.queue_bytes + weight > QUEUE_BYTES_MAX {
            return Err(broken(format!("over {UNANSWERED_OPS_MAX} operations, or too many bytes, are unanswered")));
        }
        member.arrived = op.seq;
        if let Some(ino) = op.op.changes_content_of() {
            member.count_unanswered(ino);
            state.invalidations.excuse(session, ino, effects);
        }
        member.queue_bytes += weight;
        member.queue.push_back(Queued { arrival, op });
        state.arrivals += 1;
        Ok(None)
    }

    /// The outcome of an operation that was applied before, unless it is already on its way.
    fn repeat(&self, state: &mut State, session: SessionId, op: &LoggedOp) -> Result<Option<AppliedOp>> {
        let now = self.clock.now();
        let member = state.members.get_mut(&session).ok_or_else(session_lost)?;
        if let Some((stage, _)) = stage_of(&op.op)
            && op.seq > member.durable
        {
            member.stages.take(stage, op.seq);
        }
        if op.seq <= member.received || op.seq > member.answered() {
            return Ok(None);
        }
        let context = ApplyContext { now, quota: state.quota, is_open: &|_| true, staged: None, refused: None };
        self.store.apply(session, op, &context).map(Some)
    }

    /// Applies what can be applied of a session's queue, and whatever becomes possible by that.
    pub(super) fn pump(&self, state: &mut Guard<'_>, session: SessionId) {
        self.pump_one(state, session);
        self.settle_leases(state);
    }

    /// Applies what can be applied of a session's queue, and answers it.
    pub(super) fn pump_one(&self, state: &mut Guard<'_>, session: SessionId) {
        self.run_later(state, session);
        loop {
            let mut effects = Effects::default();
            let mut hindrance = None;
            for _ in 0..APPLY_CHUNK {
                match self.next_ready(state, session) {
                    Ok((op, needed)) => {
                        if let Err(cause) = self.apply(state, session, &op, Some(&needed), &mut effects) {
                            self.fail(state, &cause);
                            return;
                        }
                        self.run_later(state, session);
                    }
                    Err(why) => {
                        hindrance = Some(why);
                        break;
                    }
                }
            }
            self.carry_out(state, effects);
            self.answer(state, session);
            match hindrance {
                None => MutexGuard::bump(&mut state.inner),
                Some(Hindrance::Backlog) => {
                    if !state.stalled.contains(&session) {
                        state.stalled.push_back(session);
                    }
                    self.demand_commit(state);
                    break;
                }
                Some(Hindrance::Owes) => self.bounce(state, session),
                Some(Hindrance::Nothing | Hindrance::Stage | Hindrance::Lease) => break,
            }
        }
        if state.dirty && self.settings.commit.is_due(&self.store.pending()) {
            self.demand_commit(state);
        }
    }

    fn next_ready(&self, state: &mut State, session: SessionId) -> std::result::Result<(LoggedOp, Needed), Hindrance> {
        if !matches!(state.phase, Phase::Open) {
            return Err(Hindrance::Nothing);
        }
        let member = state.members.get_mut(&session).filter(|m| !m.is_leaving()).ok_or(Hindrance::Nothing)?;
        if member.blocked.is_some() {
            return Err(Hindrance::Lease);
        }
        let first = member.queue.front().ok_or(Hindrance::Nothing)?;
        if let Some((stage, len)) = stage_of(&first.op.op) {
            match member.stages.len_of(stage) {
                None => {
                    member.stage_wait.get_or_insert((stage, BootTime(self.clock.boot().0 + STAGE_WAIT_MAX)));
                    return Err(Hindrance::Stage);
                }
                Some(here) if here != len as usize => {
                    // No later message can mend that, and the operation can have no outcome.
                    self.leave(state, session, Leave::Inconsistent);
                    return Err(Hindrance::Nothing);
                }
                Some(_) => {}
            }
        }
        if self.store.pending().bytes >= self.settings.commit.backlog_bytes_max {
            return Err(Hindrance::Backlog);
        }
        let queued = member.take_first().ok_or(Hindrance::Nothing)?;
        match self.claim(state, session, &queued.op) {
            Ok(needed) => Ok((queued.op, needed)),
            Err(wait) => {
                if let Some(member) = state.members.get_mut(&session) {
                    member.put_back_first(queued);
                }
                Err(if wait == Wait::NotNow { Hindrance::Owes } else { Hindrance::Lease })
            }
        }
    }

    /// Applies one operation and enters its answer. `needed`: what it has claimed; without, nothing that
    /// loses its last name is freed, since it is not yet known who has it open.
    ///
    /// # Errors
    /// When the store cannot read or decide: the volume cannot go on.
    pub(super) fn apply(
        &self,
        state: &mut State,
        session: SessionId,
        op: &LoggedOp,
        needed: Option<&Needed>,
        effects: &mut Effects,
    ) -> Result<()> {
        let member = state.members.get_mut(&session).ok_or_else(session_lost)?;
        let staged = stage_of(&op.op).and_then(|(stage, _)| member.stages.take(stage, op.seq));
        let newly_open = match op.op {
            Op::Open { ino, .. } => state.opens.open(session, ino),
            Op::Close { ino } => {
                state.opens.close(session, ino);
                false
            }
            _ => false,
        };
        let opens = &state.opens;
        let is_open = |ino| needed.is_none() || opens.is_open(ino);
        let context =
            ApplyContext { now: self.clock.now(), quota: state.quota, is_open: &is_open, staged, refused: None };
        // What its session answered by itself, or brings back, was told.
        let new = needed.filter(|_| op.time.is_none());
        let round = new.and_then(|new| self.unsettled.round_of(session, &unsettled::depends(&op.op, &new.claim)));
        let changes = match needed {
            Some(needed) => unsettled::changes(&op.op, &needed.claim),
            None => unsettled::changes(&op.op, &needs_of(&self.store, &op.op).claim),
        };
        // Before the store has it, since reads do not wait for this mutex.
        self.unsettled.change(session, changes);
        let applied = self.store.apply(session, op, &context)?;
        match (&op.op, &applied.result) {
            (Op::Open { ino, .. }, Err(_)) if newly_open => {
                state.opens.close(session, *ino);
            }
            (
                Op::Create { node: NewNode::File { open: true }, .. } | Op::CreateUnnamed { .. },
                Ok(OpReply::Attr(attr)),
            ) => {
                state.opens.open(session, attr.ino);
            }
            (Op::Close { ino }, _) => state.invalidations.closed(session, *ino, effects),
            (Op::Touch { ino }, Ok(OpReply::Attr(attr))) => Self::tell_touched(state, session, *ino, attr.atime),
            _ => {}
        }
        if let (Op::Create { .. } | Op::CreateUnnamed { .. }, Ok(OpReply::Attr(attr))) = (&op.op, &applied.result) {
            self.unsettled.change(session, [Thing::Inode(attr.ino)]);
        }
        let waits = self.notify_others(state, session, op, &applied.result, effects);
        let at_once = waits == 0 && round.is_none() && state.members.get(&session).is_some_and(Member::answers_at_once);
        let (grants, changed) = match needed {
            Some(needed) => self.lend(state, session, (op, needed), &applied.result, at_once),
            None => (Vec::new(), Vec::new()),
        };
        let content = op.op.changes_content_of();
        self.enter_answer(state, session, Answer { applied, content, waits, round, grants, changed });
        if let Some(round) = round {
            self.hold(state, session, round);
        }
        Ok(())
    }

    /// Has an operation fail without a look at it.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub(super) fn refuse(&self, state: &mut State, session: SessionId, op: &LoggedOp, error: PosixError) -> Result<()> {
        let member = state.members.get_mut(&session).ok_or_else(session_lost)?;
        if let Some((stage, _)) = stage_of(&op.op) {
            member.stages.take(stage, op.seq);
        }
        let (now, quota) = (self.clock.now(), state.quota);
        let context = ApplyContext { now, quota, is_open: &|_| true, staged: None, refused: Some(error) };
        let applied = self.store.apply(session, op, &context)?;
        let content = op.op.changes_content_of();
        let (grants, changed) = (Vec::new(), Vec::new());
        self.enter_answer(state, session, Answer { applied, content, waits: 0, round: None, grants, changed });
        Ok(())
    }

    fn enter_answer(&self, state: &mut State, session: SessionId, answer: Answer) {
        let Some(member) = state.members.get_mut(&session) else { return };
        member.applied = answer.applied.seq;
        member.arrived = member.arrived.max(member.applied);
        member.answers.push_back(answer);
        if !state.dirty {
            state.dirty = true;
            state.dirty_ticks = 0;
            if !self.settings.commit.is_due_by_ticks() {
                self.demand.wake();
            }
        }
    }

    /// Tells every other session that has the file open; how many of them the answer waits for.
    fn notify_others(
        &self,
        state: &mut State,
        session: SessionId,
        op: &LoggedOp,
        result: &OpResult,
        effects: &mut Effects,
    ) -> usize {
        let Some(what) = changed(&op.op, result) else { return 0 };
        let mut waits = 0;
        for other in state.opens.others(what.ino, session) {
            let Some(target) = state.members.get(&other).filter(|member| !member.is_leaving()) else { continue };
            let may_wait = !target.has_unanswered(what.ino);
            let by = may_wait.then_some((session, op.seq));
            state.invalidations.notify(other, what, by, self.clock.boot(), effects);
            waits += usize::from(may_wait);
        }
        waits
    }

    /// Sends notices, and lets go the answers that waited for confirmed ones.
    pub(super) fn carry_out(&self, state: &mut State, effects: Effects) {
        for message in effects.send {
            Self::send(state, message.to, Outbound::Invalidate { id: message.id, what: message.what });
        }
        for &(session, seq) in &effects.released {
            if let Some(member) = state.members.get_mut(&session) {
                member.release(seq);
            }
        }
        for (session, _) in effects.released {
            self.answer(state, session);
        }
    }

    /// Sends what can be answered now.
    pub(super) fn answer(&self, state: &mut State, session: SessionId) {
        if let Some(member) = state.members.get_mut(&session) {
            member.flush_answers();
        }
        self.consider_sync(state, session);
        self.consider_goodbye(state, session);
    }

    /// A session has dropped what it was told to.
    ///
    /// # Errors
    /// When the stream is no longer the session's.
    pub(crate) fn invalidate_done(&self, session: SessionId, generation: u64, id: u64) -> Result<()> {
        let mut state = self.enter(session, generation)?;
        let mut effects = Effects::default();
        state.invalidations.done(session, id, self.clock.boot(), &mut effects);
        self.carry_out(&mut state, effects);
        Ok(())
    }

    /// During recovery: whether a session has now brought back all it has.
    pub(super) fn consider_complete(&self, state: &mut State, session: SessionId) {
        if self.ready.load(Ordering::Relaxed) {
            return;
        }
        let Phase::Recovering(recovery) = &mut state.phase else { return };
        let Some(member) = state.members.get(&session) else { return };
        let all_here = member.pending_until.is_some_and(|until| member.arrived >= until);
        let staged = |queued: &Queued| stage_of(&queued.op.op).is_none_or(|(stage, _)| member.stages.has(stage));
        if all_here && member.queue.iter().all(staged) {
            recovery.complete(session);
            self.consider_recovery(state);
        }
    }
}

fn broken(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// What others must drop after an operation; `None` when it changed no content.
fn changed(op: &Op, result: &OpResult) -> Option<Invalidation> {
    let (attr, offset, len) = match (op, result.as_ref().ok()?) {
        (Op::Write { .. }, OpReply::Written { offset, len, attr }) => (attr, *offset, Some(u64::from(*len))),
        (Op::Copy { to_offset, .. }, OpReply::Copied { len, attr }) if *len > 0 => (attr, *to_offset, Some(*len)),
        (Op::Allocate { range, mode, .. }, OpReply::Attr(attr)) => match mode {
            // Reserving changes no byte that was there.
            AllocateMode::Reserve { .. } => (attr, range.end(), None),
            AllocateMode::PunchHole | AllocateMode::Zero { .. } => (attr, range.start(), Some(range.len())),
        },
        (Op::SetAttr { set, .. }, OpReply::Attr(attr)) => (attr, set.size?, None),
        (Op::Open { truncate: true, .. }, OpReply::Attr(attr)) => (attr, 0, None),
        _ => return None,
    };
    Some(Invalidation { ino: attr.ino, offset, len, data_version: attr.data_version, size: attr.size })
}

#[cfg(test)]
mod tests;
