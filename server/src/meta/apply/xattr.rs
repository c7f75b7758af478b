//! setxattr, removexattr.

use bytes::Bytes;
use holdfast_core::error::PosixError;
use holdfast_core::id::InodeId;
use holdfast_core::limits::{XATTR_LIST_BYTES_MAX, XATTR_VALUE_BYTES_MAX};
use holdfast_core::name::XattrName;
use holdfast_core::op::{OpReply, XattrMode};

use super::{Decision, Txn, access};
use crate::meta::keys;
use crate::meta::query::attributes::XattrSpace;
use crate::meta::record::decode;
use crate::meta::record::inode::Inode;
use crate::meta::record::text::Text;

/// What a name adds to the list of names: itself and a NUL.
fn listed_bytes(name: &XattrName) -> u32 {
    u32::try_from(name.as_bytes().len() + 1).unwrap_or(u32::MAX)
}

/// The value of an attribute, where the inode has it.
pub(super) fn value(txn: &Txn<'_>, ino: InodeId, inode: &Inode, name: &XattrName) -> Decision<Option<Bytes>> {
    if inode.xattr_bytes == 0 {
        return Ok(None);
    }
    let key = keys::xattr(ino, name);
    let Some(value) = txn.view().get(&key)? else { return Ok(None) };
    Ok(Some(decode::<Text>(&key, &value)?.0))
}

/// Gives the inode an attribute. Whether that changes anything.
pub(super) fn put(txn: &mut Txn<'_>, ino: InodeId, inode: &mut Inode, name: &XattrName, new: &Bytes) -> Decision<bool> {
    let old = value(txn, ino, inode, name)?;
    if old.is_none() {
        inode.xattr_bytes += listed_bytes(name);
        if inode.xattr_bytes as usize > XATTR_LIST_BYTES_MAX {
            return Err(PosixError::NoSpace.into());
        }
    }
    let changes = old.as_ref() != Some(new);
    if changes {
        txn.take_space();
        txn.put(keys::xattr(ino, name), &Txn::store_bytes(new));
    }
    Ok(changes)
}

/// Takes an attribute from the inode. Whether it had it.
pub(super) fn take(txn: &mut Txn<'_>, ino: InodeId, inode: &mut Inode, name: &XattrName) -> Decision<bool> {
    let key = keys::xattr(ino, name);
    let had = inode.xattr_bytes > 0 && txn.view().get(&key)?.is_some();
    if had {
        txn.delete(key);
        inode.xattr_bytes = inode.xattr_bytes.saturating_sub(listed_bytes(name));
    }
    Ok(had)
}

/// Sets an attribute. `kill_setgid` is about access lists.
pub(super) fn set(
    txn: &mut Txn<'_>,
    ino: InodeId,
    name: &XattrName,
    value: &Bytes,
    mode: XattrMode,
    kill_setgid: bool,
) -> Decision {
    if value.len() > XATTR_VALUE_BYTES_MAX {
        return Err(PosixError::TooBig.into());
    }
    let mut inode = txn.view().existing(ino)?;
    let space = XattrSpace::of(name)?;
    if space == XattrSpace::AccessList {
        access::set(txn, ino, name, value, kill_setgid)?;
        return Ok(OpReply::Done);
    }
    if !space.fits(inode.kind) {
        return Err(PosixError::NotPermitted.into());
    }
    let exists = inode.xattr_bytes > 0 && txn.view().get(&keys::xattr(ino, name))?.is_some();
    match (mode, exists) {
        (XattrMode::Create | XattrMode::Both, true) => return Err(PosixError::Exists.into()),
        (XattrMode::Replace | XattrMode::Both, false) => return Err(PosixError::NoAttribute.into()),
        _ => {}
    }
    txn.take_space();
    put(txn, ino, &mut inode, name, value)?;
    inode.ctime = txn.context.now;
    txn.put_inode(ino, &inode);
    Ok(OpReply::Done)
}

/// Removes an attribute.
pub(super) fn remove(txn: &mut Txn<'_>, ino: InodeId, name: &XattrName) -> Decision {
    let mut inode = txn.view().existing(ino)?;
    let space = XattrSpace::of(name)?;
    let lists = space == XattrSpace::AccessList;
    if !space.fits(inode.kind) {
        return Err(if lists { PosixError::NotSupported } else { PosixError::NotPermitted }.into());
    }
    if lists && value(txn, ino, &inode, name)?.is_none() {
        return Ok(OpReply::Done);
    }
    if !take(txn, ino, &mut inode, name)? {
        return Err(PosixError::NoAttribute.into());
    }
    inode.ctime = txn.context.now;
    txn.put_inode(ino, &inode);
    Ok(OpReply::Done)
}
