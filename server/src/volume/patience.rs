//! Who has had time enough: sessions whose lease is over, and those that did not do what they were asked to.
//!
//! A session that waits for another one at the server is not judged meanwhile: its kernel may hold the very
//! pages that it is to drop until it has the answer, and who is cut off must not take healthy hosts along. Its
//! time begins when it waits no longer. Each such wait ends, at the latest with the session that it is for.

use std::time::Duration;

use holdfast_core::id::{Seq, SessionId};
use holdfast_core::lease::ClaimId;
use holdfast_core::session::{BootTime, server_waits_until};

use super::member::Leave;
use super::{Owner, Phase, State};

/// What a session waits for that others have to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// To give something back.
    Claim(ClaimId),
    /// To drop what they have of what this operation has changed.
    Notices(Seq),
}

/// Whether a session is held up by others, and when it was last.
#[derive(Debug, Default)]
pub(super) struct HeldUp {
    waits: Option<(WaitsFor, BootTime)>,
    last: BootTime,
}

impl HeldUp {
    /// It waits for this now, or for nothing. Only a wait for one thing that goes on for `long` counts: who
    /// works waits for a moment now and then.
    fn look(&mut self, waits: Option<WaitsFor>, now: BootTime, long: Duration) {
        match self.waits {
            Some((before, since)) if waits == Some(before) => {
                if now.0.saturating_sub(since.0) >= long {
                    self.last = now;
                }
            }
            _ => self.waits = waits.map(|waits| (waits, now)),
        }
    }

    /// Whether it was held up since then.
    fn since(&self, then: BootTime) -> bool {
        self.last >= then
    }
}

impl Owner {
    /// Sessions that have to go, and why.
    pub(super) fn late(&self, state: &mut State, now: BootTime) -> Vec<(SessionId, Leave)> {
        let mut late = Vec::new();
        // Those who have not come back are the recovery's to judge.
        if !matches!(state.phase, Phase::Recovering(_)) {
            let over = state.members.iter().filter(|(_, member)| member.may_expire() && member.deadline < now);
            late.extend(over.map(|(&session, _)| (session, Leave::Expired)));
        }
        let times = self.settings.times;
        for member in state.members.values_mut() {
            let waits = member.waits_for();
            member.held_up.look(waits, now, times.heartbeat);
        }
        let patience = server_waits_until(BootTime::default(), times.lease, times.heartbeat).0;
        let asked_before = BootTime(now.0.saturating_sub(patience));
        let mut overdue = state.invalidations.overdue(asked_before);
        overdue.extend(state.leases.overdue(asked_before));
        let members = &state.members;
        overdue.retain(|session| members.get(session).is_none_or(|member| !member.held_up.since(asked_before)));
        late.extend(overdue.into_iter().map(|session| (session, Leave::Unresponsive)));
        late
    }
}

#[cfg(test)]
mod tests;
