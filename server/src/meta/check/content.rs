//! The extents of each file beside its inode, and all of them beside the volume's sums.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use holdfast_core::error::Result;
use holdfast_core::id::{InodeId, SegmentId};
use holdfast_core::integrity::{CheckPhase, Finding, FindingKind as Kind, Subject};

use super::cursor::Cursor;
use super::{Check, Found, Sums, Watch};
use crate::meta::keys::{self, DataId, tag};
use crate::meta::query::{Extent, extent_of};
use crate::meta::record::Record as _;
use crate::meta::record::extent::Content;
use crate::meta::record::inode::Inode;
use crate::meta::record::segment::SegmentAccount;
use crate::meta::record::text::Text;
use crate::meta::view::View;
use crate::segment::frame;

/// A file that has extents, by what these hang on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Owner {
    data: u64,
    ino: u64,
    allocated: u64,
    extent_end: u64,
    size: u64,
}

/// What the extents of one data id come to.
#[derive(Clone, Copy, Debug, Default)]
struct Extents {
    allocated: u64,
    end: u64,
    /// Where the last byte is that is not just reserved.
    data_end: u64,
}

/// What all extents come to.
#[derive(Debug, Default)]
struct Totals {
    bytes: u64,
    live: BTreeMap<SegmentId, SegmentAccount>,
}

/// Owners with data ids in one stretch, in order, and how far they have been gone through.
struct Owners {
    list: Vec<Owner>,
    /// The last data id of the stretch; `None`: there are no more.
    last: Option<u64>,
    at: usize,
}

/// Compares the content of all files, and the sums.
pub(super) fn check(check: &mut Check<'_, '_>, sums: Sums<'_>) -> Result<()> {
    let (mut totals, mut from) = (Totals::default(), 0);
    check.watch.phase(CheckPhase::Extents, check.counted.inodes)?;
    loop {
        let mut owners = Owners::load(check.view, from, check.bounds.owners, &mut check.watch)?;
        go_through(check, &mut owners, from, &mut totals)?;
        match owners.last {
            Some(last) => from = last + 1,
            None => break,
        }
    }
    let found = &mut check.found;
    found.counts(Kind::UsageBytes, Subject::Volume, sums.usage.bytes, totals.bytes);
    found.counts(Kind::UsageInodes, Subject::Volume, sums.usage.inodes, check.counted.inodes);
    for &id in sums.segments.keys().chain(totals.live.keys()).collect::<BTreeSet<_>>() {
        let counted = sums.segments.get(&id).copied().unwrap_or_default();
        let truth = totals.live.get(&id).copied().unwrap_or_default();
        found.counts(Kind::SegmentLive, Subject::Segment(id), counted.live, truth.live);
        if counted.len < truth.len {
            found.add(Finding::new(Kind::SegmentLength, Subject::Segment(id)).figures(counted.len, truth.len));
        }
    }
    Ok(())
}

/// Goes through the extents of one stretch of data ids, the marks of dead data and the owners side by side.
fn go_through(check: &mut Check<'_, '_>, owners: &mut Owners, from: u64, totals: &mut Totals) -> Result<()> {
    let to = owners.last.map(|last| last + 1);
    let Check { view, found, watch, counted, .. } = check;
    let mut dead: Cursor<'_, Text> = Cursor::new(*view, tag::DEAD, from, to);
    let mut present: Option<(u64, Extents)> = None;
    view.scan(&keys::between(tag::EXTENT, from, to), |key, value| {
        watch.look()?;
        counted.extents += 1;
        let extent = Content::decode(&value)
            .map_err(|malformed| malformed.0)
            .and_then(|content| extent_of(key, &content).map_err(|_| "it is longer than the file is up to its end"));
        let (extent, Some((data, _))) = (extent, keys::split(key)) else {
            found.unreadable(key, "its key is too short");
            return Ok(ControlFlow::Continue(()));
        };
        let extent = match extent {
            Ok(extent) => extent,
            Err(why) => {
                found.unreadable(key, why);
                return Ok(ControlFlow::Continue(()));
            }
        };
        if present.is_some_and(|(before, _)| before != data)
            && let Some((before, extents)) = present.take()
        {
            totals.bytes += owners.settle(before, extents, &mut dead, found)?;
        }
        let (_, extents) = present.get_or_insert((data, Extents::default()));
        if extents.take(&extent) {
            found.add(Finding::new(Kind::ExtentOverlap, Subject::Data(data)).detail(format!("at {}", extent.start)));
        }
        totals.count(&extent);
        Ok(ControlFlow::Continue(()))
    })?;
    if let Some((data, extents)) = present {
        totals.bytes += owners.settle(data, extents, &mut dead, found)?;
    }
    owners.catch_up(u64::MAX, found);
    watch.progress.done += owners.list.len() as u64;
    watch.look()
}

impl Owners {
    /// The first `max` owners, in order of data ids, from `from` on.
    fn load(view: View<'_>, from: u64, max: usize, watch: &mut Watch<'_>) -> Result<Self> {
        let max = max.max(1);
        let (mut list, mut last): (Vec<Owner>, Option<u64>) = (Vec::new(), None);
        view.scan(&keys::all(tag::INODE), |key, value| {
            watch.look()?;
            if let (Some((ino, _)), Ok(inode)) = (keys::split(key), Inode::decode(&value))
                && let Some(owner) = owner(ino, &inode)
                && owner.data >= from
                && last.is_none_or(|last| owner.data <= last)
            {
                list.push(owner);
                if list.len() >= max.saturating_mul(2) {
                    last = Some(cut(&mut list, max));
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if list.len() > max {
            last = Some(cut(&mut list, max));
        }
        list.sort_unstable();
        Ok(Self { list, last, at: 0 })
    }

    /// The data has these extents: compares them with its owner. Answers the bytes that count as used.
    fn settle(&mut self, data: u64, extents: Extents, dead: &mut Cursor<'_, Text>, found: &mut Found) -> Result<u64> {
        self.catch_up(data, found);
        while dead.peek(found)?.is_some_and(|number| number < data) {
            dead.skip(found)?;
        }
        let doomed = dead.peek(found)? == Some(data);
        let owner = self.list.get(self.at).copied().filter(|owner| owner.data == data);
        match owner {
            Some(owner) => {
                if doomed {
                    found.add(Finding::new(Kind::DataDoomed, owner.subject()));
                }
                compare(owner, extents, found);
                self.at += 1;
                self.skip_shared(data, found);
                Ok(extents.allocated)
            }
            None => {
                if !doomed {
                    let bytes = format!("{} bytes", extents.allocated);
                    found.add(Finding::new(Kind::DataOfNobody, Subject::Data(data)).detail(bytes));
                }
                Ok(0)
            }
        }
    }

    /// Owners of data before this one have no extents at all.
    fn catch_up(&mut self, data: u64, found: &mut Found) {
        while let Some(owner) = self.list.get(self.at).copied().filter(|owner| owner.data < data) {
            compare(owner, Extents::default(), found);
            self.at += 1;
            self.skip_shared(owner.data, found);
        }
    }

    fn skip_shared(&mut self, data: u64, found: &mut Found) {
        while let Some(owner) = self.list.get(self.at).filter(|owner| owner.data == data) {
            found.add(Finding::new(Kind::DataShared, owner.subject()));
            self.at += 1;
        }
    }
}

/// Keeps all owners up to a data id, at least `max` of them, and answers that id: owners of the same data
/// stay together.
fn cut(list: &mut Vec<Owner>, max: usize) -> u64 {
    let (_, middle, _) = list.select_nth_unstable(max - 1);
    let last = middle.data;
    list.retain(|owner| owner.data <= last);
    last
}

fn owner(ino: u64, inode: &Inode) -> Option<Owner> {
    let Inode { allocated, extent_end, size, .. } = *inode;
    inode.data.map(|DataId(data)| Owner { data, ino, allocated, extent_end, size })
}

fn compare(owner: Owner, extents: Extents, found: &mut Found) {
    found.counts(Kind::AllocatedBytes, owner.subject(), owner.allocated, extents.allocated);
    if extents.end > owner.extent_end {
        found.add(Finding::new(Kind::ExtentEnd, owner.subject()).figures(owner.extent_end, extents.end));
    }
    if extents.data_end > owner.size {
        found.add(Finding::new(Kind::DataPastSize, owner.subject()).figures(owner.size, extents.data_end));
    }
}

impl Owner {
    const fn subject(&self) -> Subject {
        Subject::Content { ino: InodeId(self.ino), data: self.data }
    }
}

impl Extents {
    /// Adds the next extent; whether it overlaps with those before.
    fn take(&mut self, extent: &Extent) -> bool {
        let overlaps = extent.start < self.end;
        self.allocated += extent.content.len();
        self.end = extent.end();
        if !matches!(extent.content, Content::Reserved { .. }) {
            self.data_end = extent.end();
        }
        overlaps
    }
}

impl Totals {
    fn count(&mut self, extent: &Extent) {
        if let Content::Framed { frame, len, .. } = &extent.content {
            let account = self.live.entry(frame.segment).or_default();
            account.live += u64::from(*len);
            account.len = account.len.max(frame::end(frame));
        }
    }
}
