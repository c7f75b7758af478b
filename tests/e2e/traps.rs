//! Where file systems that cache under leases get stuck, or show what is old: a mount that is stopped
//! for longer than its lease, hosts that want each other's at the same time, writes while pages are
//! taken back.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use holdfast_tests::cluster::LEASE;
use holdfast_tests::mount::Mount;
use holdfast_tests::random::size;
use holdfast_tests::sys::Mapping;
use nix::sys::signal::Signal;

use crate::Pair;

fn rounds() -> usize {
    size("HOLDFAST_TRAP_ROUNDS", 100, 5000)
}

/// Looks at something all the time: when each look began, and what it saw.
fn look(
    over: &'static AtomicBool,
    what: impl Fn() -> bool + Send + 'static,
) -> thread::JoinHandle<Vec<(Instant, bool)>> {
    thread::spawn(move || {
        let mut seen = Vec::new();
        while !over.load(Ordering::Acquire) {
            let begun = Instant::now();
            seen.push((begun, what()));
            thread::sleep(Duration::from_millis(1));
        }
        seen
    })
}

#[test]
fn a_mount_that_was_stopped_for_longer_than_its_lease_shows_nothing_old() {
    static OVER: AtomicBool = AtomicBool::new(false);
    let mut pair = Pair::new("stopped reader");
    fs::create_dir(pair.a.at("d")).unwrap();
    for name in ["content", "size", "gone"] {
        fs::write(pair.a.at(&format!("d/{name}")), b"old").unwrap();
    }
    let at = |name: &str| -> PathBuf { pair.b.at(&format!("d/{name}")) };
    let (content, length, gone, new) = (File::open(at("content")).unwrap(), at("size"), at("gone"), at("new"));
    // All of it is in the caches of B's kernel, and looked at all the time.
    let lookers = (
        look(&OVER, move || {
            let mut bytes = [0; 3];
            content.read_exact_at(&mut bytes, 0).is_ok_and(|()| bytes == *b"new")
        }),
        look(&OVER, move || fs::metadata(&length).is_ok_and(|found| found.len() == 6)),
        look(&OVER, move || fs::symlink_metadata(&gone).is_err()),
        look(&OVER, move || fs::symlink_metadata(&new).is_ok()),
    );
    thread::sleep(Duration::from_millis(300));
    pair.b.process.signal(Signal::SIGSTOP);
    let change = Instant::now();
    OpenOptions::new().write(true).open(pair.a.at("d/content")).unwrap().write_all_at(b"new", 0).unwrap();
    fs::write(pair.a.at("d/size"), b"longer").unwrap();
    fs::remove_file(pair.a.at("d/gone")).unwrap();
    fs::write(pair.a.at("d/new"), b"").unwrap();
    let changed = Instant::now();
    thread::sleep(LEASE);
    pair.b.process.signal(Signal::SIGCONT);
    thread::sleep(Duration::from_secs(1));
    OVER.store(true, Ordering::Release);
    let (content, length, gone, new) = lookers;
    for (what, looker) in [("content", content), ("size", length), ("removed name", gone), ("new name", new)] {
        let seen = looker.join().unwrap();
        let before = seen.iter().filter(|(begun, _)| *begun < change).count();
        let after: Vec<bool> = seen.iter().filter(|(begun, _)| *begun > changed).map(|&(_, is_new)| is_new).collect();
        assert!(before > 10 && after.len() > 10, "{what}: {before} looks before, {} after", after.len());
        assert!(after.iter().all(|is_new| *is_new), "{what}: an old one was seen after the change");
    }
    assert!(changed - change < LEASE * 5, "the writer waited {:?}", changed - change);
}

#[test]
fn hosts_that_want_each_others_directories_at_once_both_go_on() {
    let pair = Pair::new("crosswise");
    for (host, mine) in [(&pair.a, "a"), (&pair.b, "b")] {
        fs::create_dir(host.at(mine)).unwrap();
        fs::write(host.at(&format!("{mine}/{mine}")), mine).unwrap();
    }
    // Each moves its file into the other's directory and back: both need both, in opposite order.
    let walk = |host: &Mount, mine: &str, other: &str| {
        let (home, away) = (host.at(&format!("{mine}/{mine}")), host.at(&format!("{other}/{mine}")));
        move |rounds: usize| {
            for _ in 0..rounds {
                fs::rename(&home, &away).unwrap();
                assert!(fs::symlink_metadata(&home).is_err());
                fs::rename(&away, &home).unwrap();
                assert_eq!(fs::read(&home).unwrap().len(), 1);
            }
        }
    };
    let (a, b) = (walk(&pair.a, "a", "b"), walk(&pair.b, "b", "a"));
    thread::scope(|scope| {
        scope.spawn(|| a(rounds()));
        scope.spawn(|| b(rounds()));
    });
    for host in [&pair.a, &pair.b] {
        assert_eq!(
            (fs::read(host.at("a/a")).unwrap(), fs::read(host.at("b/b")).unwrap()),
            (b"a".to_vec(), b"b".to_vec())
        );
    }
}

#[test]
fn pages_are_taken_back_while_both_hosts_read_write_and_map_them() {
    const PAGES: usize = 16;
    const PAGE: usize = 4096;
    const ROUNDS: u8 = 100;
    let pair = Pair::new("pages");
    let files = rounds().div_ceil(usize::from(ROUNDS));
    let (written, read) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // Each host has every other page to itself and raises the number in it; nobody sees any go back.
    let work = |path: PathBuf, first: usize| {
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let mapping = Mapping::new(&file, PAGES * PAGE, false).unwrap();
        let mut last = [0; PAGES];
        for round in 1..=ROUNDS {
            for page in (first..PAGES).step_by(2) {
                file.write_all_at(&[round], (page * PAGE) as u64).unwrap();
                written.fetch_add(1, Ordering::Relaxed);
            }
            for (page, last) in last.iter_mut().enumerate() {
                let mut byte = [0];
                file.read_exact_at(&mut byte, (page * PAGE) as u64).unwrap();
                let (found, mapped) = (byte[0], mapping.read()[page * PAGE]);
                let own = page % 2 == first;
                assert!(found >= *last && (!own || found == round), "page {page}: {found} in round {round}");
                assert!(mapped >= found, "page {page}: {mapped} is mapped after {found} was read");
                *last = mapped;
                read.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    for number in 0..files {
        let name = format!("f{number}");
        fs::write(pair.a.at(&name), vec![0; PAGES * PAGE]).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| work(pair.a.at(&name), 0));
            scope.spawn(|| work(pair.b.at(&name), 1));
        });
    }
    let all = files * usize::from(ROUNDS) * PAGES;
    assert_eq!((written.into_inner(), read.into_inner()), (all, 2 * all));
}
