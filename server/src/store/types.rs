//! What goes into and comes out of a [`Store`](super::Store).

use std::fmt;

use bytes::Bytes;
use holdfast_core::attr::Mode;
use holdfast_core::error::PosixError;
use holdfast_core::hash::FrameHash;
use holdfast_core::id::{DataVersion, InodeId, Seq, SessionId};
use holdfast_core::time::Timestamp;
use holdfast_core::volume::Quota;

/// How a volume is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Shared by all volumes of the server.
    pub memory: SharedMemory,
    /// Free bytes of the server's disk below which operations that need space get `NoSpace`, so
    /// that deleting always works.
    pub disk_reserve_bytes: u64,
    /// Length at which a segment is sealed; more than 1 MiB and its frame headers.
    pub segment_bytes_max: u64,
    /// Files that the metadata engine keeps open.
    pub engine_files_max: u32,
}

/// Owner and permissions of a new volume's root directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootOwner {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permissions.
    pub mode: Mode,
}

/// What an operation is applied under: everything that is not in the volume itself.
pub struct ApplyContext<'a> {
    /// The server's clock; an operation that carries its own time uses that.
    pub now: Timestamp,
    /// The volume's limits.
    pub quota: Quota,
    /// Whether any session has the inode open once this operation is done: a [`Close`] counts as
    /// closed already, an [`Open`] as open. Asked under the store's writer lock, so it must not
    /// call the store.
    ///
    /// [`Close`]: holdfast_core::op::Op::Close
    /// [`Open`]: holdfast_core::op::Op::Open
    pub is_open: &'a dyn Fn(InodeId) -> bool,
    /// The data that a staged write names.
    pub staged: Option<StagedData>,
    /// It is not to be done: it has this outcome.
    pub refused: Option<PosixError>,
}

impl fmt::Debug for ApplyContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApplyContext").field("now", &self.now).field("quota", &self.quota).finish_non_exhaustive()
    }
}

/// How far a session has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionState {
    /// Who it is.
    pub info: SessionInfo,
    /// Its last applied operation.
    pub applied: Seq,
    /// Its last operation that is on disk.
    pub durable: Seq,
    /// Every outcome up to here has reached the client.
    pub received: Seq,
}

/// Bytes of a file, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Offset in the file.
    pub offset: u64,
    /// The bytes.
    pub data: Bytes,
    /// BLAKE3 of `data`.
    pub hash: FrameHash,
}

/// Outcome of a read. What no piece covers, within `len`, reads as zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadResult {
    /// In order of offset, without overlap.
    pub pieces: Vec<Piece>,
    /// Bytes read; fewer than asked only at the end of the file.
    pub len: u32,
    /// Size of the file.
    pub size: u64,
    /// Version of its content that these bytes are of.
    pub data_version: DataVersion,
}

/// A stretch of a file that is data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Offset in the file.
    pub offset: u64,
    /// Bytes.
    pub len: u32,
    /// BLAKE3 of all of it; `None`: it is too short to be worth one, or a part of a frame.
    pub hash: Option<FrameHash>,
}

impl Block {
    /// The byte after the last.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.offset.saturating_add(self.len as u64)
    }
}

/// What a range of a file consists of. What no block covers, within `len`, reads as zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlocksResult {
    /// In order of offset, without overlap; the first may begin before the range, the last end behind it.
    pub blocks: Vec<Block>,
    /// Bytes of the range that this tells of.
    pub len: u32,
    /// Size of the file.
    pub size: u64,
    /// Version of its content.
    pub data_version: DataVersion,
}

/// What a commit made durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Sessions whose durable position rose, with the new one.
    pub durable: Vec<(SessionId, Seq)>,
}

/// What is applied and not yet durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Bytes of memory that it takes, about: what the next commit will write, and what a commit is
    /// writing now.
    pub bytes: u64,
    /// Of these, what the next commit will write.
    pub uncommitted_bytes: u64,
    /// Bytes of staged data that became part of files and that no commit has taken up.
    pub uncommitted_data_bytes: u64,
    /// [`ApplyContext::now`] of the oldest operation that no commit has taken up; `None`: there is
    /// nothing to commit.
    pub oldest: Option<Timestamp>,
}

/// What a commit writes at most that a serving thread may wait for.
const LITTLE_BYTES: u64 = 256 << 10;

impl Pending {
    /// Whether a commit has little to write, all of it in the engine's log.
    #[must_use]
    pub const fn is_little(&self) -> bool {
        self.uncommitted_data_bytes == 0 && self.uncommitted_bytes <= LITTLE_BYTES
    }
}

pub use crate::meta::engine::rocksdb::SharedMemory;
pub use crate::meta::query::names::{DirEntry, DirPage};
pub use crate::meta::record::session::SessionInfo;
pub use crate::segment::StagedData;
