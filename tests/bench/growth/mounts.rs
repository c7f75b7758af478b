//! Row `mounts`: how many share a server.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use holdfast_tests::cluster::Cluster;
use holdfast_tests::mount::Mount;

use crate::figures::{memory, rate};
use crate::report::Report;

/// Files that all mounts make together.
const FILES: u64 = 20_000;
/// Files of the tree that each mount looks at, a hundred a directory.
const TREE: u64 = 2000;
const VOLUME: &str = "mounts";

/// Measures with so many mounts.
pub(crate) fn run(report: &mut Report, mut cluster: Cluster, number: u64) -> Result<()> {
    cluster.volume(VOLUME);
    let begun = Instant::now();
    let mounts: Vec<Mount> = (0..number).map(|_| cluster.mount(0, VOLUME)).collect();
    let mounted = begun.elapsed().as_secs_f64();
    let first = mounts.first().context("at least one mount")?;
    for file in 0..TREE {
        let directory = first.at(&format!("tree{}", file / 100));
        if file % 100 == 0 {
            fs::create_dir(&directory)?;
        }
        File::create_new(directory.join(format!("f{file}")))?;
    }
    let own = FILES / number;
    let creates = all(&mounts, |at, root| {
        let directory = root.join(format!("own{at}"));
        fs::create_dir(&directory)?;
        for file in 0..own {
            File::create_new(directory.join(format!("f{file}")))?;
        }
        Ok(())
    })?;
    let look = |_, root: PathBuf| {
        for file in 0..TREE {
            fs::symlink_metadata(root.join(format!("tree{}/f{file}", file / 100)))?;
        }
        Ok(())
    };
    let (cold, warm) = (all(&mounts, look)?, all(&mounts, look)?);
    let (server, server_most) = memory(cluster.server().pid())?;
    let clients: f64 = mounts.iter().map(|mount| Ok(memory(mount.process.pid())?.0)).sum::<Result<f64>>()?;
    let line = vec![
        ("mounts", number as f64),
        ("all mounted s", mounted),
        ("creates/s, all", rate(own * number, creates)),
        ("stat/s, all, first", rate(TREE * number, cold)),
        ("stat/s, all, again", rate(TREE * number, warm)),
        ("server MB", server),
        ("server MB at most", server_most),
        ("MB a mount", clients / number as f64),
    ];
    report.add("Mounts of one volume, all on this machine", line);
    Ok(())
}

/// Does something through each mount, all at once: how long until the last has done it.
fn all(mounts: &[Mount], act: impl Fn(usize, PathBuf) -> Result<()> + Sync) -> Result<Duration> {
    let ready = Barrier::new(mounts.len() + 1);
    thread::scope(|scope| {
        let run = |(at, mount): (usize, &Mount)| {
            let (root, act, ready) = (mount.path.clone(), &act, &ready);
            scope.spawn(move || {
                ready.wait();
                act(at, root)
            })
        };
        let running: Vec<_> = mounts.iter().enumerate().map(run).collect();
        ready.wait();
        let begun = Instant::now();
        for one in running {
            one.join().map_err(|_| anyhow::anyhow!("a thread failed"))??;
        }
        Ok(begun.elapsed())
    })
}
