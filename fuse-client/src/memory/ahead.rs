//! Which small files are worth reading ahead: who reads two files of a directory mostly reads the
//! others next. Pure.
//!
//! A batch is asked for when the one before begins to be read, each twice as large, so that a walk
//! waits for few round trips. Guarantees: what is read ahead and not wanted is bounded, a batch or
//! two in each of few directories; who was right before begins with more, who was wrong begins later.

use std::collections::{HashMap, VecDeque};

use holdfast_core::id::InodeId;

/// The largest file that is read ahead.
pub(super) const FILE_BYTES_MAX: u64 = 64 << 10;
/// Bytes of a batch, at most about.
const BATCH_BYTES_MAX: u64 = 512 << 10;
const BATCH_FILES_MIN: usize = 16;
/// The first batch of who was right about more files than that.
const BATCH_FILES_CONFIDENT: usize = 64;
/// As many as a request takes, and no more than are read within a few milliseconds.
const BATCH_FILES_MAX: usize = 128;
/// Directories that are followed at a time.
const DIRECTORIES_MAX: usize = 32;
/// Files of a directory that are considered.
pub(super) const CANDIDATES_MAX: usize = 1 << 16;
/// Files that were read ahead and read, less those that were not, from which on the first file of a
/// directory is enough.
const CONFIDENT: u32 = 8;
const CONFIDENCE_MAX: u32 = 256;
/// Files that are asked for in vain before a directory is looked at again, at most.
const PATIENCE_MAX: u32 = 1 << 12;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    directories: HashMap<InodeId, Directory>,
    /// Files that are asked for, or are here and were not read yet, and their directory.
    files: HashMap<InodeId, (InodeId, Stage)>,
    confidence: u32,
    uses: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Coming,
    Here,
}

#[derive(Debug, Default)]
struct Directory {
    /// What to read next; `None`: that was not looked for yet.
    queue: Option<VecDeque<InodeId>>,
    /// Files of it among `files`.
    outstanding: usize,
    batch: usize,
    /// Files of it that somebody had to ask for since that.
    misses: u32,
    /// How many more it takes before it is looked for again: each time in vain makes it twice as many.
    patience: u32,
    used: u64,
}

/// What to do about a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    /// Say with [`Ahead::consider`] which files it has; then there is a batch.
    Consider,
    /// There is a batch, unless all are taken.
    Batch,
}

impl Ahead {
    /// The beginning of a small file is asked for that is not here.
    pub(super) fn missed(&mut self, directory: InodeId) -> Next {
        let enough = if self.confidence >= CONFIDENT { 1 } else { 2 };
        let followed = self.follow(directory);
        followed.misses += 1;
        if followed.misses < enough.max(followed.patience) {
            return Next::Nothing;
        }
        match followed.due() {
            // Others may have come to be known, or what was here has gone.
            Next::Batch if followed.queue.as_ref().is_some_and(VecDeque::is_empty) => Next::Consider,
            next => next,
        }
    }

    /// The files of a directory in the order in which they may be read.
    pub(super) fn consider(&mut self, directory: InodeId, files: VecDeque<InodeId>) {
        let followed = self.follow(directory);
        followed.misses = 0;
        followed.patience = if files.is_empty() { (followed.patience * 2).clamp(4, PATIENCE_MAX) } else { 0 };
        followed.queue = Some(files);
    }

    /// Takes the next batch of those that are worth it: `worth` tells how long a file is.
    pub(super) fn batch(&mut self, directory: InodeId, worth: impl Fn(InodeId) -> Option<u64>) -> Vec<InodeId> {
        let least = if self.is_sure() { BATCH_FILES_CONFIDENT } else { BATCH_FILES_MIN };
        let Some(followed) = self.directories.get_mut(&directory) else { return Vec::new() };
        let Some(queue) = &mut followed.queue else { return Vec::new() };
        followed.batch = (followed.batch * 2).clamp(least, BATCH_FILES_MAX);
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < followed.batch && bytes < BATCH_BYTES_MAX {
            let Some(file) = queue.pop_front() else { break };
            if let Some(len) = worth(file)
                && !self.files.contains_key(&file)
            {
                bytes += len;
                self.files.insert(file, (directory, Stage::Coming));
                batch.push(file);
            }
        }
        followed.outstanding += batch.len();
        batch
    }

    /// Whether nearly all of the last files that were read ahead were read.
    pub(super) fn is_sure(&self) -> bool {
        usize::try_from(self.confidence).is_ok_and(|files| files > BATCH_FILES_CONFIDENT)
    }

    /// A file is here, or will not come.
    pub(super) fn came(&mut self, file: InodeId, here: bool) {
        match self.files.get_mut(&file) {
            Some((_, stage)) if here => *stage = Stage::Here,
            Some(_) => _ = self.take(file),
            None => {}
        }
    }

    /// Somebody waits for it already.
    pub(super) fn is_coming(&self, file: InodeId) -> bool {
        self.files.get(&file).is_some_and(|(_, stage)| *stage == Stage::Coming)
    }

    /// A file was found here: the directory, if it had been read ahead, and what to do about it.
    pub(super) fn hit(&mut self, file: InodeId) -> Option<(InodeId, Next)> {
        if self.files.is_empty() {
            return None;
        }
        let directory = self.take(file)?;
        self.confidence = (self.confidence + 1).min(CONFIDENCE_MAX);
        Some((directory, self.directories.get(&directory).map_or(Next::Nothing, Directory::due)))
    }

    fn take(&mut self, file: InodeId) -> Option<InodeId> {
        let (directory, _) = self.files.remove(&file)?;
        if let Some(followed) = self.directories.get_mut(&directory) {
            followed.outstanding -= 1;
        }
        Some(directory)
    }

    fn follow(&mut self, directory: InodeId) -> &mut Directory {
        if self.directories.len() >= DIRECTORIES_MAX && !self.directories.contains_key(&directory) {
            self.leave_oldest();
        }
        self.uses += 1;
        let followed = self.directories.entry(directory).or_default();
        followed.used = self.uses;
        followed
    }

    fn leave_oldest(&mut self) {
        let oldest = self.directories.iter().min_by_key(|(_, followed)| followed.used).map(|(&ino, _)| ino);
        let Some(followed) = oldest.and_then(|ino| self.directories.remove(&ino)) else { return };
        if followed.outstanding > 0 {
            self.files.retain(|_, (directory, _)| Some(*directory) != oldest);
            self.confidence = self.confidence.saturating_sub(u32::try_from(followed.outstanding).unwrap_or(u32::MAX));
        }
    }
}

impl Directory {
    fn due(&self) -> Next {
        match &self.queue {
            _ if self.outstanding > self.batch => Next::Nothing,
            None => Next::Consider,
            Some(_) => Next::Batch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(numbers: std::ops::Range<u64>) -> VecDeque<InodeId> {
        numbers.map(InodeId).collect()
    }

    const DIR: InodeId = InodeId(1);

    #[test]
    fn a_walk_has_the_next_batch_before_it_needs_it() {
        let mut ahead = Ahead::default();
        assert_eq!((ahead.missed(DIR), ahead.missed(DIR)), (Next::Nothing, Next::Consider));
        ahead.consider(DIR, files(100..400));
        let (mut come, mut waits) = (ahead.batch(DIR, |_| Some(4096)), 0);
        assert_eq!(come.len(), BATCH_FILES_MIN);
        for number in 100..400 {
            let file = InodeId(number);
            if ahead.is_coming(file) {
                waits += 1;
                come.drain(..).for_each(|file| ahead.came(file, true));
            }
            match ahead.hit(file) {
                Some((DIR, Next::Batch)) => come.extend(ahead.batch(DIR, |_| Some(4096))),
                found => assert_eq!(found, Some((DIR, Next::Nothing)), "{number}"),
            }
        }
        assert!((1..8).contains(&waits), "{waits} waits");
        assert_eq!((ahead.files.len(), ahead.directories[&DIR].outstanding), (0, 0));
        // Who was right begins at once in the next directory.
        assert_eq!(ahead.missed(InodeId(2)), Next::Consider);
    }

    #[test]
    fn who_does_not_go_on_costs_one_batch() {
        let mut ahead = Ahead::default();
        for directory in (1..200).map(InodeId) {
            ahead.missed(directory);
            if ahead.missed(directory) == Next::Consider {
                ahead.consider(directory, files(directory.0 * 1000..directory.0 * 1000 + 500));
                for file in ahead.batch(directory, |_| Some(4096)) {
                    ahead.came(file, true);
                }
            }
            assert_eq!(ahead.missed(directory), Next::Nothing);
            assert!(ahead.files.len() <= DIRECTORIES_MAX * BATCH_FILES_MIN);
        }
        assert_eq!(ahead.confidence, 0);
    }

    #[test]
    fn what_is_not_worth_it_or_does_not_come_is_passed_over() {
        let mut ahead = Ahead::default();
        ahead.missed(DIR);
        ahead.missed(DIR);
        ahead.consider(DIR, files(10..30));
        let batch = ahead.batch(DIR, |file| file.0.is_multiple_of(2).then_some(BATCH_BYTES_MAX / 4));
        assert_eq!(batch, [10, 12, 14, 16].map(InodeId));
        batch.into_iter().for_each(|file| ahead.came(file, false));
        assert_eq!((ahead.hit(InodeId(10)), ahead.files.len(), ahead.directories[&DIR].outstanding), (None, 0, 0));
    }
}
