//! Who uses the volume, for people: what the owner knows, and what it asks the sessions.
//!
//! Looks at the state for a moment and never waits under it. A session that does not answer in time
//! holds nobody up but the person who asked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use holdfast_core::error::Result;
use holdfast_core::id::{InodeId, SessionId};
use holdfast_core::lock::{LockMode, LockRange, LockSpace};
use holdfast_core::time::Timestamp;
use holdfast_proto::inspect::Description;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::member::Standing;
use super::{Owner, Phase};
use crate::session::Outbound;
use crate::store::SessionInfo;

/// How long sessions may take to say who uses what.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// A lock that is held or awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LockRow {
    pub(crate) session: SessionId,
    pub(crate) ino: InodeId,
    pub(crate) space: LockSpace,
    pub(crate) mode: LockMode,
    pub(crate) range: LockRange,
    pub(crate) pid: u32,
    pub(crate) waits: bool,
    pub(crate) since: Timestamp,
}

impl Owner {
    /// The first `max` locks, by file: those that are held, then those that wait in order. And
    /// whether there are more.
    pub(crate) fn lock_rows(&self, max: usize) -> (Vec<LockRow>, bool) {
        let (now, wall) = (self.clock.boot(), self.clock.now());
        let since = |since: holdfast_core::session::BootTime| wall.before(now.0.saturating_sub(since.0));
        let state = self.lock();
        let mut rows: Vec<LockRow> = Vec::new();
        for (ino, lock) in state.locks.held().take(max + 1) {
            let (session, since) = (lock.holder.session, since(lock.since));
            let (space, mode, range, pid) = (lock.space, lock.mode, lock.range, lock.pid);
            rows.push(LockRow { session, ino, space, mode, range, pid, waits: false, since });
        }
        for wait in state.locks.waiting().take(max + 1) {
            let Some(mode) = wait.ask.mode else { continue };
            let (ino, space, range, pid) = (wait.ask.ino, wait.ask.space, wait.ask.range, wait.ask.pid);
            let since = since(wait.since);
            rows.push(LockRow { session: wait.session, ino, space, mode, range, pid, waits: true, since });
        }
        drop(state);
        // A stable order: those who wait stay in their order of arrival.
        rows.sort_by_key(|row| (row.ino, row.space, row.waits));
        let more = rows.len() > max;
        rows.truncate(max);
        (rows, more)
    }

    /// The first `max` open inodes of sessions, by file, and whether there are more.
    pub(crate) fn open_rows(&self, max: usize) -> (Vec<(InodeId, SessionId)>, bool) {
        let mut rows: Vec<(InodeId, SessionId)> = {
            let state = self.lock();
            state.opens.all().map(|(session, ino)| (ino, session)).collect()
        };
        rows.sort_unstable();
        let more = rows.len() > max;
        rows.truncate(max);
        (rows, more)
    }

    /// What is known of each session that is on the volume.
    pub(crate) fn session_infos(&self) -> HashMap<SessionId, SessionInfo> {
        self.lock().members.iter().map(|(&session, member)| (session, member.info.clone())).collect()
    }

    /// The present time, for what sessions count backwards from.
    pub(crate) fn wall_time(&self) -> Timestamp {
        self.clock.now()
    }

    /// Asks sessions who uses what there; those that answered in time.
    pub(crate) async fn ask_sessions(
        &self,
        sessions: impl Iterator<Item = SessionId>,
    ) -> BTreeMap<SessionId, Description> {
        let mut asked = Vec::new();
        {
            let mut state = self.lock();
            for session in sessions {
                state.questions += 1;
                let id = state.questions;
                let Some(member) = state.members.get_mut(&session) else { continue };
                if member.standing != Standing::Live || member.link.is_none() {
                    continue;
                }
                let (sender, answer) = oneshot::channel();
                member.questions.retain(|_, waiter| !waiter.is_closed());
                member.questions.insert(id, sender);
                member.send(Outbound::Describe(id));
                asked.push((session, answer));
            }
        }
        let end = Instant::now() + ANSWER_TIME_MAX;
        let mut answers = BTreeMap::new();
        for (session, answer) in asked {
            if let Ok(Ok(description)) = tokio::time::timeout_at(end, answer).await {
                answers.insert(session, description);
            }
        }
        answers
    }

    /// A session says who uses what there.
    ///
    /// # Errors
    /// When the stream is no longer the session's.
    pub(crate) fn described(
        &self,
        session: SessionId,
        generation: u64,
        id: u64,
        description: Description,
    ) -> Result<()> {
        let mut state = self.enter(session, generation)?;
        let waiter = state.members.get_mut(&session).and_then(|member| member.questions.remove(&id));
        drop(state);
        if let Some(waiter) = waiter {
            // Too late: nobody waits any more.
            let _ = waiter.send(description);
        }
        Ok(())
    }

    /// The paths of those inodes that the volume can tell of. Reads the store.
    pub(crate) fn paths(&self, inodes: &BTreeSet<InodeId>) -> HashMap<InodeId, Vec<u8>> {
        if !matches!(self.lock().phase, Phase::Open) {
            // Until sessions have brought back what they did, the names are those of the past.
            return HashMap::new();
        }
        let path = |&ino: &InodeId| self.store.path(ino).ok().flatten().map(|path| (ino, path));
        inodes.iter().filter_map(path).collect()
    }
}
