//! Locks exclude across hosts, and go with their holder.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use holdfast_tests::cluster::LEASE;
use holdfast_tests::model::step::Disturb;
use holdfast_tests::process::Process;
use holdfast_tests::random::size;
use holdfast_tests::wait;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};

use crate::Pair;

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()
}

pub(crate) fn try_flock(path: &Path, how: FlockArg) -> Option<Flock<File>> {
    match Flock::lock(open(path), how) {
        Ok(lock) => Some(lock),
        Err((_, error)) => {
            assert_eq!(error, Errno::EWOULDBLOCK);
            None
        }
    }
}

fn range(kind: i32, start: i64, len: i64) -> libc::flock {
    let kind = i16::try_from(kind).unwrap();
    libc::flock { l_type: kind, l_whence: 0, l_start: start, l_len: len, l_pid: 0 }
}

fn try_range(file: &File, kind: i32, start: i64, len: i64) -> bool {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&range(kind, start, len))) {
        Ok(_) => true,
        Err(Errno::EAGAIN | Errno::EACCES) => false,
        Err(error) => panic!("fcntl: {error}"),
    }
}

#[test]
fn a_flock_excludes_the_other_host() {
    let pair = Pair::new("flock");
    let (a, b) = (pair.a.at("lock"), pair.b.at("lock"));
    let held = try_flock(&a, FlockArg::LockExclusiveNonblock).expect("free");
    assert!(try_flock(&b, FlockArg::LockExclusiveNonblock).is_none());
    assert!(try_flock(&b, FlockArg::LockSharedNonblock).is_none());
    drop(held);
    let shared = try_flock(&b, FlockArg::LockSharedNonblock).expect("given back");
    let second = try_flock(&a, FlockArg::LockSharedNonblock).expect("shared");
    assert!(try_flock(&a, FlockArg::LockExclusiveNonblock).is_none());
    drop((shared, second));
    assert!(try_flock(&a, FlockArg::LockExclusiveNonblock).is_some());
}

#[test]
fn ranges_exclude_the_other_host_byte_by_byte() {
    let pair = Pair::new("ranges");
    let (a, b) = (open(&pair.a.at("lock")), open(&pair.b.at("lock")));
    assert!(try_range(&a, libc::F_WRLCK, 0, 100));
    assert!(!try_range(&b, libc::F_WRLCK, 99, 1));
    assert!(!try_range(&b, libc::F_RDLCK, 0, 1));
    assert!(try_range(&b, libc::F_WRLCK, 100, 100));
    assert!(try_range(&a, libc::F_UNLCK, 40, 20), "the middle is given back");
    assert!(try_range(&b, libc::F_WRLCK, 40, 20));
    assert!(!try_range(&b, libc::F_RDLCK, 39, 1));
    let mut asked = range(libc::F_WRLCK, 0, 10);
    fcntl(&b, FcntlArg::F_OFD_GETLK(&mut asked)).unwrap();
    assert_eq!(i32::from(asked.l_type), libc::F_WRLCK, "somebody holds it");
    drop(a);
    wait::until_true("the locks of a closed file", wait::SOON, || try_range(&b, libc::F_WRLCK, 0, 0));
}

#[test]
fn a_waiting_lock_is_granted_when_it_is_free() {
    let pair = Pair::new("waiting");
    let held = try_flock(&pair.a.at("lock"), FlockArg::LockExclusiveNonblock).unwrap();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let lock = Flock::lock(open(&pair.b.at("lock")), FlockArg::LockExclusive).map_err(|(_, error)| error);
            (Instant::now(), lock.unwrap())
        });
        wait::until_true("the other host to wait", wait::SOON, || !waiter.is_finished());
        thread::sleep(Duration::from_millis(300));
        assert!(!waiter.is_finished(), "the lock is held");
        let released = Instant::now();
        drop(held);
        let (granted, _lock) = waiter.join().unwrap();
        assert!(granted >= released && granted - released < Duration::from_secs(10));
    });
}

#[test]
fn a_counter_under_a_lock_counts_every_step() {
    let pair = Pair::new("counter");
    let steps = size("HOLDFAST_STEPS", 100, 2000);
    fs::write(pair.a.at("counter"), "0").unwrap();
    let count = |root: &Path| {
        for _ in 0..steps {
            let lock =
                Flock::lock(open(&root.join("lock")), FlockArg::LockExclusive).map_err(|(_, error)| error).unwrap();
            let number: usize = fs::read_to_string(root.join("counter")).unwrap().parse().unwrap();
            fs::write(root.join("counter"), (number + 1).to_string()).unwrap();
            drop(lock);
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| count(&pair.a.path));
        scope.spawn(|| count(&pair.b.path));
    });
    assert_eq!(fs::read_to_string(pair.b.at("counter")).unwrap(), (2 * steps).to_string());
}

#[test]
fn locks_survive_a_restart_of_the_server() {
    let mut pair = Pair::new("locks over a restart");
    let _held = try_flock(&pair.a.at("lock"), FlockArg::LockExclusiveNonblock).unwrap();
    let ranges = open(&pair.a.at("ranges"));
    assert!(try_range(&ranges, libc::F_WRLCK, 10, 10));
    let other = open(&pair.b.at("ranges"));
    for how in [Disturb::Restart, Disturb::Kill] {
        pair.cluster.disturb(how);
        assert!(try_flock(&pair.b.at("lock"), FlockArg::LockExclusiveNonblock).is_none(), "after {how:?}");
        assert!(!try_range(&other, libc::F_RDLCK, 15, 1), "after {how:?}");
        assert!(try_range(&other, libc::F_RDLCK, 20, 1), "after {how:?}");
    }
}

#[test]
fn locks_of_a_host_that_is_alone_with_a_file_count_for_all() {
    let mut pair = Pair::new("locks granted alone");
    let (flocked, ranges) = (open(&pair.a.at("flocked")), open(&pair.a.at("ranges")));
    let flocked = Flock::lock(flocked, FlockArg::LockSharedNonblock).map_err(|(_, error)| error).unwrap();
    for start in [0, 10, 20] {
        assert!(try_range(&ranges, libc::F_WRLCK, start, 5));
    }
    assert!(try_range(&ranges, libc::F_UNLCK, 12, 1));
    // Another open file of the same host.
    let beside = open(&pair.a.at("ranges"));
    assert!(!try_range(&beside, libc::F_RDLCK, 11, 1));
    assert!(try_range(&beside, libc::F_RDLCK, 12, 1));
    let shown = || pair.cluster.holdfast(&["locks", "shared", "--json"]).ok().matches("\"host-a\"").count();
    assert_eq!(shown(), 6, "one flock and five ranges");
    assert!(try_range(&beside, libc::F_UNLCK, 12, 1));
    pair.cluster.disturb(Disturb::Kill);
    let other = open(&pair.b.at("ranges"));
    assert!(!try_range(&other, libc::F_RDLCK, 11, 1));
    assert!(!try_range(&other, libc::F_WRLCK, 24, 1));
    assert!(try_range(&other, libc::F_WRLCK, 12, 1));
    assert!(try_flock(&pair.b.at("flocked"), FlockArg::LockExclusiveNonblock).is_none());
    assert!(try_flock(&pair.b.at("flocked"), FlockArg::LockSharedNonblock).is_some());
    drop((flocked, ranges));
    wait::until_true("the locks of closed files", wait::SOON, || {
        try_range(&other, libc::F_WRLCK, 0, 0)
            && try_flock(&pair.b.at("flocked"), FlockArg::LockExclusiveNonblock).is_some()
    });
}

#[test]
fn a_lock_goes_with_the_process_that_held_it() {
    let pair = Pair::new("process with a lock");
    drop(open(&pair.a.at("lock")));
    let host = pair.cluster.host(0);
    let path = pair.a.inside.join("lock");
    let command = host.program(&["flock", "--no-fork", "--exclusive", &path.to_string_lossy(), "sleep", "600"]);
    let mut holder = Process::start("lock holder", command, &host.log("holder"));
    let b = pair.b.at("lock");
    wait::until_true("the lock to be held", wait::SOON, || try_flock(&b, FlockArg::LockExclusiveNonblock).is_none());
    holder.kill();
    wait::until_true("the lock of a dead process", wait::SOON, || {
        try_flock(&b, FlockArg::LockExclusiveNonblock).is_some()
    });
}

#[test]
fn a_lock_goes_with_the_host_that_held_it_after_the_lease() {
    let pair = Pair::new("host with a lock");
    let Pair { a, b, cluster, _watchdog } = pair;
    let held = try_flock(&a.at("lock"), FlockArg::LockExclusiveNonblock).unwrap();
    let path = b.at("lock");
    // Also asks for the leases that B needs to get at the file without A.
    assert!(try_flock(&path, FlockArg::LockExclusiveNonblock).is_none(), "A lives");
    let died = Instant::now();
    a.kill();
    assert!(try_flock(&path, FlockArg::LockExclusiveNonblock).is_none(), "the dead host's lease still counts");
    wait::until_true("the locks of a dead host", LEASE * 5, || {
        try_flock(&path, FlockArg::LockExclusiveNonblock).is_some()
    });
    assert!(died.elapsed() > LEASE / 2, "not before the lease was over");
    // Its mount is gone, and so the way to unlock.
    std::mem::forget(held);
    drop((b, cluster));
}
