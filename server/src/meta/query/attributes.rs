//! Attributes, extended ones too.

use std::ops::ControlFlow;

use bytes::Bytes;
use holdfast_core::attr::{Attr, FileKind};
use holdfast_core::error::{PosixError, Result};
use holdfast_core::id::InodeId;
use holdfast_core::name::XattrName;

use crate::meta::keys;
use crate::meta::record::text::Text;
use crate::meta::record::{damaged, decode};
use crate::meta::view::View;

/// What stat(2) shows.
///
/// # Errors
/// `NoEntry`.
pub fn getattr(view: View<'_>, ino: InodeId) -> Result<Attr> {
    Ok(view.existing(ino)?.attr(ino))
}

/// The name spaces of xattr(7), as far as a volume serves them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XattrSpace {
    /// `user.`: of regular files and directories only.
    User,
    /// `trusted.` and `security.`: of anything. Who may is the client kernel's decision.
    Privileged,
    /// `system.posix_acl_access` and `system.posix_acl_default`: of anything but symbolic links.
    AccessList,
}

impl XattrSpace {
    /// The space of a name.
    ///
    /// # Errors
    /// `NotSupported` for a space that volumes do not serve, `Invalid` for a space without a name
    /// in it.
    pub fn of(name: &XattrName) -> std::result::Result<Self, PosixError> {
        if *name == XattrName::access_list() || *name == XattrName::default_list() {
            return Ok(Self::AccessList);
        }
        let name = name.as_bytes();
        let spaces: [(&[u8], Self); 3] =
            [(b"user.", Self::User), (b"trusted.", Self::Privileged), (b"security.", Self::Privileged)];
        match spaces.iter().find(|(prefix, _)| name.starts_with(prefix)) {
            Some((prefix, _)) if prefix.len() == name.len() => Err(PosixError::Invalid),
            Some((_, space)) => Ok(*space),
            None => Err(PosixError::NotSupported),
        }
    }

    /// Whether inodes of this type have attributes of this space.
    #[must_use]
    pub const fn fits(self, kind: FileKind) -> bool {
        match self {
            Self::User => matches!(kind, FileKind::Regular | FileKind::Directory),
            Self::Privileged => true,
            Self::AccessList => !matches!(kind, FileKind::Symlink),
        }
    }
}

/// The value of an xattr.
///
/// # Errors
/// `NoEntry`, `NoAttribute`, `NotSupported`.
pub fn getxattr(view: View<'_>, ino: InodeId, name: &XattrName) -> Result<Bytes> {
    let inode = view.existing(ino)?;
    let space = XattrSpace::of(name)?;
    if inode.xattr_bytes == 0 || !space.fits(inode.kind) {
        return Err(PosixError::NoAttribute.into());
    }
    let key = keys::xattr(ino, name);
    match view.get(&key)? {
        Some(value) => decode::<Text>(&key, &value).map(|text| text.0),
        None => Err(PosixError::NoAttribute.into()),
    }
}

/// The names of all xattrs, sorted.
///
/// # Errors
/// `NoEntry`.
pub fn listxattr(view: View<'_>, ino: InodeId) -> Result<Vec<XattrName>> {
    let mut names = Vec::new();
    if view.existing(ino)?.xattr_bytes > 0 {
        view.scan(&keys::xattrs(ino), |key, _| {
            let name = keys::split(key).and_then(|(_, name)| XattrName::new(name.to_vec()).ok());
            names.push(name.ok_or_else(|| damaged(key, "its key has no name"))?);
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(names)
}
