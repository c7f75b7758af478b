//! Mending what a check found: each finding a change of its own, in its place in the volume's order.

use holdfast_core::error::Result;
use holdfast_core::id::InodeId;
use holdfast_core::integrity::{Finding, FindingKind, Mending, Subject};
use tokio::sync::MutexGuard;
use tracing::warn;

use super::{Guard, Owner, Phase};
use crate::meta::check::mend::touches;

/// What became of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mended {
    /// It is mended; durable with the next commit.
    Done,
    /// It is no longer as it was found.
    Changed,
    /// Clients have copies of what it would change, and are asked to give them back.
    InUse,
}

impl From<Mended> for Mending {
    fn from(mended: Mended) -> Self {
        match mended {
            Mended::Done => Self::Done,
            Mended::Changed => Self::Changed,
            Mended::InUse => Self::InUse,
        }
    }
}

impl Owner {
    /// Whoever mends holds this from his check on until what he mended is durable.
    pub(crate) async fn begin_mending(&self) -> MutexGuard<'_, ()> {
        self.mending.lock().await
    }

    /// Those of these inodes without a name that stay though nobody has them open.
    ///
    /// # Errors
    /// `Damaged`, `Unavailable`.
    pub(crate) fn left_orphans(&self, orphans: &[InodeId]) -> Result<Vec<InodeId>> {
        let mut left = Vec::new();
        for &ino in orphans {
            // Opens and closes of an inode and what becomes of it happen under the one lock.
            let state = self.lock();
            if !state.opens.is_open(ino) && self.store.is_orphan(ino)? {
                left.push(ino);
            }
        }
        Ok(left)
    }

    /// Mends one finding of the last check, if it is still so and no client has a copy of what it would
    /// change.
    ///
    /// # Errors
    /// When the volume does not serve, or its metadata cannot be read.
    pub(crate) fn mend(&self, finding: &Finding) -> Result<Mended> {
        let mut state = self.lock();
        if let Phase::Over(over) = &state.phase {
            return Err(self.over_error(over));
        }
        let inodes = touches(finding);
        if !inodes.is_empty() && self.is_copied(&mut state, &inodes) {
            return Ok(Mended::InUse);
        }
        let done = match (finding.kind, &finding.subject) {
            (FindingKind::OrphanLeft, Subject::Inode(ino)) => {
                let left = !state.opens.is_open(*ino) && self.store.is_orphan(*ino)?;
                if left {
                    self.store.drop_orphan(*ino)?;
                }
                left
            }
            _ => self.store.mend(finding)?,
        };
        if !done {
            return Ok(Mended::Changed);
        }
        warn!(volume = %self.settings.name, kind = finding.kind.word(), "mended: {finding}");
        state.dirty = true;
        state.dirty_ticks = 0;
        state.to_reap = true;
        self.demand_commit(&mut state);
        Ok(Mended::Done)
    }

    /// Whether a client may have a copy of something of these inodes; asks for it back.
    fn is_copied(&self, state: &mut Guard<'_>, inodes: &[InodeId]) -> bool {
        if state.members.values().any(|member| member.exclusive) {
            // Its kernel believes what it has seen, and is never asked.
            return true;
        }
        let copied = state.leases.take_back(inodes);
        if copied {
            self.settle_leases(state);
        }
        copied
    }
}
