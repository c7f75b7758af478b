#![expect(clippy::unwrap_used, reason = "a test may stop")]

use bytes::Bytes;
use holdfast_core::error::PosixError;
use holdfast_core::id::{CommitSeq, InodeId, Seq};
use holdfast_core::name::FileName;
use holdfast_core::op::{Caller, Op, OpReply, OpResult, WriteAt, WriteData};
use proptest::prelude::*;

use super::{Answered, Limits, OpLog};

const DONE: OpResult = Ok(OpReply::Done);
const ROOMY: Limits = Limits { bytes: 1 << 30, ops: 1 << 20 };

fn unlink(parent: u64) -> Op {
    Op::Unlink { parent: InodeId(parent), name: FileName::new("a").unwrap() }
}

fn write(ino: u64, len: usize) -> Op {
    let data = WriteData::Inline(Bytes::from(vec![0; len]));
    Op::Write { ino: InodeId(ino), at: WriteAt::End, data, kill_privileges: false }
}

fn log(limits: Limits, ops: impl IntoIterator<Item = Op>) -> OpLog<u64> {
    let mut log = OpLog::new(limits);
    for op in ops {
        let seq = log.next_seq();
        assert_eq!(log.push(Caller::default(), op, None, Some(seq.0)), seq);
    }
    log
}

fn send(log: &mut OpLog<u64>) -> Vec<u64> {
    let _ = log.admit();
    let seqs: Vec<u64> = log.to_send().map(|(seq, _)| seq.0).collect();
    if let Some(&last) = seqs.last() {
        log.mark_sent(Seq(last));
    }
    seqs
}

fn answer(log: &mut OpLog<u64>, seq: u64) -> Answered<u64> {
    log.outcome(Seq(seq), CommitSeq(100 + seq), &DONE)
}

#[test]
fn an_operation_is_kept_until_answered_and_durable() {
    let mut log = log(ROOMY, [unlink(1), unlink(1), unlink(1)]);
    assert_eq!(send(&mut log), [1, 2, 3]);
    assert_eq!(answer(&mut log, 1), Answered::First(Some(1)));
    assert_eq!(log.len(), 3);
    assert!(log.durable(Seq(2)));
    // The second is on disk, and its caller still waits.
    assert_eq!((log.len(), log.first_seq()), (2, Seq(2)));
    assert_eq!(answer(&mut log, 2), Answered::First(Some(2)));
    assert_eq!((log.len(), log.answered()), (1, Seq(2)));
    assert_eq!(answer(&mut log, 3), Answered::First(Some(3)));
    assert!(log.durable(Seq(3)));
    assert_eq!((log.len(), log.weight(), log.next_seq()), (0, 0, Seq(4)));
}

#[test]
fn what_was_never_sent_can_be_taken_back() {
    let mut log = log(Limits { bytes: 3000, ops: 10 }, [unlink(1), write(2, 2000), unlink(3)]);
    assert_eq!(send(&mut log), [1, 2]);
    let weight = log.weight();
    assert!(!log.take_back(Seq(1)) && !log.take_back(Seq(2)) && !log.take_back(Seq(4)));
    assert_eq!(log.push(Caller::default(), write(4, 2000), None, Some(4)), Seq(4));
    assert_eq!(log.push(Caller::default(), Op::Close { ino: InodeId(5) }, None, Some(5)), Seq(5));
    assert!(log.take_back(Seq(4)) && !log.take_back(Seq(5)));
    assert_eq!(log.weight() - weight, 2 * (weight - 2000) / 3);
    // It has no effect and keeps its number, also after a break.
    log.rewind();
    for seq in 1..=2 {
        log.durable(Seq(seq));
    }
    assert_eq!(send(&mut log), [1, 2]);
    for seq in 1..=2 {
        answer(&mut log, seq);
    }
    assert_eq!(send(&mut log), [3, 4, 5]);
    assert!(matches!(log.entry(Seq(4)).unwrap().op, Op::Close { ino: InodeId(u64::MAX) }));
    assert_eq!(answer(&mut log, 4), Answered::First(None));
    assert_eq!(log.wreck().lost.into_iter().collect::<Vec<_>>(), [InodeId(3)]);
}

#[test]
fn a_rewind_sends_everything_again_with_its_place_in_the_volume() {
    let mut log = log(ROOMY, [unlink(1), unlink(1), unlink(1)]);
    send(&mut log);
    answer(&mut log, 1);
    answer(&mut log, 2);
    log.durable(Seq(1));
    log.rewind();
    let _ = log.admit();
    let again: Vec<_> = log.to_send().map(|(seq, entry)| (seq.0, entry.commit)).collect();
    assert_eq!(again, [(2, Some(CommitSeq(102))), (3, None)]);
    // What is durable meanwhile is not let go before it was said again: the server counts on it.
    log.durable(Seq(2));
    assert_eq!(log.first_seq(), Seq(2));
    log.mark_sent(Seq(3));
    assert_eq!(log.first_seq(), Seq(3));
    assert_eq!(answer(&mut log, 3), Answered::First(Some(3)));
}

#[test]
fn answers_that_come_again_are_told_once() {
    let mut log = log(ROOMY, [unlink(1), write(5, 1)]);
    send(&mut log);
    answer(&mut log, 1);
    assert_eq!(log.outcome(Seq(2), CommitSeq(2), &DONE), Answered::First(Some(2)));
    log.rewind();
    assert!(log.awaits(Seq(2)));
    send(&mut log);
    assert_eq!(answer(&mut log, 1), Answered::Again);
    assert!(!log.awaits(Seq(1)));
    let refused = Err(PosixError::NoSpace);
    assert_eq!(log.outcome(Seq(2), CommitSeq(2), &refused), Answered::Undone(vec![InodeId(5)]));
    assert_eq!(log.outcome(Seq(9), CommitSeq(2), &refused), Answered::Unknown);
    assert_eq!(log.outcome(Seq(0), CommitSeq(2), &refused), Answered::Unknown);
}

#[test]
fn what_does_not_fit_waits_its_turn() {
    let weight = write(1, 1000).weight();
    let mut log = log(Limits { bytes: 2 * weight, ops: 100 }, (0..4).map(|_| write(1, 1000)));
    assert_eq!(send(&mut log), [1, 2]);
    assert!(log.is_held_up() && log.is_heavy());
    answer(&mut log, 1);
    assert_eq!(send(&mut log), Vec::<u64>::new());
    log.durable(Seq(1));
    assert_eq!(send(&mut log), [3]);
    // Everything that was ever sent is admitted again at once, whatever it weighs.
    log.rewind();
    assert_eq!(send(&mut log), [2, 3]);
}

#[test]
fn operations_are_counted() {
    let mut log = log(Limits { bytes: 1 << 30, ops: 2 }, (0..4).map(|_| unlink(1)));
    assert_eq!(send(&mut log), [1, 2]);
    answer(&mut log, 1);
    answer(&mut log, 2);
    assert_eq!(send(&mut log), Vec::<u64>::new());
    log.durable(Seq(1));
    assert_eq!(send(&mut log), [3]);
    log.rewind();
    assert_eq!(send(&mut log), [2, 3]);
}

#[test]
fn one_that_is_larger_than_the_limit_goes_alone() {
    let mut log = log(Limits { bytes: 1, ops: 9 }, [write(1, 10), write(1, 10)]);
    assert_eq!(send(&mut log), [1]);
    answer(&mut log, 1);
    log.durable(Seq(1));
    assert_eq!(send(&mut log), [2]);
}

#[test]
fn nothing_is_durable_that_was_not_sent() {
    let mut log = log(ROOMY, [unlink(1), unlink(1)]);
    assert!(!log.durable(Seq(1)));
    send(&mut log);
    assert!(!log.durable(Seq(3)));
    assert!(log.durable(Seq(2)));
}

#[test]
fn a_withdrawn_operation_leaves_its_number_to_one_that_does_nothing() {
    let mut log = log(ROOMY, [write(5, 1), unlink(1), write(6, 1)]);
    send(&mut log);
    assert_eq!(log.withdraw(Seq(1)), Some((Some(1), Vec::new())));
    assert!(matches!(log.entry(Seq(1)).unwrap().op, Op::Close { .. }));
    assert_eq!(answer(&mut log, 1), Answered::First(None));
    assert_eq!(log.withdraw(Seq(1)), None);
    assert_eq!(log.withdraw(Seq(77)), None);
    // Answered before the break, and cannot be repeated after it: that is a loss.
    answer(&mut log, 3);
    log.rewind();
    assert_eq!(log.withdraw(Seq(3)), Some((None, vec![InodeId(6)])));
}

#[test]
fn an_operation_that_failed_does_nothing_when_it_is_sent_again() {
    let mut log = log(ROOMY, [unlink(1), write(2, 5), unlink(3)]);
    send(&mut log);
    for (seq, error) in [(1, PosixError::Retry), (2, PosixError::NoSpace)] {
        assert_eq!(log.outcome(Seq(seq), CommitSeq(100 + seq), &Err(error)), Answered::First(Some(seq)));
    }
    // The first was put off, and is done under another number.
    log.push(Caller::default(), unlink(1), None, Some(4));
    log.rewind();
    let _ = log.admit();
    let again: Vec<_> = log.to_send().map(|(_, entry)| entry.op.clone()).collect();
    let nothing = Op::Close { ino: InodeId(u64::MAX) };
    assert_eq!(again, [nothing.clone(), nothing, unlink(3), unlink(1)]);
    // Whatever is said of it now, nobody is told again.
    assert_eq!(answer(&mut log, 1), Answered::Again);
}

#[test]
fn a_wreck_names_what_the_disk_may_lack() {
    let mut log = log(ROOMY, [write(5, 1), write(6, 1), unlink(7), write(8, 1), write(9, 1)]);
    send(&mut log);
    for seq in [1, 2, 3] {
        answer(&mut log, seq);
    }
    assert_eq!(log.outcome(Seq(4), CommitSeq(4), &Err(PosixError::NoSpace)), Answered::First(Some(4)));
    log.durable(Seq(1));
    let wreck = log.wreck();
    // 5 is on disk, 8 was refused, 9 was not answered.
    assert_eq!(wreck.lost.into_iter().map(|ino| ino.0).collect::<Vec<_>>(), [6, 7, 9]);
    let waiting: Vec<_> = wreck.dropped.iter().filter_map(|dropped| dropped.waiter).collect();
    assert_eq!(waiting, [5]);
    assert!(wreck.dropped.last().unwrap().unanswered);
    assert_eq!((log.next_seq(), log.len(), log.weight()), (Seq(1), 0, 0));
}

#[derive(Clone, Debug)]
enum Event {
    Push(usize),
    Send,
    Answer(prop::sample::Index),
    Durable(prop::sample::Index),
    Break,
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..3000_usize).prop_map(Event::Push),
        3 => Just(Event::Send),
        4 => any::<prop::sample::Index>().prop_map(Event::Answer),
        2 => any::<prop::sample::Index>().prop_map(Event::Durable),
        1 => Just(Event::Break),
    ]
}

proptest! {
    /// Whatever happens in whatever order: each stream is sent a row without gaps that begins
    /// with the first operation that is kept, nobody is told twice, and nothing is let go early.
    #[test]
    fn holds_its_promises(events in prop::collection::vec(events(), 1..200)) {
        let mut log = log(Limits { bytes: 8000, ops: 8 }, []);
        let (mut told, mut durable) = (std::collections::BTreeSet::new(), 0);
        // The next number that this stream must bring.
        let mut next = 1;
        for event in events {
            match event {
                Event::Push(len) => {
                    let seq = log.next_seq().0;
                    log.push(Caller::default(), write(seq, len), None, Some(seq));
                }
                Event::Send => {
                    for seq in send(&mut log) {
                        prop_assert_eq!(seq, next);
                        next += 1;
                    }
                }
                Event::Answer(index) if next > 1 => {
                    let seq = index.index(usize::try_from(next).unwrap() - 1) as u64 + 1;
                    if let Answered::First(waiter) = answer(&mut log, seq) {
                        prop_assert_eq!(waiter, Some(seq));
                        prop_assert!(told.insert(seq), "{} was told twice", seq);
                    }
                }
                Event::Durable(index) if log.ever_sent().0 > 0 => {
                    let seq = index.index(usize::try_from(log.ever_sent().0).unwrap()) as u64 + 1;
                    prop_assert!(log.durable(Seq(seq)));
                    durable = durable.max(seq);
                }
                Event::Answer(_) | Event::Durable(_) => {}
                Event::Break => {
                    log.rewind();
                    next = log.first_seq().0;
                }
            }
            let gone = log.first_seq().0 - 1;
            prop_assert!(gone <= durable && (1..=gone).all(|seq| told.contains(&seq)));
            prop_assert!(log.sent() <= log.admitted() && log.admitted() <= log.last_seq());
            let weight: usize = (log.first_seq().0..log.next_seq().0).map(|seq| log.entry(Seq(seq)).unwrap().op.weight()).sum();
            prop_assert_eq!(log.weight(), weight);
        }
    }
}
