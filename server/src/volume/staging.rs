//! Data that sessions send ahead of the operations that name it.

use std::collections::{BTreeMap, HashMap, HashSet};

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::hash::Framed;
use holdfast_core::id::{Seq, SessionId, StageId};
use holdfast_core::limits::STAGED_BYTES_MAX;
use holdfast_core::session::BootTime;

use super::{Owner, Phase, State};
use crate::session::short;
use crate::store::StagedData;

/// A session's data that no operation has used yet.
#[derive(Debug, Default)]
pub(super) struct Stages {
    waiting: HashMap<StageId, (StagedData, usize)>,
    /// In order of arrival, to drop the oldest where there is too much.
    order: BTreeMap<u64, StageId>,
    bytes: usize,
    arrivals: u64,
    /// Named by an operation that is applied and that the client may still send again.
    used: HashSet<StageId>,
    used_by: BTreeMap<Seq, StageId>,
}

impl Stages {
    /// Whether there is nothing to do with this data any more: it is here, or was used.
    pub(super) fn knows(&self, stage: StageId) -> bool {
        self.has(stage) || self.used.contains(&stage)
    }

    /// Whether it is here.
    pub(super) fn has(&self, stage: StageId) -> bool {
        self.waiting.contains_key(&stage)
    }

    /// How long it is, if it is here.
    pub(super) fn len_of(&self, stage: StageId) -> Option<usize> {
        self.waiting.get(&stage).map(|(_, len)| *len)
    }

    /// Enters data.
    pub(super) fn insert(&mut self, stage: StageId, data: StagedData, len: usize) {
        self.arrivals += 1;
        self.order.insert(self.arrivals, stage);
        self.bytes += len;
        self.waiting.insert(stage, (data, len));
        // A client that lost its connection may have left some behind that it will never name.
        while self.bytes > 2 * STAGED_BYTES_MAX {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.forget(oldest);
        }
        if self.order.len() > 2 * self.waiting.len() + 64 {
            let waiting = &self.waiting;
            self.order.retain(|_, stage| waiting.contains_key(stage));
        }
    }

    /// Takes data out for an operation.
    pub(super) fn take(&mut self, stage: StageId, by: Seq) -> Option<StagedData> {
        self.mark_used(stage, by);
        self.forget(stage)
    }

    /// An operation that names this data was applied before.
    pub(super) fn mark_used(&mut self, stage: StageId, by: Seq) {
        self.used.insert(stage);
        self.used_by.insert(by, stage);
    }

    /// Operations up to here are never sent again.
    pub(super) fn durable(&mut self, seq: Seq) {
        while let Some(entry) = self.used_by.first_entry() {
            if *entry.key() > seq {
                break;
            }
            let stage = entry.remove();
            self.used.remove(&stage);
        }
    }

    fn forget(&mut self, stage: StageId) -> Option<StagedData> {
        let (data, len) = self.waiting.remove(&stage)?;
        self.bytes = self.bytes.saturating_sub(len);
        Some(data)
    }
}

impl Owner {
    /// Takes data ahead of the operation that names it. The same again is no error.
    ///
    /// # Errors
    /// `SessionLost` for a session that is not here; what the store says, when it has no room.
    pub(crate) fn stage(&self, session: SessionId, stage: StageId, data: Framed) -> Result<()> {
        if self.knows_stage(session, stage)? {
            return Ok(());
        }
        let len = data.data().len();
        let staged = self.store.stage(data)?;
        let mut state = self.lock();
        let Some(member) = state.members.get_mut(&session).filter(|member| !member.is_leaving()) else {
            return Err(session_lost());
        };
        if !member.stages.knows(stage) {
            member.stages.insert(stage, staged, len);
        }
        if member.stage_wait.is_some_and(|(awaited, _)| awaited == stage) {
            member.stage_wait = None;
            self.pump(&mut state, session);
        }
        self.consider_complete(&mut state, session);
        Ok(())
    }

    fn knows_stage(&self, session: SessionId, stage: StageId) -> Result<bool> {
        let state = self.lock();
        let member = state.members.get(&session).filter(|member| !member.is_leaving());
        member.map(|member| member.stages.knows(stage)).ok_or_else(session_lost)
    }

    /// Cuts off streams whose data did not come: the client sends operation and data again.
    pub(super) fn expire_stage_waits(&self, state: &mut State, now: BootTime) {
        if !matches!(state.phase, Phase::Open) {
            return;
        }
        for (&session, member) in &mut state.members {
            let Some((stage, _)) = member.stage_wait.filter(|(_, until)| *until < now) else { continue };
            tracing::warn!(
                volume = %self.settings.name,
                session = %short(session),
                %stage,
                "the data that an operation names did not come; the stream is cut off"
            );
            member.stage_wait = None;
            member.end(Error::new(
                ErrorKind::Unavailable,
                format!("the data of stage {stage} did not come in time; send it and its operation again"),
            ));
        }
    }
}

pub(crate) fn session_lost() -> Error {
    Error::new(ErrorKind::SessionLost, "the session is over; what it had not synced is lost, begin a new one")
}
