//! Whether what several clients saw of one object can have happened in one order: linearizability.
//!
//! A history is a list of calls, each with the times at which it began and ended. It is good when every
//! answered call can be given a moment between its beginning and its end, so that an object that does
//! one call at a time, in the order of these moments, gives the same answers. The search goes depth
//! first, one call after the other, and never looks twice at the same calls done with the same state.
//!
//! Pure: knows no clock, no file and no thread. A history that cannot be decided within a bound is not
//! called good.

pub mod objects;

use std::collections::HashSet;
use std::fmt::{self, Debug, Write as _};
use std::hash::Hash;

/// An object that does one call at a time.
pub trait Object {
    /// What it is between two calls.
    type State: Clone + Eq + Hash + Debug;
    /// A call with its answer.
    type Call: Debug;

    /// What it is after a call; `None`: in this state it would have answered something else.
    fn apply(&self, state: &Self::State, call: &Self::Call) -> Option<Self::State>;
}

/// How a call ended, at a time in any unit that is the same for the whole history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was answered: it was done by then.
    Answered(u64),
    /// It failed: it was done by then, or never will be.
    Failed(u64),
    /// Nobody heard of it again: it may be done at any later time, or never.
    Unknown,
}

/// One call of a history.
#[derive(Clone, Debug)]
pub struct Entry<C> {
    /// Who called.
    pub client: usize,
    /// What was called, with the answer. Of a call that failed: with the answer that it would have had.
    pub call: C,
    /// When it began.
    pub begun: u64,
    /// How and when it ended.
    pub end: End,
}

impl<C> Entry<C> {
    const fn answered(&self) -> Option<u64> {
        match self.end {
            End::Answered(at) => Some(at),
            End::Failed(_) | End::Unknown => None,
        }
    }

    /// The last moment at which it may have been done.
    const fn latest(&self) -> u64 {
        match self.end {
            End::Answered(at) | End::Failed(at) => at,
            End::Unknown => u64::MAX,
        }
    }
}

/// Why a history was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such order. For people: how far one was found, and what could not follow.
    NoOrder(String),
    /// More steps than allowed.
    Undecided,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOrder(why) => write!(f, "no order explains it: {why}"),
            Self::Undecided => write!(f, "not decided within {STEPS_MAX} steps"),
        }
    }
}

/// Steps of one search.
const STEPS_MAX: usize = 5_000_000;

/// Whether a history is linearizable, beginning with this state. The order of the entries does not matter.
///
/// # Errors
/// [`Refusal`] says why it was not accepted.
pub fn check<O: Object>(object: &O, first: O::State, history: &[Entry<O::Call>]) -> Result<(), Refusal> {
    let mut entries: Vec<&Entry<O::Call>> = history.iter().collect();
    entries.sort_by_key(|entry| entry.begun);
    Search { object, done: Done(vec![0; entries.len().div_ceil(64)]), entries, seen: HashSet::new() }.run(first)
}

/// Which entries are done, a bit each.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Done(Vec<u64>);

impl Done {
    fn has(&self, index: usize) -> bool {
        self.0[index / 64] & (1 << (index % 64)) != 0
    }

    fn flip(&mut self, index: usize) {
        self.0[index / 64] ^= 1 << (index % 64);
    }
}

struct Search<'a, O: Object> {
    object: &'a O,
    /// In the order of their beginnings.
    entries: Vec<&'a Entry<O::Call>>,
    done: Done,
    seen: HashSet<(Done, O::State)>,
}

/// A place in the search: so many calls are done, and these are yet to be tried next.
struct Place<S> {
    state: S,
    /// The entry that led here.
    by: Option<usize>,
    /// The latest beginning of all that are done.
    latest_begun: u64,
    next: usize,
}

impl<O: Object> Search<'_, O> {
    fn run(mut self, first: O::State) -> Result<(), Refusal> {
        let mut places = vec![Place { state: first, by: None, latest_begun: 0, next: 0 }];
        let (mut deepest, mut steps) = ((0, String::new()), 0);
        while let Some(place) = places.last_mut() {
            let Some(bound) = self.first_end() else { return Ok(()) };
            let Some((index, state)) = self.follower(place, bound) else {
                if places.len() > deepest.0 {
                    deepest = (places.len(), self.explain(&places, bound));
                }
                if let Some(by) = places.pop().and_then(|place| place.by) {
                    self.done.flip(by);
                }
                continue;
            };
            place.next = index + 1;
            let latest_begun = place.latest_begun.max(self.entries[index].begun);
            self.done.flip(index);
            if self.seen.insert((self.done.clone(), state.clone())) {
                places.push(Place { state, by: Some(index), latest_begun, next: 0 });
            } else {
                self.done.flip(index);
            }
            steps += 1;
            if steps > STEPS_MAX {
                return Err(Refusal::Undecided);
            }
        }
        Err(Refusal::NoOrder(deepest.1))
    }

    /// The earliest end of an answered call that is not done: what begins later must wait for it. `None`:
    /// all are done.
    fn first_end(&self) -> Option<u64> {
        let open = self.entries.iter().enumerate().filter(|(index, _)| !self.done.has(*index));
        open.filter_map(|(_, entry)| entry.answered()).min()
    }

    /// The next entry that can be done here, and the state after it.
    fn follower(&self, place: &Place<O::State>, bound: u64) -> Option<(usize, O::State)> {
        let from = place.next;
        let begun = self.entries[from..].iter().take_while(|entry| entry.begun <= bound).enumerate();
        begun
            .map(|(offset, entry)| (from + offset, entry))
            .filter(|(index, entry)| !self.done.has(*index) && entry.latest() >= place.latest_begun)
            .find_map(|(index, entry)| {
                let after = self.object.apply(&place.state, &entry.call)?;
                // What need not have been done, and would change nothing, need not be tried.
                (entry.answered().is_some() || after != place.state).then_some((index, after))
            })
    }

    fn explain(&self, places: &[Place<O::State>], bound: u64) -> String {
        let mut text = String::new();
        let at = places.last().map(|place| &place.state);
        let _ = writeln!(text, "{} of {} calls, then {at:?}", places.len() - 1, self.entries.len());
        for place in places.iter().rev().take(4).rev() {
            if let Some(by) = place.by {
                let _ = writeln!(text, "    done     {:?}", self.entries[by]);
            }
        }
        let left =
            self.entries.iter().enumerate().filter(|(index, entry)| !self.done.has(*index) && entry.begun <= bound);
        for (_, entry) in left.take(12) {
            let _ = writeln!(text, "    cannot   {entry:?}");
        }
        text
    }
}

#[cfg(test)]
mod tests;
