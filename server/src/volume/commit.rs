//! Commits, one at a time. The committer: the one thread of a volume that makes what is applied durable, takes
//! up what sessions brought back after a restart, and frees dead data while nobody waits for it. A thread
//! that serves a session commits by itself where that is quick ([`pace`](super::pace)).

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::id::SessionId;
use holdfast_core::op::{LoggedOp, Op};
use holdfast_core::session::BootTime;
use parking_lot::MutexGuard;
use tracing::info;

use super::invalidate::Effects;
use super::member::{Leave, Member, Standing};
use super::recovery::{self, one_order};
use super::{Guard, Owner, Phase, State, Stop};
use crate::failpoint::Failpoint;
use crate::session::{Sync, stage_of};
use crate::store::Committed;

/// Extents that are freed at a time: a few milliseconds, since a sync may come meanwhile.
const REAP_BUDGET: usize = 256;
/// Wishes for the disk that one session may have open.
const SYNCS_MAX: usize = 8192;
/// Replayed operations between two looks at how much is waiting for the disk.
const REPLAY_CHUNK: usize = 64;

/// What a commit that is under way will settle.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Wishes that it fulfils, each of a stream of a session.
    syncs: Vec<(SessionId, u64, Sync)>,
    /// Sessions whose record it writes.
    entering: Vec<SessionId>,
    /// Sessions whose record it deletes.
    leaving: Vec<SessionId>,
}

/// What the committer is to do.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// Look again.
    Again,
    /// Wait until it is woken.
    Wait,
    /// Wait until it is wanted, or what is applied has this age.
    Age(Duration),
    /// Commit.
    Commit,
    /// End.
    Over,
}

impl Owner {
    /// A session wants something on disk.
    ///
    /// # Errors
    /// When the stream is no longer the session's, or too many wishes are open.
    pub(crate) fn sync(&self, session: SessionId, generation: u64, sync: Sync) -> Result<()> {
        let mut state = self.enter(session, generation)?;
        if let Some(member) = state.members.get_mut(&session) {
            if member.syncs.len() >= SYNCS_MAX {
                return Err(Error::new(ErrorKind::Invalid, format!("over {SYNCS_MAX} syncs are unanswered")));
            }
            member.syncs.push_back(sync);
        }
        let now = state.seen;
        state.pace.wished(session, now);
        Ok(())
    }

    /// A session has said all that it has to say for now: what it wants on disk is begun, by the calling thread
    /// where that is soon done, which saves the way to the committer and back.
    pub(crate) fn settle_syncs(&self, session: SessionId) {
        let mut state = self.lock();
        if self.may_commit_here(&state, session) {
            let mut state = self.commit(state);
            self.consider_sync(&mut state, session);
            let aged = state.dirty && !self.settings.commit.is_due_by_ticks();
            if state.wanted || state.stop.is_some() || aged {
                // It has waited for this.
                self.demand.wake();
            }
        } else {
            self.consider_sync(&mut state, session);
        }
    }

    /// Whether the thread that serves a session may commit for it: nobody else commits, or has wished for
    /// it lately (what several wish for goes together), it is little, and the disk is quick.
    fn may_commit_here(&self, state: &State, session: SessionId) -> bool {
        let wished = |member: &Member| member.syncs.front().is_some_and(|sync| sync.seq <= member.applied);
        let calm = matches!(state.phase, Phase::Open) && state.stop.is_none() && !state.reaping;
        let calm = calm && !Failpoint::CommitFirst.is_armed();
        let free = state.dirty && !state.wanted && state.committing.is_none();
        calm && free
            && state.members.get(&session).is_some_and(wished)
            && state.pace.is_quick_for_one()
            && self.store.pending().is_little()
    }

    /// Lets a commit begin for what a session wants on disk, once all of that is applied.
    pub(super) fn consider_sync(&self, state: &mut State, session: SessionId) {
        let open = matches!(state.phase, Phase::Open);
        let Some(member) = state.members.get_mut(&session) else { return };
        if !open || member.syncs.front().is_none_or(|sync| sync.seq > member.applied) {
            return;
        }
        if Failpoint::CommitFirst.is_armed() {
            return member.acknowledge_early();
        }
        if state.dirty {
            self.demand_commit(state);
            return;
        }
        while let Some(sync) = member.take_sync() {
            match &mut state.committing {
                // What is under way has all that was applied.
                Some(plan) => plan.syncs.push((session, member.generation, sync)),
                None => member.sync_done(sync),
            }
        }
        member.tell_durable();
    }

    /// Asks the committer to commit now.
    pub(super) fn demand_commit(&self, state: &mut State) {
        if !state.wanted {
            state.wanted = true;
            self.demand.wake();
        }
    }

    /// The life of the committer thread; it ends when the owner is stopped.
    pub(crate) fn run_committer(&self) {
        let mut state = self.lock();
        loop {
            let turn;
            (state, turn) = self.turn(state);
            match turn {
                Turn::Again => {}
                Turn::Wait => self.demand.wait(&mut state.inner),
                Turn::Age(age_max) => {
                    let is_old = self.demand.wait_while(&mut state.inner, State::is_calm, age_max);
                    state.wanted |= is_old && state.dirty;
                }
                Turn::Commit => state = self.commit(state),
                Turn::Over => return,
            }
        }
    }

    /// The same as a task of the runtime, for a simulation: a commit takes the time that `disk` says.
    pub(crate) async fn commit_as_task(&self, disk: &(dyn Fn() -> Duration + Send + std::marker::Sync)) {
        loop {
            let turn = self.turn(self.lock()).1;
            match turn {
                Turn::Again => {}
                Turn::Wait => self.demand.woken().await,
                Turn::Age(age_max) => {
                    let busy = async {
                        while self.lock().is_calm() {
                            self.demand.woken().await;
                        }
                    };
                    if tokio::time::timeout(age_max, busy).await.is_err() {
                        let mut state = self.lock();
                        state.wanted |= state.dirty;
                    }
                }
                Turn::Commit => {
                    let begun = self.begin_commit(&mut self.lock());
                    tokio::time::sleep(disk()).await;
                    let committed = self.store.commit();
                    self.end_commit(&mut self.lock(), begun, committed);
                }
                Turn::Over => return,
            }
        }
    }

    /// What the committer is to do now. Replays and frees dead data here, giving the mutex away meanwhile.
    fn turn<'a>(&'a self, mut state: Guard<'a>) -> (Guard<'a>, Turn) {
        if let Phase::Replaying { absent } = &mut state.phase {
            let absent = std::mem::take(absent);
            return (self.replay(state, &absent), Turn::Again);
        }
        if state.committing.is_some() {
            // A session's thread does.
            return (state, Turn::Wait);
        }
        let turn = match state.stop {
            Some(Stop::Abandoned) => Turn::Over,
            Some(Stop::Committed) if !state.dirty => Turn::Over,
            Some(Stop::Committed) => Turn::Commit,
            None if state.wanted => Turn::Commit,
            // The age of what was applied first: it begins when the committer sees it.
            None if state.dirty => Turn::Age(self.settings.commit.age_max),
            None if state.to_reap && matches!(state.phase, Phase::Open) => {
                return (self.reap(state), Turn::Again);
            }
            None => Turn::Wait,
        };
        (state, turn)
    }

    /// One commit. Gives the mutex away while the disk works.
    fn commit<'a>(&'a self, mut state: Guard<'a>) -> Guard<'a> {
        let begun = self.begin_commit(&mut state);
        let committed = MutexGuard::unlocked(&mut state.inner, || self.store.commit());
        self.end_commit(&mut state, begun, committed);
        state
    }

    /// Takes up what a commit will settle; when it began.
    fn begin_commit(&self, state: &mut State) -> BootTime {
        let plan = state.begin_commit();
        self.unsettled.begin();
        state.committing = Some(plan);
        self.clock.boot()
    }

    fn end_commit(&self, state: &mut Guard<'_>, begun: BootTime, committed: Result<Committed>) {
        state.pace.took(self.clock.boot().0.saturating_sub(begun.0));
        match committed {
            Ok(committed) => self.finish_commit(state, &committed),
            Err(cause) => {
                // Nobody may be told that anything is durable, and a second try could lie.
                tracing::error!(volume = %self.settings.name, error = ?cause, "cannot make the volume's changes durable");
                self.fatal.stop("a write to the disk failed");
                state.committing = None;
                state.stop = Some(Stop::Abandoned);
                self.fail(state, &cause);
            }
        }
    }

    fn finish_commit(&self, state: &mut Guard<'_>, committed: &Committed) {
        let plan = state.committing.take().unwrap_or_default();
        state.to_reap = true;
        for &(session, durable) in &committed.durable {
            if let Some(member) = state.members.get_mut(&session) {
                member.durable = member.durable.max(durable);
                member.stages.durable(durable);
            }
        }
        for (session, generation, sync) in plan.syncs {
            if let Some(member) = state.members.get_mut(&session).filter(|member| member.generation == generation) {
                member.sync_done(sync);
            }
        }
        for session in plan.entering {
            if let Some(member) = state.members.get_mut(&session)
                && member.standing == Standing::Entering
            {
                member.standing = Standing::Live;
                info!(
                    volume = %self.settings.name,
                    session = %crate::session::short(session),
                    host = %member.info.host,
                    pid = member.info.pid,
                    program = %member.info.program,
                    read_only = member.info.read_only,
                    "session began"
                );
                self.welcome(state, session, false);
            }
        }
        self.settle(state);
        for member in state.members.values_mut() {
            member.tell_durable();
        }
        for session in plan.leaving {
            self.conclude(state, session);
        }
        // Who has to wait again does so behind the others.
        for session in std::mem::take(&mut state.stalled) {
            self.pump(state, session);
        }
        // Whoever is gone has nothing any more.
        self.settle_leases(state);
    }

    /// Frees some dead data without the mutex.
    fn reap<'a>(&'a self, mut state: Guard<'a>) -> Guard<'a> {
        state.reaping = true;
        let reaped = MutexGuard::unlocked(&mut state.inner, || self.store.reap(REAP_BUDGET));
        state.reaping = false;
        match reaped {
            Ok(more) => {
                state.to_reap = more;
                state.dirty |= self.store.pending().oldest.is_some();
            }
            Err(cause) => {
                state.to_reap = false;
                self.fail(&mut state, &cause);
            }
        }
        state
    }

    /// The end of recovery: what sessions brought back is applied in one order, orphans that
    /// nobody claimed go, and the volume opens.
    fn replay<'a>(&'a self, mut state: Guard<'a>, absent: &[SessionId]) -> Guard<'a> {
        for &session in absent {
            self.leave(&mut state, session, Leave::Expired);
        }
        let mut queues = BTreeMap::new();
        for (&session, member) in &mut state.members {
            let (replays, new) = recovery::split(std::mem::take(&mut member.queue));
            member.queue_bytes = new.iter().map(|queued| queued.op.op.weight()).sum();
            member.queue = new;
            queues.insert(session, replays);
        }
        let order = one_order(queues);
        let (operations, sessions) = (order.len(), state.members.len());
        for chunk in order.chunks(REPLAY_CHUNK) {
            if let Err(cause) = self.replay_chunk(&mut state, chunk) {
                self.fail(&mut state, &cause);
            }
            if !matches!(state.phase, Phase::Replaying { .. }) {
                return state;
            }
            if self.settings.commit.is_due(&self.store.pending()) {
                state = self.commit(state);
            }
        }
        state.open_what_is_on_its_way();
        if let Err(cause) = self.drop_unclaimed(&state) {
            self.fail(&mut state, &cause);
            return state;
        }
        state.dirty = true;
        if operations > 0 || sessions > 0 || !absent.is_empty() {
            info!(volume = %self.settings.name, operations, sessions, lost = absent.len(), "recovery is over");
        }
        self.open(&mut state);
        state
    }

    fn replay_chunk(&self, state: &mut Guard<'_>, chunk: &[(SessionId, LoggedOp)]) -> Result<()> {
        let mut effects = Effects::default();
        for (session, op) in chunk {
            let Some(member) = state.members.get(session).filter(|member| !member.is_leaving()) else { continue };
            if op.seq != member.applied.next() {
                continue;
            }
            if stage_of(&op.op).is_some_and(|(stage, len)| member.stages.len_of(stage) != Some(len as usize)) {
                // Its data never came: the session keeps what it had before this, as a prefix.
                self.leave(state, *session, Leave::Inconsistent);
                continue;
            }
            self.apply(state, *session, op, None, &mut effects)?;
        }
        self.carry_out(state, effects);
        for (session, _) in chunk {
            self.answer(state, *session);
        }
        Ok(())
    }

    fn drop_unclaimed(&self, state: &State) -> Result<()> {
        let orphans = self.store.orphans()?;
        orphans.into_iter().filter(|&ino| !state.opens.is_open(ino)).try_for_each(|ino| self.store.drop_orphan(ino))
    }

    fn open(&self, state: &mut Guard<'_>) {
        state.phase = Phase::Open;
        state.idle_since = self.clock.boot();
        self.recovered.store(true, Ordering::Relaxed);
        self.ready.store(true, Ordering::Release);
        self.changed.send_replace(());
        self.run_deferred_locks(state);
        self.reclaim_answered(state);
        let sessions: Vec<SessionId> = state.members.keys().copied().collect();
        for session in sessions {
            self.pump(state, session);
            self.consider_sync(state, session);
        }
    }
}

impl State {
    /// Whether nothing is wanted of the committer but what age brings.
    const fn is_calm(&mut self) -> bool {
        !self.wanted && self.stop.is_none()
    }

    /// Who has a close on its way has the file open until then. And who has an open on its way may use the file
    /// already: it was opened under a lease, and perhaps closed before, which has just been taken up.
    fn open_what_is_on_its_way(&mut self) {
        for (&session, member) in &self.members {
            for queued in &member.queue {
                if let Op::Close { ino } | Op::Open { ino, .. } = queued.op.op {
                    self.opens.open(session, ino);
                }
            }
        }
    }

    /// Takes up everything that is applied: what comes from now on is the next commit's.
    fn begin_commit(&mut self) -> Plan {
        self.dirty = false;
        self.wanted = false;
        let mut plan = Plan::default();
        let open = matches!(self.phase, Phase::Open);
        for (&session, member) in &mut self.members {
            match member.standing {
                Standing::Entering => plan.entering.push(session),
                Standing::Leaving(_) => plan.leaving.push(session),
                Standing::Live => {}
            }
            while let Some(sync) = open.then(|| member.take_sync()).flatten() {
                plan.syncs.push((session, member.generation, sync));
            }
        }
        plan
    }
}
