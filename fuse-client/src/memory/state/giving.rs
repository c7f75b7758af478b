//! What is given back: what others want, what lies beside it, and what was not used for long.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use holdfast_core::id::{InodeId, Seq};
use holdfast_core::lease::{GiveBack, Holdings, Mode, Step, Target};

use super::{Believed, Moment, State};

/// Leases that are given up at a time beside the one that was asked for.
const BESIDE_MAX: usize = 16_384;

/// What was not used for so long is not in use, where others look at it.
const IDLE: Duration = Duration::from_secs(1);
/// The same where others change names: they would ask for each of them in turn.
const IDLE_AMONG_CHANGES: Duration = Duration::from_millis(100);

/// A directory is looked through again after so many times the time that it took.
const REST: u32 = 10;

/// An inode whose lease is given back when the kernel believes nothing of it any more.
pub(in crate::memory) type Leaving = (InodeId, Believed);

impl State {
    /// Every lease is gone; of what attributes the kernel was told and may believe, and when.
    pub(in crate::memory) fn lost(&mut self) -> Vec<(InodeId, Instant)> {
        self.holdings.lost();
        self.contents.clear();
        self.blocks.clear();
        self.walks.clear();
        let told = self.all_told();
        self.nodes.clear();
        self.changed_before = Seq::default();
        told
    }

    /// Of what attributes the kernel was told and may believe, and when.
    pub(in crate::memory) fn all_told(&self) -> Vec<(InodeId, Instant)> {
        let now = Instant::now();
        self.nodes.iter().filter_map(|(&ino, node)| Some((ino, node.believed(now).attributes?))).collect()
    }

    /// All that is known here, as if the kernel had been told of it just now.
    pub(in crate::memory) fn all_known(&self) -> Vec<(InodeId, Instant)> {
        let now = Instant::now();
        self.nodes.keys().map(|&ino| (ino, now)).collect()
    }

    pub(in crate::memory) fn recalled(&mut self, ino: InodeId, keep: Option<Mode>) -> Step {
        let step = self.holdings.recalled(Target::Inode(ino), keep, &[]);
        if let Step::Drop(_) = &step {
            self.wanted.note(ino, Instant::now());
            self.forget(ino);
        }
        step
    }

    pub(in crate::memory) fn dropped(&mut self, target: Target) -> Option<GiveBack> {
        let back = self.holdings.dropped(target)?;
        if let (Target::Inode(ino), None) = (target, back.left) {
            self.remove(ino);
        }
        Some(back)
    }

    /// Others look at a directory: who does that looks at what is below it next. What is exclusively ours
    /// in it is ours no longer, nor is what is deeper and not in use; what is to be said of that.
    pub(in crate::memory) fn lower_below(&mut self, ino: InodeId) -> Vec<GiveBack> {
        let idle = self.idle(IDLE);
        let mut lowered = Vec::new();
        let mut directories = VecDeque::from([(ino, true)]);
        while let Some((directory, first)) = directories.pop_front() {
            let Some(node) = self.nodes.get(&directory) else { continue };
            for child in node.names.inodes() {
                if lowered.len() >= BESIDE_MAX {
                    return lowered;
                }
                let Some(known) = self.nodes.get(&child) else { continue };
                if first || known.used <= idle {
                    lowered.extend(lower(&mut self.holdings, child));
                }
                if !known.names.is_empty() {
                    directories.push_back((child, false));
                }
            }
        }
        lowered
    }

    /// Others look at what lies in a directory that they may look at already, so that no recall of it comes:
    /// what lies beside it and is not in use is exclusively ours no longer. Not at each recall, which would
    /// make a large directory cost its square.
    pub(in crate::memory) fn lower_beside(&mut self, ino: InodeId) -> Vec<GiveBack> {
        let begun = Instant::now();
        let idle = self.idle(IDLE_AMONG_CHANGES);
        let Some(above) = self.above(ino).filter(|above| !self.holdings.may(*above, Mode::Exclusive)) else {
            return Vec::new();
        };
        let Some(node) = self.nodes.get(&above) else { return Vec::new() };
        if node.rested.is_some_and(|rested| begun < rested) {
            return Vec::new();
        }
        let is_idle = |child: &InodeId| self.nodes.get(child).is_some_and(|child| child.used <= idle);
        let beside = node.names.inodes().filter(|child| *child != ino).filter(is_idle).take(BESIDE_MAX);
        let lowered = beside.filter_map(|child| lower(&mut self.holdings, child)).collect();
        if let Some(node) = self.nodes.get_mut(&above) {
            let now = Instant::now();
            node.rested = Some(now + (now - begun) * REST);
        }
        lowered
    }

    /// Others change the names in a directory, and maybe what they lead to: what of that is not in use.
    pub(in crate::memory) fn release_below(&mut self, ino: InodeId) -> Vec<Leaving> {
        let idle = self.idle(IDLE_AMONG_CHANGES);
        let Some(node) = self.nodes.get(&ino) else { return Vec::new() };
        let children = node.names.inodes();
        let is_idle = |child: &InodeId| self.nodes.get(child).is_some_and(|child| child.used <= idle);
        let old: Vec<InodeId> = children.filter(is_idle).take(BESIDE_MAX).collect();
        self.release(old)
    }

    /// What was used last by then is not in use.
    fn idle(&self, after: Duration) -> Moment {
        let now = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        let idle = now.checked_sub(after).map_or(0, |idle| u64::try_from(idle.as_micros()).unwrap_or(u64::MAX));
        Moment(idle)
    }

    /// When there are more than `max`: those that were not used for the longest time, an eighth of
    /// all, with their leases about to be given back.
    pub(in crate::memory) fn unused(&mut self, max: usize) -> Vec<Leaving> {
        if self.nodes.len() <= max {
            return Vec::new();
        }
        let mut uses: Vec<Moment> = self.nodes.values().map(|node| node.used).collect();
        let eighth = uses.len() / 8;
        let (_, &mut oldest, _) = uses.select_nth_unstable(eighth);
        let old: Vec<InodeId> =
            self.nodes.iter().filter(|(_, node)| node.used <= oldest).map(|(&ino, _)| ino).collect();
        self.release(old)
    }

    /// Of the names by which these were found only that there are some is kept.
    fn let_names_go(&mut self, inodes: &[InodeId]) {
        let mut gone: HashMap<InodeId, HashSet<InodeId>> = HashMap::new();
        for &ino in inodes {
            if let Some(above) = self.above(ino) {
                gone.entry(above).or_default().insert(ino);
            }
        }
        for (directory, gone) in gone {
            if let Some(node) = self.nodes.get_mut(&directory) {
                node.names.let_go(&gone);
            }
        }
    }

    fn release(&mut self, inodes: Vec<InodeId>) -> Vec<Leaving> {
        let mut released = Vec::new();
        self.let_names_go(&inodes);
        for ino in inodes {
            let told = self.told(ino);
            if self.holdings.release(ino).is_some() {
                released.push((ino, told));
                self.forget(ino);
            } else if !self.holdings.may(ino, Mode::Shared) && told == Believed::default() {
                self.remove(ino);
            }
        }
        released
    }
}

/// What is to be said of an exclusive lease that becomes a shared one; `None`: it is none.
fn lower(holdings: &mut Holdings, ino: InodeId) -> Option<GiveBack> {
    if !holdings.may(ino, Mode::Exclusive) {
        return None;
    }
    match holdings.recalled(Target::Inode(ino), Some(Mode::Shared), &[]) {
        Step::GiveBack(back) => Some(back),
        Step::Wait | Step::Drop(_) => None,
    }
}
