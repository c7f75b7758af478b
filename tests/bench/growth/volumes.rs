//! Row `volumes`: what volumes cost that nobody uses, and what those cost that are open.

use std::time::Instant;

use anyhow::{Context as _, Result};
use holdfast_client::{Client, Endpoint, Session, SessionOptions, VolumeRef};
use holdfast_core::volume::{MountPolicy, Quota, VolumeSpec};
use holdfast_tests::cluster::Cluster;
use tokio::runtime::Runtime;

use crate::figures::{disk_bytes, memory, rate};
use crate::recall::{Deaf, endpoint, runtime};
use crate::report::Report;

/// Volumes that are open at a time, at most.
const OPEN_MAX: u64 = 100;

/// Makes the volumes that are missing to each size, and measures there.
pub(crate) fn run(report: &mut Report, mut cluster: Cluster, sizes: &[u64]) -> Result<()> {
    let runtime = runtime()?;
    let mut there = 0;
    for &size in sizes {
        let at = endpoint(&cluster)?;
        let client = runtime.block_on(Client::connect(&at))?;
        let begun = Instant::now();
        for number in there..size {
            runtime.block_on(client.create_volume(&spec(number)?))?;
        }
        let creates = rate(size - there, begun.elapsed());
        there = size;
        let (server, _) = memory(cluster.server().pid())?;
        let disk = disk_bytes(&cluster.data()) as f64 / size as f64 / 1e3;
        let begun = Instant::now();
        let listed = runtime.block_on(client.list_volumes())?.len();
        anyhow::ensure!(listed as u64 == size, "{listed} volumes are listed of {size}");
        let list = begun.elapsed().as_secs_f64() * 1e3;
        let begun = Instant::now();
        let _ = cluster.holdfast(&["volume", "ls"]).ok();
        let command = begun.elapsed().as_secs_f64() * 1e3;
        cluster.stop();
        let begun = Instant::now();
        cluster.start();
        let restart = begun.elapsed().as_secs_f64();
        let (before, _) = memory(cluster.server().pid())?;
        let open = size.min(OPEN_MAX);
        let (each_ms, sessions) = open_some(&runtime, &endpoint(&cluster)?, open)?;
        let (after, _) = memory(cluster.server().pid())?;
        for session in sessions {
            runtime.block_on(session.close())?;
        }
        let line = vec![
            ("volumes", size as f64),
            ("made/s", creates),
            ("disk kB each", disk),
            ("server MB", server),
            ("list ms", list),
            ("volume ls ms", command),
            ("restart s", restart),
            ("server MB then", before),
            ("opened", open as f64),
            ("ms to open one", each_ms),
            ("MB an open one", (after - before) / open as f64),
        ];
        report.add("Volumes on a server", line);
    }
    Ok(())
}

fn spec(number: u64) -> Result<VolumeSpec> {
    let name = format!("volume{number}").parse().context("a volume's name")?;
    Ok(VolumeSpec { name, quota: Quota::default(), labels: [].into(), policy: MountPolicy::default() })
}

fn open_some(runtime: &Runtime, endpoint: &Endpoint, count: u64) -> Result<(f64, Vec<Session>)> {
    let begun = Instant::now();
    let mut sessions = Vec::new();
    for number in 0..count {
        let volume = VolumeRef::Name(spec(number)?.name);
        let session = Session::open(endpoint, &volume, SessionOptions::default(), std::sync::Arc::new(Deaf));
        sessions.push(runtime.block_on(session)?);
    }
    Ok((begun.elapsed().as_secs_f64() * 1e3 / count as f64, sessions))
}
