//! Removal of the extents of data whose file is gone, a step at a time.

use holdfast_core::error::Result;

use super::{Txn, extents};
use crate::meta::keys::{self, DataId};

/// Removes at most `budget` extents of dead data that end after `from`. Returns where to go on, or
/// `None` when the data is gone for good; and how many extents it removed.
///
/// # Errors
/// The engine's, and `Damaged`.
pub fn reap(txn: &mut Txn<'_>, data: DataId, from: u64, budget: usize) -> Result<(Option<u64>, usize)> {
    let found = txn.view().extents(data, from, u64::MAX, budget)?;
    found.iter().for_each(|extent| extents::forget(txn, data, extent));
    let next = found.last().filter(|_| found.len() == budget).map(|last| last.end());
    if next.is_none() {
        txn.delete(keys::dead(data));
    }
    Ok((next, found.len()))
}
