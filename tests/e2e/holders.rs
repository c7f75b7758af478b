//! Locks to the letter: whose they are, how they change, how a wait for one ends.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use holdfast_tests::sys;
use holdfast_tests::wait;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};

use crate::Pair;
use crate::network::Stop;
use crate::stuck::{Helper, LOCK};

/// Long enough that a wait that must not end would have ended.
const MOMENT: Duration = Duration::from_millis(500);

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()
}

fn range(kind: i32, start: i64, len: i64) -> libc::flock {
    let kind = i16::try_from(kind).unwrap();
    libc::flock { l_type: kind, l_whence: 0, l_start: start, l_len: len, l_pid: 0 }
}

/// Whose lock it is.
#[derive(Clone, Copy, Debug)]
enum Whose {
    Process,
    OpenFile,
}

fn take(file: &File, whose: Whose, kind: i32, start: i64) -> Result<(), Errno> {
    let asked = range(kind, start, 10);
    let taken = match whose {
        Whose::Process => fcntl(file, FcntlArg::F_SETLK(&asked)),
        Whose::OpenFile => fcntl(file, FcntlArg::F_OFD_SETLK(&asked)),
    };
    taken.map(drop)
}

fn await_lock(file: &File, whose: Whose, kind: i32, start: i64) -> Result<(), Errno> {
    let asked = range(kind, start, 10);
    let taken = match whose {
        Whose::Process => fcntl(file, FcntlArg::F_SETLKW(&asked)),
        Whose::OpenFile => fcntl(file, FcntlArg::F_OFD_SETLKW(&asked)),
    };
    taken.map(drop)
}

const BOTH: [Whose; 2] = [Whose::Process, Whose::OpenFile];

#[test]
fn a_lock_of_an_open_file_goes_with_its_last_descriptor() {
    let pair = Pair::new("open file description");
    let (first, second, other) = (open(&pair.a.at("f")), open(&pair.a.at("f")), open(&pair.b.at("f")));
    take(&first, Whose::OpenFile, libc::F_WRLCK, 0).unwrap();
    let refused = Err(Errno::EAGAIN);
    assert_eq!(take(&second, Whose::OpenFile, libc::F_WRLCK, 5), refused, "two descriptions of one process");
    assert_eq!(take(&other, Whose::OpenFile, libc::F_RDLCK, 5), refused);
    assert_eq!(take(&second, Whose::Process, libc::F_RDLCK, 5), refused, "the process's own locks conflict too");
    take(&second, Whose::Process, libc::F_WRLCK, 100).unwrap();
    let copy = first.try_clone().unwrap();
    drop(first);
    drop(second);
    assert_eq!(take(&other, Whose::OpenFile, libc::F_RDLCK, 5), refused, "a copy of the descriptor is open");
    // The process's own lock went with the first descriptor of the file that was closed.
    take(&other, Whose::OpenFile, libc::F_WRLCK, 100).unwrap();
    drop(copy);
    wait::until_true("the lock of a description that is closed", wait::SOON, || {
        take(&other, Whose::OpenFile, libc::F_RDLCK, 5).is_ok()
    });
}

#[test]
fn locks_are_raised_and_lowered_across_hosts() {
    let pair = Pair::new("raised and lowered");
    for whose in BOTH {
        let (a, b) = (open(&pair.a.at("f")), open(&pair.b.at("f")));
        take(&a, whose, libc::F_RDLCK, 0).unwrap();
        take(&b, whose, libc::F_RDLCK, 0).unwrap();
        assert_eq!(take(&a, whose, libc::F_WRLCK, 0), Err(Errno::EAGAIN), "{whose:?}");
        assert_eq!(take(&b, whose, libc::F_WRLCK, 0), Err(Errno::EAGAIN), "{whose:?}: the other still reads");
        take(&b, whose, libc::F_UNLCK, 0).unwrap();
        take(&a, whose, libc::F_WRLCK, 0).unwrap();
        assert_eq!(take(&b, whose, libc::F_RDLCK, 9), Err(Errno::EAGAIN), "{whose:?}");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| await_lock(&b, whose, libc::F_RDLCK, 0));
            thread::sleep(MOMENT);
            assert!(!waiting.is_finished());
            take(&a, whose, libc::F_RDLCK, 0).unwrap();
            waiting.join().unwrap().unwrap();
        });
        assert_eq!(take(&b, whose, libc::F_WRLCK, 0), Err(Errno::EAGAIN), "{whose:?}");
        drop(a);
        wait::until_true("the other's lock to go", wait::SOON, || take(&b, whose, libc::F_WRLCK, 0).is_ok());
    }
    let shared = |path: &Path| Flock::lock(open(path), FlockArg::LockSharedNonblock).map_err(|(_, e)| e).unwrap();
    let (a, b) = (shared(&pair.a.at("g")), shared(&pair.b.at("g")));
    assert_eq!(a.relock(FlockArg::LockExclusiveNonblock), Err(Errno::EWOULDBLOCK));
    assert_eq!(b.relock(FlockArg::LockExclusiveNonblock), Ok(()), "raising a flock has let go of it first");
}

#[test]
fn a_wait_that_would_never_end_is_refused() {
    let pair = Pair::new("deadlock");
    let (a, b) = (open(&pair.a.at("f")), open(&pair.b.at("f")));
    take(&a, Whose::Process, libc::F_WRLCK, 0).unwrap();
    take(&b, Whose::Process, libc::F_WRLCK, 10).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| await_lock(&a, Whose::Process, libc::F_WRLCK, 10));
        thread::sleep(MOMENT);
        assert!(!waiting.is_finished(), "one may wait");
        assert_eq!(await_lock(&b, Whose::Process, libc::F_RDLCK, 0), Err(Errno::EDEADLK));
        assert!(!waiting.is_finished(), "who was there first still waits");
        take(&b, Whose::Process, libc::F_UNLCK, 10).unwrap();
        waiting.join().unwrap().unwrap();
    });
}

/// Whoever shares an open file may let go of its lock, so nobody can tell that it is a deadlock.
#[test]
fn open_files_that_wait_for_each_other_wait() {
    let pair = Pair::new("no deadlock");
    let (a, b) = (open(&pair.a.at("f")), open(&pair.b.at("f")));
    take(&a, Whose::OpenFile, libc::F_WRLCK, 0).unwrap();
    take(&b, Whose::OpenFile, libc::F_WRLCK, 10).unwrap();
    thread::scope(|scope| {
        let first = scope.spawn(|| await_lock(&a, Whose::OpenFile, libc::F_WRLCK, 10));
        thread::sleep(MOMENT);
        let second = scope.spawn(|| await_lock(&b, Whose::OpenFile, libc::F_WRLCK, 0));
        thread::sleep(MOMENT);
        assert!(!first.is_finished() && !second.is_finished(), "both wait");
        take(&b, Whose::OpenFile, libc::F_UNLCK, 10).unwrap();
        first.join().unwrap().unwrap();
        take(&a, Whose::OpenFile, libc::F_UNLCK, 0).unwrap();
        second.join().unwrap().unwrap();
    });
}

/// F_GETLK: the holder's process on its own host, 0 elsewhere, as with NFS.
#[test]
fn a_query_names_the_holder() {
    let pair = Pair::new("holder");
    drop(open(&pair.a.at("f")));
    let mut holder = Helper::start(&pair, "holder", "f", &format!("{LOCK} lock(F, 6, F_WRLCK, 0, 10);"), "sleep 600;");
    holder.until_ready();
    let asked = |file: &File, whose: Whose| {
        let mut asked = range(libc::F_RDLCK, 5, 1);
        match whose {
            Whose::Process => fcntl(file, FcntlArg::F_GETLK(&mut asked)).unwrap(),
            Whose::OpenFile => fcntl(file, FcntlArg::F_OFD_GETLK(&mut asked)).unwrap(),
        };
        (i32::from(asked.l_type), asked.l_start, asked.l_len, asked.l_pid)
    };
    let (a, b) = (open(&pair.a.at("f")), open(&pair.b.at("f")));
    assert_eq!(asked(&a, Whose::Process), (libc::F_WRLCK, 0, 10, holder.process.pid()));
    assert_eq!(asked(&b, Whose::Process), (libc::F_WRLCK, 0, 10, 0));
    assert_eq!(asked(&b, Whose::OpenFile), (libc::F_WRLCK, 0, 10, -1));
    // kill -9: the lock goes with its process.
    holder.process.kill();
    wait::until_true("the lock of a dead process", wait::SOON, || take(&b, Whose::Process, libc::F_WRLCK, 0).is_ok());
    assert_eq!(asked(&b, Whose::Process).0, libc::F_UNLCK, "one's own lock is in nobody's way");
}

#[test]
fn a_signal_ends_a_wait_unless_the_call_restarts() {
    let pair = Pair::new("signals");
    let (a, b) = (open(&pair.a.at("f")), open(&pair.b.at("f")));
    take(&b, Whose::OpenFile, libc::F_RDLCK, 0).unwrap();
    take(&a, Whose::OpenFile, libc::F_RDLCK, 0).unwrap();
    for restart in [false, true] {
        sys::catch(libc::SIGUSR1, restart);
        let file = a.try_clone().unwrap();
        let waiting = thread::spawn(move || await_lock(&file, Whose::OpenFile, libc::F_WRLCK, 0));
        thread::sleep(MOMENT);
        assert!(!waiting.is_finished());
        sys::signal_thread(&waiting, libc::SIGUSR1);
        if restart {
            thread::sleep(MOMENT);
            assert!(!waiting.is_finished(), "the call goes on after the signal");
            take(&b, Whose::OpenFile, libc::F_UNLCK, 0).unwrap();
            waiting.join().unwrap().unwrap();
        } else {
            assert_eq!(waiting.join().unwrap(), Err(Errno::EINTR));
            // What was to be raised is as it was.
            assert_eq!(take(&b, Whose::OpenFile, libc::F_WRLCK, 0), Err(Errno::EAGAIN));
            take(&b, Whose::OpenFile, libc::F_RDLCK, 0).unwrap();
        }
    }
    let held = Flock::lock(open(&pair.b.at("g")), FlockArg::LockExclusiveNonblock).map_err(|(_, e)| e).unwrap();
    sys::catch(libc::SIGUSR1, false);
    let file = open(&pair.a.at("g"));
    let waiting = thread::spawn(move || Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error));
    thread::sleep(MOMENT);
    sys::signal_thread(&waiting, libc::SIGUSR1);
    assert_eq!(waiting.join().unwrap().err(), Some(Errno::EINTR));
    drop(held);
}

/// Readers of both hosts come and go without a gap; a writer gets its turn all the same.
#[test]
fn readers_do_not_keep_a_writer_out_for_ever() {
    let pair = Pair::new("starving writer");
    let done = AtomicBool::new(false);
    drop(open(&pair.a.at("f")));
    thread::scope(|scope| {
        let enough = Stop(&done);
        for number in 0..6_u32 {
            let path = if number % 2 == 0 { pair.a.at("f") } else { pair.b.at("f") };
            let done = &done;
            scope.spawn(move || {
                let file = open(&path);
                thread::sleep(Duration::from_millis(50) * number);
                while !done.load(Ordering::Relaxed) {
                    await_lock(&file, Whose::OpenFile, libc::F_RDLCK, 0).unwrap();
                    thread::sleep(Duration::from_millis(300));
                    take(&file, Whose::OpenFile, libc::F_UNLCK, 0).unwrap();
                }
            });
        }
        thread::sleep(MOMENT);
        let start = Instant::now();
        let writer = open(&pair.b.at("f"));
        await_lock(&writer, Whose::OpenFile, libc::F_WRLCK, 0).unwrap();
        eprintln!("the writer waited {:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(20));
        drop(enough);
        drop(writer);
    });
}
