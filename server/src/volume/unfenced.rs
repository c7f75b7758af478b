//! What is left out of fencing for a test, to show that it would notice ([`crate::failpoint`]).
//!
//! Without an armed failpoint nothing here does anything: a session whose lease is over is fenced on disk.
//! With one, others get what it had, as they must, but its record stays, so that it may come back.

use holdfast_core::id::{InodeId, SessionId};
use holdfast_core::lease::{Mode, Recall, Target};
use holdfast_core::session::BootTime;
use tracing::error;

use super::member::Leave;
use super::{Owner, Phase, State};
use crate::failpoint::Failpoint;
use crate::session::{Outbound, short};

/// How long it may stay away after its lease.
const AWAY_MAX: std::time::Duration = std::time::Duration::from_secs(3600);

impl Owner {
    /// A session is to go. True: it is not fenced, and may come back; only what it had is others' now.
    pub(super) fn spares(&self, state: &mut State, session: SessionId, why: Leave) -> bool {
        let armed = Failpoint::Fence.is_armed() || Failpoint::StaleReclaim.is_armed();
        // Who is silent does not do what it is asked to either.
        let silent = matches!(why, Leave::Expired | Leave::Unresponsive);
        if !armed || !silent || !matches!(state.phase, Phase::Open) {
            return false;
        }
        error!(volume = %self.settings.name, session = %short(session), "a failpoint lets a session live whose lease is over");
        state.withdraw_claims(session);
        self.give_to_others(state, session);
        state.leases.enter(session);
        if let Some(member) = state.members.get_mut(&session) {
            member.link = None;
            member.spared = true;
            member.deadline = BootTime(self.clock.boot().0 + AWAY_MAX);
        }
        // Behind a commit it is looked who can go on.
        state.dirty = true;
        self.demand_commit(state);
        true
    }

    /// A session that was spared is back, and says that it has these leases: that is believed, or it is asked
    /// for them.
    pub(super) fn spared_returns(&self, state: &mut State, session: SessionId, leases: &[(Target, Mode)]) {
        let spared = state.members.get_mut(&session).is_some_and(|member| std::mem::take(&mut member.spared));
        if !spared {
            return;
        }
        let inodes =
            leases.iter().filter_map(|(target, _)| if let Target::Inode(ino) = target { Some(*ino) } else { None });
        for ino in inodes.collect::<Vec<InodeId>>() {
            if Failpoint::StaleReclaim.is_armed() {
                state.leases.believe(session, ino);
            } else {
                let recall = Recall { from: session, target: Target::Inode(ino), keep: None };
                Self::send(state, session, Outbound::Recall(recall));
            }
        }
    }
}
