//! Who must drop what from its kernel's cache, and which answers wait for that.
//!
//! Pure: changes and confirmations in, messages and released answers out.
//!
//! - A change of a file's content makes one *notice* for each other session that has the file
//!   open. The answer to the change waits for the notices that it may wait for.
//! - A session has at most one notice of a file under way; later changes merge into one more that
//!   follows when the first is confirmed. So a slow session costs two notices a file, not more.
//! - Nobody ever waits for a session that has an unanswered content operation of its own on the
//!   file: its kernel may hold the very pages until that answer. The notice still goes out.
//! - A session that does not confirm in time is reported, to be fenced: it keeps its lease alive
//!   and yet cannot be trusted with what it has cached.

use std::collections::{BTreeMap, HashMap};

use holdfast_core::id::{InodeId, Seq, SessionId};
use holdfast_core::session::BootTime;
use holdfast_proto::invalidate::Invalidation;

/// An answer: that of this operation of this session.
pub(crate) type AnswerId = (SessionId, Seq);

/// A message to a session: the notice's number, and what to drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) to: SessionId,
    pub(crate) id: u64,
    pub(crate) what: Invalidation,
}

/// What came of an event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// To be sent now.
    pub(crate) send: Vec<Message>,
    /// These answers wait for one notice less, each as often as it stands here.
    pub(crate) released: Vec<AnswerId>,
}

#[derive(Debug)]
struct Notice {
    what: Invalidation,
    waiting: Vec<AnswerId>,
}

/// One session's notices of one file.
#[derive(Debug)]
struct Lane {
    id: u64,
    sent: BootTime,
    current: Notice,
    next: Option<Notice>,
}

/// All notices of one volume.
#[derive(Debug, Default)]
pub(crate) struct Invalidations {
    lanes: BTreeMap<(SessionId, InodeId), Lane>,
    by_id: HashMap<u64, (SessionId, InodeId)>,
    last_id: u64,
}

impl Invalidations {
    /// A session must drop something; `by` waits for it if given.
    pub(crate) fn notify(
        &mut self,
        to: SessionId,
        what: Invalidation,
        by: Option<AnswerId>,
        now: BootTime,
        effects: &mut Effects,
    ) {
        let waiting: Vec<AnswerId> = by.into_iter().collect();
        match self.lanes.get_mut(&(to, what.ino)) {
            Some(lane) => match &mut lane.next {
                Some(next) => {
                    next.what = merged(next.what, what);
                    next.waiting.extend(waiting);
                }
                None => lane.next = Some(Notice { what, waiting }),
            },
            None => self.send(to, Notice { what, waiting }, now, effects),
        }
    }

    /// A session has dropped what a notice named. Unknown numbers (of notices that ended another
    /// way) mean nothing.
    pub(crate) fn done(&mut self, from: SessionId, id: u64, now: BootTime, effects: &mut Effects) {
        match self.by_id.get(&id) {
            Some(&key) if key.0 == from => {
                self.by_id.remove(&id);
                let Some(lane) = self.lanes.remove(&key) else { return };
                effects.released.extend(lane.current.waiting);
                if let Some(next) = lane.next {
                    self.send(from, next, now, effects);
                }
            }
            _ => {}
        }
    }

    /// Nobody waits for this session about this file any more: it has an unanswered content
    /// operation on it.
    pub(crate) fn excuse(&mut self, session: SessionId, ino: InodeId, effects: &mut Effects) {
        if let Some(lane) = self.lanes.get_mut(&(session, ino)) {
            effects.released.append(&mut lane.current.waiting);
            if let Some(next) = &mut lane.next {
                effects.released.append(&mut next.waiting);
            }
        }
    }

    /// The session closed the file, so it has nothing more to confirm.
    pub(crate) fn closed(&mut self, session: SessionId, ino: InodeId, effects: &mut Effects) {
        if let Some(lane) = self.lanes.remove(&(session, ino)) {
            self.by_id.remove(&lane.id);
            effects.released.extend(lane.current.waiting);
            effects.released.extend(lane.next.into_iter().flat_map(|next| next.waiting));
        }
    }

    /// The session is gone, with all that it should have confirmed and all that it waits for.
    pub(crate) fn gone(&mut self, session: SessionId, effects: &mut Effects) {
        let lanes = self.lanes.range((session, InodeId(0))..=(session, InodeId(u64::MAX)));
        let inodes: Vec<InodeId> = lanes.map(|(&(_, ino), _)| ino).collect();
        for ino in inodes {
            self.closed(session, ino, effects);
        }
        for lane in self.lanes.values_mut() {
            lane.current.waiting.retain(|(by, _)| *by != session);
            if let Some(next) = &mut lane.next {
                next.waiting.retain(|(by, _)| *by != session);
            }
        }
    }

    /// What is under way to a session, to be sent again on its new stream.
    pub(crate) fn resend(&self, session: SessionId) -> Vec<Message> {
        let lanes = self.lanes.range((session, InodeId(0))..=(session, InodeId(u64::MAX)));
        lanes.map(|(_, lane)| Message { to: session, id: lane.id, what: lane.current.what }).collect()
    }

    /// Sessions with a notice that was sent before `than` and is not confirmed.
    pub(crate) fn overdue(&self, than: BootTime) -> Vec<SessionId> {
        let late = self.lanes.iter().filter(|(_, lane)| lane.sent < than);
        let mut sessions: Vec<SessionId> = late.map(|(&(session, _), _)| session).collect();
        sessions.dedup();
        sessions
    }

    /// The time was not the sessions': everything under way counts as sent that much later.
    pub(crate) fn forgive(&mut self, pause: std::time::Duration) {
        for lane in self.lanes.values_mut() {
            lane.sent = BootTime(lane.sent.0 + pause);
        }
    }

    /// Whether nothing is under way.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.by_id.is_empty()
    }

    fn send(&mut self, to: SessionId, notice: Notice, now: BootTime, effects: &mut Effects) {
        self.last_id += 1;
        let id = self.last_id;
        let what = notice.what;
        effects.send.push(Message { to, id, what });
        self.by_id.insert(id, (to, what.ino));
        self.lanes.insert((to, what.ino), Lane { id, sent: now, current: notice, next: None });
    }
}

/// One notice that covers both, the first before the second; of one file.
fn merged(one: Invalidation, two: Invalidation) -> Invalidation {
    let offset = one.offset.min(two.offset);
    let end = |what: Invalidation| what.len.map(|len| what.offset.saturating_add(len));
    let len = end(one).zip(end(two)).map(|(first, second)| first.max(second) - offset);
    Invalidation { ino: one.ino, offset, len, data_version: one.data_version.max(two.data_version), size: two.size }
}

#[cfg(test)]
mod tests;
