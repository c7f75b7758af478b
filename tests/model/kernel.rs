//! What Linux does above a file system, as far as the steps of the model need it: walking paths,
//! and the checks that are made before the file system is asked. Below it is the kernel-free file
//! system of the mount, with a session for each client.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use holdfast_client::session::{Session, SessionOptions};
use holdfast_client::{Endpoint, Token, VolumeRef};
use holdfast_core::attr::{Attr, FileKind, Mode, SetAttr, SetTime};
use holdfast_core::error::Error;
use holdfast_core::id::InodeId;
use holdfast_core::op::{Caller, WriteAt, XattrMode};
use holdfast_core::time::Timestamp;
use holdfast_fuse::errno::errno;
use holdfast_fuse::fs::{Created, FileSystem, Handle, Node, RenameFlags, Reply, Thread};
use holdfast_fuse::memory::Memory;
use holdfast_tests::cluster::Cluster;
use holdfast_tests::hears::Hears;
use holdfast_tests::model::harness::Driver;
use holdfast_tests::model::step::{Access, Allocate, Answer, Outcome, Path, Rename, Step, Time, fill};
use holdfast_tests::wait;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag};
use tokio::runtime::Runtime;

pub(crate) const CALLER: Caller = Caller { uid: 0, gid: 0 };

/// Who calls: this test, as root.
fn own_thread() -> Thread {
    Thread(nix::unistd::gettid().as_raw().unsigned_abs())
}

#[derive(Clone, Copy)]
struct Open {
    node: Node,
    handle: Handle,
    read: bool,
    write: bool,
    append: bool,
}

/// A driver for the model: file systems over sessions with one volume.
pub(crate) struct Kernel {
    pub(crate) clients: Vec<FileSystem>,
    losses: Arc<AtomicUsize>,
    open: HashMap<(usize, usize), Open>,
    cluster: Rc<RefCell<Cluster>>,
    runtime: Runtime,
}

type Result<T, E = Errno> = std::result::Result<T, E>;

impl Kernel {
    /// On a new volume.
    pub(crate) fn new(cluster: &Rc<RefCell<Cluster>>, volume: &str, clients: usize) -> Self {
        cluster.borrow().volume(volume);
        Self::open(cluster, volume, clients).unwrap_or_else(|error| panic!("cannot begin a session: {error}"))
    }

    /// On a volume that is there.
    ///
    /// # Errors
    /// Why no session could be begun.
    pub(crate) fn open(cluster: &Rc<RefCell<Cluster>>, volume: &str, clients: usize) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let token = fs::read_to_string(cluster.borrow().token_file()).unwrap();
        let mut endpoint = Endpoint::plain(cluster.borrow().address().parse().unwrap());
        endpoint.token = Some(Token::new(token).unwrap());
        let name = VolumeRef::Name(volume.parse().unwrap());
        let losses = Arc::<AtomicUsize>::default();
        let open = || {
            let memory = Arc::<Memory>::default();
            let hears = Arc::new(Hears { losses: Arc::clone(&losses), memory: Arc::clone(&memory) });
            let session = Session::open(&endpoint, &name, SessionOptions::default(), hears);
            let session = runtime.block_on(async { tokio::time::timeout(wait::SOON, session).await });
            let session = session.unwrap_or_else(|_| panic!("no session after {:?}", wait::SOON))?;
            Ok::<_, Error>(FileSystem::new(session, InodeId::ROOT, memory))
        };
        let clients = (0..clients).map(|_| open()).collect::<Result<_, Error>>()?;
        Ok(Self { clients, losses, open: HashMap::new(), cluster: Rc::clone(cluster), runtime })
    }

    /// Closes the sessions.
    ///
    /// # Errors
    /// When one was lost, or could not be closed.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        let before = self.losses.swap(0, Ordering::Relaxed);
        let mut failed = Vec::new();
        for client in std::mem::take(&mut self.clients) {
            let session = client.session().clone();
            drop(client);
            let closed = self.runtime.block_on(async { tokio::time::timeout(wait::SOON, session.close()).await });
            if !matches!(closed, Ok(Ok(()))) {
                failed.push(format!("a session could not be closed: {closed:?}"));
            }
        }
        let closing = self.losses.swap(0, Ordering::Relaxed);
        if (before, closing) != (0, 0) {
            failed.push(format!("{before} sessions were lost, and {closing} while they were closed"));
        }
        if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
    }

    pub(crate) fn wait<T: Send + 'static>(&self, reply: Reply<T>) -> Result<T> {
        self.runtime.block_on(reply.wait()).map_err(errno)
    }

    fn walk(&self, client: usize, path: &[String]) -> Result<(Node, Attr)> {
        let fs = &self.clients[client];
        let root = self.wait(fs.getattr(Node::ROOT))?;
        let mut at = (root.node, root.attr);
        for name in path {
            match at.1.kind {
                FileKind::Directory => {}
                // The targets of the steps are never there.
                FileKind::Symlink => return Err(Errno::ENOENT),
                _ => return Err(Errno::ENOTDIR),
            }
            let entry = self.wait(fs.lookup(at.0, name.as_bytes()))?;
            at = (entry.node, entry.attr);
        }
        Ok(at)
    }

    fn followed(&self, client: usize, path: &[String]) -> Result<(Node, Attr)> {
        let found = self.walk(client, path)?;
        if found.1.kind == FileKind::Symlink { Err(Errno::ENOENT) } else { Ok(found) }
    }

    /// The directory of a path's last name. `EBUSY`: the path is the root itself.
    fn parent<'a>(&self, client: usize, path: &'a Path) -> Result<(Node, &'a [u8])> {
        let (name, above) = path.split_last().ok_or(Errno::EBUSY)?;
        let (node, attr) = self.walk(client, above)?;
        match attr.kind {
            FileKind::Directory => Ok((node, name.as_bytes())),
            FileKind::Symlink => Err(Errno::ENOENT),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn new_name<'a>(&self, client: usize, path: &'a Path) -> Result<(Node, &'a [u8])> {
        self.parent(client, path).map_err(|error| if error == Errno::EBUSY { Errno::EEXIST } else { error })
    }

    fn names(&self, client: usize, step: &Step) -> Outcome {
        let fs = &self.clients[client];
        match step {
            Step::Mkdir { path, mode } => {
                let (parent, name) = self.new_name(client, path)?;
                self.wait(fs.mkdir(CALLER, parent, name, Mode::from_bits(*mode).into()))?;
            }
            Step::Mkfifo { path, mode } => {
                let (parent, name) = self.new_name(client, path)?;
                self.wait(fs.mknod(CALLER, parent, name, FileKind::Fifo, Mode::from_bits(*mode).into(), 0))?;
            }
            Step::Symlink { path, target } => {
                let (parent, name) = self.new_name(client, path)?;
                self.wait(fs.symlink(CALLER, parent, name, target.as_bytes()))?;
            }
            Step::Link { old, new } => {
                let (node, _) = self.walk(client, old)?;
                let (parent, name) = self.new_name(client, new)?;
                self.wait(fs.link(CALLER, node, parent, name))?;
            }
            Step::Unlink { path } => {
                let (parent, name) = self.parent(client, path)?;
                self.wait(fs.unlink(CALLER, parent, name))?;
            }
            Step::Rmdir { path } => {
                let (parent, name) = self.parent(client, path)?;
                self.wait(fs.rmdir(CALLER, parent, name))?;
            }
            Step::Rename { old, new, how } => self.rename(client, old, new, *how)?,
            Step::Stat { path } => return self.walk(client, path).map(|(_, attr)| Answer::Stat((&attr).into())),
            Step::Readdir { path } => return self.readdir(client, path),
            Step::Readlink { path } => {
                let (node, attr) = self.walk(client, path)?;
                if attr.kind != FileKind::Symlink {
                    return Err(Errno::EINVAL);
                }
                return self.wait(fs.readlink(node)).map(|target| Answer::Bytes(target.to_vec()));
            }
            Step::ReadFile { path } => {
                let (node, attr) = self.walk(client, path)?;
                only_files(attr.kind)?;
                return self.read(client, node, 0, attr.size).map(Answer::Bytes);
            }
            Step::Chmod { path, mode } => {
                let (node, _) = self.followed(client, path)?;
                let set = SetAttr { mode: Some(Mode::from_bits(*mode)), ..SetAttr::default() };
                self.wait(fs.setattr(CALLER, own_thread(), node, set))?;
            }
            Step::Chown { path, uid, gid } => {
                let (node, _) = self.walk(client, path)?;
                let set = SetAttr { uid: Some(*uid), gid: Some(*gid), ..SetAttr::default() };
                self.wait(fs.setattr(CALLER, own_thread(), node, set))?;
            }
            Step::Utimens { path, atime, mtime } => {
                let (node, _) = self.walk(client, path)?;
                let time = |time: &Time| Some(SetTime::To(Timestamp { secs: time.secs, nanos: time.nanos }));
                let set = SetAttr { atime: time(atime), mtime: time(mtime), ..SetAttr::default() };
                self.wait(fs.setattr(CALLER, own_thread(), node, set))?;
            }
            Step::Truncate { path, size } => {
                let (node, attr) = self.followed(client, path)?;
                match attr.kind {
                    FileKind::Regular => {}
                    FileKind::Directory => return Err(Errno::EISDIR),
                    _ => return Err(Errno::EINVAL),
                }
                self.wait(fs.setattr(CALLER, own_thread(), node, SetAttr { size: Some(*size), ..SetAttr::default() }))?;
            }
            _ => return self.xattrs(client, step),
        }
        Ok(Answer::Done)
    }

    fn rename(&self, client: usize, old: &Path, new: &Path, how: Rename) -> Result<()> {
        let (old_parent, old_name) = self.parent(client, old)?;
        let (new_parent, new_name) = self.parent(client, new)?;
        let flags = RenameFlags(match how {
            Rename::Replace => 0,
            Rename::NoReplace => libc::RENAME_NOREPLACE,
            Rename::Exchange => libc::RENAME_EXCHANGE,
        });
        // The kernel looks both names up first, the old one before the new.
        let fs = &self.clients[client];
        self.wait(fs.lookup(old_parent, old_name))?;
        match self.wait(fs.lookup(new_parent, new_name)) {
            Ok(_) | Err(Errno::ENOENT) => {}
            Err(error) => return Err(error),
        }
        self.wait(fs.rename(CALLER, (old_parent, old_name), (new_parent, new_name), flags))
    }

    fn readdir(&self, client: usize, path: &Path) -> Outcome {
        let (node, attr) = self.followed(client, path)?;
        if attr.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let fs = &self.clients[client];
        let (handle, mut offset, mut names) = (self.wait(fs.opendir(CALLER, node))?, 0, Vec::new());
        loop {
            let listing = self.wait(fs.readdir(handle, offset, true))?;
            let Some(last) = listing.entries().last() else { break };
            offset = last.offset;
            let entries = listing.entries().iter().filter(|entry| !matches!(&entry.name[..], b"." | b".."));
            names.extend(entries.map(|entry| (String::from_utf8_lossy(&entry.name).into_owned(), entry.kind.into())));
        }
        self.wait(fs.releasedir(handle))?;
        names.sort();
        Ok(Answer::Names(names))
    }

    fn xattrs(&self, client: usize, step: &Step) -> Outcome {
        let fs = &self.clients[client];
        let node = |path: &Path, name: &str, refused: Errno| {
            let (node, attr) = self.walk(client, path)?;
            let plain = matches!(attr.kind, FileKind::Regular | FileKind::Directory);
            if name.starts_with("user.") && !plain { Err(refused) } else { Ok(node) }
        };
        match step {
            Step::SetXattr { path, name, len, tag, create, replace } => {
                let node = node(path, name, Errno::EPERM)?;
                let mode = match (create, replace) {
                    (true, _) => XattrMode::Create,
                    (_, true) => XattrMode::Replace,
                    _ => XattrMode::Either,
                };
                self.wait(fs.setxattr(CALLER, own_thread(), node, name.as_bytes(), &fill(*tag, 0, *len), mode, false))?;
                Ok(Answer::Done)
            }
            Step::GetXattr { path, name } => {
                let node = node(path, name, Errno::ENODATA)?;
                self.wait(fs.getxattr(node, name.as_bytes())).map(|value| Answer::Bytes(value.to_vec()))
            }
            Step::ListXattr { path } => {
                let (node, _) = self.walk(client, path)?;
                let list = self.wait(fs.listxattr(own_thread(), node))?;
                let names = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
                let mut names: Vec<String> = names.map(|name| String::from_utf8_lossy(name).into_owned()).collect();
                names.sort();
                Ok(Answer::Words(names))
            }
            Step::RemoveXattr { path, name } => {
                let node = node(path, name, Errno::EPERM)?;
                self.wait(fs.removexattr(CALLER, own_thread(), node, name.as_bytes())).map(|()| Answer::Done)
            }
            other => panic!("not a step on names: {other:?}"),
        }
    }

    fn read(&self, client: usize, node: Node, offset: u64, len: u64) -> Result<Vec<u8>> {
        let len = u32::try_from(len).unwrap();
        let data = self.wait(self.clients[client].read(node, offset, len))?;
        let mut bytes = vec![0; data.len as usize];
        for piece in &data.pieces {
            let at = usize::try_from(piece.offset - offset).unwrap();
            bytes[at..at + piece.data.len()].copy_from_slice(&piece.data);
        }
        Ok(bytes)
    }

    fn get(&self, client: usize, slot: usize) -> Result<Open> {
        self.open.get(&(client, slot)).copied().ok_or(Errno::EBADF)
    }

    fn close(&mut self, client: usize, slot: usize) -> Result<()> {
        let open = self.open.remove(&(client, slot)).ok_or(Errno::EBADF)?;
        self.wait(self.clients[client].release(open.handle, false))
    }

    fn open_file(&mut self, client: usize, slot: usize, path: &Path, mode: u32, access: Access) -> Outcome {
        let _ = self.close(client, slot);
        let mut flags = match (access.read, access.write) {
            (true, true) => OFlag::O_RDWR,
            (false, true) => OFlag::O_WRONLY,
            _ => OFlag::O_RDONLY,
        };
        flags.set(OFlag::O_APPEND, access.append);
        flags.set(OFlag::O_TRUNC, access.truncate);
        flags.set(OFlag::O_EXCL, access.exclusive);
        let fs = self.clients[client].clone();
        let (node, opened) = match self.walk(client, path) {
            Ok(_) if access.create && access.exclusive => return Err(Errno::EEXIST),
            Ok((node, attr)) => {
                only_files(attr.kind)?;
                (node, self.wait(fs.open(CALLER, node, flags, None))?)
            }
            Err(Errno::ENOENT) if access.create => {
                let (parent, name) = self.parent(client, path)?;
                match self.wait(fs.create(CALLER, parent, name, Mode::from_bits(mode).into(), flags))? {
                    Created::New(entry, opened) => (entry.node, opened),
                    Created::Raced => panic!("one step at a time, and yet a race"),
                }
            }
            Err(error) => return Err(error),
        };
        let Access { read, write, append, .. } = access;
        self.open.insert((client, slot), Open { node, handle: opened.handle, read, write, append });
        Ok(Answer::Done)
    }

    fn handles(&mut self, client: usize, step: &Step) -> Outcome {
        let writer = |open: Open| if open.write { Ok(open) } else { Err(Errno::EBADF) };
        let reader = |open: Open| if open.read { Ok(open) } else { Err(Errno::EBADF) };
        let fs = self.clients[client].clone();
        match step {
            Step::Open { slot, path, mode, access } => self.open_file(client, *slot, path, *mode, *access),
            Step::Close { slot } => self.close(client, *slot).map(|()| Answer::Done),
            Step::Read { slot, offset, len } => {
                let open = reader(self.get(client, *slot)?)?;
                self.read(client, open.node, *offset, *len).map(Answer::Bytes)
            }
            Step::Write { slot, offset, len, tag } => {
                let open = writer(self.get(client, *slot)?)?;
                let at = if open.append { WriteAt::End } else { WriteAt::Offset(*offset) };
                let data = Bytes::from(fill(*tag, *offset, *len));
                let written = self.wait(fs.write(CALLER, open.handle, at, data, OFlag::empty(), None))?;
                Ok(Answer::Count(u64::from(written.len)))
            }
            Step::Resize { slot, size } => match self.get(client, *slot)? {
                open if open.write => {
                    let set = SetAttr { size: Some(*size), ..SetAttr::default() };
                    self.wait(fs.setattr(CALLER, own_thread(), open.node, set)).map(|_| Answer::Done)
                }
                _ => Err(Errno::EINVAL),
            },
            Step::Allocate { slot, how, offset, len, keep_size } => {
                let open = writer(self.get(client, *slot)?)?;
                let mut mode = match how {
                    Allocate::Reserve => FallocateFlags::empty(),
                    Allocate::Punch => FallocateFlags::FALLOC_FL_PUNCH_HOLE,
                    Allocate::Zero => FallocateFlags::FALLOC_FL_ZERO_RANGE,
                };
                mode.set(FallocateFlags::FALLOC_FL_KEEP_SIZE, *keep_size);
                self.wait(fs.fallocate(CALLER, own_thread(), open.handle, *offset, *len, mode)).map(|()| Answer::Done)
            }
            Step::Copy { from, from_offset, to, to_offset, len } => {
                let from = reader(self.get(client, *from)?)?;
                let to = writer(self.get(client, *to)?)?;
                if to.append {
                    return Err(Errno::EBADF);
                }
                // The kernel stops at the end of the source.
                let there = self.wait(fs.getattr(from.node))?.attr.size.saturating_sub(*from_offset);
                let len = there.min(*len);
                if from.node == to.node && to_offset + len > *from_offset && *to_offset < from_offset + len {
                    return Err(Errno::EINVAL);
                }
                let copy = fs.copy(CALLER, own_thread(), (from.handle, *from_offset), (to.handle, *to_offset), len);
                self.wait(copy).map(Answer::Count)
            }
            Step::Seek { slot, offset, hole } => {
                let open = self.get(client, *slot)?;
                self.wait(fs.seek(open.node, *offset, *hole)).map(Answer::Offset)
            }
            Step::StatOpen { slot } => {
                let open = self.get(client, *slot)?;
                self.wait(fs.getattr(open.node)).map(|entry| Answer::Stat((&entry.attr).into()))
            }
            Step::Sync { slot } => {
                let open = self.get(client, *slot)?;
                self.wait(fs.fsync(open.node)).map(|()| Answer::Done)
            }
            other => panic!("not a step on open files: {other:?}"),
        }
    }
}

fn only_files(kind: FileKind) -> Result<()> {
    match kind {
        FileKind::Regular => Ok(()),
        FileKind::Directory => Err(Errno::EISDIR),
        FileKind::Symlink => Err(Errno::ELOOP),
        _ => Err(Errno::ENXIO),
    }
}

impl Driver for Kernel {
    fn run(&mut self, client: usize, step: &Step) -> Outcome {
        match step {
            Step::Disturb(how) => {
                self.cluster.borrow_mut().disturb(*how);
                Ok(Answer::Done)
            }
            _ if step.slot().is_some() => self.handles(client, step),
            _ => self.names(client, step),
        }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let ended = self.end();
        assert!(ended.is_ok() || thread::panicking(), "{ended:?}");
    }
}
