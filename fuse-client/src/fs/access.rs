//! Access times: a read moves them as relatime says, at most once a day for what does not change.
//!
//! Nobody waits for that: the change goes to the server with what is sent next, and is remembered here
//! at once. What has no lease here (many hosts change it) is not moved.
//! What the kernel reads from pages that it has does not come here, and so does not count: an access
//! time may stay behind, and is never ahead of a read.

use std::fmt;

use nix::fcntl::OFlag;

use super::{FileSystem, Node};

/// Whether access times move on this mount at all; asked once for each that would.
pub(crate) trait AccessTimes: fmt::Debug + Send + Sync {
    /// Of files, or of directories.
    fn move_for(&self, directory: bool) -> bool;
}

impl FileSystem {
    /// From now on reads move access times, where this allows it. Before, none does.
    pub(crate) fn move_access_times(&self, allowed: impl AccessTimes + 'static) {
        // Once; a second time would be a defect and changes nothing.
        let _ = self.shared.access_times.set(Box::new(allowed));
    }

    /// A file, link or directory was read through a handle with these flags.
    pub(crate) fn note_read(&self, node: Node, flags: OFlag, directory: bool) {
        let shared = &self.shared;
        // A kernel that keeps writes back reads through the writer's handle what a write leaves of a page.
        if self.is_alone() && flags & OFlag::O_ACCMODE != OFlag::O_RDONLY {
            return;
        }
        let Some(allowed) = shared.access_times.get().filter(|_| !flags.contains(OFlag::O_NOATIME)) else { return };
        let ino = shared.ino(node);
        if shared.memory.is_read_due(ino) && allowed.move_for(directory) {
            shared.memory.touch(ino);
        }
    }
}
