//! A program on a host: random calls on the objects, one after the other, each noted with its answer.
//!
//! A program that may lose what it has not synced syncs within each call that changes something: then a call
//! that fails was done by its end, or never.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::attr::Mode;
use holdfast_core::error::PosixError;
use holdfast_core::id::LockOwner;
use holdfast_core::lock::{LockMode, LockRange, LockSpace};
use holdfast_core::op::{Caller, WriteAt};
use holdfast_fuse::fs::{Created, FileSystem, Handle, LockRequest, Node, Outcome, RenameFlags};
use holdfast_tests::linear::End;
use holdfast_tests::linear::objects::{LockCall, NamesCall, RegisterCall};
use holdfast_tests::random::Random;
use nix::fcntl::OFlag;
use tokio::time::sleep;

use crate::log::{Call, Kind, Log, NAMES, OBJECTS, QUIET};

const CALLER: Caller = Caller { uid: 0, gid: 0 };
/// Bytes of a register: one number, again and again, so that a mixture of two is seen.
const SHORT: usize = 64;
/// More than travels within an operation.
const LONG: usize = 70_000;
/// A file may be replaced, and so be gone, between the lookup and the open.
const RACES_MAX: usize = 50;

/// Between which moments a host may have lost its locks.
#[derive(Debug, Default)]
pub(crate) struct Fence {
    pub(crate) begun: AtomicU64,
    pub(crate) over: AtomicU64,
}

/// A program, and what it needs.
pub(crate) struct Program {
    /// Who it is among all programs of all hosts.
    pub(crate) number: usize,
    pub(crate) fs: FileSystem,
    pub(crate) log: Log,
    pub(crate) random: Random,
    /// Of a host that may be given up; no other may meet an error.
    pub(crate) fence: Option<Arc<Fence>>,
    /// The directories of the objects.
    pub(crate) dirs: Vec<Node>,
    pub(crate) open: BTreeMap<usize, (Node, Handle)>,
    pub(crate) last: u64,
    /// It only looks names of the quiet directory up: a host that is cut off answers that for as long as it
    /// trusts its leases.
    pub(crate) glances: bool,
}

/// What a register holds.
fn content(value: u64, len: usize) -> Bytes {
    let mut bytes = value.to_le_bytes().repeat(len.div_ceil(8));
    bytes.truncate(len);
    bytes.into()
}

fn value(bytes: &[u8]) -> Option<u64> {
    let first = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    (bytes == content(first, bytes.len())).then_some(first)
}

/// Makes the directories of all objects, and the files in them.
///
/// # Errors
/// The file system's.
pub(crate) async fn prepare(fs: &FileSystem) -> Outcome<()> {
    for (object, kind) in OBJECTS.into_iter().enumerate() {
        let dir = fs.mkdir(CALLER, Node::ROOT, name(object).as_bytes(), mode(0o755)).wait().await?.node;
        if kind != Kind::Names {
            let flags = OFlag::O_WRONLY | OFlag::O_EXCL;
            let Created::New(_, opened) = fs.create(CALLER, dir, b"value", mode(0o644), flags).wait().await? else {
                return Err(PosixError::Exists);
            };
            let content = content(0, SHORT);
            fs.write(CALLER, opened.handle, WriteAt::Offset(0), content, OFlag::empty(), None).wait().await?;
            fs.release(opened.handle, false).wait().await?;
        }
    }
    fs.fsync(Node::ROOT).wait().await
}

/// The directories of all objects.
///
/// # Errors
/// The file system's.
pub(crate) async fn directories(fs: &FileSystem) -> Outcome<Vec<Node>> {
    let mut dirs = Vec::new();
    for object in 0..OBJECTS.len() {
        dirs.push(fs.lookup(Node::ROOT, name(object).as_bytes()).wait().await?.node);
    }
    Ok(dirs)
}

fn name(object: usize) -> String {
    format!("o{object}")
}

fn mode(bits: u32) -> holdfast_core::derive::AskedMode {
    Mode::from_bits(bits).into()
}

impl Program {
    /// Does so many calls, with pauses between them.
    pub(crate) async fn run(mut self, calls: usize) {
        for _ in 0..calls {
            let object = if self.glances || self.random.percent(1) { QUIET } else { self.random.index(QUIET) };
            tracing::debug!(program = self.number, object = ?OBJECTS[object], at = self.log.now(), "a call begins");
            if self.glances {
                self.glance(object).await;
            } else {
                self.act(object).await;
            }
            tracing::debug!(program = self.number, object = ?OBJECTS[object], at = self.log.now(), "it is over");
            // Who only looks is still there when a lease is over.
            let pause = match self.random.percent(70) {
                _ if self.glances => self.random.below(400),
                true => self.random.below(25),
                false => self.random.below(150),
            };
            sleep(Duration::from_millis(pause)).await;
        }
        for (_, handle) in std::mem::take(&mut self.open).into_values() {
            let _ = self.fs.release(handle, false).wait().await;
        }
    }

    /// Reads every object once: what it is in the end.
    pub(crate) async fn read_all(mut self) {
        for (object, kind) in OBJECTS.into_iter().enumerate() {
            match kind {
                Kind::Register | Kind::Replaced => self.read(object).await,
                Kind::Lock => self.lock(object, true, false).await,
                Kind::Names => {
                    for at in 0..NAMES {
                        self.look(object, at).await;
                    }
                }
            }
        }
    }

    async fn act(&mut self, object: usize) {
        let writes = self.random.percent(45);
        match OBJECTS[object] {
            Kind::Register if writes => self.write(object).await,
            Kind::Replaced if writes => self.replace(object).await,
            Kind::Register | Kind::Replaced => self.read(object).await,
            Kind::Lock => {
                let (exclusive, wait) = (self.random.percent(60), self.random.percent(30));
                self.lock(object, exclusive, wait).await;
            }
            Kind::Names => self.names(object).await,
        }
    }

    /// A number that nobody else writes.
    fn fresh(&mut self) -> u64 {
        self.last += 1;
        (self.number as u64 + 1) << 32 | self.last
    }

    fn syncs(&mut self) -> bool {
        self.fence.is_some() || self.random.percent(20)
    }

    /// An error is nobody's but a host's that may be given up.
    fn refused(&self, what: &str, error: PosixError) {
        tracing::debug!(program = self.number, what, ?error, "refused");
        if self.fence.is_none() {
            self.log.wrong(format!("program {}: {what}: {error}", self.number));
        }
    }

    async fn open(&mut self, object: usize) -> Outcome<(Node, Handle)> {
        if let Some(open) = self.open.remove(&object) {
            if self.random.percent(70) && OBJECTS[object] != Kind::Replaced {
                return Ok(open);
            }
            self.fs.release(open.1, false).wait().await?;
        }
        let mut tried = Err(PosixError::NoEntry);
        for _ in 0..RACES_MAX {
            let node = self.fs.lookup(self.dirs[object], b"value").wait().await?.node;
            tried = self.fs.open(CALLER, node, OFlag::O_RDWR, None).wait().await.map(|opened| (node, opened.handle));
            if !matches!(tried, Err(PosixError::NoEntry)) {
                break;
            }
        }
        tried
    }

    /// Keeps a file open for the next call, or after an error no longer.
    async fn keep<T>(&mut self, object: usize, open: (Node, Handle), result: &Outcome<T>) {
        if result.is_ok() {
            self.open.insert(object, open);
        } else {
            let _ = self.fs.release(open.1, false).wait().await;
        }
    }

    async fn write(&mut self, object: usize) {
        let open = match self.open(object).await {
            Ok(open) => open,
            Err(error) => return self.refused("open to write", error),
        };
        let (fresh, sync) = (self.fresh(), self.syncs());
        let call = Call::Register(RegisterCall::Write(fresh));
        let begun = self.log.begin(object, self.number, Some(call));
        let written = self.put(open, content(fresh, SHORT), sync).await;
        match &written {
            Ok(()) => self.log.answered(begun, call),
            Err(error) => {
                self.log.failed(begun);
                self.refused("write", *error);
            }
        }
        self.keep(object, open, &written).await;
    }

    async fn put(&self, (node, handle): (Node, Handle), content: Bytes, sync: bool) -> Outcome<()> {
        self.fs.write(CALLER, handle, WriteAt::Offset(0), content, OFlag::empty(), None).wait().await?;
        if sync { self.fs.fsync(node).wait().await } else { Ok(()) }
    }

    async fn read(&mut self, object: usize) {
        let begun = self.log.begin(object, self.number, None);
        let open = match self.open(object).await {
            Ok(open) => open,
            Err(error) => return self.refused("open to read", error),
        };
        let read = self.get(open.0).await;
        match &read {
            Ok(bytes) => match value(bytes) {
                Some(value) => self.log.answered(begun, Call::Register(RegisterCall::Read(value))),
                None => self.log.wrong(format!("object {object} was torn: {} bytes, {:?}", bytes.len(), bytes.first())),
            },
            Err(error) => self.refused("read", *error),
        }
        self.keep(object, open, &read).await;
    }

    async fn get(&self, node: Node) -> Outcome<Vec<u8>> {
        let data = self.fs.read(node, 0, 1 << 20).wait().await?;
        let mut bytes = vec![0; data.len as usize];
        for piece in &data.pieces {
            let at = usize::try_from(piece.offset).unwrap_or(usize::MAX);
            bytes[at..at + piece.data.len()].copy_from_slice(&piece.data);
        }
        Ok(bytes)
    }

    async fn replace(&mut self, object: usize) {
        let (fresh, sync, long) = (self.fresh(), self.syncs(), self.random.percent(40));
        let (dir, temporary) = (self.dirs[object], format!("new-{}", self.number));
        let made = self.make(dir, &temporary, content(fresh, if long { LONG } else { SHORT }), sync).await;
        if let Err(error) = made {
            return self.refused("making a file", error);
        }
        let call = Call::Register(RegisterCall::Write(fresh));
        let begun = self.log.begin(object, self.number, Some(call));
        let renamed = self.rename(dir, &temporary, "value", sync).await;
        match renamed {
            Ok(()) => self.log.answered(begun, call),
            Err(error) => {
                self.log.failed(begun);
                self.refused("replacing a file", error);
            }
        }
    }

    async fn make(&self, dir: Node, name: &str, content: Bytes, sync: bool) -> Outcome<()> {
        match self.fs.unlink(CALLER, dir, name.as_bytes()).wait().await {
            Ok(()) | Err(PosixError::NoEntry) => {}
            Err(error) => return Err(error),
        }
        let made = self.fs.create(CALLER, dir, name.as_bytes(), mode(0o644), OFlag::O_WRONLY);
        let Created::New(entry, opened) = made.wait().await? else { return Err(PosixError::Exists) };
        let put = self.put((entry.node, opened.handle), content, sync).await;
        self.fs.release(opened.handle, false).wait().await?;
        put
    }

    async fn rename(&self, dir: Node, from: &str, to: &str, sync: bool) -> Outcome<()> {
        let renamed = self.fs.rename(CALLER, (dir, from.as_bytes()), (dir, to.as_bytes()), RenameFlags(0));
        renamed.wait().await?;
        if sync { self.fs.fsync(dir).wait().await } else { Ok(()) }
    }

    async fn lock(&mut self, object: usize, exclusive: bool, wait: bool) {
        let open = match self.open(object).await {
            Ok(open) => open,
            Err(error) => return self.refused("open to lock", error),
        };
        let by = self.number;
        let take = |got| Call::Lock(LockCall::Take { by, exclusive, got });
        let mode = if exclusive { LockMode::Exclusive } else { LockMode::Shared };
        let begun = self.log.begin(object, by, Some(take(true)));
        // Nobody may ever hear of it again; then it is let go of none the less.
        let dropped = Call::Lock(LockCall::Drop { by });
        let drop = self.log.begin(object, by, Some(dropped));
        let reconnects = self.fs.session().stats().reconnects;
        let locked = self.fs.lock(flock(open.1, Some(mode)), wait).reply.wait().await;
        if self.fs.session().stats().reconnects != reconnects {
            // An answer may have been on its way when the stream broke: it was given then, and taken away
            // again when the session came back and did not know of it.
            let (since, end) = (self.log.begun(begun), End::Failed(self.log.now()));
            self.log.note(object, by, take(true), since, end);
            self.log.note(object, by, dropped, since, end);
        }
        let result = match locked {
            Ok(()) => {
                self.log.answered(begun, take(true));
                sleep(Duration::from_millis(self.random.below(20))).await;
                let let_go = self.log.now();
                // Who was given up meanwhile may have lost it before: from then on it may be anybody's.
                let lost = self.lost_since(self.log.begun(begun));
                let unlocked = self.fs.lock(flock(open.1, None), false).reply.wait().await;
                let end = if unlocked.is_ok() { self.log.now() } else { u64::MAX };
                self.log.answered_within(drop, lost.map_or(let_go, |lost| lost.min(let_go)), end);
                unlocked
            }
            Err(PosixError::WouldBlock) => {
                self.log.answered(begun, take(false));
                self.log.forget(drop);
                Ok(())
            }
            Err(error) => {
                // It may have been given, and taken away again.
                self.log.failed(begun);
                Err(error)
            }
        };
        if let Err(error) = result {
            self.refused("lock", error);
        }
        self.keep(object, open, &result).await;
    }

    /// When a lock that was taken at `begun` may have been lost, if it may.
    fn lost_since(&self, begun: u64) -> Option<u64> {
        let fence = self.fence.as_ref()?;
        let (cut, over) = (fence.begun.load(Ordering::Relaxed), fence.over.load(Ordering::Relaxed));
        (cut > 0 && (over == 0 || begun < over)).then_some(cut)
    }

    async fn names(&mut self, object: usize) {
        let dir = self.dirs[object];
        let (at, other) = (self.random.index(NAMES), self.random.index(NAMES));
        let text = |at: usize| format!("n{at}");
        let (what, thing, sync) = (self.random.below(100), self.fresh(), self.syncs());
        match what {
            0..20 => {
                let made = async {
                    let target = thing.to_string();
                    self.fs.symlink(CALLER, dir, text(at).as_bytes(), target.as_bytes()).wait().await.map(|_| ())
                };
                let call = |done, _| NamesCall::Make { name: at, thing, done };
                self.change(object, sync, PosixError::Exists, call, made).await;
            }
            20..32 => {
                let gone = async { self.fs.unlink(CALLER, dir, text(at).as_bytes()).wait().await };
                let call = |done, _| NamesCall::Remove { name: at, done };
                self.change(object, sync, PosixError::NoEntry, call, gone).await;
            }
            32..60 if at != other => {
                let moved = async { self.rename(dir, &text(at), &text(other), false).await };
                let call = |done, during| NamesCall::Move { from: at, to: other, done, during };
                self.change(object, sync, PosixError::NoEntry, call, moved).await;
            }
            60..75 => self.list(object).await,
            _ => self.look(object, at).await,
        }
    }

    /// Notes a change of names, which begins when it is first waited for.
    async fn change(
        &self,
        object: usize,
        sync: bool,
        refusal: PosixError,
        call: impl Fn(bool, (u64, u64)) -> NamesCall,
        change: impl Future<Output = Outcome<()>> + Send,
    ) {
        let of = |done, during| Call::Names(call(done, during));
        let begun = self.log.begin(object, self.number, Some(of(true, (self.log.now(), u64::MAX))));
        let changed = match change.await {
            Ok(()) if sync => self.fs.fsync(self.dirs[object]).wait().await.map(|()| true),
            Ok(()) => Ok(true),
            Err(error) if error == refusal => Ok(false),
            Err(error) => Err(error),
        };
        match changed {
            Ok(done) => self.log.answered(begun, of(done, (self.log.begun(begun), self.log.now()))),
            Err(error) => {
                self.log.failed(begun);
                self.refused("change of names", error);
            }
        }
    }

    async fn look(&self, object: usize, at: usize) {
        let begun = self.log.begin(object, self.number, None);
        let node = match self.fs.lookup(self.dirs[object], format!("n{at}").as_bytes()).wait().await {
            Ok(entry) => Some(entry.node),
            Err(PosixError::NoEntry) => None,
            Err(error) => return self.refused("lookup", error),
        };
        let target = match node {
            None => None,
            Some(node) => match self.fs.readlink(node).wait().await {
                Ok(target) => Some(target),
                // It went between the two, and what the name led to is not known.
                Err(PosixError::NoEntry) => return,
                Err(error) => return self.refused("readlink", error),
            },
        };
        let found = target.and_then(|target| std::str::from_utf8(&target).ok()?.parse().ok());
        self.log.answered(begun, Call::Names(NamesCall::Look { name: at, found }));
    }

    /// Whether one of the names is there.
    async fn glance(&mut self, object: usize) {
        let name = self.random.index(NAMES);
        let begun = self.log.begin(object, self.number, None);
        let there = match self.fs.lookup(self.dirs[object], format!("n{name}").as_bytes()).wait().await {
            Ok(_) => true,
            Err(PosixError::NoEntry) => false,
            Err(error) => return self.refused("lookup", error),
        };
        self.log.answered(begun, Call::Names(NamesCall::Lists { name, there }));
    }

    async fn list(&self, object: usize) {
        let begun = self.log.now();
        let listed = async {
            let (handle, mut offset, mut names) =
                (self.fs.opendir(CALLER, self.dirs[object]).wait().await?, 0, Vec::new());
            loop {
                let listing = self.fs.readdir(handle, offset, true).wait().await?;
                let Some(last) = listing.entries().last() else { break };
                offset = last.offset;
                names.extend(listing.entries().iter().map(|entry| entry.name.clone()));
            }
            self.fs.releasedir(handle).wait().await?;
            Ok(names)
        };
        match listed.await {
            Ok(names) => {
                // Each name for itself: a listing is not one moment.
                let end = End::Answered(self.log.now());
                for name in 0..NAMES {
                    let there = names.iter().any(|found| *found == format!("n{name}"));
                    self.log.note(object, self.number, Call::Names(NamesCall::Lists { name, there }), begun, end);
                }
            }
            Err(error) => self.refused("listing", error),
        }
    }
}

fn flock(handle: Handle, mode: Option<LockMode>) -> LockRequest {
    let owner = LockOwner(0);
    LockRequest { handle, space: LockSpace::Flock, owner, mode, range: LockRange::WHOLE, pid: 0, open_file: false }
}
