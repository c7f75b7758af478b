//! What is left after the server was killed, and how sessions bring back what it forgot.

use holdfast_core::error::ErrorKind;
use holdfast_proto::v1;
use holdfast_proto::v1::op::Op;

use crate::rig::{Rig, append, close, config, create, hello, open, start, unlink, write_staged};

fn replay(commit: u64, op: Op) -> v1::Op {
    v1::Op { replay_of: commit, op: Some(op), ..v1::Op::default() }
}

/// A server that commits only when asked, so that a kill loses what was not synced.
async fn lazy() -> Rig {
    let rig = Rig::new().await;
    let Rig { dir, clock, server, .. } = rig;
    server.stop().await.unwrap();
    let mut config = config(dir.path());
    config.commit.age_max = std::time::Duration::from_secs(60);
    let server = start(config, std::sync::Arc::new(clock.clone())).await.unwrap();
    let channel = tonic::transport::Channel::from_shared(format!("http://{}", server.address())).unwrap();
    let channel = channel.connect().await.unwrap();
    Rig { dir, clock, server, channel }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_synced_is_there_after_a_kill_and_the_rest_comes_back_in_order() {
    // Who appends to what another one has just appended would have it made durable. (Each test has a process of
    // its own.)
    holdfast_server::failpoint::arm("settle").unwrap();
    let rig = lazy().await;
    let volume = rig.volume("v").await;
    let (mut one, mut two) = (rig.session(&volume, 1).await, rig.session(&volume, 2).await);
    let ino = one.act(create("log")).await.unwrap().attr.unwrap().ino;
    one.sync().await;
    // Two sessions append in turns; nothing of that reaches the disk.
    let mut commits = Vec::new();
    for turn in 0..3 {
        commits.push(one.act(append(ino, format!("a{turn} ").as_bytes())).await.unwrap().commit);
        commits.push(two.act(append(ino, format!("b{turn} ").as_bytes())).await.unwrap().commit);
    }
    let before = one.content(ino).await;
    assert_eq!(before, b"a0 b0 a1 b1 a2 b2 ");
    let rig = rig.killed().await;

    // Two comes first: it may not overtake.
    let resume = v1::Hello { resume: true, next_seq: 1, pending_until: 3, ..hello(&volume, 2) };
    let (mut two, welcome) = rig.hello(resume).await.unwrap();
    assert_eq!(welcome.applied_seq, 0);
    let ops = (0..3).map(|turn| replay(commits[2 * turn + 1], append(ino, format!("b{turn} ").as_bytes()))).collect();
    two.send_batch(v1::OpBatch { first_seq: 1, ops, received_seq: 0 }).await;
    // And one more that was never answered.
    two.send_at(4, vec![append(ino, b"new-b ")]).await;
    assert!(two.hears_nothing().await, "it was answered before all were back");

    let resume = v1::Hello { resume: true, next_seq: 2, pending_until: 4, ..hello(&volume, 1) };
    let (mut one, welcome) = rig.hello(resume).await.unwrap();
    assert_eq!((welcome.applied_seq, welcome.durable_seq), (1, 1));
    let ops = (0..3).map(|turn| replay(commits[2 * turn], append(ino, format!("a{turn} ").as_bytes()))).collect();
    one.send_batch(v1::OpBatch { first_seq: 2, ops, received_seq: 1 }).await;
    let again: Vec<u64> = one.outcomes(3).await.iter().map(|outcome| outcome.commit).collect();
    assert_eq!(again, [commits[0], commits[2], commits[4]], "a replay keeps its place");
    two.outcomes(4).await;
    assert_eq!(one.content(ino).await, b"a0 b0 a1 b1 a2 b2 new-b ");
}

/// The close is brought back, the open behind it is new to this server; in between the file has lost its name.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_closed_and_opened_again_is_kept() {
    holdfast_server::failpoint::arm("settle").unwrap();
    let rig = lazy().await;
    let volume = rig.volume("v").await;
    let (mut one, mut two) = (rig.session(&volume, 1).await, rig.session(&volume, 2).await);
    let ino = one.act(create("f")).await.unwrap().attr.unwrap().ino;
    one.act(open(ino)).await.unwrap();
    one.sync().await;
    let closed = one.act(close(ino)).await.unwrap().commit;
    one.act(open(ino)).await.unwrap();
    let gone = two.act(unlink("f")).await.unwrap().commit;
    let rig = rig.killed().await;

    let resume = v1::Hello { resume: true, next_seq: 3, pending_until: 4, open_inodes: vec![ino], ..hello(&volume, 1) };
    let (mut one, _) = rig.hello(resume).await.unwrap();
    // It has not heard of the second open.
    let ops = vec![replay(closed, close(ino)), v1::Op { op: Some(open(ino)), ..v1::Op::default() }];
    one.send_batch(v1::OpBatch { first_seq: 3, ops, received_seq: 2 }).await;
    let resume = v1::Hello { resume: true, next_seq: 1, pending_until: 1, ..hello(&volume, 2) };
    let (two, _) = rig.hello(resume).await.unwrap();
    two.send_batch(v1::OpBatch { first_seq: 1, ops: vec![replay(gone, unlink("f"))], received_seq: 0 }).await;
    assert!(one.outcomes(2).await.iter().all(|outcome| outcome.error == 0), "it is not there any more");
    assert_eq!(one.getattr(ino).await.unwrap().nlink, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_or_enters_before_recovery_is_over() {
    let rig = lazy().await;
    let volume = rig.volume("v").await;
    let (mut one, mut two) = (rig.session(&volume, 1).await, rig.session(&volume, 2).await);
    two.sync().await;
    one.act(create("a")).await.unwrap();
    let rig = rig.killed().await;
    let (one, _) =
        rig.hello(v1::Hello { resume: true, next_seq: 1, pending_until: 1, ..hello(&volume, 1) }).await.unwrap();
    let read = tokio::time::timeout(std::time::Duration::from_millis(150), one.getattr(1)).await;
    assert!(read.is_err(), "it read a state that the volume is about to leave");
    let newcomer = rig.hello(hello(&volume, 3));
    tokio::pin!(newcomer);
    let early = tokio::time::timeout(std::time::Duration::from_millis(150), &mut newcomer).await;
    assert!(early.is_err(), "a newcomer was let in");
    one.send_batch(v1::OpBatch { first_seq: 1, ops: vec![replay(9, create("a"))], received_seq: 0 }).await;
    let (two, _) = rig.hello(v1::Hello { resume: true, next_seq: 1, ..hello(&volume, 2) }).await.unwrap();
    let (three, welcome) = newcomer.await.unwrap();
    assert!(!welcome.resumed);
    assert_eq!(three.names().await, ["a"]);
    assert_eq!(two.names().await, ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_come_back_is_fenced_when_its_lease_is_over() {
    let rig = lazy().await;
    let volume = rig.volume("v").await;
    let (mut one, mut two) = (rig.session(&volume, 1).await, rig.session(&volume, 2).await);
    one.act(create("lost")).await.unwrap();
    two.act(create("kept")).await.unwrap();
    let rig = rig.killed().await;
    let resume = v1::Hello { resume: true, next_seq: 1, pending_until: 1, ..hello(&volume, 2) };
    let (mut two, _) = rig.hello(resume).await.unwrap();
    two.send_at(1, vec![create("kept")]).await;
    assert!(two.hears_nothing().await);
    rig.let_lease_pass();
    two.outcomes(1).await;
    assert_eq!(two.names().await, ["kept"]);
    let late = v1::Hello { resume: true, next_seq: 1, pending_until: 1, ..hello(&volume, 1) };
    assert_eq!(rig.hello(late).await.map(|_| ()).unwrap_err().kind(), ErrorKind::SessionLost);
}

#[tokio::test(flavor = "multi_thread")]
async fn open_files_without_a_name_survive_and_go_when_nobody_claims_them() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let mut one = rig.session(&volume, 1).await;
    let kept = one.act(create("kept")).await.unwrap().attr.unwrap().ino;
    let lost = one.act(create("lost")).await.unwrap().attr.unwrap().ino;
    for (ino, name) in [(kept, "kept"), (lost, "lost")] {
        one.act(open(ino)).await.unwrap();
        one.act(append(ino, name.as_bytes())).await.unwrap();
        one.act(unlink(name)).await.unwrap();
    }
    one.sync().await;
    let next = one.next;
    let rig = rig.killed().await;
    // The close of the second is all that the server does not know yet, with a last write before it.
    let resume = v1::Hello {
        resume: true,
        next_seq: next,
        pending_until: next + 1,
        open_inodes: vec![kept],
        ..hello(&volume, 1)
    };
    let (mut one, _) = rig.hello(resume).await.unwrap();
    one.send_at(next, vec![append(lost, b"!"), close(lost)]).await;
    let outcomes = one.outcomes(2).await;
    assert!(outcomes.iter().all(|outcome| outcome.error == 0), "{outcomes:?}");
    assert_eq!(one.content(kept).await, b"kept");
    assert!(one.getattr(lost).await.is_err());
    assert_eq!(one.stat_inodes().await, 2, "the root and one orphan");
}

#[tokio::test(flavor = "multi_thread")]
async fn staged_data_comes_again_before_the_volume_opens() {
    let rig = lazy().await;
    let volume = rig.volume("v").await;
    let mut one = rig.session(&volume, 1).await;
    let ino = one.act(create("big")).await.unwrap().attr.unwrap().ino;
    one.sync().await;
    let data = vec![7u8; 200_000];
    one.stage(1, &data).await.unwrap();
    let commit = one.act(write_staged(ino, 0, 1, 200_000)).await.unwrap().commit;
    let rig = rig.killed().await;
    let resume = v1::Hello { resume: true, next_seq: 2, pending_until: 2, ..hello(&volume, 1) };
    let (mut one, _) = rig.hello(resume).await.unwrap();
    let ops = vec![replay(commit, write_staged(ino, 0, 1, 200_000))];
    one.send_batch(v1::OpBatch { first_seq: 2, ops, received_seq: 1 }).await;
    assert!(one.hears_nothing().await);
    one.stage(1, &data).await.unwrap();
    assert_eq!(one.outcomes(1).await[0].len, 200_000);
    assert_eq!(one.content(ino).await, data);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_loses_nothing_and_sessions_come_back() {
    let rig = lazy().await;
    let volume = rig.volume("v").await;
    let mut one = rig.session(&volume, 1).await;
    let ino = one.act(create("f")).await.unwrap().attr.unwrap().ino;
    one.act(append(ino, b"unsynced")).await.unwrap();
    let rig = rig.restarted().await;
    assert_eq!(one.hear_end().await.kind(), ErrorKind::Unavailable);
    let resume = v1::Hello { resume: true, next_seq: 1, pending_until: 2, ..hello(&volume, 1) };
    let (mut one, welcome) = rig.hello(resume).await.unwrap();
    assert_eq!((welcome.applied_seq, welcome.durable_seq), (2, 2));
    one.send_at(1, vec![create("f"), append(ino, b"unsynced")]).await;
    assert!(one.outcomes(2).await.iter().all(|outcome| outcome.error == 0));
    assert_eq!(one.content(ino).await, b"unsynced");
}
