//! Leases: what is lent with answers, and that nothing changes before it is given back.

use std::time::Duration;

use bytes::Bytes;
use holdfast_core::error::{ErrorKind, PosixError};
use holdfast_core::lease::ROOM;
use holdfast_proto::error::posix_error;
use holdfast_proto::v1;
use holdfast_proto::v1::client_message::Message as Say;
use holdfast_proto::v1::op::Op;
use holdfast_proto::v1::question::Question;
use holdfast_proto::v1::server_message::Message as Hear;

use crate::rig::{Peer, Rig, append, close, create, hello, open, unlink, write_staged};

const ROOT: u64 = 1;

fn lookup(name: &str) -> Question {
    Question::Lookup(v1::LookupRequest { parent: ROOT, name: Bytes::copy_from_slice(name.as_bytes()) })
}

fn getattr(ino: u64) -> Question {
    Question::GetAttr(v1::GetAttrRequest { ino })
}

fn chmod(ino: u64, mode: u32) -> Op {
    Op::SetAttr(v1::SetAttr { ino, mode: Some(mode), ..v1::SetAttr::default() })
}

/// Inodes that were lent, but for the room of the volume.
fn lent(grants: &[v1::Grant]) -> Vec<u64> {
    grants.iter().map(|grant| grant.ino).filter(|&ino| ino != ROOM.0).collect()
}

impl Peer {
    async fn put(&self, question: Question) {
        self.say(Say::Question(v1::Question { id: 5, question: Some(question) })).await;
    }

    async fn answer(&mut self) -> v1::Answer {
        loop {
            match self.hear().await.unwrap() {
                Hear::Answer(answer) => return answer,
                Hear::Durable(_) => {}
                other => panic!("an answer was due, this came: {other:?}"),
            }
        }
    }

    async fn ask(&mut self, question: Question) -> v1::Answer {
        self.put(question).await;
        self.answer().await
    }

    /// The next recall.
    async fn recall(&mut self) -> v1::Recall {
        loop {
            match self.hear().await.unwrap() {
                Hear::Recall(recall) => return recall,
                Hear::Durable(_) => {}
                other => panic!("a recall was due, this came: {other:?}"),
            }
        }
    }

    async fn give_back(&self, ino: u64) {
        self.say(Say::GiveBack(v1::GiveBack { ino, left: 0, seen: u64::MAX })).await;
    }

    /// The next outcome; heartbeats may be answered before it.
    async fn outcome_among_heartbeats(&mut self) -> v1::OpOutcome {
        loop {
            match self.hear().await.unwrap() {
                Hear::Applied(mut applied) => return applied.outcomes.remove(0),
                Hear::Heartbeat(_) | Hear::Durable(_) => {}
                other => panic!("an outcome was due, this came: {other:?}"),
            }
        }
    }

    /// Makes a file that nobody has a lease on.
    async fn made(&mut self, name: &str) -> u64 {
        self.act(create(name)).await.unwrap().attr.unwrap().ino
    }
}

async fn two(rig: &Rig) -> (String, Peer, Peer) {
    let volume = rig.volume("v").await;
    let (one, two) = (rig.session(&volume, 1).await, rig.session(&volume, 2).await);
    (volume, one, two)
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_lend_what_they_tell() {
    let rig = Rig::new().await;
    let (_, mut one, mut two) = two(&rig).await;
    let ino = one.made("f").await;
    let found = two.ask(lookup("f")).await;
    assert_eq!(lent(&found.grants), [ROOT, ino]);
    let nothing = two.ask(lookup("g")).await;
    assert_eq!(nothing.error.unwrap().posix(), v1::PosixError::NoEntry);
    assert_eq!(lent(&nothing.grants), [ROOT]);
    assert_eq!(lent(&two.ask(getattr(ino)).await.grants), [ino]);
    let list = v1::ReadDirRequest { ino: ROOT, with_attributes: true, ..v1::ReadDirRequest::default() };
    assert_eq!(lent(&two.ask(Question::ReadDir(list)).await.grants), [ROOT, ino]);
    assert_eq!(two.ask(getattr(999)).await.grants, []);
    // Who never asked is lent nothing, since it may not know what a recall is.
    one.send(vec![chmod(ino, 0o600)]).await;
    assert_eq!(two.recall().await.ino, ino);
    two.give_back(ino).await;
    assert_eq!(one.outcomes(1).await[0].grants, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_changes_before_it_is_given_back() {
    let rig = Rig::new().await;
    let (volume, mut one, mut two) = two(&rig).await;
    let mut three = rig.session(&volume, 3).await;
    let ino = one.made("f").await;
    two.ask(getattr(ino)).await;
    one.send(vec![chmod(ino, 0o600)]).await;
    let recall = two.recall().await;
    assert_eq!((recall.ino, recall.keep()), (ino, v1::LeaseMode::Unspecified));
    assert!(one.hears_only_durable().await);
    assert_ne!(three.getattr(ino).await.unwrap().mode, 0o600);
    // A question that comes behind the change waits for it.
    three.put(getattr(ino)).await;
    assert!(three.hears_only_durable().await);
    two.give_back(ino).await;
    let outcome = one.outcomes(1).await.remove(0);
    assert_eq!((outcome.error, outcome.attr.unwrap().mode), (0, 0o600));
    let Some(v1::answer::Answer::GetAttr(answer)) = three.answer().await.answer else { panic!("no attributes") };
    assert_eq!(answer.attr.unwrap().mode, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn that_a_name_is_not_there_is_taken_back_too() {
    let rig = Rig::new().await;
    let (_, mut one, mut two) = two(&rig).await;
    two.ask(lookup("f")).await;
    one.send(vec![create("f")]).await;
    assert_eq!(two.recall().await.ino, ROOT);
    assert!(one.hears_only_durable().await);
    two.give_back(ROOT).await;
    let ino = one.outcomes(1).await.remove(0).attr.unwrap().ino;
    // So is what a name leads to, when it goes.
    two.ask(getattr(ino)).await;
    one.send(vec![unlink("f")]).await;
    assert_eq!(two.recall().await.ino, ino);
    two.give_back(ino).await;
    let outcome = one.outcomes(1).await.remove(0);
    assert_eq!((outcome.error, outcome.changed), (0, vec![ROOT, ino]));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_want_each_others_leases_both_get_on() {
    let rig = Rig::new().await;
    let (_, mut one, mut two) = two(&rig).await;
    let (f, g) = (one.made("f").await, one.made("g").await);
    one.ask(getattr(f)).await;
    two.ask(getattr(g)).await;
    one.send(vec![chmod(g, 0o600)]).await;
    assert_eq!(two.recall().await.ino, g);
    // It owes something, so it does not wait itself.
    two.send(vec![chmod(f, 0o600)]).await;
    let outcome = two.outcomes(1).await.remove(0);
    assert_eq!(posix_error(outcome.error), Some(PosixError::Retry));
    two.give_back(g).await;
    assert_eq!(one.outcomes(1).await[0].error, 0);
    two.send(vec![chmod(f, 0o600)]).await;
    assert_eq!(one.recall().await.ino, f);
    one.give_back(f).await;
    assert_eq!(two.outcomes(1).await[0].error, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_when_it_is_asked_does_not_wait_on() {
    let rig = Rig::new().await;
    let (volume, mut one, mut two) = two(&rig).await;
    let mut three = rig.session(&volume, 3).await;
    let (f, g) = (one.made("f").await, one.made("g").await);
    two.ask(getattr(g)).await;
    three.ask(getattr(f)).await;
    two.send(vec![chmod(f, 0o600)]).await;
    assert_eq!(three.recall().await.ino, f);
    one.send(vec![chmod(g, 0o600)]).await;
    assert_eq!(two.recall().await.ino, g);
    assert_eq!(posix_error(two.outcomes(1).await[0].error), Some(PosixError::Retry));
    two.give_back(g).await;
    assert_eq!(one.outcomes(1).await[0].error, 0);
    three.give_back(f).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_give_back_is_fenced() {
    let rig = Rig::new().await;
    let (_, mut one, mut two) = two(&rig).await;
    let ino = one.made("f").await;
    two.ask(getattr(ino)).await;
    one.send(vec![chmod(ino, 0o600)]).await;
    assert_eq!(two.recall().await.ino, ino);
    // It shows that it lives, and does not do what it is asked.
    let mut outcome = None;
    for _ in 0..4 {
        rig.clock.advance(Duration::from_millis(400));
        // Before the clock goes on: the one that waits must not be late itself.
        one.say(Say::Heartbeat(v1::Heartbeat { id: 1 })).await;
        loop {
            match one.hear().await.unwrap() {
                Hear::Heartbeat(_) => break,
                Hear::Applied(mut applied) => outcome = applied.outcomes.pop(),
                Hear::Durable(_) => {}
                other => panic!("{other:?}"),
            }
        }
        if two.heartbeat_or_end().await.is_some() {
            break;
        }
    }
    assert_eq!(two.hear_end().await.kind(), ErrorKind::SessionLost);
    let outcome = match outcome {
        Some(outcome) => outcome,
        None => one.outcome_among_heartbeats().await,
    };
    assert_eq!(outcome.error, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn contended_inodes_are_lent_to_nobody() {
    let rig = Rig::new().await;
    let (_, mut one, mut two) = two(&rig).await;
    let ino = one.made("f").await;
    let mut recalls = 0;
    for round in 0..6_u32 {
        let answer = two.ask(getattr(ino)).await;
        one.send(vec![chmod(ino, 0o600 + round)]).await;
        if !answer.grants.is_empty() {
            assert_eq!(two.recall().await.ino, ino);
            two.give_back(ino).await;
            recalls += 1;
        }
        assert_eq!(one.outcomes(1).await[0].error, 0);
    }
    assert_eq!(recalls, 2);
    rig.clock.advance(Duration::from_millis(500));
    two.heartbeat().await;
    one.heartbeat().await;
    rig.clock.advance(Duration::from_millis(600));
    assert_eq!(lent(&two.ask(getattr(ino)).await.grants), [ino], "it has cooled down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_comes_back_has_what_it_says() {
    let rig = Rig::new().await;
    let (volume, mut one, mut two) = two(&rig).await;
    let (f, g) = (one.made("f").await, one.made("g").await);
    two.ask(getattr(f)).await;
    two.ask(getattr(g)).await;
    let next = two.cut();
    let held = v1::HeldLease { ino: f, mode: v1::LeaseMode::Shared.into() };
    let again = v1::Hello { resume: true, next_seq: next, held_leases: vec![held], ..hello(&volume, 2) };
    let (mut two, _) = rig.hello(again).await.unwrap();
    // What it does not name it had given back, and the message was lost.
    assert_eq!(one.act(chmod(g, 0o600)).await.err(), None);
    one.send(vec![chmod(f, 0o600)]).await;
    assert_eq!(two.recall().await.ino, f);
    // Said again on the next stream.
    let again = v1::Hello { resume: true, next_seq: next, held_leases: vec![held], ..hello(&volume, 2) };
    let (mut two, _) = rig.hello(again).await.unwrap();
    assert_eq!(two.recall().await.ino, f);
    two.give_back(f).await;
    assert_eq!(one.outcomes(1).await[0].error, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_outlive_a_restart() {
    let rig = Rig::new().await;
    let (volume, mut one, mut two) = two(&rig).await;
    let ino = one.made("f").await;
    two.ask(getattr(ino)).await;
    one.sync().await;
    let (next_one, next_two) = (one.next, two.next);
    let rig = rig.killed().await;
    let held = vec![v1::HeldLease { ino, mode: v1::LeaseMode::Shared.into() }];
    let hello_two = v1::Hello { resume: true, next_seq: next_two, held_leases: held, ..hello(&volume, 2) };
    let (mut two, _) = rig.hello(hello_two).await.unwrap();
    // A change that was on its way is not made before the lease is given back.
    let hello_one = v1::Hello { resume: true, next_seq: next_one, pending_until: next_one, ..hello(&volume, 1) };
    let (mut one, _) = rig.hello(hello_one).await.unwrap();
    one.send_at(next_one, vec![chmod(ino, 0o600)]).await;
    assert_eq!(two.recall().await.ino, ino);
    assert!(one.hears_only_durable().await);
    two.give_back(ino).await;
    assert_eq!(one.outcomes(1).await[0].error, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_come_behind_what_their_session_did() {
    let rig = Rig::new().await;
    let (_, mut one, mut two) = two(&rig).await;
    let ino = one.made("f").await;
    two.ask(getattr(ino)).await;
    one.send(vec![chmod(ino, 0o600)]).await;
    one.put(getattr(ino)).await;
    assert_eq!(two.recall().await.ino, ino);
    assert!(one.hears_only_durable().await);
    two.give_back(ino).await;
    assert_eq!(one.outcomes(1).await[0].error, 0);
    let Some(v1::answer::Answer::GetAttr(answer)) = one.answer().await.answer else { panic!("no attributes") };
    assert_eq!(answer.attr.unwrap().mode, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_has_nothing_any_more() {
    let rig = Rig::new().await;
    let (_, mut one, mut two) = two(&rig).await;
    let ino = one.made("f").await;
    two.ask(getattr(ino)).await;
    one.send(vec![chmod(ino, 0o600)]).await;
    assert_eq!(two.recall().await.ino, ino);
    two.say(Say::Goodbye(v1::Goodbye {})).await;
    assert_eq!(one.outcomes(1).await[0].error, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_others_kernels_lends_nothing() {
    let rig = Rig::new().await;
    let (_, mut one, mut two) = two(&rig).await;
    let ino = one.made("f").await;
    one.ask(getattr(ROOT)).await;
    one.act(open(ino)).await.unwrap();
    two.act(open(ino)).await.unwrap();
    one.send(vec![append(ino, b"x")]).await;
    let what = two.invalidation().await;
    two.confirm(&what).await;
    let outcome = one.outcomes(1).await.remove(0);
    assert_eq!((outcome.error, outcome.grants), (0, Vec::new()));
    two.act(close(ino)).await.unwrap();
    let outcome = one.act(append(ino, b"x")).await.unwrap();
    assert_eq!(lent(&outcome.grants), [ino]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_given_back_is_not_fenced_for_what_its_give_back_waits_for() {
    let rig = Rig::new().await;
    let (_, mut one, mut two) = two(&rig).await;
    let (f, g) = (one.made("f").await, one.made("g").await);
    two.ask(getattr(f)).await;
    // Its data takes longer than a lease.
    two.send(vec![write_staged(g, 0, 9, 100_000)]).await;
    one.send(vec![chmod(f, 0o600)]).await;
    assert_eq!(two.recall().await.ino, f);
    two.give_back(f).await;
    for _ in 0..6 {
        rig.clock.advance(Duration::from_millis(400));
        one.say(Say::Heartbeat(v1::Heartbeat { id: 1 })).await;
        assert!(two.heartbeat_or_end().await.is_none());
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    two.stage(9, &[7; 100_000]).await.unwrap();
    two.outcomes(1).await;
    assert_eq!(one.outcome_among_heartbeats().await.error, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_of_a_broken_stream_lends_nothing() {
    let rig = Rig::new().await;
    let (volume, mut one, two) = two(&rig).await;
    let mut three = rig.session(&volume, 3).await;
    let f = one.made("f").await;
    three.ask(getattr(f)).await;
    one.send(vec![chmod(f, 0o600)]).await;
    assert_eq!(three.recall().await.ino, f);
    two.put(getattr(f)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    two.cut();
    tokio::time::sleep(Duration::from_millis(100)).await;
    three.give_back(f).await;
    assert_eq!(one.outcomes(1).await[0].error, 0);
    assert_eq!(one.act(chmod(f, 0o640)).await.err(), None, "nobody has anything of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_with_a_full_memory_comes_back() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let mut one = rig.session(&volume, 1).await;
    one.act(create("f")).await.unwrap();
    one.sync().await;
    let next = one.next;
    let rig = rig.killed().await;
    let held: Vec<_> =
        (1 << 40..(1 << 40) + (1 << 17)).map(|ino| v1::HeldLease { ino, mode: v1::LeaseMode::Shared.into() }).collect();
    let again = v1::Hello { resume: true, next_seq: next, held_leases: held, ..hello(&volume, 1) };
    let (mut one, _) = rig.hello(again.clone()).await.unwrap();
    one.next = next;
    one.act(create("g")).await.unwrap();
    let next = one.cut();
    let (one, _) = rig.hello(v1::Hello { next_seq: next, ..again }).await.unwrap();
    one.getattr(ROOT).await.unwrap();
}
