//! Many seeds of the simulation (`tests/simulate`), each in a process of its own.
//!
//! `HOLDFAST_SEEDS` says how many histories, `HOLDFAST_SEED` which is the first.
#![expect(clippy::unwrap_used, reason = "a failed step of a test fails the test")]

use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use holdfast_tests::random::{seed_of, size};
use holdfast_tests::report::Report;
use holdfast_tests::wait::Watchdog;
use serde_json::Value;

/// The first seed of `make test`.
const QUICK_SEED: u64 = 20_261_201;
/// Simulations that run at the same time.
const PROCESSES: usize = 2;

/// What came of a seed.
struct Outcome {
    seed: u64,
    line: String,
    value: Value,
}

impl Outcome {
    fn count(&self, what: &str) -> usize {
        usize::try_from(self.value[what].as_u64().unwrap_or(0)).unwrap()
    }

    fn texts(&self, what: &str) -> Vec<String> {
        let texts = self.value[what].as_array().into_iter().flatten();
        texts.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// What is wrong, each with how to play it again.
    fn violations(&self) -> Vec<String> {
        let faults = self.texts("faults").join(", ");
        let texts = self.texts("violations").into_iter();
        texts.map(|why| format!("`simulate {}` ({faults}): {why}", self.seed)).collect()
    }
}

/// Plays one seed, with a defect built in if one is named.
fn play(seed: u64, defect: Option<&'static str>) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulate"));
    command.arg(seed.to_string()).args(defect).env_remove("HOLDFAST_FAILPOINTS").stdin(Stdio::null());
    let output = command.output().unwrap();
    let line = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let value = serde_json::from_str(&line).unwrap_or_else(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        panic!("`simulate {seed}` ended with {} and {error}:\n{said}", output.status)
    });
    Outcome { seed, line, value }
}

/// Plays so many seeds and hands over what came of each, until somebody has had enough.
fn each(first: u64, count: usize, defect: Option<&'static str>, take: impl Fn(Outcome) -> bool + Sync) {
    let (next, last, enough) = (AtomicU64::new(first), first + count as u64, AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..PROCESSES {
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= last {
                        return;
                    }
                    if !take(play(seed, defect)) {
                        enough.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
}

fn limit(name: &str) -> Watchdog {
    let torture = holdfast_tests::random::torture();
    Watchdog::start(name, Duration::from_secs(if torture { 6 * 3600 } else { 500 }))
}

#[test]
fn every_seed_is_a_history_that_one_order_explains() {
    let _watchdog = limit("simulation");
    let wanted = size("HOLDFAST_SEEDS", 1_000, 100_000);
    let first = seed_of("simulation", QUICK_SEED);
    let report = Mutex::new(Report::new("simulated histories", wanted));
    let sums = Mutex::new([0; 3]);
    each(first, wanted, None, |outcome| {
        let mut report = report.lock().unwrap();
        report.done += 1;
        report.faults += outcome.texts("faults").len();
        report.acknowledged += outcome.count("answered");
        report.violations(outcome.violations());
        for (sum, what) in sums.lock().unwrap().iter_mut().zip(["lasted_ms", "bytes", "losses"]) {
            *sum += outcome.count(what);
        }
        true
    });
    let mut report = report.into_inner().unwrap();
    let [millis, bytes, losses] = sums.into_inner().unwrap();
    report.note(format!("{} s simulated, {} MiB of messages, {losses} sessions given up", millis / 1000, bytes >> 20));
    if losses == 0 {
        report.violation("no session was ever given up: nothing was at risk");
    }
    report.end();
}

#[test]
fn a_seed_is_always_the_same_history() {
    let first = seed_of("determinism", QUICK_SEED);
    let mut histories: Vec<String> = (first..first + 25)
        .map(|seed| {
            let (once, again) = (play(seed, None), play(seed, None));
            assert_eq!(once.line, again.line, "`simulate {seed}`, played twice");
            assert!(once.count("bytes") > 10_000, "next to nothing was said: {}", once.line);
            once.value["trace"].to_string()
        })
        .collect();
    histories.sort();
    histories.dedup();
    assert_eq!(histories.len(), 25, "different seeds are the same history");
}

/// Plays seeds until one shows a violation.
#[track_caller]
fn must_find(what: &str, count: usize, defect: &'static str) {
    let found = Mutex::new(None);
    each(seed_of(what, QUICK_SEED), count, Some(defect), |outcome| {
        let mut found = found.lock().unwrap();
        *found = found.take().or_else(|| outcome.violations().into_iter().next());
        found.is_none()
    });
    let found = found.into_inner().unwrap();
    assert!(found.is_some(), "{what}, and {count} histories do not show it");
    eprintln!("{what}: found by {}", found.unwrap());
}

#[test]
fn a_clock_that_stands_still_is_found() {
    must_find("a lease that never ends", 300, "clock-stands");
}

#[test]
fn a_disk_that_does_not_sync_is_found() {
    must_find("a sync that does nothing", 300, "disk-lies");
}
