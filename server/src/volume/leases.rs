//! Leases: what sessions answer by themselves, and how it is taken back before anybody changes it.
//!
//! The table of `core` decides; this carries it out. An operation claims what it needs before it is
//! applied; what others have in the way is recalled, and it is applied when they have given it back
//! or are fenced. So at the moment of a change nobody holds a copy of what it changes.
//!
//! - Who changes an inode is lent it exclusively, if nobody else has it open or was there just before.
//!   What it then answers by itself bears a time; such an operation has its leases and never waits.
//! - What answered operations take of the volume's room was allowed by the lease on [`ROOM`]: when
//!   less is left than all sessions together may have answered, that lease is taken back.
//! - Who empties a directory is lent what is in it ahead of need ([`ahead`]).
//! - Only sessions that have asked a question are lent anything, and with what is sent at once.
//! - An operation that waits holds its session's queue up. A session that is asked for a lease does
//!   not wait itself: its operation is answered `Retry`, so that the give-back behind it counts.
//! - Questions and give-backs count behind the operations that their session sent before them.

mod ahead;
mod answered;
mod needs;
mod questions;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use holdfast_core::error::PosixError;
use holdfast_core::id::{InodeId, Seq, SessionId};
use holdfast_core::lease::{
    ClaimId, GiveBack, Grant, GrantNo, Mode, Needs, ROOM, ROOM_BYTES, ROOM_INODES, Recall, Table, Target, Use, Verdict,
    add_need,
};
use holdfast_core::op::{LoggedOp, Op, OpReply, OpResult};
use holdfast_core::session::BootTime;
use holdfast_core::time::Timestamp;
use holdfast_proto::lease::{Answered, Question};

pub(super) use self::ahead::Emptying;
pub(super) use self::needs::{Needed, of_operation as needs_of};
use super::unsettled::Round;
use super::{Guard, Owner, Phase, State};
use crate::failpoint::Failpoint;
use crate::session::Outbound;

/// Time between two looks at what time has made meaningless.
const TIDY_EVERY: Duration = Duration::from_secs(10);

/// All leases of one volume.
#[derive(Debug, Default)]
pub(super) struct Leases {
    table: Table,
    /// Questions whose claims wait.
    asked: HashMap<ClaimId, Asked>,
    /// What sessions were asked for and have not given back, and since when. `None`: the give-back has
    /// come and counts behind operations that are not applied; that is not its session's fault.
    recalled: BTreeMap<(SessionId, InodeId), Option<BootTime>>,
    tidied: BootTime,
}

/// A question of a session, under the number that its answer bears.
#[derive(Debug)]
struct Asked {
    session: SessionId,
    id: u64,
    question: Question,
}

/// The answer to a question that waits for a commit.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) round: Round,
    id: u64,
    question: Question,
    answered: Answered,
}

/// Why an operation cannot be applied now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Others have to give something back first.
    ForOthers,
    /// It would have to wait, and its session is itself asked for something.
    NotNow,
}

/// What counts behind operations.
#[derive(Debug)]
pub(super) enum Later {
    /// A question.
    Question { id: u64, question: Question },
    /// Something is given back.
    GiveBack(GiveBack),
}

/// What a session has by its own word, as of a grant; it counts when so much of it is applied.
#[derive(Debug)]
pub(super) struct Resumed {
    pub(super) held: Vec<(Target, Mode)>,
    pub(super) as_of: GrantNo,
    pub(super) until: Seq,
}

impl Leases {
    /// A session has come.
    pub(super) fn enter(&mut self, session: SessionId) {
        self.table.enter(session);
    }

    /// After a restart a session says what it has; false: that cannot be.
    pub(super) fn reclaim(&mut self, session: SessionId, held: &[(Target, Mode)]) -> bool {
        self.table.reclaim(session, held)
    }

    /// A session is believed to have a lease, whoever else has one: what must never be ([`super::unfenced`]).
    pub(super) fn believe(&mut self, session: SessionId, ino: InodeId) {
        self.table.born(session, ino);
    }

    /// What a session says now is as of this grant.
    pub(super) fn last_grant(&self) -> GrantNo {
        self.table.last_grant()
    }

    /// A session is off the disk.
    pub(super) fn gone(&mut self, session: SessionId) {
        self.forget_questions(session);
        self.table.gone(session);
        self.recalled.retain(|(from, _), _| *from != session);
    }

    /// A session's stream is gone, and with it what it had asked.
    fn forget_questions(&mut self, session: SessionId) {
        let claims = self.asked.iter().filter(|(_, asked)| asked.session == session);
        let claims: Vec<ClaimId> = claims.map(|(&claim, _)| claim).collect();
        for claim in claims {
            self.asked.remove(&claim);
            self.table.withdraw(claim);
        }
    }

    /// Sessions that were asked for something before `than` and have not given it back.
    pub(super) fn overdue(&self, than: BootTime) -> Vec<SessionId> {
        let late = self.recalled.iter().filter(|(_, since)| since.is_some_and(|since| since < than));
        let mut sessions: Vec<SessionId> = late.map(|((session, _), _)| *session).collect();
        sessions.dedup();
        sessions
    }

    /// Asks everybody for these inodes back; whether anybody has one.
    pub(super) fn take_back(&mut self, inodes: &[InodeId]) -> bool {
        let held: Vec<InodeId> =
            inodes.iter().copied().filter(|&ino| self.table.holders(ino).next().is_some()).collect();
        held.iter().for_each(|&ino| self.table.revoke(ino));
        !held.is_empty()
    }

    /// The time was not the sessions'.
    pub(super) fn forgive(&mut self, pause: Duration) {
        for since in self.recalled.values_mut().flatten() {
            *since = BootTime(since.0 + pause);
        }
    }

    /// Forgets what time has made meaningless.
    pub(super) fn tidy(&mut self, now: BootTime) {
        if now.0.saturating_sub(self.tidied.0) >= TIDY_EVERY {
            self.tidied = now;
            self.table.tidy(now);
        }
    }

    /// Whether a session was told to give something back. Not what the table says: that looks at all
    /// that the session has.
    fn owes(&self, session: SessionId) -> bool {
        self.owed(session).next().is_some()
    }

    /// The inodes that a session was told to give back.
    fn owed(&self, session: SessionId) -> impl Iterator<Item = InodeId> + '_ {
        let told = self.recalled.range((session, InodeId(0))..=(session, InodeId(u64::MAX)));
        told.map(|((_, ino), _)| *ino)
    }

    /// A session was told to give something back: it has the time that it was given first.
    fn told(&mut self, session: SessionId, target: Target, now: BootTime) {
        if let Target::Inode(ino) = target {
            self.recalled.entry((session, ino)).or_default().get_or_insert(now);
        }
    }

    /// A give-back has come.
    fn is_here(&mut self, session: SessionId, back: &GiveBack) {
        if let Target::Inode(ino) = back.target
            && let Some(since) = self.recalled.get_mut(&(session, ino))
        {
            *since = None;
        }
    }

    fn gave_back(&mut self, session: SessionId, back: &GiveBack, now: BootTime) {
        if let Target::Inode(ino) = back.target {
            self.table.gave_back(session, ino, back.left, back.seen);
            self.settle_recall(session, ino);
            // It was about an older grant, or not about all of it.
            if let Some(since) = self.recalled.get_mut(&(session, ino)) {
                since.get_or_insert(now);
            }
        }
    }

    fn settle_recall(&mut self, session: SessionId, ino: InodeId) {
        if !self.table.is_recalled(session, ino) {
            self.recalled.remove(&(session, ino));
        }
    }

    fn resumed(&mut self, session: SessionId, resumed: &Resumed) {
        self.table.resumed(session, &resumed.held, resumed.as_of);
        let owed: Vec<InodeId> = self.owed(session).collect();
        for ino in owed {
            self.settle_recall(session, ino);
        }
    }
}

impl State {
    /// Whether others may have content of a file, since they have it open, or a lock in it, which its holder
    /// would not hear of that grants locks by itself.
    fn is_in_use_elsewhere(&self, ino: InodeId, session: SessionId) -> bool {
        self.opens.is_open_elsewhere(ino, session) || self.locks.is_used_elsewhere(ino, session)
    }

    /// Nothing of a session waits for others any more: neither its questions nor its first operation.
    pub(super) fn withdraw_claims(&mut self, session: SessionId) {
        self.leases.forget_questions(session);
        let blocked = self.members.get_mut(&session).and_then(|member| member.blocked.take());
        if let Some(claim) = blocked {
            self.leases.table.withdraw(claim);
        }
    }
}

impl Owner {
    /// Whether the first operation of a session may be applied now; what it needs.
    pub(super) fn claim(&self, state: &mut State, session: SessionId, logged: &LoggedOp) -> Result<Needed, Wait> {
        let mut needed = needs::of_operation(&self.store, &logged.op);
        let answered = logged.time.is_some();
        if needed.takes_room && self.is_narrow(state, &logged.op) {
            let table = &mut state.leases.table;
            table.revoke(ROOM);
            if !answered {
                if table.held(session, ROOM).is_some() {
                    return Err(Wait::NotNow);
                }
                add_need(&mut needed.claim, ROOM, Mode::Exclusive);
            }
        }
        let Some(member) = state.members.get_mut(&session) else { return Ok(needed) };
        if Failpoint::Recall.is_armed() {
            return Ok(needed);
        }
        if member.cleared.take().is_some_and(|cleared| cleared == needed.claim) || needed.claim.is_empty() {
            return Ok(needed);
        }
        if !answered && state.leases.owes(session) && !state.leases.table.is_clear(session, &needed.claim) {
            return Err(Wait::NotNow);
        }
        match state.leases.table.claim(session, needed.claim.clone(), self.clock.boot()) {
            Verdict::Clear => Ok(needed),
            Verdict::Waits(claim) => {
                member.blocked = Some(claim);
                Err(Wait::ForOthers)
            }
        }
    }

    /// Whether less room is left than sessions may have answered by themselves, once this is done.
    fn is_narrow(&self, state: &State, op: &Op) -> bool {
        let room = self.store.room(state.quota);
        // As much again for what they answer while they are asked to stop.
        let shares = 2 * (state.members.len() as u64 + 1);
        room.bytes.saturating_sub(needs::bytes_of(op)) < shares * ROOM_BYTES || room.inodes < shares * ROOM_INODES
    }

    /// An operation was applied: what is lent with its answer, and what else it has changed. `at_once`:
    /// the answer goes out before anything else happens.
    pub(super) fn lend(
        &self,
        state: &mut State,
        session: SessionId,
        (logged, needed): (&LoggedOp, &Needed),
        result: &OpResult,
        at_once: bool,
    ) -> (Vec<Grant>, Vec<InodeId>) {
        let Ok(reply) = result else { return (Vec::new(), Vec::new()) };
        let told = match reply {
            OpReply::Attr(attr) | OpReply::Written { attr, .. } | OpReply::Copied { attr, .. } => Some(attr.ino),
            OpReply::Done => None,
        };
        if logged.time.is_some() {
            // Its session has what it needed, and what it made.
            if let Some(ino) = told.filter(|_| needed.makes) {
                state.leases.table.born(session, ino);
            }
            return (Vec::new(), Vec::new());
        }
        let changed = needed.claim.iter().filter(|(ino, mode)| *mode == Mode::Exclusive && Some(*ino) != told);
        let changed = changed.map(|&(ino, _)| ino).collect();
        let made = told.filter(|_| needed.makes).map(|ino| (ino, Mode::Exclusive));
        let used = needed.lend.iter().copied().chain(made).map(|(ino, used)| {
            let lend = if state.is_in_use_elsewhere(ino, session) { Mode::Shared } else { used };
            Use { ino, used, lend }
        });
        let mut uses: Vec<Use> = used.collect();
        if needed.takes_room && !state.leases.table.has(session, ROOM) && !self.is_narrow(state, &logged.op) {
            uses.push(Use::looked_at(ROOM));
        }
        let now = self.clock.boot();
        let remembers = state.members.get(&session).is_some_and(|member| member.remembers && member.link.is_some());
        if remembers && at_once {
            let mut grants = state.leases.table.settle_as(session, &uses, now);
            grants.extend(self.lend_ahead(state, session, &logged.op, now));
            return (grants, changed);
        }
        state.leases.table.used(session, &uses, now);
        (Vec::new(), changed)
    }

    /// A session has moved an access time: who else may remember it is told, and nobody waits for that.
    pub(super) fn tell_touched(state: &mut State, by: SessionId, ino: InodeId, atime: Timestamp) {
        let others: Vec<SessionId> = state.leases.table.holders(ino).filter(|holder| *holder != by).collect();
        for other in others {
            Self::send(state, other, Outbound::Touched { ino, atime });
        }
    }

    /// A session that is asked for something is not left waiting. (What it has answered has what it
    /// needs, and so waits for nobody.)
    fn unblock(&self, state: &mut State, session: SessionId) {
        let Some(member) = state.members.get_mut(&session).filter(|member| !member.is_first_answered()) else {
            return;
        };
        if let Some(claim) = member.blocked.take() {
            state.leases.table.withdraw(claim);
            self.bounce(state, session);
        }
    }

    /// The first operation of a session has no effect and is to be done again.
    pub(super) fn bounce(&self, state: &mut State, session: SessionId) {
        let Some(member) = state.members.get_mut(&session) else { return };
        let Some(queued) = member.take_first() else { return };
        if let Err(cause) = self.refuse(state, session, &queued.op, PosixError::Retry) {
            return self.fail(state, &cause);
        }
        self.answer(state, session);
    }

    /// Carries out what became possible, and asks for what is in the way, until nothing moves.
    pub(super) fn settle_leases(&self, state: &mut Guard<'_>) {
        loop {
            let now = self.clock.boot();
            let recalls = state.leases.table.take_recalls();
            let clear = state.leases.table.next_clear(now);
            if recalls.is_empty() && clear.is_none() {
                return;
            }
            if let Some((claim, session, needs)) = clear {
                match state.leases.asked.remove(&claim) {
                    Some(asked) => self.question_is_clear(state, asked, &needs),
                    None => self.operation_is_clear(state, session, claim, needs),
                }
            }
            for recall in recalls {
                self.recall(state, recall, now);
            }
        }
    }

    fn operation_is_clear(&self, state: &mut Guard<'_>, session: SessionId, claim: ClaimId, needs: Needs) {
        let Some(member) = state.members.get_mut(&session) else { return };
        if member.blocked == Some(claim) {
            member.blocked = None;
            member.cleared = Some(needs);
            self.pump_one(state, session);
            // What it could not be used for now it is not good for later.
            if let Some(member) = state.members.get_mut(&session) {
                member.cleared = None;
            }
        }
    }

    fn recall(&self, state: &mut Guard<'_>, recall: Recall, now: BootTime) {
        state.leases.told(recall.from, recall.target, now);
        Self::send(state, recall.from, Outbound::Recall(recall));
        self.unblock(state, recall.from);
        self.pump_one(state, recall.from);
    }

    /// A session's stream is gone: nothing that it asked there can be answered, or lent. What it has given
    /// back counts.
    pub(super) fn forget_stream(&self, state: &mut Guard<'_>, session: SessionId) {
        state.withdraw_claims(session);
        let Some(member) = state.members.get_mut(&session) else { return };
        member.later.retain(|(_, later)| matches!(later, Later::GiveBack(_)));
        self.settle_leases(state);
    }

    /// Says again what a session is asked for, on its new stream.
    pub(super) fn recall_again(&self, state: &mut State, session: SessionId) {
        let now = self.clock.boot();
        for recall in state.leases.table.recalls_of(session) {
            state.leases.told(session, recall.target, now);
            Self::send(state, session, Outbound::Recall(recall));
        }
    }

    /// A session gives something back.
    ///
    /// # Errors
    /// When the stream is no longer the session's.
    pub(crate) fn give_back(
        &self,
        session: SessionId,
        generation: u64,
        back: GiveBack,
    ) -> holdfast_core::error::Result<()> {
        let mut state = self.enter(session, generation)?;
        state.leases.is_here(session, &back);
        if let Some(member) = state.members.get_mut(&session) {
            member.later.push_back((member.arrived, Later::GiveBack(back)));
        }
        self.pump(&mut state, session);
        Ok(())
    }

    /// Does what counts behind operations that are applied by now.
    pub(super) fn run_later(&self, state: &mut State, session: SessionId) {
        while matches!(state.phase, Phase::Open) {
            let Some(member) = state.members.get_mut(&session) else { return };
            let applied = member.applied;
            if member.later.front().is_some_and(|(after, _)| *after <= applied) {
                // Outcomes first.
                member.flush_answers();
            }
            if let Some(resumed) = member.resumed.take_if(|resumed| resumed.until <= applied) {
                state.leases.resumed(session, &resumed);
                continue;
            }
            match member.later.pop_front_if(|(after, _)| *after <= applied) {
                None => return,
                Some((_, Later::GiveBack(back))) => state.leases.gave_back(session, &back, self.clock.boot()),
                Some((_, Later::Question { id, question })) => self.ask(state, Asked { session, id, question }),
            }
        }
    }
}
