//! Every order of events, for small numbers of everything: a world of one server and a few clients
//! that use both halves as the shells do.

pub(in crate::lease) mod canon;
mod client;
mod explore;
mod server;
mod world;

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use explore::{Found, exactly, explore, explore_by};
use world::{Defect, Limits, World};

/// Explores and says how much; fails on a violation. How many states there are.
fn all_is_well(name: &str, limits: Limits) -> usize {
    let report = explore(limits, Defect::None);
    eprintln!("{name}: {report:?}");
    assert!(report.violation.is_none(), "{name}: {:#?}", report.violation);
    assert!(report.reached_everything(), "{name}: some event never happened: {report:?}");
    report.states
}

/// `HOLDFAST_TORTURE=1` (`make torture`): every order of more events, for minutes and gigabytes.
fn torture() -> bool {
    std::env::var("HOLDFAST_TORTURE").is_ok_and(|value| value == "1")
}

const SMALL: Limits =
    Limits { clients: 2, inodes: 1, calls: 2, breaks: 0, restarts: 0, ticks: 0, beats: 0, releases: 0 };

/// Every client calls once, and the server restarts twice.
const THREE: Limits = Limits { clients: 3, calls: 1, restarts: 2, ..SMALL };

#[test]
fn two_clients_take_turns_on_two_inodes() {
    let _ = all_is_well("turns", Limits { inodes: 2, ..SMALL });
}

#[test]
fn three_clients_want_one_inode() {
    let _ = all_is_well("three", Limits { clients: 3, calls: if torture() { 2 } else { 1 }, ..SMALL });
}

#[test]
fn leases_are_given_back_unasked() {
    let _ = all_is_well("releases", Limits { releases: 1, ..SMALL });
}

#[test]
fn streams_break() {
    let _ = all_is_well("breaks", Limits { breaks: 1, ..SMALL });
}

#[test]
fn streams_break_while_leases_are_given_back_unasked() {
    let _ = all_is_well("breaks and releases", Limits { breaks: 2, calls: 1, releases: 1, ..SMALL });
}

#[test]
fn sessions_expire() {
    let _ = all_is_well("expiry", Limits { breaks: 1, ticks: 3, beats: u8::from(torture()), calls: 1, ..SMALL });
}

#[test]
fn sessions_are_renewed() {
    let _ = all_is_well("heartbeats", Limits { ticks: if torture() { 3 } else { 1 }, beats: 1, calls: 1, ..SMALL });
}

#[test]
fn the_server_restarts_twice() {
    let clients = if torture() { 3 } else { 2 };
    let _ = all_is_well("restarts", Limits { clients, restarts: 2, calls: 1, ..SMALL });
}

#[test]
fn the_server_restarts_and_streams_break_and_time_passes() {
    let _ =
        all_is_well("all", Limits { restarts: 1, breaks: 1, ticks: if torture() { 3 } else { 0 }, calls: 1, ..SMALL });
}

/// The forms that a state leads to.
fn leads_to(world: &World, limits: Limits) -> BTreeSet<u128> {
    let next = |event| {
        let mut next = world.clone();
        next.happen(event, Defect::None).is_ok().then(|| canon::fingerprint(&next, limits, Defect::None))
    };
    world.events(limits).into_iter().filter_map(next).collect()
}

/// States that are taken for one behave alike: they lead to the same forms, and an exploration that tells all of
/// them apart comes to the same forms, no more and no fewer.
#[test]
fn the_form_of_states_hides_nothing() {
    let sizes = [
        SMALL,
        Limits { inodes: 2, calls: 1, ..SMALL },
        Limits { clients: 3, calls: 1, ..SMALL },
        Limits { breaks: u8::from(torture()), ticks: 3, calls: 1, ..SMALL },
        Limits { restarts: 2, calls: 1, ..SMALL },
        Limits { releases: 1, calls: 1, breaks: 1, ..SMALL },
        Limits { ticks: 1, beats: 1, calls: 1, ..SMALL },
    ];
    for limits in sizes {
        let mut forms: HashMap<u128, (BTreeSet<u128>, World)> = HashMap::new();
        let mut note = |world: &World| {
            let (form, next) = (canon::fingerprint(world, limits, Defect::None), leads_to(world, limits));
            let (others, other) = forms.entry(form).or_insert_with(|| (next.clone(), world.clone()));
            assert!(*others == next, "these are taken for one: {world:#?}\n{other:#?}");
        };
        let all = explore_by(exactly, limits, Defect::None, &mut note);
        let some = explore(limits, Defect::None);
        eprintln!("{} states are {} that behave differently: {limits:?}", all.states, some.states);
        assert_eq!(some.states, forms.len(), "{limits:?}");
    }
}

/// Goes through everything, and says how much that is.
fn exhaustively(name: &str, limits: Limits, at_least: usize) {
    let start = Instant::now();
    let states = all_is_well(name, limits);
    eprintln!("{name}: {states} states that behave differently, {:.1} s, no violation", start.elapsed().as_secs_f64());
    assert!(states >= at_least, "{name}: only {states} states: something is not gone through");
}

/// Three clients that call once each and two restarts of the server, to the last state: every order of reads,
/// changes, recalls, give-backs, deliveries, and streams that break with all that is in them.
#[test]
fn three_clients_and_two_restarts_exhaustively() {
    exhaustively("three clients, two restarts", THREE, 200_000);
    exhaustively("three clients, two restarts, a stream breaks", Limits { breaks: 1, ..THREE }, 1_400_000);
    if torture() {
        exhaustively("three clients, two restarts, leases end", Limits { ticks: 3, ..THREE }, 2_000_000);
    }
}

/// With time that passes until leases end, and restarts that come before, meanwhile and after.
#[test]
fn leases_end_while_the_server_restarts_twice_exhaustively() {
    let two = Limits { clients: 2, ticks: 3, ..THREE };
    exhaustively("two clients, two restarts, leases end", two, 250_000);
    if torture() {
        exhaustively("two clients, two restarts, leases end, a stream breaks", Limits { breaks: 1, ..two }, 1_300_000);
    }
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
        (Defect::OpensEarly, Limits { clients: 3, restarts: 1, ..SMALL }),
        (Defect::ForgetsAbsent, Limits { clients: 3, restarts: 2, calls: 1, ..SMALL }),
        (Defect::ForgetsAnswered, Limits { clients: 3, restarts: 1, ..SMALL }),
    ];
    for (defect, limits) in defects {
        let report = explore(limits, defect);
        let Some(Found { what, trace }) = report.violation else { panic!("{defect:?} was not found: {report:?}") };
        eprintln!("{defect:?}: {what}, after {} events", trace.len());
    }
}
