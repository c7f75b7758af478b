//! What there is: every mount with its references, and the clean-up of what nobody needs.

use std::path::PathBuf;
use std::time::SystemTime;

use holdfast_core::error::Result;

use super::deadline::Deadline;
use super::layout::MountId;
use super::lock::MountLock;
use super::mounter::{MountState, Mounter};
use super::record::Records;
use super::registry::Registry;
use super::request::{RefId, Release, Released, RemoteVolume, Subdir};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountReport {
    /// Its id.
    pub id: MountId,
    /// The volume.
    pub volume: RemoteVolume,
    /// The mount refuses every change.
    pub read_only: bool,
    /// Where it is.
    pub path: PathBuf,
    /// How it is.
    pub state: MountState,
    /// Who holds it, oldest first.
    pub references: Vec<ReferenceReport>,
}

/// One reference to a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceReport {
    /// Who.
    pub id: RefId,
    /// Since when, in whole seconds.
    pub created: SystemTime,
    /// The volume's root is held.
    pub whole: bool,
    /// The directories inside it that are held.
    pub subdirs: Vec<Subdir>,
    /// The holder is gone: neither its witness nor the process that asked exists.
    pub stale: bool,
}

impl<M: Mounter> Registry<M> {
    /// Every mount of this host. A snapshot, taken without locks.
    ///
    /// # Errors
    /// When the run directory cannot be read or a record in it is damaged.
    pub fn list(&self) -> Result<Vec<MountReport>> {
        let mut reports = Vec::new();
        for id in self.ids()? {
            let records = Records::at(self.run.state(id));
            let Some((volume, read_only)) = records.volume()? else { continue };
            let references = records.all()?.into_iter().map(|reference| ReferenceReport {
                stale: reference.is_stale(),
                id: reference.id,
                created: reference.created,
                whole: reference.whole,
                subdirs: reference.subdirs.into_iter().collect(),
            });
            let references = references.collect();
            let path = self.run.mount_point(id);
            let state = self.mounter.inspect(&volume, &path, Deadline::after(self.timeouts.probe))?;
            reports.push(MountReport { id, volume, read_only, path, state, references });
        }
        Ok(reports)
    }

    /// Releases stale references and unmounts what nobody holds.
    ///
    /// # Errors
    /// The first failure; the rest is swept all the same.
    pub fn sweep(&self) -> Result<Released> {
        let mut swept = Released::default();
        let mut failure = None;
        for id in self.ids()? {
            if let Err(error) = self.sweep_one(id, &mut swept) {
                failure.get_or_insert(error);
            }
        }
        failure.map_or(Ok(swept), Err)
    }

    fn sweep_one(&self, id: MountId, swept: &mut Released) -> Result<()> {
        let stale = Records::at(self.run.state(id)).all()?.into_iter().filter(|reference| reference.is_stale());
        for reference in stale {
            let released = self.release(&Release { reference: reference.id })?;
            swept.released += released.released;
            swept.unmounted += released.unmounted;
        }
        let state = self.run.state(id);
        if !state.exists() {
            return Ok(());
        }
        let _lock = MountLock::take(&state, Deadline::after(self.timeouts.release))?;
        let records = Records::at(state);
        let Some((volume, read_only)) = records.volume()? else { return records.end() };
        if self.close_if_idle(self.mount(&volume, read_only), records)? {
            swept.unmounted += 1;
        }
        Ok(())
    }
}
