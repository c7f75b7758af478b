//! The server's half: who has what, who waits for whom.
//!
//! A *claim* is an operation or a question that has come and needs inodes to itself, or not changed
//! by others. [`Table::claim`] says whether it is clear; if not, what is in its way is recalled and
//! [`Table::next_clear`] names it when it is. The shell then carries it out at once, and
//! [`Table::settle`] lends what it needed.
//!
//! - Claims that want the same inode, one of them to itself, are clear in order of arrival. Only the
//!   first of them has anything recalled.
//! - What a session does under leases that it has is clear at once, also while they are recalled.
//! - Nothing is lent to a session on an inode that it is asked to give back, on one that an earlier
//!   claim waits for, or on a hot one.
//! - What is recalled stays with its holder until [`Table::gave_back`] or [`Table::gone`]. The shell
//!   calls the first when every operation before the give-back is applied, the second when the
//!   session is fenced on disk.

#[cfg(test)]
mod canon;
mod lend;

pub use lend::Use;

use std::collections::{BTreeMap, BTreeSet};

use super::heat::Heat;
use super::{GrantNo, Mode, Needs, Target};
use crate::id::{InodeId, SessionId};
use crate::session::BootTime;

/// Names a claim; rises with arrival, and is never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimId(pub u64);

/// Whether a claim may be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Now.
    Clear,
    /// When [`Table::next_clear`] says so.
    Waits(ClaimId),
}

/// A session is to give something back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Recall {
    /// Who.
    pub from: SessionId,
    /// What.
    pub target: Target,
    /// What it may keep.
    pub keep: Option<Mode>,
}

/// Something was lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grant {
    /// What.
    pub target: Target,
    /// How.
    pub mode: Mode,
    /// Which grant this is.
    pub number: GrantNo,
}

/// One session's lease on one inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Lease {
    mode: Mode,
    number: GrantNo,
    /// It was asked to go down to this.
    recalled: Option<Option<Mode>>,
}

/// One inode.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Slot {
    leases: BTreeMap<SessionId, Lease>,
    /// Claims that wait and need this inode, and how.
    wanted: BTreeMap<ClaimId, Mode>,
    heat: Heat,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Claim {
    session: SessionId,
    needs: Needs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct VolumeLease {
    to: SessionId,
    number: GrantNo,
    recalled: bool,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Table {
    sessions: BTreeMap<SessionId, BTreeSet<InodeId>>,
    volume: Option<VolumeLease>,
    slots: BTreeMap<InodeId, Slot>,
    claims: BTreeMap<ClaimId, Claim>,
    last_claim: ClaimId,
    last_grant: GrantNo,
    recalls: Vec<Recall>,
    /// Contention is passed over, so that the states of a model do not differ by times.
    #[cfg(test)]
    cold: bool,
}

impl Table {
    /// An empty table that knows no contention.
    #[cfg(test)]
    pub(super) fn cold() -> Self {
        Self { cold: true, ..Self::default() }
    }

    /// A session has come. If it is the second one the first must give the volume back.
    pub fn enter(&mut self, session: SessionId) {
        self.sessions.entry(session).or_default();
        if self.volume.is_some_and(|volume| volume.to != session) {
            self.recall_volume();
        }
    }

    /// Somebody wants to do something that needs these inodes.
    pub fn claim(&mut self, session: SessionId, needs: Needs, now: BootTime) -> Verdict {
        self.last_claim.0 += 1;
        let id = self.last_claim;
        let claim = Claim { session, needs };
        if self.hindrance(id, &claim).is_none() {
            return Verdict::Clear;
        }
        for &(ino, mode) in &claim.needs {
            self.slots.entry(ino).or_default().wanted.insert(id, mode);
        }
        self.claims.insert(id, claim);
        self.press(id, now);
        Verdict::Waits(id)
    }

    /// The first claim that waited and is clear now. It waits no longer: it must be carried out, and
    /// settled, before this is asked again.
    pub fn next_clear(&mut self, now: BootTime) -> Option<(ClaimId, SessionId, Needs)> {
        let ids: Vec<ClaimId> = self.claims.keys().copied().collect();
        for id in ids {
            let Some(claim) = self.claims.get(&id) else { continue };
            if self.hindrance(id, claim).is_none() {
                let claim = self.forget_claim(id)?;
                return Some((id, claim.session, claim.needs));
            }
            self.press(id, now);
        }
        None
    }

    /// A claim is not wanted any more, or was answered "again later". False: it waits no longer.
    pub fn withdraw(&mut self, id: ClaimId) -> bool {
        self.forget_claim(id).is_some()
    }

    /// What a session waits for, in order.
    pub fn claims_of(&self, session: SessionId) -> impl Iterator<Item = ClaimId> + '_ {
        self.claims.iter().filter(move |(_, claim)| claim.session == session).map(|(&id, _)| id)
    }

    /// A clear claim was carried out: lends what it needed, as far as that is wise.
    pub fn settle(&mut self, session: SessionId, needs: &[(InodeId, Mode)], now: BootTime) -> Vec<Grant> {
        if let Some(volume) = self.volume {
            // Its holder has everything already.
            debug_assert!(volume.to == session || volume.recalled, "a claim was clear beside the volume's lease");
            return Vec::new();
        }
        if !self.sessions.contains_key(&session) {
            return Vec::new();
        }
        if self.sessions.len() == 1 && self.claims.is_empty() {
            return vec![self.lend_volume(session)];
        }
        needs.iter().filter_map(|&(ino, mode)| self.lend(session, ino, (mode, mode), now)).collect()
    }

    /// A session has made an inode while it had its directory exclusively: it is its own from birth.
    pub fn born(&mut self, session: SessionId, ino: InodeId) {
        if self.volume.is_none() && self.sessions.contains_key(&session) {
            self.put(session, ino, Mode::Exclusive, GrantNo(0));
        }
    }

    /// What is to be recalled now; each is named once.
    pub fn take_recalls(&mut self) -> Vec<Recall> {
        std::mem::take(&mut self.recalls)
    }

    /// What a session was asked for and has not given back, to be said again on a new stream.
    #[must_use]
    pub fn recalls_of(&self, session: SessionId) -> Vec<Recall> {
        let volume = self.volume.filter(|volume| volume.to == session && volume.recalled);
        let mut recalls: Vec<Recall> =
            volume.map(|_| Recall { from: session, target: Target::Volume, keep: None }).into_iter().collect();
        for ino in self.sessions.get(&session).into_iter().flatten() {
            let lease = self.slots.get(ino).and_then(|slot| slot.leases.get(&session));
            if let Some(keep) = lease.and_then(|lease| lease.recalled) {
                recalls.push(Recall { from: session, target: Target::Inode(*ino), keep });
            }
        }
        recalls
    }

    /// A session has given a lease on an inode back, down to `left`. `seen`: the last grant that it
    /// knew of; a newer one of this inode is still on its way to it and stands.
    pub fn gave_back(&mut self, session: SessionId, ino: InodeId, left: Option<Mode>, seen: GrantNo) {
        let Some(slot) = self.slots.get_mut(&ino) else { return };
        let Some(lease) = slot.leases.get_mut(&session) else { return };
        if lease.number > seen {
            return;
        }
        match left {
            None => self.take(session, ino),
            Some(mode) => {
                lease.mode = lease.mode.min(mode);
                if lease.recalled.is_some_and(|keep| keep >= Some(mode)) {
                    lease.recalled = None;
                }
            }
        }
    }

    /// The holder of the volume has given it back and still uses these inodes.
    pub fn gave_volume_back(&mut self, session: SessionId, kept: &[(InodeId, Mode)]) {
        let Some(volume) = self.volume.filter(|volume| volume.to == session) else { return };
        self.volume = None;
        for &(ino, mode) in kept {
            self.put(session, ino, mode, volume.number);
        }
    }

    /// The last grant so far: what a session says when it comes back is as of then.
    #[must_use]
    pub const fn last_grant(&self) -> GrantNo {
        self.last_grant
    }

    /// A session is back on a new stream. When it said so, at `as_of`, it had just this; everything
    /// that it had answered by then is applied. What else it had it has given back, and the message
    /// was lost.
    pub fn resumed(&mut self, session: SessionId, held: &[(Target, Mode)], as_of: GrantNo) {
        let by_target: BTreeMap<Target, Mode> = held.iter().copied().collect();
        let mode_of = |target| by_target.get(&target).copied();
        let volume = self.volume.filter(|volume| volume.to == session && volume.number <= as_of);
        if volume.is_some() && mode_of(Target::Volume).is_none() {
            let kept: Vec<(InodeId, Mode)> = held.iter().filter_map(inode_of).collect();
            self.gave_volume_back(session, &kept);
        }
        let inodes: Vec<InodeId> = self.sessions.get(&session).into_iter().flatten().copied().collect();
        for ino in inodes {
            self.gave_back(session, ino, mode_of(Target::Inode(ino)), as_of);
            // No grant of before is on its way any more, whether or not it was heard.
            let lease = self.slots.get_mut(&ino).and_then(|slot| slot.leases.get_mut(&session));
            if let Some(lease) = lease.filter(|lease| lease.number <= as_of) {
                lease.number = GrantNo(0);
            }
        }
    }

    /// After a restart a session says what it has. False: somebody else has what it claims, and
    /// nothing was taken up; one of the two lost its session without knowing.
    pub fn reclaim(&mut self, session: SessionId, held: &[(Target, Mode)]) -> bool {
        let alone = self.volume.is_none() && self.slots.values().all(|slot| slot.leases.is_empty());
        let fits = held.iter().all(|&(target, mode)| match target {
            Target::Volume => alone,
            Target::Inode(ino) => self.volume.is_none() && !self.in_the_way(session, ino, mode),
        });
        if !fits {
            return false;
        }
        self.sessions.entry(session).or_default();
        for &(target, mode) in held {
            match target {
                Target::Volume => {
                    self.volume = Some(VolumeLease { to: session, number: GrantNo(0), recalled: false });
                    if self.sessions.len() > 1 {
                        self.recall_volume();
                    }
                }
                Target::Inode(ino) => self.put(session, ino, mode, GrantNo(0)),
            }
        }
        true
    }

    /// A session is gone, and fenced: nothing that it says counts any more.
    pub fn gone(&mut self, session: SessionId) {
        let claims: Vec<ClaimId> = self.claims_of(session).collect();
        for id in claims {
            self.forget_claim(id);
        }
        for ino in self.sessions.remove(&session).unwrap_or_default() {
            self.take_from_slot(session, ino);
        }
        if self.volume.is_some_and(|volume| volume.to == session) {
            self.volume = None;
        }
        self.recalls.retain(|recall| recall.from != session);
    }

    /// What a session has of an inode, the volume's lease included.
    #[must_use]
    pub fn held(&self, session: SessionId, ino: InodeId) -> Option<Mode> {
        if self.volume.is_some_and(|volume| volume.to == session) {
            return Some(Mode::Exclusive);
        }
        self.slots.get(&ino)?.leases.get(&session).map(|lease| lease.mode)
    }

    /// Who has a lease on an inode.
    pub fn holders(&self, ino: InodeId) -> impl Iterator<Item = SessionId> + '_ {
        let leases = self.slots.get(&ino).into_iter().flat_map(|slot| slot.leases.keys().copied());
        leases.chain(self.volume.map(|volume| volume.to))
    }

    /// Whether a session is asked to give anything back.
    #[must_use]
    pub fn owes(&self, session: SessionId) -> bool {
        !self.recalls_of(session).is_empty()
    }

    /// Forgets what time has made meaningless.
    pub fn tidy(&mut self, now: BootTime) {
        self.slots.retain(|_, slot| !slot.is_empty() || !slot.heat.is_cold(now));
    }

    /// How many leases on inodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.values().map(BTreeSet::len).sum()
    }

    /// Whether nothing is lent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.volume.is_none() && self.len() == 0
    }

    /// Why a claim cannot be carried out now: an earlier claim, or what others have.
    fn hindrance(&self, id: ClaimId, claim: &Claim) -> Option<Hindrance> {
        if claim.needs.iter().all(|&(ino, mode)| self.held(claim.session, ino) >= Some(mode)) {
            // It may have been answered already; whoever waits for these leases waits for it.
            return None;
        }
        if self.volume.is_some_and(|volume| volume.to != claim.session) {
            return Some(Hindrance::Lease);
        }
        let needs = claim.needs.iter();
        let before = |(ino, mode): &(InodeId, Mode)| {
            let wanted = self.slots.get(ino).map(|slot| slot.wanted.range(..id));
            wanted.into_iter().flatten().any(|(_, other)| mode.conflicts(*other))
        };
        if needs.clone().any(before) {
            return Some(Hindrance::Claim);
        }
        let lent = |&(ino, mode): &(InodeId, Mode)| self.in_the_way(claim.session, ino, mode);
        needs.clone().any(lent).then_some(Hindrance::Lease)
    }

    fn in_the_way(&self, session: SessionId, ino: InodeId, mode: Mode) -> bool {
        let leases = self.slots.get(&ino).map(|slot| slot.leases.iter());
        leases.into_iter().flatten().any(|(&other, lease)| other != session && mode.conflicts(lease.mode))
    }

    /// Recalls what is in the way of a claim, if no earlier claim is.
    fn press(&mut self, id: ClaimId, now: BootTime) {
        let Some(claim) = self.claims.get(&id) else { return };
        if self.hindrance(id, claim) != Some(Hindrance::Lease) {
            return;
        }
        if self.volume.is_some() {
            self.recall_volume();
            return;
        }
        let (session, needs) = (claim.session, claim.needs.clone());
        for (ino, mode) in needs {
            let keep = if mode == Mode::Shared { Some(Mode::Shared) } else { None };
            let Some(slot) = self.slots.get_mut(&ino) else { continue };
            let mut conflict = false;
            for (&from, lease) in &mut slot.leases {
                let asked = lease.recalled.is_some_and(|before| before <= keep);
                if from != session && mode.conflicts(lease.mode) && !asked {
                    lease.recalled = Some(keep);
                    conflict = true;
                    self.recalls.push(Recall { from, target: Target::Inode(ino), keep });
                }
            }
            #[cfg(test)]
            let conflict = conflict && !self.cold;
            if conflict {
                slot.heat.conflict(now);
            }
        }
    }

    fn recall_volume(&mut self) {
        if let Some(volume) = self.volume.as_mut().filter(|volume| !volume.recalled) {
            volume.recalled = true;
            self.recalls.push(Recall { from: volume.to, target: Target::Volume, keep: None });
        }
    }

    fn lend_volume(&mut self, session: SessionId) -> Grant {
        // It covers what it has of single inodes.
        for ino in self.sessions.insert(session, BTreeSet::new()).unwrap_or_default() {
            self.take_from_slot(session, ino);
        }
        self.last_grant.0 += 1;
        let number = self.last_grant;
        self.volume = Some(VolumeLease { to: session, number, recalled: false });
        Grant { target: Target::Volume, mode: Mode::Exclusive, number }
    }

    /// Lends an inode that was used in the first mode in the second.
    fn lend(&mut self, session: SessionId, ino: InodeId, (used, mode): (Mode, Mode), now: BootTime) -> Option<Grant> {
        let slot = self.slots.entry(ino).or_default();
        #[cfg(test)]
        let by = if self.cold { SessionId([0; 16]) } else { session };
        #[cfg(not(test))]
        let by = session;
        slot.heat.used(by, used, now);
        let before = slot.leases.get(&session).copied();
        let owes = before.is_some_and(|lease| lease.recalled.is_some());
        if owes || !slot.wanted.is_empty() || (before.is_none() && slot.heat.is_hot(now)) {
            return None;
        }
        // Who asks although it has the lease does not know of it: it is said again.
        let mode = before.map_or(mode, |lease| lease.mode.max(mode));
        self.last_grant.0 += 1;
        let number = self.last_grant;
        self.put(session, ino, mode, number);
        Some(Grant { target: Target::Inode(ino), mode, number })
    }

    fn put(&mut self, session: SessionId, ino: InodeId, mode: Mode, number: GrantNo) {
        let lease = Lease { mode, number, recalled: None };
        self.slots.entry(ino).or_default().leases.insert(session, lease);
        self.sessions.entry(session).or_default().insert(ino);
    }

    fn take(&mut self, session: SessionId, ino: InodeId) {
        self.take_from_slot(session, ino);
        if let Some(inodes) = self.sessions.get_mut(&session) {
            inodes.remove(&ino);
        }
    }

    fn take_from_slot(&mut self, session: SessionId, ino: InodeId) {
        if let Some(slot) = self.slots.get_mut(&ino) {
            slot.leases.remove(&session);
        }
    }

    fn forget_claim(&mut self, id: ClaimId) -> Option<Claim> {
        let claim = self.claims.remove(&id)?;
        for (ino, _) in &claim.needs {
            if let Some(slot) = self.slots.get_mut(ino) {
                slot.wanted.remove(&id);
            }
        }
        Some(claim)
    }
}

/// What is in the way of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hindrance {
    /// An earlier claim.
    Claim,
    /// What others were lent.
    Lease,
}

impl Slot {
    fn is_empty(&self) -> bool {
        self.leases.is_empty() && self.wanted.is_empty()
    }
}

const fn inode_of(held: &(Target, Mode)) -> Option<(InodeId, Mode)> {
    match *held {
        (Target::Inode(ino), mode) => Some((ino, mode)),
        (Target::Volume, _) => None,
    }
}

#[cfg(test)]
mod tests;
