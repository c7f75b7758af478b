//! Outcomes of operations: read first, told to who remembers, then taken up. So nothing is answered
//! here on top of an outcome that is not yet remembered.

use holdfast_core::attr::Attr;
use holdfast_core::error::{Error, PosixError, Result};
use holdfast_core::id::{CommitSeq, InodeId, Seq};
use holdfast_core::op::{Op, OpReply, OpResult};
use holdfast_proto::lease;
use holdfast_proto::outcome::applied_op;
use holdfast_proto::v1;

use super::{Effects, State};
use crate::admin::distrust;
use crate::session::Applied;
use crate::session::log::{Answered, opened};
use crate::session::state::leases::Parked;

/// What the server says of an operation.
#[derive(Debug)]
pub(crate) struct Outcome {
    seq: Seq,
    commit: CommitSeq,
    result: OpResult,
    /// Why it cannot be; then the result is `Io`.
    defect: Option<Error>,
    /// What it means for who remembers.
    pub(crate) applied: Option<Applied>,
}

impl State {
    /// Reads outcomes. Those of operations that are not kept any more are passed over.
    pub(crate) fn read_outcomes(&self, outcomes: Vec<v1::OpOutcome>) -> Result<Vec<Outcome>> {
        let mut read = Vec::with_capacity(outcomes.len());
        for mut wire in outcomes {
            let seq = Seq(wire.seq);
            if seq > self.log.ever_sent() {
                return Err(distrust("outcome", &format!("operation {seq} was never sent")));
            }
            let Some(entry) = self.log.entry(seq) else { continue };
            let commit = CommitSeq(wire.commit);
            let grants = wire.grants.iter().map(lease::grant).collect::<Result<Vec<_>>>();
            let grants = grants.map_err(|error| distrust("grant", error.message()))?;
            let changed = std::mem::take(&mut wire.changed).into_iter().map(InodeId).collect();
            let (result, defect) = match applied_op(wire, &entry.op) {
                Ok(applied) => (applied.result, None),
                Err(error) => (Err(PosixError::Io), Some(distrust("outcome of an operation", error.message()))),
            };
            let news = entry.is_unanswered() && !Self::is_put_off(&result);
            let applied = news.then(|| Applied { seq, op: entry.op.clone(), result: result.clone(), grants, changed });
            read.push(Outcome { seq, commit, result, defect, applied });
        }
        Ok(read)
    }

    /// Takes outcomes up.
    pub(crate) fn applied(&mut self, outcomes: Vec<Outcome>) -> Effects {
        let mut effects = Effects { ops: Vec::with_capacity(outcomes.len()), ..Effects::default() };
        for Outcome { seq, commit, result, defect, .. } in outcomes {
            let Some(entry) = self.log.entry(seq) else { continue };
            let open = result.as_ref().ok().and_then(|reply| opened(&entry.op, reply));
            let close = if let Op::Close { ino } = entry.op { Some(ino) } else { None };
            let kept = (entry.caller, entry.op.clone(), entry.payload.clone());
            let was_answered = entry.is_foretold();
            if let Some(attr) = attr(&result) {
                self.heard_time(attr.ctime);
            }
            let answered = self.log.outcome(seq, commit, &result);
            if was_answered {
                self.is_applied(seq, &kept.1, result.as_ref().ok());
            }
            let first = matches!(answered, Answered::First(_)) || was_answered;
            if first && !Self::is_put_off(&result) {
                self.opens.extend(open);
                if let Some(ino) = close {
                    self.opens.remove(&ino);
                }
            }
            if let Some(defect) = &defect {
                tracing::error!(%seq, error = %defect, "an operation got an answer that cannot be");
            }
            match answered {
                Answered::First(waiter) if Self::is_put_off(&result) => {
                    let (caller, op, payload) = kept;
                    self.park(seq, Parked { caller, op, payload, waiter });
                }
                Answered::First(waiter) => {
                    if let Some(waiter) = waiter {
                        effects.ops.push((waiter, defect.map_or_else(|| result.map_err(Error::from), Err)));
                    }
                }
                Answered::Misread => {
                    tracing::error!(%seq, op = ?kept.1, ?result, "an operation was done otherwise than was foretold");
                    effects.misread.push(kept.1);
                }
                Answered::Undone(inodes) => {
                    tracing::error!(%seq, ?result, ?inodes, "an operation that was answered has failed");
                    self.losses.extend(&inodes);
                    effects.lost.extend(inodes);
                    effects.misread.push(kept.1);
                }
                Answered::AsForetold | Answered::Again | Answered::Unknown => {}
            }
        }
        self.settled_up_to(self.log.answered());
        effects.stages = self.admit();
        effects.stages.extend(self.unpark());
        effects
    }
}

const fn attr(result: &OpResult) -> Option<&Attr> {
    match result {
        Ok(OpReply::Attr(attr) | OpReply::Written { attr, .. } | OpReply::Copied { attr, .. }) => Some(attr),
        Ok(OpReply::Done) | Err(_) => None,
    }
}
