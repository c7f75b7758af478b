//! A volume in memory with one session, for tests: short names for operations and questions.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use holdfast_core::attr::{Attr, Mode, SetAttr};
use holdfast_core::error::{ErrorKind, PosixError};
use holdfast_core::id::{CommitSeq, DirCookie, InodeId, Seq, SessionId, StageId, VolumeId};
use holdfast_core::name::{FileName, XattrName};
use holdfast_core::op::{
    AllocateMode, AppliedOp, Caller, LoggedOp, NewNode, Op, OpReply, RenameMode, WriteAt, WriteData,
};
use holdfast_core::range::ByteRange;
use holdfast_core::time::Timestamp;
use holdfast_core::volume::Quota;

use super::open::{Limits, assemble, format};
use super::{ApplyContext, RootOwner, SessionInfo, StagedData, Store};
use crate::meta::engine::Engine;
use crate::meta::engine::memory::MemoryEngine;
use crate::segment::store::memory::MemorySegments;

pub(crate) const ROOT: InodeId = InodeId::ROOT;
pub(crate) const SESSION: SessionId = SessionId([1; 16]);
pub(crate) const SEGMENT_BYTES: u64 = 4 << 20;

pub(crate) type Reply<T = OpReply> = Result<T, PosixError>;

pub(crate) struct Volume {
    pub(crate) store: Store,
    pub(crate) engine: MemoryEngine,
    pub(crate) segments: MemorySegments,
    pub(crate) opens: RefCell<BTreeSet<InodeId>>,
    pub(crate) quota: Cell<Quota>,
    pub(crate) caller: Cell<Caller>,
    seq: Cell<Seq>,
    clock: Cell<i64>,
}

pub(crate) fn name(text: &str) -> FileName {
    FileName::new(text.to_owned()).unwrap()
}

pub(crate) fn xattr(text: &str) -> XattrName {
    XattrName::new(text.to_owned()).unwrap()
}

pub(crate) fn mode(bits: u32) -> Mode {
    Mode::from_bits(bits)
}

pub(crate) fn at(secs: i64) -> Timestamp {
    Timestamp { secs, nanos: 0 }
}

/// The errno in a failure of the store.
pub(crate) fn posix<T: std::fmt::Debug>(result: holdfast_core::error::Result<T>) -> PosixError {
    match result.unwrap_err().kind() {
        ErrorKind::Posix(error) => error,
        other => panic!("not the file system's answer: {other:?}"),
    }
}

pub(crate) fn session_info(id: SessionId) -> SessionInfo {
    SessionInfo { id, host: "host".into(), pid: 7, program: "test".into(), read_only: false, started: at(1) }
}

pub(crate) fn limits() -> Limits {
    Limits { disk_reserve_bytes: 1 << 20, segment_bytes_max: SEGMENT_BYTES }
}

/// Bytes that differ from place to place.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

impl Volume {
    pub(crate) fn new() -> Self {
        let (engine, segments) = (MemoryEngine::new(), MemorySegments::new());
        let root = RootOwner { uid: 0, gid: 0, mode: mode(0o755) };
        format(&engine, VolumeId([9; 16]), at(1), root).unwrap();
        let volume = Self::on(engine, segments);
        volume.store.begin_session(session_info(SESSION)).unwrap();
        volume
    }

    fn on(engine: MemoryEngine, segments: MemorySegments) -> Self {
        let store = assemble(Arc::new(engine.clone()), Arc::new(segments.clone()), limits()).unwrap();
        let seq = store.session(SESSION).map_or(Seq(0), |session| session.applied);
        Self {
            store,
            engine,
            segments,
            opens: RefCell::default(),
            quota: Cell::default(),
            caller: Cell::default(),
            seq: Cell::new(seq),
            clock: Cell::new(1000),
        }
    }

    /// The same volume on another engine that shares this one's content.
    pub(crate) fn with_engine(&self, engine: Arc<dyn Engine>) -> Store {
        assemble(engine, Arc::new(self.segments.clone()), limits()).unwrap()
    }

    /// A power cut, and a new owner.
    pub(crate) fn crash(self) -> Self {
        self.segments.crash();
        Self::on(self.engine.clone(), self.segments.clone())
    }

    /// A clean stop, and a new owner.
    pub(crate) fn restart(self) -> Self {
        self.store.close().unwrap();
        Self::on(self.engine.clone(), self.segments.clone())
    }

    pub(crate) fn commit(&self) {
        self.store.commit().unwrap();
    }

    pub(crate) fn now(&self) -> Timestamp {
        at(self.clock.get())
    }

    pub(crate) fn seq(&self) -> Seq {
        self.seq.get()
    }

    pub(crate) fn sound(&self) {
        assert_eq!(self.store.check_now().unwrap().findings, Vec::new());
    }

    pub(crate) fn logged(&self, op: Op, staged: Option<StagedData>, replay_of: Option<CommitSeq>) -> AppliedOp {
        self.clock.set(self.clock.get() + 1);
        self.seq.set(self.seq.get().next());
        let op = LoggedOp { seq: self.seq.get(), caller: self.caller.get(), time: None, replay_of, op };
        let is_open = |ino| self.opens.borrow().contains(&ino);
        let context =
            ApplyContext { now: self.now(), quota: self.quota.get(), is_open: &is_open, staged, refused: None };
        self.store.apply(SESSION, &op, &context).unwrap()
    }

    pub(crate) fn apply(&self, op: Op) -> Reply {
        self.logged(op, None, None).result
    }

    pub(crate) fn attr_of(&self, op: Op) -> Reply<Attr> {
        self.apply(op).map(|reply| match reply {
            OpReply::Attr(attr) | OpReply::Written { attr, .. } | OpReply::Copied { attr, .. } => attr,
            OpReply::Done => panic!("no attributes in the answer"),
        })
    }

    pub(crate) fn create(&self, parent: InodeId, text: &str, node: NewNode, bits: u32) -> Reply<InodeId> {
        self.attr_of(Op::Create { parent, name: name(text), node, mode: mode(bits).into(), ino: None })
            .map(|attr| attr.ino)
    }

    pub(crate) fn file(&self, parent: InodeId, text: &str) -> Reply<InodeId> {
        self.create(parent, text, NewNode::File { open: false }, 0o644)
    }

    pub(crate) fn dir(&self, parent: InodeId, text: &str) -> Reply<InodeId> {
        self.create(parent, text, NewNode::Directory, 0o755)
    }

    pub(crate) fn link(&self, ino: InodeId, parent: InodeId, text: &str) -> Reply<Attr> {
        self.attr_of(Op::Link { ino, parent, name: name(text) })
    }

    pub(crate) fn unlink(&self, parent: InodeId, text: &str) -> Reply {
        self.apply(Op::Unlink { parent, name: name(text) })
    }

    pub(crate) fn rmdir(&self, parent: InodeId, text: &str) -> Reply {
        self.apply(Op::Rmdir { parent, name: name(text) })
    }

    pub(crate) fn rename(&self, from: (InodeId, &str), to: (InodeId, &str), mode: RenameMode) -> Reply {
        let ((parent, old), (new_parent, new)) = (from, to);
        self.apply(Op::Rename { parent, name: name(old), new_parent, new_name: name(new), mode })
    }

    pub(crate) fn setattr(&self, ino: InodeId, set: SetAttr) -> Reply<Attr> {
        self.attr_of(Op::SetAttr { ino, set })
    }

    pub(crate) fn truncate(&self, ino: InodeId, size: u64) -> Reply<Attr> {
        self.setattr(ino, SetAttr { size: Some(size), ..SetAttr::default() })
    }

    pub(crate) fn write(&self, ino: InodeId, offset: u64, data: &[u8]) -> Reply<Attr> {
        let data = WriteData::Inline(Bytes::copy_from_slice(data));
        self.attr_of(Op::Write { ino, at: WriteAt::Offset(offset), data, kill_privileges: false })
    }

    pub(crate) fn append(&self, ino: InodeId, data: &[u8]) -> Reply {
        let data = WriteData::Inline(Bytes::copy_from_slice(data));
        self.apply(Op::Write { ino, at: WriteAt::End, data, kill_privileges: false })
    }

    pub(crate) fn write_staged(&self, ino: InodeId, offset: u64, data: &[u8]) -> Reply {
        self.write_staged_at(ino, WriteAt::Offset(offset), data)
    }

    pub(crate) fn write_staged_at(&self, ino: InodeId, at: WriteAt, data: &[u8]) -> Reply {
        let staged = match self.store.stage(Bytes::copy_from_slice(data)) {
            Ok(staged) => staged,
            refused => return Err(posix(refused)),
        };
        let data = WriteData::Staged { stage: StageId(1), len: u32::try_from(data.len()).unwrap() };
        let op = Op::Write { ino, at, data, kill_privileges: false };
        self.logged(op, Some(staged), None).result
    }

    pub(crate) fn allocate(&self, ino: InodeId, start: u64, len: u64, mode: AllocateMode) -> Reply<Attr> {
        self.attr_of(Op::Allocate { ino, range: ByteRange::new(start, len).unwrap(), mode })
    }

    pub(crate) fn copy(&self, from: (InodeId, u64), to: (InodeId, u64), len: u64) -> Reply<u64> {
        let op = Op::Copy { from: from.0, from_offset: from.1, to: to.0, to_offset: to.1, len };
        self.apply(op).map(|reply| match reply {
            OpReply::Copied { len, .. } => len,
            other => panic!("a copy answered {other:?}"),
        })
    }

    pub(crate) fn attr(&self, ino: InodeId) -> Attr {
        self.store.getattr(ino).unwrap()
    }

    pub(crate) fn lookup(&self, parent: InodeId, text: &str) -> Reply<InodeId> {
        match self.store.lookup(parent, &name(text)) {
            Ok(attr) => Ok(attr.ino),
            failed => Err(posix(failed)),
        }
    }

    /// The bytes of a range as a program sees them; every piece's hash is checked.
    pub(crate) fn read(&self, ino: InodeId, offset: u64, len: u32) -> Vec<u8> {
        let read = self.store.read(ino, offset, len).unwrap();
        let mut bytes = vec![0; read.len as usize];
        let mut before = offset;
        for piece in read.pieces {
            assert!(piece.offset >= before && piece.hash.matches(&piece.data));
            before = piece.offset + piece.data.len() as u64;
            let at = usize::try_from(piece.offset - offset).unwrap();
            bytes[at..at + piece.data.len()].copy_from_slice(&piece.data);
        }
        bytes
    }

    /// A whole file.
    pub(crate) fn content(&self, ino: InodeId) -> Vec<u8> {
        let size = self.attr(ino).size;
        (0..size.div_ceil(1 << 20)).flat_map(|block| self.read(ino, block << 20, 1 << 20)).collect()
    }

    pub(crate) fn names(&self, ino: InodeId) -> Vec<String> {
        let page = self.store.readdir(ino, DirCookie(0), 1 << 20, true).unwrap();
        assert!(page.end);
        page.entries.iter().map(|entry| entry.name.to_string()).collect()
    }

    /// Everything that a client can see, as text.
    pub(crate) fn snapshot(&self) -> String {
        snapshot(&self.store)
    }
}

/// Everything that a client can see, as text.
pub(crate) fn snapshot(store: &Store) -> String {
    use std::fmt::Write as _;
    let mut text = format!("{:?} orphans {:?}\n", store.usage(), store.orphans().unwrap());
    let mut todo = vec![(String::from("/"), ROOT)];
    while let Some((path, ino)) = todo.pop() {
        let page = store.readdir(ino, DirCookie(0), 1 << 20, true).unwrap();
        for entry in page.entries {
            let path = format!("{path}{}", entry.name);
            let attr = entry.attr.unwrap();
            writeln!(text, "{path} {attr:?}").unwrap();
            for xattr in store.listxattr(entry.ino).unwrap() {
                writeln!(text, "  {xattr:?} = {:?}", store.getxattr(entry.ino, &xattr).unwrap()).unwrap();
            }
            match attr.kind {
                holdfast_core::attr::FileKind::Directory => todo.push((path + "/", entry.ino)),
                holdfast_core::attr::FileKind::Regular => {
                    for block in 0..attr.size.div_ceil(1 << 20) {
                        for piece in store.read(entry.ino, block << 20, 1 << 20).unwrap().pieces {
                            writeln!(text, "  {} {} {}", piece.offset, piece.data.len(), piece.hash).unwrap();
                        }
                    }
                }
                holdfast_core::attr::FileKind::Symlink => {
                    writeln!(text, "  -> {:?}", store.readlink(entry.ino).unwrap()).unwrap();
                }
                _ => {}
            }
        }
    }
    text
}
