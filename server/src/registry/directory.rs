//! Which owner serves a session: how a read finds its volume.

use std::collections::HashMap;
use std::sync::Arc;

use holdfast_core::error::Result;
use holdfast_core::id::SessionId;
use parking_lot::RwLock;

use crate::volume::{Owner, session_lost};

/// Live sessions of all volumes of a server.
#[derive(Debug, Default)]
pub(crate) struct Directory(RwLock<HashMap<SessionId, Arc<Owner>>>);

impl Directory {
    /// The owner that serves a session.
    ///
    /// # Errors
    /// `SessionLost` for one that is not here.
    pub(crate) fn find(&self, session: SessionId) -> Result<Arc<Owner>> {
        self.0.read().get(&session).cloned().ok_or_else(session_lost)
    }

    /// A session is served.
    pub(crate) fn insert(&self, session: SessionId, owner: Arc<Owner>) {
        self.0.write().insert(session, owner);
    }

    /// A session is served no more.
    pub(crate) fn remove(&self, session: SessionId) {
        self.0.write().remove(&session);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.read().len()
    }
}
