//! What a scrub asks of an open volume: which frames are in use, whether they are what was written,
//! and whose they are.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;

use holdfast_core::error::Result;
use holdfast_core::id::{InodeId, SegmentId};
use holdfast_core::integrity::{BadSegment, Fault, ScrubPlace};

use super::Store;
use super::check::accounts;
use crate::meta::keys::{self, DataId, tag};
use crate::meta::query::{Extent, extent_of, names};
use crate::meta::record::Record as _;
use crate::meta::record::entry::Entry;
use crate::meta::record::extent::{Content, Frame};
use crate::meta::record::inode::Inode;
use crate::meta::view::View;

/// Extents of one file that may have come of one, at most, for a look at whether a frame is in use.
pub(super) const PIECES_MAX: usize = 1024;
/// Records between two looks at whether anybody still wants to know.
pub(super) const ASK_EVERY: u32 = 4096;

/// An extent that points to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// The frame.
    pub frame: Frame,
    /// Whose extent it is.
    pub data: DataId,
    /// First byte of the extent in the file.
    pub start: u64,
    /// Length of the extent.
    pub len: u32,
    /// Where its bytes begin in the frame's content.
    pub skip: u32,
}

impl Live {
    /// The byte after its last in the file.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.start.saturating_add(self.len as u64)
    }

    /// Where the frame is.
    #[must_use]
    pub const fn place(&self) -> ScrubPlace {
        ScrubPlace { segment: self.frame.segment, position: self.frame.position }
    }
}

/// The file that data belongs to, and its paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The file.
    pub ino: InodeId,
    /// All its paths.
    pub paths: Vec<Vec<u8>>,
}

impl Store {
    /// The extents that point to frames at or after `from` in segments before `until`, in order of the
    /// frames' places: the first `max` or a few more, and whether that is all. As of the last commit.
    /// Reads all extents. `go_on` is asked now and then, and its error ends it.
    ///
    /// # Errors
    /// `Damaged`, `Unavailable`; those of `go_on`.
    pub fn live_frames(
        &self,
        from: ScrubPlace,
        until: SegmentId,
        max: usize,
        go_on: &dyn Fn() -> Result<()>,
    ) -> Result<(Vec<Live>, bool)> {
        self.alive()?;
        let snapshot = self.engine.snapshot();
        let (mut live, mut last, max): (Vec<Live>, Option<ScrubPlace>, usize) = (Vec::new(), None, max.max(1));
        let mut asked = 0;
        View::of(&*snapshot).scan(&keys::all(tag::EXTENT), |key, value| {
            asked += 1;
            if asked >= ASK_EVERY {
                asked = 0;
                go_on()?;
            }
            // What cannot be decoded is a check's to find.
            let Some(found) = live_of(key, &value) else { return Ok(ControlFlow::Continue(())) };
            let place = found.place();
            if place >= from && place.segment < until && last.is_none_or(|last| place <= last) {
                live.push(found);
                if live.len() >= max.saturating_mul(2) {
                    last = Some(keep_first(&mut live, max));
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if live.len() > max {
            last = Some(keep_first(&mut live, max));
        }
        live.sort_unstable_by_key(|live| (live.place(), live.data, live.start));
        Ok((live, last.is_none()))
    }

    /// Reads frames of one segment from the disk; which of them are bad, by index.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn verify(&self, frames: &[Frame]) -> Result<Vec<(usize, Fault)>> {
        self.alive()?;
        self.segments.verify(frames)
    }

    /// Whether the extent, or what is left of it, still points to its frame.
    ///
    /// # Errors
    /// `Damaged`, `Unavailable`.
    pub fn is_live(&self, live: &Live) -> Result<bool> {
        let extents = self.ask(|view| view.extents(live.data, live.start, live.end(), PIECES_MAX))?;
        let points = |extent: &Extent| matches!(extent.content, Content::Framed { frame, .. } if frame == live.frame);
        Ok(extents.iter().any(points))
    }

    /// Whose data that is; what has no file any more is left out. Reads all inodes, and all names where
    /// a file has several.
    ///
    /// # Errors
    /// `Unavailable`; those of `go_on`.
    pub fn owners_of(&self, data: &HashSet<DataId>, go_on: &dyn Fn() -> Result<()>) -> Result<HashMap<DataId, Named>> {
        self.alive()?;
        let snapshot = self.engine.snapshot();
        let view = View::of(&*snapshot);
        let (mut owners, mut several, mut asked) = (HashMap::new(), HashMap::new(), 0);
        view.scan(&keys::all(tag::INODE), |key, value| {
            asked += 1;
            if asked % ASK_EVERY == 0 {
                go_on()?;
            }
            let Some((ino, inode)) = keys::split(key).zip(Inode::decode(&value).ok()) else {
                return Ok(ControlFlow::Continue(()));
            };
            let ino = InodeId(ino.0);
            if let Some(of) = inode.data.filter(|of| data.contains(of)) {
                let path = names::path(view, ino).ok().flatten();
                if inode.nlink > 1 || (path.is_none() && inode.nlink > 0) {
                    several.insert(ino, Vec::new());
                }
                owners.insert(of, Named { ino, paths: path.into_iter().collect() });
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if !several.is_empty() {
            all_paths(view, &mut several, go_on)?;
            for named in owners.values_mut() {
                if let Some(paths) = several.get(&named.ino) {
                    named.paths.clone_from(paths);
                }
            }
        }
        Ok(owners)
    }

    /// Segments whose file is missing or shorter than their account.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn bad_segments(&self) -> Result<Vec<BadSegment>> {
        self.alive()?;
        let before = self.writer.lock().segments.clone();
        let lengths = self.segments.lengths()?;
        let writer = self.writer.lock();
        let bad = before.iter().filter(|(id, _)| writer.segments.contains_key(id)).filter_map(|(&segment, account)| {
            let found = lengths.get(&segment).copied();
            (found.unwrap_or(0) < account.len).then_some(BadSegment { segment, expected: account.len, found })
        });
        Ok(bad.collect())
    }

    /// The first segment that is not there yet, and the bytes in use in those before it: what a scrub
    /// that begins now has before it.
    ///
    /// # Errors
    /// `Damaged`, `Unavailable`.
    pub fn scrub_extent(&self) -> Result<(SegmentId, u64)> {
        self.alive()?;
        let snapshot = self.engine.snapshot();
        let accounts = accounts(View::of(&*snapshot))?;
        Ok((self.segments.next(), accounts.values().map(|account| account.live).sum()))
    }
}

pub(super) fn live_of(key: &[u8], value: &bytes::Bytes) -> Option<Live> {
    let content = Content::decode(value).ok()?;
    let Content::Framed { frame, len, skip } = content else { return None };
    let (data, _) = keys::split(key)?;
    let start = extent_of(key, &content).ok()?.start;
    Some(Live { frame, data: DataId(data), start, len, skip })
}

/// Keeps the frames up to one place, `max` extents or a few more, and answers that place: extents that
/// point to one frame stay together.
fn keep_first(live: &mut Vec<Live>, max: usize) -> ScrubPlace {
    let (_, middle, _) = live.select_nth_unstable_by_key(max - 1, Live::place);
    let last = middle.place();
    live.retain(|live| live.place() <= last);
    last
}

/// Every path of these inodes.
fn all_paths(
    view: View<'_>,
    inodes: &mut HashMap<InodeId, Vec<Vec<u8>>>,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<()> {
    let (mut directories, mut asked): (BTreeMap<InodeId, Option<Vec<u8>>>, u32) = (BTreeMap::new(), 0);
    view.scan(&keys::all(tag::ENTRY), |key, value| {
        asked += 1;
        if asked % ASK_EVERY == 0 {
            go_on()?;
        }
        let Some(((directory, name), entry)) = keys::split(key).zip(Entry::decode(&value).ok()) else {
            return Ok(ControlFlow::Continue(()));
        };
        if let Some(paths) = inodes.get_mut(&entry.ino) {
            let directory = InodeId(directory);
            let above = directories.entry(directory).or_insert_with(|| names::path(view, directory).ok().flatten());
            if let Some(above) = above {
                let mut path = if above == b"/" { Vec::new() } else { above.clone() };
                path.push(b'/');
                path.extend_from_slice(name);
                paths.push(path);
            }
        }
        Ok(ControlFlow::Continue(()))
    })
}
