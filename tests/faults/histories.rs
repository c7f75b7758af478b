//! Registers, locks, renames and directory contents on several hosts at once, with faults: what the clients
//! saw of each object must be explained by one order of their calls.
//!
//! One object with the calls of all clients in one batch is one history. A batch has many objects, and one
//! fault, in the middle of its calls.

mod client;

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use holdfast_tests::cluster::Cluster;
use holdfast_tests::linear::objects::{Directory, Holders, Lock, Names, Register};
use holdfast_tests::linear::{End, Entry, check};
use holdfast_tests::model::step::Disturb;
use holdfast_tests::mount::Mount;
use holdfast_tests::random::{Random, seed, size};
use holdfast_tests::report::Report;
use holdfast_tests::wait;
use nix::sys::signal::Signal;

use crate::{limit, with_lease, without};
use client::{Call, Client, Fence, Kind, bytes};

/// Hosts, with one client each.
const HOSTS: &[&str] = &["h0", "h1", "h2", "h3", "h4", "h5"];
/// Objects of a batch, each kind as often.
const OBJECTS: usize = 24;
const KINDS: [Kind; 4] = [Kind::Register, Kind::Replaced, Kind::Lock, Kind::Names];
/// A history of fewer answered calls, or of fewer clients, is not counted.
const CALLS_MIN: usize = 12;
const CLIENTS_MIN: usize = 4;
/// Calls of each client before the fault, and after it.
const BEFORE: usize = 40;
const AFTER: usize = 60;
const LEASE: Duration = Duration::from_secs(2);
/// Batches with a server that leaves something out, until it is noticed.
const BATCHES_MAX: usize = 10;

/// What happens in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Server(Disturb),
    /// A host's network is cut.
    Cut {
        longer_than_lease: bool,
    },
    /// A mount is stopped (SIGSTOP).
    Stop {
        longer_than_lease: bool,
    },
}

const FAULTS: &[Fault] = &[
    Fault::Server(Disturb::Kill),
    Fault::Cut { longer_than_lease: true },
    Fault::Stop { longer_than_lease: false },
    Fault::Server(Disturb::Restart),
    Fault::Stop { longer_than_lease: true },
    Fault::Cut { longer_than_lease: false },
];

impl Fault {
    const fn fences(self) -> bool {
        matches!(self, Self::Cut { longer_than_lease: true } | Self::Stop { longer_than_lease: true })
    }

    /// Does it to the server, or to one host, and ends it.
    fn inject(self, cluster: &mut Cluster, mount: &mut Mount, victim: usize, random: &mut Random) {
        let lasts = |longer| if longer { LEASE * 3 / 2 } else { LEASE / 4 };
        match self {
            Self::Server(how) => cluster.disturb(how),
            Self::Cut { longer_than_lease } => {
                cluster.host(victim).cut();
                thread::sleep(lasts(longer_than_lease) + Duration::from_millis(random.below(100)));
                cluster.host(victim).heal();
            }
            Self::Stop { longer_than_lease } => {
                mount.process.signal(Signal::SIGSTOP);
                thread::sleep(lasts(longer_than_lease) + Duration::from_millis(random.below(100)));
                mount.process.signal(Signal::SIGCONT);
            }
        }
    }
}

/// Tells the clients to stop, also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Has all clients work while a fault happens; what they saw.
fn batch(
    cluster: &mut Cluster,
    mounts: &mut [Mount],
    number: usize,
    fault: Fault,
    random: &mut Random,
) -> (Vec<(usize, Call)>, Vec<String>, usize) {
    let name = format!("b{number}");
    prepare(&mounts[0], &name);
    let (victim, over, fence) = (random.index(mounts.len()), AtomicBool::new(false), Fence::default());
    let done: Vec<AtomicUsize> = mounts.iter().map(|_| AtomicUsize::new(0)).collect();
    let start = Instant::now();
    let clients: Vec<Client<'_>> = mounts
        .iter()
        .enumerate()
        .map(|(number, mount)| Client {
            number,
            root: mount.at(&name),
            random: Random::new(random.bits()),
            start,
            fence: (fault.fences() && number == victim).then_some(&fence),
            done: &done[number],
            open: HashMap::new(),
            calls: Vec::new(),
            errors: Vec::new(),
            wrong: Vec::new(),
            last: 0,
        })
        .collect();
    let nanos = || u64::try_from(start.elapsed().as_nanos()).unwrap();
    let seen = thread::scope(|scope| {
        let enough = Over(&over);
        let running: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                scope.spawn(|| {
                    while !over.load(Ordering::Acquire) {
                        let object = client.random.index(OBJECTS);
                        client.act(object, KINDS[object % KINDS.len()]);
                    }
                    client
                })
            })
            .collect();
        let all_have_done = |more: usize| {
            let before: Vec<usize> = done.iter().map(|done| done.load(Ordering::Acquire)).collect();
            wait::until_true("calls of all clients", wait::SOON * 2, || {
                done.iter().zip(&before).all(|(done, before)| done.load(Ordering::Acquire) >= before + more)
            });
        };
        all_have_done(BEFORE);
        thread::sleep(Duration::from_millis(random.below(50)));
        fence.begun.store(nanos(), Ordering::Release);
        fault.inject(cluster, &mut mounts[victim], victim, random);
        all_have_done(2);
        fence.over.store(nanos(), Ordering::Release);
        all_have_done(AFTER);
        drop(enough);
        running.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    let (mut calls, mut wrong, mut lost) = (Vec::new(), Vec::new(), 0);
    for client in seen {
        if client.fence.is_some() {
            lost += client.errors.len();
        } else {
            // Everybody else meets a pause at most.
            wrong.extend(client.errors.into_iter().map(|error| format!("client {}: {error}", client.number)));
        }
        wrong.extend(client.wrong);
        calls.extend(client.calls);
    }
    let removed = fs::remove_dir_all(mounts[0].at(&name));
    wrong.extend(removed.err().map(|error| format!("its directory cannot be removed: {error}")));
    (calls, wrong, lost)
}

/// The objects of a batch, in their first state.
fn prepare(mount: &Mount, name: &str) {
    fs::create_dir(mount.at(name)).unwrap();
    for object in 0..OBJECTS {
        let dir = mount.at(name).join(format!("o{object}"));
        fs::create_dir(&dir).unwrap();
        if KINDS[object % KINDS.len()] != Kind::Names {
            fs::write(dir.join("value"), bytes(0)).unwrap();
        }
    }
    File::open(mount.at(name)).unwrap().sync_all().unwrap();
}

/// The history of one object: how many calls were answered, by how many clients, and what is wrong with it.
fn judge(calls: &[(usize, Call)], object: usize) -> (usize, usize, Option<String>) {
    fn of<C>(entries: &[Entry<C>]) -> (usize, usize) {
        let answered = entries.iter().filter(|entry| matches!(entry.end, End::Answered(_)));
        let clients: BTreeSet<usize> = entries.iter().map(|entry| entry.client).collect();
        (answered.count(), clients.len())
    }
    let (mut registers, mut locks, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for (_, call) in calls.iter().filter(|(of, _)| *of == object) {
        match call {
            Call::Register(entry) => registers.push(entry.clone()),
            Call::Lock(entry) => locks.push(entry.clone()),
            Call::Names(entry) => names.push(entry.clone()),
        }
    }
    let ((answered, clients), result) = match KINDS[object % KINDS.len()] {
        Kind::Register | Kind::Replaced => (of(&registers), check(&Register, 0, &registers)),
        Kind::Lock => (of(&locks), check(&Lock, Holders::default(), &locks)),
        Kind::Names => (of(&names), check(&Names, Directory::of(vec![None; client::NAMES]), &names)),
    };
    (answered, clients, result.err().map(|refusal| refusal.to_string()))
}

/// Judges every object of a batch, and how many histories count; the longest.
fn account(calls: &[(usize, Call)], place: &str, report: &mut Report) -> usize {
    let mut longest = 0;
    for object in 0..OBJECTS {
        let (answered, clients, refused) = judge(calls, object);
        report.acknowledged += answered;
        longest = longest.max(answered);
        let kind = KINDS[object % KINDS.len()];
        report.violations(refused.map(|why| format!("{place}, {kind:?} {object}: {why}")));
        report.done += usize::from(answered >= CALLS_MIN && clients >= CLIENTS_MIN);
    }
    longest
}

/// A server that applies what a host does while others go on remembering what was there before is found out.
#[test]
fn a_server_that_recalls_nothing_is_found() {
    let what = "without recalls: histories";
    let _watchdog = limit(what);
    let mut report = Report::new(what, 1);
    let mut random = Random::new(seed(what));
    let mut cluster = Cluster::lan_with(HOSTS, without("recall", LEASE));
    cluster.volume("v");
    let mut mounts: Vec<Mount> = (0..HOSTS.len()).map(|host| cluster.mount(host, "v")).collect();
    for number in 0..BATCHES_MAX {
        let fault = Fault::Cut { longer_than_lease: false };
        let (calls, ..) = batch(&mut cluster, &mut mounts, number, fault, &mut random);
        report.faults += 1;
        account(&calls, &format!("batch {number}"), &mut report);
        if report.is_violated() {
            break;
        }
    }
    report.end_found();
}

#[test]
fn what_hosts_see_of_each_object_happened_in_one_order() {
    let wanted = size("HOLDFAST_HISTORIES", 200, 10_000);
    let _watchdog = limit("histories");
    let mut report = Report::new("linearizable histories", wanted);
    let mut random = Random::new(seed("histories"));
    let mut cluster = Cluster::lan_with(HOSTS, with_lease(LEASE));
    cluster.volume("v");
    let mut mounts: Vec<Mount> = (0..HOSTS.len()).map(|host| cluster.mount(host, "v")).collect();
    let (mut longest, mut failed) = (0, 0);
    for number in 0.. {
        let fault = FAULTS[number % FAULTS.len()];
        let (calls, wrong, lost) = batch(&mut cluster, &mut mounts, number, fault, &mut random);
        report.faults += 1;
        failed += lost;
        report.violations(wrong.into_iter().map(|wrong| format!("batch {number}, {fault:?}: {wrong}")));
        longest = longest.max(account(&calls, &format!("batch {number}, {fault:?}"), &mut report));
        if report.done >= wanted {
            break;
        }
    }
    report.note(format!(
        "{} clients, up to {longest} calls in one, {failed} calls of cut off clients failed",
        HOSTS.len()
    ));
    report.end();
}
