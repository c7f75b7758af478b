//! Sessions: who may come, how they end.

use holdfast_core::error::ErrorKind;
use holdfast_proto::v1;
use holdfast_proto::v1::client_message::Message as Say;
use holdfast_proto::v1::server_message::Message as Hear;
use holdfast_proto::version::PROTOCOL_NEWEST;

use crate::rig::{Rig, append, create, hello, open, unlink};

#[tokio::test(flavor = "multi_thread")]
async fn a_welcome_tells_the_terms() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let (_peer, welcome) = rig.hello(hello(&volume, 1)).await.unwrap();
    assert_eq!(
        (welcome.protocol, welcome.root_ino, welcome.lease_ms, welcome.heartbeat_ms),
        (PROTOCOL_NEWEST, 1, 1000, 200)
    );
    assert_eq!((welcome.applied_seq, welcome.durable_seq, welcome.resumed), (0, 0, false));
    assert!(welcome.epoch > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_hello_gets_a_clear_error() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let refused = |hello: v1::Hello| {
        let rig = &rig;
        async move { rig.hello(hello).await.map(|(_, welcome)| welcome).unwrap_err() }
    };
    let error = refused(v1::Hello { protocol: 9, protocol_oldest: 8, ..hello(&volume, 1) }).await;
    assert_eq!(error.kind(), ErrorKind::Version);
    assert!(error.message().contains("upgrade the server"), "{error}");
    let nobody = refused(hello(&"0".repeat(32), 1)).await;
    assert_eq!(nobody.kind(), ErrorKind::NotFound);
    assert_eq!(refused(hello("v", 1)).await.kind(), ErrorKind::Invalid);
    let short = v1::Hello { session_id: vec![1; 3].into(), ..hello(&volume, 1) };
    assert_eq!(refused(short).await.kind(), ErrorKind::Invalid);
    let unknown = v1::Hello { resume: true, next_seq: 5, ..hello(&volume, 1) };
    assert_eq!(refused(unknown).await.kind(), ErrorKind::SessionLost);

    let mut peer = rig.open_stream(holdfast_core::id::SessionId([9; 16])).await;
    peer.say(Say::Heartbeat(v1::Heartbeat { id: 1 })).await;
    assert_eq!(peer.hear_end().await.kind(), ErrorKind::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_without_a_live_session_fail() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let mut peer = rig.session(&volume, 1).await;
    let mut stranger = rig.session(&volume, 2).await;
    stranger.session = holdfast_core::id::SessionId([77; 16]);
    assert_eq!(stranger.getattr(1).await.unwrap_err().kind(), ErrorKind::SessionLost);
    let nameless = peer.namespace().get_attr(v1::GetAttrRequest { ino: 1 }).await;
    assert_eq!(holdfast_proto::error::from_status(nameless.unwrap_err()).kind(), ErrorKind::Invalid);
    peer.heartbeat().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_silent_is_fenced_and_what_it_held_goes() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let (mut one, mut two) = (rig.session(&volume, 1).await, rig.session(&volume, 2).await);
    let ino = one.act(create("f")).await.unwrap().attr.unwrap().ino;
    one.act(open(ino)).await.unwrap();
    two.act(unlink("f")).await.unwrap();
    let next = one.cut();
    // One is gone; two goes on to live.
    for _ in 0..2 {
        rig.clock.advance(std::time::Duration::from_millis(800));
        two.heartbeat().await;
    }
    let late = v1::Hello { resume: true, next_seq: next, pending_until: next, ..hello(&volume, 1) };
    let error = rig.hello(late.clone()).await.map(|(_, welcome)| welcome).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SessionLost);
    // The file that only it had open is gone for good.
    let gone = two.getattr(ino).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Posix(holdfast_core::error::PosixError::NoEntry));
    // So it is after a crash.
    two.sync().await;
    let rig = rig.killed().await;
    let error = rig.hello(late).await.map(|(_, welcome)| welcome).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SessionLost);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_stream_of_a_silent_session_is_told() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let mut peer = rig.session(&volume, 1).await;
    rig.let_lease_pass();
    assert_eq!(peer.hear_end().await.kind(), ErrorKind::SessionLost);
    assert_eq!(peer.getattr(1).await.unwrap_err().kind(), ErrorKind::SessionLost);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_does_not_confirm_is_fenced_and_nobody_hangs() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let (mut one, mut two) = (rig.session(&volume, 1).await, rig.session(&volume, 2).await);
    let ino = one.act(create("f")).await.unwrap().attr.unwrap().ino;
    two.act(open(ino)).await.unwrap();
    one.send(vec![append(ino, b"x")]).await;
    two.invalidation().await;
    // Both keep their leases; two says nothing about its cache.
    for _ in 0..2 {
        rig.clock.advance(std::time::Duration::from_millis(800));
        one.heartbeat().await;
        if two.heartbeat_or_end().await.is_some() {
            break;
        }
    }
    one.outcomes(1).await;
    assert_eq!(two.hear_end().await.kind(), ErrorKind::SessionLost);
}

#[tokio::test(flavor = "multi_thread")]
async fn goodbye_makes_all_durable_and_ends() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let mut peer = rig.session(&volume, 1).await;
    peer.send(vec![create("a")]).await;
    peer.say(Say::Goodbye(v1::Goodbye {})).await;
    loop {
        match peer.hear().await.unwrap() {
            Hear::Farewell(_) => break,
            Hear::Applied(_) | Hear::Durable(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        rig.hello(v1::Hello { resume: true, next_seq: 2, ..hello(&volume, 1) }).await.map(|_| ()).unwrap_err().kind(),
        ErrorKind::SessionLost
    );
    // Nobody is left to wait for: a killed server opens the volume at once.
    let rig = rig.killed().await;
    let other = rig.session(&volume, 2).await;
    assert_eq!(other.names().await, ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_stream_takes_the_session_over() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let mut first = rig.session(&volume, 1).await;
    let (mut second, _) = rig.hello(v1::Hello { resume: true, next_seq: 1, ..hello(&volume, 1) }).await.unwrap();
    assert_eq!(first.hear_end().await.kind(), ErrorKind::Unavailable);
    second.act(create("a")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_counts_on_what_the_server_does_not_have_is_ended() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    rig.session(&volume, 1).await.cut();
    let hello = v1::Hello { resume: true, next_seq: 8, pending_until: 9, ..hello(&volume, 1) };
    assert_eq!(rig.hello(hello).await.map(|_| ()).unwrap_err().kind(), ErrorKind::SessionLost);
}

/// A client does not know when the server takes its Goodbye up, so heartbeats follow it.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_leaves_may_still_be_talking() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    for number in 1..=50 {
        let mut peer = rig.session(&volume, number).await;
        peer.act(create(&format!("f{number}"))).await.unwrap();
        peer.say(Say::Goodbye(v1::Goodbye {})).await;
        for id in 0..5 {
            peer.say(Say::Heartbeat(v1::Heartbeat { id })).await;
        }
        loop {
            match peer.hear().await.unwrap() {
                Hear::Farewell(_) => break,
                Hear::Durable(_) | Hear::Heartbeat(_) => {}
                other => panic!("in place of a farewell: {other:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exclusive_session_is_alone() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let alone = |number| v1::Hello { exclusive: true, ..hello(&volume, number) };
    let (mut first, _) = rig.hello(alone(1)).await.unwrap();
    for newcomer in [hello(&volume, 2), alone(3), v1::Hello { read_only: true, ..hello(&volume, 4) }] {
        let error = rig.hello(newcomer).await.map(|(_, welcome)| welcome).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InUse);
        assert!(error.message().contains("exclusively"), "{error}");
    }
    // It comes back itself, and leaves.
    let again = v1::Hello { resume: true, next_seq: 1, ..alone(1) };
    drop(first);
    (first, _) = rig.hello(again).await.unwrap();
    first.say(Say::Goodbye(v1::Goodbye {})).await;
    while !matches!(first.hear().await.unwrap(), Hear::Farewell(_)) {}
    let (_second, _) = rig.hello(hello(&volume, 2)).await.unwrap();
    let (_third, _) = rig.hello(hello(&volume, 3)).await.unwrap();
    let error = rig.hello(alone(4)).await.map(|(_, welcome)| welcome).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_slept_takes_sessions_back_and_gives_none_more_than_a_lease() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let (mut one, mut two) = (rig.session(&volume, 1).await, rig.session(&volume, 2).await);
    one.act(create("f")).await.unwrap();
    for _ in 0..20 {
        let next = one.cut();
        rig.clock.advance(std::time::Duration::from_secs(3600));
        // Before or after the next tick.
        let again = v1::Hello { resume: true, next_seq: next, pending_until: next, ..hello(&volume, 1) };
        let (peer, welcome) = rig.hello(again).await.unwrap();
        assert!(welcome.resumed);
        one = peer;
        one.next = next;
        two.heartbeat().await;
    }
    // What was renewed after the sleep is not extended by it.
    let next = one.cut();
    for _ in 0..2 {
        rig.clock.advance(std::time::Duration::from_millis(800));
        two.heartbeat().await;
    }
    let late = v1::Hello { resume: true, next_seq: next, pending_until: next, ..hello(&volume, 1) };
    let error = rig.hello(late).await.map(|(_, welcome)| welcome).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SessionLost);
}
