//! Changes that are under way: sent in order, and their outcomes looked at later.
//!
//! The session keeps their order, so a member's changes need not wait for each other. How many
//! are under way, and with how many bytes, is bounded.

use std::collections::VecDeque;

use bytes::Bytes;
use holdfast_archive::path::show;
use holdfast_client::session::Outcome;
use holdfast_core::error::{Error, ErrorKind, PosixError, Result};
use holdfast_core::id::InodeId;
use holdfast_core::op::{Caller, Op, OpReply, WriteAt};

use super::super::transfer::Remote;

/// Changes that are under way at most.
const CHANGES_MAX: usize = 512;
/// Bytes that they bear at most.
const BYTES_MAX: usize = 16 << 20;

/// What becomes of the whole if a change fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// It cannot go on.
    Must,
    /// A warning: the volume does not keep this.
    May,
}

struct Change {
    outcome: Outcome,
    path: Box<[u8]>,
    what: String,
    need: Need,
    bytes: usize,
}

/// Changes that are under way.
pub(super) struct Changes<'a> {
    remote: &'a Remote,
    under_way: VecDeque<Change>,
    bytes: usize,
    warnings: Vec<String>,
}

impl<'a> Changes<'a> {
    pub(super) fn new(remote: &'a Remote) -> Self {
        Self { remote, under_way: VecDeque::new(), bytes: 0, warnings: Vec::new() }
    }

    /// Sends a change, about `path`, and does not wait for it.
    ///
    /// # Errors
    /// What a change before it failed with.
    pub(super) fn send(&mut self, path: &[u8], what: &str, need: Need, op: Op) -> Result<()> {
        let outcome = self.remote.session().submit(Caller::default(), op);
        self.add(Change { outcome, path: path.into(), what: what.to_owned(), need, bytes: 0 })
    }

    /// The same, of bytes of a file.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(super) fn write(&mut self, path: &[u8], ino: InodeId, offset: u64, data: Bytes) -> Result<()> {
        let bytes = data.len();
        let outcome = self.remote.session().write(Caller::default(), ino, WriteAt::Offset(offset), data, false);
        self.add(Change { outcome, path: path.into(), what: "write".to_owned(), need: Need::Must, bytes })
    }

    /// Does a change, and waits for it alone.
    ///
    /// # Errors
    /// What it, or a change before it, failed with.
    pub(super) fn carry_out(&mut self, path: &[u8], what: &str, caller: Caller, op: Op) -> Result<OpReply> {
        let outcome = self.remote.session().submit(caller, op);
        self.remote.wait(outcome).map_err(|error| about(path, what, &error))
    }

    fn add(&mut self, change: Change) -> Result<()> {
        self.bytes += change.bytes;
        self.under_way.push_back(change);
        while self.under_way.len() > CHANGES_MAX || self.bytes > BYTES_MAX {
            self.settle_one()?;
        }
        Ok(())
    }

    fn settle_one(&mut self) -> Result<()> {
        let Some(Change { outcome, path, what, need, bytes }) = self.under_way.pop_front() else { return Ok(()) };
        self.bytes -= bytes;
        match self.remote.wait(outcome) {
            Ok(_) => Ok(()),
            Err(error) if need == Need::May && is_refusal(&error) => {
                self.warnings.push(format!("{}: {what} is not kept: {}", show(&path), error.message()));
                Ok(())
            }
            Err(error) => Err(about(&path, &what, &error)),
        }
    }

    /// Waits for all of them.
    ///
    /// # Errors
    /// What one of them failed with.
    pub(super) fn settle(&mut self) -> Result<()> {
        while !self.under_way.is_empty() {
            self.settle_one()?;
        }
        Ok(())
    }

    /// What was refused since the last call, in words.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}

/// Whether the volume just does not have such a thing.
fn is_refusal(error: &Error) -> bool {
    let refusals = [
        PosixError::NotSupported,
        PosixError::NotPermitted,
        PosixError::Invalid,
        PosixError::AccessDenied,
        PosixError::TooBig,
    ];
    matches!(error.kind(), ErrorKind::Posix(posix) if refusals.contains(&posix))
}

/// The error with the member that it is about.
pub(super) fn about(path: &[u8], what: &str, error: &Error) -> Error {
    Error::new(error.kind(), format!("{}: {what}: {}", show(path), error.message()))
}
