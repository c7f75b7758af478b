//! Open, release, and what the kernel may cache of an open file.

use std::future::Future;
use std::sync::Arc;

use holdfast_client::Access;
use holdfast_core::attr::{Attr, FileKind};
use holdfast_core::error::PosixError;
use holdfast_core::id::{InodeId, LockOwner};
use holdfast_core::lock::LockSpace;
use holdfast_core::op::{Caller, Op, OpReply};
use nix::fcntl::OFlag;
use parking_lot::MutexGuard;

use super::handles::{Bypass, OpenFile, OpenFiles, Owner};
use super::{Entry, FileSystem, Handle, Node, Outcome, RACES_MAX, Reply, Shared, Thread, attr_of};

/// What the kernel's page cache may do for a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// Nothing: each read and write comes here. For `O_DIRECT`; and, unless the mount is alone, for handles that
    /// append, since the kernel would cache what it appends where *it* believes the end of the file to be,
    /// and for those that only write: it would drop what they have cached at the next look at the file, whose
    /// time has changed, and asks for the capabilities of each new file before it caches anything.
    Bypass(Bypass),
    /// Cache, but start empty: others may have changed the file while it was closed.
    Fresh,
    /// Cache, and what is there from earlier opens is still true.
    Keep,
}

/// An open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Names it in later calls.
    pub handle: Handle,
    /// What may be cached.
    pub caching: Caching,
}

impl FileSystem {
    /// open(2) of a file that is there. `O_TRUNC` empties it in the same step, but not a program that
    /// runs here; `killer`: by somebody without `CAP_FSETID`.
    pub fn open(&self, caller: Caller, node: Node, flags: OFlag, killer: Option<Thread>) -> Reply<Opened> {
        let ino = self.shared.ino(node);
        let truncate = flags.contains(OFlag::O_TRUNC);
        // The kernel asks for the right to write before this call if the file is opened to be written,
        // but only behind it if it is opened to be read and emptied.
        if truncate && flags & OFlag::O_ACCMODE == OFlag::O_RDONLY && self.shared.files.lock().is_run(ino) {
            return Reply::Now(Err(PosixError::TextBusy));
        }
        if !truncate && let Some((opening, attr)) = self.shared.open_here(caller, ino) {
            return Reply::Now(opening.opened(&attr, flags));
        }
        let op = Op::Open { ino, truncate, kill_privileges: truncate && killer.is_some() };
        if let Some((_unused, reply, (files, opening, _))) =
            self.shared.memory.change(caller, &op, || self.shared.count_open(ino))
        {
            drop(files);
            return Reply::Now(attr_of(reply).and_then(|attr| opening.opened(&attr, flags)));
        }
        let (opening, opened) = self.shared.begin_open(caller, ino, op);
        let shared = Arc::clone(&self.shared);
        Reply::later(async move {
            let attr = attr_of(opened.await?)?;
            if let Some(thread) = killer.filter(|_| truncate) {
                shared.drop_foreign_setgid(caller, thread, attr).await?;
            }
            opening.opened(&attr, flags)
        })
    }

    /// What a name leads to, as [`lookup`](Self::lookup); if it is a regular file it cannot go before
    /// the pin goes, whatever other hosts do to its names.
    pub fn lookup_pinned(&self, caller: Caller, parent: Node, name: &[u8]) -> Reply<(Entry, Option<Pin>)> {
        let fs = self.clone();
        let name = name.to_vec();
        Reply::later(async move {
            for _ in 0..RACES_MAX {
                let entry = fs.lookup(parent, &name).wait().await?;
                if entry.attr.kind != FileKind::Regular {
                    return Ok((entry, None));
                }
                let ino = entry.attr.ino;
                match fs.shared.pin(caller, ino).await {
                    Ok((pin, attr)) => return Ok((fs.shared.entry(attr), Some(pin))),
                    // Replaced meanwhile: the name leads to another file now, or to none.
                    Err(PosixError::NoEntry) => {}
                    Err(error) => return Err(error),
                }
            }
            Err(PosixError::NoEntry)
        })
    }

    /// The last reference to a handle is gone (also mappings). `flocked`: a flock(2) may be held
    /// through it.
    pub fn release(&self, handle: Handle, flocked: bool) -> Reply<()> {
        let files = self.shared.files.lock();
        let Some(ino) = files.ino(handle).filter(|&ino| flocked || files.may_be_locked(ino)) else {
            return self.release_with(files, handle, flocked, false);
        };
        // The memory's lock comes first.
        drop(files);
        let memory = &self.shared.memory;
        memory.on_locks(ino, |alone| self.release_with(self.shared.files.lock(), handle, flocked, alone))
    }

    fn release_with(
        &self,
        mut files: MutexGuard<'_, OpenFiles>,
        handle: Handle,
        flocked: bool,
        alone: bool,
    ) -> Reply<()> {
        let released = files.release(handle);
        self.shared.submit_closes(released.close);
        let Some(ino) = released.ino else { return Reply::Now(Err(PosixError::BadHandle)) };
        let flock = flocked.then(|| (handle.flock_owner(), LockSpace::Flock));
        let records = released.unlock.into_iter().map(|owner| (owner, LockSpace::Record));
        let unlocks: Vec<_> = records.chain(flock).filter_map(|lock| self.shared.unlock(ino, lock, alone)).collect();
        drop(files);
        if unlocks.is_empty() {
            return Reply::Now(Ok(()));
        }
        Reply::later(async move {
            for unlocked in unlocks {
                unlocked.await?;
            }
            Ok(())
        })
    }

    /// close(2) of one descriptor: the process's fcntl(2) locks on the file go, and a loss of
    /// changes that nobody has heard of is told, once. No round trip where neither is the case.
    pub fn flush(&self, node: Node, owner: LockOwner) -> Reply<()> {
        let ino = self.shared.ino(node);
        let unlocked = if self.shared.files.lock().may_be_locked(ino) {
            self.shared.memory.on_locks(ino, |alone| {
                let mut files = self.shared.files.lock();
                let locker = files.take_locker(ino, owner);
                locker.then(|| self.shared.unlock(ino, (owner, LockSpace::Record), alone)).flatten()
            })
        } else {
            None
        };
        let Some(unlocked) = unlocked else { return Reply::Now(self.shared.tell_loss(ino)) };
        let shared = Arc::clone(&self.shared);
        Reply::later(async move {
            unlocked.await?;
            shared.tell_loss(ino)
        })
    }
}

impl OpenFile {
    /// A file that is opened with these flags; `alone`: where the kernel knows the end of each file.
    fn new(ino: InodeId, flags: OFlag, alone: bool) -> Self {
        let mode = flags & OFlag::O_ACCMODE;
        let access = Access {
            read: mode != OFlag::O_WRONLY,
            write: mode != OFlag::O_RDONLY,
            append: flags.contains(OFlag::O_APPEND),
        };
        let runs = flags.contains(FMODE_EXEC);
        Self { ino, bypass: bypasses(flags, alone), access, runs, opener: None }
    }
}

/// What execve(2) adds to the flags of an open (`__FMODE_EXEC` of the kernel's include/linux/fs.h).
const FMODE_EXEC: OFlag = OFlag::from_bits_retain(0x20);

/// How a handle goes past the kernel's page cache, if it does.
fn bypasses(flags: OFlag, alone: bool) -> Option<Bypass> {
    let mode = flags & OFlag::O_ACCMODE;
    let appends = mode != OFlag::O_RDONLY && flags.contains(OFlag::O_APPEND);
    if flags.contains(OFlag::O_DIRECT) || (appends && !alone) {
        Some(Bypass::Parallel)
    } else if mode == OFlag::O_WRONLY && !alone {
        Some(Bypass::InOrder)
    } else {
        None
    }
}

impl Shared {
    /// A file that is opened with these flags.
    pub(super) fn open_file(&self, ino: InodeId, flags: OFlag) -> OpenFile {
        OpenFile::new(ino, flags, self.session.is_exclusive())
    }

    /// Decides about the cache of a handle whose open was just answered.
    pub(super) fn opened(&self, handle: Handle, attr: &Attr, file: OpenFile) -> Opened {
        self.files.lock().note_owner(attr.ino, Owner::of(attr));
        let keep = self.versions.opened(attr.ino, attr.data_version, attr.size, self.session.info().epoch);
        let caching = match file.bypass {
            Some(how) => Caching::Bypass(how),
            None if keep || self.session.is_exclusive() => Caching::Keep,
            None => Caching::Fresh,
        };
        Opened { handle, caching }
    }

    /// Opens an inode for as long as the pin is kept; sent before this returns.
    pub(super) fn pin(
        self: &Arc<Self>,
        caller: Caller,
        ino: InodeId,
    ) -> impl Future<Output = Outcome<(Pin, Attr)>> + Send + 'static + use<> {
        let op = Op::open(ino);
        let (opening, opened) = self.begin_open(caller, ino, op);
        async move { Ok((Pin { _opening: opening }, attr_of(opened.await?)?)) }
    }

    /// Opens an inode under its lease: it is surely there, unless this mount is taking its name away, and the
    /// server hears of the open before it has the lease back.
    pub(super) fn open_here(self: &Arc<Self>, caller: Caller, ino: InodeId) -> Option<(Opening, Attr)> {
        let opened = self.memory.under_lease(ino, |attr| {
            if attr.nlink == 0 || !self.session.is_sure() {
                return None;
            }
            let (files, opening, alone) = self.count_open(ino);
            if alone {
                self.session.open_idly(caller, ino);
            } else {
                self.session.submit_idly(caller, Op::open(ino));
            }
            drop(files);
            Some((opening, attr))
        });
        opened.flatten()
    }

    /// A pin as [`pin`](Self::pin), under the inode's lease.
    pub(super) fn pin_here(self: &Arc<Self>, caller: Caller, ino: InodeId) -> Option<(Pin, Attr)> {
        self.open_here(caller, ino).map(|(opening, attr)| (Pin { _opening: opening }, attr))
    }

    /// Counts an open and submits it, in one step.
    fn begin_open(
        self: &Arc<Self>,
        caller: Caller,
        ino: InodeId,
        op: Op,
    ) -> (Opening, impl Future<Output = Outcome<OpReply>> + Send + 'static + use<>) {
        let ((files, opening, _), opened) = self.submit_holding(caller, op, || self.count_open(ino));
        drop(files);
        (opening, opened)
    }

    /// Counts an open. The table is locked until it has its place in the order; let it go first. True:
    /// nothing else has it open.
    fn count_open(self: &Arc<Self>, ino: InodeId) -> (MutexGuard<'_, OpenFiles>, Opening, bool) {
        let mut files = self.files.lock();
        let alone = files.begin_open(ino);
        (files, Opening { shared: Arc::clone(self), ino: Some(ino) }, alone)
    }

    fn tell_loss(&self, ino: InodeId) -> Outcome<()> {
        if self.session.take_loss(ino) { Err(PosixError::Io) } else { Ok(()) }
    }
}

/// Keeps an inode usable that may lose its last name at any moment. Gone when dropped.
#[derive(Debug)]
pub struct Pin {
    _opening: Opening,
}

/// An open in flight; takes its count back if nobody waits for it to the end.
#[derive(Debug)]
pub(super) struct Opening {
    shared: Arc<Shared>,
    ino: Option<InodeId>,
}

impl Opening {
    fn opened(mut self, attr: &Attr, flags: OFlag) -> Outcome<Opened> {
        let ino = self.ino.take().ok_or(PosixError::Io)?;
        let file = self.shared.open_file(ino, flags);
        let handle = self.shared.files.lock().finish_open(file);
        Ok(self.shared.opened(handle, attr, file))
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if let Some(ino) = self.ino.take() {
            let mut files = self.shared.files.lock();
            let closes = files.abandon_open(ino);
            self.shared.submit_closes(closes);
        }
    }
}
