//! What a mount counts: requests of the kernel by kind, their time, whether the server had to be
//! asked, bytes, invalidations.
//!
//! Counters are atomics that nobody waits for; a snapshot is not one moment, but each figure is
//! exact.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::disk::CacheFigures;
use crate::fuse::Opcode;

mod histogram;

use histogram::Histogram;
pub use histogram::Times;

const SLOTS: usize = 64;

/// Counters of one mount, from its start.
#[derive(Debug)]
pub struct Stats {
    calls: [Calls; SLOTS],
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    invalidations: AtomicU64,
}

#[derive(Debug, Default)]
struct Calls {
    times: Histogram,
    failed: AtomicU64,
    from_memory: AtomicU64,
    nanos: AtomicU64,
    nanos_max: AtomicU64,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            calls: std::array::from_fn(|_| Calls::default()),
            bytes_read: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
            invalidations: AtomicU64::new(0),
        }
    }
}

/// The counters of one kind of request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallFigures {
    /// Requests answered.
    pub count: u64,
    /// Of them with an error, also expected ones (no such file).
    pub failed: u64,
    /// Of them without asking the server.
    pub from_memory: u64,
    /// Time from reading the requests to their answers, of all together, in microseconds.
    pub total_us: u64,
    /// Longest, in microseconds.
    pub max_us: u64,
    /// How many took how long.
    pub times: Times,
}

impl CallFigures {
    /// What came since an earlier look; the longest time stays that of all.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            count: self.count.saturating_sub(earlier.count),
            failed: self.failed.saturating_sub(earlier.failed),
            from_memory: self.from_memory.saturating_sub(earlier.from_memory),
            total_us: self.total_us.saturating_sub(earlier.total_us),
            max_us: self.max_us,
            times: self.times.since(&earlier.times),
        }
    }
}

/// All counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// By kind of request; kinds that never came are left out.
    pub calls: BTreeMap<String, CallFigures>,
    /// Bytes that went to the kernel in answers to reads.
    pub bytes_read: u64,
    /// Bytes that came from the kernel in writes.
    pub bytes_written: u64,
    /// Times that the kernel was told to drop something.
    pub invalidations: u64,
}

/// What a mount remembers, and by what right.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryFigures {
    /// Inodes of which something is remembered.
    pub inodes: u64,
    /// Shared leases.
    pub shared: u64,
    /// Exclusive leases.
    pub exclusive: u64,
}

/// How a mount stands with its server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionFigures {
    /// The connection stands.
    pub connected: bool,
    /// Times that it was made anew.
    pub reconnects: u64,
    /// Times that the server had given the session up.
    pub losses: u64,
    /// The last heartbeat, there and back, in microseconds.
    pub heartbeat_us: Option<u64>,
    /// Times that the server wanted a lease back.
    pub recalls: u64,
    /// Changes that were sent or will be.
    pub changes: u64,
    /// Of them those that are not known to be on the server's disk.
    pub pending_changes: u64,
    /// Memory that those take, in bytes, about.
    pub pending_bytes: u64,
    /// Bytes that were read from the server.
    pub bytes_read: u64,
    /// Bytes of writes that were submitted to it.
    pub bytes_written: u64,
}

/// Everything that a mount says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MountFigures {
    /// What is mounted.
    pub source: String,
    /// Where.
    pub point: PathBuf,
    /// By which process.
    pub pid: u32,
    /// For how long, in microseconds: time that the counters count.
    pub age_us: u64,
    /// Requests of the kernel.
    pub requests: Snapshot,
    /// What is remembered.
    pub memory: MemoryFigures,
    /// The disk cache, if there is one.
    pub cache: Option<CacheFigures>,
    /// The session.
    pub session: SessionFigures,
}

impl Stats {
    pub(crate) fn answered(&self, opcode: Opcode, took: Duration, failed: bool, from_memory: bool) {
        let Some(calls) = self.calls.get(opcode as usize) else { return };
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        calls.times.add(nanos);
        calls.nanos.fetch_add(nanos, Ordering::Relaxed);
        if failed {
            calls.failed.fetch_add(1, Ordering::Relaxed);
        }
        if from_memory {
            calls.from_memory.fetch_add(1, Ordering::Relaxed);
        }
        if nanos > calls.nanos_max.load(Ordering::Relaxed) {
            calls.nanos_max.fetch_max(nanos, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self, bytes: usize) {
        self.bytes_read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn wrote(&self, bytes: usize) {
        self.bytes_written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn invalidated(&self) {
        self.invalidations.fetch_add(1, Ordering::Relaxed);
    }

    /// All counters, now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let calls = Opcode::ALL.into_iter().filter_map(|opcode| {
            let calls = self.calls.get(opcode as usize)?;
            let times = calls.times.times();
            let figures = CallFigures {
                count: times.count(),
                failed: get(&calls.failed),
                from_memory: get(&calls.from_memory),
                total_us: get(&calls.nanos) / 1000,
                max_us: get(&calls.nanos_max) / 1000,
                times,
            };
            (figures.count > 0).then(|| (format!("{opcode:?}").to_lowercase(), figures))
        });
        Snapshot {
            calls: calls.collect(),
            bytes_read: get(&self.bytes_read),
            bytes_written: get(&self.bytes_written),
            invalidations: get(&self.invalidations),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_by_kind_and_leave_out_what_never_came() {
        let stats = Stats::default();
        stats.answered(Opcode::Lookup, Duration::from_micros(10), false, true);
        let before = stats.snapshot().calls["lookup"].clone();
        stats.answered(Opcode::Lookup, Duration::from_micros(30), true, false);
        let snapshot = stats.snapshot();
        assert_eq!(snapshot.calls.keys().collect::<Vec<_>>(), ["lookup"]);
        let figures = |calls: &CallFigures| {
            let CallFigures { count, failed, from_memory, total_us, max_us, times } = calls;
            assert_eq!(*count, times.count());
            (*count, *failed, *from_memory, *total_us, *max_us)
        };
        assert_eq!(figures(&snapshot.calls["lookup"]), (2, 1, 1, 40, 30));
        assert_eq!(figures(&snapshot.calls["lookup"].since(&before)), (1, 1, 0, 30, 30));
    }

    #[test]
    fn every_opcode_has_a_slot() {
        assert!(Opcode::ALL.into_iter().all(|opcode| (opcode as usize) < SLOTS));
    }
}
