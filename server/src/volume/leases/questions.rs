//! Questions, from their arrival to their answer.
//!
//! A question is read and its leases are lent in one step under the owner's mutex, so no change
//! comes between the two.

use holdfast_core::error::{Error, ErrorKind, PosixError, Result};
use holdfast_core::id::SessionId;
use holdfast_core::lease::{Grant, Needs, Use, Verdict};
use holdfast_core::limits::UNANSWERED_OPS_MAX;
use holdfast_core::session::BootTime;
use holdfast_proto::lease::{Answered, Question, Reply};
use holdfast_proto::namespace::{DirEntry, DirPage};

use super::{Asked, Held, Later, needs};
use crate::session::Outbound;
use crate::store;
use crate::volume::{Guard, Owner, State, unsettled};

/// Entries of one answer: some milliseconds of the owner's time at most.
const ENTRIES_MAX: usize = 1024;
/// The same with attributes, and leases.
const ENTRIES_PLUS_MAX: usize = 256;

impl Owner {
    /// A session asks.
    ///
    /// # Errors
    /// When the stream is no longer the session's; `Invalid` when too many questions are unanswered.
    pub(crate) fn question(&self, session: SessionId, generation: u64, id: u64, question: Question) -> Result<()> {
        let mut state = self.enter(session, generation)?;
        let waiting = state.leases.asked.values().filter(|asked| asked.session == session).count();
        let Some(member) = state.members.get_mut(&session) else { return Ok(()) };
        if member.later.len() + member.held_len() + waiting >= UNANSWERED_OPS_MAX {
            let message = format!("over {UNANSWERED_OPS_MAX} questions are unanswered");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        member.remembers = true;
        member.later.push_back((member.arrived, Later::Question { id, question }));
        self.pump(&mut state, session);
        Ok(())
    }

    /// Answers a question, or lets it wait for what is in its way.
    pub(super) fn ask(&self, state: &mut State, asked: Asked) {
        let needs = needs::of_question(&self.store, &asked.question);
        match state.leases.table.claim(asked.session, needs.clone(), self.clock.boot()) {
            Verdict::Clear => self.answer_question(state, asked, &needs),
            Verdict::Waits(claim) => {
                state.leases.asked.insert(claim, asked);
            }
        }
    }

    /// Nothing is in the way of a question any more, if it still needs the same.
    pub(super) fn question_is_clear(&self, state: &mut Guard<'_>, asked: Asked, cleared: &Needs) {
        if needs::of_question(&self.store, &asked.question) == *cleared {
            self.answer_question(state, asked, cleared);
        } else {
            self.ask(state, asked);
        }
    }

    fn answer_question(&self, state: &mut State, Asked { session, id, question }: Asked, needs: &Needs) {
        let mut result = self.read(&question);
        let remembered = match &result {
            Ok(_) => true,
            Err(error) => {
                matches!(question, Question::Lookup { .. }) && error.kind() == ErrorKind::Posix(PosixError::NoEntry)
            }
        };
        let now = self.clock.boot();
        // Of its own changes that are not answered yet it does not know the place.
        let knows_its_own = state.members.get(&session).is_some_and(|member| member.answers.is_empty());
        let seen_by = knows_its_own.then_some(session);
        let round = self.unsettled.round_of(seen_by, &unsettled::of_question(&question, needs));
        let mut grants = Vec::new();
        if remembered {
            let uses: Vec<Use> = needs.iter().map(|&(ino, _)| Use::looked_at(ino)).collect();
            if round.is_none() {
                grants = state.leases.table.settle_as(session, &uses, now);
            } else {
                // By the time that it goes out others may have changed it again.
                state.leases.table.used(session, &uses, now);
            }
        }
        if let Ok(Reply::ReadDir(page)) = &mut result {
            self.withhold(state, session, page);
            if round.is_none() {
                grants.extend(Self::offer(state, session, page, now));
            }
        }
        let answered = Answered { result, grants };
        let Some(round) = round else {
            return Self::send(state, session, Outbound::Answer { id, answered });
        };
        if let Some(member) = state.members.get_mut(&session) {
            member.hold(Held { round, id, question, answered });
        }
        self.hold(state, session, round);
    }

    /// The commit is over that an answer has waited for. If all that it is about is settled and nobody's now, it
    /// is given anew, with leases.
    pub(in crate::volume) fn answer_held(&self, state: &mut State, session: SessionId, held: Held) {
        let Held { id, question, answered, .. } = held;
        let needs = needs::of_question(&self.store, &question);
        let settled = self.is_settled(session, &unsettled::of_question(&question, &needs));
        if settled && state.leases.table.is_clear(session, &needs) {
            self.answer_question(state, Asked { session, id, question }, &needs);
        } else {
            Self::send(state, session, Outbound::Answer { id, answered });
        }
    }

    /// What another session may change by itself, or has just changed, has no attributes that could be told.
    fn withhold(&self, state: &State, session: SessionId, page: &mut DirPage) {
        for entry in page.entries.iter_mut().filter(|entry| entry.attr.is_some()) {
            let others = state.leases.table.is_others(session, entry.ino);
            if others || !self.is_settled(session, &unsettled::attributes(entry.ino)) {
                entry.attr = None;
            }
        }
    }

    /// Lends what is on a page with its attributes.
    fn offer(state: &mut State, session: SessionId, page: &DirPage, now: BootTime) -> Vec<Grant> {
        let table = &mut state.leases.table;
        let told = page.entries.iter().filter(|entry| entry.attr.is_some());
        told.filter_map(|entry| table.offer(session, entry.ino, now)).collect()
    }

    fn read(&self, question: &Question) -> Result<Reply> {
        Ok(match question {
            Question::Lookup { parent, name } => Reply::Lookup(self.store.lookup(*parent, name)?),
            Question::GetAttr { ino } => Reply::GetAttr(self.store.getattr(*ino)?),
            Question::ReadDir { ino, after, entries_max, with_attributes } => {
                let most = if *with_attributes { ENTRIES_PLUS_MAX } else { ENTRIES_MAX };
                let asked = usize::try_from(*entries_max).unwrap_or(most);
                let max = if asked == 0 { most } else { asked.min(most) };
                Reply::ReadDir(page(self.store.readdir(*ino, *after, max, *with_attributes)?))
            }
        })
    }
}

fn page(page: store::DirPage) -> DirPage {
    let entry = |entry: store::DirEntry| DirEntry {
        name: entry.name,
        ino: entry.ino,
        kind: entry.kind,
        cookie: entry.cookie,
        attr: entry.attr,
    };
    DirPage { entries: page.entries.into_iter().map(entry).collect(), end: page.end, parent: page.parent }
}
