//! Where the bytes of a file are.

use holdfast_core::attr::FileKind;
use holdfast_core::error::{PosixError, Result};
use holdfast_core::id::{DataVersion, InodeId};

use super::Extent;
use crate::meta::record::extent::Content;
use crate::meta::record::inode::Inode;
use crate::meta::view::View;

/// What a read has to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPlan {
    /// Extents cut to the range, in order; between them are zeros.
    pub extents: Vec<Extent>,
    /// Bytes that the read gives.
    pub len: u64,
    /// Size of the file.
    pub size: u64,
    /// Version of its content.
    pub data_version: DataVersion,
}

/// An inode that must be a regular file.
///
/// # Errors
/// `NoEntry`, `IsDirectory`, `Invalid` for the other types.
pub fn regular(view: View<'_>, ino: InodeId) -> Result<Inode> {
    let inode = view.existing(ino)?;
    match inode.kind {
        FileKind::Regular => Ok(inode),
        FileKind::Directory => Err(PosixError::IsDirectory.into()),
        FileKind::Symlink | FileKind::Fifo | FileKind::Socket | FileKind::CharDevice | FileKind::BlockDevice => {
            Err(PosixError::Invalid.into())
        }
    }
}

/// Plans a read of `len` bytes from `offset`.
///
/// # Errors
/// `NoEntry`, `IsDirectory`, `Invalid`.
pub fn plan_read(view: View<'_>, ino: InodeId, offset: u64, len: u64) -> Result<ReadPlan> {
    let inode = regular(view, ino)?;
    let end = offset.saturating_add(len).min(inode.size);
    let mut extents = match inode.data {
        Some(data) => view.extents(data, offset, end, usize::MAX)?,
        None => Vec::new(),
    };
    extents.retain(|extent| !matches!(extent.content, Content::Reserved { .. }));
    Ok(ReadPlan {
        extents: extents.iter().filter_map(|extent| extent.clip(offset, end)).collect(),
        len: end.saturating_sub(offset),
        size: inode.size,
        data_version: inode.data_version,
    })
}

/// Plans what to tell of a range's blocks: as [`plan_read`], with whole extents. Where there are more than
/// `max` it ends behind the last one.
///
/// # Errors
/// `NoEntry`, `IsDirectory`, `Invalid`.
pub fn plan_blocks(view: View<'_>, ino: InodeId, offset: u64, len: u64, max: usize) -> Result<ReadPlan> {
    let inode = regular(view, ino)?;
    let mut end = offset.saturating_add(len).min(inode.size);
    let mut extents = match inode.data {
        Some(data) => view.extents(data, offset, end, max)?,
        None => Vec::new(),
    };
    if extents.len() == max {
        end = extents.last().map_or(end, |last| last.end().min(end));
    }
    extents.retain(|extent| !matches!(extent.content, Content::Reserved { .. }));
    Ok(ReadPlan { extents, len: end.saturating_sub(offset), size: inode.size, data_version: inode.data_version })
}

/// What lseek(2) looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekFor {
    /// The next byte that is not in a hole.
    Data,
    /// The next hole; there is one at the end of the file.
    Hole,
}

/// How far one step of a seek came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekStep {
    /// It is here.
    Found(u64),
    /// Not before this offset: go on there.
    Further(u64),
}

/// Extents that one step of a seek looks at.
const SEEK_EXTENTS: usize = 1024;

/// One bounded step of a seek from `offset`. Reserved space is a hole: it reads as zeros.
///
/// # Errors
/// `NoData` when `offset`, or all data, lies before; `NoEntry`, `IsDirectory`, `Invalid`.
pub fn seek(view: View<'_>, ino: InodeId, offset: u64, what: SeekFor) -> Result<SeekStep> {
    let inode = regular(view, ino)?;
    if offset >= inode.size {
        return Err(PosixError::NoData.into());
    }
    let extents = match inode.data {
        Some(data) => view.extents(data, offset, inode.size, SEEK_EXTENTS)?,
        None => Vec::new(),
    };
    let more = extents.len() == SEEK_EXTENTS;
    let next = extents.last().map_or(inode.size, Extent::end);
    let mut data = extents.iter().filter(|extent| !matches!(extent.content, Content::Reserved { .. }));
    match what {
        SeekFor::Data => match data.next() {
            Some(extent) => Ok(SeekStep::Found(extent.start.max(offset))),
            None if more => Ok(SeekStep::Further(next)),
            None => Err(PosixError::NoData.into()),
        },
        SeekFor::Hole => {
            let mut covered = offset;
            for extent in data {
                if extent.start > covered {
                    return Ok(SeekStep::Found(covered));
                }
                covered = extent.end();
            }
            if more && covered == next {
                return Ok(SeekStep::Further(covered));
            }
            Ok(SeekStep::Found(covered.min(inode.size)))
        }
    }
}
