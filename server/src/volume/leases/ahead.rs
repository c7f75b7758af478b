//! Leases ahead of need: who takes a second name out of a directory in a row mostly takes the others
//! too, and has looked at them before.
//!
//! What such a session has shared is made exclusive, part by part as it goes on, so that it answers the
//! rest by itself; what others have of the part behind that is asked back meanwhile. Each part is looked
//! at once: what could not be lent then is deleted as any other name.

use holdfast_core::attr::FileKind;
use holdfast_core::id::{DirCookie, InodeId, SessionId};
use holdfast_core::lease::{Grant, Mode};
use holdfast_core::op::Op;
use holdfast_core::session::BootTime;

use crate::store::DirEntry;
use crate::volume::{Owner, State};

/// Entries of a part.
const PART: usize = 256;

/// How far a session is with emptying a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::volume) struct Emptying {
    directory: InodeId,
    behind: DirCookie,
}

impl Owner {
    /// A session has taken a name away, and has its directory exclusively: what else it is lent.
    pub(super) fn lend_ahead(&self, state: &mut State, session: SessionId, op: &Op, now: BootTime) -> Vec<Grant> {
        let Op::Unlink { parent, .. } = op else { return Vec::new() };
        if state.leases.table.held(session, *parent) != Some(Mode::Exclusive) {
            return Vec::new();
        }
        let Some(member) = state.members.get_mut(&session) else { return Vec::new() };
        let begun = member.emptying.filter(|emptying| emptying.directory == *parent);
        let Emptying { behind, .. } = begun.unwrap_or(Emptying { directory: *parent, behind: DirCookie(0) });
        // A listing that cannot be read is for its readers to hear of.
        let Ok(page) = self.store.readdir(*parent, behind, 2 * PART, false) else { return Vec::new() };
        let part = page.entries.len().min(PART);
        let behind = page.entries[..part].last().map_or(behind, |last| last.cookie);
        member.emptying = Some(Emptying { directory: *parent, behind });
        let (due, next) = page.entries.split_at(part);
        let is_file = |entry: &&DirEntry| entry.kind != FileKind::Directory;
        for entry in next.iter().filter(is_file) {
            state.leases.table.clear_for(session, entry.ino);
        }
        let mut grants = Vec::new();
        for entry in due.iter().filter(is_file) {
            if !state.is_in_use_elsewhere(entry.ino, session) {
                grants.extend(state.leases.table.raise(session, entry.ino, now));
            }
        }
        grants
    }
}
