//! Leases: what the server lends to sessions so that they answer by themselves.
//!
//! Both halves, as pure state machines: [`Table`] decides for the server who may have what,
//! [`Holdings`] knows for a client what it has. The shells bring time, messages and the log of
//! operations. `docs/design/0003-leases.md` says how they use this.
//!
//! Guarantees, checked over every order of events in `tests`:
//! - Of one inode one session has an exclusive lease and nobody else any, or all have shared ones;
//!   the lease on the volume counts as an exclusive one on every inode.
//! - What a client believes to have, the server believes too. The other way round a message is on
//!   its way.
//! - A claim is clear as soon as nobody is in its way, in order of arrival; nobody waits for ever
//!   for a session that gives back or is fenced.

mod heat;
mod holdings;
mod table;

pub use holdings::{Drop, GiveBack, Holdings, Step};
pub use table::{ClaimId, Grant, Recall, Table, Use, Verdict};

use crate::id::InodeId;

/// What a lease lets its holder do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Answer questions; others may too.
    Shared,
    /// Answer changes too; nobody else has a lease.
    Exclusive,
}

impl Mode {
    /// Whether two sessions may not have these at the same time.
    #[must_use]
    pub const fn conflicts(self, other: Self) -> bool {
        matches!(self, Self::Exclusive) || matches!(other, Self::Exclusive)
    }
}

/// What is lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// Every inode, exclusively: to the only session that there is.
    Volume,
    /// One inode: its attributes, and its names or content.
    Inode(InodeId),
}

/// Number of a grant, rising over all grants of a server's table; zero: before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantNo(pub u64);

/// Stands for the room that a volume has: whoever has a shared lease on it may answer changes that
/// take space, within [`ROOM_BYTES`] and [`ROOM_INODES`] that the server has not yet applied.
pub const ROOM: InodeId = InodeId(u64::MAX);
/// Bytes that a session may have answered by itself under [`ROOM`] and not heard to be applied.
pub const ROOM_BYTES: u64 = 32 << 20;
/// Inodes, the same.
pub const ROOM_INODES: u64 = 2048;

/// What an operation or a question needs: each inode once.
pub type Needs = Vec<(InodeId, Mode)>;

/// Adds one need; the stronger mode counts where the inode is there already.
pub fn add_need(needs: &mut Needs, ino: InodeId, mode: Mode) {
    match needs.iter_mut().find(|(known, _)| *known == ino) {
        Some((_, known)) => *known = (*known).max(mode),
        None => needs.push((ino, mode)),
    }
}

#[cfg(test)]
mod tests;
