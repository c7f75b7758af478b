//! Decides what an operation does: from a view of the volume to a set of changes, or an errno.
//!
//! Each operation is whole or not at all: its changes gather in a [`Txn`] that is dropped when it
//! fails. Nothing here waits, reads a clock, or writes anywhere; the same view, operation and
//! context always give the same changes. Numbers of new inodes and data ids come from the
//! operation's place in the volume's order, so that a replay gives them again.
//!
//! Errors come in the order in which Linux finds them.

use holdfast_core::error::{Error, ErrorKind, PosixError};
use holdfast_core::op::{Op, OpReply};

pub use self::txn::{Context, Effects, Txn};
use crate::meta::record::extent::Frame;

mod access;
mod allocate;
mod copy;
mod create;
mod extents;
mod link;
mod mend;
mod open;
mod orphan;
mod reap;
mod relocate;
mod rename;
mod setattr;
mod txn;
mod write;
mod xattr;

pub use self::mend::mend;
pub use self::orphan::drop_orphan;
pub use self::reap::reap;
pub use self::relocate::{Relocation, relocate};

/// Why an operation does nothing.
#[derive(Debug)]
pub enum Failure {
    /// The file system's answer.
    Posix(PosixError),
    /// The store could not find out.
    Store(Error),
}

impl From<PosixError> for Failure {
    fn from(error: PosixError) -> Self {
        Self::Posix(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Posix(posix) => Self::Posix(posix),
            _ => Self::Store(error),
        }
    }
}

/// Outcome of a decision.
pub type Decision<T = OpReply> = Result<T, Failure>;

/// Applies one operation. `staged` are the frames of a write that names staged data; the caller
/// has checked that they are there, and as long as the operation says.
///
/// # Errors
/// The operation's errno, or why it could not be decided. The transaction must then be dropped.
pub fn apply(txn: &mut Txn<'_>, op: &Op, staged: &[Frame]) -> Decision {
    let reply = match op {
        Op::Create { parent, name, node, mode, ino } => create::create(txn, (*parent, name), node, *mode, *ino),
        Op::CreateUnnamed { parent, mode } => create::create_unnamed(txn, *parent, *mode),
        Op::Link { ino, parent, name } => link::link(txn, *ino, *parent, name),
        Op::Unlink { parent, name } => link::unlink(txn, *parent, name),
        Op::Rmdir { parent, name } => link::rmdir(txn, *parent, name),
        Op::Rename { parent, name, new_parent, new_name, mode } => {
            rename::rename(txn, (*parent, name), (*new_parent, new_name), *mode)
        }
        Op::SetAttr { ino, set } => setattr::setattr(txn, *ino, set),
        Op::Touch { ino } => setattr::touch(txn, *ino),
        Op::SetXattr { ino, name, value, mode, kill_setgid } => xattr::set(txn, *ino, name, value, *mode, *kill_setgid),
        Op::RemoveXattr { ino, name } => xattr::remove(txn, *ino, name),
        Op::Write { ino, at, data, kill_privileges } => write::write(txn, *ino, *at, data, staged, *kill_privileges),
        Op::Allocate { ino, range, mode } => allocate::allocate(txn, *ino, *range, *mode),
        Op::Copy { from, from_offset, to, to_offset, len } => {
            copy::copy(txn, (*from, *from_offset), (*to, *to_offset), *len)
        }
        Op::Open { ino, truncate, kill_privileges } => open::open(txn, *ino, *truncate, *kill_privileges),
        Op::Close { ino } => open::close(txn, *ino),
    }?;
    txn.check_space()?;
    Ok(reply)
}

#[cfg(test)]
mod tests;
