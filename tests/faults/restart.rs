//! How long a restart of the server, and the death of a writer, keep others waiting, with the settings that
//! a server has by itself. The figures are printed; only a hang fails.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use holdfast_tests::cluster::{Cluster, Options};
use holdfast_tests::model::step::Disturb;
use holdfast_tests::mount::Mount;
use holdfast_tests::random::{Random, seed, size};
use holdfast_tests::report::Report;
use holdfast_tests::wait;

use crate::limit;

/// Nobody waits so long for anything but a hang.
const HANG: Duration = Duration::from_secs(60);
/// Writers whose mounts are killed at once.
const WRITERS: usize = 4;

fn by_itself() -> Options {
    Options { words: vec!["--log=info".into()], ..Options::default() }
}

/// The middle and the last of durations, in seconds, for people.
fn figures(mut times: Vec<Duration>) -> String {
    times.sort();
    let [middle, worst] = [times[times.len() / 2], times[times.len() - 1]].map(|time| time.as_secs_f64());
    format!("{middle:.2} s median, {worst:.2} s worst")
}

fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    fs::write(path, content)?;
    File::open(path)?.sync_all()
}

/// A number that grows with each synced write of one mount, and is in its file.
fn write_on(path: &Path, stop: &AtomicBool, done: &AtomicU64) {
    for number in 1_u64.. {
        if stop.load(Ordering::Acquire) {
            return;
        }
        write_synced(path, &number.to_le_bytes()).unwrap();
        done.store(number, Ordering::Release);
    }
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn writers_go_on_soon_after_a_restart() {
    let wanted = size("HOLDFAST_RESTARTS", 20, 200);
    let _watchdog = limit("restart");
    let mut report = Report::new("restart of the server under load", wanted);
    let mut random = Random::new(seed("restart"));
    let mut cluster = Cluster::one_host_with(by_itself());
    cluster.volume("v");
    let mounts = [cluster.mount(0, "v"), cluster.mount(0, "v")];
    let (stop, done) = (AtomicBool::new(false), [AtomicU64::new(0), AtomicU64::new(0)]);
    let now = || done.each_ref().map(|done| done.load(Ordering::Acquire));
    let (mut killed, mut ended) = (Vec::new(), Vec::new());
    let path = |mount: &Mount, writer: usize| mount.at(&format!("w{writer}"));
    thread::scope(|scope| {
        let enough = Stop(&stop);
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let (path, stop, done) = (path(&mounts[writer], writer), &stop, &done[writer]);
                scope.spawn(move || write_on(&path, stop, done))
            })
            .collect();
        // Both have synced two more writes, of which one began after `before` was looked at.
        let all_go_on = |before: [u64; 2], more| {
            wait::until_true("synced writes of all", HANG, || {
                let go_on = now().iter().zip(before).all(|(now, before)| *now >= before + more);
                go_on || writers.iter().any(thread::ScopedJoinHandle::is_finished)
            });
        };
        for round in 0..wanted {
            all_go_on(now(), 5);
            thread::sleep(Duration::from_millis(random.below(100)));
            let (how, times) = match round % 2 {
                0 => (Disturb::Kill, &mut killed),
                _ => (Disturb::Restart, &mut ended),
            };
            let start = Instant::now();
            let before = now();
            cluster.disturb(how);
            all_go_on(before, 2);
            times.push(start.elapsed());
            report.faults += 1;
            report.done += 1;
        }
        drop(enough);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
    });
    for (writer, done) in now().into_iter().enumerate() {
        report.acknowledged += usize::try_from(done).unwrap();
        let found = fs::read(path(&mounts[1 - writer], writer)).unwrap();
        if found != done.to_le_bytes() {
            report.violation(format!("writer {writer}: {found:?} after {done} writes"));
        }
    }
    let all = killed.iter().chain(&ended).copied().collect();
    report.note(format!("all writers go on after {}", figures(all)));
    report.note(format!("SIGKILL {}", figures(killed)));
    report.note(format!("SIGTERM {}", figures(ended)));
    report.end();
}

/// Several hosts die at once while they write; another one writes to their files.
#[test]
fn a_dead_writers_files_are_soon_writable_by_another_host() {
    let wanted = size("HOLDFAST_TAKEOVERS", WRITERS, 40);
    let _watchdog = limit("takeover");
    let mut report = Report::new("takeover from a dead writer", wanted);
    let cluster = Cluster::one_host_with(by_itself());
    cluster.volume("v");
    let other = cluster.mount(0, "v");
    let mut times = Vec::new();
    while report.done < wanted {
        let mounts: Vec<Mount> = (0..WRITERS).map(|_| cluster.mount(0, "v")).collect();
        let names: Vec<String> = (0..WRITERS).map(|writer| format!("f{}", report.done + writer)).collect();
        // Each has written to its file all the time, and has it open.
        let files: Vec<File> = mounts
            .iter()
            .zip(&names)
            .map(|(mount, name)| {
                for round in 0..20 {
                    write_synced(&mount.at(name), format!("{name} {round}").as_bytes()).unwrap();
                }
                File::options().write(true).open(mount.at(name)).unwrap()
            })
            .collect();
        thread::scope(|scope| {
            let dying: Vec<_> = mounts.into_iter().map(|mount| scope.spawn(|| mount.kill())).collect();
            let start = Instant::now();
            let taking: Vec<_> = names
                .iter()
                .map(|name| {
                    let path = other.at(name);
                    scope.spawn(move || {
                        write_synced(&path, b"taken").unwrap();
                        start.elapsed()
                    })
                })
                .collect();
            times.extend(taking.into_iter().map(|taken| taken.join().unwrap()));
            dying.into_iter().for_each(|dying| dying.join().unwrap());
        });
        drop(files);
        for name in &names {
            report.faults += 1;
            report.acknowledged += 20;
            report.done += 1;
            let found = fs::read(other.at(name)).unwrap();
            if found != b"taken" {
                report.violation(format!("{name} has {found:?}"));
            }
        }
    }
    let hung = times.iter().filter(|time| **time > HANG).count();
    if hung > 0 {
        report.violation(format!("{hung} files were kept for over {HANG:?}"));
    }
    report.note(format!("writable after {}", figures(times)));
    report.end();
}
