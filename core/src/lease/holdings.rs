//! The client's half: what this session has, and what it is giving back.
//!
//! The shell asks [`Holdings::may`] before each answer from memory, and besides whether the session
//! is still trusted (`crate::session`). It passes on what the server says, and does what the
//! [`Step`]s say, in order:
//!
//! - [`Step::Drop`]: the kernel's copy must go. When it is gone the shell calls
//!   [`Holdings::dropped`], which gives the next step.
//! - [`Step::GiveBack`]: everything in the log is sent, and behind it this.
//!
//! From the moment of the recall nothing is answered that the rest would not allow.

use std::collections::BTreeMap;

use super::{Grant, GrantNo, Mode, Target};
use crate::id::InodeId;

/// What is to be told to the server, behind everything that is in the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GiveBack {
    /// What.
    pub target: Target,
    /// What stays of it.
    pub left: Option<Mode>,
    /// The last grant that this session knows of.
    pub seen: GrantNo,
    /// Of the volume: what stays of single inodes.
    pub kept: Vec<(InodeId, Mode)>,
}

/// The kernel may not believe what it has cached of this any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Drop {
    /// What. Of the volume: everything but what is kept.
    pub target: Target,
}

/// What a recall leads to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// First the kernel's copy goes.
    Drop(Drop),
    /// Now it is given back.
    GiveBack(GiveBack),
    /// It is being given back already.
    Wait,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Held {
    mode: Mode,
    /// The kernel is dropping it; then so much is left.
    giving: Option<Option<Mode>>,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Holdings {
    volume: Option<Giving>,
    inodes: BTreeMap<InodeId, Held>,
    seen: GrantNo,
}

/// How the volume's lease stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Giving {
    /// It is ours.
    Not,
    /// The kernel drops everything but this.
    But(Vec<(InodeId, Mode)>),
}

impl Holdings {
    /// Whether something that needs this may be answered here.
    #[must_use]
    pub fn may(&self, ino: InodeId, mode: Mode) -> bool {
        match &self.volume {
            Some(Giving::Not) => true,
            Some(Giving::But(kept)) => kept.iter().any(|&(known, left)| known == ino && left >= mode),
            None => self.inodes.get(&ino).is_some_and(|held| match held.giving {
                None => held.mode >= mode,
                Some(left) => left >= Some(mode),
            }),
        }
    }

    /// The server has lent something.
    pub fn granted(&mut self, grant: Grant) {
        self.seen = self.seen.max(grant.number);
        match grant.target {
            Target::Volume => {
                self.inodes.clear();
                self.volume = Some(Giving::Not);
            }
            Target::Inode(ino) => {
                self.inodes.insert(ino, Held { mode: grant.mode, giving: None });
            }
        }
    }

    /// This session has made an inode under its directory's exclusive lease.
    pub fn born(&mut self, ino: InodeId) {
        if self.volume.is_none() {
            self.inodes.insert(ino, Held { mode: Mode::Exclusive, giving: None });
        }
    }

    /// The server wants something back. `used`: of the volume, which inodes are still used here.
    pub fn recalled(&mut self, target: Target, keep: Option<Mode>, used: &[(InodeId, Mode)]) -> Step {
        match target {
            Target::Volume => match &self.volume {
                // It was given back and that was not heard: then neither was what is kept.
                None => Step::GiveBack(self.give_back(target, None, self.kept())),
                Some(Giving::But(_)) => Step::Wait,
                Some(Giving::Not) => {
                    self.volume = Some(Giving::But(used.to_vec()));
                    Step::Drop(Drop { target })
                }
            },
            Target::Inode(ino) => self.recalled_inode(ino, keep),
        }
    }

    /// This session does not use an inode any more and gives its lease back unasked. `None`: it has
    /// none of its own, or is giving it back already.
    pub fn release(&mut self, ino: InodeId) -> Option<Drop> {
        let held = self.inodes.get_mut(&ino).filter(|held| held.giving.is_none())?;
        held.giving = Some(None);
        Some(Drop { target: Target::Inode(ino) })
    }

    /// The kernel has dropped what it had.
    pub fn dropped(&mut self, target: Target) -> Option<GiveBack> {
        match target {
            Target::Volume => {
                let kept = match self.volume.take() {
                    Some(Giving::But(kept)) => kept,
                    other => {
                        self.volume = other;
                        return None;
                    }
                };
                let held = |&(ino, mode): &(InodeId, Mode)| (ino, Held { mode, giving: None });
                self.inodes = kept.iter().map(held).collect();
                Some(self.give_back(target, None, kept))
            }
            Target::Inode(ino) => {
                let left = self.inodes.get(&ino)?.giving?;
                self.lower(ino, left);
                Some(self.give_back(target, left, Vec::new()))
            }
        }
    }

    /// What this session says that it has when it comes back on a new stream: also what it is
    /// giving back, until that is said.
    #[must_use]
    pub fn claims(&self) -> Vec<(Target, Mode)> {
        if self.volume.is_some() {
            return vec![(Target::Volume, Mode::Exclusive)];
        }
        self.inodes.iter().map(|(&ino, held)| (Target::Inode(ino), held.mode)).collect()
    }

    /// A new stream begins with an owner of another epoch, whose grants are numbered anew.
    pub const fn renumber(&mut self) {
        self.seen = GrantNo(0);
    }

    /// The session is lost: nothing is held any more.
    pub fn lost(&mut self) {
        *self = Self::default();
    }

    /// Leases on single inodes, the oldest numbers first.
    pub fn inodes(&self) -> impl Iterator<Item = (InodeId, Mode)> + '_ {
        self.inodes.iter().map(|(&ino, held)| (ino, held.mode))
    }

    fn recalled_inode(&mut self, ino: InodeId, keep: Option<Mode>) -> Step {
        let target = Target::Inode(ino);
        let Some(held) = self.inodes.get_mut(&ino) else {
            return Step::GiveBack(self.give_back(target, None, Vec::new()));
        };
        match (held.giving, keep) {
            (Some(left), _) => {
                held.giving = Some(left.min(keep));
                Step::Wait
            }
            (None, Some(keep)) => {
                // What the kernel has stays true as long as nobody else changes it.
                let left = Some(held.mode.min(keep));
                self.lower(ino, left);
                Step::GiveBack(self.give_back(target, left, Vec::new()))
            }
            (None, None) => {
                held.giving = Some(None);
                Step::Drop(Drop { target })
            }
        }
    }

    fn lower(&mut self, ino: InodeId, left: Option<Mode>) {
        match left {
            None => {
                self.inodes.remove(&ino);
            }
            Some(mode) => {
                self.inodes.insert(ino, Held { mode, giving: None });
            }
        }
    }

    /// What is left of single inodes, after what is being given back.
    fn kept(&self) -> Vec<(InodeId, Mode)> {
        let left = |held: &Held| held.giving.map_or(Some(held.mode), |left| left);
        self.inodes.iter().filter_map(|(&ino, held)| left(held).map(|mode| (ino, mode))).collect()
    }

    const fn give_back(&self, target: Target, left: Option<Mode>, kept: Vec<(InodeId, Mode)>) -> GiveBack {
        GiveBack { target, left, seen: self.seen, kept }
    }
}

#[cfg(test)]
mod canon;
#[cfg(test)]
mod tests;
