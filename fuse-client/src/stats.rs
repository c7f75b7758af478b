//! What a mount counts: requests of the kernel by kind, their time, bytes, invalidations.
//!
//! Counters are atomics that nobody waits for; a snapshot is not one moment, but each figure is
//! exact.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::fuse::Opcode;

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
    count: AtomicU64,
    failed: AtomicU64,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CallFigures {
    /// Requests answered.
    pub count: u64,
    /// Of them with an error, also expected ones (no such file).
    pub failed: u64,
    /// Mean time from reading the request to its answer, in microseconds.
    pub mean_us: u64,
    /// Longest, in microseconds.
    pub max_us: u64,
}

/// All counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// By kind of request; kinds that never came are left out.
    pub calls: BTreeMap<String, CallFigures>,
    /// Bytes that went to the kernel in answers to reads.
    pub bytes_read: u64,
    /// Bytes that came from the kernel in writes.
    pub bytes_written: u64,
    /// Times that the kernel was told to drop pages.
    pub invalidations: u64,
}

impl Stats {
    pub(crate) fn answered(&self, opcode: Opcode, took: Duration, failed: bool) {
        let Some(calls) = self.calls.get(opcode as usize) else { return };
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        calls.count.fetch_add(1, Ordering::Relaxed);
        calls.failed.fetch_add(failed.into(), Ordering::Relaxed);
        calls.nanos.fetch_add(nanos, Ordering::Relaxed);
        calls.nanos_max.fetch_max(nanos, Ordering::Relaxed);
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
            let count = get(&calls.count);
            let mean_us = (get(&calls.nanos) / 1000).checked_div(count)?;
            let figures =
                CallFigures { count, failed: get(&calls.failed), mean_us, max_us: get(&calls.nanos_max) / 1000 };
            Some((format!("{opcode:?}").to_lowercase(), figures))
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
        stats.answered(Opcode::Lookup, Duration::from_micros(10), false);
        stats.answered(Opcode::Lookup, Duration::from_micros(30), true);
        let snapshot = stats.snapshot();
        let expected = CallFigures { count: 2, failed: 1, mean_us: 20, max_us: 30 };
        assert_eq!(snapshot.calls, BTreeMap::from([("lookup".to_owned(), expected)]));
    }

    #[test]
    fn every_opcode_has_a_slot() {
        assert!(Opcode::ALL.into_iter().all(|opcode| (opcode as usize) < SLOTS));
    }
}
