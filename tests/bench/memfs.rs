//! A file system in memory on `fuser`: what a FUSE file system can reach on this machine that keeps
//! nothing, tells nobody and lets the kernel believe everything for a second. The bound that
//! docs/BENCHMARKS.md holds small files and trees against.
//!
//! `memfs DIR [THREADS]` mounts it until it is unmounted; 1 thread unless told otherwise. It does what
//! tar, git, grep and the yardsticks need and nothing else: no rights, no xattrs, no locks.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use fuser::{
    BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyWrite, Request, SessionACL, TimeOrNow, WriteFlags,
};

/// For so long the kernel believes what it was told.
const TTL: Duration = Duration::from_secs(1);
const GENERATION: Generation = Generation(0);

#[derive(Debug)]
struct Node {
    attr: FileAttr,
    /// Bytes of a file, or text of a symlink.
    data: Vec<u8>,
    names: BTreeMap<OsString, u64>,
    parent: u64,
}

#[derive(Debug)]
struct Nodes {
    nodes: HashMap<u64, Node>,
    last: u64,
}

#[derive(Debug)]
struct MemFs(Mutex<Nodes>);

type Outcome<T> = std::result::Result<T, Errno>;

impl Nodes {
    fn get(&mut self, ino: u64) -> Outcome<&mut Node> {
        self.nodes.get_mut(&ino).ok_or(Errno::ENOENT)
    }

    fn find(&mut self, parent: u64, name: &OsStr) -> Outcome<u64> {
        self.get(parent)?.names.get(name).copied().ok_or(Errno::ENOENT)
    }

    fn make(&mut self, of: &Request, parent: u64, name: &OsStr, kind: FileType, mode: u32) -> Outcome<FileAttr> {
        if self.get(parent)?.names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        self.last += 1;
        let perm = u16::try_from(mode & 0o7777).unwrap_or(0);
        let attr = new_attr(self.last, kind, perm, (of.uid(), of.gid()));
        self.nodes.insert(attr.ino.0, Node { attr, data: Vec::new(), names: BTreeMap::new(), parent });
        self.enter(parent, name, attr.ino.0)?;
        Ok(attr)
    }

    fn enter(&mut self, parent: u64, name: &OsStr, ino: u64) -> Outcome<()> {
        let directory = self.get(parent)?;
        directory.names.insert(name.to_owned(), ino);
        directory.attr.mtime = SystemTime::now();
        Ok(())
    }

    /// Takes a name away, and what has none left. Open files live on in the kernel's cache only.
    fn remove(&mut self, parent: u64, name: &OsStr, directory: bool) -> Outcome<()> {
        let ino = self.find(parent, name)?;
        let node = self.get(ino)?;
        match (directory, node.attr.kind == FileType::Directory) {
            (true, false) => return Err(Errno::ENOTDIR),
            (false, true) => return Err(Errno::EISDIR),
            (true, true) if !node.names.is_empty() => return Err(Errno::ENOTEMPTY),
            _ => {}
        }
        node.attr.nlink -= 1;
        if directory || node.attr.nlink == 0 {
            self.nodes.remove(&ino);
        }
        let above = self.get(parent)?;
        above.names.remove(name);
        above.attr.mtime = SystemTime::now();
        Ok(())
    }

    fn rename(&mut self, (parent, name): (u64, &OsStr), (to, new): (u64, &OsStr)) -> Outcome<()> {
        let ino = self.find(parent, name)?;
        if let Ok(there) = self.find(to, new) {
            if there == ino {
                return Ok(());
            }
            let directory = self.get(there)?.attr.kind == FileType::Directory;
            self.remove(to, new, directory)?;
        }
        self.get(parent)?.names.remove(name);
        self.get(ino)?.parent = to;
        self.enter(to, new, ino)
    }
}

fn new_attr(ino: u64, kind: FileType, perm: u16, (uid, gid): (u32, u32)) -> FileAttr {
    let now = SystemTime::now();
    FileAttr {
        ino: INodeNo(ino),
        size: 0,
        blocks: 0,
        atime: now,
        mtime: now,
        ctime: now,
        crtime: now,
        kind,
        perm,
        nlink: 1,
        uid,
        gid,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

fn time(asked: Option<TimeOrNow>, now: SystemTime) -> Option<SystemTime> {
    asked.map(|asked| match asked {
        TimeOrNow::SpecificTime(time) => time,
        TimeOrNow::Now => now,
    })
}

impl MemFs {
    fn new() -> Self {
        let attr = new_attr(1, FileType::Directory, 0o755, (0, 0));
        let root = Node { attr, data: Vec::new(), names: BTreeMap::new(), parent: 1 };
        Self(Mutex::new(Nodes { nodes: HashMap::from([(1, root)]), last: 1 }))
    }

    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry(reply: ReplyEntry, made: Outcome<FileAttr>) {
    match made {
        Ok(attr) => reply.entry(&TTL, &attr, GENERATION),
        Err(errno) => reply.error(errno),
    }
}

fn done(reply: ReplyEmpty, done: Outcome<()>) {
    match done {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

impl Filesystem for MemFs {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut nodes = self.nodes();
        entry(reply, nodes.find(parent.0, name).and_then(|ino| Ok(nodes.get(ino)?.attr)));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.nodes().get(ino.0) {
            Ok(node) => reply.attr(&TTL, &node.attr),
            Err(errno) => reply.error(errno),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut nodes = self.nodes();
        let Ok(node) = nodes.get(ino.0) else { return reply.error(Errno::ENOENT) };
        let (now, attr) = (SystemTime::now(), &mut node.attr);
        if let Some(size) = size {
            node.data.resize(usize::try_from(size).unwrap_or(usize::MAX), 0);
            (attr.size, attr.mtime) = (size, now);
        }
        attr.perm = mode.and_then(|mode| u16::try_from(mode & 0o7777).ok()).unwrap_or(attr.perm);
        (attr.uid, attr.gid) = (uid.unwrap_or(attr.uid), gid.unwrap_or(attr.gid));
        attr.atime = time(atime, now).unwrap_or(attr.atime);
        attr.mtime = time(mtime, now).unwrap_or(attr.mtime);
        attr.ctime = now;
        reply.attr(&TTL, attr);
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match self.nodes().get(ino.0) {
            Ok(node) => reply.data(&node.data),
            Err(errno) => reply.error(errno),
        }
    }

    fn mkdir(&self, of: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        entry(reply, self.nodes().make(of, parent.0, name, FileType::Directory, mode & !umask));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.nodes().remove(parent.0, name, false));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.nodes().remove(parent.0, name, true));
    }

    fn symlink(&self, of: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let mut nodes = self.nodes();
        let made = nodes.make(of, parent.0, name, FileType::Symlink, 0o777).and_then(|mut attr| {
            let node = nodes.get(attr.ino.0)?;
            node.data = target.as_os_str().as_bytes().to_vec();
            attr.size = node.data.len() as u64;
            node.attr = attr;
            Ok(attr)
        });
        entry(reply, made);
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
        done(reply, self.nodes().rename((parent.0, name), (to.0, new)));
    }

    fn link(&self, _: &Request, ino: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut nodes = self.nodes();
        let linked = nodes.enter(parent.0, name, ino.0);
        let made = linked.and_then(|()| {
            let node = nodes.get(ino.0)?;
            node.attr.nlink += 1;
            Ok(node.attr)
        });
        entry(reply, made);
    }

    fn create(&self, of: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, _: i32, reply: ReplyCreate) {
        match self.nodes().make(of, parent.0, name, FileType::RegularFile, mode & !umask) {
            Ok(attr) => reply.created(&TTL, &attr, GENERATION, FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE),
            Err(errno) => reply.error(errno),
        }
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
        match self.nodes().get(ino.0) {
            Ok(node) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(node.data.len());
                reply.data(&node.data[start..node.data.len().min(start.saturating_add(len as usize))]);
            }
            Err(errno) => reply.error(errno),
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
        let mut nodes = self.nodes();
        let Ok(node) = nodes.get(ino.0) else { return reply.error(Errno::ENOENT) };
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let Some(end) = start.checked_add(data.len()) else { return reply.error(Errno::EFBIG) };
        if node.data.len() < end {
            node.data.resize(end, 0);
        }
        node.data[start..end].copy_from_slice(data);
        node.attr.size = node.data.len() as u64;
        node.attr.mtime = SystemTime::now();
        reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX));
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let nodes = self.nodes();
        let Some(directory) = nodes.nodes.get(&ino.0) else { return reply.error(Errno::ENOENT) };
        let dots = [(OsStr::new("."), ino.0), (OsStr::new(".."), directory.parent)];
        let names = directory.names.iter().map(|(name, &ino)| (name.as_os_str(), ino));
        let entries = dots.into_iter().chain(names).enumerate();
        for (at, (name, ino)) in entries.skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
            let kind = nodes.nodes.get(&ino).map_or(FileType::RegularFile, |node| node.attr.kind);
            if reply.add(INodeNo(ino), at as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: memfs DIR [THREADS]";
    let dir = arguments.next().context(usage)?;
    let threads: usize = arguments.next().map_or(Ok(1), |count| count.parse()).context(usage)?;
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("memfs".to_owned()), MountOption::DefaultPermissions];
    config.acl = SessionACL::All;
    config.n_threads = Some(threads);
    config.clone_fd = threads > 1;
    Ok(fuser::mount(MemFs::new(), dir, &config)?)
}
