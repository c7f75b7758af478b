//! What sessions had when they answered by themselves, after a restart.

use holdfast_core::id::SessionId;
use holdfast_core::lease::Target;
use holdfast_core::op::Op;
use tracing::warn;

use super::needs;
use crate::session::short;
use crate::volume::{Owner, State};

impl Owner {
    /// A session has brought back what it had answered by itself, so it had the leases for that; also where it
    /// does not claim them, because it was giving them back and the message was lost with its stream. It has
    /// them until it says so again: whoever wants them waits, and what was answered comes first.
    pub(in crate::volume) fn reclaim_answered(&self, state: &mut State) {
        let members = state.members.iter().filter(|(_, member)| !member.is_leaving());
        let answered: Vec<(SessionId, Op)> = members
            .flat_map(|(&session, member)| member.queue.iter().map(move |queued| (session, &queued.op)))
            .filter(|(_, logged)| logged.time.is_some())
            .map(|(session, logged)| (session, logged.op.clone()))
            .collect();
        for (session, op) in answered {
            for (ino, mode) in needs::of_operation(&self.store, &op).claim {
                let table = &mut state.leases.table;
                let has = table.held(session, ino) >= Some(mode);
                if !has && !table.reclaim(session, &[(Target::Inode(ino), mode)]) {
                    warn!(volume = %self.settings.name, session = %short(session), %ino, "a change was answered without a lease");
                }
            }
        }
    }
}
