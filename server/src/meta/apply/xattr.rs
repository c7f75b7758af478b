//! setxattr, removexattr.

use bytes::Bytes;
use holdfast_core::error::PosixError;
use holdfast_core::id::InodeId;
use holdfast_core::limits::{XATTR_LIST_BYTES_MAX, XATTR_VALUE_BYTES_MAX};
use holdfast_core::name::XattrName;
use holdfast_core::op::{OpReply, XattrMode};

use super::{Decision, Txn};
use crate::meta::keys;
use crate::meta::query::attributes::XattrSpace;
use crate::meta::record::inode::Inode;

/// What a name adds to the list of names: itself and a NUL.
fn listed_bytes(name: &XattrName) -> u32 {
    u32::try_from(name.as_bytes().len() + 1).unwrap_or(u32::MAX)
}

fn writable(txn: &Txn<'_>, ino: InodeId, name: &XattrName) -> Decision<Inode> {
    let inode = txn.view().existing(ino)?;
    if XattrSpace::of(name)?.fits(inode.kind) { Ok(inode) } else { Err(PosixError::NotPermitted.into()) }
}

/// Sets an attribute.
pub(super) fn set(txn: &mut Txn<'_>, ino: InodeId, name: &XattrName, value: &Bytes, mode: XattrMode) -> Decision {
    if value.len() > XATTR_VALUE_BYTES_MAX {
        return Err(PosixError::TooBig.into());
    }
    let mut inode = writable(txn, ino, name)?;
    let key = keys::xattr(ino, name);
    let exists = inode.xattr_bytes > 0 && txn.view().get(&key)?.is_some();
    match mode {
        XattrMode::Create if exists => return Err(PosixError::Exists.into()),
        XattrMode::Replace if !exists => return Err(PosixError::NoAttribute.into()),
        XattrMode::Create | XattrMode::Replace | XattrMode::Either => {}
    }
    if !exists {
        inode.xattr_bytes += listed_bytes(name);
        if inode.xattr_bytes as usize > XATTR_LIST_BYTES_MAX {
            return Err(PosixError::NoSpace.into());
        }
    }
    txn.take_space();
    txn.put(key, &Txn::store_bytes(value));
    inode.ctime = txn.context.now;
    txn.put_inode(ino, &inode);
    Ok(OpReply::Done)
}

/// Removes an attribute.
pub(super) fn remove(txn: &mut Txn<'_>, ino: InodeId, name: &XattrName) -> Decision {
    let mut inode = writable(txn, ino, name)?;
    let key = keys::xattr(ino, name);
    if inode.xattr_bytes == 0 || txn.view().get(&key)?.is_none() {
        return Err(PosixError::NoAttribute.into());
    }
    txn.delete(key);
    inode.xattr_bytes = inode.xattr_bytes.saturating_sub(listed_bytes(name));
    inode.ctime = txn.context.now;
    txn.put_inode(ino, &inode);
    Ok(OpReply::Done)
}
