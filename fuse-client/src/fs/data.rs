//! Bytes: read, write, fsync, fallocate, copy_file_range, lseek.

use std::sync::Arc;

use bytes::Bytes;
use holdfast_client::ReadData;
use holdfast_core::error::PosixError;
use holdfast_core::id::{Epoch, InodeId};
use holdfast_core::limits::IO_BYTES_MAX;
use holdfast_core::op::{AllocateMode, COPY_BYTES_MAX, Caller, Op, OpReply, WriteAt, WriteData};
use holdfast_core::range::ByteRange;
use nix::fcntl::{FallocateFlags, OFlag};

use super::handles::OpenFile;
use super::{FileSystem, Handle, Node, Outcome, Reply, Shared, Thread, attr_of, check, unexpected};
use crate::errno;
use crate::memory::{Bytewise, ReadAhead};

/// A write that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes written: always all.
    pub len: u32,
    /// First byte written; of an append, the end of the file as the server found it.
    pub offset: u64,
}

impl FileSystem {
    /// read(2) and readahead: at most 1 MiB; shorter only at the end of the file.
    pub fn read(&self, node: Node, offset: u64, len: u32) -> Reply<ReadData> {
        let shared = Arc::clone(&self.shared);
        let ino = shared.ino(node);
        let len = len.min(IO_BYTES_MAX.try_into().unwrap_or(u32::MAX));
        match shared.remembered_bytes(ino, offset, len) {
            Bytewise::Here(data) => Reply::Now(Ok(data)),
            Bytewise::Coming => Reply::later(async move { shared.read_when_it_comes(ino, offset, len).await }),
            Bytewise::Unknown(epoch) => Reply::later(async move { shared.read(ino, offset, len, epoch).await }),
        }
    }

    /// write(2), at most 1 MiB. At the end the server chooses the offset, so that appends of several
    /// hosts never overwrite each other. `flags` are those of the handle at this moment: with `O_SYNC`
    /// or `O_DSYNC` it returns when the bytes are on the server's disk. `killer`: a writer without
    /// `CAP_FSETID`, so that set-user-id and set-group-id go.
    pub fn write(
        &self,
        caller: Caller,
        handle: Handle,
        at: WriteAt,
        data: Bytes,
        flags: OFlag,
        killer: Option<Thread>,
    ) -> Reply<Written> {
        let Some(OpenFile { ino, bypass, .. }) = self.shared.files.lock().file(handle) else {
            return Reply::Now(Err(PosixError::BadHandle));
        };
        if data.is_empty() {
            let offset = at.offset().unwrap_or_default();
            return Reply::Now(Ok(Written { len: 0, offset }));
        }
        if let Some(offset) = at.offset()
            && ByteRange::new(offset, data.len() as u64).is_none()
        {
            return Reply::Now(Err(PosixError::FileTooLarge));
        }
        let shared = Arc::clone(&self.shared);
        // Behind a write through its page cache the kernel sends an fsync itself.
        let sync = bypass.is_some() && flags.contains(OFlag::O_DSYNC);
        let kill_privileges = killer.is_some();
        let op = Op::Write { ino, at, data: WriteData::Inline(data.clone()), kill_privileges };
        if let Some(OpReply::Written { offset, len, attr }) = shared.answer(caller, &op) {
            shared.versions.changed(ino, attr.data_version, attr.size, true);
            let written = Written { len, offset };
            if !sync {
                return Reply::Now(Ok(written));
            }
            return Reply::later(async move {
                shared.session.sync_file(ino).await.map_err(|error| errno::answer(&error))?;
                Ok(written)
            });
        }
        // As for any change.
        shared.session.allow_changes();
        let ((), written) =
            shared.memory.submit(&op, || ((), shared.session.write(caller, ino, at, data, kill_privileges)));
        Reply::later(async move {
            match written.await.map_err(|error| errno::answer(&error))? {
                OpReply::Written { offset, len, attr } => {
                    shared.versions.changed(ino, attr.data_version, attr.size, true);
                    if let Some(thread) = killer {
                        shared.drop_foreign_setgid(caller, thread, attr).await?;
                    }
                    if sync {
                        shared.session.sync_file(ino).await.map_err(|error| errno::answer(&error))?;
                    }
                    Ok(Written { len, offset })
                }
                other => Err(unexpected("a write", &other)),
            }
        })
    }

    /// fsync(2), fdatasync(2), also of a directory: returns when everything that was answered
    /// before is on the server's disk. Tells, once, that changes of this inode were lost.
    pub fn fsync(&self, node: Node) -> Reply<()> {
        let shared = Arc::clone(&self.shared);
        Reply::later(
            async move { shared.session.sync_file(shared.ino(node)).await.map_err(|error| errno::answer(&error)) },
        )
    }

    /// fallocate(2): none, `KEEP_SIZE`, `PUNCH_HOLE | KEEP_SIZE`, `ZERO_RANGE` with or without
    /// `KEEP_SIZE`; other modes are `NotSupported`.
    pub fn fallocate(
        &self,
        caller: Caller,
        thread: Thread,
        handle: Handle,
        offset: u64,
        len: u64,
        mode: FallocateFlags,
    ) -> Reply<()> {
        let keep_size = mode.contains(FallocateFlags::FALLOC_FL_KEEP_SIZE);
        let mode = match mode - FallocateFlags::FALLOC_FL_KEEP_SIZE {
            FallocateFlags::FALLOC_FL_PUNCH_HOLE if keep_size => AllocateMode::PunchHole,
            FallocateFlags::FALLOC_FL_ZERO_RANGE => AllocateMode::Zero { keep_size },
            rest if rest.is_empty() => AllocateMode::Reserve { keep_size },
            _ => return Reply::Now(Err(PosixError::NotSupported)),
        };
        if len == 0 {
            return Reply::Now(Err(PosixError::Invalid));
        }
        let Some(range) = ByteRange::new(offset, len) else {
            return Reply::Now(Err(PosixError::FileTooLarge));
        };
        let ino = check!(self.shared.ino_of(handle));
        let changed = self.shared.submit(caller, Op::Allocate { ino, range, mode });
        let shared = Arc::clone(&self.shared);
        Reply::later(async move {
            let attr = attr_of(changed.await?)?;
            shared.versions.changed(ino, attr.data_version, attr.size, true);
            shared.drop_privileges(caller, thread, attr).await
        })
    }

    /// copy_file_range(2) without flags: bytes copied, fewer than asked at the source's end or at
    /// 64 MiB.
    pub fn copy(
        &self,
        caller: Caller,
        thread: Thread,
        (from, from_offset): (Handle, u64),
        (to, to_offset): (Handle, u64),
        len: u64,
    ) -> Reply<u64> {
        let len = len.min(COPY_BYTES_MAX);
        let (from, to) = (check!(self.shared.ino_of(from)), check!(self.shared.ino_of(to)));
        if len == 0 {
            return Reply::Now(Ok(0));
        }
        let op = Op::Copy { from, from_offset, to, to_offset, len };
        let changed = self.shared.submit(caller, op);
        let shared = Arc::clone(&self.shared);
        Reply::later(async move {
            match changed.await? {
                OpReply::Copied { len, attr } => {
                    shared.versions.changed(to, attr.data_version, attr.size, true);
                    // Another host may have made the source shorter than the kernel knows.
                    if len > 0 {
                        shared.drop_privileges(caller, thread, attr).await?;
                    }
                    Ok(len)
                }
                other => Err(unexpected("a copy", &other)),
            }
        })
    }

    /// lseek(2) with `SEEK_DATA`, or `SEEK_HOLE`.
    pub fn seek(&self, node: Node, offset: u64, hole: bool) -> Reply<u64> {
        let shared = Arc::clone(&self.shared);
        Reply::later(async move {
            shared.session.seek(shared.ino(node), offset, hole).await.map_err(|error| errno::answer(&error))
        })
    }
}

impl Shared {
    /// Bytes of a file from memory. What is worth it is read ahead.
    fn remembered_bytes(self: &Arc<Self>, ino: InodeId, offset: u64, len: u32) -> Bytewise {
        let (found, ahead) = self.memory.read(ino, offset, len);
        if let Some(ahead) = ahead {
            self.read_parts(&ahead);
            if !ahead.files.is_empty() {
                self.read_beginnings(ahead);
            }
        }
        found
    }

    /// Reads small files ahead.
    pub(super) fn read_beginnings(self: &Arc<Self>, ahead: ReadAhead) {
        let weak = Arc::downgrade(self);
        let read = self.session.read_files(ahead.files.clone());
        self.session.spawn(async move {
            let files = match read.await {
                Ok(files) => files,
                Err(error) => {
                    tracing::debug!(%error, "files cannot be read ahead");
                    Vec::new()
                }
            };
            if let Some(shared) = weak.upgrade() {
                shared.memory.files_read(&ahead, &files);
            }
        });
    }

    fn read_parts(self: &Arc<Self>, ahead: &ReadAhead) {
        for &part in &ahead.parts {
            let (weak, session, epoch) = (Arc::downgrade(self), self.session.clone(), ahead.epoch);
            self.session.spawn(async move {
                let data = session.read(part.ino, part.offset, part.len).await;
                if let Some(shared) = weak.upgrade() {
                    shared.memory.part_read(&part, epoch, data.as_ref().ok());
                }
            });
        }
    }

    /// Bytes of a file that is being read ahead.
    async fn read_when_it_comes(self: &Arc<Self>, ino: InodeId, offset: u64, len: u32) -> Outcome<ReadData> {
        let mut comes = self.memory.on_files_read();
        loop {
            match self.remembered_bytes(ino, offset, len) {
                Bytewise::Here(data) => return Ok(data),
                Bytewise::Unknown(epoch) => return self.read(ino, offset, len, epoch).await,
                // The sender lives as long as the memory.
                Bytewise::Coming => _ = comes.changed().await,
            }
        }
    }

    /// Bytes of a file from the server, or a disk that has them.
    async fn read(&self, ino: InodeId, offset: u64, len: u32, epoch: Epoch) -> Outcome<ReadData> {
        let here = match self.disk.get() {
            Some(disk) => self.read_through_disk(disk, ino, offset, len).await?,
            None => None,
        };
        let data = match here {
            Some(data) => data,
            None => self.session.read(ino, offset, len).await.map_err(|error| errno::answer(&error))?,
        };
        self.memory.has_read(ino, epoch, &data);
        Ok(data)
    }

    fn ino_of(&self, handle: Handle) -> Outcome<InodeId> {
        self.files.lock().ino(handle).ok_or(PosixError::BadHandle)
    }
}
