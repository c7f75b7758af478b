//! The threads that read requests, and who reads when.
//!
//! Waking a processor that sleeps costs more than most requests. So one reader, the *leader*, goes
//! where its requesters run, in the class of idle threads: a processor that runs only such threads
//! counts as idle, so whom it answers is woken right there, and neither ever waits for another
//! processor. When the leader does not get by (see [`watch`]), all read as normal threads for a while.
//!
//! Where the class cannot be changed back, all read as normal threads from the start.

mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{io, thread};

use nix::unistd::{Pid, gettid};
use parking_lot::{Condvar, Mutex};

use super::sched::{Class, Processors, TimesOf, WhereRuns, set_class};
use watch::{Look, Watch};

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(4);
/// Looks without a request after which nobody looks any more.
const LOOKS_MAX: u32 = 25;

/// What the readers of a connection share.
#[derive(Debug)]
pub(super) struct Crew {
    /// All read; else the leader alone.
    all: AtomicBool,
    /// Nobody looks at the leader, because it has nothing to do.
    unwatched: AtomicBool,
    /// Requests that the leader has read, and the thread whose the last one was.
    requests: AtomicU64,
    requester: AtomicU32,
    ended: AtomicBool,
    gate: Mutex<()>,
    /// The other readers wait for their turn.
    turn: Condvar,
    /// The watch waits for something to look at.
    work: Condvar,
    processors: Option<Processors>,
}

impl Crew {
    /// A crew whose leader follows, if it can.
    pub(super) fn new() -> Arc<Self> {
        let processors = Processors::mine().ok().filter(|_| class_can_change());
        Arc::new(Self {
            all: AtomicBool::new(processors.is_none()),
            unwatched: AtomicBool::new(true),
            requests: AtomicU64::new(0),
            requester: AtomicU32::new(0),
            ended: AtomicBool::new(false),
            gate: Mutex::new(()),
            turn: Condvar::new(),
            work: Condvar::new(),
            processors,
        })
    }

    /// The calling thread is the leader from now on.
    pub(super) fn lead(self: &Arc<Self>) {
        let thread = gettid();
        if self.processors.is_some() {
            let crew = Arc::clone(self);
            let watch = thread::Builder::new().name("fuse-watch".to_owned()).spawn(move || {
                if let Err(error) = crew.watch(thread) {
                    tracing::warn!(%error, "cannot see how the reader of requests gets by; all readers read");
                    crew.spread(thread, true);
                }
            });
            match watch {
                Ok(_) => self.spread(thread, false),
                Err(_) => self.all.store(true, Ordering::Relaxed),
            }
        }
    }

    /// The leader has read a request of this thread; 0: it is not visible here, or there is none.
    pub(super) fn read(&self, requester: u32) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if requester != 0 {
            self.requester.store(requester, Ordering::Relaxed);
        }
        if self.unwatched.load(Ordering::SeqCst) {
            let _gate = self.gate.lock();
            self.unwatched.store(false, Ordering::SeqCst);
            self.work.notify_all();
        }
    }

    /// Another reader waits until it is to read; false: the connection has ended.
    pub(super) fn wait_for_turn(&self) -> bool {
        if !self.all.load(Ordering::Relaxed) {
            let mut gate = self.gate.lock();
            let waits = |_: &mut ()| !self.all.load(Ordering::Relaxed) && !self.ended.load(Ordering::Relaxed);
            self.turn.wait_while(&mut gate, waits);
        }
        !self.ended.load(Ordering::Relaxed)
    }

    /// The connection has ended.
    pub(super) fn end(&self) {
        let _gate = self.gate.lock();
        self.ended.store(true, Ordering::Relaxed);
        self.turn.notify_all();
        self.work.notify_all();
    }

    /// Has all read, or the leader alone.
    fn spread(&self, leader: Pid, all: bool) {
        let Some(processors) = &self.processors else { return };
        self.all.store(all, Ordering::Relaxed);
        // A leader that is gone needs nothing.
        let _ = set_class(leader, if all { Class::Normal } else { Class::Idle });
        if all {
            let _ = processors.give(leader);
            let _gate = self.gate.lock();
            self.turn.notify_all();
        }
    }

    /// The life of the thread that looks at how the leader gets by.
    fn watch(&self, leader: Pid) -> io::Result<()> {
        let times = TimesOf::of(leader)?;
        let Some(processors) = &self.processors else { return Ok(()) };
        let mut watch = Watch::default();
        let mut bound = Bound::default();
        let mut requests = self.requests.load(Ordering::Relaxed);
        let mut idle = 0;
        let mut all = false;
        let (mut then, mut before) = (Instant::now(), times.read().unwrap_or_default());
        loop {
            {
                let mut gate = self.gate.lock();
                if self.ended.load(Ordering::Relaxed) {
                    return Ok(());
                }
                if idle >= LOOKS_MAX && !all {
                    self.unwatched.store(true, Ordering::SeqCst);
                    let still =
                        |_: &mut ()| self.unwatched.load(Ordering::SeqCst) && !self.ended.load(Ordering::Relaxed);
                    self.work.wait_while(&mut gate, still);
                    (then, before) = (Instant::now(), times.read().unwrap_or_default());
                    idle = 0;
                }
                self.work.wait_for(&mut gate, LOOK_EVERY);
            }
            let (now, after) = (Instant::now(), times.read().unwrap_or(before));
            let look = Look {
                elapsed: now - then,
                ran: Duration::from_nanos(after.ran.saturating_sub(before.ran)),
                delayed: Duration::from_nanos(after.delayed.saturating_sub(before.delayed)),
            };
            (then, before) = (now, after);
            let read = self.requests.load(Ordering::Relaxed);
            // A leader that waits to run for the first time in long has read nothing yet.
            idle = if read == requests && look.delayed.is_zero() { idle + 1 } else { 0 };
            if read != requests && !all {
                bound.follow(leader, self.requester.load(Ordering::Relaxed), processors);
            }
            requests = read;
            let next = watch.look(look);
            if next != all {
                all = next;
                tracing::debug!(all, "who reads requests");
                self.spread(leader, all);
                bound = Bound::default();
            }
        }
    }
}

/// Whether a thread comes back from the class of idle ones. Tried on a thread that nobody needs.
fn class_can_change() -> bool {
    let probe = || {
        let thread = gettid();
        set_class(thread, Class::Idle).and_then(|()| set_class(thread, Class::Normal)).is_ok()
    };
    thread::Builder::new().name("fuse-probe".to_owned()).spawn(probe).is_ok_and(|probe| probe.join().unwrap_or(false))
}

/// Where the leader is bound to.
#[derive(Debug, Default)]
struct Bound {
    /// The requester that was seen last.
    seen: u32,
    runs: Option<WhereRuns>,
    at: Option<usize>,
}

impl Bound {
    /// Requests were read, the last of this thread's. Binds the leader to where a requester runs that is
    /// seen twice in a row.
    ///
    /// Never by the leader itself: what `/proc` tells of a thread can wait for that thread's execve(2),
    /// and that for a file of ours.
    fn follow(&mut self, leader: Pid, requester: u32, processors: &Processors) {
        if requester == 0 || self.seen != requester {
            self.seen = requester;
            self.runs = None;
            return;
        }
        if self.runs.is_none() {
            self.runs = WhereRuns::of(requester).ok();
        }
        let Some(processor) = self.runs.as_ref().and_then(WhereRuns::processor) else {
            *self = Self { at: self.at, ..Self::default() };
            return;
        };
        let one = processors.only(processor).filter(|_| self.at != Some(processor));
        if one.is_some_and(|one| one.give(leader).is_ok()) {
            self.at = Some(processor);
        }
    }
}

#[cfg(test)]
mod tests;
