//! Names: lookup, what makes them, what moves them, what takes them away.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use holdfast_core::attr::{Attr, FileKind, Mode};
use holdfast_core::derive::AskedMode;
use holdfast_core::error::PosixError;
use holdfast_core::limits::SYMLINK_BYTES_MAX;
use holdfast_core::name::FileName;
use holdfast_core::op::{Caller, NewNode, Op, OpReply, RenameMode};
use nix::fcntl::OFlag;

use super::handles::CreateTicket;
use super::open::Opened;
use super::{Entry, FileSystem, Node, Outcome, RACES_MAX, Reply, Shared, Thread, attr_of, check, file_name};
use crate::errno;

/// What came of a create that opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The file is open, and new; or another host made it at the same moment and it is the
    /// caller's own.
    New(Entry, Opened),
    /// Another host made the name between our lookup and our create, and the caller does not ask
    /// to be the only one (`O_EXCL`): look it up and open it. The kernel has not yet checked the
    /// caller's permission on it, so it is not opened here.
    Raced,
}

/// Flags of renameat2(2), as the system call takes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RenameFlags(pub u32);

impl RenameFlags {
    fn mode(self) -> Outcome<RenameMode> {
        match self.0 {
            0 => Ok(RenameMode::Replace),
            libc::RENAME_NOREPLACE => Ok(RenameMode::NoReplace),
            libc::RENAME_EXCHANGE => Ok(RenameMode::Exchange),
            libc::RENAME_WHITEOUT => Ok(RenameMode::Whiteout),
            both if both == libc::RENAME_WHITEOUT | libc::RENAME_NOREPLACE => Ok(RenameMode::WhiteoutNoReplace),
            _ => Err(PosixError::Invalid),
        }
    }
}

impl FileSystem {
    /// What a name in a directory leads to; `.` and `..` too. The root's `..` is itself.
    pub fn lookup(&self, parent: Node, name: &[u8]) -> Reply<Entry> {
        let shared = Arc::clone(&self.shared);
        let ino = shared.ino(parent);
        match name {
            b".." if parent == Node::ROOT => self.entry_of(parent),
            b"." => self.entry_of(parent),
            b".." => Reply::later(async move { shared.found(shared.session.lookup_parent(ino).await) }),
            _ => {
                let name = check!(file_name(name));
                match shared.remembered(ino, &name) {
                    Some(found) => Reply::Now(found),
                    None => Reply::later(async move {
                        shared.read_on(ino);
                        shared.find(ino, name).await
                    }),
                }
            }
        }
    }

    fn entry_of(&self, node: Node) -> Reply<Entry> {
        self.getattr(node)
    }

    /// open(2) of a name that was not there: makes the file and opens it in one step.
    pub fn create(&self, caller: Caller, parent: Node, name: &[u8], mode: AskedMode, flags: OFlag) -> Reply<Created> {
        let name = check!(file_name(name));
        let fs = self.clone();
        let op = fs.create_open(parent, name.clone(), mode);
        if let Some(created) = fs.shared.create_here(caller, &op, flags) {
            return Reply::Now(created);
        }
        let making = fs.submit_open(caller, op, flags);
        Reply::later(async move {
            let mut made = making.await;
            // The name may come and go under us while other hosts take and give it.
            for _ in 0..RACES_MAX {
                match made {
                    Err(PosixError::Exists) if !flags.contains(OFlag::O_EXCL) => {}
                    made => return made,
                }
                match fs.open_own(caller, parent, &name, flags).await {
                    Err(PosixError::NoEntry) => {}
                    opened => return opened,
                }
                made = fs.submit_open(caller, fs.create_open(parent, name.clone(), mode), flags).await;
            }
            Ok(Created::Raced)
        })
    }

    /// open(2) with `O_TMPFILE`: makes a file without a name in a directory, and opens it.
    pub fn create_unnamed(&self, caller: Caller, parent: Node, mode: AskedMode, flags: OFlag) -> Reply<Created> {
        let op = Op::CreateUnnamed { parent: self.shared.ino(parent), mode };
        Reply::later(self.submit_open(caller, op, flags))
    }

    fn create_open(&self, parent: Node, name: FileName, mode: AskedMode) -> Op {
        let parent = self.shared.ino(parent);
        Op::Create { parent, name, node: NewNode::File { open: true }, mode, ino: None }
    }

    fn submit_open(
        &self,
        caller: Caller,
        op: Op,
        flags: OFlag,
    ) -> impl Future<Output = Outcome<Created>> + Send + 'static + use<> {
        let shared = &self.shared;
        let (ticket, made) = {
            let ((files, ticket), made) = shared.submit_holding(caller, op, || {
                let mut files = shared.files.lock();
                let ticket = files.begin_create();
                (files, ticket)
            });
            drop(files);
            (Creating::new(shared, ticket), made)
        };
        async move {
            let attr = attr_of(made.await?)?;
            Ok(Created::New(ticket.shared.entry(attr), ticket.opened(&attr, flags)?))
        }
    }

    /// Opens what another host made meanwhile, if the caller owns it and so surely may.
    async fn open_own(&self, caller: Caller, parent: Node, name: &FileName, flags: OFlag) -> Outcome<Created> {
        let shared = &self.shared;
        let entry = shared.find(shared.ino(parent), name.clone()).await?;
        let wanted = match flags & OFlag::O_ACCMODE {
            OFlag::O_RDONLY => 0o400,
            OFlag::O_WRONLY => 0o200,
            _ => 0o600,
        };
        let attr = &entry.attr;
        let owner_may = attr.uid == caller.uid && attr.mode.bits() & wanted == wanted;
        if attr.kind != FileKind::Regular || !owner_may {
            return Ok(Created::Raced);
        }
        let opened = self.open(caller, entry.node, flags, (caller.uid != 0).then_some(Thread(0))).wait().await?;
        Ok(Created::New(entry, opened))
    }

    /// mknod(2): a file, pipe, socket or device.
    pub fn mknod(
        &self,
        caller: Caller,
        parent: Node,
        name: &[u8],
        kind: FileKind,
        mode: AskedMode,
        rdev: u32,
    ) -> Reply<Entry> {
        let node = match kind {
            FileKind::Regular => NewNode::File { open: false },
            FileKind::Fifo | FileKind::Socket => NewNode::Special { kind, rdev: 0 },
            FileKind::CharDevice | FileKind::BlockDevice => NewNode::Special { kind, rdev },
            FileKind::Directory => return Reply::Now(Err(PosixError::NotPermitted)),
            FileKind::Symlink => return Reply::Now(Err(PosixError::Invalid)),
        };
        self.make(caller, parent, name, node, mode)
    }

    /// mkdir(2).
    pub fn mkdir(&self, caller: Caller, parent: Node, name: &[u8], mode: AskedMode) -> Reply<Entry> {
        self.make(caller, parent, name, NewNode::Directory, mode)
    }

    /// symlink(2).
    pub fn symlink(&self, caller: Caller, parent: Node, name: &[u8], target: &[u8]) -> Reply<Entry> {
        match target.len() {
            0 => return Reply::Now(Err(PosixError::NoEntry)),
            1..=SYMLINK_BYTES_MAX => {}
            _ => return Reply::Now(Err(PosixError::NameTooLong)),
        }
        let node = NewNode::Symlink { target: Bytes::copy_from_slice(target) };
        self.make(caller, parent, name, node, Mode::from_bits(0o777).into())
    }

    fn make(&self, caller: Caller, parent: Node, name: &[u8], node: NewNode, mode: AskedMode) -> Reply<Entry> {
        let name = check!(file_name(name));
        self.change_to_entry(caller, Op::Create { parent: self.shared.ino(parent), name, node, mode, ino: None })
    }

    /// link(2): another name for a file.
    pub fn link(&self, caller: Caller, node: Node, parent: Node, name: &[u8]) -> Reply<Entry> {
        let name = check!(file_name(name));
        self.change_to_entry(caller, Op::Link { ino: self.shared.ino(node), parent: self.shared.ino(parent), name })
    }

    /// unlink(2). Handles of the file stay usable.
    pub fn unlink(&self, caller: Caller, parent: Node, name: &[u8]) -> Reply<()> {
        let name = check!(file_name(name));
        self.change(caller, Op::Unlink { parent: self.shared.ino(parent), name })
    }

    /// rmdir(2).
    pub fn rmdir(&self, caller: Caller, parent: Node, name: &[u8]) -> Reply<()> {
        let name = check!(file_name(name));
        self.change(caller, Op::Rmdir { parent: self.shared.ino(parent), name })
    }

    /// renameat2(2), with `RENAME_EXCHANGE`, `RENAME_NOREPLACE` and `RENAME_WHITEOUT`; other flags, and the first
    /// together with one of those, are `Invalid`.
    pub fn rename(
        &self,
        caller: Caller,
        (parent, name): (Node, &[u8]),
        (new_parent, new_name): (Node, &[u8]),
        flags: RenameFlags,
    ) -> Reply<()> {
        let op = Op::Rename {
            mode: check!(flags.mode()),
            parent: self.shared.ino(parent),
            name: check!(file_name(name)),
            new_parent: self.shared.ino(new_parent),
            new_name: check!(file_name(new_name)),
        };
        self.change(caller, op)
    }

    /// readlink(2).
    pub fn readlink(&self, node: Node) -> Reply<Bytes> {
        let shared = Arc::clone(&self.shared);
        Reply::later(
            async move { shared.session.readlink(shared.ino(node)).await.map_err(|error| errno::answer(&error)) },
        )
    }

    pub(super) fn change(&self, caller: Caller, op: Op) -> Reply<()> {
        if self.shared.answer(caller, &op).is_some() {
            return Reply::Now(Ok(()));
        }
        let changed = self.shared.submit(caller, op);
        Reply::later(async move {
            match changed.await? {
                OpReply::Done | OpReply::Attr(_) | OpReply::Written { .. } | OpReply::Copied { .. } => Ok(()),
            }
        })
    }

    fn change_to_entry(&self, caller: Caller, op: Op) -> Reply<Entry> {
        if let Some(reply) = self.shared.answer(caller, &op) {
            return Reply::Now(attr_of(reply).map(|attr| self.shared.entry(attr)));
        }
        let changed = self.shared.submit(caller, op);
        let shared = Arc::clone(&self.shared);
        Reply::later(async move { Ok(shared.entry(attr_of(changed.await?)?)) })
    }
}

impl Shared {
    /// Makes a file and opens it, under its directory's lease.
    fn create_here(self: &Arc<Self>, caller: Caller, op: &Op, flags: OFlag) -> Option<Outcome<Created>> {
        let (_unused, reply, mut files) = self.memory.change(caller, op, || self.files.lock())?;
        let attr = match attr_of(reply) {
            Ok(attr) => attr,
            Err(error) => return Some(Err(error)),
        };
        let file = self.open_file(attr.ino, flags);
        files.begin_open(attr.ino);
        let handle = files.finish_open(file);
        drop(files);
        Some(Ok(Created::New(self.entry(attr), self.opened(handle, &attr, file))))
    }

    fn found(&self, attr: holdfast_core::error::Result<Attr>) -> Outcome<Entry> {
        attr.map(|attr| self.entry(attr)).map_err(|error| errno::answer(&error))
    }
}

/// A create in flight; ends its ticket whatever becomes of the future.
struct Creating {
    shared: Arc<Shared>,
    ticket: Option<CreateTicket>,
}

impl Creating {
    fn new(shared: &Arc<Shared>, ticket: CreateTicket) -> Self {
        Self { shared: Arc::clone(shared), ticket: Some(ticket) }
    }

    fn opened(mut self, attr: &Attr, flags: OFlag) -> Outcome<Opened> {
        let ticket = self.ticket.take().ok_or(PosixError::Io)?;
        let file = self.shared.open_file(attr.ino, flags);
        let handle = {
            let mut files = self.shared.files.lock();
            let (handle, closes) = files.finish_create(ticket, Some(file));
            self.shared.submit_closes(closes);
            handle.ok_or(PosixError::Io)?
        };
        Ok(self.shared.opened(handle, attr, file))
    }
}

impl Drop for Creating {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let mut files = self.shared.files.lock();
            let (_, closes) = files.finish_create(ticket, None);
            self.shared.submit_closes(closes);
        }
    }
}
