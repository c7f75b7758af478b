//! What a session is asked for, and what it tells.

use std::sync::Arc;
use std::time::Duration;

use holdfast_core::id::{Epoch, InodeId, Seq, VolumeId};
use holdfast_core::lease::{Grant, Mode};
use holdfast_core::op::{Op, OpResult};
use holdfast_core::time::Timestamp;
use holdfast_core::volume::MountPolicy;
use holdfast_proto::inspect::Description;
use holdfast_proto::invalidate::Invalidation;
use holdfast_proto::lease::{Answered, Question};
use tokio::runtime::Handle;

use crate::clock::{BootClock, Clock};
use crate::session::{DescribeDone, InvalidateDone};

/// How long to wait for a server that is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// For ever (a hard mount): calls wait until it is back, or until their future is dropped.
    Hard,
    /// This long (a soft mount): a call that has waited so long, during which nothing was heard of the
    /// server, fails with `Timeout`. A change that was sent already is not taken back, and its
    /// outcome still waited for: see [`Session::patience`](crate::Session::patience). Nothing that
    /// was answered is given up.
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
    /// Nobody else may have a session on the volume meanwhile. A session that is lost then is over for good:
    /// others may have come, and what its user keeps beyond its leases is not true any more.
    pub exclusive: bool,
    /// What to do while the server is away.
    pub patience: Patience,
    /// Bytes of operations that are kept because they are not yet durable; past it they wait.
    pub pending_bytes_max: usize,
    /// Connections for bytes of files, at least 1.
    pub data_connections: usize,
    /// Where bytes of files travel, if not on the runtime that the session is opened on. Short
    /// messages then wait for no long ones.
    pub bulk: Option<Handle>,
    /// What the session is timed with.
    pub clock: Arc<dyn Clock>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            host: String::new(),
            program: env!("CARGO_PKG_NAME").to_owned(),
            read_only: false,
            exclusive: false,
            patience: Patience::Hard,
            pending_bytes_max: 48 << 20,
            data_connections: 2,
            bulk: None,
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

    /// Who remembers under the session's leases, if somebody does.
    fn leases(&self) -> &dyn LeaseEvents {
        &NoLeases
    }

    /// The server gave the session up (or patience ended). Changes of these inodes that were not
    /// durable are lost, and the locks on them; what waited failed with `Io`. A new session has
    /// begun under the same handle, with the same files open and no lock; an exclusive one is over.
    fn session_lost(&self, lost: &[InodeId]);
}

/// What a session tells whoever remembers answers under its leases. Called as [`SessionEvents`] is, in
/// the order of the server's messages.
pub trait LeaseEvents: Send + Sync {
    /// What the session has leases on, for the server to know when the session comes back.
    fn held(&self) -> Vec<(InodeId, Mode)>;

    /// A stream begins with an owner of this epoch; every epoch numbers its grants anew.
    fn welcomed(&self, epoch: Epoch);

    /// The stream broke: what operations that were under way have changed may never be told. The
    /// leases stay.
    fn broken(&self);

    /// The answer to a question, with what was lent; in the server's order with all of these calls.
    /// `behind`: it was asked behind this operation, and before the next.
    fn answered(&self, question: &Question, behind: Seq, answered: &Answered);

    /// An operation of this session that the server decided was carried out, or failed.
    fn applied(&self, applied: &Applied);

    /// An operation that was answered here was done otherwise, or not at all: what is known of what it
    /// touches is wrong.
    fn misread(&self, op: &Op);

    /// The server wants a lease back, down to what may be kept: answer with
    /// [`Session::give_back`](crate::Session::give_back) when nothing relies on the rest any more.
    /// Who asks no questions is lent nothing.
    fn recalled(&self, ino: InodeId, keep: Option<Mode>);

    /// The session is not trusted any more, though it may be again: what the kernel was told to believe for
    /// the time of the lease must go, since its clock stands still while the machine sleeps.
    fn distrusted(&self) {}

    /// Others have read an inode: its access time is this one now; `None`: another one. Nothing else is,
    /// and no lease.
    fn touched(&self, ino: InodeId, atime: Option<Timestamp>) {
        let _ = (ino, atime);
    }
}

/// For who asks no questions: it is lent nothing.
struct NoLeases;

impl LeaseEvents for NoLeases {
    fn held(&self) -> Vec<(InodeId, Mode)> {
        Vec::new()
    }

    fn welcomed(&self, _epoch: Epoch) {}

    fn broken(&self) {}

    fn answered(&self, _question: &Question, _behind: Seq, _answered: &Answered) {}

    fn misread(&self, _op: &Op) {}

    fn applied(&self, _applied: &Applied) {}

    fn recalled(&self, _ino: InodeId, _keep: Option<Mode>) {}
}

/// What became of an operation.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Its number.
    pub seq: Seq,
    /// The operation.
    pub op: Op,
    /// Its outcome.
    pub result: OpResult,
    /// What was lent with it.
    pub grants: Vec<Grant>,
    /// Inodes that it changed, beside the one whose attributes the outcome bears.
    pub changed: Vec<InodeId>,
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
    /// Leases that the server wanted back.
    pub recalls: u64,
    /// Operations that are not yet durable.
    pub pending_ops: usize,
    /// Memory that they take, in bytes, about.
    pub pending_bytes: usize,
    /// Time that the last heartbeat took, there and back.
    pub heartbeat_rtt: Option<Duration>,
    /// Whether the control stream stands now.
    pub connected: bool,
}
