//! Applying operations, each exactly once.

use std::sync::atomic::Ordering;

use holdfast_core::error::{Error, ErrorKind, PosixError, Result};
use holdfast_core::id::{CommitSeq, InodeId, SessionId};
use holdfast_core::op::{AppliedOp, Caller, LoggedOp, Op, OpReply, WriteData};
use holdfast_core::time::Timestamp;
use holdfast_core::volume::Quota;
use parking_lot::RwLockUpgradableReadGuard;
use tracing::error;

use super::overlays::Overlays;
use super::writer::{Session, Writer};
use super::{ApplyContext, StagedData, Store};
use crate::meta::apply::{self, Context, Effects, Failure, Txn};
use crate::meta::record::extent::Frame;

impl Store {
    /// Applies one operation of a session, the next in its log, and gives it its place in the
    /// volume's order. On return every read sees it; it is durable after the next commit.
    ///
    /// An operation at or below the session's last applied one is not applied again: its outcome
    /// comes from the session's record. Where that has been forgotten, because the client has
    /// confirmed it and it is durable, the answer is `Done` under commit number 0.
    ///
    /// A replay after a crash, under the commit number that it had, is applied whatever the limits
    /// on space say: its caller was told that it was done.
    ///
    /// # Errors
    /// `SessionLost` for an unknown session; `Invalid` when operations are missing before this
    /// one, or when the data of a staged write is not there or has another length; `Unavailable`
    /// after a failed commit. In these cases nothing has happened and the operation has no
    /// outcome. What the file system says is in [`AppliedOp::result`].
    pub fn apply(&self, session: SessionId, op: &LoggedOp, context: &ApplyContext<'_>) -> Result<AppliedOp> {
        self.alive()?;
        let mut writer = self.writer.lock();
        let known = writer.sessions.get(&session).ok_or_else(|| lost(session))?;
        if op.seq <= known.applied {
            return Ok(answer_again(known, op));
        }
        if op.seq != known.applied.next() {
            let message = format!("operation {} came though {} is the next one", op.seq, known.applied.next());
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let refused = context.refused.or_else(|| known.refuses(&op.op).then_some(PosixError::ReadOnly));
        let staged = match context.refused {
            None => staged_frames(&op.op, context.staged.as_ref())?,
            Some(_) => &[],
        };
        let commit = writer.number(op.replay_of)?;
        let replay = writer.is_replay(commit);
        let overlays = self.overlays.upgradable_read();
        let under = Context {
            commit,
            now: op.time.unwrap_or(context.now),
            caller: op.caller,
            inode_blocks: writer.header.inode_blocks,
            quota: if replay { Quota::default() } else { context.quota },
            usage: writer.header.usage,
            disk_full: !replay && self.disk_full.load(Ordering::Relaxed),
            is_open: context.is_open,
        };
        let decided = if let Some(error) = refused {
            Err(Failure::Posix(error))
        } else {
            let mut txn = Txn::new(overlays.view(&*self.engine), under);
            let reply = apply::apply(&mut txn, &op.op, staged);
            reply.map(|reply| (reply, txn.into_effects()))
        };
        writer.header.last_commit = commit;
        let (result, effects) = match decided {
            Ok((reply, effects)) => (Ok(reply), Some(effects)),
            Err(Failure::Posix(error)) => (Err(error), None),
            Err(Failure::Store(error)) => {
                error!(?error, seq = op.seq.0, op = ?op.op.changes_content_of(), "cannot apply an operation");
                (Err(PosixError::Io), None)
            }
        };
        let applied = AppliedOp { seq: op.seq, commit, result };
        if let Some(session) = writer.sessions.get_mut(&session) {
            session.record(applied.clone());
        }
        let data_bytes = staged.iter().map(|frame| u64::from(frame.len)).sum();
        settle(&mut writer, overlays, effects, Some((context.now, data_bytes)));
        Ok(applied)
    }

    /// The last session that had this unlinked inode open is gone: frees it. Nothing happens if it
    /// has a name or is gone.
    ///
    /// # Errors
    /// `Damaged`, `Unavailable`.
    pub fn drop_orphan(&self, ino: InodeId) -> Result<()> {
        self.change(|txn| apply::drop_orphan(txn, ino))
    }

    /// Makes a change that is no session's operation.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Txn<'_>) -> Result<T>) -> Result<T> {
        self.alive()?;
        let mut writer = self.writer.lock();
        let overlays = self.overlays.upgradable_read();
        let under = Context {
            commit: writer.header.last_commit,
            now: Timestamp::default(),
            caller: Caller::default(),
            inode_blocks: writer.header.inode_blocks,
            quota: Quota::default(),
            usage: writer.header.usage,
            disk_full: false,
            is_open: &|_| false,
        };
        let (result, effects) = {
            let mut txn = Txn::new(overlays.view(&*self.engine), under);
            (change(&mut txn)?, txn.into_effects())
        };
        if !effects.changes.is_empty() || !effects.live.is_empty() || effects.usage != under.usage {
            settle(&mut writer, overlays, Some(effects), None);
        }
        Ok(result)
    }
}

/// Memory and disk that the outcome of an operation takes until its client has it, about.
const OUTCOME_BYTES: u64 = 200;

/// Lays what an operation changed over the active overlay, at once for all readers. `logged`: it is one of
/// a session's, of this time and with so many bytes of staged data.
fn settle(
    writer: &mut Writer,
    overlays: RwLockUpgradableReadGuard<'_, Overlays>,
    effects: Option<Effects>,
    logged: Option<(Timestamp, u64)>,
) {
    let mut overlays = RwLockUpgradableReadGuard::upgrade(overlays);
    let (outcome_bytes, data_bytes) = logged.map_or((0, 0), |(_, data_bytes)| (OUTCOME_BYTES, data_bytes));
    overlays.outcome_bytes += outcome_bytes;
    overlays.data_bytes += data_bytes;
    if let Some(effects) = effects {
        writer.take_effects(&effects);
        overlays.usage = effects.usage;
        overlays.active.absorb(effects.changes);
    }
    writer.dirty = true;
    let oldest = overlays.oldest.or(logged.map(|(now, _)| now)).unwrap_or_default();
    overlays.oldest = Some(oldest);
}

fn lost(session: SessionId) -> Error {
    let _ = session; // Who knows the id may use the session: it stays out of messages.
    Error::new(ErrorKind::SessionLost, "the volume does not know this session; begin a new one")
}

fn answer_again(session: &Session, op: &LoggedOp) -> AppliedOp {
    let forgotten = || AppliedOp { seq: op.seq, commit: CommitSeq(0), result: Ok(OpReply::Done) };
    session.outcome(op.seq).cloned().unwrap_or_else(forgotten)
}

/// The frames that an operation needs.
fn staged_frames<'s>(op: &Op, staged: Option<&'s StagedData>) -> Result<&'s [Frame]> {
    let Op::Write { data: WriteData::Staged { stage, len }, .. } = op else { return Ok(&[]) };
    match staged {
        Some(data) if data.bytes() == u64::from(*len) => Ok(data.frames()),
        Some(data) => Err(Error::new(
            ErrorKind::Invalid,
            format!("a write names {len} bytes of stage {stage}, which has {}", data.bytes()),
        )),
        None => Err(Error::new(ErrorKind::Invalid, format!("a write names stage {stage}, which is not there"))),
    }
}
