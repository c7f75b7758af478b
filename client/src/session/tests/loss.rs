//! Sessions that the server gave up, volumes that are gone.

use super::*;

#[tokio::test]
async fn a_lost_session_tells_everybody_and_goes_on() {
    let fake = Fake::start().await;
    let (session, told) = open_with(&fake, SessionOptions::default()).await;
    let open_file = Op::open(InodeId(8));
    submit(&session, open_file).await.unwrap();
    session.lock(lock_ask(Some(LockMode::Exclusive)), true).1.await.unwrap();
    session.sync().await.unwrap();
    // Answered, not durable.
    fake.cheer(|mood| mood.no_sync = true);
    session.write(Caller::default(), InodeId(6), WriteAt::Offset(0), Bytes::from_static(b"x"), false).await.unwrap();
    let reply = submit(&session, create(b"new")).await.unwrap();
    let OpReply::Attr(made) = reply else { panic!() };
    // Not answered.
    fake.cheer(|mood| mood.deaf = true);
    let waiting = tokio::spawn(submit(&session, create(b"waiting")));
    let syncing = tokio::spawn(session.sync());
    fake.until(|world| {
        world.heard.iter().any(|said| matches!(said, Said::Ops(batch) if batch.first_seq == 4)).then_some(())
    })
    .await;
    fake.fence();
    let io = ErrorKind::Posix(PosixError::Io);
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), io);
    assert_eq!(syncing.await.unwrap().unwrap_err().kind(), io);
    fake.cheer(|mood| (mood.deaf, mood.no_sync) = (false, false));
    // The new session has the same files open, and no lock.
    let again = fake
        .until(|world| {
            let open = |op: &v1::Op| if let Some(v1::op::Op::Open(open)) = &op.op { Some(open.ino) } else { None };
            world.sessions.values().find_map(|kept| kept.applied.iter().find_map(open))
        })
        .await;
    assert_eq!(again, 8);
    submit(&session, create(b"later")).await.unwrap();
    let last = fake.with(|world| hellos(world)).pop().unwrap();
    assert!(!last.resume && last.held_locks.is_empty());
    // What was lost is told to whoever asks, once.
    assert_eq!(*told.lost.lock(), [vec![InodeId::ROOT, FILE, InodeId(6), made.ino]]);
    assert!(session.take_loss(InodeId(6)));
    assert!(!session.take_loss(InodeId(6)));
    assert_eq!(session.sync_file(made.ino).await.unwrap_err().kind(), io);
    session.sync_file(made.ino).await.unwrap();
    assert!(!session.take_loss(InodeId(8)));
    assert_eq!(session.stats().losses, 1);
}

#[tokio::test]
async fn a_read_that_finds_the_session_lost_goes_on_in_the_new_one() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    let cut_off = fake.with(|world| std::mem::take(&mut world.sessions));
    // The stream stands: only the read can tell.
    session.getattr(FILE).await.unwrap();
    assert_eq!(session.stats().losses, 1);
    drop(cut_off);
}

#[tokio::test]
async fn a_close_that_was_not_answered_still_closes() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    submit(&session, Op::open(FILE)).await.unwrap();
    fake.cheer(|mood| mood.deaf = true);
    let close = tokio::spawn(submit(&session, Op::Close { ino: FILE }));
    fake.until(|world| {
        world.heard.iter().any(|said| matches!(said, Said::Ops(batch) if batch.first_seq == 2)).then_some(())
    })
    .await;
    fake.fence();
    close.await.unwrap().unwrap();
    fake.cheer(|mood| mood.deaf = false);
    submit(&session, create(b"a")).await.unwrap();
    let opens = fake.with(|world| {
        world
            .sessions
            .values()
            .flat_map(|kept| &kept.applied)
            .filter(|op| matches!(op.op, Some(v1::op::Op::Open(_))))
            .count()
    });
    assert_eq!(opens, 0);
}

#[tokio::test]
async fn a_volume_that_is_gone_ends_the_session() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    fake.cheer(|mood| (mood.deaf, mood.refuse) = (true, Some(ErrorKind::NotFound)));
    let waiting = tokio::spawn(submit(&session, create(b"a")));
    soon(|| session.stats().pending_ops == 1).await;
    fake.cut();
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(submit(&session, create(b"b")).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(session.getattr(FILE).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(session.close().await.is_err());
}

#[tokio::test]
async fn nobody_there_is_an_error_at_once() {
    let fake = Fake::start().await;
    let mut endpoint = fake.endpoint.clone();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    endpoint.address = free.to_string().parse().unwrap();
    let volume = VolumeRef::Id(VolumeId([7; 16]));
    let error =
        Session::open(&endpoint, &volume, SessionOptions::default(), Arc::new(Told::default())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains(&free.to_string()), "{error}");
}
