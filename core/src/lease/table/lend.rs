//! Lending less than a claim needed: for sessions that only answer questions by themselves.

use super::{Claim, ClaimId, Table};
use crate::id::{InodeId, SessionId};
use crate::lease::{Grant, Mode, Needs};
use crate::session::BootTime;

/// Leases that one session may have; beyond it nothing is lent to it. It must be able to say all of
/// them in one Hello.
const LEASES_MAX: usize = 1 << 18;

impl Table {
    /// A clear claim was carried out: lends shared leases on what it used, as far as that is wise. The
    /// modes say how it was used.
    pub fn settle_shared(&mut self, session: SessionId, used: &[(InodeId, Mode)], now: BootTime) -> Vec<Grant> {
        let room = self.sessions.get(&session).is_some_and(|inodes| inodes.len() < LEASES_MAX);
        if !room || self.volume.is_some() {
            self.used(session, used, now);
            return Vec::new();
        }
        used.iter().filter_map(|&(ino, mode)| self.lend(session, ino, (mode, Mode::Shared), now)).collect()
    }

    /// Lends a shared lease on an inode that was not asked for, if nobody minds.
    pub fn offer(&mut self, session: SessionId, ino: InodeId, now: BootTime) -> Option<Grant> {
        if self.in_the_way(session, ino, Mode::Shared) {
            return None;
        }
        self.settle_shared(session, &[(ino, Mode::Shared)], now).pop()
    }

    /// A session used inodes and is lent nothing.
    pub fn used(&mut self, session: SessionId, used: &[(InodeId, Mode)], now: BootTime) {
        for (ino, mode) in used {
            if let Some(slot) = self.slots.get_mut(ino) {
                slot.heat.used(session, *mode, now);
            }
        }
    }

    /// Whether a claim would be clear, without making it.
    #[must_use]
    pub fn is_clear(&self, session: SessionId, needs: &Needs) -> bool {
        let claim = Claim { session, needs: needs.clone() };
        self.hindrance(ClaimId(self.last_claim.0 + 1), &claim).is_none()
    }

    /// Whether a session is asked to give this back, wholly or in part.
    #[must_use]
    pub fn is_recalled(&self, session: SessionId, ino: InodeId) -> bool {
        let lease = self.slots.get(&ino).and_then(|slot| slot.leases.get(&session));
        lease.is_some_and(|lease| lease.recalled.is_some())
    }

    /// Whether another session may change this inode and answer for it.
    #[must_use]
    pub fn is_others(&self, session: SessionId, ino: InodeId) -> bool {
        self.in_the_way(session, ino, Mode::Shared)
    }
}
