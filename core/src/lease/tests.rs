//! Every order of events, for small numbers of everything: a world of one server and a few clients
//! that use both halves as the shells do.

mod client;
mod explore;
mod server;
mod world;

use explore::{Found, explore};
use world::{Defect, Limits};

/// Explores and says how much; fails on a violation.
fn all_is_well(name: &str, limits: Limits) {
    let report = explore(limits, Defect::None);
    eprintln!("{name}: {report:?}");
    assert!(report.violation.is_none(), "{name}: {:#?}", report.violation);
    assert!(report.reached_everything(), "{name}: some event never happened: {report:?}");
}

/// `HOLDFAST_TORTURE=1` (`make torture`): every order of more events, for minutes and gigabytes.
fn torture() -> bool {
    std::env::var("HOLDFAST_TORTURE").is_ok_and(|value| value == "1")
}

const SMALL: Limits =
    Limits { clients: 2, inodes: 1, calls: 2, breaks: 0, restarts: 0, ticks: 0, beats: 0, releases: 0 };

#[test]
fn two_clients_take_turns_on_two_inodes() {
    all_is_well("turns", Limits { inodes: 2, ..SMALL });
}

#[test]
fn three_clients_want_one_inode() {
    all_is_well("three", Limits { clients: 3, calls: if torture() { 2 } else { 1 }, ..SMALL });
}

#[test]
fn leases_are_given_back_unasked() {
    all_is_well("releases", Limits { releases: 1, ..SMALL });
}

#[test]
fn streams_break() {
    all_is_well("breaks", Limits { breaks: 1, ..SMALL });
}

#[test]
fn streams_break_while_leases_are_given_back_unasked() {
    all_is_well("breaks and releases", Limits { breaks: 2, calls: 1, releases: 1, ..SMALL });
}

#[test]
fn sessions_expire() {
    all_is_well("expiry", Limits { breaks: 1, ticks: 3, beats: u8::from(torture()), calls: 1, ..SMALL });
}

#[test]
fn sessions_are_renewed() {
    all_is_well("heartbeats", Limits { ticks: if torture() { 3 } else { 1 }, beats: 1, calls: 1, ..SMALL });
}

#[test]
fn the_server_restarts_twice() {
    let clients = if torture() { 3 } else { 2 };
    all_is_well("restarts", Limits { clients, restarts: 2, calls: 1, ..SMALL });
}

#[test]
fn the_server_restarts_and_streams_break_and_time_passes() {
    all_is_well("all", Limits { restarts: 1, breaks: 1, ticks: if torture() { 3 } else { 0 }, calls: 1, ..SMALL });
}

/// Each defect that is put in is found.
#[test]
fn what_is_wrong_is_found() {
    let away = Limits { breaks: 1, ticks: 4, calls: 1, ..SMALL };
    let defects = [
        (Defect::GrantsEarly, SMALL),
        (Defect::TrustsTooLong, away),
        (Defect::ReclaimsOnFaith, away),
        (Defect::ReleasesTooEarly, Limits { breaks: 1, ..SMALL }),
        (Defect::KeepsBlocked, Limits { inodes: 2, ..SMALL }),
    ];
    for (defect, limits) in defects {
        let report = explore(limits, defect);
        let Some(Found { what, trace }) = report.violation else { panic!("{defect:?} was not found: {report:?}") };
        eprintln!("{defect:?}: {what}, after {} events", trace.len());
    }
}
