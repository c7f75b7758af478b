//! What the clients of a simulation called and were answered, object by object, in the order of an observer
//! who sees all of them at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holdfast_tests::linear::objects::{Directory, Holders, Lock, LockCall, Names, NamesCall, Register, RegisterCall};
use holdfast_tests::linear::{End, Entry, check};

/// Programs of a host; those of each have numbers in a row.
pub(crate) const PROGRAMS: usize = 2;
/// Names of a directory that are used.
pub(crate) const NAMES: usize = 3;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file that is written in its place.
    Register,
    /// A file that is replaced by a rename.
    Replaced,
    /// A file that is locked.
    Lock,
    /// A directory.
    Names,
}

/// The objects of a simulation.
pub(crate) const OBJECTS: [Kind; 5] = [Kind::Register, Kind::Replaced, Kind::Lock, Kind::Names, Kind::Names];
/// The one that is seldom changed, so that hosts are lent it: the others are all hosts' at once.
pub(crate) const QUIET: usize = 4;

/// A call of one of the kinds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    Register(RegisterCall),
    Lock(LockCall),
    Names(NamesCall),
}

#[derive(Debug)]
struct Noted {
    object: usize,
    client: usize,
    call: Option<Call>,
    begun: u64,
    end: End,
}

#[derive(Debug, Default)]
struct State {
    now: u64,
    noted: Vec<Noted>,
    wrong: Vec<String>,
}

/// The log. All clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<State>>);

/// A call that has begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun(usize);

impl Log {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The moment, which is later than all before.
    pub(crate) fn now(&self) -> u64 {
        let mut state = self.lock();
        state.now += 1;
        state.now
    }

    /// A call begins: nobody may ever hear of it again. `None`: one whose answer alone says something.
    pub(crate) fn begin(&self, object: usize, client: usize, call: Option<Call>) -> Begun {
        let begun = self.now();
        let mut state = self.lock();
        state.noted.push(Noted { object, client, call, begun, end: End::Unknown });
        Begun(state.noted.len() - 1)
    }

    /// It was answered, and this was the call with its answer.
    pub(crate) fn answered(&self, begun: Begun, call: Call) {
        let now = self.now();
        self.end(begun, Some(call), End::Answered(now));
    }

    /// It failed: it was done by now, or never will be.
    pub(crate) fn failed(&self, begun: Begun) {
        let now = self.now();
        let call = self.lock().noted[begun.0].call;
        self.end(begun, call, End::Failed(now));
    }

    /// It was none.
    pub(crate) fn forget(&self, begun: Begun) {
        self.end(begun, None, End::Unknown);
    }

    /// It was answered, and done between these moments.
    pub(crate) fn answered_within(&self, begun: Begun, from: u64, to: u64) {
        let mut state = self.lock();
        let noted = &mut state.noted[begun.0];
        noted.begun = from;
        noted.end = End::Answered(to);
    }

    /// It was done by then, or when it is done at all is not known.
    pub(crate) fn note(&self, object: usize, client: usize, call: Call, begun: u64, end: End) {
        self.lock().noted.push(Noted { object, client, call: Some(call), begun, end });
    }

    /// When it began.
    pub(crate) fn begun(&self, begun: Begun) -> u64 {
        self.lock().noted[begun.0].begun
    }

    fn end(&self, begun: Begun, call: Option<Call>, end: End) {
        let mut state = self.lock();
        let noted = &mut state.noted[begun.0];
        noted.call = call;
        noted.end = end;
    }

    /// Something was seen that no order of calls explains.
    pub(crate) fn wrong(&self, what: impl Into<String>) {
        self.lock().wrong.push(what.into());
    }

    /// How many calls were answered, and what is wrong with them.
    pub(crate) fn judge(&self) -> (usize, Vec<String>) {
        let state = self.lock();
        let mut wrong = state.wrong.clone();
        for (object, kind) in OBJECTS.into_iter().enumerate() {
            let all: Vec<&Noted> = state.noted.iter().filter(|noted| noted.object == object).collect();
            let noted = || all.iter().copied().filter(|noted| !all.iter().any(|other| noted.has_seen(other)));
            let result = match kind {
                Kind::Register | Kind::Replaced => check(
                    &Register,
                    0,
                    &entries(noted(), |call| match call {
                        Call::Register(call) => Some(call),
                        _ => None,
                    }),
                ),
                Kind::Lock => check(
                    &Lock,
                    Holders::default(),
                    &entries(noted(), |call| match call {
                        Call::Lock(call) => Some(call),
                        _ => None,
                    }),
                ),
                Kind::Names => check(
                    &Names,
                    Directory::of(vec![None; NAMES]),
                    &entries(noted(), |call| match call {
                        Call::Names(call) => Some(call),
                        _ => None,
                    }),
                ),
            };
            wrong.extend(result.err().map(|refusal| format!("{kind:?}: {refusal}")));
        }
        let answered = state.noted.iter().filter(|noted| matches!(noted.end, End::Answered(_)));
        (answered.count(), wrong)
    }
}

impl Noted {
    /// Whether it may have seen what another program of the same host had not synced yet, and then lost: a host
    /// shows its own programs what it has, and tells who wrote it when that is gone.
    fn has_seen(&self, lost: &Self) -> bool {
        let (End::Answered(seen), End::Failed(gone)) = (self.end, lost.end) else { return false };
        let same_host = self.client / PROGRAMS == lost.client / PROGRAMS && self.client != lost.client;
        let at_once = lost.begun < seen && self.begun < gone;
        same_host && at_once && self.call.zip(lost.call).is_some_and(|(looks, change)| looks.shows(change))
    }
}

impl Call {
    /// Whether its answer tells of nothing but what is there, and that may be what a change has made of it.
    fn shows(self, change: Self) -> bool {
        match (self, change) {
            (Self::Register(RegisterCall::Read(read)), Self::Register(RegisterCall::Write(written))) => read == written,
            (Self::Names(looks), Self::Names(change)) => {
                let (seen, changed) = (looks.names(), change.names());
                !looks.is_change() && seen.iter().any(|name| changed.contains(name))
            }
            _ => false,
        }
    }
}

fn entries<'a, C>(noted: impl Iterator<Item = &'a Noted>, of: impl Fn(Call) -> Option<C>) -> Vec<Entry<C>> {
    let entry = |noted: &Noted| {
        let call = noted.call.and_then(&of)?;
        Some(Entry { client: noted.client, call, begun: noted.begun, end: noted.end })
    };
    noted.filter_map(entry).collect()
}
