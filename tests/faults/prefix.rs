//! A client that dies leaves a prefix of what it did: the model after some number of its steps, at least as
//! many as were synced.

use std::fs;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use holdfast_tests::cluster::Cluster;
use holdfast_tests::journal::{Fate, Journal};
use holdfast_tests::model::tree::{Prefix, of_directory};
use holdfast_tests::mount::Mount;
use holdfast_tests::random::{Random, seed, size};
use holdfast_tests::report::Report;
use holdfast_tests::wait;
use nix::sys::signal::Signal;

use crate::kills::kill;
use crate::{limit, with_lease};

/// Clients that die in one round.
const CLIENTS: usize = 5;

/// One client, and what is known of it.
struct Client {
    name: String,
    steps: Journal,
    fate: Fate,
    /// Of a hundred steps so many are an fsync.
    syncs: u64,
    /// Steps after which it may die.
    age: usize,
    pause: Duration,
}

/// Lets all of them go on to their end, also when the test fails.
struct Over<'a>(&'a [Client]);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        for client in self.0 {
            client.fate.over.store(true, Ordering::Release);
        }
    }
}

/// In every other round the server stands still for a moment before they die, so that much of what was
/// answered has not been sent.
#[test]
fn a_client_that_dies_leaves_a_prefix_of_what_it_did() {
    let wanted = size("HOLDFAST_PREFIXES", 20, 500);
    let _watchdog = limit("prefix");
    let mut report = Report::new("prefix after a client's death", wanted);
    let mut random = Random::new(seed("prefix"));
    let mut cluster = Cluster::one_host_with(with_lease(Duration::from_secs(2)));
    cluster.volume("v");
    let other = cluster.mount(0, "v");
    let (mut lost, mut shorter, mut goal) = (0, 0, wanted);
    while report.done < goal {
        let clients: Vec<Client> = (0..CLIENTS.min(goal - report.done))
            .map(|number| Client {
                name: format!("c{}", report.done + number),
                steps: Journal::default(),
                fate: Fate::default(),
                syncs: *random.pick(&[0, 1, 5]),
                age: 50 + random.index(400),
                pause: Duration::from_millis(random.below(60)),
            })
            .collect();
        let mounts: Vec<Mount> = clients.iter().map(|_| cluster.mount(0, "v")).collect();
        for (client, mount) in clients.iter().zip(&mounts) {
            crate::make_synced_dir(&mount.path, &client.name);
        }
        let synced = die(&mut cluster, &clients, mounts, &mut random, report.done / CLIENTS % 2 == 1);
        report.faults += clients.len();
        for (client, synced) in clients.iter().zip(synced) {
            let mark = client.steps.mark();
            report.acknowledged += mark.answered;
            report.violations(client.steps.wrong().map(|wrong| format!("{}: {wrong}", client.name)));
            let tree = of_directory(&other.at(&client.name)).map_err(|error| error.to_string());
            match tree.and_then(|tree| Prefix::default().find(&client.steps.steps(0), synced, &tree)) {
                Ok(found) => {
                    lost += mark.answered.saturating_sub(found);
                    shorter += usize::from(found < mark.answered);
                }
                Err(error) => report.violation(format!("{}: {error}", client.name)),
            }
            fs::remove_dir_all(other.at(&client.name)).unwrap();
            report.done += 1;
        }
        // A client has little that is answered and not sent: in a few rounds it may have been nothing.
        if report.done == goal && shorter == 0 && goal < 5 * wanted {
            goal += 2 * CLIENTS;
        }
    }
    report.note(format!("{shorter} were shorter than what was answered, by {lost} steps in all"));
    if shorter == 0 {
        report.violation("nothing was ever lost: no client had anything at risk, so this run proves nothing");
    }
    report.end();
}

/// Has all clients work, and die. How many steps of each were synced just before.
fn die(
    cluster: &mut Cluster,
    clients: &[Client],
    mounts: Vec<Mount>,
    random: &mut Random,
    server_stands_still: bool,
) -> Vec<usize> {
    thread::scope(|scope| {
        let over = Over(clients);
        for (client, mount) in clients.iter().zip(&mounts) {
            let (root, seed) = (mount.at(&client.name), random.bits());
            scope.spawn(move || client.steps.work(&root, seed, client.syncs, &client.fate));
        }
        if server_stands_still {
            wait::until_true("work of all", wait::SOON, || clients.iter().all(Client::is_of_age));
            cluster.server().signal(Signal::SIGSTOP);
        }
        let mut victims = Vec::new();
        for (client, mount) in clients.iter().zip(mounts) {
            victims.push(scope.spawn(move || {
                wait::until_true("its work", wait::SOON, || client.is_of_age());
                thread::sleep(client.pause);
                let synced = client.steps.mark().synced;
                kill(mount, &client.fate);
                synced
            }));
        }
        let synced = victims.into_iter().map(|victim| victim.join().unwrap()).collect();
        if server_stands_still {
            cluster.server().signal(Signal::SIGCONT);
        }
        drop(over);
        synced
    })
}

impl Client {
    fn is_of_age(&self) -> bool {
        self.steps.mark().answered >= self.age || self.steps.wrong().is_some()
    }
}
