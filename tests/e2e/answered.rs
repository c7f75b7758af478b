//! Changes that a mount answers before the server has them: nothing of them is lost, refused later, or
//! missed by another host.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use holdfast_tests::cluster::{Cluster, Options};
use holdfast_tests::model::step::Disturb;
use holdfast_tests::wait::{self, Watchdog};
use nix::sys::signal::Signal;

use crate::Pair;

const LIMIT: Duration = Duration::from_secs(120);
const MIB: usize = 1 << 20;

/// A directory that only host A has been to, with what it needs to answer by itself.
fn own_directory(pair: &Pair) {
    fs::create_dir(pair.a.at("own")).unwrap();
    for round in 0..3 {
        fs::write(pair.a.at(&format!("own/first{round}")), "1").unwrap();
    }
}

/// Makes, changes, moves and removes files.
fn work(own: &Path) {
    for number in 0..50 {
        let path = own.join(format!("file{number}"));
        let mut file = File::create(&path).unwrap();
        file.write_all(format!("number {number}").as_bytes()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(file.metadata().unwrap().len(), format!("number {number}").len() as u64);
    }
    for number in 0..10 {
        fs::remove_file(own.join(format!("file{number}"))).unwrap();
        fs::rename(own.join(format!("file{}", number + 10)), own.join(format!("moved{number}"))).unwrap();
        fs::hard_link(own.join(format!("file{}", number + 20)), own.join(format!("link{number}"))).unwrap();
    }
    fs::create_dir(own.join("sub")).unwrap();
    fs::write(own.join("sub/f"), "below").unwrap();
    fs::create_dir(own.join("gone")).unwrap();
    fs::remove_dir(own.join("gone")).unwrap();
}

/// What `work` leaves.
fn check(own: &Path) {
    let mut names: Vec<String> =
        fs::read_dir(own).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with("first"));
    assert_eq!(names.len(), 30 + 10 + 10 + 1, "{names:?}");
    for number in 20..50 {
        let path = own.join(format!("file{number}"));
        let stat = fs::metadata(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("number {number}"));
        assert_eq!((stat.mode() & 0o7777, stat.nlink()), (0o640, if number < 30 { 2 } else { 1 }), "{path:?}");
    }
    for number in 0..10 {
        let moved = fs::read_to_string(own.join(format!("moved{number}"))).unwrap();
        assert_eq!(moved, format!("number {}", number + 10));
        let link = fs::metadata(own.join(format!("link{number}"))).unwrap();
        assert_eq!(link.ino(), fs::metadata(own.join(format!("file{}", number + 20))).unwrap().ino());
    }
    assert_eq!(fs::read_to_string(own.join("sub/f")).unwrap(), "below");
}

#[test]
fn changes_are_answered_while_the_server_stands_still_and_seen_when_it_goes_on() {
    let mut pair = Pair::new("answered");
    own_directory(&pair);
    pair.cluster.server().signal(Signal::SIGSTOP);
    work(&pair.a.at("own"));
    assert!(fs::metadata(pair.a.at("own/file20")).is_ok() && fs::metadata(pair.a.at("own/file0")).is_err());
    pair.cluster.server().signal(Signal::SIGCONT);
    check(&pair.b.at("own"));
    check(&pair.a.at("own"));
}

#[test]
fn what_was_answered_outlives_a_server_that_is_killed() {
    let mut pair = Pair::new("answered and killed");
    own_directory(&pair);
    for round in 0..3 {
        let own = format!("own/{round}");
        fs::create_dir(pair.a.at(&own)).unwrap();
        fs::write(pair.a.at(&format!("{own}/first")), "1").unwrap();
        // Once before anything of it has reached the server, once while it comes.
        if round == 0 {
            pair.cluster.server().signal(Signal::SIGSTOP);
        }
        work(&pair.a.at(&own));
        pair.cluster.disturb(Disturb::Kill);
        check(&pair.b.at(&own));
        File::open(pair.a.at(&own)).unwrap().sync_all().unwrap();
        check(&pair.a.at(&own));
    }
}

#[test]
fn a_volume_that_fills_up_refuses_at_the_call_and_loses_nothing() {
    let watchdog = Watchdog::start("filling", LIMIT * 2);
    let cluster = Cluster::one_host_with(Options::default());
    let _ = cluster.holdfast(&["volume", "create", "v", "--size", "300MiB"]).ok();
    let (a, b) = (cluster.mount(0, "v"), cluster.mount(0, "v"));
    let fill = |path: &Path, byte: u8| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path).unwrap();
        let block = vec![byte; MIB / 4];
        let mut written = 0;
        loop {
            match file.write(&block) {
                Ok(len) => written += len,
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC), "{error}");
                    file.sync_all().unwrap();
                    return written;
                }
            }
            assert!(written < 400 * MIB, "no limit");
        }
    };
    let (from_a, from_b) = std::thread::scope(|scope| {
        let one = scope.spawn(|| fill(&a.at("a"), 1));
        let other = scope.spawn(|| fill(&b.at("b"), 2));
        (one.join().unwrap(), other.join().unwrap())
    });
    assert!((299 * MIB..=300 * MIB).contains(&(from_a + from_b)), "{from_a} and {from_b} bytes went in");
    for (path, byte, len) in [(b.at("a"), 1, from_a), (a.at("b"), 2, from_b)] {
        let content = fs::read(path).unwrap();
        assert!(content.len() == len && content.iter().all(|&found| found == byte));
    }
    fs::remove_file(b.at("a")).unwrap();
    fs::write(a.at("c"), vec![3; MIB]).unwrap();
    wait::until_true("the file", wait::SOON, || fs::read(b.at("c")).unwrap().len() == MIB);
    drop(watchdog);
}
