//! The volumes of a server: made, found, listed, expanded, deleted; opened when a session comes
//! and closed when nobody is there.
//!
//! - A volume lives in `volumes/<id>/`: `volume.json` says what it is, `store/` holds it. Names
//!   never become paths. Without `volume.json` there is no volume: it is written last when one is
//!   made, and the directory leaves for the trash as a whole when one is deleted.
//! - Every call may be repeated: creating the same again answers what is there.
//! - What changes the set of volumes happens one call at a time; opening volumes does not wait for
//!   it.

mod compact;
mod directory;
mod open;
pub(crate) mod record;
mod trash;
mod visit;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_core::attr::Mode;
use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::id::VolumeId;
use holdfast_core::name::VolumeName;
use holdfast_core::volume::{Quota, Usage, VolumeInfo, VolumeSpec};
use holdfast_proto::volume::VolumeRef;
use parking_lot::{Mutex, RwLock};
use tracing::{info, warn};

pub(crate) use self::directory::Directory;
use self::open::OpenVolume;
use self::record::Record;
use self::trash::{empty_trash, move_to_trash};
use crate::clock::Clock;
use crate::compaction::ledger::Ledger;
use crate::config::{CommitPolicy, LeaseTimes, Limits};
use crate::data_dir::{DataDir, cannot, sync_dir};
use crate::fatal::Fatal;
use crate::integrity::desk::Desk;
use crate::offload::blocking;
use crate::run::Components;
use crate::store::{RootOwner, SharedMemory, StoreOptions};
use crate::stores::{Committer, Stores};
use crate::volume::Owner;

/// Volumes on a page of a listing, unless asked for another number.
const PAGE_DEFAULT: usize = 100;
/// Most volumes on a page.
const PAGE_MAX: usize = 1000;
/// Length at which a data segment is sealed.
const SEGMENT_BYTES_MAX: u64 = 256 << 20;
/// Files that one volume's metadata engine keeps open.
const ENGINE_FILES_MAX: u32 = 64;

/// What the volumes of a server have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) times: LeaseTimes,
    pub(crate) commit: CommitPolicy,
    pub(crate) limits: Limits,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) fatal: Fatal,
    pub(crate) directory: Arc<Directory>,
    stores: Arc<dyn Stores>,
    committer: Committer,
    store: StoreOptions,
}

/// All volumes of a server.
#[derive(Debug)]
pub(crate) struct Registry {
    data: DataDir,
    shared: Shared,
    index: Mutex<Index>,
    /// Held while the set of volumes, or a volume's record, changes.
    changes: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Index {
    by_id: HashMap<VolumeId, Arc<Slot>>,
    by_name: BTreeMap<VolumeName, VolumeId>,
    stopping: bool,
}

/// One volume, open or not.
#[derive(Debug)]
pub(crate) struct Slot {
    id: VolumeId,
    dir: PathBuf,
    record: Mutex<Record>,
    /// Held while it is being opened or closed.
    gate: tokio::sync::Mutex<()>,
    open: RwLock<Option<OpenVolume>>,
    /// Who scrubs it.
    desk: Arc<Desk>,
    /// What compaction did in it.
    ledger: Arc<Ledger>,
}

impl Registry {
    /// Reads which volumes there are; empties the trash in the background.
    ///
    /// # Errors
    /// When a record cannot be read, or two volumes have one name.
    pub(crate) fn load(
        data: DataDir,
        times: LeaseTimes,
        commit: CommitPolicy,
        limits: Limits,
        components: Components,
    ) -> Result<Self> {
        let Components { clock, fatal, stores, committer } = components;
        let mut index = Index::default();
        let dir = data.volumes();
        for entry in std::fs::read_dir(&dir).map_err(|error| cannot("read", &dir, error))? {
            let path = entry.map_err(|error| cannot("read", &dir, error))?.path();
            let Some(id) = path.file_name().and_then(|name| name.to_str()?.parse::<VolumeId>().ok()) else {
                warn!(path = %path.display(), "this is no volume and is left alone");
                continue;
            };
            let Some(record) = record::read(&path)? else {
                info!(volume = %id, "a volume whose making was cut short is removed");
                move_to_trash(&data.trash(), &path, id)?;
                continue;
            };
            let name = record.spec.name.clone();
            if let Some(other) = index.by_name.insert(name.clone(), id) {
                return Err(Error::new(
                    ErrorKind::Damaged,
                    format!("volumes {other} and {id} are both named {name}; rename one in its volume.json"),
                ));
            }
            index.by_id.insert(id, Arc::new(Slot::new(id, path, record)));
        }
        empty_trash(&data.trash());
        let store = StoreOptions {
            memory: SharedMemory::new(limits.cache_bytes, limits.write_buffer_bytes),
            disk_reserve_bytes: limits.disk_reserve_bytes,
            segment_bytes_max: SEGMENT_BYTES_MAX,
            engine_files_max: ENGINE_FILES_MAX,
        };
        let directory = Arc::new(Directory::default());
        let shared = Shared { times, commit, limits, clock, fatal, directory, stores, committer, store };
        Ok(Self { data, shared, index: Mutex::new(index), changes: tokio::sync::Mutex::new(()) })
    }

    /// What the volumes have in common.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The data directory.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// How many volumes there are.
    pub(crate) fn len(&self) -> usize {
        self.index.lock().by_id.len()
    }

    /// Makes a volume; the same again answers the one that is there (`false`).
    ///
    /// # Errors
    /// `AlreadyExists` when the name belongs to a volume with another specification.
    pub(crate) async fn create(&self, spec: VolumeSpec) -> Result<(VolumeInfo, bool)> {
        spec.check()?;
        let _changes = self.changes.lock().await;
        self.check_running()?;
        if let Ok(slot) = self.find(&VolumeRef::Name(spec.name.clone())) {
            let info = slot.info();
            if info.spec == spec {
                return Ok((info, false));
            }
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("volume {} exists with other limits, labels or mount policy", spec.name),
            ));
        }
        if self.len() >= self.shared.limits.volumes {
            return Err(Error::new(
                ErrorKind::NoSpace,
                format!("this server keeps at most {} volumes; delete one", self.shared.limits.volumes),
            ));
        }
        let id = random_volume_id()?;
        let dir = self.data.volumes().join(id.to_string());
        let record = Record { spec, created: self.shared.clock.now(), usage: Usage { bytes: 0, inodes: 1 } };
        let made = {
            let (dir, record, stores) = (dir.clone(), record.clone(), Arc::clone(&self.shared.stores));
            blocking(move || make(&dir, id, &record, &*stores)).await
        };
        if let Err(error) = made {
            // What is left of it is no volume, and is removed at the next start at the latest.
            let _ = std::fs::remove_dir_all(&dir);
            return Err(error);
        }
        info!(volume = %record.spec.name, %id, "volume created");
        let slot = Arc::new(Slot::new(id, dir, record));
        let mut index = self.index.lock();
        index.by_name.insert(slot.name(), id);
        index.by_id.insert(id, Arc::clone(&slot));
        Ok((slot.info(), true))
    }

    /// One volume.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub(crate) fn get(&self, volume: &VolumeRef) -> Result<VolumeInfo> {
        self.find(volume).map(|slot| slot.info())
    }

    /// Volumes in order of names, from the one after `after` on; and where the next page begins.
    pub(crate) fn list(&self, page_size: usize, after: Option<&VolumeName>) -> (Vec<VolumeInfo>, Option<VolumeName>) {
        let count = if page_size == 0 { PAGE_DEFAULT } else { page_size.min(PAGE_MAX) };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (slots, more) = {
            let index = self.index.lock();
            let mut names = index.by_name.range::<VolumeName, _>((from, Bound::Unbounded));
            let ids: Vec<VolumeId> = names.by_ref().take(count).map(|(_, &id)| id).collect();
            let slots: Vec<Arc<Slot>> = ids.iter().filter_map(|id| index.by_id.get(id).cloned()).collect();
            (slots, names.next().is_some())
        };
        let infos: Vec<VolumeInfo> = slots.iter().map(|slot| slot.info()).collect();
        let next = infos.last().filter(|_| more).map(|info| info.spec.name.clone());
        (infos, next)
    }

    /// Deletes a volume and all it holds.
    ///
    /// # Errors
    /// `NotFound` when a name is nobody's (an id that is nobody's is no error); `InUse` when
    /// sessions are on it and `force` is not given.
    pub(crate) async fn delete(&self, volume: &VolumeRef, force: bool) -> Result<()> {
        let _changes = self.changes.lock().await;
        self.check_running()?;
        let slot = match (self.find(volume), volume) {
            (Ok(slot), _) => slot,
            (Err(_), VolumeRef::Id(_)) => return Ok(()),
            (Err(error), VolumeRef::Name(_)) => return Err(error),
        };
        let _gate = slot.gate.lock().await;
        if !force {
            let sessions = match slot.owner() {
                Some(owner) => owner.sessions(),
                // Sessions that were here before a restart may be on their way back.
                None => self.known_sessions(&slot).await?,
            };
            if sessions > 0 {
                return Err(Error::new(
                    ErrorKind::InUse,
                    format!("volume {} is in use by {sessions} sessions; unmount it first, or force", slot.name()),
                ));
            }
        }
        // From here on nobody finds it.
        {
            let mut index = self.index.lock();
            index.by_name.remove(&slot.name());
            index.by_id.remove(&slot.id);
        }
        if let Some(owner) = slot.owner() {
            owner.end_sessions();
        }
        let open = slot.open.write().take();
        if let Some(open) = open {
            open.close().await?;
        }
        let (trash, dir, id) = (self.data.trash(), slot.dir.clone(), slot.id);
        blocking(move || move_to_trash(&trash, &dir, id)).await?;
        sync_dir(&self.data.volumes())?;
        info!(volume = %slot.name(), id = %slot.id, "volume deleted");
        empty_trash(&self.data.trash());
        Ok(())
    }

    /// Raises limits; `None` leaves one as it is.
    ///
    /// # Errors
    /// `InUse` for a limit that is lower than what is set.
    pub(crate) async fn expand(&self, volume: &VolumeRef, quota: Quota) -> Result<VolumeInfo> {
        quota.check()?;
        let _changes = self.changes.lock().await;
        let slot = self.find(volume)?;
        let mut record = slot.record.lock().clone();
        let raised = |what: &str, now: Option<u64>, asked: Option<u64>| match (now, asked) {
            (now, None) => Ok(now),
            (Some(now), Some(asked)) if asked >= now => Ok(Some(asked)),
            (now, Some(asked)) => Err(Error::new(
                ErrorKind::InUse,
                format!(
                    "volume {}: {asked} {what} would lower its limit ({}); a volume can only grow",
                    slot.name(),
                    now.map_or_else(|| "none".to_owned(), |now| now.to_string())
                ),
            )),
        };
        let now = record.spec.quota;
        record.spec.quota = Quota {
            bytes: raised("bytes", now.bytes, quota.bytes)?,
            inodes: raised("inodes", now.inodes, quota.inodes)?,
        };
        let (dir, new) = (slot.dir.clone(), record.clone());
        blocking(move || record::write(&dir, &new)).await?;
        if let Some(owner) = slot.owner() {
            owner.set_quota(record.spec.quota);
        }
        info!(volume = %record.spec.name, quota = ?record.spec.quota, "volume expanded");
        *slot.record.lock() = record;
        Ok(slot.info())
    }

    /// The owner of a volume, opened if need be.
    ///
    /// # Errors
    /// `NotFound` when there is no such volume; what the store says when it cannot be opened.
    pub(crate) async fn open(&self, id: VolumeId) -> Result<Arc<Owner>> {
        let slot = self.find(&VolumeRef::Id(id))?;
        if let Some(owner) = slot.owner() {
            return Ok(owner);
        }
        let _gate = slot.gate.lock().await;
        self.open_gated(&slot).await
    }

    /// The owner of a volume if it is open now; it is not opened for this.
    ///
    /// # Errors
    /// `NotFound` when there is no such volume.
    pub(crate) fn owner_if_open(&self, volume: &VolumeRef) -> Result<Option<Arc<Owner>>> {
        self.find(volume).map(|slot| slot.owner())
    }

    /// Lets time pass for all open volumes, and closes those that nobody uses.
    pub(crate) fn tick(&self) {
        for slot in self.open_slots() {
            let Some(owner) = slot.owner() else { continue };
            owner.tick();
            if owner.stop_if_idle(self.shared.limits.idle_close) {
                // At most one such task a volume: it serves nobody until it is closed.
                tokio::spawn(close_idle(slot));
            }
        }
    }

    /// Closes everything: streams end, what is applied becomes durable.
    ///
    /// # Errors
    /// The first failure; the others are closed none the less.
    pub(crate) async fn stop(&self) -> Result<()> {
        self.index.lock().stopping = true;
        let slots = self.open_slots();
        for owner in slots.iter().filter_map(|slot| slot.owner()) {
            owner.stop();
        }
        let mut result = Ok(());
        for slot in slots {
            let _gate = slot.gate.lock().await;
            result = result.and(close_slot(&slot).await);
        }
        self.data.release();
        result
    }

    /// Stops at once, as a crash would: for tests.
    pub(crate) async fn abandon(&self) {
        self.index.lock().stopping = true;
        for slot in self.open_slots() {
            let open = slot.open.write().take();
            if let Some(open) = open {
                open.abandon().await;
            }
        }
        self.data.release();
    }

    async fn open_gated(&self, slot: &Arc<Slot>) -> Result<Arc<Owner>> {
        self.check_running()?;
        if let Some(owner) = slot.owner() {
            return Ok(owner);
        }
        if !self.index.lock().by_id.contains_key(&slot.id) {
            return Err(not_found(&VolumeRef::Id(slot.id)));
        }
        let (dir, options) = (slot.dir.join("store"), self.shared.store.clone());
        let stores = Arc::clone(&self.shared.stores);
        let store = blocking(move || stores.open(&dir, &options)).await?;
        let open = OpenVolume::start(store, &slot.record.lock().spec, &self.shared)?;
        let owner = Arc::clone(open.owner());
        info!(volume = %slot.name(), epoch = %owner.store().epoch(), "volume opened");
        *slot.open.write() = Some(open);
        Ok(owner)
    }

    async fn known_sessions(&self, slot: &Arc<Slot>) -> Result<usize> {
        Ok(self.open_gated(slot).await?.sessions())
    }

    fn find(&self, volume: &VolumeRef) -> Result<Arc<Slot>> {
        let index = self.index.lock();
        let id = match volume {
            VolumeRef::Id(id) => Some(id),
            VolumeRef::Name(name) => index.by_name.get(name),
        };
        id.and_then(|id| index.by_id.get(id)).cloned().ok_or_else(|| not_found(volume))
    }

    fn open_slots(&self) -> Vec<Arc<Slot>> {
        let index = self.index.lock();
        index.by_id.values().filter(|slot| slot.open.read().is_some()).cloned().collect()
    }

    fn check_running(&self) -> Result<()> {
        if self.index.lock().stopping {
            return Err(Error::new(ErrorKind::Unavailable, "the server is stopping; try again"));
        }
        Ok(())
    }
}

impl Slot {
    fn new(id: VolumeId, dir: PathBuf, record: Record) -> Self {
        let (gate, open) = (tokio::sync::Mutex::new(()), RwLock::new(None));
        Self { id, dir, record: Mutex::new(record), gate, open, desk: Arc::default(), ledger: Arc::default() }
    }

    fn name(&self) -> VolumeName {
        self.record.lock().spec.name.clone()
    }

    fn owner(&self) -> Option<Arc<Owner>> {
        self.open.read().as_ref().map(|open| Arc::clone(open.owner()))
    }

    fn info(&self) -> VolumeInfo {
        let Record { spec, created, usage } = self.record.lock().clone();
        let owner = self.owner();
        let usage = owner.as_ref().map_or(usage, |owner| owner.usage());
        let sessions = owner.map_or(0, |owner| u32::try_from(owner.sessions()).unwrap_or(u32::MAX));
        VolumeInfo { id: self.id, spec, created, usage, sessions }
    }
}

/// Closes a volume whose owner serves nobody any more; keeps what it holds in its record.
async fn close_slot(slot: &Arc<Slot>) -> Result<()> {
    let open = slot.open.write().take();
    let Some(open) = open else { return Ok(()) };
    let usage = open.owner().usage();
    let (dir, record) = {
        let mut record = slot.record.lock();
        record.usage = usage;
        (slot.dir.clone(), record.clone())
    };
    open.close().await?;
    blocking(move || record::write(&dir, &record)).await?;
    info!(volume = %slot.name(), "volume closed");
    Ok(())
}

async fn close_idle(slot: Arc<Slot>) {
    let _gate = slot.gate.lock().await;
    if let Err(error) = close_slot(&slot).await {
        tracing::error!(volume = %slot.name(), ?error, "closing an idle volume failed");
    }
}

fn make(dir: &Path, id: VolumeId, record: &Record, stores: &dyn Stores) -> Result<()> {
    std::fs::create_dir(dir).map_err(|error| cannot("make", dir, error))?;
    let root = RootOwner { uid: 0, gid: 0, mode: Mode::from_bits(0o755) };
    stores.create(&dir.join("store"), id, record.created, root)?;
    record::write(dir, record)?;
    dir.parent().map_or(Ok(()), sync_dir)
}

fn random_volume_id() -> Result<VolumeId> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("the system gives no random numbers: {error}")))?;
    Ok(VolumeId(bytes))
}

fn not_found(volume: &VolumeRef) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("there is no volume {volume}; `holdfast volume ls` lists those that there are"),
    )
}

#[cfg(test)]
mod tests;
