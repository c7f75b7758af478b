//! Checking the metadata, and mending it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::id::{InodeId, SegmentId};
use holdfast_core::integrity::Finding;

use super::Store;
use crate::meta::apply;
use crate::meta::check::{Bounds, Checked, Observe, Sums, check};
use crate::meta::keys::{self, tag};
use crate::meta::record::decode;
use crate::meta::record::header::Header;
use crate::meta::record::segment::SegmentAccount;
use crate::meta::view::View;

impl Store {
    /// Recomputes everything that can be recomputed (links, extents, sums) and lists what differs, in
    /// the volume as of its last commit. Reads all metadata and no file data; holds nobody up.
    ///
    /// # Errors
    /// When the metadata cannot be read (what cannot be decoded is a finding instead); what `observe`
    /// fails with.
    pub fn check(&self, bounds: Bounds, observe: &mut Observe<'_>) -> Result<Checked> {
        self.alive()?;
        // A batch has all counters as of its last operation, and is there as a whole or not at all.
        let snapshot = self.engine.snapshot();
        let view = View::of(&*snapshot);
        let key = keys::header();
        let header = view.get(&key)?.ok_or_else(|| Error::new(ErrorKind::Damaged, "the volume has no header"))?;
        let header = Header::read(&header)?;
        let segments = accounts(view)?;
        check(view, Sums { usage: header.usage, segments: &segments }, bounds, observe)
    }

    /// The same of the volume as it is now, with what no commit has taken up. Holds operations up.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_now(&self) -> Result<Checked> {
        let _no_commit = self.committing.lock();
        self.alive()?;
        let writer = self.writer.lock();
        let overlays = self.overlays.read();
        let sums = Sums { usage: overlays.usage, segments: &writer.segments };
        check(overlays.view(&*self.engine), sums, Bounds::default(), &mut |_| Ok(()))
    }

    /// Mends what a finding of [`check`](Self::check) tells of, as a change like any other; false: it
    /// is no longer so. Each finding of one check once, and the next check only after
    /// [`is_durable`](Self::is_durable): differences are added, not figures set.
    ///
    /// # Errors
    /// `Damaged`, `Unavailable`.
    pub fn mend(&self, finding: &Finding) -> Result<bool> {
        self.change(|txn| apply::mend(txn, finding))
    }

    /// Whether an inode is marked as having no name, now.
    ///
    /// # Errors
    /// `Damaged`, `Unavailable`.
    pub fn is_orphan(&self, ino: InodeId) -> Result<bool> {
        self.ask(|view| Ok(view.get(&keys::orphan(ino))?.is_some()))
    }

    /// A mark for everything that is applied by now, for [`is_durable`](Self::is_durable).
    #[must_use]
    pub fn applied_mark(&self) -> u64 {
        // Commits take changes up under this lock.
        let writer = self.writer.lock();
        self.commits.0.load(Ordering::Acquire) + u64::from(writer.dirty)
    }

    /// Whether a commit has taken up all that was applied at the mark.
    #[must_use]
    pub fn is_durable(&self, mark: u64) -> bool {
        self.commits.1.load(Ordering::Acquire) >= mark
    }
}

/// The accounts of all segments in a view.
pub(super) fn accounts(view: View<'_>) -> Result<BTreeMap<SegmentId, SegmentAccount>> {
    let mut accounts = BTreeMap::new();
    view.scan(&keys::all(tag::SEGMENT), |key, value| {
        if let Some((number, _)) = keys::split(key) {
            accounts.insert(SegmentId(number), decode(key, &value)?);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(accounts)
}
