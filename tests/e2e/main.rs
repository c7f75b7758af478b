//! The programs as users run them: servers, mounts on hosts, containers, faults.
//!
//! Each test has a cluster of its own, in name spaces of its own, and a time limit.
#![expect(clippy::unwrap_used, reason = "a failed step of a test fails the test")]

mod access;
mod answered;
mod archives;
mod bench;
mod clocks;
mod coherence;
mod compaction;
mod containers;
mod disk_cache;
mod exclusive;
mod holders;
mod integrity;
mod locks;
mod memory;
mod mounting;
mod network;
mod programs;
mod raw;
mod refusals;
mod sharing;
mod soft;
mod space;
mod stats;
mod stuck;
mod traps;
mod users;
mod wire;

use std::time::Duration;

use holdfast_tests::cluster::{Cluster, Options};
use holdfast_tests::mount::Mount;
use holdfast_tests::random::torture;
use holdfast_tests::wait::Watchdog;

/// One volume, mounted on two hosts.
struct Pair {
    a: Mount,
    b: Mount,
    cluster: Cluster,
    _watchdog: Watchdog,
}

impl Pair {
    /// Two hosts on a network, over TLS.
    fn new(name: &str) -> Self {
        Self::with(name, Options::default())
    }

    fn with(name: &str, options: Options) -> Self {
        let watchdog = Watchdog::start(name, Duration::from_secs(if torture() { 3600 } else { 240 }));
        let cluster = Cluster::lan_with(&["host-a", "host-b"], options);
        cluster.volume("shared");
        let (a, b) = (cluster.mount(0, "shared"), cluster.mount(1, "shared"));
        Self { a, b, cluster, _watchdog: watchdog }
    }
}
