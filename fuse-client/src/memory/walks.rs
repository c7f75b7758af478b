//! Which directories are worth listing ahead: who lists a directory, then what lies in it, mostly goes on
//! through the whole tree. Pure.
//!
//! A walk is followed by what is left of it: the directories that were seen in listings and not listed yet.
//! From its third directory on the next ones are asked for before they are wanted, first few and then more,
//! the deepest first, as trees are walked. What has come is kept until it is used, once.
//!
//! Guarantees: what is listed ahead and not wanted is bounded, in directories and in entries; who goes
//! elsewhere costs no more than one window. Never says that a listing still holds: who keeps one here drops it
//! ([`forget`](Walks::forget)) when anything in the directory changes, or its lease goes.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use holdfast_client::DirPage;
use holdfast_core::id::InodeId;

/// Directories one after the other that belong to one walk, before any is listed ahead.
const FOLLOWED_FROM: u32 = 3;
/// Directories that are on their way, or here and not wanted yet, at first and at most.
const WINDOW_MIN: usize = 4;
const WINDOW_MAX: usize = 32;
/// Entries that are kept here, at most about: what a directory has is known when it has come.
const ENTRIES_MAX: usize = 8192;
/// Directories that are left of a walk and remembered; the oldest are forgotten first.
const LEFT_MAX: usize = 4096;
/// Directories that were listed last: what lies in them belongs to the walk.
const TRAIL_MAX: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Walks {
    /// Listed last, the newest at the back.
    trail: VecDeque<InodeId>,
    /// Directories of this walk so far.
    followed: u32,
    /// What is left of it, the next one at the back.
    left: VecDeque<InodeId>,
    ahead: HashMap<InodeId, Ahead>,
    entries: usize,
    window: usize,
}

/// A listing from its start that was not wanted yet.
#[derive(Debug)]
enum Ahead {
    Coming,
    Here(DirPage),
}

/// What there is of a listing that is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Here(DirPage),
    Coming,
    Nothing,
}

impl Walks {
    /// A listing is wanted from its start. What is here is the caller's.
    pub(super) fn take(&mut self, directory: InodeId) -> Wanted {
        match self.ahead.remove(&directory) {
            Some(Ahead::Here(page)) => {
                self.entries -= page.entries.len();
                self.window = (self.window * 2).min(WINDOW_MAX);
                Wanted::Here(page)
            }
            Some(Ahead::Coming) => {
                self.ahead.insert(directory, Ahead::Coming);
                Wanted::Coming
            }
            None => Wanted::Nothing,
        }
    }

    /// A listing is given to who wanted it: of a directory in `above`, with these directories in it, in their
    /// order. What is to be listed ahead now.
    pub(super) fn listed(
        &mut self,
        directory: InodeId,
        above: Option<InodeId>,
        below: impl DoubleEndedIterator<Item = InodeId>,
    ) -> Vec<InodeId> {
        let goes_on = self.left.contains(&directory) || above.is_some_and(|above| self.trail.contains(&above));
        if !goes_on {
            self.begin();
        }
        self.followed += 1;
        self.trail.retain(|listed| *listed != directory);
        self.trail.push_back(directory);
        if self.trail.len() > TRAIL_MAX {
            self.trail.pop_front();
        }
        self.left.retain(|left| *left != directory);
        self.left.extend(below.rev());
        let over = self.left.len().saturating_sub(LEFT_MAX);
        self.left.drain(..over);
        if self.followed < FOLLOWED_FROM { Vec::new() } else { self.next() }
    }

    /// A directory that is on its way is here.
    pub(super) fn came(&mut self, directory: InodeId, page: &DirPage) {
        if let Some(ahead @ Ahead::Coming) = self.ahead.get_mut(&directory) {
            self.entries += page.entries.len();
            *ahead = Ahead::Here(page.clone());
        }
    }

    /// Whether a directory is on its way.
    pub(super) fn is_coming(&self, directory: InodeId) -> bool {
        matches!(self.ahead.get(&directory), Some(Ahead::Coming))
    }

    /// A directory that was on its way has come by now, or will not.
    pub(super) fn settle(&mut self, directory: InodeId) {
        if self.is_coming(directory) {
            self.ahead.remove(&directory);
            self.window = (self.window / 2).max(WINDOW_MIN);
        }
    }

    /// What is here of a directory holds no longer.
    pub(super) fn forget(&mut self, directory: InodeId) {
        if let Some(Ahead::Here(page)) = self.ahead.remove(&directory) {
            self.entries -= page.entries.len();
            self.window = (self.window / 2).max(WINDOW_MIN);
        }
    }

    /// Nothing holds any longer.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Another walk begins.
    fn begin(&mut self) {
        self.trail.clear();
        self.left.clear();
        self.ahead.retain(|_, ahead| matches!(ahead, Ahead::Coming));
        (self.followed, self.entries, self.window) = (0, 0, WINDOW_MIN);
    }

    fn next(&mut self) -> Vec<InodeId> {
        let mut next = Vec::new();
        let mut left = self.left.iter().rev();
        while self.ahead.len() < self.window && self.entries < ENTRIES_MAX {
            let Some(&directory) = left.next() else { break };
            if let Entry::Vacant(ahead) = self.ahead.entry(directory) {
                ahead.insert(Ahead::Coming);
                next.push(directory);
            }
        }
        next
    }
}

#[cfg(test)]
mod tests;
