//! The end of inodes that have no name.

use bytes::Bytes;
use holdfast_core::error::Result;
use holdfast_core::id::InodeId;

use super::Txn;
use crate::meta::keys;
use crate::meta::record::decode;
use crate::meta::record::text::Text;

const UNNAMED: &[u8] = b"u";

/// The mark of an inode that never had a name: `Link` may give it the first. One that lost its last
/// name has an empty mark.
pub(super) const fn unnamed() -> Text {
    Text(Bytes::from_static(UNNAMED))
}

/// Whether an inode without a name may get one.
pub(super) fn may_get_name(txn: &Txn<'_>, ino: InodeId) -> Result<bool> {
    let key = keys::orphan(ino);
    let Some(mark) = txn.view().get(&key)? else { return Ok(false) };
    Ok(decode::<Text>(&key, &mark)? == unnamed())
}

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
