//! What the session of a file system without a kernel hears: nothing is cached but what its memory has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use holdfast_client::session::{InvalidateDone, SessionEvents};
use holdfast_client::{Invalidation, LeaseEvents};
use holdfast_core::id::InodeId;
use holdfast_fuse::memory::Memory;

/// The events of one session. Those of several may count losses together.
#[derive(Debug, Default)]
pub struct Hears {
    /// What is remembered under the session's leases.
    pub memory: Arc<Memory>,
    /// How often the session was lost.
    pub losses: Arc<AtomicUsize>,
}

impl SessionEvents for Hears {
    fn invalidate(&self, _what: Invalidation, done: InvalidateDone) {
        done.confirm();
    }

    fn leases(&self) -> &dyn LeaseEvents {
        &*self.memory
    }

    fn session_lost(&self, lost: &[InodeId]) {
        eprintln!("a session was lost, and with it {lost:?}");
        self.memory.lost();
        self.losses.fetch_add(1, Ordering::Relaxed);
    }
}
