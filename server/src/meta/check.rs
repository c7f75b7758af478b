//! Compares a volume's metadata with itself: recomputes everything that is stored twice or can be
//! derived, and says what differs.
//!
//! Looks at one view of the volume in one order of its keys, and decides nothing about mending
//! ([`mend`]). Memory is bounded: at most [`Bounds::inodes`] entries of 16 bytes and then
//! [`Bounds::owners`] twice, of 40 bytes (a volume with more of them is gone through several times),
//! 32 bytes a segment, and the findings. A record that cannot be decoded is a finding; an engine
//! that cannot be read is an error.

use std::collections::BTreeMap;

use holdfast_core::error::Result;
use holdfast_core::id::{InodeId, SegmentId};
use holdfast_core::integrity::{CheckPhase, CheckProgress, Counted, Finding, FindingKind, Subject};
use holdfast_core::volume::Usage;

use super::keys::describe;
use super::record::segment::SegmentAccount;
use super::view::View;

mod content;
mod cursor;
mod inodes;
pub mod mend;
mod name;
mod names;
mod places;
mod tree;

/// Records between two looks at whether anybody still wants to know.
const OBSERVE_EVERY: u32 = 1024;

/// How much a check keeps in memory and tells.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Inodes that it counts names of at a time.
    pub inodes: usize,
    /// Files whose extents it adds up at a time.
    pub owners: usize,
    /// Findings; it counts the others.
    pub findings: usize,
    /// Inodes without a name that it names.
    pub orphans: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { inodes: 4 << 20, owners: 1 << 20, findings: 10_000, orphans: 100_000 }
    }
}

/// The sums that a volume keeps of itself.
#[derive(Clone, Copy, Debug)]
pub struct Sums<'a> {
    /// What it holds.
    pub usage: Usage,
    /// What its segments hold.
    pub segments: &'a BTreeMap<SegmentId, SegmentAccount>,
}

/// What a check came to.
#[derive(Debug, Default)]
pub struct Checked {
    /// What differs, in no order that means anything.
    pub findings: Vec<Finding>,
    /// There is more than that.
    pub cut: bool,
    /// Inodes without a name that are rightly marked so: they may stay while they are open.
    pub orphans: Vec<InodeId>,
    /// What was looked at.
    pub counted: Counted,
}

/// Called now and then with where the check stands; an error ends it.
pub type Observe<'a> = dyn FnMut(CheckProgress) -> Result<()> + 'a;

/// Compares a whole volume with itself, and with the sums that it keeps.
///
/// # Errors
/// When the engine cannot be read; and what `observe` fails with.
pub fn check(view: View<'_>, sums: Sums<'_>, bounds: Bounds, observe: &mut Observe<'_>) -> Result<Checked> {
    let mut check = Check {
        view,
        bounds,
        watch: Watch { observe, progress: CheckProgress::default(), unseen: 0 },
        found: Found { list: Vec::new(), max: bounds.findings, cut: false },
        orphans: Vec::new(),
        counted: Counted::default(),
    };
    inodes::check(&mut check, sums.usage.inodes)?;
    content::check(&mut check, sums)?;
    let Check { mut found, orphans, counted, .. } = check;
    found.list.sort();
    found.list.dedup();
    name::name(view, &mut found.list);
    Ok(Checked { findings: found.list, cut: found.cut, orphans, counted })
}

/// A check under way.
struct Check<'a, 'o> {
    view: View<'a>,
    bounds: Bounds,
    watch: Watch<'o>,
    found: Found,
    orphans: Vec<InodeId>,
    counted: Counted,
}

/// Findings, up to a number.
struct Found {
    list: Vec<Finding>,
    max: usize,
    cut: bool,
}

impl Found {
    fn add(&mut self, finding: Finding) {
        if self.list.len() < self.max {
            self.list.push(finding);
        } else {
            self.cut = true;
        }
    }

    fn of(&mut self, kind: FindingKind, ino: InodeId) {
        self.add(Finding::new(kind, Subject::Inode(ino)));
    }

    fn counts(&mut self, kind: FindingKind, subject: Subject, stored: u64, truth: u64) {
        if stored != truth {
            self.add(Finding::new(kind, subject).figures(stored, truth));
        }
    }

    fn unreadable(&mut self, key: &[u8], why: &str) {
        self.add(Finding::new(FindingKind::Unreadable, Subject::Record(describe(key))).detail(why));
    }
}

/// Tells where the check stands.
struct Watch<'o> {
    observe: &'o mut Observe<'o>,
    progress: CheckProgress,
    unseen: u32,
}

impl Watch<'_> {
    fn phase(&mut self, phase: CheckPhase, total: u64) -> Result<()> {
        self.progress = CheckProgress { phase, done: 0, total };
        (self.observe)(self.progress)
    }

    /// One more is done, of those that `total` counts.
    fn step(&mut self) -> Result<()> {
        self.progress.done += 1;
        self.look()
    }

    /// Time passes.
    fn look(&mut self) -> Result<()> {
        self.unseen += 1;
        if self.unseen < OBSERVE_EVERY {
            return Ok(());
        }
        self.unseen = 0;
        (self.observe)(self.progress)
    }
}

#[cfg(test)]
mod tests;
