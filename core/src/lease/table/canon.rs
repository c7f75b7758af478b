//! A table as part of the form of a state of the model ([`crate::lease::tests`]).

use super::{Recall, Slot, Table, VolumeLease};
use crate::id::{InodeId, SessionId};
use crate::lease::GrantNo;
use crate::lease::tests::canon::Canon;

impl Table {
    /// Writes what plays a part: not what is hot, since nothing is in the model.
    pub(in crate::lease) fn canonical(&self, canon: &mut Canon) {
        canon.grant(self.last_grant);
        let mut sessions: Vec<(u8, &SessionId)> = self.sessions.keys().map(|s| (canon.place(*s), s)).collect();
        sessions.sort_unstable();
        canon.count(sessions.len());
        for (place, session) in &sessions {
            canon.byte(*place);
            let inodes = &self.sessions[*session];
            canon.count(inodes.len());
            inodes.iter().for_each(|&ino| canon.ino(ino));
        }
        match self.volume {
            None => canon.byte(0),
            Some(VolumeLease { to, number, recalled }) => {
                canon.byte(1);
                canon.session(to);
                canon.grant(number);
                canon.flag(recalled);
            }
        }
        let slots: Vec<(&InodeId, &Slot)> = self.slots.iter().filter(|(_, slot)| !slot.is_empty()).collect();
        canon.count(slots.len());
        for (&ino, slot) in slots {
            canon.ino(ino);
            canon.count(slot.leases.len());
            for (place, session) in &sessions {
                let Some(lease) = slot.leases.get(*session) else { continue };
                canon.byte(*place);
                canon.mode(Some(lease.mode));
                canon.grant(lease.number);
                canon.flag(lease.recalled.is_some());
                canon.mode(lease.recalled.flatten());
            }
            canon.count(slot.wanted.len());
            for (&claim, &mode) in &slot.wanted {
                canon.claim(claim);
                canon.mode(Some(mode));
            }
        }
        canon.count(self.claims.len());
        for claim in self.claims.values() {
            canon.session(claim.session);
            canon.count(claim.needs.len());
            for &(ino, mode) in &claim.needs {
                canon.ino(ino);
                canon.mode(Some(mode));
            }
        }
        canon.count(self.recalls.len());
        for &Recall { from, target, keep } in &self.recalls {
            canon.session(from);
            canon.target(target);
            canon.mode(keep);
        }
    }

    /// Every grant that plays a part.
    pub(in crate::lease) fn grants(&self, note: &mut dyn FnMut(GrantNo)) {
        self.volume.iter().for_each(|volume| note(volume.number));
        self.slots.values().flat_map(|slot| slot.leases.values()).for_each(|lease| note(lease.number));
    }

    /// Claims that wait, in order.
    pub(in crate::lease) fn waiting(&self) -> Vec<u64> {
        self.claims.keys().map(|claim| claim.0).collect()
    }
}
