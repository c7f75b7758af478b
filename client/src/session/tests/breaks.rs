//! Streams that break, servers that restart.

use holdfast_core::session::BootTime;

use super::*;
use crate::clock::{BootClock, Clock};

#[tokio::test]
async fn unanswered_operations_are_carried_out_once() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    for round in 0..5 {
        // Applied, and the answer lost with the stream.
        fake.cheer(|mood| mood.mute = true);
        let name = format!("file{round}").into_bytes();
        let outcome = tokio::spawn(submit(&session, create(&name)));
        fake.until(|world| created(world).contains(&name).then_some(())).await;
        fake.cut();
        fake.cheer(|mood| mood.mute = false);
        outcome.await.unwrap().unwrap();
    }
    assert_eq!(fake.with(|world| created(world)).len(), 5);
    assert_eq!(session.stats().reconnects, 5);
    assert_eq!(session.stats().losses, 0);
}

#[tokio::test]
async fn what_was_not_durable_survives_a_crash_of_the_server() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    submit(&session, create(b"durable")).await.unwrap();
    session.sync().await.unwrap();
    submit(&session, create(b"applied")).await.unwrap();
    fake.crash();
    session.sync().await.unwrap();
    let names = fake.until(|world| Some(created(world)).filter(|names| names.len() == 2)).await;
    assert_eq!(names, [&b"durable"[..], b"applied"]);
    let hello = fake.with(|world| hellos(world)).pop().unwrap();
    assert!(hello.resume);
    assert_eq!((hello.next_seq, hello.pending_until), (2, 2));
    // The replay bears the number that the first life of the server gave it.
    let replayed = fake.with(|world| {
        let last = world.heard.iter().rev().find_map(|said| match said {
            Said::Ops(batch) if !batch.ops.is_empty() => Some(batch.clone()),
            _ => None,
        });
        last.unwrap()
    });
    assert_eq!((replayed.first_seq, replayed.ops[0].replay_of), (2, 2));
    assert_eq!(session.stats().losses, 0);
}

#[tokio::test]
async fn large_data_is_staged_again_after_a_crash() {
    let fake = Fake::start().await;
    fake.cheer(|mood| mood.deaf = true);
    let session = open(&fake).await;
    let outcome = tokio::spawn(write(&session, 300 << 10));
    fake.until(|world| (world.stagings == 1).then_some(())).await;
    fake.crash();
    fake.cheer(|mood| mood.deaf = false);
    outcome.await.unwrap().unwrap();
    assert_eq!(fake.with(|world| world.stagings), 2);
    // Applied but not durable: once more.
    fake.crash();
    session.sync().await.unwrap();
    fake.until(|world| (world.stagings == 3).then_some(())).await;
    // Durable: never again.
    fake.crash();
    session.sync().await.unwrap();
    assert_eq!(fake.with(|world| world.stagings), 3);
}

#[tokio::test]
async fn open_files_and_locks_are_claimed_again() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    let open_file = Op::open;
    for ino in [5, 6, 7] {
        submit(&session, open_file(InodeId(ino))).await.unwrap();
    }
    submit(&session, Op::Close { ino: InodeId(6) }).await.unwrap();
    session.lock(lock_ask(Some(LockMode::Exclusive)), true).1.await.unwrap();
    fake.crash();
    session.sync().await.unwrap();
    let hello = fake.with(|world| hellos(world)).pop().unwrap();
    assert_eq!(hello.open_inodes, [5, 7]);
    let held = hello.held_locks[0].lock.unwrap();
    assert_eq!((held.ino, held.owner, held.mode()), (5, 4, v1::LockMode::Exclusive));
    // Let go, it is not claimed again.
    session.lock(lock_ask(None), false).1.await.unwrap();
    fake.crash();
    session.sync().await.unwrap();
    assert!(fake.with(|world| hellos(world)).pop().unwrap().held_locks.is_empty());
}

#[tokio::test]
async fn reads_wait_for_the_server() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    fake.cheer(|mood| mood.refuse = Some(ErrorKind::Unavailable));
    fake.cut();
    let reader = session.clone();
    let read = tokio::spawn(async move { reader.read(FILE, 0, 4096).await });
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(!read.is_finished());
    fake.cheer(|mood| mood.refuse = None);
    assert_eq!(read.await.unwrap().unwrap().into_bytes(), vec![b'x'; 4096]);
}

#[tokio::test]
async fn a_silent_server_is_left_for_a_new_stream() {
    let fake = Fake::start().await;
    fake.cheer(|mood| mood.lease_ms = Some(200));
    let session = open(&fake).await;
    fake.cheer(|mood| (mood.dead, mood.lease_ms) = (true, None));
    fake.until(|world| (hellos(world).len() >= 2).then_some(())).await;
    fake.cheer(|mood| mood.dead = false);
    submit(&session, create(b"a")).await.unwrap();
    soon(|| session.stats().heartbeat_rtt.is_some() && session.is_trusted()).await;
}

#[tokio::test]
async fn farewell_without_goodbye_is_only_a_break() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    submit(&session, create(b"a")).await.unwrap();
    fake.say(&Answer::Farewell(v1::Farewell { reason: "restarting".to_owned() }));
    fake.until(|world| (hellos(world).len() == 2).then_some(())).await;
    submit(&session, create(b"b")).await.unwrap();
    assert_eq!(session.stats().losses, 0);
}

#[tokio::test]
async fn data_that_is_refused_fails_its_write_and_nothing_else() {
    let fake = Fake::start().await;
    fake.cheer(|mood| mood.refuse_stage = Some(ErrorKind::NoSpace));
    let session = open(&fake).await;
    let large = tokio::spawn(write(&session, 100 << 10));
    fake.until(|world| (world.stagings == 1).then_some(())).await;
    let small = tokio::spawn(submit(&session, create(b"after")));
    assert_eq!(large.await.unwrap().unwrap_err().kind(), ErrorKind::NoSpace);
    small.await.unwrap().unwrap();
    assert_eq!(session.stats().losses, 0);
}

#[tokio::test]
async fn locks_that_wait_are_asked_again_and_can_be_cancelled() {
    let fake = Fake::start().await;
    fake.cheer(|mood| mood.locks_wait = true);
    let session = open(&fake).await;
    let asked = |count| {
        move |world: &World| {
            (world.heard.iter().filter(|said| matches!(said, Said::Lock(_))).count() == count).then_some(())
        }
    };
    let (ticket, lock) = session.lock(lock_ask(Some(LockMode::Shared)), true);
    let lock = tokio::spawn(lock);
    fake.until(asked(1)).await;
    fake.cut();
    fake.until(asked(2)).await;
    ticket.cancel();
    assert_eq!(lock.await.unwrap().unwrap_err().kind(), ErrorKind::Posix(PosixError::Interrupted));
    // Dropped, it is given up too.
    drop(session.lock(lock_ask(Some(LockMode::Shared)), true).1);
    fake.until(|world| {
        (world.heard.iter().filter(|said| matches!(said, Said::LockCancel(_))).count() == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_lock_that_nobody_wants_any_more_is_let_go() {
    let fake = Fake::start().await;
    fake.cheer(|mood| mood.locks_wait = true);
    let session = open(&fake).await;
    let (_, lock) = session.lock(lock_ask(Some(LockMode::Exclusive)), true);
    let id = fake
        .until(|world| {
            world.heard.iter().find_map(|said| if let Said::Lock(lock) = said { Some(lock.id) } else { None })
        })
        .await;
    drop(lock);
    // The grant was on its way when the wait was given up.
    fake.say(&Answer::Lock(v1::LockAnswer { id, ..v1::LockAnswer::default() }));
    let unlocks = |said: &Said| matches!(said, Said::Lock(request) if request.lock.is_some_and(|lock| lock.mode() == v1::LockMode::Unlock));
    // The fake answers the cancellation first; then there is nothing to let go.
    soon(|| {
        fake.with(|world| {
            world.heard.iter().any(unlocks) || world.heard.iter().any(|said| matches!(said, Said::LockCancel(_)))
        })
    })
    .await;
    fake.crash();
    session.sync().await.unwrap();
    assert!(fake.with(|world| hellos(world)).pop().unwrap().held_locks.is_empty());
}

/// A process that was told of an interruption believes in what it had before.
#[tokio::test]
async fn an_upgrade_that_nobody_wants_any_more_leaves_what_was_there() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    let ask = |mode, start, end| LockAsk { range: LockRange::new(start, end).unwrap(), ..lock_ask(mode) };
    session.lock(ask(Some(LockMode::Shared), 10, 19), false).1.await.unwrap();
    fake.cheer(|mood| mood.deaf_to_cancels = true);
    fake.cheer(|mood| mood.locks_wait = true);
    let (_, lock) = session.lock(ask(Some(LockMode::Exclusive), 0, 29), true);
    let wanted =
        |said: &Said| if let Said::Lock(request) = said { Some((request.id, request.lock.unwrap())) } else { None };
    let id = fake.until(|world| world.heard.iter().filter_map(wanted).find(|(_, lock)| lock.end == 29)).await.0;
    drop(lock);
    fake.until(|world| world.heard.iter().any(|said| matches!(said, Said::LockCancel(_))).then_some(())).await;
    fake.say(&Answer::Lock(v1::LockAnswer { id, ..v1::LockAnswer::default() }));
    let undone = fake
        .until(|world| {
            let asks: Vec<_> = world.heard.iter().filter_map(wanted).filter(|(asked, _)| *asked > id).collect();
            (asks.len() == 3).then_some(asks)
        })
        .await;
    let undone: Vec<_> = undone.iter().map(|(_, lock)| (lock.mode(), lock.start, lock.end)).collect();
    let (unlock, shared) = (v1::LockMode::Unlock, v1::LockMode::Shared);
    assert_eq!(undone, [(unlock, 0, 9), (shared, 10, 19), (unlock, 20, 29)]);
}

#[tokio::test]
async fn a_read_only_session_that_may_write_says_so_first() {
    let fake = Fake::start().await;
    let options = SessionOptions { read_only: true, ..SessionOptions::default() };
    let (session, _) = open_with(&fake, options).await;
    assert!(submit(&session, create(b"a")).await.is_err());
    session.allow_changes();
    submit(&session, create(b"b")).await.unwrap();
    let read_only: Vec<bool> = fake.with(|world| hellos(world)).iter().map(|hello| hello.read_only).collect();
    assert_eq!(read_only, [true, false]);
    session.allow_changes();
    submit(&session, create(b"c")).await.unwrap();
    assert_eq!(fake.with(|world| hellos(world)).len(), 2, "once is enough");
}

#[tokio::test]
async fn who_knows_nothing_of_its_users_says_so() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    session.lock(lock_ask(Some(LockMode::Shared)), false).1.await.unwrap();
    assert_eq!(session.lock_users().iter().map(|(pid, _)| *pid).collect::<Vec<_>>(), [1]);
    fake.say(&Answer::Describe(v1::Describe { id: 9 }));
    let empty = v1::Description { id: 9, ..v1::Description::default() };
    fake.until(|world| world.heard.contains(&Said::Description(empty.clone())).then_some(())).await;
}

#[tokio::test]
async fn a_session_with_a_full_memory_comes_back() {
    const LEASES: u64 = 100_000;
    let fake = Fake::start().await;
    let (session, told) = open_with(&fake, SessionOptions::default()).await;
    // Numbers as long as those of inodes that the session has made itself.
    *told.more_leases.lock() = (1..LEASES).map(|at| (InodeId((1 << 56) + at), LeaseMode::Exclusive)).collect();
    fake.cut();
    submit(&session, create(b"a")).await.unwrap();
    let last = fake.with(|world| hellos(world)).pop().unwrap();
    assert_eq!((last.resume, last.held_leases.len() as u64), (true, LEASES));
}

/// Goes on by itself, and jumps when it is told to.
#[derive(Debug, Default)]
struct Jumping(std::sync::atomic::AtomicU64);

impl Clock for Jumping {
    fn now(&self) -> BootTime {
        let slept = Duration::from_secs(self.0.load(std::sync::atomic::Ordering::Relaxed));
        BootTime(BootClock.now().0 + slept)
    }
}

#[tokio::test]
async fn after_a_sleep_nothing_is_trusted_before_the_server_has_answered() {
    let fake = Fake::start().await;
    let clock = Arc::new(Jumping::default());
    let (session, told) =
        open_with(&fake, SessionOptions { clock: Arc::clone(&clock) as _, ..SessionOptions::default() }).await;
    assert!(session.is_trusted());
    // Both the session and whoever has told a kernel hear of it.
    fake.cheer(|mood| (mood.dead, mood.refuse) = (true, Some(ErrorKind::Unavailable)));
    clock.0.store(3600, std::sync::atomic::Ordering::Relaxed);
    assert!(!session.is_trusted() && session.trusted_for().is_zero());
    soon(|| told.leases.lock().iter().any(|said| said == "distrusted")).await;
    assert!(!session.is_trusted());
    fake.cheer(|mood| (mood.dead, mood.refuse) = (false, None));
    soon(|| session.is_trusted()).await;
    assert_eq!(session.stats().losses, 0);
}
