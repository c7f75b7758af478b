//! Power losses under a real server: after any of them it starts, and has all that was acknowledged.
//!
//! The server's data directory is on a disk that writes down every change and sync (`support/lossy`). Then,
//! for many places of that record and many ways in which what was not synced may be lost, another server
//! starts on what is left. docs/design/0008-power-loss.md says what the disk may do and what is checked.
#![expect(clippy::unwrap_used, reason = "a failed step of a test fails the test")]

mod campaign;
#[path = "../model/kernel.rs"]
mod kernel;
mod recover;
mod sequence;
mod trace;
mod tree;

use std::time::{Duration, Instant};

use holdfast_tests::lossy::Loss;
use holdfast_tests::random::{seed, size, torture};
use holdfast_tests::wait::Watchdog;

use campaign::{Plan, Report, run};

fn limit(name: &str) -> Watchdog {
    Watchdog::start(name, Duration::from_secs(if torture() { 6 * 3600 } else { 500 }))
}

/// Runs a campaign and says what it did.
fn campaign(name: &str, plan: Plan) -> Report {
    let _watchdog = limit(name);
    let start = Instant::now();
    let report = run(plan, seed(name));
    let Report { sequences, syncs, acknowledged, losses, promised, injected, again, names, violations } = &report;
    eprintln!(
        "{name}: {} power losses in {:.0?}: {losses:?}, and {again} in the middle of a recovery; {injected} took \
         something away, at {promised} something had been promised; {sequences} sequences with {syncs} syncs of the \
         disk and {acknowledged} acknowledged by the server; {names} names compared; {} violations",
        report.recovered(),
        start.elapsed(),
        violations.len()
    );
    report
}

#[test]
fn nothing_acknowledged_is_lost() {
    let losses = size("HOLDFAST_POWER_LOSSES", 500, 10_000);
    let report = campaign("power loss", Plan { losses, failpoints: "" });
    assert!(report.violations.is_empty(), "violations:\n\n{}", report.violations.join("\n\n"));
    assert!(report.recovered() >= losses, "only {} power losses", report.recovered());
    assert!(report.losses.len() == Loss::ALL.len(), "not every kind of loss: {:?}", report.losses);
    assert!(report.injected > losses / 4, "only {} power losses took something away", report.injected);
    assert!(report.promised > losses / 2, "at {} only something had been promised", report.promised);
    assert!(report.again > 0 && report.names > losses && report.acknowledged > report.sequences);
}

/// A server that leaves a sync out is found, with fewer power losses than `make test` has.
fn is_found(failpoint: &'static str) {
    let report = campaign(failpoint, Plan { losses: 100, failpoints: failpoint });
    assert!(!report.violations.is_empty(), "{failpoint} is left out, and nobody notices");
    eprintln!("{}", report.violations[0]);
}

#[test]
fn a_batch_without_its_sync_is_found() {
    is_found("batch-sync");
}

#[test]
fn a_segment_without_its_sync_is_found() {
    is_found("segment-sync");
}

#[test]
fn a_new_segment_without_a_sync_of_its_directory_is_found() {
    is_found("segment-directory-sync");
}
