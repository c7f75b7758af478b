//! SIGKILL at random moments of a mixed load: of the server, and of clients.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use holdfast_tests::cluster::Cluster;
use holdfast_tests::journal::Fate;
use holdfast_tests::model::step::Disturb;
use holdfast_tests::model::tree::{Prefix, of_directory};
use holdfast_tests::mount::Mount;
use holdfast_tests::offline::Offline;
use holdfast_tests::random::{Random, seed, size};
use holdfast_tests::report::Report;
use holdfast_tests::wait;

use crate::load::{Load, Moment, Over};
use crate::{limit, with_lease, without};

/// Clients that are killed in one round.
const CLIENTS: usize = 5;
/// Steps of a hundred that are an fsync, by load.
const SYNCS: [u64; 2] = [4, 15];

/// What is wrong with the metadata of a server that does not run.
fn findings(cluster: &Cluster) -> Vec<String> {
    let found = Offline::of(&cluster.data()).and_then(|disk| disk.findings());
    found.unwrap_or_else(|error| vec![format!("the volume cannot be checked: {error}")])
}

/// Ends the server again and again while two hosts work. After each end its disk alone is looked at, on
/// which nobody can bring anything back; at the end everything that was answered is there, synced or not,
/// since no client has died. A server that leaves something out is ended until that is noticed.
fn end_the_server(what: &'static str, how: Disturb, times: usize, failpoint: &str) -> Report {
    let _watchdog = limit(what);
    let mut report = Report::new(what, times);
    let mut random = Random::new(seed(what));
    let options = without(failpoint, Duration::from_secs(5));
    let mut cluster = Cluster::lan_with(&["host-a", "host-b"], options);
    cluster.volume("v");
    let mounts = [0, 1].map(|host| cluster.mount(host, "v"));
    let loads = [0, 1].map(|number| Load::new(&mounts[number].path, &format!("m{number}")));
    let (mut prefixes, mut unsynced) = ([Prefix::default(), Prefix::default()], 0);
    thread::scope(|scope| {
        let over = Over(&loads);
        for (load, syncs) in loads.iter().zip(SYNCS) {
            load.start(scope, random.bits(), syncs);
        }
        while report.done < times && loads.iter().all(|load| load.complaint().is_none()) {
            // Only a server with work is worth it.
            for load in &loads {
                let (steps, files) = load.synced();
                wait::until_true("synced work", wait::SOON, || load.has_synced_since(steps, files));
            }
            thread::sleep(Duration::from_millis(random.below(100)));
            let before = loads.each_ref().map(Load::now);
            match how {
                Disturb::Kill => cluster.kill(),
                Disturb::Restart => cluster.stop(),
            }
            let after = loads.each_ref().map(Load::now);
            report.faults += 1;
            let disk = Offline::of(&cluster.data());
            cluster.start();
            let disk = disk.unwrap();
            report.violations(disk.findings().unwrap());
            for (number, load) in loads.iter().enumerate() {
                let [steps, files] = load.names();
                let tree = disk.tree(&[&steps]).map_err(|error| error.to_string());
                let read = |name: &str| disk.read(&[&files, name]).map_err(|error| error.to_string());
                let moments = (&before[number], &after[number]);
                unsynced += load.verify(&mut prefixes[number], moments, tree, read, &mut report);
            }
            report.done += 1;
            if report.is_violated() && !failpoint.is_empty() {
                break;
            }
        }
        drop(over);
    });
    if report.is_violated() && !failpoint.is_empty() {
        report.acknowledged += loads.iter().map(Load::acknowledged).sum::<usize>();
        return report;
    }
    report.note(format!("{unsynced} answered steps were not on the disk yet, and came back"));
    for (number, load) in loads.iter().enumerate() {
        let (now, other) = (load.now(), &mounts[1 - number]);
        report.acknowledged += load.acknowledged();
        report.violations(load.complaint());
        let lost = seen_by(other, load, &mut prefixes[number], (&now, &now), &mut report);
        if lost > 0 {
            report.violation(format!("{lost} answered steps of {} are gone, and its client lives", load.who));
        }
    }
    drop(mounts);
    cluster.stop();
    report.violations(findings(&cluster));
    report
}

#[test]
fn a_killed_server_keeps_every_synced_byte() {
    end_the_server("kill -9 of the server", Disturb::Kill, size("HOLDFAST_KILLS", 30, 1000), "").end();
}

#[test]
fn a_server_that_is_told_to_end_keeps_every_synced_byte() {
    end_the_server("SIGTERM to the server", Disturb::Restart, size("HOLDFAST_ENDS", 5, 100), "").end();
}

#[test]
fn a_server_that_acknowledges_before_it_commits_is_found() {
    let what = "without the commit before the answer: kill -9 of the server";
    end_the_server(what, Disturb::Kill, 30, "commit-first").end_found();
}

/// What another mount sees of a load.
fn seen_by(other: &Mount, load: &Load, prefix: &mut Prefix, moments: (&Moment, &Moment), report: &mut Report) -> usize {
    let [steps, files] = load.names();
    let tree = of_directory(&other.at(&steps)).map_err(|error| error.to_string());
    let read = |name: &str| fs::read(other.at(&files).join(name)).map_err(|error| error.to_string());
    load.verify(prefix, moments, tree, read, report)
}

/// Kills a mount, so that its work may fail from now on.
pub(crate) fn kill(mount: Mount, fate: &Fate) {
    fate.dying.store(true, Ordering::Release);
    mount.kill();
}

/// Another mount sees what the dead ones had done up to some moment, which is not before their last fsync.
#[test]
fn a_killed_client_keeps_every_synced_byte() {
    let kills = size("HOLDFAST_CLIENT_KILLS", 30, 1000);
    let _watchdog = limit("kill clients");
    let mut report = Report::new("kill -9 of a client", kills);
    let mut random = Random::new(seed("kill clients"));
    let mut cluster = Cluster::one_host_with(with_lease(Duration::from_secs(2)));
    cluster.volume("v");
    let other = cluster.mount(0, "v");
    let mut lost = 0;
    while report.done < kills {
        let batch = CLIENTS.min(kills - report.done);
        let mounts: Vec<Mount> = (0..batch).map(|_| cluster.mount(0, "v")).collect();
        let who = |number| format!("c{}", report.done + number);
        let loads: Vec<Load> =
            mounts.iter().enumerate().map(|(number, mount)| Load::new(&mount.path, &who(number))).collect();
        let moments: Vec<_> = thread::scope(|scope| {
            let over = Over(&loads);
            let mut victims = Vec::new();
            for (load, mount) in loads.iter().zip(mounts) {
                load.start(scope, random.bits(), *random.pick(&SYNCS));
                let pause = Duration::from_millis(random.below(300));
                victims.push(scope.spawn(move || {
                    wait::until_true("synced work", wait::SOON, || load.has_synced_since(0, 0));
                    thread::sleep(pause);
                    let before = load.now();
                    kill(mount, &load.fate);
                    before
                }));
            }
            let moments = victims.into_iter().map(|victim| victim.join().unwrap()).collect();
            drop(over);
            moments
        });
        report.faults += batch;
        for (load, before) in loads.iter().zip(&moments) {
            report.acknowledged += load.acknowledged();
            report.violations(load.complaint());
            lost += seen_by(&other, load, &mut Prefix::default(), (before, &load.now()), &mut report);
            load.names().iter().for_each(|name| remove(&other.at(name)));
        }
        report.done += batch;
        if report.done.is_multiple_of(100) || report.done == kills {
            cluster.kill();
            report.violations(findings(&cluster));
            cluster.start();
        }
    }
    report.note(format!("{lost} answered steps lost, none of them synced"));
    report.end();
}

/// Makes room for the next round.
fn remove(dir: &Path) {
    fs::remove_dir_all(dir).unwrap();
}
