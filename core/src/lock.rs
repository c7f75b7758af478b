//! Advisory locks: flock(2), and fcntl(2) record locks (POSIX and open-file-description).
//!
//! The words for them, and [`LockTable`]: every lock and every waiter of one volume, as a pure
//! state machine.

mod pieces;
mod table;

pub use table::{Acquire, LockTable, Outcome, Ticket, Woken};

use std::time::Duration;

use crate::id::{InodeId, LockOwner, SessionId};
use crate::session::BootTime;

/// Two kinds of lock that do not see each other, as on Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockSpace {
    /// flock(2): the whole file.
    Flock,
    /// fcntl(2): byte ranges.
    Record,
}

/// What a lock keeps others from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockMode {
    /// From an exclusive lock.
    Shared,
    /// From any lock.
    Exclusive,
}

/// The last byte of a lock "to the end of the file, however long it gets" (Linux `OFFSET_MAX`).
pub const LOCK_END: u64 = i64::MAX as u64;

/// Bytes that a lock covers: `start..=end`; `end` is at most [`LOCK_END`]. A flock covers all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockRange {
    start: u64,
    end: u64,
}

impl LockRange {
    /// Every byte that there can be.
    pub const WHOLE: Self = Self { start: 0, end: LOCK_END };

    /// A checked range; `None` when it ends before it starts, or past [`LOCK_END`].
    #[must_use]
    pub const fn new(start: u64, end: u64) -> Option<Self> {
        if start <= end && end <= LOCK_END { Some(Self { start, end }) } else { None }
    }

    /// First byte.
    #[must_use]
    pub const fn start(self) -> u64 {
        self.start
    }

    /// Last byte, inclusive.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.end
    }

    /// Whether the two share a byte.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }
}

/// Who holds or wants a lock: a session, and within it whom its kernel means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder {
    /// The session.
    pub session: SessionId,
    /// The owner within it.
    pub owner: LockOwner,
}

/// What a session asks for: `mode: None` unlocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockAsk {
    /// The file.
    pub ino: InodeId,
    /// Which kind of lock.
    pub space: LockSpace,
    /// Who, as the session's kernel names it.
    pub owner: LockOwner,
    /// Shared, exclusive, or `None`: unlock.
    pub mode: Option<LockMode>,
    /// Which bytes.
    pub range: LockRange,
    /// The process, for people and `F_GETLK`.
    pub pid: u32,
    /// Known to be an open-file-description lock: its waits are not looked at for deadlocks, since
    /// any process that has the file may let go (fcntl(2)).
    pub open_file: bool,
}

/// What a session that comes back says it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockClaim {
    /// The lock.
    pub ask: LockAsk,
    /// For how long it has held it.
    pub held_for: Duration,
}

/// A lock that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldLock {
    /// By whom.
    pub holder: Holder,
    /// Which kind.
    pub space: LockSpace,
    /// How.
    pub mode: LockMode,
    /// Which bytes.
    pub range: LockRange,
    /// The process that took it.
    pub pid: u32,
    /// When it was granted, on the clock that the table was told.
    pub since: BootTime,
}

impl HeldLock {
    /// As a session may see it that asks who is in its way: the number of a process means something
    /// on its own host only, elsewhere it could be another's. 0 says that it runs elsewhere, as for
    /// locks on NFS.
    #[must_use]
    pub fn seen_by(self, session: SessionId) -> Self {
        Self { pid: if self.holder.session == session { self.pid } else { 0 }, ..self }
    }
}

/// A lock that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AwaitedLock {
    /// Names the wait.
    pub ticket: Ticket,
    /// By whom.
    pub session: SessionId,
    /// What for.
    pub ask: LockAsk,
    /// Since when, on the clock that the table was told.
    pub since: BootTime,
}
