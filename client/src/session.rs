//! A session on one volume: numbered operations, reads, locks, and what happens when the
//! connection breaks.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use holdfast_core::attr::Attr;
use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::id::{DirCookie, InodeId};
use holdfast_core::lock::LockAsk;
use holdfast_core::name::{FileName, XattrName};
use holdfast_core::op::{Caller, Op, OpReply, WriteAt};
use holdfast_proto::data::ReadData;
use holdfast_proto::lock::LockConflict;
use holdfast_proto::namespace::{DirPage, FsStat};
use holdfast_proto::volume::VolumeRef;

use crate::endpoint::Endpoint;

mod options;

pub use options::{Patience, SessionEvents, SessionInfo, SessionOptions, SessionStats};

fn pending<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Internal, "this call is being written"))
}

/// Says that an invalidation was carried out.
#[derive(Debug)]
pub struct InvalidateDone {}

impl InvalidateDone {
    /// The kernel's copy is gone. From any thread.
    pub fn confirm(self) {}
}

/// A lock that was asked for and may still be waited for.
#[derive(Clone, Debug)]
pub struct LockTicket {}

impl LockTicket {
    /// Stop waiting: the lock's future ends with `Interrupted`, or with the lock if it came first.
    pub fn cancel(&self) {}
}

/// A session. Cheap to clone; all clones are one session.
#[derive(Clone, Debug)]
pub struct Session {}

impl Session {
    /// Opens a session on a volume.
    ///
    /// # Errors
    /// `NotFound`: no such volume. `Unavailable`, `Unauthenticated`, `Version`, `Invalid` as in
    /// [`Client::connect`](crate::Client::connect).
    pub async fn open(
        _endpoint: &Endpoint,
        _volume: &VolumeRef,
        _options: SessionOptions,
        _events: Arc<dyn SessionEvents>,
    ) -> Result<Self> {
        pending()
    }

    /// What the session was opened as.
    #[must_use]
    pub fn info(&self) -> SessionInfo {
        unreachable!("a session cannot be opened yet")
    }

    /// Figures, now.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        SessionStats::default()
    }

    /// Submits an operation. It has its place in the session's order when this returns; the
    /// future only waits for the outcome, and dropping it does not take the operation back.
    ///
    /// # Errors
    /// `Posix` is the file system's own answer.
    pub fn submit(&self, _caller: Caller, _op: Op) -> impl Future<Output = Result<OpReply>> + Send + 'static {
        async { pending() }
    }

    /// Writes 1 byte to `IO_BYTES_MAX`, in its order like [`submit`](Self::submit).
    ///
    /// # Errors
    /// As [`submit`](Self::submit); `Invalid` for another length.
    pub fn write(
        &self,
        _caller: Caller,
        _ino: InodeId,
        _at: WriteAt,
        _data: Bytes,
        _kill_privileges: bool,
    ) -> impl Future<Output = Result<OpReply>> + Send + 'static {
        async { pending() }
    }

    /// Waits until everything submitted before the call, and everything that others had applied,
    /// is on the server's disk.
    ///
    /// # Errors
    /// `Posix(Io)` when the session is lost meanwhile.
    pub async fn sync(&self) -> Result<()> {
        pending()
    }

    /// The same for fsync(2) of one file: also reports, once, that changes of it were lost.
    ///
    /// # Errors
    /// `Posix(Io)`.
    pub async fn sync_file(&self, _ino: InodeId) -> Result<()> {
        pending()
    }

    /// Whether changes of this inode were lost; the next call says `false` (for close and flush).
    #[must_use]
    pub fn take_loss(&self, _ino: InodeId) -> bool {
        false
    }

    /// What a name in a directory leads to.
    ///
    /// # Errors
    /// `Posix(NoEntry)` and the other errors of path_resolution(7).
    pub async fn lookup(&self, _parent: InodeId, _name: &FileName) -> Result<Attr> {
        pending()
    }

    /// The directory above a directory (`..`); the root's is itself.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup).
    pub async fn lookup_parent(&self, _ino: InodeId) -> Result<Attr> {
        pending()
    }

    /// Attributes of an inode.
    ///
    /// # Errors
    /// `Posix(NoEntry)`: it is gone.
    pub async fn getattr(&self, _ino: InodeId) -> Result<Attr> {
        pending()
    }

    /// Part of a directory's listing: at most `max` entries (0: the server's choice) behind
    /// `after` (zero: from the start).
    ///
    /// # Errors
    /// `Posix(NotDirectory)`, `Posix(NoEntry)`.
    pub async fn readdir(
        &self,
        _ino: InodeId,
        _after: DirCookie,
        _max: u32,
        _with_attributes: bool,
    ) -> Result<DirPage> {
        pending()
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// `Posix(Invalid)`: it is none.
    pub async fn readlink(&self, _ino: InodeId) -> Result<Bytes> {
        pending()
    }

    /// The value of an xattr.
    ///
    /// # Errors
    /// `Posix(NoAttribute)`.
    pub async fn getxattr(&self, _ino: InodeId, _name: &XattrName) -> Result<Bytes> {
        pending()
    }

    /// The names of an inode's xattrs.
    ///
    /// # Errors
    /// `Posix(NoEntry)`.
    pub async fn listxattr(&self, _ino: InodeId) -> Result<Vec<XattrName>> {
        pending()
    }

    /// Space of the volume.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn statfs(&self) -> Result<FsStat> {
        pending()
    }

    /// Reads at most `IO_BYTES_MAX` bytes; every byte verified.
    ///
    /// # Errors
    /// `Damaged`: stored or sent data does not match its checksum.
    pub async fn read(&self, _ino: InodeId, _offset: u64, _len: u32) -> Result<ReadData> {
        pending()
    }

    /// The next data (or hole) at or behind an offset, as lseek(2) with `SEEK_DATA`, `SEEK_HOLE`.
    ///
    /// # Errors
    /// `Posix(NoData)`: past the end.
    pub async fn seek(&self, _ino: InodeId, _offset: u64, _hole: bool) -> Result<u64> {
        pending()
    }

    /// Takes, changes or releases a lock; `wait`: until it is free.
    ///
    /// # Errors
    /// `Posix(WouldBlock)`, `Posix(Interrupted)`, `Posix(Deadlock)`.
    pub fn lock(&self, _ask: LockAsk, _wait: bool) -> (LockTicket, impl Future<Output = Result<()>> + Send + 'static) {
        (LockTicket {}, async { pending() })
    }

    /// Who would be in the way of a lock (`F_GETLK`).
    ///
    /// # Errors
    /// Those of every call.
    pub async fn query_lock(&self, _ask: LockAsk) -> Result<Option<LockConflict>> {
        pending()
    }

    /// Leaves: everything submitted is made durable, then locks and opens go.
    ///
    /// # Errors
    /// `Timeout` when the server does not answer in time.
    pub async fn close(self) -> Result<()> {
        pending()
    }
}
