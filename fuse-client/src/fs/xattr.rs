//! Extended attributes (xattr(7)).
//!
//! The name spaces of an ordinary local file system: `user.`, `trusted.`, `security.`, and access
//! lists in `system.`.

use std::sync::Arc;

use bytes::Bytes;
use holdfast_core::acl::{ACCESS_XATTR, Acl, DEFAULT_XATTR};
use holdfast_core::attr::{Attr, FileKind, Mode};
use holdfast_core::error::PosixError;
use holdfast_core::id::InodeId;
use holdfast_core::limits::XATTR_VALUE_BYTES_MAX;
use holdfast_core::name::{NameError, XattrName};
use holdfast_core::op::{Caller, Op, XattrMode};

use super::credentials::{Credentials, Thread};
use super::{FileSystem, Node, Outcome, Reply, Shared, check};
use crate::{errno, process};

const NAME_SPACES: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];

fn xattr_name(name: &[u8]) -> Outcome<XattrName> {
    let checked = XattrName::new(Bytes::copy_from_slice(name)).map_err(|error| match error {
        NameError::TooLong => PosixError::OutOfRange,
        NameError::Empty | NameError::Forbidden => PosixError::Invalid,
    })?;
    if [ACCESS_XATTR, DEFAULT_XATTR].contains(&name) {
        return Ok(checked);
    }
    match NAME_SPACES.iter().find_map(|space| name.strip_prefix(*space)) {
        Some([]) => Err(PosixError::Invalid),
        Some(_) => Ok(checked),
        None => Err(PosixError::NotSupported),
    }
}

impl FileSystem {
    /// getxattr(2).
    pub fn getxattr(&self, node: Node, name: &[u8]) -> Reply<Bytes> {
        let name = check!(xattr_name(name));
        let shared = Arc::clone(&self.shared);
        if shared.has_no_xattrs(node) {
            return Reply::Now(Err(PosixError::NoAttribute));
        }
        Reply::later(async move {
            shared.session.getxattr(shared.ino(node), &name).await.map_err(|error| errno::answer(&error))
        })
    }

    /// listxattr(2): the names, each followed by NUL. `trusted.` ones are for root's eyes only.
    pub fn listxattr(&self, thread: Thread, node: Node) -> Reply<Bytes> {
        let shared = Arc::clone(&self.shared);
        if shared.has_no_xattrs(node) {
            return Reply::Now(Ok(Bytes::new()));
        }
        Reply::later(async move {
            let names = shared.session.listxattr(shared.ino(node)).await.map_err(|error| errno::answer(&error))?;
            let trusted = |name: &XattrName| name.as_bytes().starts_with(b"trusted.");
            let all = !names.iter().any(trusted) || Credentials::of(thread).sees_trusted();
            let seen = names.iter().filter(|name| all || !trusted(name));
            Ok(seen.flat_map(|name| [name.as_bytes(), b"\0"]).flatten().copied().collect::<Vec<u8>>().into())
        })
    }

    /// setxattr(2). `kill_setgid`: of an access list, by somebody outside of the file's group.
    #[expect(clippy::too_many_arguments, reason = "what the kernel asks with")]
    pub fn setxattr(
        &self,
        caller: Caller,
        thread: Thread,
        node: Node,
        name: &[u8],
        value: &[u8],
        mode: XattrMode,
        kill_setgid: bool,
    ) -> Reply<()> {
        let name = check!(xattr_name(name));
        if value.len() > XATTR_VALUE_BYTES_MAX {
            return Reply::Now(Err(PosixError::TooBig));
        }
        let value = Bytes::copy_from_slice(value);
        let ino = self.shared.ino(node);
        self.change_xattr(caller, thread, ino, Op::SetXattr { ino, name, value, mode, kill_setgid })
    }

    /// removexattr(2).
    pub fn removexattr(&self, caller: Caller, thread: Thread, node: Node, name: &[u8]) -> Reply<()> {
        let name = check!(xattr_name(name));
        let shared = Arc::clone(&self.shared);
        let ino = shared.ino(node);
        if name != XattrName::capability() {
            return self.change_xattr(caller, thread, ino, Op::RemoveXattr { ino, name });
        }
        // Of chown(2) by a stranger the kernel takes the capability away before it asks for what is
        // refused.
        Reply::later(async move {
            if process::is_in(thread.0, process::CHOWNS).await == Some(true) {
                shared.may_take_privileges(thread, ino).await?;
            }
            *shared.capability_dropped.lock() = Some((thread, ino));
            shared.submit(caller, Op::RemoveXattr { ino, name }).await.map(drop)
        })
    }

    /// Makes a change of an attribute. The kernel asks for nothing before it sees that the caller owns
    /// the file, where only the owner may; through an open file it goes by the owner and the sticky bit
    /// that it saw last, which another host may have changed since. So that is judged here once more.
    fn change_xattr(&self, caller: Caller, thread: Thread, ino: InodeId, op: Op) -> Reply<()> {
        if let Some(attr) = self.shared.memory.attr(ino) {
            check!(may_change(caller, thread, &attr, &op));
            return self.change(caller, op);
        }
        let shared = Arc::clone(&self.shared);
        Reply::later(async move {
            may_change(caller, thread, &shared.attr(ino).await?, &op)?;
            shared.submit(caller, op).await.map(drop)
        })
    }
}

/// Whether only the owner may make this change, and it is made by somebody else: an access list of any
/// file, and a `user.` attribute of a sticky directory (xattr(7)).
fn may_change(caller: Caller, thread: Thread, attr: &Attr, op: &Op) -> Outcome<()> {
    let (Op::SetXattr { name, .. } | Op::RemoveXattr { name, .. }) = op else { return Ok(()) };
    let name = name.as_bytes();
    let sticky = attr.kind == FileKind::Directory && attr.mode.has(Mode::STICKY);
    let for_owners = [ACCESS_XATTR, DEFAULT_XATTR].contains(&name) || (sticky && name.starts_with(b"user."));
    let may = !for_owners || caller.uid == attr.uid || Credentials::of(thread).acts_as(attr.uid);
    if may { Ok(()) } else { Err(PosixError::NotPermitted) }
}

impl Shared {
    /// The access list of an inode, where there is one.
    pub(super) async fn access_list(&self, ino: InodeId) -> Outcome<Option<Acl>> {
        let name = xattr_name(ACCESS_XATTR)?;
        match self.session.getxattr(ino, &name).await.map_err(|error| errno::answer(&error)) {
            Ok(value) => Acl::from_xattr(&value).map_err(|_| PosixError::Io),
            Err(PosixError::NoAttribute) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether an inode is known to have none.
    fn has_no_xattrs(&self, node: Node) -> bool {
        self.memory.attr(self.ino(node)).is_some_and(|attr| attr.no_xattrs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_spaces_of_a_local_file_system_are_served() {
        assert!(xattr_name(b"user.a").is_ok());
        assert!(xattr_name(b"trusted.overlay.opaque").is_ok());
        assert!(xattr_name(b"security.capability").is_ok());
        assert_eq!(xattr_name(b"user."), Err(PosixError::Invalid));
        assert!(xattr_name(b"system.posix_acl_access").is_ok());
        assert!(xattr_name(b"system.posix_acl_default").is_ok());
        assert_eq!(xattr_name(b"system.posix_acl"), Err(PosixError::NotSupported));
        assert_eq!(xattr_name(b"plain"), Err(PosixError::NotSupported));
        assert_eq!(xattr_name(b""), Err(PosixError::Invalid));
    }
}
