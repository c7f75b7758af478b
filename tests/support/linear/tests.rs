#![expect(clippy::unwrap_used, reason = "tests")]

use super::objects::{Directory, Holders, Lock, LockCall, Names, NamesCall, Register, RegisterCall};
use super::*;
use crate::random::Random;
use RegisterCall::{Read, Write};

fn call<C>(client: usize, call: C, begun: u64, ended: u64) -> Entry<C> {
    Entry { client, call, begun, end: End::Answered(ended) }
}

fn failed<C>(client: usize, call: C, begun: u64, ended: u64) -> Entry<C> {
    Entry { client, call, begun, end: End::Failed(ended) }
}

fn unknown<C>(client: usize, call: C, begun: u64) -> Entry<C> {
    Entry { client, call, begun, end: End::Unknown }
}

fn register(history: &[Entry<RegisterCall>]) -> bool {
    match check(&Register, 0, history) {
        Ok(()) => true,
        Err(Refusal::NoOrder(_)) => false,
        Err(Refusal::Undecided) => panic!("undecided"),
    }
}

#[test]
fn calls_at_the_same_time_may_take_either_order() {
    assert!(register(&[]));
    assert!(register(&[call(0, Write(1), 0, 10), call(1, Read(0), 5, 6), call(2, Read(1), 7, 8)]));
    assert!(register(&[call(0, Write(1), 0, 10), call(1, Write(2), 0, 10), call(2, Read(1), 11, 12)]));
    assert!(register(&[call(0, Write(1), 0, 10), call(1, Write(2), 0, 10), call(2, Read(2), 11, 12)]));
}

#[test]
fn a_stale_read_is_refused() {
    assert!(!register(&[call(0, Write(1), 0, 1), call(1, Read(0), 2, 3)]));
    assert!(!register(&[call(0, Write(1), 0, 10), call(1, Read(1), 2, 3), call(2, Read(0), 4, 5)]));
}

#[test]
fn a_lost_write_is_refused() {
    let history = [call(0, Write(1), 0, 1), call(1, Write(2), 2, 3), call(0, Read(1), 4, 5)];
    assert!(!register(&history));
}

#[test]
fn two_readers_must_agree_about_the_order() {
    let writes = [call(0, Write(1), 0, 20), call(1, Write(2), 0, 20)];
    let reads = |first: [u64; 2], second: [u64; 2]| {
        let mut history = writes.to_vec();
        history.extend([call(2, Read(first[0]), 21, 22), call(2, Read(first[1]), 23, 24)]);
        history.extend([call(3, Read(second[0]), 21, 22), call(3, Read(second[1]), 23, 24)]);
        history
    };
    assert!(register(&reads([1, 1], [1, 1])));
    assert!(!register(&reads([1, 2], [2, 2])), "nobody writes any more");
    assert!(!register(&reads([1, 1], [2, 2])));
}

#[test]
fn a_failed_call_was_done_by_its_end_or_never() {
    assert!(register(&[failed(0, Write(1), 0, 10), call(1, Read(0), 20, 21)]));
    assert!(register(&[failed(0, Write(1), 0, 10), call(1, Read(1), 20, 21)]));
    // It lands after it was given up: a late write.
    let late = [failed(0, Write(1), 0, 10), call(1, Write(2), 12, 13), call(1, Read(1), 20, 21)];
    assert!(!register(&late));
    let flicker = [failed(0, Write(1), 0, 10), call(1, Read(0), 11, 12), call(1, Read(1), 20, 21)];
    assert!(!register(&flicker));
}

#[test]
fn a_call_that_was_never_heard_of_again_may_be_done_late() {
    let late = [unknown(0, Write(1), 0), call(1, Write(2), 12, 13), call(1, Read(1), 20, 21)];
    assert!(register(&late));
    assert!(!register(&[unknown(0, Write(1), 30), call(1, Read(1), 20, 21)]), "not before it began");
    let twice = [unknown(0, Write(1), 0), call(1, Read(1), 1, 2), call(1, Write(2), 3, 4), call(1, Read(1), 5, 6)];
    assert!(!register(&twice));
}

#[test]
fn two_holders_of_a_lock_are_refused() {
    let take = |by, exclusive, got| LockCall::Take { by, exclusive, got };
    let lock = |history: &[_]| check(&Lock, Holders::default(), history).is_ok();
    assert!(lock(&[call(0, take(0, true, true), 0, 1), call(1, take(1, true, false), 2, 3)]));
    assert!(lock(&[call(0, take(0, false, true), 0, 1), call(1, take(1, false, true), 2, 3)]));
    assert!(!lock(&[call(0, take(0, true, true), 0, 1), call(1, take(1, true, true), 2, 3)]));
    assert!(!lock(&[call(0, take(0, false, true), 0, 1), call(1, take(1, true, true), 2, 3)]));
    let free = [
        call(0, take(0, true, true), 0, 1),
        call(0, LockCall::Drop { by: 0 }, 4, 5),
        call(1, take(1, true, false), 6, 7),
    ];
    assert!(!lock(&free), "it was free");
}

#[test]
fn a_rename_that_is_done_twice_is_refused() {
    let names = |history: &[_]| check(&Names, Directory::of(vec![Some(7), None]), history).is_ok();
    let moved = |done, during| NamesCall::Move { from: 0, to: 1, done, during };
    let there = moved(true, (0, 1));
    assert!(names(&[call(0, there, 0, 1), call(1, NamesCall::Look { name: 1, found: Some(7) }, 2, 3)]));
    assert!(!names(&[call(0, there, 0, 1), call(0, moved(true, (2, 3)), 2, 3)]));
    // At the same time both may find that there is nothing to do.
    let twins = |last| [call(0, there, 0, 1), call(1, moved(true, (1, 3)), 1, 3), call(1, last, 4, 5)];
    assert!(names(&twins(NamesCall::Look { name: 1, found: Some(7) })));
    assert!(!names(&twins(NamesCall::Look { name: 0, found: Some(7) })));
    // It was done, and then tried again: the caller is told that nothing was there.
    let again = [call(0, moved(false, (0, 1)), 0, 1), call(1, NamesCall::Look { name: 1, found: Some(7) }, 2, 3)];
    assert!(!names(&again));
    let both = [
        call(0, moved(true, (0, 10)), 0, 10),
        call(1, NamesCall::Lists { name: 1, there: false }, 2, 3),
        call(1, NamesCall::Lists { name: 0, there: false }, 4, 5),
        call(1, NamesCall::Lists { name: 1, there: false }, 6, 7),
    ];
    assert!(!names(&both), "it is under one of them");
}

/// Calls on a true register at random moments, each within an interval around its moment.
fn true_history(random: &mut Random, calls: u64) -> Vec<Entry<RegisterCall>> {
    let (mut state, mut history) = (0, Vec::new());
    for number in 1..=calls {
        let moment = number * 100;
        let (begun, ended) = (moment - random.below(100), moment + random.below(300));
        let write = random.percent(40);
        let call = if write { Write(number) } else { Read(state) };
        if write {
            state = number;
        }
        history.push(Entry { client: 0, call, begun, end: End::Answered(ended) });
    }
    history
}

#[test]
fn true_histories_are_accepted_and_planted_stale_reads_are_not() {
    let (mut random, mut planted) = (Random::new(7), 0);
    for _ in 0..200 {
        let mut history = true_history(&mut random, 60);
        assert!(register(&history));
        // A read of what was overwritten before it began.
        let reads: Vec<usize> = (20..60).filter(|index| matches!(history[*index].call, Read(_))).collect();
        let at = *random.pick(&reads);
        let begun = history[at].begun;
        let over: Vec<u64> = history
            .iter()
            .filter(|entry| entry.answered().is_some_and(|end| end < begun))
            .filter_map(|entry| if let Write(value) = entry.call { Some(value) } else { None })
            .collect();
        // The second last one that was over by then may still be the content; older ones cannot.
        if over.len() > 5 {
            history[at].call = Read(over[over.len() - 6]);
            assert!(!register(&history), "a read of an old value at {at}");
            planted += 1;
        }
    }
    assert!(planted > 100, "only {planted} violations were planted");
}

#[test]
fn a_refusal_says_where_it_stopped() {
    let refused = check(&Register, 0, &[call(0, Write(1), 0, 1), call(1, Read(0), 2, 3)]).unwrap_err();
    assert!(refused.to_string().contains("Read(0)"), "{refused}");
}
