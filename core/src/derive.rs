//! Attributes that follow from others: what a new inode gets, and what a change takes away.
//!
//! Pure rules, the same on every host: those of Linux's local file systems.

use crate::acl::{Access, Acl};
use crate::attr::{FileKind, Mode};
use crate::op::Caller;

/// The permissions that somebody asks for a new inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AskedMode {
    /// As asked for, before the umask.
    pub mode: Mode,
    /// The caller's umask; where the directory has a default list that counts in its place.
    pub umask: Mode,
}

impl From<Mode> for AskedMode {
    /// Without a umask.
    fn from(mode: Mode) -> Self {
        Self { mode, umask: Mode::default() }
    }
}

/// What a directory passes on.
#[derive(Clone, Copy, Debug)]
pub struct Parent<'a> {
    /// Its permissions.
    pub mode: Mode,
    /// Its group.
    pub gid: u32,
    /// Its default list.
    pub default: Option<&'a Acl>,
}

/// What a new inode gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Its group.
    pub gid: u32,
    /// Its permissions.
    pub mode: Mode,
    /// Its access list, where the mode does not say all of it.
    pub access: Option<Acl>,
    /// Its default list; of a directory only.
    pub default: Option<Acl>,
}

/// Group, permissions and lists of a new inode: a set-group-id directory passes its group on, and
/// the bit to directories; a default list takes the place of the umask and passes itself on.
#[must_use]
pub fn new_inode(kind: FileKind, asked: AskedMode, caller: Caller, parent: Parent<'_>) -> Given {
    let group_passes = parent.mode.has(Mode::SETGID);
    let gid = if group_passes { parent.gid } else { caller.gid };
    if kind == FileKind::Symlink {
        return Given { gid, mode: Mode::from_bits(0o777), access: None, default: None };
    }
    let is_directory = kind == FileKind::Directory;
    let Access { mode, acl } = match parent.default {
        Some(default) => default.inherited(asked.mode),
        None => Access { mode: asked.mode.without(asked.umask.bits() & 0o777), acl: None },
    };
    let mode = if is_directory && group_passes { mode.with(Mode::SETGID) } else { mode };
    Given { gid, mode, access: acl, default: parent.default.filter(|_| is_directory).cloned() }
}

/// The permissions that chown(2) leaves, whoever calls it. `keep_setgid`: somebody in the group
/// before it, or with `CAP_FSETID`.
#[must_use]
pub fn after_chown(kind: FileKind, mode: Mode, keep_setgid: bool) -> Mode {
    if kind == FileKind::Directory { mode } else { mode.without_privileges(keep_setgid) }
}

/// An access list is set, or taken away (`None`). `kill_setgid`: by somebody outside of the group.
#[must_use]
pub fn after_access_list(acl: Option<Acl>, mode: Mode, kill_setgid: bool) -> Access {
    match acl {
        None => Access { mode, acl: None },
        Some(acl) if kill_setgid => acl.set_on(mode.without(Mode::SETGID)),
        Some(acl) => acl.set_on(mode),
    }
}

#[cfg(test)]
mod tests;
