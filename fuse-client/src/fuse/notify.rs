//! Telling the kernel to drop pages, on threads of their own.
//!
//! A notification waits for pages that are locked for a read or write, and those wait for answers of
//! this very process. So no request handler, no reader thread and no task of the session ever sends
//! one; they leave it here. Bounded by the number of inodes: what waits for one inode is merged.
//!
//! One notification at a time for an inode; one that hangs holds one thread. When all threads hang,
//! more are started, up to a limit; past it the server's own deadline (the lease) ends the wait.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use parking_lot::{Condvar, Mutex};

use super::abi;
use super::aliases::{Aliases, NodeId};
use super::device::Device;
use super::encode::Output;
use super::grow::Unreadable;
use crate::fs::Node;
use crate::stats::Stats;

/// Threads from the start.
const THREADS: usize = 2;
/// Threads at most.
const THREADS_MAX: usize = 16;
/// A notification that takes longer hangs: another thread takes its place.
const HANG: Duration = Duration::from_secs(1);

/// So long the kernel may take to take an answer up that it was given.
const TAKEN_UP: Duration = Duration::from_millis(20);

/// Called when the kernel's copy is gone.
type Done = Box<dyn FnOnce() + Send>;

/// How long a file is, as far as this mount has heard when it is asked.
pub type Length = Box<dyn FnOnce() -> Option<u64> + Send>;

/// Drops what the kernel caches. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Notifier(Arc<Shared>);

struct Shared {
    device: Arc<Device>,
    stats: Arc<Stats>,
    aliases: Arc<Aliases>,
    unreadable: Unreadable,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Attributes to be dropped. These never wait in the kernel, and never behind those that do.
    attributes: VecDeque<Attributes>,
    waiting: HashMap<Node, Pending>,
    order: VecDeque<Node>,
    busy: HashMap<Node, Instant>,
    threads: usize,
    stopped: bool,
}

struct Attributes {
    node: Node,
    told: Instant,
    ready: Done,
    done: Done,
}

/// What a thread is to do next.
enum Job {
    Attributes(Attributes),
    Pages(Node, Pending),
}

struct Pending {
    start: u64,
    /// `None`: to the end of the file.
    end: Option<u64>,
    /// The file may be longer than the kernel knows.
    length: Option<Length>,
    done: Vec<Done>,
}

impl Pending {
    /// What came later to be told of the same file.
    fn merge(&mut self, later: Self) {
        self.start = self.start.min(later.start);
        self.end = self.end.zip(later.end).map(|(one, other)| one.max(other));
        self.length = later.length.or(self.length.take());
        self.done.extend(later.done);
    }
}

impl Notifier {
    pub(super) fn start(device: Arc<Device>, stats: Arc<Stats>, aliases: Arc<Aliases>) -> io::Result<Self> {
        let state = Mutex::new(State { threads: THREADS, ..State::default() });
        let unreadable = Unreadable::new()?;
        let notifier = Self(Arc::new(Shared { device, stats, aliases, unreadable, state, changed: Condvar::new() }));
        for _ in 0..THREADS {
            notifier.spawn()?;
        }
        Ok(notifier)
    }

    /// Leaves it to a notifier thread to drop attributes and pages of an inode; `len: None`: to the
    /// end. `done` is called when the kernel's copy is gone, or there is no kernel any more.
    pub fn drop_pages(&self, node: Node, offset: u64, len: Option<u64>, done: impl FnOnce() + Send + 'static) {
        self.changed(node, offset, len, None, done);
    }

    /// The same after a change that reached the end of the file, so that it may be longer. The pages go
    /// first: what the kernel has behind the old end is not what is there now.
    pub fn changed(
        &self,
        node: Node,
        offset: u64,
        len: Option<u64>,
        length: Option<Length>,
        done: impl FnOnce() + Send + 'static,
    ) {
        let end = len.and_then(|len| offset.checked_add(len));
        let mut state = self.0.state.lock();
        if state.stopped {
            drop(state);
            return done();
        }
        match state.waiting.get_mut(&node) {
            Some(pending) => pending.merge(Pending { start: offset, end, length, done: vec![Box::new(done)] }),
            None => {
                state.waiting.insert(node, Pending { start: offset, end, length, done: vec![Box::new(done)] });
                state.order.push_back(node);
            }
        }
        let help = state.wants_help();
        if help {
            state.threads += 1;
        }
        drop(state);
        self.0.changed.notify_one();
        if help {
            tracing::warn!("the kernel takes long to drop pages; another thread is started");
            if let Err(error) = self.spawn() {
                self.0.state.lock().threads -= 1;
                tracing::error!(%error, "cannot start a notifier thread");
            }
        }
    }

    /// Leaves it to a notifier thread to drop the attributes of an inode, and not its pages: nothing in
    /// the kernel holds that up. `told`: when the kernel was told of them last; as long as it may not
    /// have taken that up, that it does not know the inode means nothing. `ready` is called before,
    /// and `done` when they are gone, or there is no kernel any more.
    pub(crate) fn drop_attributes(&self, node: Node, told: Instant, ready: Done, done: Done) {
        {
            let mut state = self.0.state.lock();
            if !state.stopped {
                state.attributes.push_back(Attributes { node, told, ready, done });
                drop(state);
                self.0.changed.notify_one();
                return;
            }
        }
        done();
    }

    /// Has the kernel drop a name now. Blocks while somebody holds the directory's lock, so it is for
    /// threads that may.
    pub(super) fn drop_name(&self, parent: NodeId, name: &[u8]) {
        let mut body = Output::default();
        body.u64(parent).u32(u32::try_from(name.len()).unwrap_or(0)).u32(0).raw(name).raw(&[0]);
        self.0.stats.invalidated();
        heard(self.0.device.notify(abi::NOTIFY_INVAL_ENTRY, body.bytes()), parent, "a name");
    }

    /// Ends the threads; what still waits is told done, as the kernel's copy goes with the mount.
    pub fn stop(&self) {
        let (waiting, attributes) = {
            let mut state = self.0.state.lock();
            state.stopped = true;
            state.order.clear();
            let waiting: Vec<Pending> = state.waiting.drain().map(|(_, pending)| pending).collect();
            (waiting, std::mem::take(&mut state.attributes))
        };
        self.0.changed.notify_all();
        attributes.into_iter().for_each(|attributes| (attributes.done)());
        waiting.into_iter().flat_map(|pending| pending.done).for_each(|done| done());
    }

    fn spawn(&self) -> io::Result<()> {
        let shared = Arc::clone(&self.0);
        thread::Builder::new().name("fuse-notify".to_owned()).spawn(move || shared.work()).map(drop)
    }
}

impl State {
    /// Attributes first, then the oldest inode that waits and is not being worked on.
    fn next(&mut self) -> Option<Job> {
        if let Some(attributes) = self.attributes.pop_front() {
            return Some(Job::Attributes(attributes));
        }
        let at = self.order.iter().position(|node| !self.busy.contains_key(node))?;
        let node = self.order.remove(at)?;
        let pending = self.waiting.remove(&node)?;
        self.busy.insert(node, Instant::now());
        Some(Job::Pages(node, pending))
    }

    fn wants_help(&self) -> bool {
        let hanging = self.busy.values().filter(|since| since.elapsed() > HANG).count();
        self.threads < THREADS_MAX && hanging >= self.threads
    }
}

impl Shared {
    fn work(&self) {
        loop {
            let next = {
                let mut state = self.state.lock();
                loop {
                    if state.stopped {
                        return;
                    }
                    match state.next() {
                        Some(next) => break next,
                        None => self.changed.wait(&mut state),
                    }
                }
            };
            match next {
                Job::Attributes(attributes) => self.drop_attributes_now(attributes),
                Job::Pages(node, mut pending) => {
                    self.drop_now(node, &pending);
                    if let Some(size) = pending.length.take().and_then(|length| length()) {
                        heard(self.unreadable.grow(&self.device, node.0, size), node.0, "its idea of a file's end");
                    }
                    pending.done.into_iter().for_each(|done| done());
                    self.state.lock().busy.remove(&node);
                    self.changed.notify_one();
                }
            }
        }
    }

    fn drop_attributes_now(&self, Attributes { node, told, ready, done }: Attributes) {
        ready();
        for id in self.aliases.ids(node) {
            let mut body = Output::default();
            // A negative offset: attributes only.
            body.u64(id).i64(-1).i64(0);
            self.stats.invalidated();
            loop {
                match self.device.notify(abi::NOTIFY_INVAL_INODE, body.bytes()) {
                    Err(Errno::ENOENT) if told.elapsed() < TAKEN_UP => thread::sleep(Duration::from_millis(1)),
                    result => break heard(result, id, "attributes"),
                }
            }
        }
        done();
    }

    fn drop_now(&self, node: Node, pending: &Pending) {
        let mut body = Output::default();
        let start = i64::try_from(pending.start).unwrap_or(i64::MAX);
        // Zero or less means "to the end" to the kernel.
        let len = pending.end.map_or(0, |end| i64::try_from(end - pending.start).unwrap_or(0));
        body.u64(node.0).i64(start).i64(len);
        self.stats.invalidated();
        heard(self.device.notify(abi::NOTIFY_INVAL_INODE, body.bytes()), node.0, "pages of a file");
    }
}

/// What came of a notification about this node.
fn heard(result: nix::Result<()>, node: NodeId, what: &str) {
    match result {
        // ENOENT: the kernel does not know it (any more); the others: there is no kernel any more.
        Ok(()) | Err(Errno::ENOENT | Errno::ENODEV | Errno::ECONNABORTED | Errno::ENOTCONN) => {}
        Err(error) => tracing::error!(%error, node, "the kernel did not drop {what}"),
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").field("waiting", &self.state.lock().order.len()).finish()
    }
}

#[cfg(test)]
mod tests;
