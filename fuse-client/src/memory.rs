//! What a mount remembers of what the server told it, under leases.
//!
//! Guarantees: an answer from memory is what the server would say at that moment, because nobody
//! changes what is lent to this session before it has given it back. Everything here changes in the
//! order of the server's messages: answers and grants, outcomes of this mount's own operations,
//! recalls. After a recall nothing is answered under the lease, and it is given back only when the
//! kernel believes nothing either.
//!
//! The caller asks besides whether the session is still trusted; a lease ends with that.
//! Memory is bounded: what was not used for long is given back unasked.
//! Never waits, and never asks the server.

mod ahead;
mod blocks;
mod contents;
mod foretell;
mod reading;
mod state;
mod strides;
mod touch;
mod walking;
mod walks;

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use holdfast_client::session::{Outcome, WeakSession};
use holdfast_client::{Answered, Applied, BlockMap, Foretold, LeaseEvents, Question, ReadData, Session};
use holdfast_core::attr::Attr;
use holdfast_core::id::{DirCookie, Epoch, InodeId, Seq};
use holdfast_core::lease::{GiveBack, Mode, Step, Target};
use holdfast_core::name::FileName;
use holdfast_core::op::{Caller, Op, OpReply};
use holdfast_core::time::Timestamp;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tokio::sync::watch;

use state::{Believed, State};

pub(crate) use reading::{Blockwise, Bytewise, ReadAhead};
pub(crate) use strides::Part;
pub(crate) use walks::Wanted;

/// How long the kernel may believe what a name leads to. It is not told when it may not any more: that
/// needs the directory's lock, which whoever waits for the very change may hold. So the change waits.
const NAMES_BELIEVED: Duration = Duration::from_millis(100);

/// So long the kernel may take to take an answer up that it was given. Its clock's ticks are in that.
const TAKEN_UP: Duration = Duration::from_millis(50);

/// An answer about a name may be held up for so long before it is on its way.
const HELD_UP: Duration = Duration::from_secs(2);

/// Inodes that are remembered, at most about; a kilobyte each, with names, leases and what they are found by.
const INODES_MAX: usize = 96 << 10;

/// Has the kernel forget what it was told to believe.
pub(crate) trait KernelCopies: Send + Sync {
    /// Attributes of an inode. The kernel was told of them at `told`; when it does not know the inode
    /// that may be because it has not yet taken the answer up. `ready` is called first, on a
    /// thread that may wait; `done` when they are gone.
    fn drop_attributes(
        &self,
        ino: InodeId,
        told: Instant,
        ready: Box<dyn FnOnce() + Send>,
        done: Box<dyn FnOnce() + Send>,
    );

    /// Does something at that time.
    fn at(&self, when: Instant, then: Box<dyn FnOnce() + Send>);
}

/// The memory of one mount, or of a file system without a kernel. To be told all events of its
/// session, and attached to it.
#[derive(Default)]
pub struct Memory {
    inner: Arc<Inner>,
    kernel: OnceLock<Arc<dyn KernelCopies>>,
}

/// When the last answer that was on its way has reached the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replies {
    Before,
    JustNow,
}

/// What outlives a call: the kernel drops its copies later.
#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    /// Held shared while an answer that the kernel may believe is on its way to it.
    replies: RwLock<()>,
    session: OnceLock<WeakSession>,
    /// Counts what was read ahead.
    read_ahead: watch::Sender<u64>,
    /// Counts questions about blocks that are over.
    blocks_asked: watch::Sender<u64>,
    /// Counts directories that were listed ahead.
    listed_ahead: watch::Sender<u64>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("inodes", &self.inner.state.lock().len()).finish_non_exhaustive()
    }
}

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// To this.
    Entry(Attr),
    /// Surely to nothing.
    Nothing,
}

/// While this is kept, leases whose attributes were told to the kernel are not given back.
#[derive(Debug)]
pub(crate) struct Telling<'a> {
    memory: &'a Memory,
    _replies: RwLockReadGuard<'a, ()>,
}

/// While this is kept, others wait for what it asks about.
#[derive(Debug)]
pub(crate) struct Asking<'a> {
    memory: &'a Memory,
    ino: InodeId,
    range: Range<u64>,
}

/// What was not used for long, and is given up when this is dropped: with no lock held.
#[must_use]
#[derive(Debug)]
pub(crate) struct Unused<'a> {
    memory: &'a Memory,
    inodes: Vec<(InodeId, Believed)>,
}

impl Drop for Unused<'_> {
    fn drop(&mut self) {
        self.memory.give_up(std::mem::take(&mut self.inodes));
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.memory.inner.state.lock().blocks.asked(self.ino, &self.range);
        self.memory.inner.blocks_asked.send_modify(|count| *count += 1);
    }
}

impl Telling<'_> {
    /// For how long the kernel may believe the attributes that it is about to be told; zero: not at
    /// all. They must be what is remembered.
    pub(crate) fn believes(&self, attr: &Attr) -> Duration {
        let Some(session) = self.memory.inner.session() else { return Duration::ZERO };
        let trusted = session.trusted_for();
        if trusted.is_zero() || session.is_exclusive() {
            return trusted;
        }
        let told = self.memory.inner.state.lock().tell(attr, trusted);
        if told { trusted } else { Duration::ZERO }
    }

    /// The same of an inode that was just made, whose name the kernel may believe for so long. It takes up
    /// what a change has made without looking whether that was taken back meanwhile; but what its name
    /// leads to is not given back before that time.
    pub(crate) fn believes_new(&self, attr: &Attr, named: Duration) -> Duration {
        if self.memory.inner.is_alone() {
            return named;
        }
        let told = !named.is_zero() && self.memory.inner.state.lock().tell(attr, named);
        if told { named } else { Duration::ZERO }
    }

    /// For how long the kernel may believe that a name leads to this, or to nothing; zero: not at all.
    pub(crate) fn leads(&self, place: (InodeId, &[u8]), to: Option<InodeId>) -> Duration {
        let Some(session) = self.memory.inner.session() else { return Duration::ZERO };
        if session.is_exclusive() {
            return session.trusted_for();
        }
        let length = session.trusted_for().min(NAMES_BELIEVED);
        if length.is_zero() || !self.memory.inner.state.lock().tell_name(place, to, length) {
            return Duration::ZERO;
        }
        length
    }
}

impl Memory {
    /// The session whose events this is told.
    pub(crate) fn attach(&self, session: &Session) {
        // Once; a second time would be a defect and changes nothing.
        let _ = self.inner.session.set(session.downgrade());
    }

    /// The kernel that is told what is remembered.
    pub(crate) fn attach_kernel(&self, kernel: Arc<dyn KernelCopies>) {
        let _ = self.kernel.set(kernel);
    }

    /// Begins to tell the kernel something.
    pub(crate) fn telling(&self) -> Telling<'_> {
        Telling { memory: self, _replies: self.inner.replies.read_recursive() }
    }

    /// The attributes of an inode.
    pub(crate) fn attr(&self, ino: InodeId) -> Option<Attr> {
        self.trusted()?;
        self.inner.state.lock().attr(ino)
    }

    /// What a name leads to.
    pub(crate) fn lookup(&self, parent: InodeId, name: &FileName) -> Option<Found> {
        self.trusted()?;
        self.inner.state.lock().lookup(parent, name)
    }

    /// Bytes of a file, and what is worth reading ahead now: then [`files_read`](Self::files_read) is due, and
    /// [`part_read`](Self::part_read) for each part.
    pub(crate) fn read(&self, ino: InodeId, offset: u64, len: u32) -> (Bytewise, Option<ReadAhead>) {
        if self.trusted().is_none() {
            return (Bytewise::Unknown(Epoch::default()), None);
        }
        self.inner.state.lock().read(ino, offset, len)
    }

    /// Files were read ahead, or could not be.
    pub(crate) fn files_read(&self, asked: &ReadAhead, files: &[(InodeId, ReadData)]) {
        self.inner.state.lock().files_read(asked, files);
        self.inner.read_ahead.send_modify(|count| *count += 1);
    }

    /// A part of a file was read ahead; `None`: it could not be.
    pub(crate) fn part_read(&self, part: &Part, epoch: Epoch, data: Option<&ReadData>) {
        self.inner.state.lock().part_read(part, epoch, data);
        self.inner.read_ahead.send_modify(|count| *count += 1);
    }

    /// Hears of every [`files_read`](Self::files_read) and [`part_read`](Self::part_read) from here on.
    pub(crate) fn on_files_read(&self) -> watch::Receiver<u64> {
        self.inner.read_ahead.subscribe()
    }

    /// The server has answered a read that was begun in this epoch.
    pub(crate) fn has_read(&self, ino: InodeId, epoch: Epoch, data: &ReadData) {
        self.inner.state.lock().has_read(ino, epoch, data);
    }

    /// What a range of a file consists of. `waited`: it was on its way, and is not any more.
    pub(crate) fn blocks(&self, ino: InodeId, range: (u64, u32), waited: bool) -> Blockwise {
        let trusted = self.trusted().is_some();
        self.inner.state.lock().blocks(trusted, ino, range, waited)
    }

    /// The server is asked what a range consists of.
    pub(crate) const fn asking(&self, ino: InodeId, range: Range<u64>) -> Asking<'_> {
        Asking { memory: self, ino, range }
    }

    /// Hears of every question about blocks that is over, from here on.
    pub(crate) fn on_blocks_asked(&self) -> watch::Receiver<u64> {
        self.inner.blocks_asked.subscribe()
    }

    /// The server has told what a range of a file consists of.
    pub(crate) fn has_heard_blocks(&self, ino: InodeId, map: &BlockMap) {
        self.inner.state.lock().has_heard_blocks(ino, map);
    }

    /// A name in a directory has to be asked for. Whether its listing is worth reading on now: behind
    /// which entry, and how many pages. Then [`has_read_on`](Self::has_read_on) is due.
    pub(crate) fn missed(&self, parent: InodeId) -> Option<(DirCookie, u32)> {
        self.inner.state.lock().missed(parent)
    }

    /// That is done.
    pub(crate) fn has_read_on(&self, parent: InodeId) {
        self.inner.state.lock().has_read_on(parent);
    }

    /// Does something that counts on an inode's lease before it can be given back: what it submits
    /// reaches the server first.
    pub(crate) fn under_lease<R>(&self, ino: InodeId, act: impl FnOnce(Attr) -> R) -> Option<R> {
        self.trusted()?;
        let mut state = self.inner.state.lock();
        let attr = state.attr(ino)?;
        Some(act(attr))
    }

    /// Does something about the locks in a file, and says whether they are for this mount alone to decide
    /// about meanwhile: nobody else can have any before its lease is given back.
    pub(crate) fn on_locks<R>(&self, ino: InodeId, act: impl FnOnce(bool) -> R) -> R {
        let state = self.inner.state.lock();
        act(self.trusted().is_some() && state.holdings().may(ino, Mode::Exclusive))
    }

    /// Answers a change by itself, if the leases allow it and nothing is in doubt. `hold` is called before
    /// that; what it gives is kept until the change has its place in the session's order, and given
    /// back. What was not used for long is given up when the first part of the answer is dropped: after what
    /// `hold` gave, since it may be a lock that others take with the memory locked. `None`: the server must
    /// be asked.
    pub(crate) fn change<G>(
        &self,
        caller: Caller,
        op: &Op,
        hold: impl FnOnce() -> G,
    ) -> Option<(Unused<'_>, OpReply, G)> {
        let session = self.inner.session()?;
        let (reply, held, unused) = {
            let mut state = self.inner.state.lock();
            if !state.may_change(op) {
                return None;
            }
            let held = hold();
            let mut change = None;
            let seq = session.answer(|answering| {
                let foretold = change.insert(state.foretell(caller, op, answering)?);
                Some(Foretold { caller, op: foretold.op.clone(), reply: foretold.reply.clone() })
            })?;
            let change = change?;
            state.changed_here(&change, seq);
            (change.reply, held, state.unused(INODES_MAX))
        };
        Some((Unused { memory: self, inodes: unused }, reply, held))
    }

    /// Submits a change that the server decides. What it may touch is in doubt from here until its outcome.
    pub(crate) fn submit<G>(&self, op: &Op, submit: impl FnOnce() -> (G, Outcome)) -> (G, Outcome) {
        let mut state = self.inner.state.lock();
        let (held, outcome) = submit();
        if let Some(seq) = outcome.seq() {
            state.submitted(op, seq);
        }
        (held, outcome)
    }

    fn trusted(&self) -> Option<()> {
        self.inner.session()?.is_trusted().then_some(())
    }

    /// The session is lost: others may have changed anything. What the kernel was told to believe is
    /// dropped as fast as it can be.
    pub fn lost(&self) {
        let told = self.inner.state.lock().lost();
        self.drop_told(told);
    }

    /// Drops attributes that the kernel was told, as fast as it can be.
    fn drop_told(&self, told: Vec<(InodeId, Instant)>) {
        let Some(kernel) = self.kernel.get() else { return };
        for (ino, told) in told {
            let inner = Arc::clone(&self.inner);
            let ready = Box::new(move || _ = inner.replies_are_out());
            kernel.drop_attributes(ino, told, ready, Box::new(|| ()));
        }
    }

    /// Takes something up, and gives back what was not used for long.
    fn learn(&self, learn: impl FnOnce(&mut State)) {
        let unused = {
            let mut state = self.inner.state.lock();
            learn(&mut state);
            state.unused(INODES_MAX)
        };
        self.give_up(unused);
    }

    fn give_up(&self, unused: Vec<(InodeId, Believed)>) {
        for (ino, believed) in unused {
            self.drop_copy(ino, believed);
        }
    }

    /// Drops the kernel's copy, then gives the lease back.
    fn drop_copy(&self, ino: InodeId, believed: Believed) {
        let Some(kernel) = self.kernel.get().filter(|_| believed != Believed::default()) else {
            return self.inner.dropped(ino);
        };
        let names = Arc::new(Mutex::new(believed.names));
        let (before, after, told) = (Arc::clone(&self.inner), Arc::clone(&self.inner), Arc::clone(&names));
        let ready = move || {
            let mut until = told.lock();
            // One of them may have been about this, however long its thread has not run.
            if before.replies_are_out() == Replies::JustNow && until.is_some() {
                *until = Some(Instant::now() + NAMES_BELIEVED + TAKEN_UP);
            }
        };
        let timer = Arc::clone(kernel);
        let done = move || match *names.lock() {
            Some(until) if until > Instant::now() => timer.at(until, Box::new(move || after.dropped(ino))),
            _ => after.dropped(ino),
        };
        let named = believed.names.and_then(|until| until.checked_sub(NAMES_BELIEVED + TAKEN_UP));
        let told = believed.attributes.or(named).unwrap_or_else(Instant::now);
        kernel.drop_attributes(ino, told, Box::new(ready), Box::new(done));
    }
}

impl Inner {
    fn session(&self) -> Option<Session> {
        self.session.get()?.upgrade()
    }

    /// Whether the kernel alone changes what it is told, so that nothing is ever taken back.
    fn is_alone(&self) -> bool {
        self.session().is_some_and(|session| session.is_exclusive())
    }

    /// Waits until answers that the kernel may believe, and that are on their way, have reached it.
    fn replies_are_out(&self) -> Replies {
        if self.replies.try_write().is_some() {
            return Replies::Before;
        }
        drop(self.replies.write());
        Replies::JustNow
    }

    fn dropped(&self, ino: InodeId) {
        let back = self.state.lock().dropped(Target::Inode(ino));
        if let Some(back) = back {
            self.give_back(&back);
        }
    }

    fn give_back(&self, back: &GiveBack) {
        if let Some(session) = self.session() {
            session.give_back(back);
        }
    }
}

impl LeaseEvents for Memory {
    fn held(&self) -> Vec<(InodeId, Mode)> {
        self.inner.state.lock().leases()
    }

    fn welcomed(&self, epoch: Epoch) {
        self.inner.state.lock().welcomed(epoch);
    }

    fn broken(&self) {
        self.inner.state.lock().forget_all();
    }

    fn distrusted(&self) {
        let alone = self.inner.is_alone();
        let state = self.inner.state.lock();
        // Who is alone has not noted what the kernel was told.
        let told = if alone { state.all_known() } else { state.all_told() };
        drop(state);
        self.drop_told(told);
    }

    fn touched(&self, ino: InodeId, atime: Option<Timestamp>) {
        self.read_elsewhere(ino, atime);
    }

    fn answered(&self, question: &Question, behind: Seq, answered: &Answered) {
        self.learn(|state| state.answered(question, behind, answered));
    }

    fn applied(&self, applied: &Applied) {
        self.learn(|state| state.applied(applied));
    }

    fn misread(&self, op: &Op) {
        self.inner.state.lock().misread(op);
    }

    fn recalled(&self, ino: InodeId, keep: Option<Mode>) {
        let (lowered, released, step, told) = {
            let mut state = self.inner.state.lock();
            let mut lowered = state.lower_below(ino);
            lowered.extend(state.lower_beside(ino));
            let released = if keep.is_none() { state.release_below(ino) } else { Vec::new() };
            (lowered, released, state.recalled(ino, keep), state.told(ino))
        };
        for back in lowered {
            self.inner.give_back(&back);
        }
        match step {
            Step::Wait => {}
            Step::GiveBack(back) => self.inner.give_back(&back),
            Step::Drop(_) => self.drop_copy(ino, told),
        }
        self.give_up(released);
    }
}

#[cfg(test)]
mod tests;
