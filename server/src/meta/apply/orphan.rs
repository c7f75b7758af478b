//! The end of inodes that have no name.

use holdfast_core::error::Result;
use holdfast_core::id::InodeId;

use super::Txn;
use crate::meta::keys;

/// Frees an inode that has no name; does nothing when it has one, or is gone already.
///
/// # Errors
/// The engine's, and `Damaged`.
pub fn drop_orphan(txn: &mut Txn<'_>, ino: InodeId) -> Result<()> {
    if let Some(inode) = txn.view().inode(ino)?
        && inode.nlink == 0
    {
        txn.delete(keys::orphan(ino));
        txn.free_inode(ino, inode)?;
    }
    Ok(())
}
