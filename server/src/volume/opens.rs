//! Who has which inode open: a set per session, and the same seen from the inode.
//!
//! Pure. An inode that is in nobody's set and has no name may be freed.

use std::collections::{BTreeSet, HashMap};

use holdfast_core::id::{InodeId, SessionId};

/// Open inodes of all sessions of one volume.
#[derive(Debug, Default)]
pub(crate) struct Opens {
    by_inode: HashMap<InodeId, BTreeSet<SessionId>>,
    by_session: HashMap<SessionId, BTreeSet<InodeId>>,
}

impl Opens {
    /// Enters an inode; false: it was there.
    pub(crate) fn open(&mut self, session: SessionId, ino: InodeId) -> bool {
        self.by_session.entry(session).or_default().insert(ino);
        self.by_inode.entry(ino).or_default().insert(session)
    }

    /// Takes an inode out; false: it was not there.
    pub(crate) fn close(&mut self, session: SessionId, ino: InodeId) -> bool {
        if let Some(inodes) = self.by_session.get_mut(&session) {
            inodes.remove(&ino);
            if inodes.is_empty() {
                self.by_session.remove(&session);
            }
        }
        let Some(sessions) = self.by_inode.get_mut(&ino) else { return false };
        let was = sessions.remove(&session);
        if sessions.is_empty() {
            self.by_inode.remove(&ino);
        }
        was
    }

    /// Takes all inodes of a session out; those that nobody has open any more.
    pub(crate) fn close_all(&mut self, session: SessionId) -> Vec<InodeId> {
        let inodes = self.by_session.get(&session).cloned().unwrap_or_default();
        for &ino in &inodes {
            self.close(session, ino);
        }
        inodes.into_iter().filter(|&ino| !self.is_open(ino)).collect()
    }

    /// Whether anybody has it open.
    pub(crate) fn is_open(&self, ino: InodeId) -> bool {
        self.by_inode.contains_key(&ino)
    }

    /// Every session and inode.
    pub(crate) fn all(&self) -> impl Iterator<Item = (SessionId, InodeId)> + '_ {
        self.by_session.iter().flat_map(|(&session, inodes)| inodes.iter().map(move |&ino| (session, ino)))
    }

    /// Whether anybody but this session has it open.
    pub(crate) fn is_open_elsewhere(&self, ino: InodeId, session: SessionId) -> bool {
        self.by_inode.get(&ino).is_some_and(|sessions| sessions.iter().any(|&other| other != session))
    }

    /// Everybody but this session who has it open.
    pub(crate) fn others(&self, ino: InodeId, session: SessionId) -> Vec<SessionId> {
        match self.by_inode.get(&ino) {
            None => Vec::new(),
            Some(sessions) => sessions.iter().copied().filter(|&other| other != session).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
