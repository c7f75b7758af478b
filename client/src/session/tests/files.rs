//! Reads, invalidations, locks in quiet times; answers that cannot be.

use super::*;

#[tokio::test]
async fn names_and_attributes() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    let name = FileName::new("a").unwrap();
    assert_eq!(session.lookup(InodeId::ROOT, &name).await.unwrap().ino, InodeId(9));
    assert_eq!(session.lookup_parent(FILE).await.unwrap().ino, InodeId(9));
    let none = FileName::new("none").unwrap();
    let error = session.lookup(InodeId::ROOT, &none).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Posix(PosixError::NoEntry));
    assert_eq!(session.getattr(FILE).await.unwrap().ino, FILE);
    assert_eq!(session.readlink(FILE).await.unwrap(), "target");
    assert_eq!(session.statfs().await.unwrap().bytes_free, 5);
    assert_eq!(session.seek(FILE, 77, true).await.unwrap(), 77);
    assert_eq!(session.listxattr(FILE).await.unwrap()[0].as_bytes(), b"user.a");
    let page = session.readdir(FILE, DirCookie(0), 0, false).await.unwrap();
    assert_eq!(page.entries[0].name.as_bytes(), b"plain");
    assert!(page.end);
}

#[tokio::test]
async fn a_server_cannot_make_us_believe_in_impossible_names() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    for directory in [2, 3, 4] {
        let error = session.readdir(InodeId(directory), DirCookie(0), 0, false).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
    }
    assert_eq!(session.getattr(InodeId(66)).await.unwrap_err().kind(), ErrorKind::Internal);
    // Attributes that were asked for and are not there.
    assert!(session.readdir(FILE, DirCookie(0), 0, true).await.is_err());
    // A cookie that does not lie behind the one asked for.
    assert!(session.readdir(FILE, DirCookie(1), 0, false).await.is_err());
}

#[tokio::test]
async fn damaged_data_is_read_once_more_and_then_an_error() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    fake.cheer(|mood| mood.damaged_reads = 1);
    assert_eq!(session.read(FILE, 0, 100).await.unwrap().len, 100);
    fake.cheer(|mood| mood.damaged_reads = 2);
    assert_eq!(session.read(FILE, 0, 100).await.unwrap_err().kind(), ErrorKind::Damaged);
    assert_eq!(session.stats().bytes_read, 100);
}

#[tokio::test]
async fn short_reads_of_one_moment_go_together_and_each_has_its_answer() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    let mut all = tokio::task::JoinSet::new();
    for number in 0..300_u32 {
        let session = session.clone();
        all.spawn(async move {
            // What is not in the answer is asked for alone.
            let ino = if number == 7 { InodeId(fake::DAMAGED) } else { FILE };
            let read = session.read(ino, u64::from(number) * 100, 100 + number).await.unwrap();
            assert_eq!(read.len, 100 + number);
        });
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
    let together = fake.with(|world| world.together.clone());
    let most = together.iter().max().copied().unwrap_or_default();
    assert!((2..=64).contains(&most), "{together:?}");
    assert!(together.iter().sum::<usize>() + fake.with(|world| world.reads) >= 300, "{together:?}");
    // Alone again, nobody waits for others.
    let before = fake.with(|world| world.reads);
    assert_eq!(session.read(FILE, 0, 10).await.unwrap().len, 10);
    assert_eq!(fake.with(|world| world.reads), before + 1);
}

#[tokio::test]
async fn a_damaged_one_of_several_files_is_left_out() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    let read = session.read_files(vec![FILE, InodeId(fake::DAMAGED), InodeId(123)]).await.unwrap();
    let read: Vec<_> = read.into_iter().map(|(ino, data)| (ino, data.into_bytes())).collect();
    let whole = |ino: InodeId| (ino, Bytes::from(ino.0.to_string()));
    assert_eq!(read, [whole(FILE), whole(InodeId(123))]);
    assert_eq!(session.stats().bytes_read, 4);
}

#[tokio::test]
async fn invalidations_are_confirmed_by_whoever_carries_them_out() {
    let fake = Fake::start().await;
    let (session, told) = open_with(&fake, SessionOptions::default()).await;
    fake.say(&Answer::Invalidate(v1::Invalidate { id: 3, ino: 5, offset: 10, len: 0, data_version: 8, size: 0 }));
    soon(|| !told.invalidations.lock().is_empty()).await;
    let (what, done) = told.invalidations.lock().pop().unwrap();
    assert_eq!((what.ino, what.offset, what.len), (FILE, 10, None));
    std::thread::spawn(move || done.confirm()).join().unwrap();
    let confirmed = |id| {
        move |world: &World| {
            world.heard.iter().any(|said| matches!(said, Said::InvalidateDone(done) if done.id == id)).then_some(())
        }
    };
    fake.until(confirmed(3)).await;
    // Confirmed while the stream is broken: said on the next one of the same owner.
    fake.say(&Answer::Invalidate(v1::Invalidate { id: 4, ino: 5, offset: 0, len: 1, data_version: 9, size: 0 }));
    soon(|| !told.invalidations.lock().is_empty()).await;
    fake.cheer(|mood| mood.refuse = Some(ErrorKind::Unavailable));
    fake.cut();
    soon(|| !session.stats().connected).await;
    told.invalidations.lock().pop().unwrap().1.confirm();
    fake.cheer(|mood| mood.refuse = None);
    fake.until(confirmed(4)).await;
}

#[tokio::test]
async fn who_is_in_the_way_is_told() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    let conflict = session.query_lock(lock_ask(Some(LockMode::Shared))).await.unwrap().unwrap();
    assert_eq!((conflict.mode, conflict.range, conflict.pid), (LockMode::Shared, LockRange::WHOLE, 1));
}

/// A figure, printed: how long one operation takes, and how many a second go at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latency() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    let rounds = 500;
    let mut times = Vec::new();
    for number in 0..rounds {
        let op = create(format!("n{number}").as_bytes());
        let start = std::time::Instant::now();
        submit(&session, op).await.unwrap();
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let start = std::time::Instant::now();
    let all: Vec<_> = (0..10_000).map(|number| submit(&session, create(format!("m{number}").as_bytes()))).collect();
    for outcome in all {
        outcome.await.unwrap();
    }
    let rate = 10_000.0 / start.elapsed().as_secs_f64();
    println!(
        "submit: p50 {:?}, p99 {:?}; {rate:.0} operations a second at once",
        times[rounds / 2],
        times[rounds * 99 / 100]
    );
    let mut reads = Vec::new();
    for _ in 0..300 {
        let start = std::time::Instant::now();
        session.getattr(FILE).await.unwrap();
        reads.push(start.elapsed());
    }
    reads.sort_unstable();
    println!("getattr: p50 {:?}, p99 {:?}", reads[150], reads[296]);
}

#[tokio::test]
async fn blocks_are_asked_of_a_server_that_names_them() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    let map = session.blocks(FILE, 10, 100).await.unwrap().unwrap();
    assert_eq!((map.offset, map.end(), map.blocks.len()), (10, 110, 1));
    let older = Fake::start().await;
    older.cheer(|mood| mood.protocol = Some(3));
    assert_eq!(open(&older).await.blocks(FILE, 10, 100).await.unwrap(), None);
}
