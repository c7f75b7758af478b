//! What compaction asks of an open volume: which segments there are, what of them is in use, and the move of
//! frames that are, a bounded step at a time.
//!
//! A step reads frames, which verifies them, appends the parts that extents point to to the active segment,
//! as a client's data is, and syncs them, so that the commits of others find nothing of it to do. Then, under
//! the writer's lock, each extent that still points to the old place is pointed to the new one, together with
//! the accounts of both segments. A segment that is empty by then goes as any other does. So a crash at any
//! point leaves every extent at a place that is there: the old one or the new one.
//!
//! Nothing that a client can see changes: not the bytes, not where extents begin and end, no version, no time.

use std::ops::ControlFlow;

use bytes::Bytes;
use holdfast_core::error::{Error, Result};
use holdfast_core::hash::FrameHash;
use holdfast_core::id::SegmentId;

use super::scrub::{ASK_EVERY, live_of};
use super::{Live, Store};
use crate::meta::apply::{self, Relocation};
use crate::meta::keys::{self, tag};
use crate::meta::record::segment::SegmentAccount;
use crate::meta::view::View;
use crate::segment::Wanted;

mod gather;
mod parts;

use self::gather::Gather;
pub use self::parts::{batch_end, bytes_needed};

/// Extents that are changed under the lock at a time: well under a millisecond.
const EXTENTS_AT_A_TIME: usize = 32;

/// What of a segment is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InUse {
    /// The segment.
    pub segment: SegmentId,
    /// The extents that point into it, in order of place; there may be more if it is alone.
    pub live: Vec<Live>,
}

/// What became of a step.
#[derive(Debug)]
pub enum Relocated {
    /// The frames are at another place, as far as they were still in use.
    Moved {
        /// How many frames were made.
        frames: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// A frame that is in use cannot be read, or is not what was written: nothing was moved.
    Damaged(Error),
}

/// What was read of parts of frames.
enum Contents {
    /// The parts that there are, and the bytes and hash of each.
    Sound(Vec<Wanted>, Vec<(Bytes, FrameHash)>),
    /// One that is in use is damaged.
    Damaged(Error),
}

/// What the segments of a volume take up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentSums {
    /// How many there are.
    pub segments: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Lengths of all extents that point into them: bytes of which files share a copy count for each.
    pub live: u64,
    /// Bytes of the files that no extent points to: a frame's header counts here.
    pub dead: u64,
}

impl Store {
    /// The accounts of all segments.
    #[must_use]
    pub fn segment_accounts(&self) -> Vec<(SegmentId, SegmentAccount)> {
        self.writer.lock().segments.iter().map(|(id, account)| (*id, *account)).collect()
    }

    /// What the segments take up now.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn segment_sums(&self) -> Result<SegmentSums> {
        let lengths = self.segments.lengths()?;
        let writer = self.writer.lock();
        let mut sums = SegmentSums::default();
        for (id, bytes) in lengths {
            let live = writer.segments.get(&id).map_or(0, |account| account.live);
            sums.segments += 1;
            sums.bytes += bytes;
            sums.live += live;
            sums.dead += bytes.saturating_sub(live);
        }
        Ok(sums)
    }

    /// Free bytes of the disk, and how many of them are kept back.
    ///
    /// # Errors
    /// `Unavailable` when the disk does not say.
    pub fn disk_room(&self) -> Result<(u64, u64)> {
        Ok((self.segments.free_bytes()?, self.disk_reserve_bytes))
    }

    /// Makes sure that nothing is written to this segment any more; false: staged data waits in it, or it is
    /// gone.
    pub fn seal(&self, id: SegmentId) -> bool {
        if !self.writer.lock().segments.contains_key(&id) {
            return false;
        }
        self.segments.seal_active(|active, _| active == id);
        self.segments.is_idle(id)
    }

    /// The extents that point into these segments, which are in order of worth, as of the last commit. At most
    /// `max` of them: where there are more, the last segments are left out. Reads all extents. `go_on` is
    /// asked now and then, and its error ends it.
    ///
    /// # Errors
    /// `Damaged`, `Unavailable`; those of `go_on`.
    pub fn in_use(&self, segments: &[SegmentId], max: usize, go_on: &dyn Fn() -> Result<()>) -> Result<Vec<InUse>> {
        self.alive()?;
        let mut gather = Gather::new(segments, max);
        let snapshot = self.engine.snapshot();
        let mut asked = 0;
        View::of(&*snapshot).scan(&keys::all(tag::EXTENT), |key, value| {
            asked += 1;
            if asked % ASK_EVERY == 0 {
                go_on()?;
            }
            // What cannot be decoded is a check's to find.
            if let Some(live) = live_of(key, &value) {
                gather.take(live);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(gather.finish())
    }

    /// Moves the frames that these extents of one segment point to, no more than [`batch_end`] says. Takes
    /// effect at once; durable with the next commit.
    ///
    /// # Errors
    /// `NoSpace` when the disk is full, `Damaged` and `Unavailable` when the metadata cannot be read or the
    /// disk fails: some extents may have been moved. After a failed sync the store refuses everything.
    pub fn relocate(&self, live: &[Live]) -> Result<Relocated> {
        self.alive()?;
        let parts = parts::parts(live);
        let (parts, contents) = match self.read_parts(live, &parts)? {
            Contents::Sound(parts, contents) => (parts, contents),
            Contents::Damaged(damage) => return Ok(Relocated::Damaged(damage)),
        };
        if parts.is_empty() {
            return Ok(Relocated::Moved { frames: 0, bytes: 0 });
        }
        let staged = self.segments.stage_frames(&contents)?;
        // Nobody's fsync is to wait for this.
        let written = staged.frames().iter().map(|frame| frame.segment).collect();
        if let Err(error) = self.segments.sync(&written) {
            self.poison(&error);
            return Err(error);
        }
        let relocations: Vec<Relocation> = parts
            .iter()
            .zip(staged.frames())
            .map(|(part, to)| Relocation { from: part.frame, skip: part.skip, to: *to })
            .collect();
        for some in live.chunks(EXTENTS_AT_A_TIME) {
            self.change(|txn| {
                some.iter().try_for_each(|live| {
                    apply::relocate(txn, live.data, (live.start, live.end()), &relocations).map(drop)
                })
            })?;
        }
        Ok(Relocated::Moved { frames: staged.frames().len() as u64, bytes: staged.bytes() })
    }

    /// Reads parts of frames, verified; leaves out those that nobody uses any more and that cannot be read.
    fn read_parts(&self, live: &[Live], parts: &[Wanted]) -> Result<Contents> {
        if let Ok(contents) = self.segments.read(parts) {
            return Ok(Contents::Sound(parts.to_vec(), contents));
        }
        let (mut sound, mut contents) = (Vec::new(), Vec::new());
        for part in parts {
            match self.segments.read(&[*part]) {
                Ok(mut read) => {
                    sound.push(*part);
                    contents.append(&mut read);
                }
                Err(damage) => {
                    for live in live.iter().filter(|live| live.frame == part.frame) {
                        if self.is_live(live)? {
                            return Ok(Contents::Damaged(damage));
                        }
                    }
                }
            }
        }
        Ok(Contents::Sound(sound, contents))
    }

    /// Lets segments go in which nothing is in use; their files are removed after the next commit.
    ///
    /// # Errors
    /// `Unavailable` after a failed commit.
    pub fn drop_empty_segments(&self) -> Result<()> {
        self.reap_segments()
    }

    /// The account of a segment; `None`: it is gone.
    #[must_use]
    pub fn segment_account(&self, id: SegmentId) -> Option<SegmentAccount> {
        self.writer.lock().segments.get(&id).copied()
    }
}

/// Compacts everything that can be, for tests.
#[cfg(test)]
pub(crate) fn compact_all(store: &Store, choose: impl Fn(SegmentId, SegmentAccount) -> bool) -> Result<u64> {
    let chosen = store.segment_accounts().into_iter().filter(|(id, account)| choose(*id, *account));
    let order: Vec<SegmentId> = chosen.map(|(id, _)| id).filter(|id| store.seal(*id)).collect();
    let mut moved = 0;
    for InUse { live, .. } in store.in_use(&order, usize::MAX, &|| Ok(()))? {
        let mut at = 0;
        while at < live.len() {
            let end = batch_end(&live, at);
            match store.relocate(&live[at..end])? {
                Relocated::Moved { bytes, .. } => moved += bytes,
                Relocated::Damaged(_) => break,
            }
            at = end;
        }
    }
    store.drop_empty_segments()?;
    Ok(moved)
}
