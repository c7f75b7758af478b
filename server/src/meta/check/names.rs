//! Which inodes there are, and how many names lead to each.

use std::ops::ControlFlow;

use holdfast_core::attr::FileKind;
use holdfast_core::error::Result;
use holdfast_core::id::InodeId;
use holdfast_core::integrity::{Finding, FindingKind, Subject};
use holdfast_core::name::FileName;

use super::{Check, Watch};
use crate::meta::keys::{self, tag};
use crate::meta::record::Record as _;
use crate::meta::record::entry::Entry;
use crate::meta::record::inode::Inode;
use crate::meta::view::View;

/// An inode that there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    ino: u64,
    names: u32,
    /// `None`: its record cannot be decoded.
    kind: Option<FileKind>,
}

/// Inodes from one number to another, in order.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) from: u64,
    /// The first number that is not in it.
    pub(super) to: Option<u64>,
    known: Vec<Known>,
}

impl Part {
    /// The inodes from `from` on, at most `max` of them.
    pub(super) fn load(view: View<'_>, from: u64, max: usize, watch: &mut Watch<'_>) -> Result<Self> {
        let (mut known, mut to) = (Vec::new(), None);
        view.scan(&keys::between(tag::INODE, from, None), |key, value| {
            watch.look()?;
            let Some((ino, _)) = keys::split(key) else { return Ok(ControlFlow::Continue(())) };
            if known.len() >= max.max(1) {
                to = Some(ino);
                return Ok(ControlFlow::Break(()));
            }
            known.push(Known { ino, names: 0, kind: Inode::decode(&value).ok().map(|inode| inode.kind) });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Self { from, to, known })
    }

    fn has(&self, ino: u64) -> bool {
        ino >= self.from && self.to.is_none_or(|to| ino < to)
    }

    fn find(&mut self, ino: u64) -> Option<&mut Known> {
        self.known.binary_search_by_key(&ino, |known| known.ino).ok().map(|at| &mut self.known[at])
    }

    /// Names that lead to an inode.
    pub(super) fn names(&mut self, ino: InodeId) -> u64 {
        self.find(ino.0).map_or(0, |known| u64::from(known.names))
    }
}

/// Counts the names that lead to the inodes of a part; those that lead nowhere are found.
pub(super) fn count(check: &mut Check<'_, '_>, part: &mut Part) -> Result<()> {
    let (found, watch) = (&mut check.found, &mut check.watch);
    check.view.scan(&keys::all(tag::ENTRY), |key, value| {
        watch.step()?;
        // What cannot be decoded is found where directories are compared.
        let Ok(entry) = Entry::decode(&value) else { return Ok(ControlFlow::Continue(())) };
        if !part.has(entry.ino.0) {
            return Ok(ControlFlow::Continue(()));
        }
        let wrong = match part.find(entry.ino.0) {
            None => Some(FindingKind::EntryToNothing),
            Some(known) => {
                known.names = known.names.saturating_add(1);
                known.kind.is_some_and(|kind| kind != entry.kind).then_some(FindingKind::EntryType)
            }
        };
        if let Some(kind) = wrong {
            match subject(key) {
                Some(subject) => found.add(Finding::new(kind, subject).detail(format!("inode {}", entry.ino))),
                None => found.unreadable(key, "its key has no name"),
            }
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// The name that a key of an entry has.
pub(super) fn subject(key: &[u8]) -> Option<Subject> {
    let (directory, name) = keys::split(key)?;
    Some(Subject::Name { directory: InodeId(directory), name: FileName::new(name.to_vec()).ok()? })
}
