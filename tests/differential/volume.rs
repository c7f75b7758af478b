//! A volume mounted on two hosts, as a side to compare.

use std::path::PathBuf;
use std::time::Duration;

use holdfast_tests::cluster::Cluster;
use holdfast_tests::mount::Mount;
use holdfast_tests::scratch::Scratch;
use holdfast_tests::wait::{self, Watchdog};
use nix::sys::statfs::{EXT4_SUPER_MAGIC, statfs};

use crate::run::Side;

const VOLUME: &str = "shared";

/// A volume on two hosts of a network, over TLS, and a directory of local ext4 beside it.
pub(crate) struct Pair {
    /// The volume.
    pub volume: Side,
    /// The directory.
    pub local: Side,
    /// Mount A and mount B.
    pub mounts: [Mount; 2],
    cluster: Cluster,
    _scratch: Scratch,
    _watchdog: Watchdog,
}

impl Pair {
    /// Both. The test is ended after `limit`.
    ///
    /// # Panics
    /// When this is not root, or temporary directories are not on ext4.
    pub(crate) fn new(name: &str, limit: Duration) -> Self {
        let watchdog = Watchdog::start(name, limit);
        let scratch = Scratch::new("ext4");
        let kind = statfs(scratch.path()).unwrap().filesystem_type();
        let path = scratch.path().display();
        assert!(
            kind == EXT4_SUPER_MAGIC,
            "{path} is not on ext4, which is compared with: set TMPDIR to a directory that is"
        );
        let cluster = Cluster::lan(&["host-a", "host-b"]);
        cluster.volume(VOLUME);
        let mounts = [cluster.mount(0, VOLUME), cluster.mount(1, VOLUME)];
        let volume = side([mounts[0].path.clone(), mounts[1].path.clone()]);
        let root = scratch.dir("root");
        let local = side([root.clone(), root]);
        Self { volume, local, mounts, cluster, _scratch: scratch, _watchdog: watchdog }
    }

    /// Waits until the volume has forgotten everything: all sequences remove what they made, so
    /// what is left then has leaked.
    ///
    /// # Panics
    /// When it does not.
    pub(crate) fn is_empty_in_the_end(&self) {
        let usage = || {
            let shown = self.cluster.show(VOLUME);
            (shown.inodes, shown.bytes)
        };
        wait::until_eq("inodes and bytes of the empty volume", wait::SOON, &(1, 0), usage);
    }

    /// What server and mounts logged as errors.
    pub(crate) fn complaints(&self) -> String {
        let logs = [self.cluster.server_log(), self.mounts[0].process.output(), self.mounts[1].process.output()];
        let lines = logs
            .iter()
            .flat_map(|log| log.lines())
            .filter(|line| line.contains(" ERROR ") || line.contains("panicked"));
        lines.take(20).collect::<Vec<_>>().join("\n")
    }
}

fn side(roots: [PathBuf; 2]) -> Side {
    Side { roots, defect: None }
}
