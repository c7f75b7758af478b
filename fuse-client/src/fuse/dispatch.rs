//! From a decoded request to the file system, and from its reply to an answer.
//!
//! Answers from memory go out on the thread that read the request; what has to wait becomes a task.

mod call;
mod locks;
mod moves;
mod shape;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use holdfast_core::attr::Attr;
use holdfast_core::error::PosixError;
use holdfast_core::id::LockOwner;
use holdfast_core::op::{Caller, WriteAt};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag};
use tokio::runtime::Handle as Runtime;

use self::call::{Believes, Call, Named};
use self::shape::{listing_out, open_flags, statfs_out, xattr_mode};
use super::abi::{self, Opcode};
use super::aliases::Aliases;
use super::answer::Answer;
use super::decode::{self, Header, Request, Writing};
use super::device::Device;
use super::encode::{Output, Ttl, kind_of_bits};
use super::inbox::Message;
use super::inflight::Inflight;
use super::notify::{Length, Notifier};
use super::places::{Place, Places};
use super::stale::StaleThreads;
use super::task;
use crate::errno;
use crate::fs::{Created, Entry, FileSystem, Handle, Node, Opened, Outcome, Pin, RenameFlags, Reply, Thread};
use crate::stats::Stats;

/// How long what was looked up on a second walk is kept, for the open that follows at once.
const PINNED: Duration = Duration::from_secs(2);

/// Everything that a request needs.
#[derive(Debug)]
pub(super) struct Dispatcher {
    fs: FileSystem,
    runtime: Runtime,
    stats: Arc<Stats>,
    notifier: Notifier,
    inflight: Arc<Inflight>,
    stale: Arc<StaleThreads>,
    places: Arc<Places>,
    aliases: Arc<Aliases>,
}

impl Dispatcher {
    pub(super) fn new(
        fs: FileSystem,
        runtime: Runtime,
        stats: Arc<Stats>,
        notifier: Notifier,
        aliases: Arc<Aliases>,
    ) -> Self {
        Self {
            fs,
            runtime,
            stats,
            notifier,
            inflight: Arc::default(),
            stale: Arc::default(),
            places: Arc::default(),
            aliases,
        }
    }

    /// Handles one message of the kernel. Returns at once.
    pub(super) fn handle(&self, device: &Arc<Device>, message: &Message<'_>) {
        let Ok((header, input)) = decode::header(message.bytes()) else {
            tracing::error!(len = message.bytes().len(), "a message of the kernel is cut off");
            return;
        };
        let Some(opcode) = Opcode::from_number(header.opcode) else {
            // A newer kernel's request; it will not ask again.
            let _ = device.answer(header.unique, -libc::ENOSYS, &[]);
            return;
        };
        let answer = Answer::new(device, &self.stats, header.unique, opcode);
        match decode::request(opcode, input) {
            Ok(request) => self.request(header, request, answer, message),
            Err(decode::Malformed) => {
                tracing::error!(?opcode, len = message.bytes().len(), "a request of the kernel is malformed");
                answer.error(PosixError::Invalid);
            }
        }
    }

    fn request(&self, header: Header, request: Request<'_>, answer: Answer, message: &Message<'_>) {
        let fs = &self.fs;
        let node = self.aliases.resolve(header.node);
        let caller = Caller { uid: header.uid, gid: header.gid };
        let call = Call { thread: header.pid, on_inode: None, answer };
        match request {
            Request::Lookup { name } if self.stale.walks_again(header.pid) => {
                let reply = fs.lookup_pinned(caller, node, name);
                let reply = self.met(reply, header, name, |found| &found.0);
                self.entry_pinned(call, reply);
            }
            Request::Lookup { name } => {
                let reply = self.met(fs.lookup(node, name), header, name, |entry| entry);
                self.found(call, Named::new(node, name), reply);
            }
            Request::GetAttr => self.attr(self.on_inode(call), fs.getattr(node)),
            Request::StatX => self.statx(self.on_inode(call), fs.getattr(node)),
            Request::SetAttr { set } => {
                self.set(self.on_inode(call), fs.setattr(caller, Thread(header.pid), node, set));
            }
            Request::ReadLink => {
                let encode = self.noting(node, 0, false, |target: Bytes, answer| answer.bytes(&target));
                self.reply(self.on_inode(call), fs.readlink(node), encode);
            }
            Request::Symlink { name, target } => {
                self.entry(call, Named::new(node, name), Named::makes, fs.symlink(caller, node, name, target));
            }
            Request::MkNod { name, mode, umask, rdev } => match kind_of_bits(mode) {
                Some(kind) => {
                    let made = fs.mknod(caller, node, name, kind, decode::asked(mode, umask), rdev);
                    self.entry(call, Named::new(node, name), Named::makes, made);
                }
                None => call.answer.error(PosixError::Invalid),
            },
            Request::MkDir { name, mode } => {
                let reply = fs.mkdir(caller, node, name, mode);
                self.entry(call, Named::new(node, name), Named::makes, self.met(reply, header, name, |entry| entry));
            }
            Request::Unlink { name } => self.done(call, fs.unlink(caller, node, name)),
            Request::RmDir { name } => self.done(call, fs.rmdir(caller, node, name)),
            Request::Rename { name, new_parent, new_name, flags } => {
                let to = (self.aliases.resolve(new_parent), new_name);
                let (old, new) = (Place::new(header.node, name), Place::new(new_parent, new_name));
                let (places, exchange) = (Arc::clone(&self.places), flags & libc::RENAME_EXCHANGE != 0);
                self.reply(call, fs.rename(caller, (node, name), to, RenameFlags(flags)), move |(), answer| {
                    places.renamed(&old, new, exchange);
                    answer.done();
                });
            }
            Request::Link { node: file, name } => {
                self.entry(call, Named::new(node, name), Named::links, fs.link(caller, Node(file), node, name));
            }
            Request::Open { flags, kill_privileges } => {
                let flags = OFlag::from_bits_retain(flags);
                self.open(
                    self.on_inode(call),
                    fs.open(caller, node, flags, kill_privileges.then_some(Thread(header.pid))),
                );
            }
            Request::Create { name, mode, flags } => {
                let flags = OFlag::from_bits_retain(flags);
                self.create(call, Some(Named::new(node, name)), fs.create(caller, node, name, mode, flags));
            }
            Request::TmpFile { mode, flags } => {
                let made = fs.create_unnamed(caller, node, mode, OFlag::from_bits_retain(flags));
                self.create(call, None, made);
            }
            Request::Read { offset, len, flags } => {
                let encode = self.noting(node, flags, false, |data, answer| answer.read(data));
                self.reply(call, fs.read(node, offset, len), encode);
            }
            Request::Write { .. } => self.write(call, (caller, node), request, message),
            Request::StatFs => self.reply(call, fs.statfs(), |stat, answer| answer.body(&statfs_out(stat))),
            Request::Release { handle, flocked } => self.done(call, fs.release(Handle(handle), flocked)),
            Request::FSync | Request::FSyncDir => self.done(call, fs.fsync(node)),
            Request::Flush { owner } => self.flush(call, fs.flush(node, LockOwner(owner))),
            Request::SetXattr { name, value, flags, kill_setgid } => match xattr_mode(flags) {
                Some(mode) => {
                    let thread = Thread(header.pid);
                    let set = fs.setxattr(caller, thread, node, name, value, mode, kill_setgid);
                    self.done(self.on_inode(call), set);
                }
                None => call.answer.error(PosixError::Invalid),
            },
            Request::GetXattr { name, room } => self.sized(self.on_inode(call), fs.getxattr(node, name), room),
            Request::ListXattr { room } => {
                self.sized(self.on_inode(call), fs.listxattr(Thread(header.pid), node), room);
            }
            Request::RemoveXattr { name } => {
                self.done(self.on_inode(call), fs.removexattr(caller, Thread(header.pid), node, name));
            }
            Request::OpenDir => self.opendir(self.on_inode(call), fs.opendir(caller, node)),
            Request::ReadDir { handle, offset, room, flags, plus } => {
                let (fs, directory) = (fs.clone(), header.node);
                let (aliases, places) = (Arc::clone(&self.aliases), Arc::clone(&self.places));
                let encode = self.noting(node, flags, true, move |listing, answer: Answer| {
                    let (telling, parent) = (fs.telling(), fs.ino(node));
                    let ttl = |name: &[u8], attr: &Attr| Ttl {
                        entry: telling.leads((parent, name), Some(attr.ino)),
                        attr: telling.believes(attr),
                    };
                    answer.body(&listing_out(&listing, directory, (room as usize, plus), ttl, (&aliases, &places)));
                });
                self.reply(call, self.fs.readdir(Handle(handle), offset, plus), encode);
            }
            Request::ReleaseDir { handle } => self.done(call, fs.releasedir(Handle(handle))),
            Request::GetLk(lock) => self.query_lock(call, lock),
            Request::SetLk { lock, wait } => self.lock(call, lock, wait),
            Request::FAllocate { handle, offset, len, mode } => {
                let mode = FallocateFlags::from_bits_retain(mode);
                self.done(call, fs.fallocate(caller, Thread(header.pid), Handle(handle), offset, len, mode));
            }
            // The server does not know what the kernel keeps back: it would tell a hole where bytes are.
            Request::LSeek { .. } if fs.is_alone() => call.answer.errno(Errno::ENOSYS),
            Request::LSeek { offset, whence } => self.seek(call, node, offset, whence),
            Request::Copy { .. } => self.copy(call, caller, request),
            Request::Interrupt { unique } => {
                call.answer.none();
                self.inflight.interrupt(unique);
            }
            Request::Forget { times } => {
                self.aliases.forget(header.node, times);
                call.answer.none();
            }
            Request::BatchForget { pairs } => {
                decode::forgets(pairs).for_each(|(id, times)| self.aliases.forget(id, times));
                call.answer.none();
            }
            Request::Destroy => call.answer.done(),
            Request::Init { .. } => call.answer.error(PosixError::Io),
            Request::Unsupported(Opcode::Ioctl) => call.answer.errno(Errno::ENOTTY),
            Request::Unsupported(_) => call.answer.errno(Errno::ENOSYS),
        }
    }

    /// Answers a reply, now or when it comes.
    fn reply<T: Send + 'static>(&self, call: Call, reply: Reply<T>, encode: impl FnOnce(T, Answer) + Send + 'static) {
        self.reply_or(call, reply, encode, drop);
    }

    /// The same; `undo` gets what came for a caller who was killed meanwhile, or whose patience with the
    /// server (`soft`) had ended.
    fn reply_or<T: Send + 'static>(
        &self,
        mut call: Call,
        reply: Reply<T>,
        encode: impl FnOnce(T, Answer) + Send + 'static,
        undo: impl FnOnce(T) + Send + 'static,
    ) {
        match reply {
            Reply::Now(outcome) => call.finish(outcome, encode),
            Reply::Later(future) => {
                call.answer.asks();
                let mut wait = self.inflight.enter(call.answer.unique());
                let patience = self.fs.session().patience();
                task::start(&self.runtime, async move {
                    let mut future: BoxFuture<'static, Outcome<T>> = future;
                    tokio::select! {
                        biased;
                        outcome = &mut future => return call.finish(outcome, encode),
                        () = wait.killed(call.thread) => call.answer.error(PosixError::Interrupted),
                        error = patience => call.answer.error(errno::answer(&error)),
                    }
                    if let Ok(value) = future.await {
                        undo(value);
                    }
                });
            }
        }
    }

    /// Notes, when what was read is there, that it was; `flags` are those of the handle. Not earlier: to
    /// move an access time puts the attributes in doubt, by which bytes are found in memory.
    fn noting<T>(
        &self,
        node: Node,
        flags: i32,
        directory: bool,
        encode: impl FnOnce(T, Answer) + Send + 'static,
    ) -> impl FnOnce(T, Answer) + Send + 'static {
        let fs = self.fs.clone();
        move |read, answer| {
            fs.note_read(node, OFlag::from_bits_retain(flags), directory);
            encode(read, answer);
        }
    }

    /// About an inode and not a name: "no such entry" then says that another host took the inode
    /// away since it was looked up, and the kernel has to walk the path again (`ESTALE`).
    fn on_inode(&self, call: Call) -> Call {
        Call { on_inode: Some(Arc::clone(&self.stale)), ..call }
    }

    fn done(&self, call: Call, reply: Reply<()>) {
        self.reply(call, reply, |(), answer| answer.done());
    }

    /// Answers with what a change made, or gave a name.
    fn entry(&self, call: Call, named: Named, believes: Believes, reply: Reply<Entry>) {
        let (fs, aliases) = (self.fs.clone(), Arc::clone(&self.aliases));
        self.reply(call, reply, move |entry, answer| {
            let telling = fs.telling();
            let ttl = believes(&named, &fs, &telling, &entry);
            let mut out = Output::with_capacity(abi::ENTRY_OUT);
            answer.body(out.entry_out(aliases.tell(entry.node), entry.node.0, &entry.attr, ttl));
        });
    }

    /// Answers a lookup; also that there is nothing is told for a while.
    fn found(&self, call: Call, named: Named, reply: Reply<Entry>) {
        let (fs, aliases) = (self.fs.clone(), Arc::clone(&self.aliases));
        let reply = reply.or_nothing();
        self.reply(call, reply, move |found, answer| {
            let telling = fs.telling();
            let ttl = named.leads(&fs, &telling, found.as_ref());
            let mut out = Output::with_capacity(abi::ENTRY_OUT);
            match found {
                Some(entry) => {
                    let ttl = Ttl { attr: telling.believes(&entry.attr), entry: ttl };
                    answer.body(out.entry_out(aliases.tell(entry.node), entry.node.0, &entry.attr, ttl));
                }
                None if ttl.is_zero() => answer.error(PosixError::NoEntry),
                None => answer.body(out.no_entry_out(ttl)),
            }
        });
    }

    fn entry_pinned(&self, call: Call, reply: Reply<(Entry, Option<Pin>)>) {
        let (runtime, aliases) = (self.runtime.clone(), Arc::clone(&self.aliases));
        self.reply(call, reply, move |(entry, pin), answer| {
            let mut out = Output::with_capacity(abi::ENTRY_OUT);
            answer.body(out.entry_out(aliases.tell(entry.node), entry.node.0, &entry.attr, Ttl::default()));
            if pin.is_some() {
                runtime.spawn(async move {
                    tokio::time::sleep(PINNED).await;
                    drop(pin);
                });
            }
        });
    }

    fn attr(&self, call: Call, reply: Reply<Entry>) {
        let fs = self.fs.clone();
        self.reply(call, reply, move |entry, answer| {
            let telling = fs.telling();
            let ttl = Ttl { attr: telling.believes(&entry.attr), ..Ttl::default() };
            let mut out = Output::default();
            answer.body(out.attr_out(entry.node.0, &entry.attr, ttl));
        });
    }

    fn statx(&self, call: Call, reply: Reply<Entry>) {
        let fs = self.fs.clone();
        self.reply(call, reply, move |entry, answer| {
            let telling = fs.telling();
            let ttl = Ttl { attr: telling.believes(&entry.attr), ..Ttl::default() };
            let mut out = Output::default();
            answer.body(out.statx_out(entry.node.0, &entry.attr, ttl));
        });
    }

    /// Answers with attributes after a change of them; as [`entry`](Self::entry).
    fn set(&self, call: Call, reply: Reply<Entry>) {
        let fs = self.fs.clone();
        self.reply(call, reply, move |entry, answer| {
            let ttl = Ttl { attr: fs.believes_changed(), ..Ttl::default() };
            let mut out = Output::default();
            answer.body(out.attr_out(entry.node.0, &entry.attr, ttl));
        });
    }

    fn open(&self, call: Call, reply: Reply<Opened>) {
        let (fs, opens, stale, thread) = (self.fs.clone(), self.fs.clone(), Arc::clone(&self.stale), call.thread);
        let encode = move |opened: Opened, answer: Answer| {
            stale.opened(thread);
            let mut out = Output::default();
            answer.body(out.open_out(opened.handle.0, open_flags(opened.caching)));
            opens.note_opener(opened.handle, thread);
        };
        self.reply_or(call, reply, encode, move |opened| drop(fs.release(opened.handle, false)));
    }

    fn opendir(&self, call: Call, reply: Reply<Handle>) {
        let fs = self.fs.clone();
        let encode = |handle: Handle, answer: Answer| {
            let mut out = Output::default();
            answer.body(out.open_out(handle.0, 0));
        };
        self.reply_or(call, reply, encode, move |handle| drop(fs.releasedir(handle)));
    }

    /// `named`: not of a file without a name.
    fn create(&self, call: Call, named: Option<Named>, reply: Reply<Created>) {
        let (fs, opens, thread) = (self.fs.clone(), self.fs.clone(), call.thread);
        let encode = move |created: Created, answer: Answer| match created {
            Created::New(entry, opened) => {
                let telling = opens.telling();
                let ttl = named.map(|named| named.makes(&opens, &telling, &entry)).unwrap_or_default();
                let mut out = Output::with_capacity(abi::ENTRY_OUT + 16);
                out.entry_out(entry.node.0, entry.node.0, &entry.attr, ttl);
                answer.body(out.open_out(opened.handle.0, open_flags(opened.caching)));
                drop(telling);
                opens.note_opener(opened.handle, thread);
            }
            // Makes the kernel walk the path again, and open what it finds with all its checks.
            Created::Raced => answer.errno(Errno::ESTALE),
        };
        let undo = move |created| {
            if let Created::New(_, opened) = created {
                drop(fs.release(opened.handle, false));
            }
        };
        self.reply_or(call, reply, encode, undo);
    }

    fn write(&self, call: Call, (caller, node): (Caller, Node), request: Request<'_>, message: &Message<'_>) {
        let Request::Write { handle, offset, data, flags, kind } = request else {
            return call.answer.error(PosixError::Io);
        };
        self.stats.wrote(data.len());
        let killer = (kind == Writing::CallWithoutRights).then_some(Thread(call.thread));
        let flags = OFlag::from_bits_retain(flags);
        let at = match kind {
            // The kernel knows where the end is, and what lies before it; and the times of what it kept back.
            Writing::Mapped if self.fs.is_alone() => WriteAt::WrittenBack(offset),
            _ if self.fs.is_alone() => WriteAt::Offset(offset),
            Writing::Mapped => WriteAt::Mapped(offset),
            _ if flags.contains(OFlag::O_APPEND) => WriteAt::End,
            _ => WriteAt::Offset(offset),
        };
        let data = message.keep(data);
        let reply = self.fs.write(caller, Handle(handle), at, data, flags, killer);
        let (notifier, fs) = (self.notifier.clone(), self.fs.clone());
        self.reply(call, reply, move |written, answer| {
            let tell = move || answer.body(Output::default().u32(written.len).u32(0));
            if written.offset == offset {
                return tell();
            }
            // An append, and the kernel believed the end to be elsewhere.
            let from = offset.min(written.offset);
            let cached = fs.goes_through_cache(Handle(handle));
            let length: Length = Box::new(move || fs.size_heard(node));
            let longer = (offset < written.offset).then_some(length);
            if cached {
                // It has cached the bytes there, and keeps a page locked until it hears the answer.
                tell();
                notifier.changed(node, from, None, longer, || ());
            } else {
                // Not after the answer: a request for attributes that is on its way meanwhile would be
                // in vain, and the next read(2) would go by the length that the kernel believed.
                notifier.changed(node, from, None, longer, tell);
            }
        });
    }

    fn seek(&self, call: Call, node: Node, offset: u64, whence: u32) {
        let hole = match i32::try_from(whence) {
            Ok(libc::SEEK_DATA) => false,
            Ok(libc::SEEK_HOLE) => true,
            _ => return call.answer.error(PosixError::Invalid),
        };
        self.reply(call, self.fs.seek(node, offset, hole), |offset, answer| {
            let mut out = Output::default();
            answer.body(out.u64(offset));
        });
    }

    fn copy(&self, call: Call, caller: Caller, request: Request<'_>) {
        let Request::Copy { from, from_offset, to, to_offset, len, flags, wide } = request else {
            return call.answer.error(PosixError::Io);
        };
        if flags != 0 {
            return call.answer.error(PosixError::Invalid);
        }
        let reply =
            self.fs.copy(caller, Thread(call.thread), (Handle(from), from_offset), (Handle(to), to_offset), len);
        self.reply(call, reply, move |copied, answer| {
            let mut out = Output::default();
            answer.body(if wide { out.u64(copied) } else { out.u32(u32::try_from(copied).unwrap_or(u32::MAX)).u32(0) });
        });
    }

    fn sized(&self, call: Call, reply: Reply<Bytes>, room: u32) {
        self.reply(call, reply, move |value, answer| {
            let len = u32::try_from(value.len()).unwrap_or(u32::MAX);
            if room == 0 {
                let mut out = Output::default();
                answer.body(out.u32(len).u32(0));
            } else if len > room {
                answer.error(PosixError::OutOfRange);
            } else {
                answer.bytes(&value);
            }
        });
    }
}
