//! Servers and clients that die in the middle: what was acknowledged is there.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use holdfast_tests::manifest::Manifest;
use holdfast_tests::model::step::Disturb;
use holdfast_tests::random::{self, Random, size};
use holdfast_tests::wait;

use crate::Pair;
use crate::network::Stop;

/// Writes and syncs files of many sizes until told to stop; every error is a failure.
fn write_files(root: &Path, who: &str, seed: u64, stop: &AtomicBool, acknowledged: &AtomicUsize) -> Manifest {
    let (mut random, mut manifest, mut number) = (Random::new(seed), Manifest::default(), 0);
    fs::create_dir(root.join(who)).unwrap();
    while !stop.load(Ordering::Relaxed) {
        let len = *random.pick(&[1, 100, 5000, 65_536, 70_000, 300_000]);
        // One in four is written over, so that old content must go too.
        let name = if random.percent(25) && number > 0 { random.below(number) } else { number };
        number += 1;
        manifest.write(&root.join(who), &format!("f{name}"), random.bits(), len).unwrap_or_else(|error| {
            panic!("{who}: write of f{name} failed: {error}");
        });
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    manifest
}

fn crash_server(name: &str, how: Disturb, times: usize) {
    let mut pair = Pair::new(name);
    let mut random = Random::new(random::seed(name));
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut pauses = Vec::new();
    let seeds = (random.bits(), random.bits());
    let (a, b) = thread::scope(|scope| {
        let a = scope.spawn(|| write_files(&pair.a.path, "a", seeds.0, &stop, &acknowledged));
        let b = scope.spawn(|| write_files(&pair.b.path, "b", seeds.1, &stop, &acknowledged));
        let enough = Stop(&stop);
        for _ in 0..times {
            // Only a server with work is worth a crash.
            let before = acknowledged.load(Ordering::Relaxed);
            wait::until_true("acknowledged files before the crash", wait::SOON, || {
                a.is_finished() || b.is_finished() || acknowledged.load(Ordering::Relaxed) > before + 4
            });
            thread::sleep(Duration::from_millis(random.below(150)));
            pair.cluster.disturb(how);
            let (before, start) = (acknowledged.load(Ordering::Relaxed), Instant::now());
            wait::until_true("writes after the crash", Duration::from_secs(60), || {
                a.is_finished() || b.is_finished() || acknowledged.load(Ordering::Relaxed) > before
            });
            pauses.push(start.elapsed());
        }
        drop(enough);
        (a.join().unwrap(), b.join().unwrap())
    });
    pauses.sort();
    eprintln!(
        "{name}: {times} times, {} acknowledged, {} files; back at work after {:?} (median), {:?} (worst)",
        acknowledged.load(Ordering::Relaxed),
        a.len() + b.len(),
        pauses[pauses.len() / 2],
        pauses[pauses.len() - 1],
    );
    assert_eq!(pauses.len(), times);
    // What the other host sees, and then what the disk says: nothing cached anywhere.
    a.verify(&pair.b.at("a"));
    b.verify(&pair.a.at("b"));
    pair.cluster.kill();
    pair.cluster.start();
    let fresh = pair.cluster.mount(1, "shared");
    a.verify(&fresh.at("a"));
    b.verify(&fresh.at("b"));
}

#[test]
fn a_killed_server_loses_nothing_that_was_synced() {
    crash_server("kill the server", Disturb::Kill, size("HOLDFAST_KILLS", 8, 500));
}

#[test]
fn a_restarted_server_loses_nothing() {
    crash_server("restart the server", Disturb::Restart, size("HOLDFAST_RESTARTS", 4, 100));
}

#[test]
fn a_killed_client_loses_nothing_that_was_synced() {
    let kills = size("HOLDFAST_CLIENT_KILLS", 3, 100);
    let Pair { a, b, cluster, _watchdog } = Pair::new("kill the client");
    let mut random = Random::new(random::seed("kill the client"));
    let (mut writer, mut all) = (Some(a), Manifest::default());
    for round in 0..kills {
        let mount = writer.take().unwrap_or_else(|| cluster.mount(0, "shared"));
        let (acknowledged, seed, pause) = (AtomicUsize::new(0), random.bits(), random.below(200));
        let root = mount.path.join(format!("round-{round}"));
        fs::create_dir(&root).unwrap();
        let written = thread::scope(|scope| {
            let writing = scope.spawn(|| {
                let (mut random, mut manifest) = (Random::new(seed), Manifest::default());
                for number in 0.. {
                    let len = *random.pick(&[1, 5000, 65_536, 200_000]);
                    if manifest.write(&root, &format!("f{number}"), random.bits(), len).is_err() {
                        break;
                    }
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                manifest
            });
            wait::until_true("acknowledged files", wait::SOON, || acknowledged.load(Ordering::Relaxed) > 5);
            thread::sleep(Duration::from_millis(pause));
            mount.kill();
            writing.join().unwrap()
        });
        written.verify(&b.at(&format!("round-{round}")));
        all.merge(written);
    }
    assert!(all.len() > kills, "too little was acknowledged: {}", all.len());
}
