//! Connections that break, networks that are cut, servers that are away.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use holdfast_tests::cluster::{Cluster, LEASE};
use holdfast_tests::command::run_limited;
use holdfast_tests::manifest::Manifest;
use holdfast_tests::process::Process;
use holdfast_tests::wait;
use nix::sys::signal::Signal;

use crate::Pair;

/// Tells a writer to stop, also when the test fails meanwhile.
pub(crate) struct Stop<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `fault` in the middle of synced writes on host A: they must all succeed.
fn writes_go_on(name: &str, times: usize, fault: impl Fn(&Cluster)) {
    let pair = Pair::new(name);
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let manifest = thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let manifest = Manifest::default();
            while !stop.load(Ordering::Relaxed) {
                let number = done.fetch_add(1, Ordering::Relaxed) as u64;
                manifest.write(&pair.a.path, &format!("f{}", number % 20), number, 30_000).unwrap();
            }
            manifest
        });
        let enough = Stop(&stop);
        for _ in 0..times {
            let before = done.load(Ordering::Relaxed);
            wait::until_true("writes", wait::SOON, || {
                writing.is_finished() || done.load(Ordering::Relaxed) > before + 5
            });
            fault(&pair.cluster);
        }
        let before = done.load(Ordering::Relaxed);
        wait::until_true("writes", wait::SOON, || writing.is_finished() || done.load(Ordering::Relaxed) > before + 5);
        drop(enough);
        writing.join().unwrap()
    });
    manifest.verify(&pair.b.path);
}

#[test]
fn a_reset_connection_is_resumed() {
    writes_go_on("reset", 5, |cluster| cluster.host(0).reset_connections());
}

#[test]
fn a_cut_shorter_than_the_lease_is_only_a_pause() {
    writes_go_on("short cut", 2, |cluster| {
        cluster.host(0).cut();
        thread::sleep(LEASE / 3);
        cluster.host(0).heal();
    });
}

/// Fenced: the others go on, nothing of it lands late, it is told, and works again.
#[test]
fn a_cut_longer_than_the_lease_costs_only_what_was_not_synced() {
    let pair = Pair::new("long cut");
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(pair.a.at("f")).unwrap();
    open.write_all_at(b"synced", 0).unwrap();
    open.sync_all().unwrap();
    pair.cluster.host(0).cut();
    let (late, taken) = thread::scope(|scope| {
        let late = scope.spawn(|| open.write_all_at(b"LATE!!", 0).and_then(|()| open.sync_all()));
        let taken = scope.spawn(|| {
            let start = Instant::now();
            fs::write(pair.b.at("f"), b"taken!").unwrap();
            File::open(pair.b.at("f")).unwrap().sync_all().unwrap();
            start.elapsed()
        });
        let taken = taken.join().unwrap();
        thread::sleep(LEASE * 2);
        pair.cluster.host(0).heal();
        (late.join().unwrap(), taken)
    });
    assert!(taken < LEASE * 5, "the other host waited {taken:?}");
    assert!(late.is_err(), "the write of the fenced host claims to have succeeded");
    assert_eq!(fs::read(pair.b.at("f")).unwrap(), b"taken!", "a late write landed");
    wait::until_true("the fenced host to work again", wait::SOON, || {
        fs::read(pair.a.at("f")).is_ok_and(|bytes| bytes == b"taken!")
    });
    let again = fs::write(pair.a.at("g"), b"again").and_then(|()| File::open(pair.a.at("g"))?.sync_all());
    again.unwrap();
    assert_eq!(fs::read(pair.b.at("g")).unwrap(), b"again");
}

#[test]
fn unmounting_does_not_hang_when_the_server_is_dead() {
    let mut pair = Pair::new("umount without a server");
    fs::write(pair.a.at("f"), b"x").unwrap();
    pair.cluster.kill();
    let mut command = pair.cluster.command(0, "holdfast");
    command.arg("umount").arg(&pair.a.inside);
    let start = Instant::now();
    let outcome = run_limited(command, Duration::from_secs(60));
    eprintln!("umount without a server: {:?}, code {}: {}", start.elapsed(), outcome.code, outcome.text.trim());
    wait::until_true("the mount to be gone", wait::SOON, || {
        !holdfast_tests::mount::is_mounted(pair.cluster.host(0), &pair.a.inside)
    });
    pair.a.process.wait(wait::SOON);
}

#[test]
fn a_process_that_waits_for_a_dead_server_can_be_killed() {
    let mut pair = Pair::new("kill a waiting process");
    fs::write(pair.a.at("f"), b"x").unwrap();
    pair.cluster.kill();
    let host = pair.cluster.host(0);
    let path = pair.a.inside.join("f");
    let command = host.program(&["cat", &path.to_string_lossy()]);
    let mut waiting = Process::start("cat", command, &host.log("cat"));
    thread::sleep(Duration::from_millis(500));
    assert!(waiting.ended().is_none(), "a hard mount waits: {}", waiting.output());
    waiting.signal(Signal::SIGKILL);
    waiting.wait(Duration::from_secs(10));
    pair.cluster.start();
    wait::until_true("the mount to work again", wait::SOON, || {
        fs::read(pair.a.at("f")).is_ok_and(|bytes| bytes == b"x")
    });
}

#[test]
fn a_mount_waits_for_a_server_that_is_away() {
    let mut pair = Pair::new("server away");
    let mut log = OpenOptions::new().append(true).create(true).open(pair.a.at("log")).unwrap();
    log.write_all(b"one\n").unwrap();
    pair.cluster.stop();
    thread::scope(|scope| {
        let writing = scope.spawn(|| log.write_all(b"two\n").and_then(|()| log.sync_all()));
        thread::sleep(LEASE * 2);
        assert!(!writing.is_finished(), "a hard mount waits");
        pair.cluster.start();
        writing.join().unwrap().unwrap();
    });
    assert_eq!(fs::read(pair.b.at("log")).unwrap(), b"one\ntwo\n");
}

#[test]
fn a_stopped_mount_does_not_stop_the_others() {
    let mut pair = Pair::new("stopped mount");
    fs::write(pair.a.at("f"), b"one").unwrap();
    let open = File::open(pair.a.at("f")).unwrap();
    pair.a.process.signal(Signal::SIGSTOP);
    let start = Instant::now();
    fs::write(pair.b.at("f"), b"two").unwrap();
    let waited = start.elapsed();
    pair.a.process.signal(Signal::SIGCONT);
    assert!(waited < LEASE * 5, "the writer waited {waited:?} for a mount that does not answer");
    wait::until_true("the stopped mount to work again", wait::SOON, || {
        fs::read(pair.a.at("f")).is_ok_and(|bytes| bytes == b"two")
    });
    drop(open);
}
