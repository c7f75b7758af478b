#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use holdfast_core::attr::Attr;
use holdfast_core::error::ErrorKind;
use holdfast_core::error::PosixError::Exists;
use holdfast_core::id::{CommitSeq, Seq, SessionId};
use holdfast_core::op::{AppliedOp, Caller, LoggedOp, NewNode, Op, OpReply};

use crate::config::CommitPolicy;
use crate::store::ApplyContext;
use crate::store::fixture::{ROOT, SESSION, Volume, mode, name, session_info};

const OTHER: SessionId = SessionId([2; 16]);

fn create(text: &str) -> Op {
    Op::Create { parent: ROOT, name: name(text), node: NewNode::Directory, mode: mode(0o755).into(), ino: None }
}

fn apply(volume: &Volume, session: SessionId, seq: u64, op: Op) -> holdfast_core::error::Result<AppliedOp> {
    let op = LoggedOp { seq: Seq(seq), caller: Caller::default(), time: None, replay_of: None, op };
    let context =
        ApplyContext { now: volume.now(), quota: volume.quota.get(), is_open: &|_| false, staged: None, refused: None };
    volume.store.apply(session, &op, &context)
}

#[test]
fn an_operation_is_applied_once_however_often_it_comes() {
    let volume = Volume::new();
    let first = apply(&volume, SESSION, 1, create("a")).unwrap();
    let second = apply(&volume, SESSION, 2, create("a")).unwrap();
    assert_eq!((first.commit, second.commit), (CommitSeq(1), CommitSeq(2)));
    assert_eq!(second.result, Err(Exists));
    assert_eq!(apply(&volume, SESSION, 1, create("a")).unwrap(), first);
    assert_eq!(apply(&volume, SESSION, 2, create("a")).unwrap(), second);
    assert_eq!(volume.names(ROOT), ["a"]);
    volume.sound();
}

#[test]
fn operations_never_skip_a_number() {
    let volume = Volume::new();
    assert_eq!(apply(&volume, SESSION, 2, create("a")).unwrap_err().kind(), ErrorKind::Invalid);
    apply(&volume, SESSION, 1, create("a")).unwrap();
    assert_eq!(apply(&volume, SESSION, 3, create("b")).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(volume.names(ROOT), ["a"]);
}

#[test]
fn outcomes_survive_crashes_until_they_are_confirmed() {
    let volume = Volume::new();
    let outcomes: Vec<AppliedOp> =
        (1..=5).map(|seq| apply(&volume, SESSION, seq, create(&seq.to_string())).unwrap()).collect();
    volume.store.confirm(SESSION, Seq(2)).unwrap();
    assert_eq!(apply(&volume, SESSION, 1, create("1")).unwrap(), outcomes[0], "not durable: it may be asked for again");
    volume.commit();
    let volume = volume.crash();
    let state = volume.store.session(SESSION).unwrap();
    assert_eq!((state.applied, state.durable, state.received), (Seq(5), Seq(5), Seq(2)));
    for (seq, outcome) in (3..=5).zip(&outcomes[2..]) {
        let again = apply(&volume, SESSION, seq, create("x")).unwrap();
        // That there are no xattrs is not kept.
        let attr = |outcome: &AppliedOp| match &outcome.result {
            Ok(OpReply::Attr(attr)) => Attr { no_xattrs: false, ..*attr },
            other => panic!("{other:?}"),
        };
        assert_eq!((again.seq, again.commit, attr(&again)), (outcome.seq, outcome.commit, attr(outcome)));
    }
    let forgotten = apply(&volume, SESSION, 1, create("x")).unwrap();
    assert_eq!((forgotten.commit, forgotten.result), (CommitSeq(0), Ok(OpReply::Done)));
    assert_eq!(volume.names(ROOT).len(), 5);
    // The client may have seen more than the crash left.
    volume.store.confirm(SESSION, Seq(60)).unwrap();
    assert_eq!(volume.store.session(SESSION).unwrap().received, Seq(5));
    let next = apply(&volume, SESSION, 6, create("6")).unwrap();
    volume.commit();
    assert_eq!(apply(&volume, SESSION, 6, create("6")).unwrap(), next);
}

#[test]
fn a_client_that_never_confirms_takes_bounded_memory() {
    let volume = Volume::new();
    for seq in 1..=10_000 {
        apply(&volume, SESSION, seq, Op::Close { ino: ROOT }).unwrap();
    }
    volume.commit();
    let volume = volume.crash();
    let answered = apply(&volume, SESSION, 10_000 - 4095, Op::Close { ino: ROOT }).unwrap();
    assert_eq!(answered.commit, CommitSeq(10_000 - 4095));
    assert_eq!(apply(&volume, SESSION, 10_000 - 4096, Op::Close { ino: ROOT }).unwrap().commit, CommitSeq(0));
}

#[test]
fn sessions_begin_end_and_are_known_to_the_next_owner() {
    let volume = Volume::new();
    volume.store.begin_session(session_info(OTHER)).unwrap();
    assert_eq!(volume.store.begin_session(session_info(OTHER)).unwrap_err().kind(), ErrorKind::AlreadyExists);
    apply(&volume, OTHER, 1, create("a")).unwrap();
    volume.commit();
    let volume = volume.crash();
    let known: Vec<SessionId> = volume.store.sessions().iter().map(|session| session.info.id).collect();
    assert_eq!(known, [SESSION, OTHER]);
    assert_eq!(volume.store.session(OTHER).unwrap().info, session_info(OTHER));
    volume.store.end_session(OTHER).unwrap();
    volume.store.end_session(OTHER).unwrap();
    assert_eq!(apply(&volume, OTHER, 2, create("b")).unwrap_err().kind(), ErrorKind::SessionLost);
    assert_eq!(volume.store.confirm(OTHER, Seq(1)).unwrap_err().kind(), ErrorKind::SessionLost);
    volume.commit();
    let volume = volume.crash();
    assert_eq!(volume.store.sessions().len(), 1);
}

#[test]
fn commits_tell_how_far_each_session_is() {
    let volume = Volume::new();
    volume.store.begin_session(session_info(OTHER)).unwrap();
    assert_eq!(volume.store.commit().unwrap().durable, []);
    apply(&volume, SESSION, 1, create("a")).unwrap();
    apply(&volume, OTHER, 1, create("a")).unwrap();
    apply(&volume, OTHER, 2, create("b")).unwrap();
    assert!(volume.store.pending().uncommitted_bytes > 0);
    assert_eq!(volume.store.pending().oldest, Some(volume.now()));
    assert_eq!(volume.store.session(OTHER).unwrap().durable, Seq(0));
    assert_eq!(volume.store.commit().unwrap().durable, [(SESSION, Seq(1)), (OTHER, Seq(2))]);
    assert_eq!(volume.store.session(OTHER).unwrap().durable, Seq(2));
    assert_eq!(volume.store.pending(), super::super::Pending::default());
    assert_eq!(volume.store.commit().unwrap().durable, []);
    // A failed operation has a place in the order too, and takes memory until it is durable.
    apply(&volume, SESSION, 2, create("a")).unwrap();
    assert!(volume.store.pending().uncommitted_bytes > 0);
    assert_eq!(volume.store.commit().unwrap().durable, [(SESSION, Seq(2))]);
}

#[test]
fn every_owner_has_a_higher_epoch() {
    let volume = Volume::new();
    let first = volume.store.epoch();
    let volume = volume.restart();
    assert!(volume.store.clean() && volume.store.epoch() > first);
    let second = volume.store.epoch();
    let volume = volume.crash();
    assert!(!volume.store.clean() && volume.store.epoch() > second);
}

#[test]
fn staged_data_waits_for_a_commit_once_it_is_part_of_a_file() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    volume.store.commit().unwrap();
    let waiting = || volume.store.pending().uncommitted_data_bytes;
    drop(volume.store.stage(Bytes::from(vec![1; 100_000])).unwrap());
    volume.write(file, 0, b"inline").unwrap();
    assert_eq!(waiting(), 0);
    volume.write_staged(file, 0, &[2; 200_000]).unwrap();
    volume.write_staged(file, 100_000, &[3; 300_000]).unwrap();
    assert_eq!(waiting(), 500_000, "also what replaces it");
    let policy = CommitPolicy { data_bytes: 500_001, ..CommitPolicy::default() };
    assert!(!policy.is_due(&volume.store.pending()));
    assert!(CommitPolicy { data_bytes: 500_000, ..policy }.is_due(&volume.store.pending()));
    volume.store.commit().unwrap();
    assert_eq!(waiting(), 0);
}
