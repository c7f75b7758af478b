//! The thread of a cache: puts blocks on their shelves, and makes room before.
//!
//! At first it looks at every shelf once, so that a cache that was made smaller becomes so, and it is known
//! how much there is; what comes meanwhile goes first.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError};

use holdfast_core::hash::FrameHash;
use holdfast_core::size::ByteSize;

use super::shelf::{Account, SHELVES, Shelf, cost, superfluous};
use super::{Batch, Common};

/// See the module.
#[derive(Debug)]
pub(super) struct Keeper {
    common: Arc<Common>,
    accounts: Vec<Account>,
    /// What each shelf may take.
    share: u64,
}

impl Keeper {
    pub(super) fn new(common: Arc<Common>, size: ByteSize) -> Self {
        Self { common, accounts: vec![Account::default(); SHELVES], share: size.bytes() / SHELVES as u64 }
    }

    /// Works until nobody can send any more.
    pub(super) fn run(mut self, batches: &Receiver<Batch>) {
        let swept = self.common.files.sweep();
        self.look_at(swept);
        let mut shelves = Shelf::all();
        loop {
            match batches.try_recv() {
                Ok(batch) => self.store(batch),
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => match shelves.next() {
                    Some(shelf) => {
                        let tidied = self.tidy(shelf, 0);
                        self.look_at(tidied);
                    }
                    None => match batches.recv() {
                        Ok(batch) => self.store(batch),
                        Err(_) => return,
                    },
                },
            }
        }
    }

    fn store(&mut self, batch: Batch) {
        let counters = &Arc::clone(&self.common).counters;
        for (hash, data) in &batch.blocks {
            if self.common.writes.is_on() {
                counters.skipped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let put = self.put(hash, data);
            if put.is_ok() {
                counters.stored.fetch_add(1, Ordering::Relaxed);
                counters.bytes_written.fetch_add(data.len() as u64, Ordering::Relaxed);
                self.common.writes.end();
            } else {
                counters.skipped.fetch_add(1, Ordering::Relaxed);
            }
            self.look_at(put);
        }
        self.note_held();
        self.common.waiting.fetch_sub(batch.weight, Ordering::Relaxed);
    }

    fn put(&mut self, hash: &FrameHash, data: &[u8]) -> io::Result<()> {
        let (shelf, cost) = (Shelf::of(hash), cost(data.len() as u64));
        if self.accounts[shelf.index()].is_stale(cost, self.share) {
            self.tidy(shelf, cost)?;
        }
        self.common.files.write(hash, data)?;
        self.accounts[shelf.index()].put(cost);
        Ok(())
    }

    /// Looks at a shelf, and makes room for so much.
    fn tidy(&mut self, shelf: Shelf, coming: u64) -> io::Result<()> {
        let kept = self.common.files.list(shelf)?;
        let mut held: u64 = kept.iter().map(|block| block.cost).sum();
        for block in superfluous(kept, coming, self.share) {
            self.common.files.discard(shelf, &block)?;
            self.common.counters.evictions.fetch_add(1, Ordering::Relaxed);
            held -= block.cost;
        }
        self.accounts[shelf.index()].looked(held);
        self.note_held();
        Ok(())
    }

    fn note_held(&self) {
        let held = self.accounts.iter().map(Account::held).sum();
        self.common.counters.bytes_held.store(held, Ordering::Relaxed);
    }

    fn look_at(&self, done: io::Result<()>) {
        if let Err(error) = done {
            self.common.writes.begin("cannot write to the disk cache", &error);
        }
    }
}
