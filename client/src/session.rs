//! A session on one volume: numbered operations, reads, locks, and what happens when the
//! connection breaks.
//!
//! Guarantees: operations are carried out in the order in which they were submitted, each exactly
//! once, across breaks of the connection and restarts of the server. What was answered is kept
//! until the server has it on disk. What is lost with a session is told: to those who wait, by
//! [`SessionEvents::session_lost`], and once by [`Session::take_loss`] or [`Session::sync_file`].
//!
//! Never: a lock held while something waits, a wait without a way out, an answer that was not
//! checked.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::attr::Attr;
use holdfast_core::error::{Error, ErrorKind, PosixError, Result};
use holdfast_core::id::{DirCookie, InodeId, Seq, SessionId};
use holdfast_core::lease::GiveBack;
use holdfast_core::limits::{INLINE_BYTES_MAX, IO_BYTES_MAX};
use holdfast_core::name::{FileName, XattrName};
use holdfast_core::op::{Caller, Op, OpReply, WriteAt, WriteData};
use holdfast_core::time::Timestamp;
use holdfast_proto::data::ReadData;
use holdfast_proto::lease::{Question, Reply};
use holdfast_proto::namespace::{DirPage, FsStat};
use holdfast_proto::volume::VolumeRef;
use tokio::sync::oneshot;

use crate::admin::Client;
use crate::channel::{Connector, Purpose};
use crate::endpoint::Endpoint;

mod backoff;
mod describe;
mod durability;
mod invalidate;
mod link;
mod lock;
mod locks;
mod log;
mod options;
mod outcome;
mod patience;
mod questions;
mod ranges;
mod read;
mod shared;
mod stage;
mod state;
mod syncs;

pub use describe::DescribeDone;
pub use invalidate::InvalidateDone;
pub use lock::LockTicket;
pub use options::{Applied, LeaseEvents, Patience, SessionEvents, SessionInfo, SessionOptions, SessionStats};
pub use outcome::Outcome;
pub use state::{Answering, Foretold};

use shared::{Channels, Shared, new_session_id};
use state::{StageJob, State};

/// How long leaving may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long leaving may take when nobody waits for it.
const DROP_TIMEOUT: Duration = Duration::from_secs(5);

/// A session. Cheap to clone; all clones are one session. When the last one is dropped without
/// [`close`](Self::close), it is left in the background.
#[derive(Clone, Debug)]
pub struct Session {
    handle: Arc<SessionHandle>,
}

#[derive(Debug)]
struct SessionHandle {
    shared: Arc<Shared>,
}

/// A session that somebody else keeps.
#[derive(Clone, Debug)]
pub struct WeakSession(Weak<SessionHandle>);

impl WeakSession {
    /// The session, if somebody still has it.
    #[must_use]
    pub fn upgrade(&self) -> Option<Session> {
        self.0.upgrade().map(|handle| Session { handle })
    }
}

impl Drop for SessionHandle {
    fn drop(&mut self) {
        let shared = Arc::clone(&self.shared);
        shared.update(State::leave);
        if !shared.look(State::is_over) {
            // Ends by itself after a few seconds.
            let leaver = Arc::clone(&shared);
            shared.runtime.spawn(async move { leave(&leaver, DROP_TIMEOUT).await });
        }
    }
}

/// Waits until the server has let the session go; true: it has, and all is durable.
async fn leave(shared: &Shared, timeout: Duration) -> bool {
    let mut link = shared.link.subscribe();
    let left = tokio::time::timeout(timeout, link.wait_for(|view| view.over)).await.is_ok();
    if !left {
        shared.stop.send_replace(true);
    }
    left
}

/// Nobody is left who could answer.
fn lost() -> Error {
    Error::new(ErrorKind::Posix(PosixError::Io), "the session ended before the answer came")
}

impl Session {
    /// Opens a session on a volume. Must be called within a tokio runtime, which the session's own
    /// task then runs on; its other methods may be called from any thread.
    ///
    /// # Errors
    /// `NotFound`: no such volume. `Unavailable`, `Unauthenticated`, `Version`, `Invalid` as in
    /// [`Client::connect`](crate::Client::connect).
    pub async fn open(
        endpoint: &Endpoint,
        volume: &VolumeRef,
        options: SessionOptions,
        events: Arc<dyn SessionEvents>,
    ) -> Result<Self> {
        let connector = Connector::new(endpoint)?;
        let volume = match volume {
            VolumeRef::Id(id) => *id,
            VolumeRef::Name(_) => {
                let channel = connector.connect().await?;
                Client::over(channel, connector.clone()).get_volume(volume).await?.id
            }
        };
        let now = options.clock.now();
        let state = State::new(volume, new_session_id()?, options.read_only, options.pending_bytes_max, now);
        // Replaced as soon as there is a connection.
        let channels = Channels::new(connector.connect_later(Purpose::Control), Vec::new());
        let shared = Arc::new(Shared::new(connector, options, events, state, channels));
        let stream = link::establish(&shared).await?;
        // Supervised by `stop`: the handle's drop and `close` end it.
        tokio::spawn(link::run(Arc::clone(&shared), stream));
        Ok(Self { handle: Arc::new(SessionHandle { shared }) })
    }

    /// The session without keeping it.
    #[must_use]
    pub fn downgrade(&self) -> WeakSession {
        WeakSession(Arc::downgrade(&self.handle))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// What the session was opened as; its epoch as of the last welcome.
    #[must_use]
    pub fn info(&self) -> SessionInfo {
        self.shared().info()
    }

    /// Figures, now.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        self.shared().stats()
    }

    /// Whether nobody else can have a session on the volume while this one is trusted.
    #[must_use]
    pub fn is_exclusive(&self) -> bool {
        self.shared().options.exclusive
    }

    /// Whether the server certainly still keeps the session: a heartbeat was answered within the
    /// lease, counted from its sending, on a clock that counts during suspend. `false`: others may
    /// have been given what this session held, so nothing that is cached may be believed.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.shared().is_trusted()
    }

    /// For how long [`is_trusted`](Self::is_trusted) holds if nothing more is heard; zero: it does not.
    #[must_use]
    pub fn trusted_for(&self) -> Duration {
        let now = self.shared().now();
        self.shared()
            .look(|state| if state.is_over() { Duration::ZERO } else { state.trusted_until.0.saturating_sub(now.0) })
    }

    /// Asks a question whose answer may be remembered under what is lent with it: see
    /// [`LeaseEvents::answered`], which is called before this returns. It has its place behind
    /// everything that was submitted when this returns.
    ///
    /// # Errors
    /// The file system's own; `Posix(Io)`, `Timeout` as in [`submit`](Self::submit).
    pub fn ask(&self, question: Question) -> impl Future<Output = Result<Reply>> + Send + use<> {
        let (waiter, answer) = oneshot::channel();
        let shared = Arc::clone(self.shared());
        let asked = shared.update(|state| state.ask(question, waiter));
        async move {
            let id = asked?;
            shared.answer(answer, |state| state.give_up_question(id)).await
        }
    }

    /// Gives a lease back: everything that was submitted before this call reaches the server first.
    pub fn give_back(&self, back: &GiveBack) {
        let shared = self.shared();
        let now = shared.now();
        let jobs = shared.update(|state| state.give_back(back, now));
        shared.stage(jobs);
    }

    /// Submits an operation. It has its place in the session's order when this returns; the
    /// future only waits for the outcome, and dropping it does not take the operation back.
    ///
    /// While more than `pending_bytes_max`, or more than `UNANSWERED_OPS_MAX` operations, are not
    /// yet durable, the operation waits its turn here, and so the future. What waits is
    /// bounded by how many calls the user has under way.
    ///
    /// # Errors
    /// `Posix` is the file system's own answer; `Posix(Io)`: the session was lost before it came;
    /// `Timeout`: a soft mount's patience ended before the operation was ever sent, and it is not carried
    /// out. One that was sent is waited for: see [`patience`](Self::patience).
    pub fn submit(&self, caller: Caller, op: Op) -> Outcome {
        let shared = self.shared();
        if let Op::Write { data: WriteData::Staged { .. }, .. } = op {
            return Outcome::refused(Error::new(
                ErrorKind::Invalid,
                "staged data is numbered by the session; use `write`",
            ));
        }
        let (waiter, outcome) = oneshot::channel();
        let bytes = log::payload_bytes(&op);
        let numbered = shared.update(|state| Ok((state.session, state.submit(caller, op, waiter)?)));
        self.submitted(bytes, outcome, numbered)
    }

    /// Submits an operation whose outcome nobody waits for: it has its place in the order like any
    /// other, and is sent with what comes next, or a few milliseconds later. `None`: it is not carried
    /// out, by a session that is over, or that only reads.
    pub fn submit_idly(&self, caller: Caller, op: Op) -> Option<Seq> {
        let shared = self.shared();
        // A session that is over has told so.
        let (seq, idle) = shared.update(|state| state.submit_idly(caller, op)).ok()?;
        shared.counters.ops.fetch_add(1, Ordering::Relaxed);
        if idle {
            shared.idle.notify_one();
        }
        Some(seq)
    }

    /// Opens an inode whose lease the caller has and does not give back before this returns, and which is
    /// not open by an earlier operation. The server hears of it when it has to, unless it is
    /// [closed](Self::close_idly) before.
    pub fn open_idly(&self, caller: Caller, ino: InodeId) {
        self.idly(|state| state.open_idly(caller, ino));
    }

    /// Closes an inode, with what comes next or a few milliseconds later.
    pub fn close_idly(&self, ino: InodeId) {
        self.idly(|state| state.close_idly(ino));
    }

    fn idly(&self, submit: impl FnOnce(&mut State) -> Result<bool>) {
        let shared = self.shared();
        let (numbered, idle) = shared.update(|state| {
            let before = state.log.last_seq();
            let idle = submit(state);
            (state.log.last_seq().0 - before.0, idle)
        });
        shared.counters.ops.fetch_add(numbered, Ordering::Relaxed);
        // A session that is over has told so.
        if idle.is_ok_and(|idle| idle) {
            shared.idle.notify_one();
        }
    }

    /// The server's clock, as far as it is known here.
    #[must_use]
    pub fn server_time(&self) -> Option<Timestamp> {
        let now = self.shared().now();
        self.shared().look(|state| state.server_time(now))
    }

    /// Answers a change here, under an exclusive lease on everything that it changes, and the lease on
    /// the volume's room if it takes any. `foretell` says what the server will do; it is called if
    /// nothing is in doubt, and must not call the session. The change has its place in the order when
    /// this returns, is sent with what comes next or a few milliseconds later, and its outcome is
    /// compared with what was foretold: see [`LeaseEvents::misread`]. `None`: the server must be asked.
    pub fn answer(&self, foretell: impl FnOnce(&mut Answering<'_>) -> Option<Foretold>) -> Option<Seq> {
        let shared = self.shared();
        let now = shared.now();
        let (seq, jobs, idle) = shared.update(|state| state.answer(now, foretell))?;
        shared.counters.ops.fetch_add(1, Ordering::Relaxed);
        shared.stage(jobs);
        if idle {
            shared.idle.notify_one();
        }
        Some(seq)
    }

    /// Writes 1 byte to `IO_BYTES_MAX`, in its order like [`submit`](Self::submit). Up to
    /// `INLINE_BYTES_MAX` travel inside the operation, more beside it, at the same time.
    ///
    /// # Errors
    /// As [`submit`](Self::submit); `Invalid` for another length.
    pub fn write(&self, caller: Caller, ino: InodeId, at: WriteAt, data: Bytes, kill_privileges: bool) -> Outcome {
        let shared = self.shared();
        let len = match u32::try_from(data.len()) {
            Ok(len) if (1..=IO_BYTES_MAX).contains(&data.len()) => len,
            _ => {
                let message = format!("a write of {} bytes; 1 to {IO_BYTES_MAX} are allowed", data.len());
                return Outcome::refused(Error::new(ErrorKind::Invalid, message));
            }
        };
        let (waiter, outcome) = oneshot::channel();
        let numbered = shared.update(|state| {
            let numbered = if data.len() <= INLINE_BYTES_MAX {
                state.submit(caller, Op::Write { ino, at, data: WriteData::Inline(data), kill_privileges }, waiter)
            } else {
                state.submit_staged(caller, (ino, at, kill_privileges), (data, len), waiter)
            };
            Ok((state.session, numbered?))
        });
        self.submitted(len.into(), outcome, numbered)
    }

    fn submitted(
        &self,
        bytes: u64,
        outcome: oneshot::Receiver<Result<OpReply>>,
        numbered: Result<(SessionId, (Seq, Vec<StageJob>))>,
    ) -> Outcome {
        let shared = self.shared();
        match numbered {
            Ok((session, (seq, jobs))) => {
                shared.counters.ops.fetch_add(1, Ordering::Relaxed);
                shared.counters.bytes_written.fetch_add(bytes, Ordering::Relaxed);
                shared.stage(jobs);
                Outcome::awaited(shared, (session, seq), outcome)
            }
            Err(error) => Outcome::refused(error),
        }
    }

    /// What a name in a directory leads to.
    ///
    /// # Errors
    /// `Posix(NoEntry)` and the other errors of path_resolution(7).
    pub async fn lookup(&self, parent: InodeId, name: &FileName) -> Result<Attr> {
        self.shared().lookup(parent, name.clone().into_bytes()).await
    }

    /// The directory above a directory (`..`); the root's is itself.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup).
    pub async fn lookup_parent(&self, ino: InodeId) -> Result<Attr> {
        self.shared().lookup(ino, Bytes::from_static(b"..")).await
    }

    /// Attributes of an inode.
    ///
    /// # Errors
    /// `Posix(NoEntry)`: it is gone.
    pub async fn getattr(&self, ino: InodeId) -> Result<Attr> {
        self.shared().getattr(ino).await
    }

    /// Part of a directory's listing: at most `max` entries (0: the server's choice) behind
    /// `after` (zero: from the start).
    ///
    /// # Errors
    /// `Posix(NotDirectory)`, `Posix(NoEntry)`.
    pub async fn readdir(&self, ino: InodeId, after: DirCookie, max: u32, with_attributes: bool) -> Result<DirPage> {
        self.shared().readdir(ino, after, max, with_attributes).await
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// `Posix(Invalid)`: it is none.
    pub async fn readlink(&self, ino: InodeId) -> Result<Bytes> {
        self.shared().readlink(ino).await
    }

    /// The value of an xattr.
    ///
    /// # Errors
    /// `Posix(NoAttribute)`.
    pub async fn getxattr(&self, ino: InodeId, name: &XattrName) -> Result<Bytes> {
        self.shared().getxattr(ino, name).await
    }

    /// The names of an inode's xattrs.
    ///
    /// # Errors
    /// `Posix(NoEntry)`.
    pub async fn listxattr(&self, ino: InodeId) -> Result<Vec<XattrName>> {
        self.shared().listxattr(ino).await
    }

    /// Space of the volume.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn statfs(&self) -> Result<FsStat> {
        self.shared().statfs().await
    }

    /// Reads at most `IO_BYTES_MAX` bytes; every byte verified.
    ///
    /// # Errors
    /// `Damaged`: stored or sent data does not match its checksum.
    pub async fn read(&self, ino: InodeId, offset: u64, len: u32) -> Result<ReadData> {
        let read = self.shared().read(ino, offset, len).await?;
        self.shared().counters.bytes_read.fetch_add(read.len.into(), Ordering::Relaxed);
        Ok(read)
    }

    /// The next data (or hole) at or behind an offset, as lseek(2) with `SEEK_DATA`, `SEEK_HOLE`.
    ///
    /// # Errors
    /// `Posix(NoData)`: past the end.
    pub async fn seek(&self, ino: InodeId, offset: u64, hole: bool) -> Result<u64> {
        self.shared().seek(ino, offset, hole).await
    }

    /// Ends `read_only`: changes that are submitted from here on are carried out.
    pub fn allow_changes(&self) {
        let shared = self.shared();
        if shared.look(State::is_read_only) && shared.turn(State::allow_changes) {
            shared.kick.notify_one();
        }
    }

    /// Leaves: everything submitted is made durable, then locks and opens go. For all clones.
    ///
    /// # Errors
    /// `Timeout` when the server does not answer in time; then what was not durable may be lost.
    pub async fn close(self) -> Result<()> {
        let shared = self.shared();
        let losses = shared.counters.losses.load(Ordering::Relaxed);
        shared.look(State::check_open)?;
        shared.update(State::leave);
        if !leave(shared, CLOSE_TIMEOUT).await {
            return Err(Error::new(
                ErrorKind::Timeout,
                format!("the server did not confirm within {CLOSE_TIMEOUT:?} that everything is on its disk"),
            ));
        }
        if shared.counters.losses.load(Ordering::Relaxed) != losses {
            return Err(lost());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
