use super::*;
use crate::id::{InodeId, SessionId};

fn session(number: u8) -> SessionId {
    SessionId([number; 16])
}

const ONE: InodeId = InodeId(1);
const TWO: InodeId = InodeId(2);

fn at(millis: u64) -> BootTime {
    BootTime(std::time::Duration::from_millis(millis))
}

/// A table with two sessions, none of which has the volume.
fn shared() -> Table {
    let mut table = Table::default();
    table.enter(session(1));
    table.enter(session(2));
    table
}

#[test]
fn a_lone_session_is_lent_the_volume_and_gives_it_back_when_another_comes() {
    let mut table = Table::default();
    table.enter(session(1));
    assert_eq!(table.claim(session(1), vec![(ONE, Mode::Shared)], at(0)), Verdict::Clear);
    let grants = table.settle(session(1), &[(ONE, Mode::Shared)], at(0));
    assert!(matches!(grants[..], [Grant { target: Target::Volume, mode: Mode::Exclusive, .. }]));
    assert_eq!(table.held(session(1), TWO), Some(Mode::Exclusive));
    table.enter(session(2));
    assert_eq!(table.take_recalls(), [Recall { from: session(1), target: Target::Volume, keep: None }]);
    let Verdict::Waits(id) = table.claim(session(2), vec![(TWO, Mode::Shared)], at(0)) else { panic!("it waits") };
    assert!(table.take_recalls().is_empty(), "it is recalled once");
    table.gave_volume_back(session(1), &[(ONE, Mode::Exclusive)]);
    assert_eq!(table.next_clear(at(0)).map(|(clear, ..)| clear), Some(id));
    assert_eq!(table.held(session(1), ONE), Some(Mode::Exclusive));
    assert_eq!(table.held(session(1), TWO), None);
}

#[test]
fn claims_are_clear_in_order_of_arrival() {
    let mut table = shared();
    table.enter(session(3));
    table.put(session(1), ONE, Mode::Shared, GrantNo(1));
    let Verdict::Waits(change) = table.claim(session(2), vec![(ONE, Mode::Exclusive)], at(0)) else { panic!() };
    assert_eq!(table.take_recalls(), [Recall { from: session(1), target: Target::Inode(ONE), keep: None }]);
    let Verdict::Waits(question) = table.claim(session(3), vec![(ONE, Mode::Shared)], at(0)) else { panic!() };
    assert!(table.take_recalls().is_empty());
    assert_eq!(table.next_clear(at(0)), None);
    table.gave_back(session(1), ONE, None, GrantNo(1));
    let Some((first, _, needs)) = table.next_clear(at(0)) else { panic!("it is clear") };
    assert_eq!(first, change);
    assert!(table.settle(session(2), &needs, at(0)).is_empty(), "an earlier claim waits for it: nothing is lent");
    assert_eq!(table.next_clear(at(0)).map(|(clear, ..)| clear), Some(question));
}

#[test]
fn a_lease_that_is_on_its_way_outlives_an_older_give_back() {
    let mut table = shared();
    assert_eq!(table.claim(session(1), vec![(ONE, Mode::Shared)], at(0)), Verdict::Clear);
    let [grant] = table.settle(session(1), &[(ONE, Mode::Shared)], at(0))[..] else { panic!() };
    table.gave_back(session(1), ONE, None, GrantNo(grant.number.0 - 1));
    assert_eq!(table.held(session(1), ONE), Some(Mode::Shared));
    table.gave_back(session(1), ONE, None, grant.number);
    assert_eq!(table.held(session(1), ONE), None);
}

#[test]
fn what_is_contended_is_not_lent_until_it_cools_down() {
    let mut table = shared();
    let turn = |table: &mut Table, who: u8, now: BootTime| {
        let needs = vec![(ONE, Mode::Exclusive)];
        match table.claim(session(who), needs.clone(), now) {
            Verdict::Clear => table.settle(session(who), &needs, now).len(),
            Verdict::Waits(id) => {
                for recall in table.take_recalls() {
                    table.gave_back(recall.from, ONE, None, GrantNo(u64::MAX));
                }
                assert_eq!(table.next_clear(now).map(|(clear, ..)| clear), Some(id));
                table.settle(session(who), &needs, now).len()
            }
        }
    };
    assert_eq!(turn(&mut table, 1, at(0)), 1);
    assert_eq!(turn(&mut table, 2, at(10)), 1, "one conflict is none");
    assert_eq!(turn(&mut table, 1, at(20)), 0, "two within a second are contention");
    for turns in 0..40 {
        assert_eq!(turn(&mut table, 1 + turns % 2, at(30 + u64::from(turns) * 100)), 0, "it goes on");
    }
    assert_eq!(turn(&mut table, 1, at(6000)), 1, "a second without conflict");
    table.gone(session(1));
    table.tidy(at(8000));
    assert!(table.slots.is_empty());
}

#[test]
fn what_a_session_has_is_clear_also_while_it_is_recalled() {
    let mut table = shared();
    table.put(session(1), ONE, Mode::Exclusive, GrantNo(1));
    assert!(matches!(table.claim(session(2), vec![(ONE, Mode::Shared)], at(0)), Verdict::Waits(_)));
    assert!(table.owes(session(1)));
    assert_eq!(table.claim(session(1), vec![(ONE, Mode::Exclusive)], at(0)), Verdict::Clear);
    assert_eq!(table.recalls_of(session(1)).len(), 1);
    table.gave_back(session(1), ONE, Some(Mode::Shared), GrantNo(1));
    assert!(!table.owes(session(1)));
    assert!(table.next_clear(at(0)).is_some());
}

#[test]
fn a_session_that_is_gone_is_in_nobodys_way() {
    let mut table = shared();
    table.put(session(1), ONE, Mode::Exclusive, GrantNo(1));
    assert!(matches!(table.claim(session(2), vec![(ONE, Mode::Exclusive)], at(0)), Verdict::Waits(_)));
    table.gone(session(1));
    assert!(table.take_recalls().is_empty());
    assert!(table.next_clear(at(0)).is_some());
    table.gone(session(2));
    assert!(table.is_empty());
}

#[test]
fn conflicting_claims_after_a_restart_are_refused() {
    let mut table = Table::default();
    assert!(table.reclaim(session(1), &[(Target::Inode(ONE), Mode::Exclusive)]));
    assert!(!table.reclaim(session(2), &[(Target::Inode(ONE), Mode::Shared)]));
    assert!(!table.reclaim(session(2), &[(Target::Volume, Mode::Exclusive)]));
    assert!(table.reclaim(session(2), &[(Target::Inode(TWO), Mode::Exclusive)]));
    assert_eq!(table.len(), 2);
}

#[test]
fn a_shared_lease_is_raised_ahead_when_nobody_else_has_one() {
    let mut table = shared();
    table.put(session(1), ONE, Mode::Shared, GrantNo(1));
    table.put(session(2), ONE, Mode::Shared, GrantNo(2));
    assert_eq!(table.raise(session(1), ONE, at(0)), None, "another one reads it");
    assert_eq!(table.raise(session(1), TWO, at(0)), None, "it does not know it");
    table.clear_for(session(1), ONE);
    table.clear_for(session(1), ONE);
    let asked = Recall { from: session(2), target: Target::Inode(ONE), keep: None };
    assert_eq!(table.take_recalls(), [asked], "once, and not its own");
    assert_eq!(table.raise(session(1), ONE, at(0)), None, "it is not back");
    table.gave_back(session(2), ONE, None, GrantNo(2));
    let raised = table.raise(session(1), ONE, at(0)).map(|grant| (grant.target, grant.mode));
    assert_eq!(raised, Some((Target::Inode(ONE), Mode::Exclusive)));
    assert_eq!(table.held(session(1), ONE), Some(Mode::Exclusive));
    assert_eq!(table.raise(session(1), ONE, at(0)), None, "it has it");
}
