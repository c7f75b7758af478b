//! Access lists of inodes, and what takes privileges away from files.

use holdfast_core::acl::Acl;
use holdfast_core::attr::FileKind;
use holdfast_core::derive;
use holdfast_core::error::PosixError;
use holdfast_core::id::InodeId;
use holdfast_core::name::XattrName;

use super::{Decision, Failure, Txn, xattr};
use crate::meta::keys;
use crate::meta::record::damaged;
use crate::meta::record::inode::Inode;

/// A list that an inode has.
pub(super) fn list(txn: &Txn<'_>, ino: InodeId, inode: &Inode, name: &XattrName) -> Decision<Option<Acl>> {
    let Some(value) = xattr::value(txn, ino, inode, name)? else { return Ok(None) };
    let malformed = |_| Failure::Store(damaged(&keys::xattr(ino, name), "it is not a valid access list"));
    Acl::from_xattr(&value).map_err(malformed)
}

/// Gives an inode a list, or takes it away. Whether that changes anything.
pub(super) fn put(
    txn: &mut Txn<'_>,
    ino: InodeId,
    inode: &mut Inode,
    name: &XattrName,
    acl: Option<&Acl>,
) -> Decision<bool> {
    match acl {
        Some(acl) => xattr::put(txn, ino, inode, name, &acl.to_xattr()),
        None => xattr::take(txn, ino, inode, name),
    }
}

/// setxattr(2) of a list: an access list sets the mode too.
pub(super) fn set(txn: &mut Txn<'_>, ino: InodeId, name: &XattrName, value: &[u8], kill_setgid: bool) -> Decision<()> {
    let mut inode = txn.view().existing(ino)?;
    if inode.kind == FileKind::Symlink {
        return Err(PosixError::NotSupported.into());
    }
    let acl = Acl::from_xattr(value).map_err(|_| PosixError::Invalid)?;
    let mode = inode.mode;
    let changed = if *name == XattrName::access_list() {
        let access = derive::after_access_list(acl, mode, kill_setgid);
        inode.mode = access.mode;
        put(txn, ino, &mut inode, name, access.acl.as_ref())?
    } else if acl.is_some() && !inode.is_directory() {
        return Err(PosixError::AccessDenied.into());
    } else {
        put(txn, ino, &mut inode, name, acl.as_ref())?
    };
    if changed || inode.mode != mode {
        inode.ctime = txn.context.now;
        txn.put_inode(ino, &inode);
    }
    Ok(())
}

/// chmod(2) changes the access list too.
pub(super) fn chmod(txn: &mut Txn<'_>, ino: InodeId, inode: &mut Inode) -> Decision<()> {
    let name = XattrName::access_list();
    if let Some(acl) = list(txn, ino, inode, &name)? {
        let acl = acl.after_chmod(inode.mode);
        put(txn, ino, inode, &name, Some(&acl))?;
    }
    Ok(())
}

/// A new inode gets what it inherits.
pub(super) fn give(
    txn: &mut Txn<'_>,
    ino: InodeId,
    inode: &mut Inode,
    access: Option<&Acl>,
    default: Option<&Acl>,
) -> Decision<()> {
    for (name, acl) in [(XattrName::access_list(), access), (XattrName::default_list(), default)] {
        if acl.is_some() {
            put(txn, ino, inode, &name, acl)?;
        }
    }
    Ok(())
}

/// Takes the capabilities of a program away. An empty value says nothing, and stays as on Linux.
fn drop_capability(txn: &mut Txn<'_>, ino: InodeId, inode: &mut Inode) -> Decision<()> {
    let name = XattrName::capability();
    if xattr::value(txn, ino, inode, &name)?.is_some_and(|value| !value.is_empty()) {
        xattr::take(txn, ino, inode, &name)?;
    }
    Ok(())
}

/// The content of a file changes: its capabilities go, whoever changes it; set-user-id and
/// set-group-id if `kill_privileges`, the latter unless the caller keeps it.
pub(super) fn content_changes(
    txn: &mut Txn<'_>,
    ino: InodeId,
    inode: &mut Inode,
    kill_privileges: bool,
    keep_setgid: bool,
) -> Decision<()> {
    drop_capability(txn, ino, inode)?;
    if kill_privileges {
        inode.mode = inode.mode.without_privileges(keep_setgid);
    }
    Ok(())
}

/// The owner of an inode changes, or chown(2) is called for nothing: the same, by its own rule.
pub(super) fn owner_changes(txn: &mut Txn<'_>, ino: InodeId, inode: &mut Inode, keep_setgid: bool) -> Decision<()> {
    if !inode.is_directory() {
        drop_capability(txn, ino, inode)?;
    }
    inode.mode = derive::after_chown(inode.kind, inode.mode, keep_setgid);
    Ok(())
}

/// What a new inode in this directory gets.
pub(super) fn inherited(
    txn: &Txn<'_>,
    parent: InodeId,
    directory: &Inode,
    kind: FileKind,
    asked: derive::AskedMode,
) -> Decision<derive::Given> {
    let default = list(txn, parent, directory, &XattrName::default_list())?;
    let parent = derive::Parent { mode: directory.mode, gid: directory.gid, default: default.as_ref() };
    Ok(derive::new_inode(kind, asked, txn.context.caller, parent))
}
