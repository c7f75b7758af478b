//! Where blocks lie, and which have to go. Pure.
//!
//! Blocks lie on shelves by the first byte of their names. Names are checksums, so all shelves fill alike, and
//! each has the same share of the cache for itself: who writes looks at one of them only, and any number of
//! processes do so without knowing of each other.

use std::ffi::OsString;
use std::time::SystemTime;

use holdfast_core::hash::FrameHash;

/// How many there are.
pub(super) const SHELVES: usize = 256;
/// What file systems give out at a time, mostly.
const UNIT: u64 = 4096;
/// A shelf that is full is emptied by so much of its share: an eighth. Others may write meanwhile.
const ROOM: u64 = 8;
/// So much of its share may be put on a shelf before it is looked at again, since others write too.
const UNSEEN: u64 = 64;

/// A shelf: a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shelf(u8);

impl Shelf {
    /// Where a block lies.
    pub(super) const fn of(hash: &FrameHash) -> Self {
        Self(hash.0[0])
    }

    /// All of them.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(Self)
    }

    /// Its name.
    pub(super) fn name(self) -> String {
        format!("{:02x}", self.0)
    }

    /// Which of all.
    pub(super) fn index(self) -> usize {
        self.0.into()
    }
}

/// What a block takes up on the disk.
pub(super) const fn cost(len: u64) -> u64 {
    len.div_ceil(UNIT) * UNIT
}

/// A block on a shelf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) name: OsString,
    pub(super) cost: u64,
    /// When it was used last, about.
    pub(super) used: SystemTime,
}

/// What is known of a shelf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    held: u64,
    /// Of it, what was put there since it was looked at.
    unseen: u64,
    looked: bool,
}

impl Account {
    /// Bytes on the shelf.
    pub(super) const fn held(&self) -> u64 {
        self.held
    }

    /// Whether the shelf has to be looked at before so much is put there.
    pub(super) const fn is_stale(&self, coming: u64, share: u64) -> bool {
        !self.looked || self.held + coming > share || self.unseen + coming > share / UNSEEN
    }

    /// This is what it has.
    pub(super) const fn looked(&mut self, held: u64) {
        *self = Self { held, unseen: 0, looked: true };
    }

    /// A block was put there.
    pub(super) const fn put(&mut self, cost: u64) {
        self.held += cost;
        self.unseen += cost;
    }
}

/// What has to go before so much can be put on a shelf; what was not used for the longest time first.
pub(super) fn superfluous(mut kept: Vec<Kept>, coming: u64, share: u64) -> Vec<Kept> {
    let mut held: u64 = kept.iter().map(|block| block.cost).sum();
    if held + coming <= share {
        return Vec::new();
    }
    let most = (share - share / ROOM).saturating_sub(coming);
    kept.sort_unstable_by_key(|block| block.used);
    let mut count = 0;
    while held > most
        && let Some(block) = kept.get(count)
    {
        held -= block.cost;
        count += 1;
    }
    kept.truncate(count);
    kept
}

#[cfg(test)]
mod tests;
