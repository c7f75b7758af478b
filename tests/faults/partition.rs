//! A host is cut off, for less and for more than its lease, stopped, put to sleep, or its clocks jump, while
//! another one takes over what it had: nobody reads what was overwritten before, nothing of it lands late,
//! it is told of each file of which it lost something once, and works again without a new mount.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use holdfast_tests::clocks::Clocks;
use holdfast_tests::cluster::Cluster;
use holdfast_tests::linear::objects::{Holders, Lock, LockCall, Register, RegisterCall};
use holdfast_tests::linear::{End, Entry, check};
use holdfast_tests::mount::Mount;
use holdfast_tests::random::{Random, seed, size};
use holdfast_tests::report::Report;
use holdfast_tests::wait;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;

use crate::{limit, without};

const LEASE: Duration = Duration::from_secs(2);
const HOUR: i64 = 3600;
/// Who is cut off, and who takes over.
const VICTIM: usize = 0;
const OTHER: usize = 1;
/// What the other one writes, and what the victim writes while it is cut off.
const TAKEN: u64 = 2;
const LATE: u64 = 1;
/// The files of a round: one that the victim reads all the time, two of which it may lose something, one
/// that it has open and does not write, one that it locks.
const FILES: [&str; 5] = ["seen", "taken0", "taken1", "clean", "locked"];
/// How often the other one writes when all is over, and the victim reads.
const TURNS: u64 = 20;
/// Rounds with a server that leaves something out, until it is noticed.
const ROUNDS_MAX: usize = 8;

/// What happens to the victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Its network is cut, for a third of its lease.
    ShortCut,
    /// Its network is cut for longer than its lease.
    LongCut,
    /// Its mount is stopped for longer than its lease.
    Stop,
    /// It sleeps: its mount is stopped, and its boot-time clock stands still and then jumps by an hour.
    Sleep,
    /// Its clocks jump by an hour, the wall clock back and forth.
    Jump,
}

const FAULTS: [Fault; 5] = [Fault::ShortCut, Fault::LongCut, Fault::Stop, Fault::Sleep, Fault::Jump];

impl Fault {
    const fn is_longer_than_lease(self) -> bool {
        matches!(self, Self::LongCut | Self::Stop | Self::Sleep)
    }

    /// Whether the victim's mount itself stands still, and answers nothing.
    const fn stops(self) -> bool {
        matches!(self, Self::Stop | Self::Sleep)
    }
}

/// Two hosts, the victim with clocks of its own.
struct Hosts {
    mounts: [Mount; 2],
    clocks: Clocks,
    cluster: Cluster,
}

impl Hosts {
    /// With a server that leaves something out, or nothing.
    fn new(failpoint: &str) -> Self {
        let cluster = Cluster::lan_with(&["victim", "other"], without(failpoint, LEASE));
        cluster.volume("v");
        let clocks = Clocks::new();
        let mounts = [cluster.mount_under(&clocks, VICTIM, "v", ""), cluster.mount(OTHER, "v")];
        Self { mounts, clocks, cluster }
    }

    fn begin(&mut self, fault: Fault, random: &mut Random) {
        match fault {
            Fault::ShortCut | Fault::LongCut => self.cluster.host(VICTIM).cut(),
            Fault::Stop => self.mounts[VICTIM].process.signal(Signal::SIGSTOP),
            Fault::Sleep => {
                self.clocks.stop_boot();
                self.mounts[VICTIM].process.signal(Signal::SIGSTOP);
            }
            Fault::Jump => {
                self.clocks.set_wall(*random.pick(&[HOUR, -HOUR, 0]));
                self.clocks.jump_boot(Duration::from_secs(3600));
            }
        }
    }

    fn end(&mut self, fault: Fault) {
        match fault {
            Fault::ShortCut | Fault::LongCut => self.cluster.host(VICTIM).heal(),
            Fault::Stop => self.mounts[VICTIM].process.signal(Signal::SIGCONT),
            Fault::Sleep => {
                self.clocks.jump_boot(Duration::from_secs(3600));
                self.mounts[VICTIM].process.signal(Signal::SIGCONT);
            }
            Fault::Jump => {}
        }
    }
}

/// What is seen of one file, as a register.
type History = Vec<Entry<RegisterCall>>;

fn nanos(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn write(file: &File, value: u64) -> io::Result<()> {
    file.write_all_at(&value.to_le_bytes(), 0)
}

fn read(file: &File) -> io::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, 0).map(|()| u64::from_le_bytes(bytes))
}

/// A read that is seen, if it is answered.
fn look(client: usize, file: &File, start: Instant, history: &mut History) {
    let begun = nanos(start);
    if let Ok(value) = read(file) {
        let end = End::Answered(nanos(start));
        history.push(Entry { client, call: RegisterCall::Read(value), begun, end });
    }
}

/// What became of a late write of the victim.
struct Late {
    entry: Entry<RegisterCall>,
    /// The write, the fsync behind it, and one more.
    results: [io::Result<()>; 3],
}

impl Late {
    /// What may be lost, with its beginning and end.
    fn write(file: &File, start: Instant) -> (u64, u64, io::Result<()>) {
        let begun = nanos(start);
        let written = write(file, LATE);
        (begun, nanos(start), written)
    }

    /// Writes and syncs. `written`: it was answered already, before the fault. What a sync has not refused was
    /// done when the write was answered, as everybody sees it from then on.
    fn new(file: &File, start: Instant, written: Option<(u64, u64, io::Result<()>)>) -> Self {
        let (begun, answered, written) = written.unwrap_or_else(|| Self::write(file, start));
        let synced = file.sync_all();
        let all = written.is_ok() && synced.is_ok();
        let end = if all { End::Answered(answered) } else { End::Failed(nanos(start)) };
        let entry = Entry { client: VICTIM, call: RegisterCall::Write(LATE), begun, end };
        Self { entry, results: [written, synced, file.sync_all()] }
    }

    /// Whether it was told of a loss; and what is wrong with how it was told.
    fn told(&self, may_lose: bool) -> (bool, Option<String>) {
        let errors: Vec<&io::Error> = self.results.iter().filter_map(|result| result.as_ref().err()).collect();
        let eio = errors.iter().all(|error| error.raw_os_error() == Some(libc::EIO));
        let right = eio && errors.len() <= usize::from(may_lose);
        (!errors.is_empty(), (!right).then(|| format!("write, fsync, fsync: {:?}", self.results)))
    }
}

/// What a round has shown.
#[derive(Default)]
struct Outcome {
    acknowledged: usize,
    told: usize,
    wrong: Vec<String>,
}

/// Takes and lets go of a lock, or holds it on.
fn lock(by: usize, file: &File, how: FlockArg, start: Instant) -> (Entry<LockCall>, Option<Flock<File>>) {
    let begun = nanos(start);
    let taken = Flock::lock(file.try_clone().unwrap(), how);
    let end = End::Answered(nanos(start));
    let call = |got| Entry { client: by, call: LockCall::Take { by, exclusive: true, got }, begun, end };
    match taken {
        Ok(held) => (call(true), Some(held)),
        Err((_, Errno::EWOULDBLOCK)) => (call(false), None),
        // It may have been given, and taken away again.
        Err(_) => (Entry { end: End::Failed(nanos(start)), ..call(true) }, None),
    }
}

/// When all is over: the other one writes and the victim reads, by turns, and one of them has the lock.
fn take_turns(
    (seen, locked): (&File, &File),
    (written, held): (&File, &File),
    start: Instant,
    (history, locks): (&mut History, &mut Vec<Entry<LockCall>>),
) {
    let (taken, _holds) = lock(OTHER, held, FlockArg::LockExclusiveNonblock, start);
    locks.push(taken);
    for turn in 1..=TURNS {
        let begun = nanos(start);
        if write(written, TAKEN + turn).is_ok() {
            let call = RegisterCall::Write(TAKEN + turn);
            history.push(Entry { client: OTHER, call, begun, end: End::Answered(nanos(start)) });
        }
        look(VICTIM, seen, start, history);
    }
    locks.push(lock(VICTIM, locked, FlockArg::LockExclusiveNonblock, start).0);
}

/// `late`: the victim has written what may be lost.
fn round(hosts: &mut Hosts, number: usize, (fault, late): (Fault, bool), random: &mut Random) -> Outcome {
    let dir = format!("r{number}");
    let at = |hosts: &Hosts, host: usize, name: &str| hosts.mounts[host].at(&dir).join(name);
    fs::create_dir(hosts.mounts[VICTIM].at(&dir)).unwrap();
    let start = Instant::now();
    for name in FILES {
        fs::write(at(hosts, VICTIM, name), 0_u64.to_le_bytes()).unwrap();
    }
    let open = |path| File::options().read(true).write(true).open(path).unwrap();
    let [seen, taken0, taken1, clean, locked] = FILES.map(|name| open(at(hosts, VICTIM, name)));
    clean.sync_all().unwrap();
    // From here on it may decide about this file's locks by itself.
    drop(lock(VICTIM, &locked, FlockArg::LockExclusiveNonblock, start));
    let (pause, longer) = (Duration::from_millis(random.below(100)), Duration::from_millis(random.below(300)));
    let over = AtomicBool::new(false);
    let mut outcome = Outcome::default();
    let (seen_by_victim, late, taken, may_lose) = thread::scope(|scope| {
        let looker = scope.spawn(|| {
            let mut history = History::new();
            while !over.load(Ordering::Acquire) {
                look(VICTIM, &seen, start, &mut history);
                thread::sleep(Duration::from_millis(1));
            }
            history
        });
        thread::sleep(Duration::from_millis(30));
        // A mount that is stopped answers nothing: what it may lose was answered just before.
        let before = |file| (late && fault.stops()).then(|| Late::write(file, start));
        let written = [before(&taken0), before(&taken1)];
        let begun = Instant::now();
        hosts.begin(fault, random);
        let late: Vec<_> = [&taken0, &taken1]
            .into_iter()
            .zip(written)
            .filter(|_| late)
            .map(|(file, written)| scope.spawn(move || Late::new(file, start, written)))
            .collect();
        let paths = ["seen", "taken0", "taken1"].map(|name| at(hosts, OTHER, name));
        let taking = scope.spawn(move || {
            thread::sleep(pause);
            paths.map(|path| {
                let begun = nanos(start);
                let written = File::options().write(true).open(path).and_then(|file| {
                    write(&file, TAKEN)?;
                    file.sync_all()
                });
                written.unwrap();
                let end = End::Answered(nanos(start));
                Entry { client: OTHER, call: RegisterCall::Write(TAKEN), begun, end }
            })
        });
        if fault.is_longer_than_lease() {
            wait::until_true("the other host to take over", wait::SOON, || taking.is_finished());
            thread::sleep(longer);
        } else {
            thread::sleep(LEASE / 3);
        }
        hosts.end(fault);
        // On a machine that is busy with other things a short fault may have been a long one.
        let may_lose = fault.is_longer_than_lease() || (fault != Fault::Jump && begun.elapsed() > LEASE * 3 / 4);
        let taken = taking.join().unwrap();
        let late: Vec<Late> = late.into_iter().map(|late| late.join().unwrap()).collect();
        // It reads on for a while, and has to be answered again.
        wait::until_true("the victim to be answered", wait::SOON, || read(&seen).is_ok());
        thread::sleep(Duration::from_millis(50));
        over.store(true, Ordering::Release);
        (looker.join().unwrap(), late, taken, may_lose)
    });
    outcome.acknowledged = seen_by_victim.len() + taken.len();
    let mut histories = [seen_by_victim, History::new(), History::new()];
    for (history, entry) in histories.iter_mut().zip(taken) {
        history.push(entry);
    }
    let mut locks = Vec::new();
    let by_other = ["seen", "locked"].map(|name| open(at(hosts, OTHER, name)));
    take_turns((&seen, &locked), (&by_other[0], &by_other[1]), start, (&mut histories[0], &mut locks));
    let refused = check(&Lock, Holders::default(), &locks).err();
    outcome.wrong.extend(refused.map(|refusal| format!("locked: {refusal}")));
    for (number, late) in late.into_iter().enumerate() {
        let (told, wrong) = late.told(may_lose);
        outcome.told += usize::from(told);
        outcome.wrong.extend(wrong.map(|wrong| format!("taken{number}: {wrong}")));
        histories[number + 1].push(late.entry);
    }
    for (name, (held, history)) in FILES.iter().zip([&seen, &taken0, &taken1].into_iter().zip(&mut histories)) {
        look(VICTIM, held, start, history);
        for host in [VICTIM, OTHER, VICTIM] {
            look(host, &open(at(hosts, host, name)), start, history);
        }
        outcome.acknowledged += 3;
        let refused = check(&Register, 0, history).err();
        outcome.wrong.extend(refused.map(|refusal| format!("{name}: {refusal}")));
    }
    if let Err(error) = clean.sync_all() {
        outcome.wrong.push(format!("told of a file of which nothing was lost: {error}"));
    }
    // It works again, without a new mount.
    let again = at(hosts, VICTIM, "again");
    let worked = fs::write(&again, dir.as_bytes()).and_then(|()| File::open(&again)?.sync_all());
    outcome.wrong.extend(worked.err().map(|error| format!("it does not work again: {error}")));
    if fs::read(at(hosts, OTHER, "again")).is_ok_and(|found| found != dir.as_bytes()) {
        outcome.wrong.push("the other host does not see what it wrote again".to_owned());
    }
    fs::remove_dir_all(hosts.mounts[OTHER].at(&dir)).unwrap();
    outcome
}

#[test]
fn a_host_that_is_cut_off_reads_nothing_old_and_writes_nothing_late() {
    let wanted = size("HOLDFAST_PARTITIONS", 10, 1000);
    let _watchdog = limit("partition");
    let mut report = Report::new("a host cut off, stopped, asleep", wanted);
    let mut random = Random::new(seed("partition"));
    let mut hosts = Hosts::new("");
    let mut told = 0;
    for number in 0..wanted {
        let fault = FAULTS[number % FAULTS.len()];
        let outcome = round(&mut hosts, number, (fault, true), &mut random);
        report.faults += 1;
        report.acknowledged += outcome.acknowledged;
        told += outcome.told;
        report.violations(outcome.wrong.into_iter().map(|wrong| format!("round {number}, {fault:?}: {wrong}")));
        report.done += 1;
    }
    report.note(format!("told of {told} files that lost something, once each"));
    if told == 0 {
        report.violation("no host ever lost anything: nothing was at risk, so this run proves nothing");
    }
    report.end();
}

/// A server that leaves a part of fencing out is found out, by the same rounds.
fn is_found(what: &'static str, failpoint: &str, late: bool) {
    let _watchdog = limit(what);
    let mut report = Report::new(what, ROUNDS_MAX);
    let mut random = Random::new(seed(what));
    let mut hosts = Hosts::new(failpoint);
    while report.done < ROUNDS_MAX && !report.is_violated() {
        let outcome = round(&mut hosts, report.done, (Fault::LongCut, late), &mut random);
        report.faults += 1;
        report.acknowledged += outcome.acknowledged;
        report.violations(outcome.wrong);
        report.done += 1;
    }
    report.end_found();
}

#[test]
fn a_server_that_does_not_fence_is_found() {
    is_found("without fencing: a host cut off", "fence", true);
}

#[test]
fn a_server_that_believes_what_was_given_away_is_found() {
    is_found("with stale reclaims: a host cut off", "stale-reclaim", false);
}
