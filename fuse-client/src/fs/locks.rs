//! flock(2) and fcntl(2) locks, across hosts. Who waits holds no thread.

use std::future::Future;

use holdfast_client::{LockConflict, LockTicket};
use holdfast_core::error::PosixError;
use holdfast_core::id::{InodeId, LockOwner};
use holdfast_core::lock::{LockAsk, LockMode, LockRange, LockSpace};

use super::{FileSystem, Handle, Outcome, Reply, Shared};
use crate::errno;
use std::sync::Arc;

/// What a program asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockRequest {
    /// Through which open file.
    pub handle: Handle,
    /// flock(2), or fcntl(2).
    pub space: LockSpace,
    /// Who, as the kernel names it. Not of a flock: its owner is the handle. The kernel's name for that
    /// is a place in its memory, which the next file that is opened may get while this one's release is
    /// still on its way; the release would then take that one's lock.
    pub owner: LockOwner,
    /// `None`: unlock.
    pub mode: Option<LockMode>,
    /// Which bytes; a flock covers all.
    pub range: LockRange,
    /// The process, for people and `F_GETLK`; 0: not known.
    pub pid: u32,
    /// Known to be an open-file-description lock.
    pub open_file: bool,
}

impl LockRequest {
    fn ask(&self, ino: InodeId) -> LockAsk {
        let (range, owner) = match self.space {
            LockSpace::Flock => (LockRange::WHOLE, self.handle.flock_owner()),
            LockSpace::Record => (self.range, self.owner),
        };
        LockAsk { ino, space: self.space, owner, mode: self.mode, range, pid: self.pid, open_file: self.open_file }
    }
}

/// A lock that was asked for.
#[derive(Debug)]
pub struct LockWait {
    /// The answer.
    pub reply: Reply<()>,
    /// Stops the wait: the answer is then `Interrupted`, or the lock if it came first.
    pub cancel: Option<LockTicket>,
}

impl FileSystem {
    /// Takes, changes or releases a lock. `wait`: until it is free; else `WouldBlock`.
    pub fn lock(&self, request: LockRequest, wait: bool) -> LockWait {
        let bad = || LockWait { reply: Reply::Now(Err(PosixError::BadHandle)), cancel: None };
        let Some(ino) = self.shared.files.lock().ino(request.handle) else { return bad() };
        self.shared.memory.on_locks(ino, |alone| {
            // Noted and asked for in one step: a release or close that lets locks go is before both or behind.
            let mut files = self.shared.files.lock();
            if files.ino(request.handle).is_none() {
                return bad();
            }
            if request.mode.is_some() && request.space == LockSpace::Record {
                files.note_locker(request.handle, request.owner);
            }
            let ask = request.ask(ino);
            if let Some(decided) = alone.then(|| self.shared.session.lock_here(&ask, wait)).flatten() {
                return LockWait { reply: Reply::Now(decided), cancel: None };
            }
            let (ticket, locked) = self.shared.session.lock(ask, wait);
            let reply = Reply::later(async move { locked.await.map_err(|error| errno::answer(&error)) });
            LockWait { reply, cancel: Some(ticket) }
        })
    }

    /// Who would be in the way (`F_GETLK`).
    pub fn query_lock(&self, request: LockRequest) -> Reply<Option<LockConflict>> {
        let Some(ino) = self.shared.files.lock().ino(request.handle) else {
            return Reply::Now(Err(PosixError::BadHandle));
        };
        let ask = request.ask(ino);
        let known = self.shared.memory.on_locks(ino, |alone| {
            let answer = alone.then(|| self.shared.session.query_lock_here(&ask));
            answer.flatten()
        });
        if let Some(conflict) = known {
            return Reply::Now(Ok(conflict));
        }
        let shared = Arc::clone(&self.shared);
        Reply::later(async move { shared.session.query_lock(ask).await.map_err(|error| errno::answer(&error)) })
    }
}

impl Shared {
    /// Gives back all locks of one owner on a file. Call it with the table of open files locked, and
    /// `alone` as [`on_locks`](crate::memory::Memory::on_locks) says. `None`: that is done.
    pub(super) fn unlock(
        &self,
        ino: InodeId,
        (owner, space): (LockOwner, LockSpace),
        alone: bool,
    ) -> Option<impl Future<Output = Outcome<()>> + Send + 'static + use<>> {
        let ask = LockAsk { ino, space, owner, mode: None, range: LockRange::WHOLE, pid: 0, open_file: false };
        if alone && self.session.lock_here(&ask, false).is_some() {
            return None;
        }
        let (_, unlocked) = self.session.lock(ask, false);
        Some(async move { unlocked.await.map_err(|error| errno::answer(&error)) })
    }
}
