//! Bytes of files that are remembered: what this mount wrote, what it read of files that it changes,
//! and small files that were read ahead.
//!
//! The kernel drops its pages of a file whenever it hears of another time of change, also after
//! writes of its own. (It has to: a mount that is stopped for longer than its leases last cannot
//! tell it to.) Without this every file that was just written would be read back from the server.
//!
//! Guarantees: a file's bytes here are all of one version, and are found under that version only.
//! A number of a version means one content within an epoch; the caller forgets everything when
//! that may have changed. Bounded: what was not used for the longest time goes.
//! Never holds on to a larger buffer than the bytes that it counts.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use holdfast_client::Piece;
use holdfast_core::id::{DataVersion, InodeId};

/// Bytes that are kept, at most, with what it takes to keep them.
const BYTES_MAX: usize = 32 << 20;
/// The same of one file: one that is larger is read and written in large pieces, for which a
/// question to the server is no burden.
const FILE_BYTES_MAX: usize = BYTES_MAX / 8;
/// The longest piece that is kept.
pub(super) const PIECE_BYTES_MAX: usize = 128 << 10;
/// What a run costs beside its bytes.
const RUN_BYTES: usize = 96;

/// The table, in two generations: what is used moves to the young one; when that has half of all,
/// it becomes the old one, and the old one goes.
#[derive(Debug, Default)]
pub(super) struct Contents {
    young: HashMap<InodeId, Content>,
    old: HashMap<InodeId, Content>,
    /// Of the young ones.
    weight: usize,
}

/// What is known of one file.
#[derive(Debug, Default)]
struct Content {
    version: DataVersion,
    /// By offset; none empty, no two overlap.
    runs: BTreeMap<u64, Bytes>,
    weight: usize,
}

impl Contents {
    /// `len` bytes at `offset` of a version of a file, if all of them are here.
    pub(super) fn read(&mut self, ino: InodeId, version: DataVersion, (offset, len): (u64, u32)) -> Option<Vec<Piece>> {
        self.rejuvenate(ino);
        let content = self.young.get(&ino).filter(|content| content.version == version)?;
        content.read(offset, offset.checked_add(len.into())?)
    }

    /// Whether anything of a version of a file is here.
    pub(super) fn has(&self, ino: InodeId, version: DataVersion) -> bool {
        self.young.get(&ino).or_else(|| self.old.get(&ino)).is_some_and(|content| content.version == version)
    }

    /// A write of this mount made a version from the one before.
    pub(super) fn write(
        &mut self,
        ino: InodeId,
        (before, after): (DataVersion, DataVersion),
        (offset, bytes): (u64, &Bytes),
    ) {
        if bytes.len() > PIECE_BYTES_MAX {
            return self.forget(ino);
        }
        self.change(ino, before, after, |content| content.put(offset, bytes.clone()));
    }

    /// This mount made a version by giving the file another length.
    pub(super) fn resize(&mut self, ino: InodeId, (before, after): (DataVersion, DataVersion), size: u64) {
        self.change(ino, before, after, |content| content.cut_out(size, u64::MAX));
    }

    /// The server told these bytes of a version.
    pub(super) fn heard(&mut self, ino: InodeId, version: DataVersion, offset: u64, bytes: &Bytes) {
        if bytes.len() <= PIECE_BYTES_MAX {
            // What came is part of a larger message.
            self.change(ino, version, version, |content| content.put(offset, Bytes::copy_from_slice(bytes)));
        }
    }

    /// These bytes of a version are not needed any more.
    pub(super) fn let_go(&mut self, ino: InodeId, version: DataVersion, (offset, len): (u64, u32)) {
        if self.has(ino, version) {
            self.change(ino, version, version, |content| content.cut_out(offset, offset.saturating_add(len.into())));
        }
    }

    /// Nothing is known of a file.
    pub(super) fn forget(&mut self, ino: InodeId) {
        self.old.remove(&ino);
        if let Some(content) = self.young.remove(&ino) {
            self.weight -= content.weight;
        }
    }

    /// Nothing is known of any file.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Changes what is known of a file, of `before`, to what it is of `after`.
    fn change(&mut self, ino: InodeId, before: DataVersion, after: DataVersion, change: impl FnOnce(&mut Content)) {
        self.rejuvenate(ino);
        let content = self.young.entry(ino).or_default();
        self.weight -= content.weight;
        if content.version != before {
            *content = Content::default();
        }
        content.version = after;
        change(content);
        if content.weight > FILE_BYTES_MAX || content.runs.is_empty() {
            self.young.remove(&ino);
        } else {
            self.weight += content.weight;
            self.age(0);
        }
    }

    fn rejuvenate(&mut self, ino: InodeId) {
        if let Some(content) = self.old.remove(&ino) {
            self.age(content.weight);
            self.weight += content.weight;
            self.young.insert(ino, content);
        }
    }

    /// Makes room among the young ones.
    fn age(&mut self, coming: usize) {
        if self.weight + coming > BYTES_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
    }
}

impl Content {
    fn read(&self, offset: u64, end: u64) -> Option<Vec<Piece>> {
        let mut pieces = Vec::new();
        let mut at = offset;
        let first = self.runs.range(..=offset).next_back().map_or(offset, |(&start, _)| start);
        for (&start, run) in self.runs.range(first..end) {
            let run_end = start + run.len() as u64;
            if run_end <= at {
                continue;
            }
            if start > at {
                return None;
            }
            let until = run_end.min(end);
            pieces.push(Piece { offset: at, data: run.slice(within(start, at)..within(start, until)) });
            at = until;
        }
        (at == end).then_some(pieces)
    }

    fn put(&mut self, offset: u64, bytes: Bytes) {
        let Some(end) = offset.checked_add(bytes.len() as u64) else { return };
        self.cut_out(offset, end);
        self.insert(offset, bytes);
    }

    /// Removes what is known from `start` to `end`.
    fn cut_out(&mut self, start: u64, end: u64) {
        let first = self.runs.range(..start).next_back().map_or(start, |(&first, _)| first);
        let touched: Vec<u64> = self.runs.range(first..end).map(|(&at, _)| at).collect();
        for at in touched {
            let Some(run) = self.runs.remove(&at) else { continue };
            self.weight -= RUN_BYTES + run.len();
            let run_end = at + run.len() as u64;
            if at < start {
                self.insert(at, copied(&run, at, (at, run_end.min(start))));
            }
            if run_end > end {
                self.insert(end, copied(&run, at, (end, run_end)));
            }
        }
    }

    fn insert(&mut self, offset: u64, bytes: Bytes) {
        if !bytes.is_empty() {
            self.weight += RUN_BYTES + bytes.len();
            self.runs.insert(offset, bytes);
        }
    }
}

/// A part of a run that begins at `at`: all of it, or a copy that does not keep the rest.
fn copied(run: &Bytes, at: u64, (start, end): (u64, u64)) -> Bytes {
    let part = run.slice(within(at, start)..within(at, end));
    if part.len() == run.len() { part } else { Bytes::copy_from_slice(&part) }
}

/// Where a place of a file is in a run that begins at `start`: runs are short.
fn within(start: u64, at: u64) -> usize {
    usize::try_from(at - start).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
