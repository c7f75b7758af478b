//! Sessions: how they come, come back, live and go.

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::id::{Seq, SessionId};
use holdfast_core::session::{BootTime, server_waits_until};
use std::sync::Arc;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::invalidate::Effects;
use super::leases::Resumed;
use super::member::{Leave, Member, Standing};
use super::staging::session_lost;
use super::{Guard, Owner, Phase, State};
use crate::session::{Hello, Link, OUTBOUND_MAX, Outbound, Welcome, short};
use crate::store::SessionInfo;

impl Owner {
    /// Whether who says this now must wait until recovery is over: newcomers must. (Who comes back
    /// and is not known need not: it has been given up.)
    pub(crate) fn must_wait(&self, hello: &Hello) -> bool {
        let state = self.lock();
        let recovering = matches!(state.phase, Phase::Recovering(_) | Phase::Replaying { .. });
        recovering && !hello.resume && !state.members.contains_key(&hello.session)
    }

    /// A session comes, or comes back. The first message of the link is its `Welcome`.
    ///
    /// # Errors
    /// `SessionLost` for one that is over; `NoSpace` when there are too many; `Invalid` when what
    /// it says cannot be; `Unavailable` while the volume closes.
    pub(crate) fn hello(self: &Arc<Self>, hello: &Hello) -> Result<Link> {
        let session = hello.session;
        let mut state = self.lock();
        if let Phase::Over(over) = &state.phase {
            return Err(self.over_error(over));
        }
        let resumed = state.members.contains_key(&session);
        if resumed {
            self.check_resume(&mut state, hello)?;
        } else {
            self.admit(&mut state, hello)?;
        }
        let (sender, outbound) = mpsc::channel(OUTBOUND_MAX);
        state.generations += 1;
        let generation = state.generations;
        let deadline = self.deadline(&state);
        state.withdraw_claims(session);
        let Some(member) = state.members.get_mut(&session) else { return Err(session_lost()) };
        member.end(Error::new(ErrorKind::Unavailable, "the session has opened another stream"));
        member.attach(hello, sender, generation);
        member.deadline = deadline;
        member.info.read_only = hello.read_only;
        if resumed {
            self.store.set_read_only(session, hello.read_only);
        }
        if resumed && member.standing == Standing::Live {
            self.resume(&mut state, hello)?;
        }
        self.directory.insert(session, Arc::clone(self));
        Ok(Link { owner: Arc::downgrade(self), session, generation, outbound, leaving: false, wishes: false })
    }

    /// A stream is gone. The session may come back until its lease is over.
    pub(crate) fn unlink(&self, session: SessionId, generation: u64) {
        let mut state = self.lock();
        let Some(member) = state.members.get_mut(&session).filter(|member| member.generation == generation) else {
            return;
        };
        member.link = None;
        if let Phase::Recovering(recovery) = &mut state.phase {
            recovery.broke(session);
        }
        self.forget_stream(&mut state, session);
    }

    /// The session lives.
    ///
    /// # Errors
    /// When the stream is no longer the session's.
    pub(crate) fn heartbeat(&self, session: SessionId, generation: u64, id: u64) -> Result<()> {
        let mut state = self.enter(session, generation)?;
        Self::send(&mut state, session, Outbound::Heartbeat { id, now: self.clock.now() });
        Ok(())
    }

    /// The session leaves once all it has sent is applied.
    ///
    /// # Errors
    /// When the stream is no longer the session's.
    pub(crate) fn goodbye(&self, session: SessionId, generation: u64) -> Result<()> {
        let mut state = self.enter(session, generation)?;
        if let Some(member) = state.members.get_mut(&session) {
            member.goodbye = true;
        }
        self.pump(&mut state, session);
        Ok(())
    }

    /// Locks the state for a message of a session's stream, and renews the session.
    pub(super) fn enter(&self, session: SessionId, generation: u64) -> Result<Guard<'_>> {
        let mut state = self.lock();
        let deadline = self.deadline(&state);
        if let Phase::Over(over) = &state.phase {
            return Err(self.over_error(over));
        }
        match state.members.get_mut(&session) {
            Some(member) if member.is_leaving() => return Err(session_lost()),
            Some(member) if member.generation == generation => member.deadline = deadline,
            Some(_) => return Err(Error::new(ErrorKind::Unavailable, "the session has opened another stream")),
            None => return Err(session_lost()),
        }
        Ok(state)
    }

    /// Until when who was heard just now may be silent.
    fn deadline(&self, state: &State) -> BootTime {
        let times = self.settings.times;
        server_waits_until(state.seen, times.lease, times.heartbeat)
    }

    /// A session that is known: may it go on as it says?
    fn check_resume(&self, state: &mut State, hello: &Hello) -> Result<()> {
        let Some(member) = state.members.get(&hello.session) else { return Ok(()) };
        if member.is_leaving() {
            return Err(session_lost());
        }
        if member.deadline < self.clock.boot() && matches!(state.phase, Phase::Open) {
            self.leave(state, hello.session, Leave::Expired);
            return Err(session_lost());
        }
        if !hello.resume && member.applied > Seq(0) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "there is a session with this id; say that it resumes, or begin another",
            ));
        }
        if hello.resume && hello.next > member.applied.next() {
            warn!(
                volume = %self.settings.name,
                session = %short(hello.session),
                client = %hello.next,
                server = %member.applied,
                "a session counts on operations that this volume does not have; it is ended"
            );
            self.leave(state, hello.session, Leave::Inconsistent);
            return Err(session_lost());
        }
        Ok(())
    }

    /// Enters a session that is not known. Its record is durable before it is welcomed, so that
    /// whoever was welcomed is waited for after a crash.
    fn admit(&self, state: &mut State, hello: &Hello) -> Result<()> {
        if hello.resume {
            return Err(session_lost());
        }
        if !matches!(state.phase, Phase::Open) {
            return Err(Error::new(ErrorKind::Unavailable, "the volume is recovering; try again"));
        }
        if state.members.len() >= self.settings.sessions_max {
            return Err(Error::new(
                ErrorKind::NoSpace,
                format!(
                    "volume {} has {} sessions, as many as this server allows; unmount one",
                    self.settings.name,
                    state.members.len()
                ),
            ));
        }
        self.check_alone(state, hello)?;
        let info = SessionInfo {
            id: hello.session,
            host: hello.host.clone(),
            pid: hello.pid,
            program: hello.program.clone(),
            read_only: hello.read_only,
            started: self.clock.now(),
        };
        let block = self.store.begin_session(info.clone())?;
        state.members.insert(hello.session, Member::new(info, block.unwrap_or_default(), self.deadline(state)));
        state.leases.enter(hello.session);
        state.dirty = true;
        self.demand_commit(state);
        Ok(())
    }

    /// Who wants the volume to itself has it alone, and nobody comes while it is there. (What goes has its
    /// place behind all that it did, and nothing of it is to come.)
    fn check_alone(&self, state: &State, hello: &Hello) -> Result<()> {
        let mut others = state.members.values().filter(|member| !member.is_leaving());
        let in_the_way = others.find(|member| hello.exclusive || member.exclusive);
        let Some(Member { info, exclusive, .. }) = in_the_way else { return Ok(()) };
        let has = if *exclusive { "has it exclusively" } else { "has it mounted, and it is wanted exclusively" };
        let message = format!("volume {} is in use: {} (pid {}) {has}", self.settings.name, info.host, info.pid);
        Err(Error::new(ErrorKind::InUse, format!("{message}; unmount it there, or wait until its lease is over")))
    }

    fn resume(&self, state: &mut Guard<'_>, hello: &Hello) -> Result<()> {
        let session = hello.session;
        self.tell_locks_the_time(state);
        let mut woken = Vec::new();
        let refused = state.locks.reclaim_session(session, &hello.locks, &mut woken);
        state.lock_waits.retain(|_, (waiter, _)| *waiter != session);
        self.deliver(state, woken);
        self.check_reclaimed(state, session, &refused)?;
        if matches!(state.phase, Phase::Open) {
            let (held, as_of) = (hello.leases.clone(), state.leases.last_grant());
            if let Some(member) = state.members.get_mut(&session) {
                member.resumed = Some(Resumed { held, as_of, until: hello.pending_until });
            }
        } else if !state.leases.reclaim(session, &hello.leases) {
            warn!(
                volume = %self.settings.name,
                session = %short(session),
                leases = hello.leases.len(),
                "a session claims leases that others have; it is ended"
            );
            self.leave(state, session, Leave::Inconsistent);
            return Err(session_lost());
        }
        if let Phase::Recovering(recovery) = &mut state.inner.phase {
            recovery.returned(session);
            for &ino in &hello.opens {
                state.opens.open(session, ino);
            }
        }
        info!(volume = %self.settings.name, session = %short(session), host = %hello.host, "session resumed");
        if let Some(member) = state.members.get_mut(&session) {
            member.lock_waits.clear();
            member.pending_until = Some(hello.pending_until);
        }
        self.welcome(state, session, true);
        for message in state.invalidations.resend(session) {
            Self::send(state, session, Outbound::Invalidate { id: message.id, what: message.what });
        }
        self.recall_again(state, session);
        self.spared_returns(state, session, &hello.leases);
        self.consider_complete(state, session);
        self.pump(state, session);
        Ok(())
    }

    pub(super) fn welcome(&self, state: &mut State, session: SessionId, resumed: bool) {
        let Some(member) = state.members.get_mut(&session) else { return };
        let welcome = Welcome {
            protocol: member.protocol,
            epoch: self.store.epoch(),
            applied: member.applied,
            durable: member.durable,
            times: self.settings.times,
            policy: self.settings.policy,
            resumed,
            now: self.clock.now(),
            block: member.block,
        };
        member.send(Outbound::Welcome(welcome));
    }

    /// A session goes: its record first. What it held goes when that is on disk
    /// ([`Self::conclude`]), so that no crash can bring it back beside its successors.
    pub(super) fn leave(&self, state: &mut State, session: SessionId, why: Leave) {
        if self.spares(state, session, why) {
            return;
        }
        let Some(member) = state.members.get_mut(&session).filter(|member| !member.is_leaving()) else { return };
        member.standing = Standing::Leaving(why);
        member.queue.clear();
        member.queue_bytes = 0;
        member.later.clear();
        if why != Leave::Goodbye {
            member.end(lost_by(why));
            warn!(
                volume = %self.settings.name,
                session = %short(session),
                host = %member.info.host,
                pid = member.info.pid,
                ?why,
                "session ended; what it had not synced is lost"
            );
        }
        state.withdraw_claims(session);
        self.directory.remove(session);
        if let Phase::Recovering(recovery) = &mut state.phase {
            recovery.complete(session);
        }
        let mut ended = self.store.end_session(session);
        for ino in state.opens.close_all(session) {
            // While it is not known who has what open, nothing is freed; the end of recovery does it.
            if matches!(state.phase, Phase::Open) {
                ended = ended.and_then(|()| self.store.drop_orphan(ino));
            }
        }
        state.dirty = true;
        self.demand_commit(state);
        if let Err(cause) = ended {
            self.fail(state, &cause);
        }
    }

    /// A session's record is off the disk: now its locks go, and whoever waited for it goes on.
    pub(super) fn conclude(&self, state: &mut State, session: SessionId) {
        let Some(mut member) = state.members.remove(&session) else { return };
        self.give_to_others(state, session);
        if member.standing == Standing::Leaving(Leave::Goodbye) {
            info!(volume = %self.settings.name, session = %short(session), host = %member.info.host, "session left");
            member.flush_answers();
            member.send(Outbound::Farewell);
        }
    }

    /// What a session had is others' now: leases, locks, and answers that waited for it.
    pub(super) fn give_to_others(&self, state: &mut State, session: SessionId) {
        state.leases.gone(session);
        let mut woken = Vec::new();
        state.locks.release_session(session, &mut woken);
        state.lock_waits.retain(|_, (waiter, _)| *waiter != session);
        self.deliver(state, woken);
        let mut effects = Effects::default();
        state.invalidations.gone(session, &mut effects);
        self.carry_out(state, effects);
    }

    /// A session that wants to leave does so as soon as all it sent is applied and answered.
    pub(super) fn consider_goodbye(&self, state: &mut State, session: SessionId) {
        let ready = state
            .members
            .get(&session)
            .is_some_and(|member| member.goodbye && member.unanswered_len() == 0 && member.standing == Standing::Live);
        if ready && matches!(state.phase, Phase::Open) {
            self.leave(state, session, Leave::Goodbye);
        }
    }
}

fn lost_by(why: Leave) -> Error {
    let reason = match why {
        Leave::Goodbye => "it said goodbye",
        Leave::Expired => "it was silent for longer than its lease",
        Leave::Unresponsive => "it did not drop from its cache what it was told to",
        Leave::Inconsistent => "it claimed what it cannot have",
        Leave::Ended => "an administrator ended it",
    };
    Error::new(
        ErrorKind::SessionLost,
        format!("the session is over ({reason}); what it had not synced is lost, begin a new one"),
    )
}
