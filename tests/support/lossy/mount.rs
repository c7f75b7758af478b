//! An image as a directory that programs use, with a record of what they changed and synced.
//!
//! One thread answers the kernel, so the record is in the order in which calls took effect; the kernel
//! keeps no write back (write-through), and no sync is swallowed. No rights, times, xattrs or symlinks: a
//! storage server has no use for them. Locks are the kernel's own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use nix::mount::{MntFlags, umount2};

use super::image::{Body, Change, Image, NodeId, Slot};
use crate::scratch::Scratch;

/// Nothing changes but by the kernel, so it may believe what it was told.
const TTL: Duration = Duration::from_secs(3600);
const GENERATION: Generation = Generation(0);
const BLOCK: u32 = 4096;
/// Blocks that the disk says it has, all of them free: 64 GiB.
const BLOCKS: u64 = 16 << 20;

/// A disk in use.
#[derive(Debug)]
struct Used {
    image: Image,
    record: Vec<Change>,
    next: NodeId,
}

/// A mounted disk. Dropped: it is unmounted, whoever uses it.
pub struct Lossy {
    used: Arc<Mutex<Used>>,
    point: PathBuf,
    _session: BackgroundSession,
    _scratch: Scratch,
}

impl std::fmt::Debug for Lossy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lossy").field("point", &self.point).finish_non_exhaustive()
    }
}

fn lock(used: &Mutex<Used>) -> MutexGuard<'_, Used> {
    used.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lossy {
    /// Mounts a disk with this on it, all of it durable.
    ///
    /// # Panics
    /// When it cannot be mounted: it needs root and FUSE.
    #[must_use]
    pub fn mount(image: Image) -> Self {
        let scratch = Scratch::new("lossy");
        let point = scratch.dir("disk");
        let used = Arc::new(Mutex::new(Used { next: image.next(), image, record: Vec::new() }));
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("lossy".to_owned())];
        let disk = Disk(Arc::clone(&used));
        let session = fuser::spawn_mount(disk, &point, &config)
            .unwrap_or_else(|error| panic!("cannot mount a lossy disk on {}: {error}", point.display()));
        Self { used, point, _session: session, _scratch: scratch }
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.point
    }

    /// How many changes and syncs there were so far.
    #[must_use]
    pub fn recorded(&self) -> usize {
        lock(&self.used).record.len()
    }

    /// What was changed and synced so far.
    #[must_use]
    pub fn record(&self) -> Vec<Change> {
        lock(&self.used).record.clone()
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        // Its own unmount waits for nobody either, but fails while a file is open.
        let _ = umount2(&self.point, MntFlags::MNT_DETACH);
    }
}

/// The side that the kernel talks to.
struct Disk(Arc<Mutex<Used>>);

type Outcome<T> = Result<T, Errno>;

fn errno(error: nix::errno::Errno) -> Errno {
    Errno::from_i32(error as i32)
}

fn slot(directory: INodeNo, name: &OsStr) -> Outcome<Slot> {
    let name = name.to_str().ok_or(Errno::EINVAL)?;
    Ok((NodeId(directory.0), name.to_owned()))
}

impl Used {
    fn change(&mut self, change: Change) -> Outcome<()> {
        self.image.apply(&change).map_err(errno)?;
        self.record.push(change);
        Ok(())
    }

    fn attr(&self, node: NodeId) -> Outcome<FileAttr> {
        let (kind, perm, size, nlink) = match self.image.body(node).map_err(errno)? {
            Body::File(content) => (FileType::RegularFile, 0o600, content.len() as u64, self.image.names_of(node)),
            Body::Directory(_) => (FileType::Directory, 0o700, u64::from(BLOCK), 2),
        };
        let epoch = SystemTime::UNIX_EPOCH;
        Ok(FileAttr {
            ino: INodeNo(node.0),
            size,
            blocks: size.div_ceil(512),
            atime: epoch,
            mtime: epoch,
            ctime: epoch,
            crtime: epoch,
            kind,
            perm,
            nlink: u32::try_from(nlink).unwrap_or(u32::MAX),
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: BLOCK,
            flags: 0,
        })
    }

    fn make(&mut self, slot: Slot, change: impl FnOnce(Slot, NodeId) -> Change) -> Outcome<FileAttr> {
        let node = self.next;
        self.change(change(slot, node))?;
        self.next = NodeId(node.0 + 1);
        self.attr(node)
    }

    /// fallocate(2). Room that is only set aside is not seen, so nothing changes.
    fn allocate(&mut self, node: NodeId, offset: u64, len: u64, mode: i32) -> Outcome<()> {
        let size = self.image.content(node).map_err(errno)?.len() as u64;
        let end = offset.saturating_add(len);
        let change = match mode {
            0 if end > size => Change::Resize(node, end),
            0 | libc::FALLOC_FL_KEEP_SIZE => return Ok(()),
            mode if mode == libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE => {
                let zeros = usize::try_from(end.min(size).saturating_sub(offset)).unwrap_or(0);
                Change::Write(node, offset.min(size), vec![0; zeros].into())
            }
            _ => return Err(Errno::EOPNOTSUPP),
        };
        self.change(change)
    }
}

impl Disk {
    fn used(&self) -> MutexGuard<'_, Used> {
        lock(&self.0)
    }
}

fn entry(reply: ReplyEntry, found: Outcome<FileAttr>) {
    match found {
        Ok(attr) => reply.entry(&TTL, &attr, GENERATION),
        Err(errno) => reply.error(errno),
    }
}

fn attributes(reply: ReplyAttr, found: Outcome<FileAttr>) {
    match found {
        Ok(attr) => reply.attr(&TTL, &attr),
        Err(errno) => reply.error(errno),
    }
}

fn done(reply: ReplyEmpty, done: Outcome<()>) {
    match done {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

impl Filesystem for Disk {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let used = self.used();
        let found = slot(parent, name).and_then(|slot| used.attr(used.image.find(&slot).map_err(errno)?));
        entry(reply, found);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        attributes(reply, self.used().attr(NodeId(ino.0)));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let (mut used, node) = (self.used(), NodeId(ino.0));
        let resized = size.map_or(Ok(()), |size| used.change(Change::Resize(node, size)));
        attributes(reply, resized.and_then(|()| used.attr(node)));
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        entry(reply, slot(parent, name).and_then(|slot| self.used().make(slot, Change::MakeDirectory)));
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        match slot(parent, name).and_then(|slot| self.used().make(slot, Change::Create)) {
            Ok(attr) => reply.created(&TTL, &attr, GENERATION, FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE),
            Err(errno) => reply.error(errno),
        }
    }

    fn link(&self, _: &Request, ino: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (mut used, node) = (self.used(), NodeId(ino.0));
        let linked = slot(parent, name).and_then(|slot| used.change(Change::Link(slot, node)));
        entry(reply, linked.and_then(|()| used.attr(node)));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, slot(parent, name).and_then(|slot| self.used().change(Change::Remove(slot))));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, slot(parent, name).and_then(|slot| self.used().change(Change::Remove(slot))));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to: INodeNo,
        new: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let both = slot(parent, name).and_then(|from| Ok((from, slot(to, new)?)));
        done(reply, both.and_then(|(from, to)| self.used().change(Change::Rename(from, to))));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        len: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.used().image.content(NodeId(ino.0)) {
            Ok(content) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
                reply.data(&content[start..content.len().min(start.saturating_add(len as usize))]);
            }
            Err(error) => reply.error(errno(error)),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.used().change(Change::Write(NodeId(ino.0), offset, data.into())) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(errno) => reply.error(errno),
        }
    }

    fn fallocate(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, len: u64, mode: i32, reply: ReplyEmpty) {
        done(reply, self.used().allocate(NodeId(ino.0), offset, len, mode));
    }

    /// close(2): not a sync.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(reply, self.used().change(Change::SyncFile(NodeId(ino.0))));
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(reply, self.used().change(Change::SyncDirectory(NodeId(ino.0))));
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let used = self.used();
        let entries = match used.image.entries(NodeId(ino.0)) {
            Ok(entries) => entries,
            Err(error) => return reply.error(errno(error)),
        };
        let dots = [(".", ino.0), ("..", ino.0)];
        let names = dots.into_iter().chain(entries.iter().map(|(name, node)| (name.as_str(), node.0)));
        for (at, (name, node)) in names.enumerate().skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
            let kind = used.attr(NodeId(node)).map_or(FileType::RegularFile, |attr| attr.kind);
            if reply.add(INodeNo(node), at as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCK, 255, BLOCK);
    }
}
