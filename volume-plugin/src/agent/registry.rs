//! The rules: who gets a mount, when it is made, mended and taken away.
//!
//! A record is written before anything is mounted and removed before anything is unmounted, so a
//! crash at any point leaves a record without a mount (which the next request mends or a sweep
//! removes) or a mount without a record (which the next request uses or a sweep unmounts).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_core::error::{Error, ErrorKind, Result};

use super::beneath::{open_beneath, open_root};
use super::bind::{bind, is_bound_from, unbind};
use super::deadline::Deadline;
use super::layout::{MountId, RunDir, broken, reference_name};
use super::lock::MountLock;
use super::mounter::{LiveMount, MountState, Mounter};
use super::record::{Records, Reference};
use super::request::{Acquire, Acquired, RefId, Release, Released, RemoteVolume};
use super::target;

/// Mounts stacked on one mount point that are taken away before giving up.
const STACK_MAX: u32 = 64;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// A whole acquire, waiting for others included.
    pub acquire: Duration,
    /// A whole release of one mount. Unmounting sends what was written to the server first.
    pub release: Duration,
    /// The answer of a mount to the question whether it lives.
    pub probe: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { acquire: seconds(60), release: seconds(60), probe: seconds(10) }
    }
}

/// The mounts of this host. Several may exist at once, in several processes, over one run directory.
#[derive(Debug)]
pub struct Registry<M> {
    pub(super) run: RunDir,
    pub(super) mounter: M,
    pub(super) timeouts: Timeouts,
}

/// One (server, volume, read-only).
#[derive(Debug)]
pub(super) struct Mount {
    pub(super) id: MountId,
    pub(super) volume: RemoteVolume,
    pub(super) read_only: bool,
    pub(super) target: PathBuf,
}

impl<M: Mounter> Registry<M> {
    /// Over a run directory.
    pub fn new(run: RunDir, mounter: M, timeouts: Timeouts) -> Self {
        Self { run, mounter, timeouts }
    }

    /// Gives the reference the volume, mounted and alive. Asking again for the same gives the same.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Denied`] or [`ErrorKind::Invalid`] for the directory
    /// inside the volume; [`ErrorKind::InUse`] when something foreign is in the way;
    /// [`ErrorKind::Unavailable`] or [`ErrorKind::Timeout`] when the volume cannot be mounted or
    /// does not answer. What this call changed is undone then.
    pub fn acquire(&self, request: &Acquire) -> Result<Acquired> {
        let deadline = Deadline::after(self.timeouts.acquire);
        let mount = self.mount(&request.volume, request.read_only);
        let state = self.run.state(mount.id);
        let _lock = MountLock::take(&state, deadline)?;
        let records = Records::at(state);
        records.begin(&request.volume, request.read_only)?;

        let before = records.get(&request.reference)?;
        let mut reference =
            before.clone().unwrap_or_else(|| Reference::new(request.reference.clone(), request.witness.clone()));
        let created = reference.add(request.subdir.as_ref());
        if created {
            records.put(&reference)?;
        }
        match self.provide(&mount, &records, request, deadline) {
            Ok((path, live)) => Ok(Acquired { path, created, nosuid: live.nosuid, nodev: live.nodev }),
            Err(error) => {
                if created && let Err(second) = self.take_back(mount, records, request, before.as_ref()) {
                    tracing::warn!(volume = %request.volume, error = %second, "cannot undo a failed acquire");
                }
                Err(error)
            }
        }
    }

    /// Gives up everything that the reference holds, and unmounts what nobody else holds.
    /// Nothing held is no error.
    ///
    /// # Errors
    /// The first failure; the other mounts are released all the same. The reference is gone from
    /// every mount whose records could be changed, also when unmounting failed: such a mount stays
    /// for the next acquire or sweep.
    pub fn release(&self, request: &Release) -> Result<Released> {
        let mut released = Released::default();
        let mut failure = None;
        for id in self.ids()? {
            if Records::at(self.run.state(id)).has(&request.reference)
                && let Err(error) = self.release_from(id, &request.reference, &mut released)
            {
                failure.get_or_insert(error);
            }
        }
        failure.map_or(Ok(released), Err)
    }

    /// Whether the reference holds anything. Takes no lock.
    ///
    /// # Errors
    /// When the run directory cannot be read.
    pub fn holds(&self, reference: &RefId) -> Result<bool> {
        Ok(self.ids()?.into_iter().any(|id| Records::at(self.run.state(id)).has(reference)))
    }

    pub(super) fn mount(&self, volume: &RemoteVolume, read_only: bool) -> Mount {
        let id = MountId::of(volume, read_only);
        Mount { id, volume: volume.clone(), read_only, target: self.run.mount_point(id) }
    }

    /// Every mount that something is written down about.
    pub(super) fn ids(&self) -> Result<Vec<MountId>> {
        let dir = self.run.states();
        let mut ids = Vec::new();
        for entry in fs::read_dir(&dir).map_err(|error| broken("list", &dir, error))? {
            let entry = entry.map_err(|error| broken("list", &dir, error))?;
            ids.extend(entry.file_name().to_str().and_then(MountId::parse));
        }
        ids.sort();
        Ok(ids)
    }

    fn provide(
        &self,
        mount: &Mount,
        records: &Records,
        request: &Acquire,
        deadline: Deadline,
    ) -> Result<(PathBuf, LiveMount)> {
        let live = self.ensure_live(mount, &records.log(), deadline)?;
        let Some(subdir) = &request.subdir else {
            return Ok((mount.target.clone(), live));
        };
        let path = self.run.bind(mount.id, &request.reference, subdir);
        if !is_bound_from(&path, live.device)? {
            unbind(&path)?;
            let root = open_root(&mount.target, &live)?;
            bind(open_beneath(root, subdir, &mount.volume)?, &path)?;
        }
        Ok((path, live))
    }

    fn inspect(&self, mount: &Mount, deadline: Deadline) -> Result<MountState> {
        self.mounter.inspect(&mount.volume, &mount.target, deadline.within(self.timeouts.probe))
    }

    /// Mounts what is missing and replaces what is dead.
    fn ensure_live(&self, mount: &Mount, log: &Path, deadline: Deadline) -> Result<LiveMount> {
        match self.inspect(mount, deadline)? {
            MountState::Live(live) => return Ok(live),
            MountState::Absent => {}
            MountState::Dead => {
                tracing::warn!(volume = %mount.volume, "the process of a mount is gone; mounting anew");
                self.detach_dead(mount, deadline)?;
            }
            state => return Err(unusable(mount, &state)),
        }
        target::prepare(&mount.target)?;
        self.mounter.mount(&mount.volume, mount.read_only, &mount.target, log, deadline)?;
        match self.inspect(mount, deadline)? {
            MountState::Live(live) => Ok(live),
            state => Err(unusable(mount, &state)),
        }
    }

    fn detach_dead(&self, mount: &Mount, deadline: Deadline) -> Result<()> {
        for _ in 0..STACK_MAX {
            self.mounter.detach(&mount.target)?;
            match self.inspect(mount, deadline)? {
                MountState::Dead => {}
                MountState::Absent => return Ok(()),
                state => return Err(unusable(mount, &state)),
            }
        }
        Err(unusable(mount, &MountState::Dead))
    }

    /// Undoes what a failed acquire did.
    fn take_back(&self, mount: Mount, records: Records, request: &Acquire, before: Option<&Reference>) -> Result<()> {
        if let Some(subdir) = &request.subdir {
            unbind(&self.run.bind(mount.id, &request.reference, subdir))?;
        }
        match before {
            Some(reference) => records.put(reference),
            None => {
                records.remove(&request.reference)?;
                self.close_if_idle(mount, records).map(drop)
            }
        }
    }

    fn release_from(&self, id: MountId, reference: &RefId, released: &mut Released) -> Result<()> {
        let state = self.run.state(id);
        let _lock = MountLock::take(&state, Deadline::after(self.timeouts.release))?;
        let records = Records::at(state);
        self.unbind_all(id, reference)?;
        if records.has(reference) {
            records.remove(reference)?;
            released.released += 1;
        }
        let Some((volume, read_only)) = records.volume()? else { return records.end() };
        if self.close_if_idle(self.mount(&volume, read_only), records)? {
            released.unmounted += 1;
        }
        Ok(())
    }

    /// Takes away every directory that a reference had bound; also those that its record misses.
    fn unbind_all(&self, id: MountId, reference: &RefId) -> Result<()> {
        let dir = self.run.binds();
        let prefix = format!("{id}-{}-", reference_name(reference));
        for entry in fs::read_dir(&dir).map_err(|error| broken("list", &dir, error))? {
            let entry = entry.map_err(|error| broken("list", &dir, error))?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
                unbind(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Unmounts and forgets a mount that nobody holds. True when it did. The caller holds the lock.
    pub(super) fn close_if_idle(&self, mount: Mount, records: Records) -> Result<bool> {
        if !records.all()?.is_empty() {
            return Ok(false);
        }
        let deadline = Deadline::after(self.timeouts.release);
        for _ in 0..STACK_MAX {
            match self.inspect(&mount, deadline)? {
                MountState::Absent => {
                    target::discard(&mount.target)?;
                    records.end()?;
                    return Ok(true);
                }
                MountState::Dead => self.mounter.detach(&mount.target)?,
                MountState::Live(_) | MountState::Silent(_) => self.mounter.unmount(&mount.target, deadline)?,
                state @ MountState::Foreign(_) => return Err(unusable(&mount, &state)),
            }
        }
        let message = format!("{} keeps being mounted again; see who mounts there", mount.target.display());
        Err(Error::new(ErrorKind::InUse, message))
    }
}

/// Why a mount cannot be given to anybody.
fn unusable(mount: &Mount, state: &MountState) -> Error {
    let Mount { volume, target, .. } = mount;
    let target = target.display();
    let (kind, message) = match state {
        MountState::Live(_) => (ErrorKind::InUse, format!("{target} is mounted already")),
        MountState::Absent => (
            ErrorKind::Unavailable,
            format!("volume {volume} is not mounted at {target} although mounting it reported success"),
        ),
        MountState::Dead => (
            ErrorKind::Unavailable,
            format!("the process that mounts volume {volume} at {target} ended; its log says why"),
        ),
        MountState::Silent(why) => (
            ErrorKind::Unavailable,
            format!("volume {volume} does not answer at {target} ({why}); check that its server can be reached"),
        ),
        MountState::Foreign(what) => (
            ErrorKind::InUse,
            format!("something else is mounted at {target} ({what}) where volume {volume} belongs; unmount it"),
        ),
    };
    Error::new(kind, message)
}

#[cfg(test)]
mod tests;
