//! One client of the histories: random calls on files, locks and names below its mount, each with the times
//! at which it began and ended.
//!
//! A client does one call after the other. What it changes is synced within the call where it may lose what
//! it has not synced; then a call that fails was done by its end, or never.

mod locks;
mod names;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use holdfast_tests::linear::objects::{LockCall, NamesCall, RegisterCall};
use holdfast_tests::linear::{End, Entry};
use holdfast_tests::random::Random;

/// Names of a directory that are used.
pub(super) const NAMES: usize = 4;
/// Bytes of a register: one number, again and again, so that a mixture of two is seen.
const REGISTER_BYTES: usize = 64;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file that is written in its place.
    Register,
    /// A file that is replaced by rename(2).
    Replaced,
    /// A file that is locked.
    Lock,
    /// A directory.
    Names,
}

/// A call of one of the kinds.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Register(Entry<RegisterCall>),
    Lock(Entry<LockCall>),
    Names(Entry<NamesCall>),
}

/// When one client was cut off for longer than its lease, in nanoseconds of the batch; 0: not yet.
#[derive(Debug, Default)]
pub(super) struct Fence {
    pub(super) begun: AtomicU64,
    pub(super) over: AtomicU64,
}

/// A client, and what it has seen.
pub(super) struct Client<'a> {
    pub(super) number: usize,
    /// The directory of the objects, on its mount.
    pub(super) root: PathBuf,
    pub(super) random: Random,
    /// When the batch began.
    pub(super) start: Instant,
    /// The one that it may be.
    pub(super) fence: Option<&'a Fence>,
    /// Calls that it has done.
    pub(super) done: &'a AtomicUsize,
    pub(super) open: HashMap<usize, File>,
    /// Object and call.
    pub(super) calls: Vec<(usize, Call)>,
    pub(super) errors: Vec<String>,
    /// Answers that no order could explain: torn content, a name that is never away.
    pub(super) wrong: Vec<String>,
    pub(super) last: u64,
}

/// The content of a register.
pub(super) fn bytes(value: u64) -> Vec<u8> {
    value.to_le_bytes().repeat(REGISTER_BYTES / 8)
}

fn value(bytes: &[u8]) -> Option<u64> {
    let first = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    (bytes == self::bytes(first)).then_some(first)
}

impl Client<'_> {
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn dir(&self, object: usize) -> PathBuf {
        self.root.join(format!("o{object}"))
    }

    /// A number that nobody else writes.
    fn fresh(&mut self) -> u64 {
        self.last += 1;
        (self.number as u64 + 1) << 32 | self.last
    }

    /// One random call on an object.
    pub(super) fn act(&mut self, object: usize, kind: Kind) {
        match kind {
            Kind::Register => self.register(object),
            Kind::Replaced => self.replaced(object),
            Kind::Lock => self.lock(object),
            Kind::Names => self.names(object),
        }
        self.done.fetch_add(1, Ordering::Release);
    }

    /// Notes an error; how the call ended.
    fn end<T>(&mut self, what: &str, result: &io::Result<T>) -> End {
        let now = self.now();
        match result {
            Ok(_) => End::Answered(now),
            Err(error) => {
                self.errors.push(format!("{what}: {error}"));
                End::Failed(now)
            }
        }
    }

    fn syncs(&mut self) -> bool {
        self.fence.is_some() || self.random.percent(20)
    }

    fn file(&mut self, object: usize, name: &str) -> io::Result<File> {
        if self.random.percent(20) {
            self.open.remove(&object);
        }
        if let Some(file) = self.open.remove(&object) {
            return Ok(file);
        }
        File::options().read(true).write(true).open(self.dir(object).join(name))
    }

    fn register(&mut self, object: usize) {
        let file = match self.file(object, "value") {
            Ok(file) => file,
            Err(error) => return self.errors.push(format!("open: {error}")),
        };
        let (write, sync, fresh) = (self.random.percent(45), self.syncs(), self.fresh());
        let begun = self.now();
        if write {
            let written = file.write_all_at(&bytes(fresh), 0);
            let written = written.and_then(|()| if sync { file.sync_all() } else { Ok(()) });
            let end = self.end("write", &written);
            self.note_register(object, RegisterCall::Write(fresh), begun, end);
        } else {
            let mut found = vec![0; REGISTER_BYTES];
            let read = file.read_exact_at(&mut found, 0);
            let end = self.end("read", &read);
            self.note_read(object, &found, begun, end);
        }
        self.open.insert(object, file);
    }

    fn note_register(&mut self, object: usize, call: RegisterCall, begun: u64, end: End) {
        self.calls.push((object, Call::Register(Entry { client: self.number, call, begun, end })));
    }

    fn note_read(&mut self, object: usize, found: &[u8], begun: u64, end: End) {
        match (end, value(found)) {
            (End::Answered(_), Some(value)) => self.note_register(object, RegisterCall::Read(value), begun, end),
            (End::Answered(_), None) => self.wrong.push(format!("object {object} was torn: {found:?}")),
            _ => {}
        }
    }

    fn replaced(&mut self, object: usize) {
        let path = self.dir(object).join("value");
        if !self.random.percent(45) {
            let begun = self.now();
            let read = fs::read(&path);
            if read.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
                return self.wrong.push(format!("object {object} was away while it was replaced"));
            }
            let end = self.end("read", &read);
            return self.note_read(object, &read.unwrap_or_default(), begun, end);
        }
        let (fresh, sync) = (self.fresh(), self.syncs());
        let temporary = self.dir(object).join(format!("new-{}", self.number));
        if let Err(error) = fs::write(&temporary, bytes(fresh)) {
            return self.errors.push(format!("write: {error}"));
        }
        let begun = self.now();
        let renamed = fs::rename(&temporary, &path).and_then(|()| self.sync_dir(object, sync));
        let end = self.end("rename", &renamed);
        self.note_register(object, RegisterCall::Write(fresh), begun, end);
    }

    fn sync_dir(&self, object: usize, sync: bool) -> io::Result<()> {
        if sync { File::open(self.dir(object))?.sync_all() } else { Ok(()) }
    }
}
