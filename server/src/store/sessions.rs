//! The sessions that a volume knows.

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::id::{InodeBlock, Seq, SessionId};

use super::writer::Session;
use super::{SessionInfo, SessionState, Store};

impl Store {
    /// Enters a session and gives it a block of inode numbers, if there is one left. Both are durable
    /// with the next commit: let the client rely on them only then.
    ///
    /// # Errors
    /// `AlreadyExists` when the volume knows it.
    pub fn begin_session(&self, info: SessionInfo) -> Result<Option<InodeBlock>> {
        self.alive()?;
        let mut writer = self.writer.lock();
        if writer.sessions.contains_key(&info.id) {
            return Err(Error::new(ErrorKind::AlreadyExists, "the volume knows this session already; resume it"));
        }
        let started = info.started;
        writer.sessions.insert(info.id, Session::new(info));
        writer.dirty = true;
        self.overlays.write().oldest.get_or_insert(started);
        let block = InodeBlock::of(writer.header.inode_blocks);
        writer.header.inode_blocks += u64::from(block.is_some());
        Ok(block)
    }

    /// Forgets a session, durably with the next commit: what it sends later is refused. Nothing
    /// happens if it is unknown.
    ///
    /// # Errors
    /// `Unavailable` after a failed commit.
    pub fn end_session(&self, id: SessionId) -> Result<()> {
        self.alive()?;
        let mut writer = self.writer.lock();
        let mut overlays = self.overlays.write();
        if writer.drop_session(id, &mut overlays.active) {
            overlays.oldest.get_or_insert_default();
        }
        Ok(())
    }

    /// A session that comes back may have been remounted meanwhile.
    pub fn set_read_only(&self, id: SessionId, read_only: bool) {
        if let Some(session) = self.writer.lock().sessions.get_mut(&id) {
            session.set_read_only(read_only);
        }
    }

    /// All sessions of the volume.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionState> {
        self.writer.lock().sessions.values().map(Session::state).collect()
    }

    /// One session.
    #[must_use]
    pub fn session(&self, id: SessionId) -> Option<SessionState> {
        self.writer.lock().sessions.get(&id).map(Session::state)
    }

    /// The client has every outcome up to `received`. After a crash it may have some that the
    /// volume has forgotten: those do not count until their operations are applied again.
    ///
    /// # Errors
    /// `SessionLost` for an unknown session.
    pub fn confirm(&self, id: SessionId, received: Seq) -> Result<()> {
        self.alive()?;
        match self.writer.lock().sessions.get_mut(&id) {
            Some(session) => {
                session.confirm(received);
                Ok(())
            }
            None => Err(Error::new(ErrorKind::SessionLost, "the volume does not know this session; begin a new one")),
        }
    }
}
