//! Faults of real processes, with counts: what is killed, cut off, stopped or restarted, how often, and what
//! was acknowledged meanwhile. A run that injected nothing or in which nothing was acknowledged fails.
//!
//! `docs/RELIABILITY.md` says what each shows. Sizes are small in `make test` and large in `make torture`.
#![expect(clippy::unwrap_used, reason = "a failed step of a test fails the test")]

mod histories;
mod kills;
mod load;
mod partition;
mod prefix;
mod restart;
mod seen;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use holdfast_tests::cluster::Options;
use holdfast_tests::random::torture;
use holdfast_tests::wait::Watchdog;

/// Ends a test that hangs.
fn limit(name: &str) -> Watchdog {
    Watchdog::start(name, Duration::from_secs(if torture() { 6 * 3600 } else { 280 }))
}

/// A server whose sessions last so long without a sign of life.
fn with_lease(lease: Duration) -> Options {
    let words = vec![format!("--lease={}ms", lease.as_millis()), "--log=info".into()];
    Options { words, ..Options::default() }
}

/// The same, which leaves something out that it must do (`server/src/failpoint.rs`); empty: nothing.
fn without(failpoint: &str, lease: Duration) -> Options {
    let armed = (!failpoint.is_empty()).then(|| ("HOLDFAST_FAILPOINTS".to_owned(), failpoint.to_owned()));
    Options { environment: armed.into_iter().collect(), ..with_lease(lease) }
}

/// A directory in the root of a mount, with the mode that the model's root has; durable on return.
fn make_synced_dir(root: &Path, name: &str) {
    fs::create_dir(root.join(name)).unwrap();
    fs::set_permissions(root.join(name), Permissions::from_mode(0o755)).unwrap();
    File::open(root).unwrap().sync_all().unwrap();
}
