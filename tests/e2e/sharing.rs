//! Two hosts at work on the same files: appends, exclusive creation, open files without a name.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use holdfast_tests::model::step::Disturb;
use holdfast_tests::random::size;
use holdfast_tests::wait;

use crate::Pair;

const RECORD: usize = 100;

fn append(path: &Path, who: u8, records: usize) {
    let mut log = OpenOptions::new().append(true).create(true).open(path).unwrap();
    for number in 0..records {
        let record = format!("{:<width$}\n", format!("{who} {number}"), width = RECORD - 1);
        log.write_all(record.as_bytes()).unwrap();
    }
}

#[test]
fn appends_from_two_hosts_are_all_there_and_whole() {
    let pair = Pair::new("append");
    let records = size("HOLDFAST_APPENDS", 150, 5000);
    thread::scope(|scope| {
        scope.spawn(|| append(&pair.a.at("log"), 1, records));
        scope.spawn(|| append(&pair.b.at("log"), 2, records));
    });
    for mount in [&pair.a, &pair.b] {
        let text = fs::read_to_string(mount.at("log")).unwrap();
        assert_eq!(text.len(), 2 * records * RECORD);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        for who in ["1 ", "2 "] {
            let own: Vec<&str> = lines.iter().filter(|line| line.starts_with(who)).copied().collect();
            let wanted: Vec<String> = (0..records).map(|number| format!("{who}{number}")).collect();
            assert!(own == wanted, "the records of {who}in order, none lost, none torn");
        }
    }
}

#[test]
fn exclusive_creation_has_one_winner() {
    let pair = Pair::new("exclusive");
    let rounds = size("HOLDFAST_ROUNDS", 60, 2000);
    let race = |root: &Path| -> Vec<bool> {
        let open = |round| OpenOptions::new().write(true).create_new(true).open(root.join(format!("race-{round}")));
        (0..rounds).map(|round| open(round).is_ok()).collect()
    };
    let (a, b) = thread::scope(|scope| {
        let a = scope.spawn(|| race(&pair.a.path));
        let b = scope.spawn(|| race(&pair.b.path));
        (a.join().unwrap(), b.join().unwrap())
    });
    for round in 0..rounds {
        assert!(a[round] ^ b[round], "round {round}: a won: {}, b won: {}", a[round], b[round]);
    }
}

#[test]
fn renames_over_a_file_are_atomic() {
    let pair = Pair::new("atomic rename");
    fs::write(pair.a.at("current"), "0".repeat(1000)).unwrap();
    let rounds = size("HOLDFAST_ROUNDS", 100, 5000);
    let (changes_seen, begun) = (AtomicUsize::new(0), Instant::now());
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 1_usize.. {
                // A writer under leases may be done with all rounds before the reader has looked twice.
                let enough = changes_seen.load(Ordering::Relaxed) > 1 || begun.elapsed() > wait::SOON;
                if round > rounds && enough {
                    break;
                }
                fs::write(pair.a.at("new"), (round % 10).to_string().repeat(1000)).unwrap();
                fs::rename(pair.a.at("new"), pair.a.at("current")).unwrap();
            }
        });
        let mut seen = BTreeSet::new();
        while !writer.is_finished() {
            let text = fs::read_to_string(pair.b.at("current")).expect("there is always one");
            assert!(text.len() == 1000 && text.bytes().all(|byte| byte == text.as_bytes()[0]), "never a mixture");
            seen.insert(text.as_bytes()[0]);
            changes_seen.store(seen.len(), Ordering::Relaxed);
        }
        assert!(seen.len() > 1, "the reader saw no change at all");
    });
}

#[test]
fn an_open_file_outlives_its_name_on_another_host() {
    let mut pair = Pair::new("unlinked");
    fs::write(pair.a.at("f"), vec![1; 200_000]).unwrap();
    let mut open = OpenOptions::new().read(true).write(true).open(pair.a.at("f")).unwrap();
    fs::remove_file(pair.b.at("f")).unwrap();
    assert_eq!(open.metadata().unwrap().nlink(), 0);
    open.write_all_at(&[2; 1000], 100_000).unwrap();
    open.sync_all().unwrap();
    for how in [None, Some(Disturb::Restart), Some(Disturb::Kill)] {
        if let Some(how) = how {
            pair.cluster.disturb(how);
        }
        let mut bytes = [0; 1002];
        open.read_exact_at(&mut bytes, 99_999).unwrap();
        assert_eq!((bytes[0], &bytes[1..1001], bytes[1001]), (1, &[2; 1000][..], 1), "after {how:?}");
    }
    let mut all = Vec::new();
    open.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), 200_000);
    drop(open);
    wait::until_true("the space of the deleted file", wait::SOON, || pair.cluster.show("shared").inodes == 1);
}

/// 64 KiB and more go another way through server and client than small writes.
#[test]
fn a_tree_of_every_size_is_the_same_on_the_other_host() {
    let pair = Pair::new("sizes");
    let sizes = [0, 1, 4095, 4096, 4097, 65_535, 65_536, 65_537, 1 << 20, (1 << 20) + 1, 5_000_000];
    let content = |size: usize| -> Vec<u8> { (0..size).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect() };
    for size in sizes {
        fs::write(pair.a.at(&format!("s{size}")), content(size)).unwrap();
    }
    for size in sizes {
        assert!(fs::read(pair.b.at(&format!("s{size}"))).unwrap() == content(size), "{size} bytes");
        fs::rename(pair.b.at(&format!("s{size}")), pair.b.at(&format!("r{size}"))).unwrap();
        assert_eq!(File::open(pair.a.at(&format!("r{size}"))).unwrap().metadata().unwrap().len(), size as u64);
    }
}
