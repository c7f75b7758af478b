//! Who uses a volume: what the server knows, and what it asks its sessions.

use holdfast_core::error::{ErrorKind, PosixError};
use holdfast_proto::error::from_status;
use holdfast_proto::v1::client_message::Message as Say;
use holdfast_proto::v1::inspect_client::InspectClient;
use holdfast_proto::v1::server_message::Message as Hear;
use holdfast_proto::v1::{self, volume_ref::By};

use crate::rig::{Peer, Rig, create, open};

fn named(name: &str) -> Option<v1::VolumeRef> {
    Some(v1::VolumeRef { by: Some(By::Name(name.into())) })
}

fn lock(owner: u64, mode: v1::LockMode) -> v1::Lock {
    let space = v1::LockSpace::Record.into();
    v1::Lock {
        ino: 2,
        space,
        owner,
        mode: mode.into(),
        start: 0,
        end: 9,
        pid: 40 + u32::try_from(owner).unwrap(),
        open_file: false,
    }
}

/// Answers the next question of the server.
async fn describe(peer: &mut Peer, mut description: v1::Description) {
    loop {
        match peer.hear().await.unwrap() {
            Hear::Describe(asked) => {
                description.id = asked.id;
                return peer.say(Say::Description(description)).await;
            }
            Hear::Durable(_) => {}
            other => panic!("a question was due, this came: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_nobody_uses_is_not_opened_to_say_so() {
    let rig = Rig::new().await;
    rig.volume("v").await;
    let mut inspect = InspectClient::new(rig.channel.clone());
    let opens = inspect.list_opens(v1::ListOpensRequest { volume: named("v") }).await.unwrap().into_inner();
    let locks = inspect.list_locks(v1::ListLocksRequest { volume: named("v") }).await.unwrap().into_inner();
    assert_eq!((opens, locks), Default::default());
    let error = inspect.list_locks(v1::ListLocksRequest { volume: named("w") }).await.unwrap_err();
    assert_eq!(from_status(error).kind(), ErrorKind::NotFound);
    let error = inspect.list_opens(v1::ListOpensRequest { volume: None }).await.unwrap_err();
    assert_eq!(from_status(error).kind(), ErrorKind::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_shown_with_what_their_sessions_say() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let (mut one, mut two) = (rig.session(&volume, 1).await, rig.session(&volume, 2).await);
    one.act(create("f")).await.unwrap();
    one.act(open(2)).await.unwrap();
    two.act(open(2)).await.unwrap();
    one.say(Say::Lock(v1::LockRequest { id: 1, lock: Some(lock(1, v1::LockMode::Exclusive)), wait: true })).await;
    assert_eq!(one.lock_answer(1).await, None);
    two.say(Say::Lock(v1::LockRequest { id: 1, lock: Some(lock(2, v1::LockMode::Shared)), wait: true })).await;
    two.heartbeat().await;
    rig.clock.advance(std::time::Duration::from_millis(500));
    let (channel, request) = (rig.channel.clone(), v1::ListLocksRequest { volume: named("v") });
    let asking = tokio::spawn(async move { InspectClient::new(channel).list_locks(request).await });
    let process = |pid| v1::Process { pid, name: "program".into(), container: "c1".into(), gone: false };
    // The second does not answer.
    describe(&mut one, v1::Description { processes: vec![process(41)], ..v1::Description::default() }).await;
    let listed = asking.await.unwrap().unwrap().into_inner();
    assert!(!listed.cut);
    let [held, waiting] = &listed.locks[..] else { panic!("{listed:#?}") };
    assert_eq!((held.waits, &held.path[..], held.process.clone()), (false, &b"/f"[..], Some(process(41))));
    assert_eq!(held.client.as_ref().map(|client| (client.host.as_str(), client.answered)), Some(("host-1", true)));
    assert_eq!((held.lock.unwrap().mode(), held.lock.unwrap().owner), (v1::LockMode::Exclusive, 0));
    let silent = v1::Process { pid: 42, ..v1::Process::default() };
    assert_eq!((waiting.waits, &waiting.path[..], waiting.process.clone()), (true, &b"/f"[..], Some(silent)));
    assert_eq!(waiting.client.as_ref().map(|client| (client.host.as_str(), client.answered)), Some(("host-2", false)));
    assert_eq!(held.since, waiting.since, "the clock stood still between them");

    let (channel, request) = (rig.channel.clone(), v1::ListOpensRequest { volume: named("v") });
    let asking = tokio::spawn(async move { InspectClient::new(channel).list_opens(request).await });
    let file = v1::OpenFile { ino: 2, pid: 41, read: true, write: false, append: false, open_ms: 300 };
    let description = v1::Description { opens: vec![file, file], processes: vec![process(41)], cut: true, id: 0 };
    describe(&mut one, description).await;
    let listed = asking.await.unwrap().unwrap().into_inner();
    assert!(listed.cut, "one had more to tell");
    let of = |host: &str| {
        listed.opens.iter().filter(|row| row.client.as_ref().unwrap().host == host).cloned().collect::<Vec<_>>()
    };
    assert_eq!(of("host-1").len(), 2);
    assert!(of("host-1").iter().all(|row| row.read && !row.write && row.process == Some(process(41))));
    assert!(matches!(&of("host-2")[..], [row] if row.process.is_none() && row.ino == 2));
}

/// F_GETLK: a process means something on its own host only.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_names_processes_of_the_own_session_only() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let (mut one, mut two) = (rig.session(&volume, 1).await, rig.session(&volume, 2).await);
    one.say(Say::Lock(v1::LockRequest { id: 1, lock: Some(lock(1, v1::LockMode::Exclusive)), wait: false })).await;
    assert_eq!(one.lock_answer(1).await, None);
    for (peer, pid) in [(&mut one, 41), (&mut two, 0)] {
        let query = v1::LockQuery { id: 2, lock: Some(lock(3, v1::LockMode::Shared)) };
        peer.say(Say::LockQuery(query)).await;
        let Hear::Lock(answer) = peer.hear().await.unwrap() else { panic!("an answer was due") };
        assert_eq!(answer.conflict.map(|conflict| conflict.pid), Some(pid));
    }
}

/// A writer that has waited goes before a reader that has just come, but only for a while.
#[tokio::test(flavor = "multi_thread")]
async fn newcomers_are_polite_for_a_while() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let (mut one, mut two) = (rig.session(&volume, 1).await, rig.session(&volume, 2).await);
    let ask = |id, owner, mode| Say::Lock(v1::LockRequest { id, lock: Some(lock(owner, mode)), wait: true });
    one.say(ask(1, 1, v1::LockMode::Shared)).await;
    assert_eq!(one.lock_answer(1).await, None);
    two.say(ask(1, 2, v1::LockMode::Exclusive)).await;
    two.heartbeat().await;
    rig.clock.advance(std::time::Duration::from_millis(400));
    one.say(ask(2, 3, v1::LockMode::Shared)).await;
    assert!(one.hears_nothing().await, "it lets the writer go first");
    rig.clock.advance(std::time::Duration::from_millis(400));
    assert_eq!(one.lock_answer(2).await, None, "for as long as the writer had waited");
    one.say(ask(3, 4, v1::LockMode::Shared)).await;
    assert!(one.hears_nothing().await);
    for (id, owner) in [(4, 1), (5, 3)] {
        one.say(ask(id, owner, v1::LockMode::Unlock)).await;
        assert_eq!(one.lock_answer(id).await, None);
    }
    assert_eq!(two.lock_answer(1).await, None, "the readers have drained");
    two.say(ask(2, 2, v1::LockMode::Unlock)).await;
    assert_eq!((two.lock_answer(2).await, one.lock_answer(3).await), (None, None));
}

/// A mount that was remounted says so when it comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_may_begin_to_write_when_it_comes_back() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let hello = v1::Hello { read_only: true, ..crate::rig::hello(&volume, 1) };
    let (mut peer, _) = rig.hello(hello.clone()).await.unwrap();
    assert_eq!(peer.act(create("f")).await.unwrap_err(), PosixError::ReadOnly);
    let next_seq = peer.cut();
    let again = v1::Hello { resume: true, read_only: false, next_seq, ..hello };
    let (mut peer, _) = rig.hello(again).await.unwrap();
    peer.next = next_seq;
    peer.act(create("f")).await.unwrap();
}
