//! What one client did, step by step, written down outside of what is tested: which steps it began, which
//! were answered, and up to which one everything was synced.
//!
//! The steps are the model's, so that what a crash leaves can be compared with the model after each of
//! them (`model::tree::Prefix`).

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::Model;
use crate::model::disk::Disk;
use crate::model::generate::{Generator, SLOTS};
use crate::model::harness::Driver as _;
use crate::model::step::{Answer, Outcome, Step, agrees};
use crate::random::Random;

/// How far a client has come, in steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// It has asked for so many.
    pub begun: usize,
    /// It was answered so many.
    pub answered: usize,
    /// So many were done before an fsync that has succeeded, itself included.
    pub synced: usize,
}

#[derive(Debug, Default)]
struct Inner {
    steps: Vec<Step>,
    mark: Mark,
    wrong: Option<String>,
}

/// The record of one client.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Inner>);

/// Tells a client when to stop, and what it may take for its own death.
#[derive(Debug, Default)]
pub struct Fate {
    /// No further step is begun.
    pub over: AtomicBool,
    /// Its mount is about to be killed: from now on a call may fail.
    pub dying: AtomicBool,
}

impl Journal {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far it is now.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.inner().mark
    }

    /// The steps that it has begun, but for the first `behind`.
    #[must_use]
    pub fn steps(&self, behind: usize) -> Vec<Step> {
        self.inner().steps[behind..].to_vec()
    }

    /// A step that was answered otherwise than the model does.
    #[must_use]
    pub fn wrong(&self) -> Option<String> {
        self.inner().wrong.clone()
    }

    /// Does random steps below a directory until it is told to stop, or dies. One step in a hundred
    /// times `syncs` is an fsync.
    pub fn work(&self, root: &Path, seed: u64, syncs: u64, fate: &Fate) {
        let mut random = Random::new(seed);
        let mut generator = Generator::new(random.bits(), 1, None);
        let (mut model, mut disk) = (Model::new(), Disk::new(vec![root.to_owned()], |_| ()));
        while !fate.over.load(Ordering::Acquire) {
            let sync = random.percent(syncs);
            let step = if sync { Step::Sync { slot: random.index(SLOTS) } } else { generator.next(&model).1 };
            self.begin(&step);
            let expected = model.run(0, &step);
            let real = disk.run(0, &step);
            if !agrees(&step, &expected, &real) {
                if !is_cut_short(&expected, &real) || !fate.dying.load(Ordering::Acquire) {
                    self.inner().wrong = Some(format!("{step:?}: expected {expected:?}, was {real:?}"));
                }
                return;
            }
            self.answered(matches!(step, Step::Sync { .. }) && real.is_ok());
        }
    }

    fn begin(&self, step: &Step) {
        let mut inner = self.inner();
        inner.steps.push(step.clone());
        inner.mark.begun += 1;
    }

    fn answered(&self, synced: bool) {
        let mut inner = self.inner();
        inner.mark.answered += 1;
        if synced {
            inner.mark.synced = inner.mark.answered;
        }
    }
}

/// Whether an answer is what somebody sees whose mount dies in the middle: an error, or a part of a write.
fn is_cut_short(expected: &Outcome, real: &Outcome) -> bool {
    match (expected, real) {
        (Ok(Answer::Count(all)), Ok(Answer::Count(some))) => some < all,
        (_, real) => real.is_err(),
    }
}

#[cfg(test)]
mod tests;
