//! Locks of whole files, flock(2).

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use holdfast_tests::linear::objects::LockCall;
use holdfast_tests::linear::{End, Entry};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::{Call, Client};

impl Client<'_> {
    /// Takes a lock, waiting for it or not, and lets go of it.
    pub(super) fn lock(&mut self, object: usize) {
        let file = match self.file(object, "value") {
            Ok(file) => file,
            Err(error) => return self.errors.push(format!("open: {error}")),
        };
        let (exclusive, wait) = (self.random.percent(60), self.random.percent(30));
        let how = match (exclusive, wait) {
            (true, true) => FlockArg::LockExclusive,
            (true, false) => FlockArg::LockExclusiveNonblock,
            (false, true) => FlockArg::LockShared,
            (false, false) => FlockArg::LockSharedNonblock,
        };
        let by = self.number;
        let begun = self.now();
        match Flock::lock(file, how) {
            Ok(held) => {
                let end = End::Answered(self.now());
                self.note_lock(object, LockCall::Take { by, exclusive, got: true }, begun, end);
                thread::sleep(Duration::from_micros(self.random.below(2000)));
                let let_go = self.now();
                let unlocked = held.unlock();
                // Who was cut off meanwhile may have lost it before: from then on it may be anybody's.
                let let_go = self.lost_since(begun).map_or(let_go, |lost| lost.min(let_go));
                match unlocked {
                    Ok(file) => {
                        let end = End::Answered(self.now());
                        self.note_lock(object, LockCall::Drop { by }, let_go, end);
                        self.open.insert(object, file);
                    }
                    Err((_, error)) => {
                        self.errors.push(format!("unlock: {error}"));
                        // It is gone with its descriptor, or with the session.
                        self.note_lock(object, LockCall::Drop { by }, let_go, End::Answered(u64::MAX));
                    }
                }
            }
            Err((file, Errno::EWOULDBLOCK)) => {
                let end = End::Answered(self.now());
                self.note_lock(object, LockCall::Take { by, exclusive, got: false }, begun, end);
                self.open.insert(object, file);
            }
            Err((_, error)) => {
                self.errors.push(format!("lock: {error}"));
                // It may have been given, and taken away again.
                let end = End::Failed(self.now());
                self.note_lock(object, LockCall::Take { by, exclusive, got: true }, begun, end);
                self.note_lock(object, LockCall::Drop { by }, begun, End::Failed(u64::MAX));
            }
        }
    }

    /// When a lock that was taken at `begun` may have been lost, if it may.
    fn lost_since(&self, begun: u64) -> Option<u64> {
        let fence = self.fence?;
        let (cut, over) = (fence.begun.load(Ordering::Acquire), fence.over.load(Ordering::Acquire));
        (cut > 0 && (over == 0 || begun < over)).then_some(cut)
    }

    fn note_lock(&mut self, object: usize, call: LockCall, begun: u64, end: End) {
        self.calls.push((object, Call::Lock(Entry { client: self.number, call, begun, end })));
    }
}
