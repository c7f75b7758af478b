//! Whether directories lie below the root.

use std::collections::HashSet;

use holdfast_core::error::Result;
use holdfast_core::id::InodeId;

use crate::meta::view::View;

/// Directories that are remembered to lie below the root.
const REMEMBERED: usize = 1 << 20;
/// Directories above one, at most; a volume's own limit on paths is far below.
const DEPTH_MAX: usize = 1 << 20;

/// Directories of which it is known.
#[derive(Debug, Default)]
pub(super) struct Tree {
    below: HashSet<InodeId>,
}

impl Tree {
    /// Whether going up from a directory with this parent comes to the root.
    pub(super) fn reaches_root(&mut self, view: View<'_>, ino: InodeId, parent: Option<InodeId>) -> Result<bool> {
        let (mut path, mut above) = (HashSet::from([ino]), parent);
        while let Some(at) = above {
            if at == InodeId::ROOT || self.below.contains(&at) {
                self.remember(path);
                return Ok(true);
            }
            if !path.insert(at) || path.len() > DEPTH_MAX {
                return Ok(false);
            }
            // What cannot be decoded is found elsewhere.
            above = view.inode(at).or_else(unreadable)?.and_then(|inode| inode.parent);
        }
        Ok(false)
    }

    fn remember(&mut self, path: HashSet<InodeId>) {
        if self.below.len() >= REMEMBERED {
            self.below.clear();
        }
        self.below.extend(path);
    }
}

/// A record that cannot be decoded is as good as none here; an engine that cannot be read is not.
pub(super) fn unreadable<T>(error: holdfast_core::error::Error) -> Result<Option<T>> {
    match error.kind() {
        holdfast_core::error::ErrorKind::Damaged if std::error::Error::source(&error).is_none() => Ok(None),
        _ => Err(error),
    }
}
