//! What keeps a mount busy while it, or its server, is killed: random steps of the model in one directory,
//! whole files of many sizes in another, both with an account of what was synced.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Scope};

use holdfast_tests::journal::{Fate, Journal, Mark};
use holdfast_tests::manifest::Manifest;
use holdfast_tests::model::tree::{Prefix, Tree};
use holdfast_tests::random::Random;
use holdfast_tests::report::Report;

use crate::make_synced_dir;

/// Sizes of whole files, in bytes: in the log, at the borders of pages and blocks, sent ahead.
const SIZES: &[usize] = &[1, 100, 4096, 5000, 65_536, 70_000, 300_000, 1_500_000];
/// Names of whole files: most are written over, so that old content must go too.
const NAMES: u64 = 30;

/// The work of one mount.
pub(crate) struct Load {
    pub(crate) steps: Journal,
    pub(crate) files: Manifest,
    pub(crate) fate: Fate,
    /// Whole files that were acknowledged, those included that were written over since.
    written: AtomicUsize,
    failed: Mutex<Option<String>>,
    root: PathBuf,
    /// The first part of its directories' names.
    pub(crate) who: String,
}

/// How far it was at some moment.
pub(crate) struct Moment {
    mark: Mark,
    files: Manifest,
}

impl Load {
    /// Below the root of a mount; its directories are made, and synced.
    pub(crate) fn new(root: &Path, who: &str) -> Self {
        let load = Self {
            steps: Journal::default(),
            files: Manifest::default(),
            fate: Fate::default(),
            written: AtomicUsize::new(0),
            failed: Mutex::new(None),
            root: root.to_owned(),
            who: who.to_owned(),
        };
        for dir in load.names() {
            make_synced_dir(root, &dir);
        }
        load
    }

    /// Its directories: of steps, and of whole files.
    pub(crate) fn names(&self) -> [String; 2] {
        ["steps", "files"].map(|what| format!("{}-{what}", self.who))
    }

    /// Works in threads of its own until its fate says that it is over.
    pub(crate) fn start<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, seed: u64, syncs: u64) {
        let [steps, files] = self.names().map(|name| self.root.join(name));
        scope.spawn(move || self.steps.work(&steps, seed, syncs, &self.fate));
        scope.spawn(move || self.write_files(&files, seed));
    }

    fn write_files(&self, dir: &Path, seed: u64) {
        let mut random = Random::new(!seed);
        while !self.fate.over.load(Ordering::Acquire) {
            let (name, len) = (format!("f{}", random.below(NAMES)), *random.pick(SIZES));
            match self.files.write(dir, &name, random.bits(), len) {
                Ok(()) => {
                    self.written.fetch_add(1, Ordering::Release);
                }
                Err(_) if self.fate.dying.load(Ordering::Acquire) => return,
                Err(error) => {
                    *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{name}: {error}"));
                    return;
                }
            }
        }
    }

    /// What was acknowledged so far: answered steps, and synced files.
    pub(crate) fn acknowledged(&self) -> usize {
        self.steps.mark().answered + self.written.load(Ordering::Acquire)
    }

    /// Whether both have synced something since they had come so far; or one has failed.
    pub(crate) fn has_synced_since(&self, synced: usize, written: usize) -> bool {
        let further = self.steps.mark().synced > synced && self.written.load(Ordering::Acquire) > written;
        further || self.complaint().is_some()
    }

    /// Synced steps, and synced files.
    pub(crate) fn synced(&self) -> (usize, usize) {
        (self.steps.mark().synced, self.written.load(Ordering::Acquire))
    }

    pub(crate) fn now(&self) -> Moment {
        Moment { mark: self.steps.mark(), files: self.files.copy() }
    }

    /// An answer that was wrong, or an error that nobody has caused.
    pub(crate) fn complaint(&self) -> Option<String> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.steps.wrong().or(failed).map(|text| format!("{}: {text}", self.who))
    }

    /// What must be there after a crash between two moments, beside what is: steps in order without a gap,
    /// and every file that was synced before and not touched since. How many answered steps are lost.
    pub(crate) fn verify(
        &self,
        prefix: &mut Prefix,
        (before, after): (&Moment, &Moment),
        tree: Result<Tree, String>,
        read: impl FnMut(&str) -> Result<Vec<u8>, String>,
        report: &mut Report,
    ) -> usize {
        let steps = self.steps.steps(prefix.behind());
        let steps = &steps[..after.mark.begun - prefix.behind()];
        let found = tree.and_then(|tree| prefix.find(steps, before.mark.synced, &tree));
        let lost = before.files.common(&after.files).lost(read);
        report.violations(lost.into_iter().map(|lost| format!("{}: {lost}", self.who)));
        match found {
            Ok(found) => after.mark.answered.saturating_sub(found),
            Err(error) => {
                report.violation(format!("{}: {error}", self.who));
                0
            }
        }
    }
}

/// Tells all of them that it is over, also when the test fails.
pub(crate) struct Over<'a>(pub(crate) &'a [Load]);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        for load in self.0 {
            // Who fails because the test does is not to be heard.
            load.fate.dying.store(thread::panicking(), Ordering::Release);
            load.fate.over.store(true, Ordering::Release);
        }
    }
}
