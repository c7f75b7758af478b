//! How long calls wait for a server that is away, and what becomes of those that do no longer.

use std::time::Instant;

use super::*;

const PATIENCE: Duration = Duration::from_millis(80);

async fn open_soft(fake: &Fake) -> (Session, Arc<Told>) {
    open_with(fake, SessionOptions { patience: Patience::Soft(PATIENCE), ..SessionOptions::default() }).await
}

/// The server goes, and the session has noticed: nothing is sent any more.
async fn go_away(fake: &Fake, session: &Session) {
    fake.cheer(|mood| mood.refuse = Some(ErrorKind::Unavailable));
    fake.cut();
    soon(|| !session.stats().connected).await;
}

/// Names that were made, in order.
fn made(fake: &Fake) -> Vec<Vec<u8>> {
    let name = |op: &v1::Op| match &op.op {
        Some(v1::op::Op::Create(create)) => Some(create.name.to_vec()),
        _ => None,
    };
    fake.with(|world| world.sessions.values().flat_map(|kept| kept.applied.iter().filter_map(name)).collect())
}

#[tokio::test]
async fn calls_of_a_soft_session_fail_and_nothing_that_was_answered_is_lost() {
    let fake = Fake::start().await;
    let (session, told) = open_soft(&fake).await;
    fake.cheer(|mood| mood.no_sync = true);
    submit(&session, create(b"answered")).await.unwrap();
    go_away(&fake, &session).await;
    let began = Instant::now();
    let (read, ask) = (session.getattr(FILE), session.ask(Question::GetAttr { ino: FILE }));
    let (sync, change) = (session.sync(), submit(&session, create(b"never")));
    let write = session.write(Caller::default(), FILE, WriteAt::End, Bytes::from(vec![1; 500_000]), false);
    let lock = session.lock(lock_ask(Some(LockMode::Exclusive)), true).1;
    let (read, ask, sync, change, write, lock) = tokio::join!(read, ask, sync, change, write, lock);
    let kinds = [
        read.unwrap_err().kind(),
        ask.unwrap_err().kind(),
        sync.unwrap_err().kind(),
        change.unwrap_err().kind(),
        write.unwrap_err().kind(),
        lock.unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::Timeout; 6]);
    assert!(began.elapsed() >= PATIENCE);
    // The bytes of the write are not kept for a server that may never come back.
    assert!(session.stats().pending_bytes < 10_000, "{:?}", session.stats());
    fake.cheer(|mood| (mood.refuse, mood.no_sync) = (None, false));
    soon(|| session.stats().connected).await;
    submit(&session, create(b"later")).await.unwrap();
    session.sync().await.unwrap();
    assert_eq!(made(&fake), [b"answered".to_vec(), b"later".to_vec()]);
    assert_eq!((session.stats().losses, told.lost.lock().len()), (0, 0));
}

#[tokio::test]
async fn each_call_waits_as_long_as_patience_lasts() {
    let fake = Fake::start().await;
    let (session, _) = open_soft(&fake).await;
    go_away(&fake, &session).await;
    let timed = |name: &'static [u8]| {
        let (began, outcome) = (Instant::now(), submit(&session, create(name)));
        async move { (outcome.await, began.elapsed()) }
    };
    let first = tokio::spawn(timed(b"first"));
    tokio::time::sleep(PATIENCE / 2).await;
    let second = tokio::spawn(timed(b"second"));
    for call in [first, second] {
        let (outcome, waited) = call.await.unwrap();
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Timeout);
        assert!(waited >= PATIENCE, "it gave up after {waited:?}");
    }
}

/// What the server may have is neither taken back nor forgotten: patience ends for who waits, and the
/// outcome comes when it can.
#[tokio::test]
async fn what_was_sent_is_waited_for_beyond_patience() {
    let fake = Fake::start().await;
    let (session, _) = open_soft(&fake).await;
    fake.cheer(|mood| mood.mute = true);
    let patience = session.patience();
    let sent = submit(&session, create(b"sent"));
    fake.until(|world| world.sessions.values().any(|kept| kept.applied.len() == 1).then_some(())).await;
    go_away(&fake, &session).await;
    assert_eq!(patience.await.kind(), ErrorKind::Timeout);
    fake.cheer(|mood| (mood.refuse, mood.mute) = (None, false));
    sent.await.unwrap();
    assert_eq!(made(&fake), [b"sent".to_vec()]);
}

/// It may have to wait for others, or for its disk.
#[tokio::test]
async fn a_server_that_is_heard_of_is_waited_for() {
    let fake = Fake::start().await;
    let (session, _) = open_soft(&fake).await;
    fake.cheer(|mood| (mood.deaf, mood.no_sync, mood.locks_wait) = (true, true, true));
    let mut change = Box::pin(submit(&session, create(b"a")));
    let mut lock = Box::pin(session.lock(lock_ask(Some(LockMode::Exclusive)), true).1);
    assert!(tokio::time::timeout(PATIENCE * 5, &mut change).await.is_err());
    assert!(tokio::time::timeout(PATIENCE, &mut lock).await.is_err());
    fake.cheer(|mood| mood.deaf = false);
    change.await.unwrap();
}

#[tokio::test]
async fn a_hard_session_does_not_give_up() {
    let fake = Fake::start().await;
    fake.cheer(|mood| mood.lease_ms = Some(300));
    let session = open(&fake).await;
    fake.cheer(|mood| mood.refuse = Some(ErrorKind::Unavailable));
    fake.cut();
    let mut wait = Box::pin(submit(&session, create(b"a")));
    // Longer than the lease: only the server's word counts.
    for _ in 0..6 {
        assert!(tokio::time::timeout(Duration::from_millis(60), &mut wait).await.is_err());
    }
    assert!(!session.is_trusted());
    fake.cheer(|mood| (mood.refuse, mood.lease_ms) = (None, None));
    wait.await.unwrap();
    assert_eq!(session.stats().losses, 0);
}
