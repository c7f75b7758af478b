//! What the session tells the mount: others changed a file, or the session was lost.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use holdfast_client::{DescribeDone, Description, InvalidateDone, Invalidation, LeaseEvents, SessionEvents};
use holdfast_core::id::InodeId;
use tokio::runtime::Handle as Runtime;

use crate::fs::FileSystem;
use crate::fs::versions::CachedVersions;
use crate::fuse::{Length, Notifier};
use crate::memory::{KernelCopies, Memory};
use crate::unmount;

/// Carries the session's events to the kernel's cache. Events that come before there is a mount
/// find nothing cached.
#[derive(Debug, Default)]
pub(super) struct MountEvents {
    pub(super) versions: Arc<CachedVersions>,
    pub(super) memory: Arc<Memory>,
    mount: OnceLock<(FileSystem, Notifier)>,
    /// The kernel's number of the mount, where it is alone.
    alone: OnceLock<u32>,
}

impl MountEvents {
    /// From now on there is a kernel that caches.
    pub(super) fn attach(&self, fs: FileSystem, notifier: Notifier, runtime: Runtime) {
        self.memory.attach_kernel(Arc::new(Copies { fs: fs.clone(), notifier: notifier.clone(), runtime }));
        // A mount is attached once; a second time would be a defect and changes nothing.
        let _ = self.mount.set((fs, notifier));
    }

    /// The mount is alone, and has this number: when the session is lost it ends.
    pub(super) fn alone(&self, minor: u32) {
        let _ = self.alone.set(minor);
    }
}

impl SessionEvents for MountEvents {
    fn invalidate(&self, what: Invalidation, done: InvalidateDone) {
        let grew = self.versions.invalidated(what.ino, what.data_version, what.size);
        match self.mount.get() {
            None => done.confirm(),
            Some((fs, notifier)) => {
                let versions = Arc::clone(&self.versions);
                let length: Length = Box::new(move || versions.size(what.ino));
                let end = what.len.and_then(|len| what.offset.checked_add(len));
                // What does not reach the end has not moved it.
                let length = (grew && end.is_none_or(|end| end >= what.size)).then_some(length);
                notifier.changed(fs.node(what.ino), what.offset, what.len, length, move || done.confirm());
            }
        }
    }

    fn leases(&self) -> &dyn LeaseEvents {
        &*self.memory
    }

    fn describe(&self, done: DescribeDone) {
        let Some((fs, _)) = self.mount.get() else { return done.answer(&Description::default()) };
        let fs = fs.clone();
        // Reads files of /proc, so not here. A question that cannot be answered is answered by silence.
        let answer = move || done.answer(&fs.describe());
        if let Err(error) = std::thread::Builder::new().name("describe".to_owned()).spawn(answer) {
            tracing::debug!(%error, "cannot say who uses what here");
        }
    }

    fn session_lost(&self, lost: &[InodeId]) {
        if let Some(&minor) = self.alone.get() {
            tracing::error!(
                files_with_lost_changes = lost.len(),
                "the server gave this exclusive mount's session up; others may have the volume now, so the mount ends: \
                 unmount it and mount it again"
            );
            // What the kernel keeps, and has kept back, is not the volume's any more.
            let abort = std::thread::Builder::new().name("abort".to_owned()).spawn(move || unmount::abort(minor));
            if let Err(error) = abort {
                tracing::error!(%error, "cannot end the mount");
            }
            return;
        }
        tracing::error!(
            files_with_lost_changes = lost.len(),
            "the server gave this mount's session up; changes that were not synced are lost and a new session began"
        );
        // Others may have changed anything while the server did not wait for us.
        self.memory.lost();
        self.versions.clear();
        if let Some((fs, notifier)) = self.mount.get() {
            for node in fs.open_nodes() {
                notifier.drop_pages(node, 0, None, || ());
            }
        }
    }
}

/// What the kernel was told under leases.
struct Copies {
    fs: FileSystem,
    notifier: Notifier,
    runtime: Runtime,
}

impl KernelCopies for Copies {
    fn drop_attributes(
        &self,
        ino: InodeId,
        told: Instant,
        ready: Box<dyn FnOnce() + Send>,
        done: Box<dyn FnOnce() + Send>,
    ) {
        self.notifier.drop_attributes(self.fs.node(ino), told, ready, done);
    }

    fn at(&self, when: Instant, then: Box<dyn FnOnce() + Send>) {
        self.runtime.spawn(async move {
            tokio::time::sleep_until(when.into()).await;
            then();
        });
    }
}
