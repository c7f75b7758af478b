//! The objects whose histories are checked: a register, a lock, the names of a directory.

use super::Object;

/// A file whose whole content is one number.
#[derive(Clone, Copy, Debug)]
pub struct Register;

/// A call to a [`Register`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterCall {
    /// This is its content now.
    Write(u64),
    /// This was its content.
    Read(u64),
}

impl Object for Register {
    type State = u64;
    type Call = RegisterCall;

    fn apply(&self, state: &u64, call: &RegisterCall) -> Option<u64> {
        match call {
            RegisterCall::Write(value) => Some(*value),
            RegisterCall::Read(value) => (value == state).then_some(*state),
        }
    }
}

/// A lock that one has, or several share.
#[derive(Clone, Copy, Debug)]
pub struct Lock;

/// Who has a [`Lock`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Holders {
    exclusive: Option<usize>,
    /// In order.
    shared: Vec<usize>,
}

/// A call to a [`Lock`]. Nobody asks for what he has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockCall {
    /// It was asked for.
    Take {
        /// By this client.
        by: usize,
        /// Alone, or shared.
        exclusive: bool,
        /// Whether it was given.
        got: bool,
    },
    /// This client lets go of it, if it has it still.
    Drop {
        /// The client.
        by: usize,
    },
}

impl Object for Lock {
    type State = Holders;
    type Call = LockCall;

    fn apply(&self, state: &Holders, call: &LockCall) -> Option<Holders> {
        let mut after = state.clone();
        match *call {
            LockCall::Take { by, exclusive, got } => {
                let free = state.exclusive.is_none() && (!exclusive || state.shared.is_empty());
                if free != got {
                    return None;
                }
                match (got, exclusive) {
                    (false, _) => {}
                    (true, true) => after.exclusive = Some(by),
                    (true, false) => {
                        after.shared.push(by);
                        after.shared.sort_unstable();
                    }
                }
            }
            LockCall::Drop { by } => {
                after.shared.retain(|holder| *holder != by);
                after.exclusive = after.exclusive.filter(|holder| *holder != by);
            }
        }
        Some(after)
    }
}

/// A directory of a few names, each of which leads to a thing of its own or to nothing.
#[derive(Clone, Copy, Debug)]
pub struct Names;

/// A call to [`Names`]. Names are numbers from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the arguments, and whether it succeeded")]
pub enum NamesCall {
    /// A thing is made under a name that is free.
    Make { name: usize, thing: u64, done: bool },
    /// A name is taken away.
    Remove { name: usize, done: bool },
    /// A thing moves to another name, over what is there; when the call began, and when it was answered.
    Move { from: usize, to: usize, done: bool, during: (u64, u64) },
    /// What a name leads to.
    Look { name: usize, found: Option<u64> },
    /// Whether a name was in a listing.
    Lists { name: usize, there: bool },
}

impl NamesCall {
    /// The names that it is about.
    #[must_use]
    pub fn names(self) -> Vec<usize> {
        match self {
            Self::Make { name, .. }
            | Self::Remove { name, .. }
            | Self::Look { name, .. }
            | Self::Lists { name, .. } => {
                vec![name]
            }
            Self::Move { from, to, .. } => vec![from, to],
        }
    }

    /// Whether it has changed something.
    #[must_use]
    pub const fn is_change(self) -> bool {
        match self {
            Self::Make { done, .. } | Self::Remove { done, .. } | Self::Move { done, .. } => done,
            Self::Look { .. } | Self::Lists { .. } => false,
        }
    }
}

/// What a directory is between two calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Directory {
    /// What each name leads to.
    pub names: Vec<Option<u64>>,
    /// The last move, if neither of its names was changed since: from, to, and when it was answered.
    ///
    /// Linux looks both names of a rename up, one after the other, and has nothing to do when they lead to
    /// the same thing. So of two hosts that move the same name to the same other name at the same time both
    /// may succeed: the later one found the old name before, and the new one after the other's move.
    moved: Option<(usize, usize, u64)>,
}

impl Directory {
    /// With these names.
    #[must_use]
    pub const fn of(names: Vec<Option<u64>>) -> Self {
        Self { names, moved: None }
    }

    fn set(&mut self, name: usize, thing: Option<u64>) {
        self.names[name] = thing;
        self.moved = self.moved.filter(|(from, to, _)| *from != name && *to != name);
    }
}

impl Object for Names {
    type State = Directory;
    type Call = NamesCall;

    fn apply(&self, state: &Directory, call: &NamesCall) -> Option<Directory> {
        let mut after = state.clone();
        let right = match *call {
            NamesCall::Make { name, thing, done } => {
                if done {
                    after.set(name, Some(thing));
                }
                done == state.names[name].is_none()
            }
            NamesCall::Remove { name, done } => {
                if done {
                    after.set(name, None);
                }
                done == state.names[name].is_some()
            }
            NamesCall::Move { from, to, done, during: (begun, ended) } => {
                let thing = state.names[from];
                if done && thing.is_some() {
                    after.set(from, None);
                    after.set(to, thing);
                    after.moved = Some((from, to, ended));
                }
                let twin = state.moved.is_some_and(|(f, t, until)| (f, t) == (from, to) && begun <= until);
                done == thing.is_some() || (done && twin)
            }
            NamesCall::Look { name, found } => state.names[name] == found,
            NamesCall::Lists { name, there } => state.names[name].is_some() == there,
        };
        right.then_some(after)
    }
}
