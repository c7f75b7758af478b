//! Lending other than what a claim needed: less where nobody would gain, more where nobody minds; and
//! taking back what nobody has claimed.

use super::{Claim, ClaimId, Recall, Table};
use crate::id::{InodeId, SessionId};
use crate::lease::{Grant, Mode, Needs, Target};
use crate::session::BootTime;

/// Leases that one session may have; beyond it nothing is lent to it. It must be able to say all of
/// them in one Hello.
const LEASES_MAX: usize = 1 << 18;

/// An inode that a session has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// Which.
    pub ino: InodeId,
    /// How.
    pub used: Mode,
    /// What it is good to have now, at most.
    pub lend: Mode,
}

impl Use {
    /// It was looked at.
    #[must_use]
    pub const fn looked_at(ino: InodeId) -> Self {
        Self { ino, used: Mode::Shared, lend: Mode::Shared }
    }
}

impl Table {
    /// A clear claim was carried out: lends what it used, as far as that is wise. An exclusive lease goes
    /// to a session that has used the inode twice in a row, or as the first.
    pub fn settle_as(&mut self, session: SessionId, uses: &[Use], now: BootTime) -> Vec<Grant> {
        let room = self.sessions.get(&session).is_some_and(|inodes| inodes.len() < LEASES_MAX);
        if !room || self.volume.is_some() {
            self.used(session, uses, now);
            return Vec::new();
        }
        let mut grants = Vec::new();
        for &Use { ino, used, lend } in uses {
            let raise = lend == Mode::Exclusive && self.may_raise(session, ino, now);
            let mode = if raise { Mode::Exclusive } else { Mode::Shared };
            grants.extend(self.lend(session, ino, (used, mode), now));
        }
        grants
    }

    /// Whether an exclusive lease would not soon be asked back, as far as one can tell.
    fn may_raise(&self, session: SessionId, ino: InodeId, now: BootTime) -> bool {
        let calm = self.slots.get(&ino).is_none_or(|slot| slot.heat.is_only_for(session, now));
        calm && !self.in_the_way(session, ino, Mode::Exclusive)
    }

    /// Makes a shared lease of a session an exclusive one that it has not asked for, if nobody minds. Who
    /// used the inode last does not count: there is a better reason to believe who will be next.
    pub fn raise(&mut self, session: SessionId, ino: InodeId, now: BootTime) -> Option<Grant> {
        let hot = self.slots.get(&ino).is_none_or(|slot| slot.heat.is_hot(now));
        let shared = self.volume.is_none() && self.held(session, ino) == Some(Mode::Shared);
        if hot || !shared || self.in_the_way(session, ino, Mode::Exclusive) {
            return None;
        }
        self.lend(session, ino, (Mode::Shared, Mode::Exclusive), now)
    }

    /// Takes an inode back from everybody. Each is asked once.
    pub fn revoke(&mut self, ino: InodeId) {
        self.revoke_but(ino, None);
    }

    /// The same for everybody but one session, which will want it.
    pub fn clear_for(&mut self, session: SessionId, ino: InodeId) {
        self.revoke_but(ino, Some(session));
    }

    fn revoke_but(&mut self, ino: InodeId, session: Option<SessionId>) {
        let Some(slot) = self.slots.get_mut(&ino) else { return };
        for (&from, lease) in &mut slot.leases {
            if Some(from) != session && lease.recalled != Some(None) {
                lease.recalled = Some(None);
                self.recalls.push(Recall { from, target: Target::Inode(ino), keep: None });
            }
        }
    }

    /// Whether a session has a lease on an inode that it is not asked to give back.
    #[must_use]
    pub fn has(&self, session: SessionId, ino: InodeId) -> bool {
        let lease = self.slots.get(&ino).and_then(|slot| slot.leases.get(&session));
        lease.is_some_and(|lease| lease.recalled.is_none())
    }

    /// Lends a shared lease on an inode that was not asked for, if nobody minds.
    pub fn offer(&mut self, session: SessionId, ino: InodeId, now: BootTime) -> Option<Grant> {
        if self.in_the_way(session, ino, Mode::Shared) {
            return None;
        }
        self.settle_as(session, &[Use::looked_at(ino)], now).pop()
    }

    /// A session used inodes and is lent nothing.
    pub fn used(&mut self, session: SessionId, uses: &[Use], now: BootTime) {
        for Use { ino, used, .. } in uses {
            if let Some(slot) = self.slots.get_mut(ino) {
                slot.heat.used(session, *used, now);
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
