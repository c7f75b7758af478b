//! Giving back what nobody uses: extents of dead data, segments without a live byte.

use holdfast_core::error::Result;
use tracing::warn;

use super::Store;
use crate::meta::apply;

impl Store {
    /// Frees at most `budget` extents of dead data, and lets empty segments go; says whether there
    /// is more to do. What it changes becomes durable with the next commit, and only then files
    /// are removed.
    ///
    /// # Errors
    /// `Damaged`, `Unavailable`.
    pub fn reap(&self, budget: usize) -> Result<bool> {
        let mut left = budget.max(1);
        while left > 0 {
            let Some((data, from)) = self.writer.lock().dead.front().copied() else { break };
            let (next, removed) = self.change(|txn| apply::reap(txn, data, from, left))?;
            left = left.saturating_sub(removed.max(1));
            let mut writer = self.writer.lock();
            match (next, writer.dead.front_mut()) {
                (Some(next), Some(first)) => first.1 = next,
                (None, Some(_)) => {
                    writer.dead.pop_front();
                }
                (_, None) => {}
            }
        }
        self.reap_segments()?;
        Ok(!self.writer.lock().dead.is_empty())
    }

    /// Lets segments go in which nothing is in use.
    pub(super) fn reap_segments(&self) -> Result<()> {
        self.alive()?;
        let mut unused = Vec::new();
        let mut writer = self.writer.lock();
        self.segments.seal_unused(|id| writer.empty.contains(&id) || !writer.segments.contains_key(&id));
        for id in self.segments.take_sealed() {
            // Filled with frames that no operation ever named: there is no account of it.
            if !writer.segments.contains_key(&id) {
                writer.empty.insert(id);
            }
        }
        let idle: Vec<_> = writer.empty.iter().copied().filter(|id| self.segments.is_idle(*id)).collect();
        for id in idle {
            if writer.segments.contains_key(&id) {
                let mut overlays = self.overlays.write();
                writer.drop_segment(id, &mut overlays.active);
                overlays.oldest.get_or_insert_default();
            } else {
                writer.empty.remove(&id);
                unused.push(id);
            }
        }
        drop(writer);
        for id in unused {
            if let Err(error) = self.segments.remove(id) {
                warn!(segment = id.0, ?error, "cannot remove the file of an unused segment");
            }
        }
        Ok(())
    }
}
