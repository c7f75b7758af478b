//! Everything of one volume: its metadata engine, what is applied and not yet durable, its data.

use std::path::Path;

use bytes::Bytes;
use holdfast_core::attr::Attr;
use holdfast_core::error::Result;
use holdfast_core::id::{DirCookie, Epoch, InodeId, Seq, SessionId, VolumeId};
use holdfast_core::name::{FileName, XattrName};
use holdfast_core::op::{AppliedOp, LoggedOp};
use holdfast_core::time::Timestamp;
use holdfast_core::volume::Usage;

pub use types::{
    ApplyContext, Committed, DirEntry, DirPage, Pending, Piece, ReadResult, RootOwner, SessionInfo, SessionState,
    StagedData,
};

mod types;

/// Memory that the volumes of one server share: block cache and write buffers.
#[derive(Clone, Debug)]
pub struct SharedMemory(());

impl SharedMemory {
    /// Budgets in bytes.
    #[must_use]
    pub fn new(_cache_bytes: usize, _write_buffer_bytes: usize) -> Self {
        Self(())
    }
}

/// How a volume is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Shared by all volumes of the server.
    pub memory: SharedMemory,
    /// Free bytes of the server's disk below which operations that need space get `NoSpace`.
    pub disk_reserve_bytes: u64,
    /// Length at which a segment is sealed.
    pub segment_bytes_max: u64,
    /// Files that the metadata engine keeps open.
    pub engine_files_max: u32,
}

/// One open volume.
#[derive(Debug)]
pub struct Store(());

#[expect(unused_variables, clippy::missing_errors_doc, reason = "signatures first")]
impl Store {
    /// Makes a new volume in `dir`, which must be absent or empty.
    pub fn create(dir: &Path, id: VolumeId, now: Timestamp, root: RootOwner) -> Result<()> {
        unimplemented!()
    }
    /// Opens a volume and raises its epoch.
    pub fn open(dir: &Path, options: &StoreOptions) -> Result<Self> {
        unimplemented!()
    }
    /// The volume.
    pub fn id(&self) -> VolumeId {
        unimplemented!()
    }
    /// The owner's authority, raised by each open.
    pub fn epoch(&self) -> Epoch {
        unimplemented!()
    }
    /// When the volume was made.
    pub fn created(&self) -> Timestamp {
        unimplemented!()
    }
    /// Whether the last stop before this open was clean: nothing applied was lost.
    pub fn clean(&self) -> bool {
        unimplemented!()
    }
    /// Applies one operation.
    pub fn apply(&self, session: SessionId, op: &LoggedOp, context: &ApplyContext<'_>) -> Result<AppliedOp> {
        unimplemented!()
    }
    /// Appends data to the active segment (not yet durable, not yet part of any file).
    pub fn stage(&self, data: Bytes) -> Result<StagedData> {
        unimplemented!()
    }
    /// Enters a session; durable with the next commit.
    pub fn begin_session(&self, info: SessionInfo) -> Result<()> {
        unimplemented!()
    }
    /// Forgets a session; durable with the next commit. No error if unknown.
    pub fn end_session(&self, id: SessionId) -> Result<()> {
        unimplemented!()
    }
    /// All sessions of the volume.
    pub fn sessions(&self) -> Vec<SessionState> {
        unimplemented!()
    }
    /// One session.
    pub fn session(&self, id: SessionId) -> Option<SessionState> {
        unimplemented!()
    }
    /// The client has every outcome up to `received`.
    pub fn confirm(&self, id: SessionId, received: Seq) -> Result<()> {
        unimplemented!()
    }
    /// Attributes of an entry.
    pub fn lookup(&self, parent: InodeId, name: &FileName) -> Result<Attr> {
        unimplemented!()
    }
    /// Attributes of a directory's parent (`..`); the root's is itself.
    pub fn lookup_parent(&self, ino: InodeId) -> Result<Attr> {
        unimplemented!()
    }
    /// Attributes of an inode.
    pub fn getattr(&self, ino: InodeId) -> Result<Attr> {
        unimplemented!()
    }
    /// A page of a listing: at most `max` entries after `after`.
    pub fn readdir(&self, ino: InodeId, after: DirCookie, max: usize, with_attr: bool) -> Result<DirPage> {
        unimplemented!()
    }
    /// Text of a symlink.
    pub fn readlink(&self, ino: InodeId) -> Result<Bytes> {
        unimplemented!()
    }
    /// Value of an xattr.
    pub fn getxattr(&self, ino: InodeId, name: &XattrName) -> Result<Bytes> {
        unimplemented!()
    }
    /// Names of all xattrs.
    pub fn listxattr(&self, ino: InodeId) -> Result<Vec<XattrName>> {
        unimplemented!()
    }
    /// What the volume holds.
    pub fn usage(&self) -> Usage {
        unimplemented!()
    }
    /// Free bytes of the disk that the volume is on, less the reserve.
    pub fn disk_free_bytes(&self) -> Result<u64> {
        unimplemented!()
    }
    /// Reads at most 1 MiB.
    pub fn read(&self, ino: InodeId, offset: u64, len: u32) -> Result<ReadResult> {
        unimplemented!()
    }
    /// lseek(2) `SEEK_DATA` (`hole` false) or `SEEK_HOLE`.
    pub fn seek(&self, ino: InodeId, offset: u64, hole: bool) -> Result<u64> {
        unimplemented!()
    }
    /// The last session that had this unlinked inode open is gone: frees it. Nothing happens if it
    /// has a name or is gone.
    pub fn drop_orphan(&self, ino: InodeId) -> Result<()> {
        unimplemented!()
    }
    /// Inodes without a name that were still open.
    pub fn orphans(&self) -> Result<Vec<InodeId>> {
        unimplemented!()
    }
    /// Makes everything applied before the call durable.
    pub fn commit(&self) -> Result<Committed> {
        unimplemented!()
    }
    /// What waits for a commit.
    pub fn pending(&self) -> Pending {
        unimplemented!()
    }
    /// Frees at most `budget` extents of dead data, and dead segments; true: there is more.
    pub fn reap(&self, budget: usize) -> Result<bool> {
        unimplemented!()
    }
    /// Commits all and marks the stop clean.
    pub fn close(self) -> Result<()> {
        unimplemented!()
    }
}
