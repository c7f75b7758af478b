//! Opens and closes that nobody waits for.
//!
//! Who reads many files opens and closes each of them within a moment. Under its lease an inode cannot go,
//! so the server need not hear of an open that is closed before it counts.

use std::collections::BTreeSet;

use holdfast_core::error::Result;
use holdfast_core::id::InodeId;
use holdfast_core::op::{Caller, Op};

use super::State;

impl State {
    /// Opens an inode under its lease, which nothing else in this session has open. The server hears of it
    /// before it has the lease back, before anything else is done that may free the inode, and in a moment
    /// in any case, unless it is closed before. True: somebody must see to it that it is sent.
    pub(crate) fn open_idly(&mut self, caller: Caller, ino: InodeId) -> Result<bool> {
        if !self.is_up() {
            return self.submit_idly(caller, Op::open(ino)).map(|(_, idle)| idle);
        }
        self.check_open()?;
        self.untold_opens.insert(ino);
        Ok(!std::mem::replace(&mut self.idle, true))
    }

    /// What is open here, as far as programs know: also where the server has not said so. A server that has
    /// forgotten an open may take up what others did behind it before it hears of it again.
    pub(super) fn opens_to_keep(&self) -> BTreeSet<InodeId> {
        let unheard_of = self.log.unheard_of().filter_map(|op| match op {
            Op::Open { ino, .. } => Some(*ino),
            _ => None,
        });
        self.opens.iter().copied().chain(self.untold_opens.iter().copied()).chain(unheard_of).collect()
    }

    /// Closes an inode, of which the server may have heard nothing. True: somebody must see to it that it is
    /// sent.
    pub(crate) fn close_idly(&mut self, ino: InodeId) -> Result<bool> {
        if self.untold_opens.remove(&ino) {
            return Ok(false);
        }
        self.submit_idly(Caller::default(), Op::Close { ino }).map(|(_, idle)| idle)
    }

    /// Tells the server what is open, before an operation that may count on it.
    pub(super) fn tell_opens_before(&mut self, op: &Op) {
        match op {
            Op::Open { ino, .. } => _ = self.untold_opens.remove(ino),
            Op::Close { .. } | Op::Touch { .. } => {}
            _ => self.tell_opens(),
        }
    }

    /// Tells the server what is open.
    pub(super) fn tell_opens(&mut self) {
        for ino in std::mem::take(&mut self.untold_opens) {
            self.tell_open(ino);
        }
    }

    pub(super) fn tell_open(&mut self, ino: InodeId) {
        self.log.push(Caller::default(), Op::open(ino), None, None);
        self.opens_told += 1;
        // It brings no data to be staged.
        self.admit_idly(false);
    }
}
