//! Locks between sessions.

use holdfast_core::error::{ErrorKind, PosixError};
use holdfast_proto::v1;
use holdfast_proto::v1::client_message::Message as Say;
use holdfast_proto::v1::server_message::Message as Hear;

use crate::rig::{Rig, create, hello};

fn record(ino: u64, mode: v1::LockMode, start: u64, end: u64) -> v1::Lock {
    v1::Lock {
        ino,
        space: v1::LockSpace::Record.into(),
        owner: 5,
        mode: mode.into(),
        start,
        end,
        pid: 99,
        open_file: false,
    }
}

fn request(id: u64, lock: v1::Lock, wait: bool) -> Say {
    Say::Lock(v1::LockRequest { id, lock: Some(lock), wait })
}

const EXCLUSIVE: v1::LockMode = v1::LockMode::Exclusive;

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_excludes_and_is_handed_on() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let (mut one, mut two) = (rig.session(&volume, 1).await, rig.session(&volume, 2).await);
    one.say(request(1, record(9, EXCLUSIVE, 0, 99), false)).await;
    assert_eq!(one.lock_answer(1).await, None);
    two.say(request(1, record(9, EXCLUSIVE, 50, 50), false)).await;
    assert_eq!(two.lock_answer(1).await, Some(PosixError::WouldBlock));
    two.say(Say::LockQuery(v1::LockQuery { id: 2, lock: Some(record(9, EXCLUSIVE, 50, 50)) })).await;
    match two.hear().await.unwrap() {
        Hear::Lock(answer) => {
            let conflict = answer.conflict.unwrap();
            // Its process runs on another host.
            assert_eq!((answer.id, conflict.start, conflict.end, conflict.pid), (2, 0, 99, 0));
        }
        other => panic!("{other:?}"),
    }
    two.say(request(3, record(9, EXCLUSIVE, 50, 50), true)).await;
    assert!(two.hears_nothing().await);
    one.say(request(2, record(9, v1::LockMode::Unlock, 40, 60), false)).await;
    assert_eq!(one.lock_answer(2).await, None);
    assert_eq!(two.lock_answer(3).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_can_be_given_up_and_a_circle_is_refused() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let (mut one, mut two) = (rig.session(&volume, 1).await, rig.session(&volume, 2).await);
    one.say(request(1, record(8, EXCLUSIVE, 0, 0), false)).await;
    two.say(request(1, record(9, EXCLUSIVE, 0, 0), false)).await;
    assert_eq!((one.lock_answer(1).await, two.lock_answer(1).await), (None, None));
    one.say(request(2, record(9, EXCLUSIVE, 0, 0), true)).await;
    one.say(Say::LockCancel(v1::LockCancel { id: 2 })).await;
    assert_eq!(one.lock_answer(2).await, Some(PosixError::Interrupted));
    one.say(request(3, record(9, EXCLUSIVE, 0, 0), true)).await;
    assert!(one.hears_nothing().await);
    two.say(request(2, record(8, EXCLUSIVE, 0, 0), true)).await;
    assert_eq!(two.lock_answer(2).await, Some(PosixError::Deadlock));
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_outlive_a_broken_stream_and_go_with_the_session() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let (mut one, mut two) = (rig.session(&volume, 1).await, rig.session(&volume, 2).await);
    let lock = record(9, EXCLUSIVE, 0, 9);
    one.say(request(1, lock, false)).await;
    assert_eq!(one.lock_answer(1).await, None);
    two.say(request(1, lock, true)).await;
    one.cut();
    assert!(two.hears_nothing().await);
    let held_locks = vec![v1::HeldLock { lock: Some(lock), held_ms: 0 }];
    let (one, _) = rig.hello(v1::Hello { resume: true, next_seq: 1, held_locks, ..hello(&volume, 1) }).await.unwrap();
    assert!(two.hears_nothing().await);
    // It dies: after its lease the other has the lock.
    one.cut();
    for _ in 0..2 {
        rig.clock.advance(std::time::Duration::from_millis(800));
        two.say(Say::Heartbeat(v1::Heartbeat { id: 3 })).await;
        match two.hear().await.unwrap() {
            Hear::Heartbeat(_) => {}
            Hear::Lock(answer) => return assert_eq!((answer.id, answer.error), (1, 0)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(two.lock_answer(1).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_are_reclaimed_after_a_restart_before_others_get_them() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let (mut one, mut two) = (rig.session(&volume, 1).await, rig.session(&volume, 2).await);
    one.act(create("f")).await.unwrap();
    let lock = record(2, EXCLUSIVE, 0, 9);
    one.say(request(1, lock, false)).await;
    while !matches!(one.hear().await.unwrap(), Hear::Lock(_)) {}
    two.sync().await;
    let rig = rig.killed().await;
    // The other comes first, and asks at once.
    let (mut two, _) = rig.hello(v1::Hello { resume: true, next_seq: 1, ..hello(&volume, 2) }).await.unwrap();
    two.say(request(7, lock, true)).await;
    assert!(two.hears_only_durable().await);
    let held_locks = vec![v1::HeldLock { lock: Some(lock), held_ms: 0 }];
    let hello = v1::Hello { resume: true, next_seq: 2, held_locks, ..hello(&volume, 1) };
    let (mut one, _) = rig.hello(hello).await.unwrap();
    assert!(two.hears_only_durable().await);
    one.say(request(2, v1::Lock { mode: v1::LockMode::Unlock.into(), ..lock }, false)).await;
    while !matches!(one.hear().await.unwrap(), Hear::Lock(_)) {}
    assert_eq!(two.lock_answer(7).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_may_say_what_it_has_granted_by_itself() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let (mut one, mut two) = (rig.session(&volume, 1).await, rig.session(&volume, 2).await);
    let locks_of = |locks: &[v1::Lock]| {
        let held = locks.iter().map(|&lock| v1::HeldLock { lock: Some(lock), held_ms: 5 }).collect();
        Say::LocksOf(v1::LocksOf { ino: 9, held })
    };
    one.say(locks_of(&[record(9, EXCLUSIVE, 0, 9), record(9, v1::LockMode::Shared, 20, 29)])).await;
    // Its own requests count behind that, and so for everybody.
    one.say(request(1, record(9, EXCLUSIVE, 40, 49), false)).await;
    assert_eq!(one.lock_answer(1).await, None);
    two.say(request(1, record(9, EXCLUSIVE, 5, 5), true)).await;
    assert!(two.hears_nothing().await);
    two.say(request(2, record(9, EXCLUSIVE, 29, 29), false)).await;
    assert_eq!(two.lock_answer(2).await, Some(PosixError::WouldBlock));
    one.say(locks_of(&[record(9, EXCLUSIVE, 7, 9)])).await;
    assert_eq!(two.lock_answer(1).await, None);
    // What another one holds no lease could have let it grant.
    one.say(locks_of(&[record(9, EXCLUSIVE, 5, 9)])).await;
    assert_eq!(one.hear_end().await.kind(), ErrorKind::SessionLost);
}
