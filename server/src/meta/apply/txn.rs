//! One operation's changes while it is being decided.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;

use bytes::Bytes;
use holdfast_core::attr::FileKind;
use holdfast_core::error::{PosixError, Result};
use holdfast_core::id::{CommitSeq, DirCookie, InodeId, SegmentId};
use holdfast_core::name::FileName;
use holdfast_core::op::Caller;
use holdfast_core::time::Timestamp;
use holdfast_core::volume::{Quota, Usage};

use super::{Decision, extents};
use crate::meta::keys::{self, DataId, Key, KeyRange};
use crate::meta::query::content;
use crate::meta::record::Record;
use crate::meta::record::entry::{Entry, Listed};
use crate::meta::record::extent::Frame;
use crate::meta::record::inode::Inode;
use crate::meta::record::text::Text;
use crate::meta::view::{Changes, View};

/// What an operation is decided under.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Its place in the volume's order.
    pub commit: CommitSeq,
    /// The time that it happens at.
    pub now: Timestamp,
    /// Who asks.
    pub caller: Caller,
    /// Blocks of inode numbers that sessions were given.
    pub inode_blocks: u64,
    /// The volume's limits.
    pub quota: Quota,
    /// What the volume held before.
    pub usage: Usage,
    /// The server's disk has no room: only what frees space, or needs next to none, is done.
    pub disk_full: bool,
    /// Whether any session has the inode open once the operation is done.
    pub is_open: &'a dyn Fn(InodeId) -> bool,
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("commit", &self.commit).field("now", &self.now).finish_non_exhaustive()
    }
}

/// What an operation changes beside keys: sums that the store keeps in memory.
#[derive(Debug, Default)]
pub struct Effects {
    /// Keys and values.
    pub changes: Changes,
    /// What the volume holds after it.
    pub usage: Usage,
    /// How much more (or less) of each segment is in use.
    pub live: BTreeMap<SegmentId, i64>,
    /// Segments with frames that extents newly point to, and where the last of those ends.
    pub referenced: BTreeMap<SegmentId, u64>,
    /// Data whose file is gone, for the reaper.
    pub dead: Vec<DataId>,
}

/// A set of changes over a view; reads see them.
#[derive(Debug)]
pub struct Txn<'a> {
    base: View<'a>,
    /// Under what it is decided.
    pub context: Context<'a>,
    effects: Effects,
    needs_space: bool,
}

impl<'a> Txn<'a> {
    /// Nothing changed yet.
    #[must_use]
    pub fn new(base: View<'a>, context: Context<'a>) -> Self {
        let effects = Effects { usage: context.usage, ..Effects::default() };
        Self { base, context, effects, needs_space: false }
    }

    /// What it has gathered.
    #[must_use]
    pub fn into_effects(self) -> Effects {
        self.effects
    }

    /// The volume as the operation has made it so far.
    pub(super) fn view(&self) -> View<'_> {
        self.base.under(&self.effects.changes)
    }

    pub(super) fn put(&mut self, key: Key, record: &impl Record) {
        self.effects.changes.put(key, record.encode());
    }

    pub(super) fn delete(&mut self, key: Key) {
        self.effects.changes.delete(key);
    }

    pub(super) fn delete_all(&mut self, range: &KeyRange) -> Result<()> {
        let mut found = Vec::new();
        self.view().scan(range, |key, _| {
            found.push(key.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        found.into_iter().for_each(|key| self.delete(key));
        Ok(())
    }

    pub(super) fn put_inode(&mut self, ino: InodeId, inode: &Inode) {
        self.put(keys::inode(ino), inode);
    }

    /// A regular file.
    pub(super) fn regular(&self, ino: InodeId) -> Decision<Inode> {
        Ok(content::regular(self.view(), ino)?)
    }

    /// A directory that entries can be made in: a removed one has no room for any.
    pub(super) fn live_directory(&self, ino: InodeId) -> Decision<Inode> {
        let directory = self.view().directory(ino)?;
        if directory.nlink == 0 { Err(PosixError::NoEntry.into()) } else { Ok(directory) }
    }

    /// An entry that must be there.
    pub(super) fn entry(&self, parent: InodeId, name: &FileName) -> Decision<Entry> {
        Ok(self.view().entry(parent, name)?.ok_or(PosixError::NoEntry)?)
    }

    /// A place at the end of every listing.
    pub(super) const fn new_cookie(&self) -> DirCookie {
        DirCookie(self.context.commit.0)
    }

    pub(super) fn put_entry(&mut self, parent: InodeId, name: &FileName, entry: Entry) {
        self.put(keys::entry(parent, name), &entry);
        let listed = Listed { ino: entry.ino, kind: entry.kind, name: name.clone() };
        self.put(keys::cookie(parent, entry.cookie), &listed);
    }

    pub(super) fn delete_entry(&mut self, parent: InodeId, name: &FileName, cookie: DirCookie) {
        self.delete(keys::entry(parent, name));
        self.delete(keys::cookie(parent, cookie));
    }

    /// The content of a directory changes.
    pub(super) fn touch_directory(&self, directory: &mut Inode) {
        directory.mtime = self.context.now;
        directory.ctime = self.context.now;
        directory.data_version = directory.data_version.next();
    }

    /// The operation takes space, if only a little: it fails when the server's disk is full.
    pub(super) const fn take_space(&mut self) {
        self.needs_space = true;
    }

    pub(super) const fn add_inode(&mut self) {
        self.effects.usage.inodes += 1;
        self.needs_space = true;
    }

    /// Bytes that an extent takes.
    pub(super) const fn add_bytes(&mut self, bytes: u64) {
        self.effects.usage.bytes = self.effects.usage.bytes.saturating_add(bytes);
    }

    pub(super) const fn free_bytes(&mut self, bytes: u64) {
        self.effects.usage.bytes = self.effects.usage.bytes.saturating_sub(bytes);
    }

    /// An extent of `len` bytes points into a frame.
    pub(super) fn refer(&mut self, frame: &Frame, len: u32) {
        *self.effects.live.entry(frame.segment).or_default() += i64::from(len);
        let end = self.effects.referenced.entry(frame.segment).or_default();
        *end = (*end).max(crate::segment::frame::end(frame));
    }

    /// It no longer does.
    pub(super) fn unrefer(&mut self, frame: &Frame, len: u32) {
        *self.effects.live.entry(frame.segment).or_default() -= i64::from(len);
    }

    /// The volume holds so much more, or less, than it counts.
    pub(super) fn correct_usage(&mut self, bytes: i128, inodes: i128) {
        let add = |count: u64, by: i128| u64::try_from((i128::from(count) + by).max(0)).unwrap_or(u64::MAX);
        let usage = self.effects.usage;
        self.effects.usage = Usage { bytes: add(usage.bytes, bytes), inodes: add(usage.inodes, inodes) };
    }

    /// So much more, or less, of a segment is in use than it counts, and its last frame ends there.
    pub(super) fn correct_segment(&mut self, id: SegmentId, live: i64, end: u64) {
        *self.effects.live.entry(id).or_default() += live;
        let referenced = self.effects.referenced.entry(id).or_default();
        *referenced = (*referenced).max(end);
    }

    /// The inode lost its last name: it lives on as an orphan while it is open, else it goes.
    pub(super) fn release(&mut self, ino: InodeId, mut inode: Inode) -> Result<()> {
        if (self.context.is_open)(ino) {
            inode.nlink = 0;
            self.put_inode(ino, &inode);
            self.put(keys::orphan(ino), &Text::default());
            Ok(())
        } else {
            self.free_inode(ino, inode)
        }
    }

    /// The inode goes with everything it has.
    pub(super) fn free_inode(&mut self, ino: InodeId, mut inode: Inode) -> Result<()> {
        extents::drop_all(self, &mut inode)?;
        if inode.kind == FileKind::Symlink {
            self.delete(keys::symlink(ino));
        }
        if inode.xattr_bytes > 0 {
            self.delete_all(&keys::xattrs(ino))?;
        }
        self.delete(keys::inode(ino));
        self.effects.usage.inodes = self.effects.usage.inodes.saturating_sub(1);
        Ok(())
    }

    /// Leaves the extents of `data` to the reaper.
    pub(super) fn bury(&mut self, data: DataId) {
        self.put(keys::dead(data), &Text::default());
        self.effects.dead.push(data);
    }

    /// Whether there is room for what the operation takes.
    pub(super) fn check_space(&self) -> Decision<()> {
        let (before, after, quota) = (self.context.usage, self.effects.usage, self.context.quota);
        let over = |before: u64, after: u64, limit: Option<u64>| after > before && limit.is_some_and(|max| after > max);
        let full = over(before.bytes, after.bytes, quota.bytes) || over(before.inodes, after.inodes, quota.inodes);
        if full || (self.context.disk_full && self.needs_space) {
            return Err(PosixError::NoSpace.into());
        }
        Ok(())
    }

    pub(super) fn store_bytes(text: &Bytes) -> Text {
        Text(text.clone())
    }
}
