//! Questions about a view of the volume. They change nothing.
//!
//! The methods here fetch single records, typed and checked; [`names`], [`attributes`] and
//! [`content`] answer what clients ask.

use std::ops::ControlFlow;

use holdfast_core::error::{PosixError, Result};
use holdfast_core::id::InodeId;
use holdfast_core::name::FileName;

use super::keys::{self, DataId};
use super::record::entry::Entry;
use super::record::extent::Content;
use super::record::inode::Inode;
use super::record::{damaged, decode};
use super::view::View;

pub mod attributes;
pub mod content;
pub mod names;

/// An extent and where it begins in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First byte.
    pub start: u64,
    /// What it holds.
    pub content: Content,
}

impl Extent {
    /// The byte after the last.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.start + self.content.len()
    }

    /// The part of it within a range, if any.
    #[must_use]
    pub fn clip(&self, from: u64, to: u64) -> Option<Self> {
        let (start, end) = (self.start.max(from), self.end().min(to));
        (start < end).then(|| Self { start, content: self.content.slice(start - self.start, end - self.start) })
    }
}

impl View<'_> {
    /// An inode; `None` when there is none of that number.
    ///
    /// # Errors
    /// The engine's, and `Damaged`; so for all that follow.
    pub fn inode(&self, ino: InodeId) -> Result<Option<Inode>> {
        let key = keys::inode(ino);
        self.get(&key)?.map(|value| decode(&key, &value)).transpose()
    }

    /// An inode that a client names.
    ///
    /// # Errors
    /// `NoEntry` when it is gone.
    pub fn existing(&self, ino: InodeId) -> Result<Inode> {
        self.inode(ino)?.ok_or_else(|| PosixError::NoEntry.into())
    }

    /// An inode that a record of ours names, so that it must be there.
    ///
    /// # Errors
    /// `Damaged` when it is not.
    pub fn referenced(&self, ino: InodeId) -> Result<Inode> {
        self.inode(ino)?.ok_or_else(|| damaged(&keys::inode(ino), "it is missing though an entry leads to it"))
    }

    /// A directory that a client names.
    ///
    /// # Errors
    /// `NoEntry`, `NotDirectory`.
    pub fn directory(&self, ino: InodeId) -> Result<Inode> {
        let inode = self.existing(ino)?;
        if inode.is_directory() { Ok(inode) } else { Err(PosixError::NotDirectory.into()) }
    }

    /// A directory entry.
    ///
    /// # Errors
    /// The engine's, and `Damaged`.
    pub fn entry(&self, parent: InodeId, name: &FileName) -> Result<Option<Entry>> {
        let key = keys::entry(parent, name);
        self.get(&key)?.map(|value| decode(&key, &value)).transpose()
    }

    /// The extents that have a byte in `from..to`, in order, at most `max` of them.
    ///
    /// # Errors
    /// The engine's, and `Damaged`.
    pub fn extents(&self, data: DataId, from: u64, to: u64, max: usize) -> Result<Vec<Extent>> {
        let mut found = Vec::new();
        if from >= to || max == 0 {
            return Ok(found);
        }
        self.scan(&keys::extents_past(data, from), |key, value| {
            let extent = extent_of(key, &decode(key, &value)?)?;
            if extent.start >= to {
                return Ok(ControlFlow::Break(()));
            }
            found.push(extent);
            Ok(if found.len() < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(found)
    }
}

/// Puts an extent's key and value together.
pub(crate) fn extent_of(key: &[u8], content: &Content) -> Result<Extent> {
    let end = keys::split_pair(key).map(|(_, end)| end);
    match end.and_then(|end| end.checked_sub(content.len())) {
        Some(start) => Ok(Extent { start, content: content.clone() }),
        None => Err(damaged(key, "it is longer than the file is up to its end")),
    }
}
