//! Questions to an open volume. Each sees the volume as of one moment.

use std::ops::ControlFlow;

use bytes::Bytes;
use holdfast_core::attr::Attr;
use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::hash::FrameHash;
use holdfast_core::id::{DirCookie, InodeId};
use holdfast_core::limits::{BLOCK_BYTES_MIN, BLOCKS_MAX, BLOCKS_RANGE_MAX, IO_BYTES_MAX};
use holdfast_core::name::{FileName, XattrName};

use super::{Block, BlocksResult, DirPage, Piece, ReadResult, Store};
use crate::meta::keys;
use crate::meta::query::content::{ReadPlan, SeekFor, SeekStep};
use crate::meta::query::{Extent, attributes, content, names};
use crate::meta::record::extent::Content;
use crate::segment::Wanted;

impl Store {
    /// Attributes of what a name leads to.
    ///
    /// # Errors
    /// `NoEntry`, `NotDirectory`; also `Damaged` and `Unavailable`, as for all that follow.
    pub fn lookup(&self, parent: InodeId, name: &FileName) -> Result<Attr> {
        self.ask(|view| names::lookup(view, parent, name))
    }

    /// Attributes of a directory's parent (`..`); the root's is itself.
    ///
    /// # Errors
    /// `NoEntry`, `NotDirectory`.
    pub fn lookup_parent(&self, ino: InodeId) -> Result<Attr> {
        self.ask(|view| names::lookup_parent(view, ino))
    }

    /// Attributes of an inode.
    ///
    /// # Errors
    /// `NoEntry`.
    pub fn getattr(&self, ino: InodeId) -> Result<Attr> {
        self.ask(|view| attributes::getattr(view, ino))
    }

    /// A path to an inode, if the place of its last name still leads to it.
    ///
    /// # Errors
    /// `Damaged`, `Unavailable`.
    pub fn path(&self, ino: InodeId) -> Result<Option<Vec<u8>>> {
        self.ask(|view| names::path(view, ino))
    }

    /// A page of a listing: at most `max` entries after `after`. Names that are there from the
    /// first page to the last appear exactly once, whatever else changes meanwhile.
    ///
    /// # Errors
    /// `NoEntry`, `NotDirectory`.
    pub fn readdir(&self, ino: InodeId, after: DirCookie, max: usize, with_attr: bool) -> Result<DirPage> {
        self.ask(|view| names::list(view, ino, after, max, with_attr))
    }

    /// Text of a symlink.
    ///
    /// # Errors
    /// `NoEntry`, `Invalid` when it is none.
    pub fn readlink(&self, ino: InodeId) -> Result<Bytes> {
        self.ask(|view| names::readlink(view, ino))
    }

    /// Value of an xattr.
    ///
    /// # Errors
    /// `NoEntry`, `NoAttribute`, `NotSupported` for a name space that is not served.
    pub fn getxattr(&self, ino: InodeId, name: &XattrName) -> Result<Bytes> {
        self.ask(|view| attributes::getxattr(view, ino, name))
    }

    /// Names of all xattrs.
    ///
    /// # Errors
    /// `NoEntry`.
    pub fn listxattr(&self, ino: InodeId) -> Result<Vec<XattrName>> {
        self.ask(|view| attributes::listxattr(view, ino))
    }

    /// Inodes without a name that are still there.
    ///
    /// # Errors
    /// `Damaged`, `Unavailable`.
    pub fn orphans(&self) -> Result<Vec<InodeId>> {
        self.ask(|view| {
            let mut orphans = Vec::new();
            view.scan(&keys::all(keys::tag::ORPHAN), |key, _| {
                orphans.extend(keys::split(key).map(|(ino, _)| InodeId(ino)));
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(orphans)
        })
    }

    /// Reads up to `len` bytes, at most 1 MiB; every byte is verified.
    ///
    /// # Errors
    /// `NoEntry`, `IsDirectory`, `Invalid` for what is no regular file or for a longer read;
    /// `Damaged` when data fails its checksum (the log names the place).
    pub fn read(&self, ino: InodeId, offset: u64, len: u32) -> Result<ReadResult> {
        if len as usize > IO_BYTES_MAX {
            let message = format!("{len} bytes cannot be read at a time; ask for at most {IO_BYTES_MAX}");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let mut tried: Option<ReadPlan> = None;
        loop {
            let plan = self.plan(ino, offset, len)?;
            match self.fetch(&plan) {
                Ok(pieces) => return Ok(carried_out(&plan, pieces, len)),
                // The file may have changed since, and its old data may be gone: look again. The
                // same plan twice means that the data is not there though it should be.
                Err(error) if tried.as_ref() == Some(&plan) => {
                    let message = format!("cannot read inode {ino} at offset {offset}: {error}");
                    return Err(Error::new(error.kind(), message).because(error));
                }
                Err(_) => tried = Some(plan),
            }
        }
    }

    /// Reads several ranges, as [`read`](Self::read) does each. The disk is told of all of them before the
    /// first is waited for.
    pub fn read_ranges(&self, ranges: &[(InodeId, u64, u32)]) -> Vec<Result<ReadResult>> {
        let plan = |&(ino, offset, len): &(InodeId, u64, u32)| self.plan(ino, offset, len);
        let plans: Vec<Result<ReadPlan>> = ranges.iter().map(plan).collect();
        if ranges.len() > 1 {
            plans.iter().flatten().for_each(|plan| self.segments.expect(&wanted(plan)));
        }
        let read = |(plan, &(ino, offset, len)): (Result<ReadPlan>, &(InodeId, u64, u32))| {
            let plan = plan?;
            // What fails may have changed since: that is for a read alone to find out.
            self.fetch(&plan).map(|pieces| carried_out(&plan, pieces, len)).or_else(|_| self.read(ino, offset, len))
        };
        plans.into_iter().zip(ranges).map(read).collect()
    }

    /// Names the blocks of up to `len` bytes, at most 16 MiB, without reading a segment: the metadata has the
    /// checksum of each frame.
    ///
    /// # Errors
    /// As [`read`](Self::read), but nothing is found damaged.
    pub fn blocks(&self, ino: InodeId, offset: u64, len: u32) -> Result<BlocksResult> {
        if len as usize > BLOCKS_RANGE_MAX {
            let message =
                format!("blocks of {len} bytes cannot be named at a time; ask for at most {BLOCKS_RANGE_MAX}");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let plan = self.ask(|view| content::plan_blocks(view, ino, offset, u64::from(len), BLOCKS_MAX))?;
        let mut blocks: Vec<Block> = Vec::with_capacity(plan.extents.len());
        for extent in &plan.extents {
            let block = block(extent, plan.size);
            match blocks.last_mut() {
                Some(before) if before.hash.is_none() && block.hash.is_none() && before.end() == block.offset => {
                    before.len = before.len.saturating_add(block.len);
                }
                _ => blocks.push(block),
            }
        }
        let len = u32::try_from(plan.len).unwrap_or(len);
        Ok(BlocksResult { blocks, len, size: plan.size, data_version: plan.data_version })
    }

    fn plan(&self, ino: InodeId, offset: u64, len: u32) -> Result<ReadPlan> {
        self.ask(|view| content::plan_read(view, ino, offset, u64::from(len)))
    }

    /// Fetches what a plan needs from the segments.
    fn fetch(&self, plan: &ReadPlan) -> Result<Vec<Piece>> {
        let mut framed = self.segments.read(&wanted(plan))?.into_iter();
        let pieces = plan.extents.iter().filter_map(|extent| {
            let (data, hash) = match &extent.content {
                // The engine has verified these bytes; the hash is for their way to the client.
                Content::Inline(bytes) => (bytes.clone(), FrameHash::of(bytes)),
                Content::Framed { .. } => framed.next()?,
                Content::Reserved { .. } => return None,
            };
            Some(Piece { offset: extent.start, data, hash })
        });
        Ok(pieces.collect())
    }

    /// lseek(2): the next data (`hole` false) or hole from `offset` on. Holes are found exactly;
    /// the end of the file is one.
    ///
    /// # Errors
    /// `NoData` past the end, or when no data follows; `NoEntry`, `IsDirectory`, `Invalid`.
    pub fn seek(&self, ino: InodeId, offset: u64, hole: bool) -> Result<u64> {
        let what = if hole { SeekFor::Hole } else { SeekFor::Data };
        let mut at = offset;
        loop {
            match self.ask(|view| content::seek(view, ino, at, what))? {
                SeekStep::Found(found) => return Ok(found),
                SeekStep::Further(further) => at = further,
            }
        }
    }
}

/// An extent of data as a block. Short ones have no name, unless the file ends with it: else who has all the
/// others would still have to ask for that one.
fn block(extent: &Extent, size: u64) -> Block {
    let len = u32::try_from(extent.content.len()).unwrap_or(u32::MAX);
    let worth_it = len as usize >= BLOCK_BYTES_MIN || extent.end() == size;
    let hash = match &extent.content {
        Content::Framed { frame, skip: 0, len } if worth_it && *len == frame.len => Some(frame.hash),
        // Only frames have a checksum in the metadata; but these bytes came with it.
        Content::Inline(bytes) if worth_it => Some(FrameHash::of(bytes)),
        Content::Inline(_) | Content::Framed { .. } | Content::Reserved { .. } => None,
    };
    Block { offset: extent.start, len, hash }
}

/// What a plan needs from the segments.
fn wanted(plan: &ReadPlan) -> Vec<Wanted> {
    let wanted = plan.extents.iter().filter_map(|extent| match extent.content {
        Content::Framed { frame, skip, len } => Some(Wanted { frame, skip, len }),
        Content::Inline(_) | Content::Reserved { .. } => None,
    });
    wanted.collect()
}

fn carried_out(plan: &ReadPlan, pieces: Vec<Piece>, asked: u32) -> ReadResult {
    let len = u32::try_from(plan.len).unwrap_or(asked);
    ReadResult { pieces, len, size: plan.size, data_version: plan.data_version }
}
