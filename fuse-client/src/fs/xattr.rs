//! Extended attributes (xattr(7)).
//!
//! The name spaces of an ordinary local file system: `user.`, `trusted.`, `security.`. POSIX ACLs
//! (`system.`) are not supported, and said to be so.

use std::sync::Arc;

use bytes::Bytes;
use holdfast_core::error::PosixError;
use holdfast_core::limits::XATTR_VALUE_BYTES_MAX;
use holdfast_core::name::{NameError, XattrName};
use holdfast_core::op::{Caller, Op, XattrMode};

use super::{FileSystem, Node, Outcome, Reply, check};
use crate::errno;

const NAME_SPACES: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];

fn xattr_name(name: &[u8]) -> Outcome<XattrName> {
    let checked = XattrName::new(Bytes::copy_from_slice(name)).map_err(|error| match error {
        NameError::TooLong => PosixError::OutOfRange,
        NameError::Empty | NameError::Forbidden => PosixError::Invalid,
    })?;
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
        Reply::later(async move {
            shared.session.getxattr(shared.ino(node), &name).await.map_err(|error| errno::answer(&error))
        })
    }

    /// listxattr(2): the names, each followed by NUL.
    pub fn listxattr(&self, node: Node) -> Reply<Bytes> {
        let shared = Arc::clone(&self.shared);
        Reply::later(async move {
            let names = shared.session.listxattr(shared.ino(node)).await.map_err(|error| errno::answer(&error))?;
            let list: Vec<u8> = names.iter().flat_map(|name| [name.as_bytes(), b"\0"]).flatten().copied().collect();
            Ok(list.into())
        })
    }

    /// setxattr(2).
    pub fn setxattr(&self, caller: Caller, node: Node, name: &[u8], value: &[u8], mode: XattrMode) -> Reply<()> {
        let name = check!(xattr_name(name));
        if value.len() > XATTR_VALUE_BYTES_MAX {
            return Reply::Now(Err(PosixError::TooBig));
        }
        let value = Bytes::copy_from_slice(value);
        self.change(caller, Op::SetXattr { ino: self.shared.ino(node), name, value, mode })
    }

    /// removexattr(2).
    pub fn removexattr(&self, caller: Caller, node: Node, name: &[u8]) -> Reply<()> {
        let name = check!(xattr_name(name));
        self.change(caller, Op::RemoveXattr { ino: self.shared.ino(node), name })
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
        assert_eq!(xattr_name(b"system.posix_acl_access"), Err(PosixError::NotSupported));
        assert_eq!(xattr_name(b"plain"), Err(PosixError::NotSupported));
        assert_eq!(xattr_name(b""), Err(PosixError::Invalid));
    }
}
