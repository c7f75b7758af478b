//! The file system without a kernel: typed requests in, [`Reply`] out.
//!
//! One file per family of operations. Every call returns at once: [`Reply::Now`] is an answer from
//! memory, [`Reply::Later`] a future that asks the server. What a call changes has its place in the
//! session's order when the call returns, whether or not anybody waits for the future.
//!
//! Guarantees: every answer reflects all that was answered before, on any host: the server is asked,
//! or has lent what the answer needs ([`crate::memory`]). Nothing here names FUSE, knows threads, or
//! blocks.

mod access;
mod attributes;
mod blocks;
mod credentials;
mod data;
mod describe;
mod directories;
mod handles;
mod locks;
mod names;
mod open;
pub(crate) mod versions;
mod xattr;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Map};
use holdfast_client::{Question, Reply as Answer, Session, session};
use holdfast_core::attr::Attr;
use holdfast_core::error::PosixError;
use holdfast_core::id::InodeId;
use holdfast_core::name::{FileName, NameError};
use holdfast_core::op::{Caller, Op, OpReply};
use parking_lot::Mutex;

use crate::disk::{CacheFigures, DiskCache};
use crate::errno;
use crate::memory::{Found, Memory, Telling};
use crate::stats::MemoryFigures;
use versions::CachedVersions;

pub(crate) use access::AccessTimes;
pub use credentials::Thread;
pub use data::Written;
pub use directories::{Listing, ListingEntry};
pub use handles::{Bypass, Handle};
pub use holdfast_client::{FsStat, LockConflict, ReadData};
pub use locks::{LockRequest, LockWait};
pub use names::{Created, RenameFlags};
pub use open::{Caching, Opened, Pin};

/// How often a name may come and go, by other hosts' doing, during one open(2).
const RACES_MAX: usize = 16;

/// What a call gives, or the error of the system call that it serves.
pub type Outcome<T> = Result<T, PosixError>;

/// An answer: already there, or to be waited for.
pub enum Reply<T> {
    /// From memory, on the calling thread.
    Now(Outcome<T>),
    /// From the server. Dropping it gives up the wait, not the change.
    Later(BoxFuture<'static, Outcome<T>>),
}

impl<T: Send + 'static> Reply<T> {
    fn later(future: impl Future<Output = Outcome<T>> + Send + 'static) -> Self {
        Self::Later(future.boxed())
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn wait(self) -> Outcome<T> {
        match self {
            Self::Now(outcome) => outcome,
            Self::Later(future) => future.await,
        }
    }

    /// That there is nothing of this name is an answer too.
    pub(crate) fn or_nothing(self) -> Reply<Option<T>> {
        let nothing = |outcome| match outcome {
            Ok(found) => Ok(Some(found)),
            Err(PosixError::NoEntry) => Ok(None),
            Err(error) => Err(error),
        };
        match self {
            Self::Now(outcome) => Reply::Now(nothing(outcome)),
            Self::Later(future) => Reply::Later(future.map(nothing).boxed()),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(outcome) => f.debug_tuple("Now").field(outcome).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

/// An inode as this mount numbers it: its [`InodeId`], but the mount's root is always
/// [`Node::ROOT`], also where a subdirectory of the volume is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node(pub u64);

impl Node {
    /// The root of the mount.
    pub const ROOT: Self = Self(1);
}

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in this mount.
    pub node: Node,
    /// Its attributes; `attr.ino` is its number in the volume.
    pub attr: Attr,
}

/// The file system of one mount. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct FileSystem {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    session: Session,
    /// The mount's root directory.
    root: InodeId,
    files: Mutex<handles::OpenFiles>,
    dirs: Mutex<directories::OpenDirs>,
    versions: Arc<CachedVersions>,
    memory: Arc<Memory>,
    /// Who had a file's capabilities removed last.
    capability_dropped: Mutex<Option<(Thread, InodeId)>>,
    access_times: OnceLock<Box<dyn AccessTimes>>,
    disk: OnceLock<Arc<DiskCache>>,
}

impl FileSystem {
    /// A file system over a session, rooted at a directory of the volume. `memory` hears every event
    /// of the session.
    #[must_use]
    pub fn new(session: Session, root: InodeId, memory: Arc<Memory>) -> Self {
        Self::with_versions(session, root, memory, Arc::default())
    }

    /// The same, with a table of versions that the session's events also write to.
    pub(crate) fn with_versions(
        session: Session,
        root: InodeId,
        memory: Arc<Memory>,
        versions: Arc<CachedVersions>,
    ) -> Self {
        memory.attach(&session);
        let shared = Shared {
            session,
            root,
            files: Mutex::default(),
            dirs: Mutex::default(),
            versions,
            memory,
            capability_dropped: Mutex::default(),
            access_times: OnceLock::new(),
            disk: OnceLock::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// From now on files are read through a disk cache. Once; a second one is not used.
    pub(crate) fn read_through(&self, disk: Arc<DiskCache>) {
        let _ = self.shared.disk.set(disk);
    }

    /// What the disk cache has done, if there is one.
    pub(crate) fn cache_figures(&self) -> Option<CacheFigures> {
        self.shared.disk.get().map(|disk| disk.figures())
    }

    /// The session below.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.shared.session
    }

    /// Every inode that is open here, as the mount numbers them.
    #[must_use]
    pub fn open_nodes(&self) -> Vec<Node> {
        let inodes = self.shared.files.lock().open_inodes();
        inodes.into_iter().map(|ino| self.shared.node(ino)).collect()
    }

    /// What is remembered, in figures.
    #[must_use]
    pub fn memory_figures(&self) -> MemoryFigures {
        self.shared.memory.figures()
    }

    /// Begins to tell the kernel what is remembered.
    pub(crate) fn telling(&self) -> Telling<'_> {
        self.shared.memory.telling()
    }

    /// Whether nobody else can have the volume: what the kernel knows and changes is all that there is.
    pub(crate) fn is_alone(&self) -> bool {
        self.shared.session.is_exclusive()
    }

    /// For how long the kernel may believe attributes after a change of them: it takes those up in any order
    /// with a recall, so only where none comes.
    pub(crate) fn believes_changed(&self) -> Duration {
        if self.is_alone() { self.shared.session.trusted_for() } else { Duration::ZERO }
    }

    /// The volume's number of a node.
    pub(crate) fn ino(&self, node: Node) -> InodeId {
        self.shared.ino(node)
    }

    /// How long a file is, as far as this mount has heard from the server.
    pub(crate) fn size_heard(&self, node: Node) -> Option<u64> {
        self.shared.versions.size(self.shared.ino(node))
    }

    /// Whether the kernel keeps what is read and written through a handle in its page cache.
    pub(crate) fn goes_through_cache(&self, handle: Handle) -> bool {
        self.shared.files.lock().file(handle).is_some_and(|file| file.bypass.is_none())
    }

    /// The number of an inode in this mount.
    #[must_use]
    pub fn node(&self, ino: InodeId) -> Node {
        self.shared.node(ino)
    }
}

impl Shared {
    /// The volume's number of a node: the mount's root and the volume's root change places.
    fn ino(&self, node: Node) -> InodeId {
        swap(self.root, InodeId(node.0))
    }

    fn node(&self, ino: InodeId) -> Node {
        Node(swap(self.root, ino).0)
    }

    /// What a name leads to, if that is remembered.
    fn remembered(&self, parent: InodeId, name: &FileName) -> Option<Outcome<Entry>> {
        self.memory.lookup(parent, name).map(|found| match found {
            Found::Entry(attr) => Ok(self.entry(attr)),
            Found::Nothing => Err(PosixError::NoEntry),
        })
    }

    /// The attributes of an inode: from memory, or asked for.
    async fn attr(&self, ino: InodeId) -> Outcome<Attr> {
        if let Some(attr) = self.memory.attr(ino) {
            return Ok(attr);
        }
        match self.session.ask(Question::GetAttr { ino }).await {
            Ok(Answer::GetAttr(attr)) => Ok(attr),
            Ok(other) => Err(misfit("attributes", &other)),
            Err(error) => Err(errno::answer(&error)),
        }
    }

    /// What a name leads to: from memory, or asked for.
    async fn find(&self, parent: InodeId, name: FileName) -> Outcome<Entry> {
        if let Some(found) = self.remembered(parent, &name) {
            return found;
        }
        match self.session.ask(Question::Lookup { parent, name }).await {
            Ok(Answer::Lookup(attr)) => Ok(self.entry(attr)),
            Ok(other) => Err(misfit("a lookup", &other)),
            Err(error) => Err(errno::answer(&error)),
        }
    }

    fn entry(&self, attr: Attr) -> Entry {
        Entry { node: self.node(attr.ino), attr }
    }

    /// Answers a change by itself, where the leases allow it.
    fn answer(&self, caller: Caller, op: &Op) -> Option<OpReply> {
        self.memory.change(caller, op, || ()).map(|(_unused, reply, ())| reply)
    }

    /// Submits a change. It has its place in the order when this returns.
    fn submit(&self, caller: Caller, op: Op) -> Submitted {
        self.submit_holding(caller, op, || ()).1
    }

    /// The same, with something that is kept meanwhile. Locks are taken in this order: the memory's, the
    /// tables' of what is open, the session's.
    fn submit_holding<G>(&self, caller: Caller, op: Op, hold: impl FnOnce() -> G) -> (G, Submitted) {
        if !matches!(op, Op::Open { truncate: false, .. } | Op::Close { .. }) {
            // The kernel lets nothing through that its mount does not allow: it was remounted to be
            // written to.
            self.session.allow_changes();
        }
        let (held, outcome) = self.memory.submit(&op, || {
            let held = hold();
            (held, self.session.submit(caller, op.clone()))
        });
        (held, outcome.map(|outcome| outcome.map_err(|error| errno::answer(&error))))
    }

    /// Tells the server that inodes are not open any more. Call it with the table locked.
    fn submit_closes(&self, inodes: Vec<InodeId>) {
        for ino in inodes {
            self.session.close_idly(ino);
        }
    }
}

fn swap(root: InodeId, ino: InodeId) -> InodeId {
    match ino {
        InodeId::ROOT => root,
        ino if ino == root => InodeId::ROOT,
        ino => ino,
    }
}

/// The attributes in an outcome that has to have them.
fn attr_of(reply: OpReply) -> Outcome<Attr> {
    match reply {
        OpReply::Attr(attr) | OpReply::Written { attr, .. } | OpReply::Copied { attr, .. } => Ok(attr),
        OpReply::Done => Err(unexpected("attributes", &OpReply::Done)),
    }
}

/// The server answered an operation with the outcome of another kind of operation.
fn unexpected(wanted: &str, got: &OpReply) -> PosixError {
    tracing::error!(wanted, ?got, "the server's outcome does not fit the operation");
    PosixError::Io
}

/// The server answered a question with the answer to one of another kind.
fn misfit(wanted: &str, got: &Answer) -> PosixError {
    tracing::error!(wanted, ?got, "the server's answer does not fit the question");
    PosixError::Io
}

/// Checks the name of a directory entry.
fn file_name(name: &[u8]) -> Outcome<FileName> {
    FileName::new(bytes::Bytes::copy_from_slice(name)).map_err(|error| match error {
        NameError::Empty => PosixError::NoEntry,
        NameError::TooLong => PosixError::NameTooLong,
        NameError::Forbidden => PosixError::Invalid,
    })
}

/// The outcome of a change, when it comes.
type Submitted = Map<session::Outcome, fn(holdfast_core::error::Result<OpReply>) -> Outcome<OpReply>>;

/// Unwraps a checked argument, or answers at once.
macro_rules! check {
    ($outcome:expr) => {
        match $outcome {
            Ok(value) => value,
            Err(error) => return Reply::Now(Err(error)),
        }
    };
}
use check;

#[cfg(test)]
mod tests;
