//! Mending one finding of a check, if it is still as it was found.
//!
//! A check looks at the past. Counters only ever change by differences, so one that still has the
//! value that was found is off by what was found; everything else is looked at again here.

use holdfast_core::attr::FileKind;
use holdfast_core::error::Result;
use holdfast_core::id::InodeId;
use holdfast_core::integrity::{Figures, Finding, FindingKind as Kind, Subject};

use super::Txn;
use crate::meta::keys::{self, DataId};
use crate::meta::record::decode;
use crate::meta::record::entry::{Entry, Listed};
use crate::meta::record::inode::Inode;
use crate::meta::record::text::Text;

/// Mends what a finding tells of; false: it is no longer so, or nothing that can be mended, and
/// nothing is changed.
///
/// # Errors
/// The engine's, and `Damaged`.
pub fn mend(txn: &mut Txn<'_>, finding: &Finding) -> Result<bool> {
    let figures = finding.figures;
    match (finding.kind, &finding.subject, figures) {
        (Kind::UsageBytes, Subject::Volume, Some(Figures { stored, truth })) => {
            txn.correct_usage(i128::from(truth) - i128::from(stored), 0);
            Ok(true)
        }
        (Kind::UsageInodes, Subject::Volume, Some(Figures { stored, truth })) => {
            txn.correct_usage(0, i128::from(truth) - i128::from(stored));
            Ok(true)
        }
        (Kind::SegmentLive, Subject::Segment(id), Some(Figures { stored, truth })) => {
            let Ok(delta) = i64::try_from(i128::from(truth) - i128::from(stored)) else { return Ok(false) };
            txn.correct_segment(*id, delta, 0);
            Ok(true)
        }
        (Kind::SegmentLength, Subject::Segment(id), Some(Figures { truth, .. })) => {
            txn.correct_segment(*id, 0, truth);
            Ok(true)
        }
        (kind, Subject::Inode(ino), Some(figures)) => count(txn, kind, *ino, figures),
        (kind, Subject::Content { ino, data }, Some(figures)) => content(txn, kind, (*ino, DataId(*data)), figures),
        (Kind::WrongMark | Kind::NoMark, Subject::Inode(ino), None) => mark(txn, *ino),
        (Kind::NotListed, Subject::Name { directory, name }, None) => {
            let key = keys::entry(*directory, name);
            let Some(entry) = txn.view().get(&key)?.map(|value| decode::<Entry>(&key, &value)).transpose()? else {
                return Ok(false);
            };
            let place = keys::cookie(*directory, entry.cookie);
            if txn.view().get(&place)?.is_some() {
                return Ok(false);
            }
            txn.put(place, &Listed { ino: entry.ino, kind: entry.kind, name: name.clone() });
            Ok(true)
        }
        (Kind::NameLost | Kind::ListedLeft, Subject::Place { directory, cookie }, None) => {
            let place = keys::cookie(*directory, *cookie);
            let Some(listed) = txn.view().get(&place)?.map(|value| decode::<Listed>(&place, &value)).transpose()?
            else {
                return Ok(false);
            };
            let entry = txn.view().entry(*directory, &listed.name)?;
            let inode = txn.view().inode(listed.ino)?;
            match (finding.kind, entry, inode) {
                (_, Some(entry), _) if entry.cookie == *cookie => Ok(false),
                (Kind::ListedLeft, ..) => {
                    txn.delete(place);
                    Ok(true)
                }
                (_, None, Some(inode)) if inode.kind == listed.kind && inode.nlink > 0 => {
                    let entry = Entry { ino: listed.ino, kind: listed.kind, cookie: *cookie };
                    txn.put_entry(*directory, &listed.name, entry);
                    Ok(true)
                }
                _ => Ok(false),
            }
        }
        (Kind::DataOfNobody, Subject::Data(data), None) => {
            let (data, key) = (DataId(*data), keys::dead(DataId(*data)));
            if txn.view().get(&key)?.is_some() || txn.view().extents(data, 0, u64::MAX, 1)?.is_empty() {
                return Ok(false);
            }
            txn.bury(data);
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// A count in an inode.
fn count(txn: &mut Txn<'_>, kind: Kind, ino: InodeId, figures: Figures) -> Result<bool> {
    let Figures { stored, truth } = figures;
    let (Some(mut inode), Ok(short)) = (txn.view().inode(ino)?, u32::try_from(truth)) else { return Ok(false) };
    let is_directory = inode.is_directory();
    let now = match kind {
        Kind::LinkCount if !is_directory => u64::from(std::mem::replace(&mut inode.nlink, short)),
        Kind::SubdirectoryCount if is_directory => u64::from(std::mem::replace(&mut inode.nlink, short)),
        Kind::EntryCount if is_directory => std::mem::replace(&mut inode.entries, truth),
        Kind::XattrBytes => u64::from(std::mem::replace(&mut inode.xattr_bytes, short)),
        _ => return Ok(false),
    };
    if now != stored {
        return Ok(false);
    }
    if matches!(kind, Kind::LinkCount | Kind::SubdirectoryCount) && stored == 0 {
        txn.delete(keys::orphan(ino));
    }
    txn.put_inode(ino, &inode);
    Ok(true)
}

/// A count of what a file holds: of the same data, else it is another content.
fn content(txn: &mut Txn<'_>, kind: Kind, of: (InodeId, DataId), figures: Figures) -> Result<bool> {
    let (ino, data) = of;
    let inode = txn.view().inode(ino)?.filter(|inode| inode.kind == FileKind::Regular && inode.data == Some(data));
    let Some(mut inode) = inode else { return Ok(false) };
    match kind {
        Kind::AllocatedBytes if inode.allocated == figures.stored => inode.allocated = figures.truth,
        Kind::ExtentEnd if inode.extent_end < figures.truth => inode.extent_end = figures.truth,
        _ => return Ok(false),
    }
    txn.put_inode(ino, &inode);
    Ok(true)
}

/// The mark of an inode without a name, as its count of links says.
fn mark(txn: &mut Txn<'_>, ino: InodeId) -> Result<bool> {
    let inode: Option<Inode> = txn.view().inode(ino)?;
    let wanted = inode.is_some_and(|inode| inode.nlink == 0);
    if wanted == txn.view().get(&keys::orphan(ino))?.is_some() {
        return Ok(false);
    }
    if wanted {
        txn.put(keys::orphan(ino), &Text::default());
    } else {
        txn.delete(keys::orphan(ino));
    }
    Ok(true)
}
