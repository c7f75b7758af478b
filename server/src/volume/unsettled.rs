//! What is applied and not yet on the disk, and by whom: nobody else is shown it before it is.
//!
//! A server that dies takes what it had only applied with it. The writer brings that back, and nobody
//! notices, as long as nobody else had seen it: who had would see it go and come back, or, if the writer
//! died too, would have built on something that never was. So:
//! - An answer that shows what another session has changed waits for the commit that makes it durable
//!   ([`Round`]). It is decided at once, so nobody starves behind who writes on and on, bears no leases, and
//!   goes out then. A question that can be answered anew by then, and at once, is, and bears them.
//! - A read ([`Owner::settled`]) is done at once, and waits in the same way before it is answered.
//! - Who has changed something sees it at once, or when it is told that this is done: with its place in the
//!   order it can bring it back to where it was. What is answered under a lease was told with it, so it was on
//!   the disk, or its session's own.
//!
//! What counts is as fine as a name: two hosts that make files in one directory do not wait for each other.
//! Access times and the room that is left are shown as they are. Decides nothing about the disk: it asks for
//! a commit and is told of its end.

use std::collections::HashMap;
use std::mem;

use holdfast_core::error::Result;
use holdfast_core::id::{InodeId, SessionId};
use holdfast_core::lease::{Mode, Needs};
use holdfast_core::name::FileName;
use holdfast_core::op::Op;
use holdfast_proto::lease::Question;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::member::Member;
use super::{Over, Owner, State};
use crate::failpoint::Failpoint;

/// The number of a commit; those of an owner count up from one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Round(u64);

/// What can be changed, and shown.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Thing {
    /// An inode, but for the names in it.
    Inode(InodeId),
    /// The names in a directory as a whole: its listing, its times, whether it is empty.
    Names(InodeId),
    /// What one name leads to.
    Name(InodeId, FileName),
}

/// Who has changed a thing in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    One(SessionId),
    Several,
}

/// Everything that is not settled.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    rounds: Mutex<Rounds>,
    done: watch::Sender<Round>,
}

#[derive(Debug, Default)]
struct Rounds {
    /// The commit that is under way, or was last.
    begun: Round,
    /// What it takes up.
    committing: HashMap<Thing, By>,
    /// What the next one will.
    current: HashMap<Thing, By>,
}

impl Unsettled {
    /// A session changes things.
    pub(super) fn change(&self, by: SessionId, things: impl IntoIterator<Item = Thing>) {
        let mut rounds = self.rounds.lock();
        for thing in things {
            let is_its = |known: &mut By| {
                if *known != By::One(by) {
                    *known = By::Several;
                }
            };
            rounds.current.entry(thing).and_modify(is_its).or_insert(By::One(by));
        }
    }

    /// The commit that a session must wait for before it is shown these things; `None`: it need not. Without a
    /// session: of whom nobody's changes are known to have been answered.
    pub(super) fn round_of<'a>(
        &self,
        session: impl Into<Option<SessionId>>,
        things: impl IntoIterator<Item = &'a Thing>,
    ) -> Option<Round> {
        let rounds = self.rounds.lock();
        if rounds.current.is_empty() && rounds.committing.is_empty() || Failpoint::Settle.is_armed() {
            return None;
        }
        let session = session.into().map(By::One);
        let others = |table: &HashMap<Thing, By>, thing| table.get(thing).is_some_and(|by| Some(*by) != session);
        let round = |thing| {
            if others(&rounds.current, thing) {
                Some(rounds.begun.next())
            } else {
                others(&rounds.committing, thing).then_some(rounds.begun)
            }
        };
        things.into_iter().filter_map(round).max()
    }

    /// A commit begins: it takes up what was changed until now.
    pub(super) fn begin(&self) {
        let mut rounds = self.rounds.lock();
        rounds.begun = rounds.begun.next();
        rounds.committing = mem::take(&mut rounds.current);
    }

    /// It is on the disk.
    pub(super) fn finish(&self) -> Round {
        let (done, settled) = {
            let mut rounds = self.rounds.lock();
            (rounds.begun, mem::take(&mut rounds.committing))
        };
        drop(settled);
        self.done.send_replace(done);
        done
    }

    /// Has those who wait look whether the owner still serves.
    pub(super) fn look_again(&self) {
        self.done.send_modify(|_| ());
    }
}

impl Round {
    const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The names that an operation is about, as things.
fn names(op: &Op) -> impl Iterator<Item = Thing> {
    let (first, second) = match op {
        Op::Create { parent, name, .. }
        | Op::Link { parent, name, .. }
        | Op::Unlink { parent, name }
        | Op::Rmdir { parent, name } => (Some((parent, name)), None),
        Op::Rename { parent, name, new_parent, new_name, .. } => (Some((parent, name)), Some((new_parent, new_name))),
        _ => (None, None),
    };
    first.into_iter().chain(second).map(|(parent, name)| Thing::Name(*parent, name.clone()))
}

/// Whether one of these things is a name in this directory.
fn is_parent(names: &[Thing], ino: InodeId) -> bool {
    names.iter().any(|thing| matches!(thing, Thing::Name(parent, _) if *parent == ino))
}

/// What an operation changes, but for an inode that it makes, whose number it may not know. `claim`: the inodes
/// that it claims.
pub(super) fn changes(op: &Op, claim: &Needs) -> Vec<Thing> {
    let mut things: Vec<Thing> = names(op).collect();
    for &(ino, mode) in claim {
        if is_parent(&things, ino) {
            things.push(Thing::Names(ino));
        } else if mode == Mode::Exclusive {
            things.push(Thing::Inode(ino));
        }
    }
    things
}

/// On what the outcome of an operation depends.
pub(super) fn depends(op: &Op, claim: &Needs) -> Vec<Thing> {
    let mut things: Vec<Thing> = names(op).collect();
    for &(ino, _) in claim {
        if is_parent(&things, ino) {
            things.push(Thing::Inode(ino));
        } else {
            // Also whether it is empty.
            things.extend(attributes(ino));
        }
    }
    things
}

/// What the answer to a question shows, but for the attributes in a listing. `needs`: the inodes that it is
/// about.
pub(super) fn of_question(question: &Question, needs: &Needs) -> Vec<Thing> {
    let mut things = Vec::with_capacity(4);
    let directory = match question {
        Question::Lookup { parent, name } => {
            things.push(Thing::Name(*parent, name.clone()));
            Some(*parent)
        }
        Question::GetAttr { .. } | Question::ReadDir { .. } => None,
    };
    for &(ino, _) in needs {
        if directory == Some(ino) {
            things.push(Thing::Inode(ino));
        } else {
            things.extend(attributes(ino));
        }
    }
    things
}

/// All that attributes tell.
pub(crate) const fn attributes(ino: InodeId) -> [Thing; 2] {
    [Thing::Inode(ino), Thing::Names(ino)]
}

impl Owner {
    /// Whether a session may be shown these things as they were before this call.
    pub(crate) fn is_settled(&self, session: SessionId, things: &[Thing]) -> bool {
        self.unsettled.round_of(session, things).is_none()
    }

    /// Waits until a session may be shown these things as they were before this call.
    ///
    /// # Errors
    /// `Unavailable` when the volume is closed before, `Damaged` when it fails.
    pub(crate) async fn settled(&self, session: SessionId, things: &[Thing]) -> Result<()> {
        let Some(round) = self.unsettled.round_of(session, things) else { return Ok(()) };
        let mut done = self.unsettled.done.subscribe();
        {
            let mut state = self.lock();
            self.demand_round(&mut state, round);
        }
        loop {
            if *done.borrow_and_update() >= round {
                return Ok(());
            }
            self.is_open()?;
            if done.changed().await.is_err() {
                return Err(self.over_error(&Over::Closing));
            }
        }
    }

    /// Somebody waits for a commit.
    fn demand_round(&self, state: &mut State, round: Round) {
        // The one that is under way need not be asked for.
        if state.committing.is_none() || round > self.unsettled.rounds.lock().begun {
            self.demand_commit(state);
        }
    }

    /// A session has something to wait for.
    pub(super) fn hold(&self, state: &mut State, session: SessionId, round: Round) {
        if !state.held.contains(&session) {
            state.held.push(session);
        }
        self.demand_round(state, round);
    }

    /// A commit is over: what waited for it goes out.
    pub(super) fn settle(&self, state: &mut State) {
        let done = self.unsettled.finish();
        for session in mem::take(&mut state.held) {
            let Some(member) = state.members.get_mut(&session) else { continue };
            for held in member.settle(done) {
                self.answer_held(state, session, held);
            }
            if state.members.get(&session).is_some_and(Member::waits_for_commit) && !state.held.contains(&session) {
                state.held.push(session);
            }
            self.consider_goodbye(state, session);
        }
    }
}

#[cfg(test)]
mod tests;
