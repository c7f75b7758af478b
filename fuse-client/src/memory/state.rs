//! What is remembered, and what it is remembered under. Pure but for the reading of the clock that
//! its caller does.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use holdfast_core::attr::Attr;
use holdfast_core::id::{DirCookie, Epoch, InodeId, Seq};
use holdfast_core::lease::{Holdings, Mode};
use holdfast_core::name::FileName;

mod giving;
mod hearing;
mod names;
mod wanted;

use super::ahead::Ahead;
use super::blocks::Blocks;
use super::contents::Contents;
use super::strides::Strides;
use super::walks::Walks;
use super::{Found, HELD_UP, TAKEN_UP};
use names::Names;
use wanted::Wanted;

/// Names of a directory that are asked for one by one before its listing is read on.
const MISSES_MAX: u32 = 3;
/// Pages that are read on at a time, at most. Each time four times as many as the time before.
const AHEAD_MAX: u32 = 64;

/// What is known of an inode.
#[derive(Debug, Default)]
struct Node {
    attr: Option<Attr>,
    /// Of a directory.
    names: Names,
    /// When the kernel was told its attributes last, and until when it may believe any.
    told: Option<(Instant, Instant)>,
    /// Until when the kernel may believe what the names in it lead to.
    names_told: Option<Instant>,
    /// Until when the kernel may come to it by a name without asking, and so judge by an owner and a mode
    /// that it does not look at anew.
    reached: Option<Instant>,
    /// The directory in which it was found last.
    above: Option<InodeId>,
    /// When it was used last.
    used: Moment,
    /// This mount's last operation that changes it: what was asked before that is older.
    changed: Seq,
    /// Of a directory: names that had to be asked for since its listing was read on last.
    misses: u32,
    /// Pages of its listing to read next.
    ahead: u32,
    /// Somebody reads on.
    reading: bool,
    /// Of a directory: what lies in it is not looked through again before, for what is not in use.
    rested: Option<Instant>,
}

/// What the kernel may still believe of an inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Believed {
    /// Its attributes; when it was told of them last.
    pub(super) attributes: Option<Instant>,
    /// What the names in it lead to, or that one leads to it; until when, if the last answer was not held
    /// up.
    pub(super) names: Option<Instant>,
}

/// Microseconds since the first use, each later than the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(u64);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct State {
    holdings: Holdings,
    nodes: HashMap<InodeId, Node>,
    epoch: Epoch,
    began: Option<Instant>,
    last_use: Moment,
    /// No inode that is not remembered any more was changed behind this operation.
    changed_before: Seq,
    wanted: Wanted,
    /// Bytes of files.
    pub(super) contents: Contents,
    pub(super) blocks: Blocks,
    pub(super) ahead: Ahead,
    pub(super) strides: Strides,
    pub(super) walks: Walks,
}

impl State {
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    fn tick(&mut self) -> Moment {
        let since = self.began.get_or_insert_with(Instant::now).elapsed().as_micros();
        let now = u64::try_from(since).unwrap_or(u64::MAX);
        self.last_use = Moment(now.max(self.last_use.0 + 1));
        self.last_use
    }

    pub(super) fn attr(&mut self, ino: InodeId) -> Option<Attr> {
        if !self.holdings.may(ino, Mode::Shared) {
            return None;
        }
        let used = self.tick();
        let node = self.nodes.get_mut(&ino)?;
        node.used = used;
        node.attr
    }

    pub(super) fn lookup(&mut self, parent: InodeId, name: &FileName) -> Option<Found> {
        if !self.holdings.may(parent, Mode::Shared) {
            return None;
        }
        let used = self.tick();
        let node = self.nodes.get_mut(&parent)?;
        node.used = used;
        match node.names.leads(name.as_bytes())? {
            Some(ino) => {
                let found = self.attr(ino).map(Found::Entry);
                if let Some(node) = self.nodes.get_mut(&ino) {
                    node.above = Some(parent);
                }
                found
            }
            None => Some(Found::Nothing),
        }
    }

    /// The kernel is told these attributes and may believe them for so long; false: it may not.
    pub(super) fn tell(&mut self, attr: &Attr, length: Duration) -> bool {
        if !self.holdings.may(attr.ino, Mode::Shared) {
            return false;
        }
        match self.nodes.get_mut(&attr.ino) {
            // Anything else is older than what is known by now.
            Some(node) if node.attr.as_ref() == Some(attr) => {
                let now = Instant::now();
                let until = node.told.map_or(now, |(_, until)| until).max(now + length);
                node.told = Some((now, until));
                true
            }
            _ => false,
        }
    }

    /// The kernel is told what a name leads to and may believe it for so long; false: it may not.
    pub(super) fn tell_name(
        &mut self,
        (parent, name): (InodeId, &[u8]),
        to: Option<InodeId>,
        length: Duration,
    ) -> bool {
        let now = Instant::now();
        let may = |ino| self.holdings.may(ino, Mode::Shared) && !self.wanted.is_recent(ino, now);
        if !may(parent) || !to.is_none_or(may) {
            return false;
        }
        let until = Some(now + length);
        match self.nodes.get_mut(&parent) {
            Some(node) if node.names.leads(name) == Some(to) => {
                node.names_told = node.names_told.max(until);
            }
            _ => return false,
        }
        if let Some(node) = to.and_then(|ino| self.nodes.get_mut(&ino)) {
            node.reached = node.reached.max(until);
        }
        true
    }

    /// What the kernel was told of an inode and may still believe.
    pub(super) fn told(&self, ino: InodeId) -> Believed {
        self.nodes.get(&ino).map_or_else(Believed::default, |node| node.believed(Instant::now()))
    }

    /// The attributes of an inode, without a use of it.
    pub(super) fn peek(&self, ino: InodeId) -> Option<&Attr> {
        self.nodes.get(&ino).filter(|_| self.holdings.may(ino, Mode::Shared))?.attr.as_ref()
    }

    /// The directory in which an inode was found last.
    pub(super) fn above(&self, ino: InodeId) -> Option<InodeId> {
        self.nodes.get(&ino)?.above
    }

    /// What the names in a directory lead to, as far as they are known.
    pub(super) fn below(&self, directory: InodeId) -> impl Iterator<Item = InodeId> {
        self.nodes.get(&directory).into_iter().flat_map(|node| node.names.inodes())
    }

    pub(super) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(super) const fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    /// The attributes of an inode that is exclusively ours, where they are known.
    pub(super) fn own(&self, ino: InodeId) -> Option<&Attr> {
        if !self.holdings.may(ino, Mode::Exclusive) {
            return None;
        }
        self.nodes.get(&ino)?.attr.as_ref()
    }

    /// Surely a name leads to nothing.
    pub(super) fn surely_nothing(&self, place: (InodeId, &FileName)) -> Option<()> {
        self.leads(place)?.is_none().then_some(())
    }

    /// What a name surely leads to.
    pub(super) fn surely(&self, place: (InodeId, &FileName)) -> Option<InodeId> {
        self.leads(place)?
    }

    /// Whether there is surely no name in a directory.
    pub(super) fn is_surely_empty(&self, ino: InodeId) -> bool {
        self.nodes.get(&ino).is_some_and(|node| node.names.are_surely_none())
    }

    /// A name in a directory has to be asked for. Whether its listing is worth reading on now: behind
    /// which entry, and how many pages.
    pub(super) fn missed(&mut self, parent: InodeId) -> Option<(DirCookie, u32)> {
        let node = self.known(parent).filter(|node| !node.names.is_complete() && !node.reading)?;
        node.misses += 1;
        if node.misses < MISSES_MAX {
            return None;
        }
        let pages = node.ahead.max(1);
        (node.misses, node.ahead, node.reading) = (0, (pages * 4).min(AHEAD_MAX), true);
        Some((node.names.listed(), pages))
    }

    /// That is done.
    pub(super) fn has_read_on(&mut self, parent: InodeId) {
        if let Some(node) = self.nodes.get_mut(&parent) {
            node.reading = false;
        }
    }

    /// This mount has made an inode.
    pub(super) fn born(&mut self, ino: InodeId) {
        self.holdings.born(ino);
        self.node(ino);
    }

    /// What is remembered of an inode, to be added to.
    fn node(&mut self, ino: InodeId) -> &mut Node {
        self.nodes.entry(ino).or_insert_with(|| Node::since(self.changed_before))
    }

    /// Whether what was asked behind this operation is all that is to be known of an inode that is ours to
    /// remember.
    pub(super) fn is_as_of(&mut self, ino: InodeId, behind: Seq) -> bool {
        self.known(ino).is_some_and(|node| node.changed <= behind)
    }

    /// An inode is not remembered any more.
    fn remove(&mut self, ino: InodeId) {
        if let Some(node) = self.nodes.remove(&ino) {
            self.changed_before = self.changed_before.max(node.changed);
        }
    }

    /// These are the attributes of an inode of ours, by an operation of ours.
    pub(super) fn set(&mut self, attr: &Attr, seq: Seq) {
        self.walks.forget(attr.ino);
        let used = self.tick();
        if let Some(node) = self.nodes.get_mut(&attr.ino) {
            node.attr = Some(*attr);
            node.changed = seq;
            node.used = used;
        }
    }

    /// An operation changes an inode: its attributes are not known before its outcome.
    pub(super) fn doubt_since(&mut self, ino: InodeId, seq: Seq) {
        self.walks.forget(ino);
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.attr = None;
            node.changed = node.changed.max(seq);
        }
    }

    /// Nothing is known of an inode any more.
    pub(super) fn forget(&mut self, ino: InodeId) {
        self.contents.forget(ino);
        self.walks.forget(ino);
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.forget();
        }
    }

    pub(super) fn leases(&self) -> Vec<(InodeId, Mode)> {
        self.holdings.inodes().collect()
    }

    pub(super) fn welcomed(&mut self, epoch: Epoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.contents.clear();
            self.blocks.clear();
            self.holdings.renumber();
        }
    }

    /// Nothing that was heard counts any more; the leases do.
    pub(super) fn forget_all(&mut self) {
        self.contents.clear();
        self.walks.clear();
        self.blocks.clear();
        for node in self.nodes.values_mut() {
            node.forget();
        }
    }
}

impl Node {
    fn believed(&self, now: Instant) -> Believed {
        Believed {
            attributes: self.told.filter(|(_, until)| *until > now).map(|(at, _)| at),
            // The kernel counts from when it takes an answer up.
            names: self
                .names_told
                .max(self.reached)
                .map(|until| until + TAKEN_UP)
                .filter(|until| *until + HELD_UP > now),
        }
    }

    /// Of an inode that this mount may have changed up to there.
    fn since(changed: Seq) -> Self {
        Self { changed, names: Names::since(changed), ..Self::default() }
    }

    fn forget(&mut self) {
        self.attr = None;
        self.names.clear();
    }
}
