//! The reference model beside Holdfast: the same random steps in both, every answer compared, and
//! at the end the whole tree as each client sees it.
//!
//! `through_*` goes through the kernel-free file system of the mount, with sessions of its own to
//! a real server; `mounted_*` through system calls on real mounts. Steps, runs and seeds:
//! `HOLDFAST_MODEL_STEPS`, `HOLDFAST_MODEL_RUNS`, `HOLDFAST_SEED`.
#![expect(clippy::unwrap_used, reason = "a failed step of a test fails the test")]

mod kernel;
mod late;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use holdfast_tests::cluster::Cluster;
use holdfast_tests::model::disk::Disk;
use holdfast_tests::model::harness::{Driver, Plan, hunt};
use holdfast_tests::model::step::{Outcome, Step};
use holdfast_tests::mount::Mount;
use holdfast_tests::random::size;
use holdfast_tests::wait::Watchdog;

use kernel::Kernel;

fn plan(clients: usize, steps: usize, disturb_every: Option<u64>) -> Plan {
    let steps = size("HOLDFAST_MODEL_STEPS", steps, steps * 5);
    Plan { clients, steps, disturb_every, unique_inodes: true }
}

fn runs(quick: usize, full: usize) -> usize {
    size("HOLDFAST_MODEL_RUNS", quick, full)
}

fn limit(name: &str) -> Watchdog {
    let torture = holdfast_tests::random::torture();
    Watchdog::start(name, Duration::from_secs(if torture { 6 * 3600 } else { 280 }))
}

fn through(name: &str, plan: &Plan, runs: usize) {
    let _watchdog = limit(name);
    let cluster = Rc::new(RefCell::new(Cluster::machine()));
    let mut number = 0;
    hunt(name, runs, plan, || {
        number += 1;
        Kernel::new(&cluster, &format!("run-{number}"), plan.clients)
    });
    assert!(!cluster.borrow().server_log().contains("panicked"), "the server panicked");
}

#[test]
fn through_one_client() {
    through("through one client", &plan(1, 2500, None), runs(3, 400));
}

#[test]
fn through_two_clients() {
    through("through two clients", &plan(2, 2500, None), runs(3, 400));
}

#[test]
fn through_two_clients_while_the_server_restarts() {
    through("through two clients with restarts", &plan(2, 1200, Some(120)), runs(2, 200));
}

/// Mounts of one volume, and the cluster that they belong to.
struct Mounted<F> {
    disk: Disk<F>,
    _mounts: Vec<Mount>,
}

impl<F: FnMut(holdfast_tests::model::step::Disturb)> Driver for Mounted<F> {
    fn run(&mut self, client: usize, step: &Step) -> Outcome {
        self.disk.run(client, step)
    }
}

fn mounted(name: &str, options: &str, plan: &Plan, runs: usize) {
    let _watchdog = limit(name);
    let cluster = Rc::new(RefCell::new(Cluster::one_host()));
    let mut number = 0;
    hunt(name, runs, plan, || {
        number += 1;
        let volume = format!("run-{number}");
        cluster.borrow().volume(&volume);
        let mounts: Vec<Mount> = (0..plan.clients).map(|_| cluster.borrow().mount_with(0, &volume, options)).collect();
        let roots = mounts.iter().map(|mount| mount.path.clone()).collect();
        let server = Rc::clone(&cluster);
        let disk = Disk::new(roots, move |how| server.borrow_mut().disturb(how));
        Mounted { disk: if options.is_empty() { disk } else { disk.syncing() }, _mounts: mounts }
    });
    assert!(!cluster.borrow().server_log().contains("panicked"), "the server panicked");
}

#[test]
fn mounted_once() {
    mounted("mounted once", "", &plan(1, 2500, None), runs(2, 200));
}

#[test]
fn mounted_twice() {
    mounted("mounted twice", "", &plan(2, 2500, None), runs(2, 200));
}

#[test]
fn mounted_twice_while_the_server_restarts() {
    mounted("mounted twice with restarts", "", &plan(2, 1200, Some(120)), runs(1, 100));
}

#[test]
fn mounted_exclusively() {
    mounted("mounted exclusively", "exclusive", &plan(1, 2500, None), runs(2, 200));
}

#[test]
fn mounted_exclusively_while_the_server_restarts() {
    mounted("mounted exclusively with restarts", "exclusive", &plan(1, 1200, Some(120)), runs(1, 100));
}

#[test]
fn a_late_release_takes_no_lock_of_a_later_open() {
    let _watchdog = limit("a late release");
    let cluster = Rc::new(RefCell::new(Cluster::machine()));
    Kernel::new(&cluster, "late", 2).a_late_release_takes_no_lock();
}
