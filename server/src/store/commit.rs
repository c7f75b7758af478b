//! Making durable what is applied.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use holdfast_core::error::Result;
use tracing::warn;

use super::writer::Sealed;
use super::{Committed, Store};
use crate::meta::view::Changes;

impl Store {
    /// Makes everything durable that was applied before the call; what is applied meanwhile waits
    /// for the next one. Calls run one after the other.
    ///
    /// # Errors
    /// After any failure to reach the disk the store refuses everything: the server must stop, and
    /// the volume recovers when it is opened again.
    pub fn commit(&self) -> Result<Committed> {
        let _one_at_a_time = self.committing.lock();
        self.alive()?;
        self.look_at_disk();
        let Some((overlay, sealed)) = self.swap() else { return Ok(Committed::default()) };
        if let Err(error) = self.write_out(&overlay, &sealed) {
            self.poison(&error);
            return Err(error);
        }
        let done = self.overlays.write().flushing.take();
        self.commits.1.fetch_add(1, Ordering::AcqRel);
        drop((done, overlay));
        Ok(self.settle(sealed))
    }

    /// Commits all, and marks the volume as cleanly stopped.
    ///
    /// # Errors
    /// As for [`Store::commit`]: the next open then finds a crash.
    pub fn close(self) -> Result<()> {
        self.commit()?;
        {
            let mut writer = self.writer.lock();
            writer.header.clean = true;
            writer.dirty = true;
        }
        self.commit().map(drop)
    }

    /// Takes the active overlay, complete with its counters; `None` when nothing has changed.
    fn swap(&self) -> Option<(Arc<Changes>, Sealed)> {
        let mut writer = self.writer.lock();
        if !writer.dirty {
            return None;
        }
        self.commits.0.fetch_add(1, Ordering::AcqRel);
        let mut overlays = self.overlays.write();
        let mut overlay = std::mem::take(&mut overlays.active);
        let sealed = writer.seal(&mut overlay, self.segments.next());
        let overlay = Arc::new(overlay);
        overlays.flushing = Some(Arc::clone(&overlay));
        overlays.oldest = None;
        overlays.outcome_bytes = 0;
        overlays.data_bytes = 0;
        Some((overlay, sealed))
    }

    /// The data first, then what points to it.
    fn write_out(&self, overlay: &Changes, sealed: &Sealed) -> Result<()> {
        self.segments.sync(&sealed.touched)?;
        self.engine.write(overlay)
    }

    /// Tells the sessions, and removes what the durable state no longer knows.
    fn settle(&self, sealed: Sealed) -> Committed {
        let mut committed = Committed::default();
        let mut writer = self.writer.lock();
        for (id, applied) in sealed.applied {
            if let Some(session) = writer.sessions.get_mut(&id)
                && session.durable < applied
            {
                session.durable = applied;
                session.forget_settled();
                committed.durable.push((id, applied));
            }
        }
        drop(writer);
        for id in sealed.removed {
            if let Err(error) = self.segments.remove(id) {
                warn!(segment = id.0, ?error, "cannot remove the file of an unused segment");
            }
        }
        committed
    }
}
