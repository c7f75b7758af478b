//! What a power loss leaves. Pure.
//!
//! The record is read from its beginning: a sync makes durable what it covers, the rest is undecided. Of that
//! a [`Loss`] keeps something. What it keeps of names is closed: a change of a name is there only with every
//! earlier one in the same directory, and a rename counts for both of its directories.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::image::{Body, Change, Image, NodeId, Slot, put};
use crate::random::Random;

/// Bytes that a disk writes as a whole.
const SECTOR: u64 = 512;

/// What is kept of that which was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// Nothing.
    Least,
    /// Everything, as when only the process dies.
    Most,
    /// Names and sizes; new bytes are zeros. A journal of metadata before late writes, as on ext4.
    NamesAndSizes,
    /// Bytes and no names.
    Bytes,
    /// Names up to some moment, and of each file the writes up to some moment, the last of them torn at a
    /// sector; past it nothing, zeros or garbage.
    Torn,
    /// Of each directory the names up to some moment of its own, and of each write one or the other, some torn.
    Scattered,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Least, Self::Most, Self::NamesAndSizes, Self::Bytes, Self::Torn, Self::Scattered];

    /// What is on the disk when the power fails after `record`, which began on `start`.
    #[must_use]
    pub fn after(self, start: &Image, record: &[Change], random: &mut Random) -> Image {
        let mut undecided = Undecided { durable: start.clone(), names: Vec::new(), data: BTreeMap::new() };
        for change in record {
            undecided.take(change);
        }
        undecided.decide(self, random).reachable()
    }
}

/// A disk, and what may or may not be on it as well.
struct Undecided<'a> {
    durable: Image,
    names: Vec<&'a Change>,
    data: BTreeMap<NodeId, Vec<&'a Change>>,
}

fn slots(change: &Change) -> Vec<&Slot> {
    match change {
        Change::Create(slot, _) | Change::MakeDirectory(slot, _) | Change::Link(slot, _) | Change::Remove(slot) => {
            vec![slot]
        }
        Change::Rename(from, to) => vec![from, to],
        Change::Write(..) | Change::Resize(..) | Change::SyncFile(_) | Change::SyncDirectory(_) => vec![],
    }
}

fn directories(change: &Change) -> Vec<NodeId> {
    slots(change).into_iter().map(|(directory, _)| *directory).collect()
}

/// Adds what the kept changes need: every earlier one in the same directories.
fn close(names: &[&Change], keep: &mut [bool]) {
    for later in (0..names.len()).rev().filter(|at| keep[*at]).collect::<Vec<_>>() {
        let mut wanted = directories(names[later]);
        for earlier in (0..later).rev() {
            let theirs = directories(names[earlier]);
            if theirs.iter().any(|directory| wanted.contains(directory)) {
                keep[earlier] = true;
                wanted.extend(theirs);
            }
        }
    }
}

impl<'a> Undecided<'a> {
    fn take(&mut self, change: &'a Change) {
        match change {
            Change::Write(node, ..) | Change::Resize(node, _) => self.data.entry(*node).or_default().push(change),
            Change::SyncFile(node) => {
                for change in self.data.remove(node).unwrap_or_default() {
                    let done = self.durable.apply(change);
                    assert!(done.is_ok(), "{change:?}: {done:?}");
                }
            }
            Change::SyncDirectory(node) => {
                let touches = |change: &&Change| directories(change).contains(node);
                let keep = self.names.iter().map(touches).collect();
                self.keep_names(keep);
            }
            Change::Create(_, node) => {
                self.durable.set_node(*node, Body::File(Arc::default()));
                self.names.push(change);
            }
            Change::MakeDirectory(_, node) => {
                self.durable.set_node(*node, Body::Directory(BTreeMap::new()));
                self.names.push(change);
            }
            Change::Link(..) | Change::Remove(_) | Change::Rename(..) => self.names.push(change),
        }
    }

    /// Makes these changes of names durable; the others stay undecided.
    fn keep_names(&mut self, mut keep: Vec<bool>) {
        close(&self.names, &mut keep);
        let names = std::mem::take(&mut self.names);
        for (change, kept) in names.into_iter().zip(keep) {
            if kept { self.enter(change) } else { self.names.push(change) }
        }
    }

    /// Names are set, not checked: what else is in the way may be lost.
    fn enter(&mut self, change: &Change) {
        let disk = &mut self.durable;
        let done = match change {
            Change::Create(slot, node) | Change::MakeDirectory(slot, node) | Change::Link(slot, node) => {
                disk.set_name(slot, Some(*node))
            }
            Change::Remove(slot) => disk.set_name(slot, None),
            Change::Rename(from, to) => {
                disk.find(from).and_then(|node| disk.set_name(to, Some(node))).and_then(|()| disk.set_name(from, None))
            }
            Change::Write(..) | Change::Resize(..) | Change::SyncFile(_) | Change::SyncDirectory(_) => Ok(()),
        };
        assert!(done.is_ok(), "{change:?}: {done:?}");
    }

    fn decide(mut self, loss: Loss, random: &mut Random) -> Image {
        let count = self.names.len();
        let keep = match loss {
            Loss::Least | Loss::Bytes => vec![false; count],
            Loss::Most | Loss::NamesAndSizes => vec![true; count],
            Loss::Torn => {
                let until = random.index(count + 1);
                (0..count).map(|at| at < until).collect()
            }
            Loss::Scattered => {
                let mut until = BTreeMap::new();
                let early = |(at, change): (usize, &&Change)| {
                    let mut before =
                        |directory| at < *until.entry(directory).or_insert_with(|| random.index(count + 1));
                    directories(change).into_iter().all(&mut before)
                };
                self.names.iter().enumerate().map(early).collect()
            }
        };
        self.keep_names(keep);
        for (node, changes) in std::mem::take(&mut self.data) {
            // Only files have data.
            let _ = self.durable.change_content(node, |content| lose(content, &changes, loss, random));
        }
        self.durable
    }
}

/// Does some of the changes of a file's bytes.
fn lose(content: &mut Vec<u8>, changes: &[&Change], loss: Loss, random: &mut Random) {
    match loss {
        Loss::Least => {}
        Loss::Most | Loss::Bytes => changes.iter().for_each(|change| write(content, change)),
        Loss::NamesAndSizes => {
            let mut full = content.clone();
            changes.iter().for_each(|change| write(&mut full, change));
            content.resize(full.len(), 0);
        }
        Loss::Torn => {
            let until = random.index(changes.len() + 1);
            changes[..until].iter().for_each(|change| write(content, change));
            if let Some(Change::Write(_, offset, data)) = changes.get(until) {
                tear(content, *offset, data, random);
            }
        }
        Loss::Scattered => {
            for change in changes {
                match change {
                    Change::Write(_, offset, data) if random.percent(25) => tear(content, *offset, data, random),
                    change if random.percent(50) => write(content, change),
                    _ => {}
                }
            }
        }
    }
}

fn write(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(_, offset, data) => put(content, *offset, data),
        Change::Resize(_, size) => content.resize(usize::try_from(*size).unwrap_or(usize::MAX), 0),
        _ => {}
    }
}

/// A write that got as far as some sector. The file may be as long as if all had been written: then the rest
/// of what is new is zeros or whatever was in those sectors before. What was there stays.
fn tear(content: &mut Vec<u8>, offset: u64, data: &[u8], random: &mut Random) {
    let end = offset + data.len() as u64;
    let first = offset / SECTOR + 1;
    let sectors = end.div_ceil(SECTOR).saturating_sub(first);
    let cut = ((first + random.below(sectors + 1)) * SECTOR).min(end);
    let written = usize::try_from(cut - offset).unwrap_or(0);
    let before = content.len() as u64;
    put(content, offset, &data[..written]);
    let new = cut.max(before);
    if new < end && random.percent(66) {
        let missing = usize::try_from(end - new).unwrap_or(0);
        let rest = if random.percent(50) { vec![0; missing] } else { random.bytes(missing) };
        put(content, new, &rest);
    }
}
