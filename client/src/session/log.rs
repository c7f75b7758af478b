//! The operation log: what the session did that the server may still forget.
//!
//! Operations have consecutive numbers. Each is kept until it is answered, durable, and sent on
//! the present stream; so whatever breaks, what is left can be sent again, in order and without a
//! gap. The marks always stand in this order:
//!
//! `first - 1 <= sent <= admitted <= last`
//!
//! - *admitted*: may be sent. Grows while what is kept stays within the limits; whatever was sent
//!   once is admitted for good, because a recovering server waits for all of it.
//! - *sent*: was handed to the present stream.
//!
//! Pure: no lock, no clock, no wire format. `W` is whoever waits for an answer.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use holdfast_core::attr::Attr;
use holdfast_core::id::{CommitSeq, InodeId, Seq};
use holdfast_core::op::{Caller, NewNode, Op, OpReply, OpResult, WriteData};
use holdfast_core::time::Timestamp;

/// What may be kept and sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of operations that were admitted and are still kept. One is admitted whatever it weighs.
    pub(crate) bytes: usize,
    /// Operations that were admitted and are still kept: so many may have to be said again at once.
    pub(crate) ops: usize,
}

/// An operation that is kept.
#[derive(Debug)]
pub(crate) struct Entry<W> {
    /// Who asked.
    pub(crate) caller: Caller,
    /// For what.
    pub(crate) op: Op,
    /// The bytes of a staged write.
    pub(crate) payload: Option<Bytes>,
    /// When it happened, where it was answered here.
    pub(crate) time: Option<Timestamp>,
    /// Its place in the volume's order, once known.
    pub(crate) commit: Option<CommitSeq>,
    answer: Answer,
    /// What was answered here, until the server has said the same.
    foretold: Option<OpReply>,
    /// Its outcome came, on whatever stream.
    told: bool,
    /// Its outcome came on the present stream.
    heard: bool,
    waiter: Option<W>,
    weight: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    None,
    Failed,
    Done { created: Option<InodeId> },
}

/// What an outcome meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answered<W> {
    /// The first one: tell whoever waits.
    First(Option<W>),
    /// It was answered here, and so it is.
    AsForetold,
    /// Told before; the operation was sent again.
    Again,
    /// Told before as done, and now the server says that it failed: these inodes lost a change.
    Undone(Vec<InodeId>),
    /// It was answered here, and was done otherwise.
    Misread,
    /// Nothing is kept under this number.
    Unknown,
}

/// An operation that went down with its session.
#[derive(Debug)]
pub(crate) struct Dropped<W> {
    /// Who waits, if it was not answered.
    pub(crate) waiter: Option<W>,
    /// Which.
    pub(crate) op: Op,
    /// It was not answered.
    pub(crate) unanswered: bool,
}

/// Everything that went down with a session.
#[derive(Debug)]
pub(crate) struct Wreck<W> {
    /// In order.
    pub(crate) dropped: Vec<Dropped<W>>,
    /// Inodes with changes that the server may not have on disk.
    pub(crate) lost: BTreeSet<InodeId>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct OpLog<W> {
    limits: Limits,
    entries: VecDeque<Entry<W>>,
    /// Number of the first entry, or of the next one where there is none.
    first: u64,
    durable: u64,
    answered: u64,
    admitted: u64,
    sent: u64,
    ever_sent: u64,
    weight: usize,
    weight_admitted: usize,
}

impl<W> Entry<W> {
    /// Nobody was told its outcome.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.answer == Answer::None
    }

    /// From now on only its number is sent. What failed had no effect, and must have none when it is sent to a
    /// server that has forgotten it: it may have been put off and done under another number since, or it
    /// may not fail any more.
    fn does_nothing(&mut self) {
        self.op = Op::Close { ino: InodeId(u64::MAX) };
        self.payload = None;
    }

    /// It was answered here, and the server has not yet said what became of it.
    pub(crate) const fn is_foretold(&self) -> bool {
        self.foretold.is_some()
    }
}

impl<W> OpLog<W> {
    /// An empty log.
    pub(crate) const fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: VecDeque::new(),
            first: 1,
            durable: 0,
            answered: 0,
            admitted: 0,
            sent: 0,
            ever_sent: 0,
            weight: 0,
            weight_admitted: 0,
        }
    }

    /// Number that the next operation will get.
    pub(crate) fn next_seq(&self) -> Seq {
        Seq(self.first + self.entries.len() as u64)
    }

    /// Number of the last operation; zero: there was none.
    pub(crate) fn last_seq(&self) -> Seq {
        Seq(self.next_seq().0 - 1)
    }

    /// Number of the first operation that is kept, or of the next one.
    pub(crate) const fn first_seq(&self) -> Seq {
        Seq(self.first)
    }

    /// Number of the last operation that was sent on this stream.
    pub(crate) const fn sent(&self) -> Seq {
        Seq(self.sent)
    }

    /// Number of the last operation that may be sent.
    pub(crate) const fn admitted(&self) -> Seq {
        Seq(self.admitted)
    }

    /// Number of the last operation that was ever sent.
    pub(crate) const fn ever_sent(&self) -> Seq {
        Seq(self.ever_sent)
    }

    /// The outcome of every operation up to here has come.
    pub(crate) const fn answered(&self) -> Seq {
        Seq(self.answered)
    }

    /// Number of operations that are kept.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Memory that they take, in bytes, about.
    pub(crate) const fn weight(&self) -> usize {
        self.weight
    }

    /// What is unanswered though nobody waits for it, in order: whoever did it took it for done.
    pub(crate) fn unheard_of(&self) -> impl Iterator<Item = &Op> {
        self.entries.iter().filter(|entry| entry.is_unanswered() && entry.waiter.is_none()).map(|entry| &entry.op)
    }

    /// The last operation that a server may know, whose outcome has not come, and of which this is true.
    pub(crate) fn last_unanswered(&self, is_it: impl Fn(&Op) -> bool) -> Option<Seq> {
        let unanswered = (self.answered + 1..=self.ever_sent).rev();
        let entries = unanswered.filter_map(|seq| Some((Seq(seq), self.entry(Seq(seq))?)));
        entries.filter(|(_, entry)| entry.is_unanswered()).find(|(_, entry)| is_it(&entry.op)).map(|(seq, _)| seq)
    }

    /// Whether an operation may not be sent yet because of the limits.
    pub(crate) fn is_held_up(&self) -> bool {
        self.admitted < self.last_seq().0
    }

    /// Whether so much waits to become durable that the server should be asked to hurry.
    pub(crate) const fn is_heavy(&self) -> bool {
        let admitted = self.admitted + 1 - self.first;
        self.weight_admitted >= self.limits.bytes / 2 || admitted >= self.limits.ops as u64 / 2
    }

    /// Keeps an operation and gives it its number.
    pub(crate) fn push(&mut self, caller: Caller, op: Op, payload: Option<Bytes>, waiter: Option<W>) -> Seq {
        let seq = self.next_seq();
        let weight = op.weight();
        self.weight += weight;
        self.entries.push_back(Entry {
            caller,
            op,
            payload,
            time: None,
            commit: None,
            answer: Answer::None,
            foretold: None,
            told: false,
            heard: false,
            waiter,
            weight,
        });
        seq
    }

    /// Keeps an operation that was answered here.
    pub(crate) fn push_answered(
        &mut self,
        caller: Caller,
        op: Op,
        payload: Option<Bytes>,
        (time, reply): (Timestamp, OpReply),
    ) -> Seq {
        let created = created(&op, &reply);
        let seq = self.push(caller, op, payload, None);
        if let Some(entry) = self.entries.back_mut() {
            entry.time = Some(time);
            entry.answer = Answer::Done { created };
            entry.foretold = Some(reply);
        }
        seq
    }

    /// Admits what fits; the numbers that are new.
    pub(crate) fn admit(&mut self) -> std::ops::RangeInclusive<u64> {
        let start = self.admitted + 1;
        while let Some(entry) = self.entry(Seq(self.admitted + 1)) {
            let seq = self.admitted + 1;
            let weight = self.weight_admitted + entry.weight;
            let fits =
                (weight <= self.limits.bytes || self.weight_admitted == 0) && seq - self.first < self.limits.ops as u64;
            if !fits && seq > self.ever_sent {
                break;
            }
            self.weight_admitted = weight;
            self.admitted = seq;
        }
        start..=self.admitted
    }

    /// What is kept under a number.
    pub(crate) fn entry(&self, seq: Seq) -> Option<&Entry<W>> {
        self.entries.get(self.index(seq)?)
    }

    /// What may be sent and was not yet, in order.
    pub(crate) fn to_send(&self) -> impl Iterator<Item = (Seq, &Entry<W>)> {
        (self.sent + 1..=self.admitted).filter_map(|seq| Some((Seq(seq), self.entry(Seq(seq))?)))
    }

    /// Everything up to here was handed to the stream.
    pub(crate) fn mark_sent(&mut self, through: Seq) {
        self.sent = self.sent.max(through.0.min(self.admitted));
        self.ever_sent = self.ever_sent.max(self.sent);
        self.forget();
    }

    /// The outcome of an operation came.
    pub(crate) fn outcome(&mut self, seq: Seq, commit: CommitSeq, result: &OpResult) -> Answered<W> {
        let Some(index) = self.index(seq) else { return Answered::Unknown };
        let Some(entry) = self.entries.get_mut(index) else { return Answered::Unknown };
        if commit != CommitSeq(0) {
            entry.commit = Some(commit);
        }
        let before = entry.answer;
        let foretold = entry.foretold.take();
        entry.heard = true;
        entry.told = true;
        entry.answer = match result {
            Err(_) => Answer::Failed,
            Ok(reply) => Answer::Done { created: created(&entry.op, reply) },
        };
        let answered = match before {
            Answer::None => Answered::First(entry.waiter.take()),
            Answer::Done { .. } if foretold.as_ref().is_some_and(|reply| is_same(result, reply)) => {
                Answered::AsForetold
            }
            Answer::Done { .. } if foretold.is_some() && result.is_ok() => Answered::Misread,
            Answer::Done { created } if result.is_err() => Answered::Undone(touched(&entry.op, created)),
            Answer::Done { .. } | Answer::Failed => Answered::Again,
        };
        if result.is_err() {
            entry.does_nothing();
        }
        while self.entry(Seq(self.answered + 1)).is_some_and(|entry| entry.told) {
            self.answered += 1;
        }
        self.forget();
        answered
    }

    /// Everything up to here is on the server's disk. False: that cannot be, it was never sent.
    pub(crate) fn durable(&mut self, through: Seq) -> bool {
        if through.0 > self.ever_sent {
            return false;
        }
        self.durable = self.durable.max(through.0);
        self.forget();
        true
    }

    /// The stream broke: everything that is kept is to be sent again.
    pub(crate) fn rewind(&mut self) {
        for entry in &mut self.entries {
            entry.heard = false;
        }
        self.sent = self.first - 1;
        self.admitted = self.sent;
        self.weight_admitted = 0;
    }

    /// Whether an operation's outcome is still to come on this stream.
    pub(crate) fn awaits(&self, seq: Seq) -> bool {
        self.entry(seq).is_some_and(|entry| !entry.heard)
    }

    /// Takes back an operation that cannot be carried out (again), unless its outcome came on this
    /// stream: an operation that does nothing takes its number. Who waits for it, and if it was
    /// answered before, the inodes that lost a change.
    pub(crate) fn withdraw(&mut self, seq: Seq) -> Option<(Option<W>, Vec<InodeId>)> {
        let index = self.index(seq)?;
        let entry = self.entries.get_mut(index).filter(|entry| !entry.heard)?;
        let lost = match entry.answer {
            Answer::Done { created } => touched(&entry.op, created),
            Answer::None | Answer::Failed => Vec::new(),
        };
        entry.does_nothing();
        entry.foretold = None;
        Some((entry.waiter.take(), lost))
    }

    /// Takes back an operation that nobody waits for any more, if it was never sent: one that does nothing
    /// takes its number. False: it was, or is told already. A close is not taken back, or nobody would
    /// ever close.
    pub(crate) fn take_back(&mut self, seq: Seq) -> bool {
        let admitted = seq.0 <= self.admitted;
        let Some(index) = self.index(seq).filter(|_| seq.0 > self.ever_sent) else { return false };
        let Some(entry) = self.entries.get_mut(index).filter(|entry| entry.answer == Answer::None) else {
            return false;
        };
        if matches!(entry.op, Op::Close { .. }) {
            return false;
        }
        entry.does_nothing();
        entry.waiter = None;
        let lighter = entry.weight - entry.op.weight();
        entry.weight -= lighter;
        self.weight -= lighter;
        if admitted {
            self.weight_admitted -= lighter;
        }
        true
    }

    /// The session is lost: the log begins anew, empty, at number 1.
    pub(crate) fn wreck(&mut self) -> Wreck<W> {
        let old = std::mem::replace(self, Self::new(self.limits));
        let mut wreck = Wreck { dropped: Vec::new(), lost: BTreeSet::new() };
        for (seq, entry) in (old.first..).zip(old.entries) {
            let unanswered = entry.answer == Answer::None;
            if seq > old.durable {
                match entry.answer {
                    Answer::None => wreck.lost.extend(touched(&entry.op, None)),
                    Answer::Done { created } => wreck.lost.extend(touched(&entry.op, created)),
                    Answer::Failed => {}
                }
            }
            wreck.dropped.push(Dropped { waiter: entry.waiter, op: entry.op, unanswered });
        }
        wreck
    }

    /// Lets go of what nobody can ask for any more.
    fn forget(&mut self) {
        while let Some(entry) = self.entries.front() {
            let done = entry.told && self.first <= self.durable && self.first <= self.sent;
            if !done {
                break;
            }
            self.weight -= entry.weight;
            self.weight_admitted -= entry.weight;
            self.entries.pop_front();
            self.first += 1;
        }
    }

    fn index(&self, seq: Seq) -> Option<usize> {
        usize::try_from(seq.0.checked_sub(self.first)?).ok()
    }
}

/// Whether the server has done what was foretold. That there are no xattrs it may know better.
fn is_same(result: &OpResult, foretold: &OpReply) -> bool {
    let same = |a: &Attr, b: &Attr| *a == Attr { no_xattrs: a.no_xattrs, ..*b };
    match (result, foretold) {
        (Ok(OpReply::Attr(a)), OpReply::Attr(b)) => same(a, b),
        (Ok(OpReply::Written { offset: at, len, attr: a }), OpReply::Written { offset, len: wanted, attr: b }) => {
            at == offset && len == wanted && same(a, b)
        }
        (Ok(done), foretold) => done == foretold,
        (Err(_), _) => false,
    }
}

/// The inode that an operation made.
pub(crate) fn created(op: &Op, reply: &OpReply) -> Option<InodeId> {
    match (op, reply) {
        (Op::Create { .. } | Op::CreateUnnamed { .. }, OpReply::Attr(attr)) => Some(attr.ino),
        _ => None,
    }
}

/// Inodes that an operation changes: whose fsync must tell of its loss.
pub(crate) fn touched(op: &Op, created: Option<InodeId>) -> Vec<InodeId> {
    created.into_iter().chain(op.changes()).collect()
}

/// Whether a read-only session may do this: open and close change nothing.
pub(crate) const fn changes_something(op: &Op) -> bool {
    !matches!(op, Op::Open { truncate: false, .. } | Op::Close { .. })
}

/// The inode that an operation opens, by its outcome.
pub(crate) fn opened(op: &Op, reply: &OpReply) -> Option<InodeId> {
    match (op, reply) {
        (Op::Open { ino, .. }, _) => Some(*ino),
        (Op::Create { node: NewNode::File { open: true }, .. } | Op::CreateUnnamed { .. }, OpReply::Attr(attr)) => {
            Some(attr.ino)
        }
        _ => None,
    }
}

/// Bytes that a write brings.
pub(crate) const fn payload_bytes(op: &Op) -> u64 {
    match op {
        Op::Write { data: WriteData::Inline(data), .. } => data.len() as u64,
        Op::Write { data: WriteData::Staged { len, .. }, .. } => *len as u64,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
