//! What a session is asked for, and what it tells.

use std::sync::Arc;
use std::time::Duration;

use holdfast_core::id::{Epoch, InodeId, VolumeId};
use holdfast_core::volume::MountPolicy;
use holdfast_proto::inspect::Description;
use holdfast_proto::invalidate::Invalidation;

use crate::clock::{BootClock, Clock};
use crate::session::{DescribeDone, InvalidateDone};

/// How long to wait for a server that is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// For ever (a hard mount): calls wait until it is back, or until their future is dropped.
    Hard,
    /// This long (a soft mount): then what waits fails with `Timeout`, and what was not yet
    /// durable is given up.
    Soft(Duration),
}

/// How a session behaves.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// This host's name, for people and logs.
    pub host: String,
    /// This program's name, for people and logs.
    pub program: String,
    /// Every change is refused, here and by the server, until [`Session::allow_changes`](crate::Session::allow_changes).
    pub read_only: bool,
    /// What to do while the server is away.
    pub patience: Patience,
    /// Bytes of operations that are kept because they are not yet durable; past it they wait.
    pub pending_bytes_max: usize,
    /// Connections for bytes of files, at least 1.
    pub data_connections: usize,
    /// What the session is timed with.
    pub clock: Arc<dyn Clock>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            host: String::new(),
            program: env!("CARGO_PKG_NAME").to_owned(),
            read_only: false,
            patience: Patience::Hard,
            pending_bytes_max: 64 << 20,
            data_connections: 2,
            clock: Arc::new(BootClock),
        }
    }
}

/// What a session learns and its user must know. Called from the session's own task: return at
/// once, and never wait for the session in here.
pub trait SessionEvents: Send + Sync {
    /// Others changed a file that this session has open: drop what the kernel has of it, then
    /// confirm. Their caller waits for that.
    fn invalidate(&self, what: Invalidation, done: InvalidateDone);

    /// A person asks the server who uses the volume: answer with what is known here. The server
    /// waits a second or so for it. Who knows nothing answers with nothing.
    fn describe(&self, done: DescribeDone) {
        done.answer(&Description::default());
    }

    /// The server gave the session up (or patience ended). Changes of these inodes that were not
    /// durable are lost, and the locks on them; what waited failed with `Io`. A new session has
    /// begun under the same handle, with the same files open and no lock.
    fn session_lost(&self, lost: &[InodeId]);
}

/// The session as it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Of this volume.
    pub volume: VolumeId,
    /// Its root directory.
    pub root: InodeId,
    /// What its mounts may do.
    pub policy: MountPolicy,
    /// Authority of its owner; rises when the owner restarts.
    pub epoch: Epoch,
    /// How long the server keeps the session without a sign of life.
    pub lease: Duration,
}

/// Figures of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionStats {
    /// Operations submitted.
    pub ops: u64,
    /// Bytes of writes submitted.
    pub bytes_written: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Times that the control stream was made anew.
    pub reconnects: u64,
    /// Sessions that were lost.
    pub losses: u64,
    /// Operations that are not yet durable.
    pub pending_ops: usize,
    /// Memory that they take, in bytes, about.
    pub pending_bytes: usize,
    /// Time that the last heartbeat took, there and back.
    pub heartbeat_rtt: Option<Duration>,
    /// Whether the control stream stands now.
    pub connected: bool,
}
