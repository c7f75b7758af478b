//! What is kept of a request until its answer: who waits for it, and which name it was about.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::error::PosixError;
use nix::errno::Errno;

use crate::fs::{Entry, FileSystem, Node, Outcome};
use crate::fuse::answer::Answer;
use crate::fuse::encode::Ttl;
use crate::fuse::stale::StaleThreads;
use crate::memory::Telling;

/// What the kernel may believe of the entry that a change of a name has led to.
pub(super) type Believes = fn(&Named, &FileSystem, &Telling<'_>, &Entry) -> Ttl;

/// A name in a directory that a request is about.
pub(super) struct Named {
    directory: Node,
    name: Bytes,
}

impl Named {
    pub(super) fn new(directory: Node, name: &[u8]) -> Self {
        Self { directory, name: Bytes::copy_from_slice(name) }
    }

    /// For how long the kernel may believe that it leads to this, or to nothing.
    pub(super) fn leads(&self, fs: &FileSystem, telling: &Telling<'_>, entry: Option<&Entry>) -> Duration {
        telling.leads((fs.ino(self.directory), &self.name), entry.map(|entry| entry.attr.ino))
    }

    /// For how long the kernel may believe that it leads to what was just made, and what that is like.
    pub(super) fn makes(&self, fs: &FileSystem, telling: &Telling<'_>, made: &Entry) -> Ttl {
        let entry = self.leads(fs, telling, Some(made));
        Ttl { entry, attr: telling.believes_new(&made.attr, entry) }
    }

    /// The same of what was there and has this name now: the kernel takes its attributes up in any order with
    /// other changes and a recall, so it is not told to believe those.
    pub(super) fn links(&self, fs: &FileSystem, telling: &Telling<'_>, linked: &Entry) -> Ttl {
        Ttl { entry: self.leads(fs, telling, Some(linked)), attr: fs.believes_changed() }
    }
}

/// A request under way.
pub(super) struct Call {
    /// The thread that waits for it; 0: not known.
    pub(super) thread: u32,
    /// It names an inode, which a lookup has found before.
    pub(super) on_inode: Option<Arc<StaleThreads>>,
    pub(super) answer: Answer,
}

impl Call {
    pub(super) fn finish<T>(self, outcome: Outcome<T>, encode: impl FnOnce(T, Answer)) {
        match outcome {
            Ok(value) => encode(value, self.answer),
            Err(error) => match (error, self.on_inode) {
                (PosixError::NoEntry, Some(stale)) => {
                    stale.told(self.thread);
                    self.answer.errno(Errno::ESTALE);
                }
                _ => self.answer.error(error),
            },
        }
    }
}
