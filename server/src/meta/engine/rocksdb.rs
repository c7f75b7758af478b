//! The default engine: one RocksDB database a volume, embedded in the server.
//!
//! All volumes of a server share one block cache and one budget of write buffers
//! ([`SharedMemory`]). Every batch goes through the write-ahead log and is synced. A batch cut off
//! by a crash is dropped as a whole when the database is opened again.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use holdfast_core::error::{Error, ErrorKind, Result};
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRawIterator, DBRecoveryMode, LogLevel, Options, ReadOptions,
    SliceTransform, Snapshot, WriteBatch, WriteBufferManager, WriteOptions,
};

use super::{Engine, Reader, Visit};
use crate::failpoint::Failpoint;
use crate::meta::keys::{PREFIX_BYTES, successor};
use crate::meta::view::Changes;

/// Memory that the engines of one server share. Clones are the same memory.
#[derive(Clone)]
pub struct SharedMemory {
    cache: Cache,
    buffers: WriteBufferManager,
}

impl std::fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedMemory").field("cache_bytes_used", &self.cache.get_usage()).finish_non_exhaustive()
    }
}

impl SharedMemory {
    /// Budgets in bytes, the write buffers within the cache: together they take `cache_bytes`. Past
    /// `write_buffer_bytes` the engines write their buffers out early; they
    /// never stop for it.
    #[must_use]
    pub fn new(cache_bytes: usize, write_buffer_bytes: usize) -> Self {
        let cache = Cache::new_lru_cache(cache_bytes);
        let buffers = WriteBufferManager::new_write_buffer_manager_with_cache(write_buffer_bytes, false, cache.clone());
        Self { cache, buffers }
    }
}

/// Whether the database is to be made or to be there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It must not exist.
    New,
    /// It must exist.
    Existing,
}

/// An open database.
pub struct RocksEngine {
    db: DB,
    dir: PathBuf,
}

impl std::fmt::Debug for RocksEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksEngine").field("dir", &self.dir).finish_non_exhaustive()
    }
}

const WRITE_BUFFER_BYTES: usize = 16 << 20;
const WAL_BYTES_MAX: u64 = 256 << 20;
const BLOOM_BITS_PER_KEY: f64 = 10.0;
/// A file of the engine is compacted when so many of so many keys in a row are deletions.
const DELETED_MANY: usize = 8 << 10;
const DELETED_OF: usize = 16 << 10;
const BLOCK_BYTES: usize = 8 << 10;

impl RocksEngine {
    /// Opens the database in `dir`; keeps at most `files_max` of its files open.
    ///
    /// # Errors
    /// `NotFound` or `AlreadyExists` against `presence`, `InUse` when another process has it open,
    /// `Damaged` when it fails its own checks.
    pub fn open(dir: &Path, presence: Presence, memory: &SharedMemory, files_max: u32) -> Result<Self> {
        if presence == Presence::Existing && !dir.join("CURRENT").exists() {
            return Err(Error::new(ErrorKind::NotFound, format!("there is no volume in {}", dir.display())));
        }
        match DB::open(&options(presence, memory, files_max), dir) {
            Ok(db) => Ok(Self { db, dir: dir.to_owned() }),
            Err(error) => Err(open_failure(dir, presence, error)),
        }
    }

    /// Opens the database in `dir` for reading: not a byte of it is written, and the log's complete batches are
    /// read into memory. `lenient`: also when files are missing or damaged; what they held is then missing, or an
    /// error where it is read.
    ///
    /// # Errors
    /// `NotFound`, `Damaged`, `Unavailable` as for [`RocksEngine::open`].
    pub fn open_read_only(dir: &Path, memory: &SharedMemory, files_max: u32, lenient: bool) -> Result<Self> {
        if !dir.join("CURRENT").exists() {
            return Err(Error::new(ErrorKind::NotFound, format!("there is no volume in {}", dir.display())));
        }
        let mut options = options(Presence::Existing, memory, files_max);
        if lenient {
            options.set_paranoid_checks(false);
            options.set_track_and_verify_wals_in_manifest(false);
            options.set_wal_recovery_mode(DBRecoveryMode::SkipAnyCorruptedRecord);
        }
        match DB::open_for_read_only(&options, dir, false) {
            Ok(db) => Ok(Self { db, dir: dir.to_owned() }),
            Err(error) => Err(open_failure(dir, Presence::Existing, error)),
        }
    }

    fn read_failure(&self, error: rocksdb::Error) -> Error {
        let dir = self.dir.display();
        match error.kind() {
            rocksdb::ErrorKind::Corruption => {
                Error::new(ErrorKind::Damaged, format!("the metadata in {dir} is damaged; restore it from a copy"))
            }
            _ => Error::new(ErrorKind::Unavailable, format!("cannot read the metadata in {dir}; check its disk")),
        }
        .because(error)
    }
}

fn options(presence: Presence, memory: &SharedMemory, files_max: u32) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&memory.cache);
    blocks.set_block_size(BLOCK_BYTES);
    blocks.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
    blocks.set_whole_key_filtering(true);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_format_version(6);
    let mut options = Options::default();
    options.create_if_missing(presence == Presence::New);
    options.set_error_if_exists(presence == Presence::New);
    options.set_block_based_table_factory(&blocks);
    options.set_prefix_extractor(SliceTransform::create_fixed_prefix(PREFIX_BYTES));
    options.set_memtable_prefix_bloom_ratio(0.05);
    options.set_memtable_whole_key_filtering(true);
    options.set_write_buffer_manager(&memory.buffers);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_max_write_buffer_number(4);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_compression_per_level(&[DBCompressionType::None, DBCompressionType::None, DBCompressionType::Lz4]);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_paranoid_checks(true);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_track_and_verify_wals_in_manifest(true);
    // A log that overwrites an old one does not grow, so a sync of it need not write its length.
    options.set_recycle_log_file_num(2);
    options.set_bytes_per_sync(1 << 20);
    // A directory that is filled and emptied all the time must not get slow to list.
    options.add_compact_on_deletion_collector_factory(DELETED_OF, DELETED_MANY, 0.5);
    options.set_max_background_jobs(2);
    options.set_max_open_files(i32::try_from(files_max).unwrap_or(i32::MAX));
    options.set_keep_log_file_num(2);
    options.set_log_level(LogLevel::Warn);
    options.set_stats_dump_period_sec(0);
    options
}

fn open_failure(dir: &Path, presence: Presence, error: rocksdb::Error) -> Error {
    let place = dir.display();
    let text = error.to_string();
    let (kind, message) = match error.kind() {
        rocksdb::ErrorKind::IOError if text.contains("lock") => {
            (ErrorKind::InUse, format!("{place} is in use by another server; stop that one first"))
        }
        rocksdb::ErrorKind::InvalidArgument if presence == Presence::New => {
            (ErrorKind::AlreadyExists, format!("there is a database in {place} already"))
        }
        rocksdb::ErrorKind::Corruption => {
            (ErrorKind::Damaged, format!("the metadata in {place} is damaged; restore it from a copy"))
        }
        _ => (ErrorKind::Unavailable, format!("cannot open the metadata in {place}; check the directory and its disk")),
    };
    Error::new(kind, message).because(error)
}

/// The database as it was at one moment.
struct RocksSnapshot<'a> {
    engine: &'a RocksEngine,
    snapshot: Snapshot<'a>,
}

impl std::fmt::Debug for RocksSnapshot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksSnapshot").field("dir", &self.engine.dir).finish_non_exhaustive()
    }
}

/// How a scan reads; an empty range is the caller's to see.
fn scan_options(from: &[u8], to: &[u8]) -> ReadOptions {
    let mut how = ReadOptions::default();
    how.set_iterate_upper_bound(to);
    // Within one prefix the filters tell at once that a database file has nothing of it.
    let one_prefix = from.len() >= PREFIX_BYTES && to <= &successor(&from[..PREFIX_BYTES])[..];
    how.set_prefix_same_as_start(one_prefix);
    how.set_total_order_seek(!one_prefix);
    how
}

impl RocksEngine {
    fn visit(&self, mut entries: DBRawIterator<'_>, from: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        entries.seek(from);
        while let Some((key, value)) = entries.item() {
            if let ControlFlow::Break(()) = visit(key, value) {
                return Ok(());
            }
            entries.next();
        }
        entries.status().map_err(|error| self.read_failure(error))
    }
}

impl Reader for RocksEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        match self.db.get_pinned(key) {
            Ok(value) => Ok(value.map(|value| Bytes::copy_from_slice(&value))),
            Err(error) => Err(self.read_failure(error)),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        if from >= to {
            return Ok(());
        }
        self.visit(self.db.raw_iterator_opt(scan_options(from, to)), from, visit)
    }
}

impl Reader for RocksSnapshot<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        match self.snapshot.get_pinned(key) {
            Ok(value) => Ok(value.map(|value| Bytes::copy_from_slice(&value))),
            Err(error) => Err(self.engine.read_failure(error)),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        if from >= to {
            return Ok(());
        }
        let mut how = scan_options(from, to);
        how.fill_cache(false);
        self.engine.visit(self.snapshot.raw_iterator_opt(how), from, visit)
    }
}

impl Engine for RocksEngine {
    fn snapshot(&self) -> Box<dyn Reader + '_> {
        Box::new(RocksSnapshot { engine: self, snapshot: self.db.snapshot() })
    }

    fn write(&self, changes: &Changes) -> Result<()> {
        let mut batch = WriteBatch::default();
        for (key, value) in changes.iter() {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        let mut how = WriteOptions::default();
        how.set_sync(!Failpoint::BatchSync.is_armed());
        self.db.write_opt(batch, &how).map_err(|error| {
            let message = format!("cannot write the metadata in {}; check its disk", self.dir.display());
            Error::new(ErrorKind::Unavailable, message).because(error)
        })
    }

    fn checkpoint(&self, dir: &Path) -> Result<()> {
        Checkpoint::new(&self.db).and_then(|copy| copy.create_checkpoint(dir)).map_err(|error| {
            Error::new(ErrorKind::Unavailable, format!("cannot write a copy to {}", dir.display())).because(error)
        })
    }
}
