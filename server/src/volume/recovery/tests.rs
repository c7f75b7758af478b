use holdfast_core::id::{CommitSeq, InodeId, Seq};
use holdfast_core::op::{Caller, Op};

use super::*;

const A: SessionId = SessionId([1; 16]);
const B: SessionId = SessionId([2; 16]);
const WAIT: Duration = Duration::from_secs(10);

fn at(secs: u64) -> BootTime {
    BootTime(Duration::from_secs(100 + secs))
}

#[test]
fn it_ends_as_soon_as_all_are_complete() {
    let mut recovery = Recovery::new([A, B], at(0), WAIT);
    recovery.returned(A);
    recovery.complete(A);
    assert_eq!(recovery.verdict(at(1)), Verdict::Wait);
    recovery.returned(B);
    assert_eq!(recovery.verdict(at(1)), Verdict::Wait);
    recovery.complete(B);
    assert_eq!(recovery.verdict(at(1)), Verdict::Open { absent: Vec::new() });
    assert_eq!(Recovery::new([], at(0), WAIT).verdict(at(0)), Verdict::Open { absent: Vec::new() });
}

#[test]
fn it_ends_after_a_lease_without_those_who_stay_away() {
    let mut recovery = Recovery::new([A, B], at(0), WAIT);
    recovery.returned(A);
    recovery.complete(A);
    assert_eq!(recovery.verdict(at(9)), Verdict::Wait);
    assert_eq!(recovery.verdict(at(10)), Verdict::Open { absent: vec![B] });
}

#[test]
fn it_waits_longer_for_one_who_is_sending_but_not_for_ever() {
    let mut recovery = Recovery::new([A], at(0), WAIT);
    recovery.returned(A);
    assert_eq!(recovery.verdict(at(29)), Verdict::Wait);
    assert_eq!(recovery.verdict(at(30)), Verdict::Open { absent: vec![A] });
    recovery.broke(A);
    assert_eq!(recovery.verdict(at(10)), Verdict::Open { absent: vec![A] });
}

#[test]
fn who_is_complete_stays_so_when_its_stream_breaks() {
    let mut recovery = Recovery::new([A], at(0), WAIT);
    recovery.returned(A);
    recovery.complete(A);
    recovery.broke(A);
    assert_eq!(recovery.verdict(at(1)), Verdict::Open { absent: Vec::new() });
}

fn queued(arrival: u64, seq: u64, commit: Option<u64>) -> Queued {
    let replay_of = commit.map(CommitSeq);
    let op = Op::Close { ino: InodeId(1) };
    Queued { arrival, op: LoggedOp { seq: Seq(seq), caller: Caller::default(), time: None, replay_of, op } }
}

fn order(a: Vec<Queued>, b: Vec<Queued>) -> Vec<(SessionId, u64)> {
    let queues = BTreeMap::from([(A, VecDeque::from(a)), (B, VecDeque::from(b))]);
    one_order(queues).into_iter().map(|(session, op)| (session, op.seq.0)).collect()
}

#[test]
fn commit_numbers_give_the_order_then_arrival() {
    let a = vec![queued(10, 1, Some(5)), queued(11, 2, Some(8)), queued(12, 3, None)];
    let b = vec![queued(1, 7, Some(6)), queued(2, 8, Some(7)), queued(3, 9, None)];
    assert_eq!(order(a, b), [(A, 1), (B, 7), (B, 8), (A, 2), (B, 9), (A, 3)]);
}

#[test]
fn a_sessions_own_order_stands_whatever_numbers_it_claims() {
    let a = vec![queued(5, 1, None), queued(6, 2, Some(1))];
    let b = vec![queued(7, 1, Some(9)), queued(8, 2, Some(2))];
    assert_eq!(order(a, b), [(B, 1), (B, 2), (A, 1), (A, 2)]);
}
