//! Who waits for the server's disk.
//!
//! Each call has an id and the last operation that it covers. One request on the wire serves all
//! whose operations were sent before it. An answer counts only by its id: a `Durable` that was on
//! its way already says nothing about what other sessions had applied. Pure.

use std::collections::VecDeque;

use holdfast_core::id::Seq;

#[derive(Debug)]
struct Wait<W> {
    id: u64,
    covers: Seq,
    waiter: Option<W>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Syncs<W> {
    /// In order of ids, and so of what they cover.
    waiting: VecDeque<Wait<W>>,
    last_id: u64,
    /// Newest id that was asked for on the present stream.
    asked: u64,
}

impl<W> Syncs<W> {
    pub(crate) const fn new() -> Self {
        Self { waiting: VecDeque::new(), last_id: 0, asked: 0 }
    }

    /// Somebody wants everything up to `covers` on disk. Its id.
    pub(crate) fn push(&mut self, covers: Seq, waiter: W) -> u64 {
        self.last_id += 1;
        self.waiting.push_back(Wait { id: self.last_id, covers, waiter: Some(waiter) });
        self.last_id
    }

    /// Somebody waits no longer.
    pub(crate) fn give_up(&mut self, id: u64) {
        self.waiting.retain(|wait| wait.id != id);
    }

    /// The log is heavy: asks for `covers` unless that is under way.
    pub(crate) fn hurry(&mut self, covers: Seq) {
        if self.waiting.is_empty() {
            self.last_id += 1;
            self.waiting.push_back(Wait { id: self.last_id, covers, waiter: None });
        }
    }

    /// What to ask the server for: id and last operation, of the newest that is wholly sent.
    pub(crate) fn next_request(&mut self, sent: Seq) -> Option<(u64, Seq)> {
        let newest = self.waiting.iter().rev().find(|wait| wait.covers <= sent)?;
        if newest.id <= self.asked {
            return None;
        }
        self.asked = newest.id;
        Some((newest.id, newest.covers))
    }

    /// The server answered: those who wait no longer. What was not asked for on this stream
    /// cannot be answered on it.
    pub(crate) fn answered(&mut self, id: u64, durable: Seq) -> Vec<W> {
        let id = id.min(self.asked);
        let mut done = Vec::new();
        while self.waiting.front().is_some_and(|wait| wait.id <= id && wait.covers <= durable) {
            done.extend(self.waiting.pop_front().and_then(|wait| wait.waiter));
        }
        done
    }

    /// The stream broke: everything is to be asked for again.
    pub(crate) fn rewind(&mut self) {
        self.asked = 0;
    }

    /// The session is lost: everybody who waits.
    pub(crate) fn wreck(&mut self) -> Vec<W> {
        self.asked = 0;
        self.waiting.drain(..).filter_map(|wait| wait.waiter).collect()
    }
}
