//! What programs have open here. Pure: it decides, others send.
//!
//! The server keeps one *set* of open inodes a session, so it hears of the first open and of the
//! last close only. The order of the two on the wire is everything: a close that overtakes a later
//! open would let the server delete a file that is in use. Three rules give it:
//!
//! - An open counts from before it is sent, and is sent while this table is locked.
//! - A close is sent while this table is locked, when nothing counts any more.
//! - What a create in flight will open is not known before its answer, so a close waits for the
//!   creates that were in flight before it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Instant;

use holdfast_client::Access;
use holdfast_core::attr::Attr;
use holdfast_core::id::{InodeId, LockOwner};

/// An open file, as the kernel names it in its requests. Never used twice in a mount's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(pub u64);

impl Handle {
    /// Who holds what flock(2) takes through it: nobody else ever has this name.
    pub(super) const fn flock_owner(self) -> LockOwner {
        LockOwner(self.0)
    }
}

/// A create whose answer is not yet there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CreateTicket(u64);

/// All open files of a mount. As large as the kernel's own table of them.
#[derive(Debug, Default)]
pub(super) struct OpenFiles {
    last_number: u64,
    files: HashMap<Handle, OpenFile>,
    inodes: HashMap<InodeId, OpenInode>,
    creates: BTreeSet<u64>,
    closes: Vec<WaitingClose>,
}

/// What a handle stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenFile {
    pub(super) ino: InodeId,
    /// How it goes past the kernel's page cache, if it does.
    pub(super) bypass: Option<Bypass>,
    /// What it is open for.
    pub(super) access: Access,
    /// execve(2) opened it: a program that runs, or an interpreter of one.
    pub(super) runs: bool,
    /// For whom, once that is known.
    pub(super) opener: Option<Opener>,
}

/// How a handle goes past the kernel's page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bypass {
    /// Its writes may run at the same time, where they do not move the end of the file.
    Parallel,
    /// One write after the other, as through the cache.
    InOrder,
}

/// Who opened a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opener {
    /// The process, in the mounter's pid namespace; 0: not visible there.
    pub(super) pid: u32,
    /// When.
    pub(super) since: Instant,
}

/// Whose a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Owner {
    /// The owner by these attributes.
    pub(super) const fn of(attr: &Attr) -> Self {
        Self { uid: attr.uid, gid: attr.gid }
    }
}

#[derive(Debug, Default)]
struct OpenInode {
    /// Handles, and opens in flight.
    count: u32,
    /// The owner that the kernel saw last, as far as this mount can tell.
    owner: Option<Owner>,
    /// Who took fcntl(2) locks, through which handles.
    lockers: HashMap<LockOwner, HashSet<Handle>>,
}

#[derive(Debug)]
struct WaitingClose {
    ino: InodeId,
    /// It waits for creates up to this number.
    creates_until: u64,
}

/// What a release leaves to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Released {
    /// The file; `None`: there is no such handle.
    pub(super) ino: Option<InodeId>,
    /// Owners whose record locks go now: open-file-description locks, which no close names.
    pub(super) unlock: Vec<LockOwner>,
    /// Inodes that are not open any more.
    pub(super) close: Vec<InodeId>,
}

impl OpenFiles {
    /// An open is about to be sent. True: the server surely has this inode open by none that was sent
    /// before, but for those whose close was sent too.
    pub(super) fn begin_open(&mut self, ino: InodeId) -> bool {
        // A close that still waits is not wanted any more: the last handle will send another.
        let closes = self.closes.len();
        self.closes.retain(|close| close.ino != ino);
        let waited = self.closes.len() < closes;
        let inode = self.inodes.entry(ino).or_default();
        inode.count += 1;
        inode.count == 1 && !waited && self.creates.is_empty()
    }

    /// It succeeded.
    pub(super) fn finish_open(&mut self, file: OpenFile) -> Handle {
        self.last_number += 1;
        let handle = Handle(self.last_number);
        self.files.insert(handle, file);
        handle
    }

    /// It failed, or nobody wants it any more. Inodes that are not open any more.
    pub(super) fn abandon_open(&mut self, ino: InodeId) -> Vec<InodeId> {
        self.leave(ino);
        self.due_closes()
    }

    /// A create that opens is about to be sent.
    pub(super) fn begin_create(&mut self) -> CreateTicket {
        self.last_number += 1;
        self.creates.insert(self.last_number);
        CreateTicket(self.last_number)
    }

    /// Its answer is there: the file, if it succeeded. The handle, and inodes to close.
    pub(super) fn finish_create(
        &mut self,
        ticket: CreateTicket,
        made: Option<OpenFile>,
    ) -> (Option<Handle>, Vec<InodeId>) {
        self.creates.remove(&ticket.0);
        let handle = made.map(|file| {
            self.begin_open(file.ino);
            self.finish_open(file)
        });
        (handle, self.due_closes())
    }

    /// The inode behind a handle.
    pub(super) fn ino(&self, handle: Handle) -> Option<InodeId> {
        self.file(handle).map(|file| file.ino)
    }

    /// What a handle stands for.
    pub(super) fn file(&self, handle: Handle) -> Option<OpenFile> {
        self.files.get(&handle).copied()
    }

    /// Notes who opened a handle.
    pub(super) fn note_opener(&mut self, handle: Handle, opener: Opener) {
        if let Some(file) = self.files.get_mut(&handle) {
            file.opener = Some(opener);
        }
    }

    /// At most so many open files, for people.
    pub(super) fn some(&self, max: usize) -> (Vec<OpenFile>, bool) {
        (self.files.values().take(max).copied().collect(), self.files.len() > max)
    }

    /// Whether an inode is open here, or about to be.
    pub(super) fn is_open(&self, ino: InodeId) -> bool {
        self.inodes.get(&ino).is_some_and(|inode| inode.count > 0)
    }

    /// Whether an inode is open here to be changed.
    pub(super) fn is_written(&self, ino: InodeId) -> bool {
        self.has(ino, |file| file.access.write)
    }

    /// Whether a program runs from an inode here.
    pub(super) fn is_run(&self, ino: InodeId) -> bool {
        self.has(ino, |file| file.runs)
    }

    /// Whether there is such a handle of an inode.
    fn has(&self, ino: InodeId, such: impl Fn(&OpenFile) -> bool) -> bool {
        self.is_open(ino) && self.files.values().any(|file| file.ino == ino && such(file))
    }

    /// The kernel was told of the owner of an inode that is open here.
    pub(super) fn note_owner(&mut self, ino: InodeId, owner: Owner) {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.owner = Some(owner);
        }
    }

    /// The owner by whom the kernel judges what is done through a handle; none: it is not open here.
    pub(super) fn owner(&self, ino: InodeId) -> Option<Owner> {
        self.inodes.get(&ino)?.owner
    }

    /// Every inode that is open here.
    pub(super) fn open_inodes(&self) -> Vec<InodeId> {
        self.inodes.keys().copied().collect()
    }

    /// The kernel let a handle go.
    pub(super) fn release(&mut self, handle: Handle) -> Released {
        let Some(OpenFile { ino, .. }) = self.files.remove(&handle) else { return Released::default() };
        let mut unlock = Vec::new();
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.lockers.retain(|owner, handles| {
                let was_there = handles.remove(&handle);
                if was_there && handles.is_empty() {
                    unlock.push(*owner);
                }
                !handles.is_empty()
            });
        }
        self.leave(ino);
        Released { ino: Some(ino), unlock, close: self.due_closes() }
    }

    /// A record lock is about to be asked for through a handle.
    pub(super) fn note_locker(&mut self, handle: Handle, owner: LockOwner) {
        if let Some(inode) = self.ino(handle).and_then(|ino| self.inodes.get_mut(&ino)) {
            inode.lockers.entry(owner).or_default().insert(handle);
        }
    }

    /// Whether somebody may have fcntl(2) locks in a file.
    pub(super) fn may_be_locked(&self, ino: InodeId) -> bool {
        self.inodes.get(&ino).is_some_and(|inode| !inode.lockers.is_empty())
    }

    /// A process closed a descriptor of this file (fcntl(2): all its locks on the file go).
    /// Whether it may have any.
    pub(super) fn take_locker(&mut self, ino: InodeId, owner: LockOwner) -> bool {
        self.inodes.get_mut(&ino).is_some_and(|inode| inode.lockers.remove(&owner).is_some())
    }

    fn leave(&mut self, ino: InodeId) {
        let Some(inode) = self.inodes.get_mut(&ino) else { return };
        inode.count = inode.count.saturating_sub(1);
        if inode.count == 0 {
            self.inodes.remove(&ino);
            self.closes.push(WaitingClose { ino, creates_until: self.last_number });
        }
    }

    fn due_closes(&mut self) -> Vec<InodeId> {
        let oldest = self.creates.first().copied().unwrap_or(u64::MAX);
        let mut due = Vec::new();
        self.closes.retain(|close| {
            let wait = oldest <= close.creates_until;
            if !wait {
                due.push(close.ino);
            }
            wait
        });
        due
    }
}

#[cfg(test)]
mod tests;
