//! Advisory locks.

use std::time::Duration;

use holdfast_core::error::{Error, Result};
use holdfast_core::id::{InodeId, LockOwner};
use holdfast_core::lock::{HeldLock, LockAsk, LockClaim, LockMode, LockRange, LockSpace};

use crate::attr::inode;
use crate::error::invalid;
use crate::inspect::millis;
use crate::v1;

impl From<&LockAsk> for v1::Lock {
    fn from(ask: &LockAsk) -> Self {
        Self {
            ino: ask.ino.0,
            space: space_to_wire(ask.space).into(),
            owner: ask.owner.0,
            mode: mode_to_wire(ask.mode).into(),
            start: ask.range.start(),
            end: ask.range.end(),
            pid: ask.pid,
            open_file: ask.open_file,
        }
    }
}

impl TryFrom<v1::Lock> for LockAsk {
    type Error = Error;

    fn try_from(wire: v1::Lock) -> Result<Self> {
        let space = match wire.space() {
            v1::LockSpace::Flock => LockSpace::Flock,
            v1::LockSpace::Record => LockSpace::Record,
            v1::LockSpace::Unspecified => return Err(invalid(format!("there is no lock space {}", wire.space))),
        };
        let mode = match v1::LockMode::try_from(wire.mode) {
            Ok(v1::LockMode::Unlock) => None,
            Ok(v1::LockMode::Shared) => Some(LockMode::Shared),
            Ok(v1::LockMode::Exclusive) => Some(LockMode::Exclusive),
            Err(_) => return Err(invalid(format!("there is no lock mode {}", wire.mode))),
        };
        let range = match space {
            LockSpace::Flock => LockRange::WHOLE,
            LockSpace::Record => LockRange::new(wire.start, wire.end)
                .ok_or_else(|| invalid(format!("a lock cannot cover bytes {} to {}", wire.start, wire.end)))?,
        };
        let v1::Lock { owner, pid, open_file, .. } = wire;
        Ok(Self { ino: inode(wire.ino)?, space, owner: LockOwner(owner), mode, range, pid, open_file })
    }
}

const fn space_to_wire(space: LockSpace) -> v1::LockSpace {
    match space {
        LockSpace::Flock => v1::LockSpace::Flock,
        LockSpace::Record => v1::LockSpace::Record,
    }
}

const fn mode_to_wire(mode: Option<LockMode>) -> v1::LockMode {
    match mode {
        None => v1::LockMode::Unlock,
        Some(LockMode::Shared) => v1::LockMode::Shared,
        Some(LockMode::Exclusive) => v1::LockMode::Exclusive,
    }
}

/// The lock of a message that must have one.
///
/// # Errors
/// `Invalid` when it is absent or does not fit.
pub fn required(wire: Option<v1::Lock>) -> Result<LockAsk> {
    wire.ok_or_else(|| invalid("a message about a lock lacks the lock"))?.try_into()
}

/// What a session claims to hold, in its `Hello`; `None`: it claims "no lock", which is nothing.
///
/// # Errors
/// `Invalid` when the lock is absent or does not fit.
pub fn claimed(wire: v1::HeldLock) -> Result<Option<LockClaim>> {
    let ask = required(wire.lock)?;
    Ok(ask.mode.map(|_| LockClaim { ask, held_for: Duration::from_millis(wire.held_ms) }))
}

/// What a session claims to hold, for its `Hello`.
#[must_use]
pub fn claim_to_wire(claim: &LockClaim) -> v1::HeldLock {
    v1::HeldLock { lock: Some((&claim.ask).into()), held_ms: millis(claim.held_for) }
}

/// What a session says it holds in one file.
///
/// # Errors
/// `Invalid` when one of the locks is none, is of another file, or does not fit.
pub fn held_in_file(wire: v1::LocksOf) -> Result<(InodeId, Vec<LockClaim>)> {
    let ino = inode(wire.ino)?;
    let claims = wire.held.into_iter().map(|held| match claimed(held)? {
        Some(claim) if claim.ask.ino == ino => Ok(claim),
        _ => Err(invalid(format!("what is said of the locks of inode {ino} is not a lock of it"))),
    });
    Ok((ino, claims.collect::<Result<_>>()?))
}

/// A lock that is in the way of another (fcntl(2) `F_GETLK`). Whose session it is stays private.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockConflict {
    /// How it is held.
    pub mode: LockMode,
    /// Which bytes.
    pub range: LockRange,
    /// The process that holds it, as this host numbers it; 0: it runs on another one.
    pub pid: u32,
}

/// A lock that is held: without the owner's name, which means nothing to others.
#[must_use]
pub fn held_to_wire(held: &HeldLock, ino: InodeId) -> v1::Lock {
    v1::Lock {
        ino: ino.0,
        space: space_to_wire(held.space).into(),
        owner: 0,
        mode: mode_to_wire(Some(held.mode)).into(),
        start: held.range.start(),
        end: held.range.end(),
        pid: held.pid,
        open_file: false,
    }
}

impl TryFrom<v1::Lock> for LockConflict {
    type Error = Error;

    fn try_from(wire: v1::Lock) -> Result<Self> {
        let ask = LockAsk::try_from(wire)?;
        let mode = ask.mode.ok_or_else(|| invalid("the lock that is in the way is none"))?;
        Ok(Self { mode, range: ask.range, pid: ask.pid })
    }
}

#[cfg(test)]
mod tests;
