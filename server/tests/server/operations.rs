//! Operations: in order, exactly once, answered when others have dropped what they cached.

use bytes::Bytes;
use holdfast_core::error::{ErrorKind, PosixError};
use holdfast_proto::v1;
use holdfast_proto::v1::client_message::Message as Say;
use holdfast_proto::v1::server_message::Message as Hear;

use crate::rig::{Rig, append, close, create, hello, open, unlink, write_staged};

#[tokio::test(flavor = "multi_thread")]
async fn what_one_session_does_another_sees() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let (mut one, two) = (rig.session(&volume, 1).await, rig.session(&volume, 2).await);
    let ino = one.act(create("a")).await.unwrap().attr.unwrap().ino;
    one.act(append(ino, b"hello")).await.unwrap();
    assert_eq!(two.lookup("a").await.unwrap().size, 5);
    assert_eq!(two.content(ino).await, b"hello");
    assert_eq!(one.act(create("a")).await, Err(PosixError::Exists));
    assert_eq!(two.lookup("b").await.unwrap_err().kind(), ErrorKind::Posix(PosixError::NoEntry));
    let long = "x".repeat(256);
    assert_eq!(two.lookup(&long).await.unwrap_err().kind(), ErrorKind::Posix(PosixError::NameTooLong));
    rig.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_is_answered_again_and_done_once() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let mut peer = rig.session(&volume, 1).await;
    let ino = peer.act(create("log")).await.unwrap().attr.unwrap().ino;
    let first = peer.act(append(ino, b"once")).await.unwrap();
    // The answer was lost: the stream breaks and everything comes again, with something new.
    peer.cut();
    let again = v1::Hello { resume: true, next_seq: 1, pending_until: 2, ..hello(&volume, 1) };
    let (mut peer, welcome) = rig.hello(again).await.unwrap();
    assert!(welcome.resumed);
    assert_eq!(welcome.applied_seq, 2);
    peer.send_at(1, vec![create("log"), append(ino, b"once"), append(ino, b" more")]).await;
    let outcomes = peer.outcomes(3).await;
    assert_eq!(outcomes[1], first);
    assert_eq!((outcomes[2].offset, outcomes[2].len), (4, 5));
    assert_eq!(peer.content(ino).await, b"once more");
    // Also on the same stream.
    peer.send_at(3, vec![append(ino, b" more")]).await;
    assert_eq!(peer.outcomes(1).await[0], outcomes[2]);
    assert_eq!(peer.content(ino).await, b"once more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_and_nonsense_end_the_stream_and_change_nothing() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let mut peer = rig.session(&volume, 1).await;
    peer.send_at(3, vec![create("a")]).await;
    let error = peer.hear_end().await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("gap"), "{error}");

    let (mut peer, _) = rig.hello(v1::Hello { resume: true, next_seq: 1, ..hello(&volume, 1) }).await.unwrap();
    peer.send_at(1, vec![create("a/b")]).await;
    let error = peer.hear_end().await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains('/'), "{error}");

    let (mut peer, _) = rig.hello(v1::Hello { resume: true, next_seq: 1, ..hello(&volume, 1) }).await.unwrap();
    peer.send_batch(v1::OpBatch { first_seq: 1, ops: vec![v1::Op::default()], received_seq: 0 }).await;
    assert_eq!(peer.hear_end().await.kind(), ErrorKind::Invalid);

    let (peer, _) = rig.hello(v1::Hello { resume: true, next_seq: 1, ..hello(&volume, 1) }).await.unwrap();
    assert!(peer.names().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_waits_for_its_data_and_others_do_not() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let (mut one, mut two) = (rig.session(&volume, 1).await, rig.session(&volume, 2).await);
    let ino = one.act(create("big")).await.unwrap().attr.unwrap().ino;
    let data: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    one.send(vec![write_staged(ino, 0, 9, 300_000), create("after")]).await;
    assert!(one.hears_only_durable().await);
    two.act(create("meanwhile")).await.unwrap();
    one.stage(9, &data).await.unwrap();
    one.stage(9, &data).await.unwrap();
    let outcomes = one.outcomes(2).await;
    assert_eq!(outcomes[0].len, 300_000);
    assert_eq!(two.content(ino).await, data);
    assert_eq!(two.names().await, ["big", "meanwhile", "after"]);
    // Data that arrives before its operation.
    one.stage(10, &data[..70_000]).await.unwrap();
    one.act(write_staged(ino, 300_000, 10, 70_000)).await.unwrap();
    assert_eq!(two.getattr(ino).await.unwrap().size, 370_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_and_strange_data_is_refused() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let peer = rig.session(&volume, 1).await;
    let request = v1::StageRequest { stage_id: 1, data: Bytes::from_static(b"abc"), blake3: Bytes::from(vec![0; 32]) };
    let error = peer.data().stage(peer.request(request)).await.map_err(holdfast_proto::error::from_status);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Damaged);
    assert_eq!(peer.stage(0, b"abc").await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(peer.stage(1, b"").await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_answered_when_those_who_have_the_file_open_have_dropped_it() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let (mut one, mut two) = (rig.session(&volume, 1).await, rig.session(&volume, 2).await);
    let ino = one.act(create("f")).await.unwrap().attr.unwrap().ino;
    two.act(open(ino)).await.unwrap();
    one.send(vec![append(ino, b"12345"), create("later")]).await;
    let what = two.invalidation().await;
    assert_eq!((what.ino, what.offset, what.len), (ino, 0, 5));
    assert!(one.hears_only_durable().await, "answered before the other has dropped its copy");
    // It is applied all the same: who asks sees it.
    assert_eq!(two.content(ino).await, b"12345");
    two.confirm(&what).await;
    let outcomes = one.outcomes(2).await;
    assert_eq!(outcomes[0].attr.as_ref().unwrap().data_version, what.data_version);
    // A session that has closed the file is not asked.
    two.act(close(ino)).await.unwrap();
    one.act(append(ino, b"6")).await.unwrap();
    assert!(two.hears_only_durable().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_writers_of_one_file_do_not_wait_for_each_other_for_ever() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let (mut one, mut two) = (rig.session(&volume, 1).await, rig.session(&volume, 2).await);
    let ino = one.act(create("f")).await.unwrap().attr.unwrap().ino;
    one.act(open(ino)).await.unwrap();
    two.act(open(ino)).await.unwrap();
    // Neither confirms anything before its own write is answered, as a kernel with locked pages.
    one.send(vec![append(ino, b"one")]).await;
    let to_two = two.invalidation().await;
    two.send(vec![append(ino, b"two")]).await;
    let of_one = one.outcomes(1).await.remove(0);
    assert_eq!(of_one.offset, 0);
    let to_one = one.invalidation().await;
    one.confirm(&to_one).await;
    let of_two = two.outcomes(1).await.remove(0);
    assert_eq!(of_two.offset, 3);
    two.confirm(&to_two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_is_told_again_what_to_drop() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let (mut one, mut two) = (rig.session(&volume, 1).await, rig.session(&volume, 2).await);
    let ino = one.act(create("f")).await.unwrap().attr.unwrap().ino;
    two.act(open(ino)).await.unwrap();
    one.send(vec![append(ino, b"x")]).await;
    let what = two.invalidation().await;
    let next = two.cut();
    let resume = v1::Hello { resume: true, next_seq: next, open_inodes: vec![ino], ..hello(&volume, 2) };
    let (mut two, _) = rig.hello(resume).await.unwrap();
    assert_eq!(two.invalidation().await, what);
    assert!(one.hears_only_durable().await);
    two.confirm(&what).await;
    one.outcomes(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_file_lives_until_its_last_close() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let (mut one, mut two) = (rig.session(&volume, 1).await, rig.session(&volume, 2).await);
    let ino = one.act(create("f")).await.unwrap().attr.unwrap().ino;
    one.act(append(ino, b"still here")).await.unwrap();
    one.act(open(ino)).await.unwrap();
    two.act(unlink("f")).await.unwrap();
    assert_eq!(one.content(ino).await, b"still here");
    assert_eq!(one.getattr(ino).await.unwrap().nlink, 0);
    one.act(close(ino)).await.unwrap();
    assert_eq!(one.getattr(ino).await.unwrap_err().kind(), ErrorKind::Posix(PosixError::NoEntry));
    assert_eq!(one.act(open(ino)).await, Err(PosixError::NoEntry));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_also_covers_what_others_did() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let (mut one, mut two) = (rig.session(&volume, 1).await, rig.session(&volume, 2).await);
    one.act(create("a")).await.unwrap();
    two.sync().await;
    let rig = rig.killed().await;
    let resume = v1::Hello { resume: true, next_seq: 2, ..hello(&volume, 1) };
    let (one, _) = rig.hello(resume).await.unwrap();
    rig.let_lease_pass();
    assert_eq!(one.names().await, ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_become_durable_unasked() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let mut peer = rig.session(&volume, 1).await;
    peer.act(create("a")).await.unwrap();
    loop {
        match peer.hear().await.unwrap() {
            Hear::Durable(durable) if durable.seq == 1 => return assert_eq!(durable.sync_id, 0),
            Hear::Durable(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Bytes of all data segments below a directory.
fn segment_bytes(dir: &std::path::Path) -> u64 {
    // What is listed may go meanwhile.
    let entries = std::fs::read_dir(dir).into_iter().flatten().map_while(Result::ok);
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => segment_bytes(&entry.path()),
        Ok(meta) if dir.ends_with("segments") => meta.len(),
        _ => 0,
    });
    bytes.sum()
}

/// A commit on the stream's own thread wakes nobody, and what it leaves behind is freed all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_is_freed_though_every_change_was_synced() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let mut peer = rig.session(&volume, 1).await;
    let ino = peer.act(create("a")).await.unwrap().attr.unwrap().ino;
    peer.sync().await;
    // So much that the segment is let go when nothing of it is left.
    for part in 0..2 {
        peer.stage(part + 1, &vec![7; 1 << 20]).await.unwrap();
        peer.act(write_staged(ino, part << 20, part + 1, 1 << 20)).await.unwrap();
    }
    peer.sync().await;
    let held = || segment_bytes(rig.dir.path());
    assert!(held() >= 2 << 20, "{}", held());
    peer.act(unlink("a")).await.unwrap();
    peer.sync().await;
    for _ in 0..1000 {
        if held() == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{} bytes of segments are left", held());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_session_changes_nothing() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let mut one = rig.session(&volume, 1).await;
    let ino = one.act(create("f")).await.unwrap().attr.unwrap().ino;
    let (mut reader, _) = rig.hello(v1::Hello { read_only: true, ..hello(&volume, 2) }).await.unwrap();
    reader.act(open(ino)).await.unwrap();
    assert_eq!(reader.act(create("g")).await, Err(PosixError::ReadOnly));
    assert_eq!(reader.act(append(ino, b"x")).await, Err(PosixError::ReadOnly));
    let truncate = v1::op::Op::Open(v1::Open { ino, truncate: true, ..v1::Open::default() });
    assert_eq!(reader.act(truncate).await, Err(PosixError::ReadOnly));
    reader.act(close(ino)).await.unwrap();
    assert_eq!(one.names().await, ["f"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_operations_come_back_in_order() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let mut peer = rig.session(&volume, 1).await;
    for batch in 0..4 {
        peer.send((0..500).map(|n| create(&format!("f{batch}-{n}"))).collect()).await;
    }
    let outcomes = peer.outcomes(2000).await;
    let seqs: Vec<u64> = outcomes.iter().map(|outcome| outcome.seq).collect();
    assert_eq!(seqs, (1..=2000).collect::<Vec<u64>>());
    assert!(outcomes.windows(2).all(|pair| pair[0].commit < pair[1].commit));
    peer.say(Say::Sync(v1::SyncRequest { seq: 2000, id: 1 })).await;
    loop {
        if let Hear::Durable(durable) = peer.hear().await.unwrap()
            && durable.sync_id == 1
        {
            return assert_eq!(durable.seq, 2000);
        }
    }
}
