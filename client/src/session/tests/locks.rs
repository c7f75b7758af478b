//! Locks that a session decides about by itself, and what it tells of them.

use holdfast_core::lease::{GiveBack, GrantNo, Mode, Target};

use super::*;

const EXCLUSIVE: Option<LockMode> = Some(LockMode::Exclusive);

fn bytes(mode: Option<LockMode>, owner: u64, start: u64, end: u64) -> LockAsk {
    LockAsk { owner: LockOwner(owner), range: LockRange::new(start, end).unwrap(), ..lock_ask(mode) }
}

/// What was said about locks, and what must not overtake it.
fn said(world: &World) -> Vec<String> {
    let said = world.heard.iter().filter_map(|said| match said {
        Said::Lock(request) => Some(format!("ask {}", request.lock?.start)),
        Said::LockQuery(query) => Some(format!("query {}", query.lock?.start)),
        Said::LocksOf(locks) => {
            let starts = locks.held.iter().filter_map(|held| held.lock).map(|lock| lock.start.to_string());
            Some(format!("of {}: {}", locks.ino, starts.collect::<Vec<_>>().join(" ")))
        }
        Said::GiveBack(_) => Some("back".to_owned()),
        Said::Description(_) => Some("description".to_owned()),
        _ => None,
    });
    said.collect()
}

#[tokio::test]
async fn what_can_be_granted_at_once_is_granted_here() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    assert_eq!(session.lock_here(&bytes(EXCLUSIVE, 1, 10, 19), true), Some(Ok(())));
    assert_eq!(session.lock_here(&bytes(EXCLUSIVE, 2, 15, 15), false), Some(Err(PosixError::WouldBlock)));
    let conflict = session.query_lock_here(&bytes(EXCLUSIVE, 2, 0, 99)).unwrap().unwrap();
    assert_eq!((conflict.mode, conflict.range.start(), conflict.pid), (LockMode::Exclusive, 10, 1));
    assert_eq!(session.lock_here(&bytes(None, 1, 10, 14), false), Some(Ok(())));
    assert_eq!(session.lock_here(&bytes(EXCLUSIVE, 2, 10, 10), false), Some(Ok(())));
    assert_eq!(session.lock_users().len(), 2);
    // Whoever waits is a matter of the server's, and so is the file until it has answered.
    fake.cheer(|mood| mood.locks_wait = true);
    assert_eq!(session.lock_here(&bytes(EXCLUSIVE, 2, 15, 15), true), None);
    let (ticket, waits) = session.lock(bytes(EXCLUSIVE, 2, 15, 15), true);
    assert_eq!(session.lock_here(&bytes(None, 1, 15, 19), false), None);
    assert_eq!(session.query_lock_here(&bytes(EXCLUSIVE, 3, 15, 15)), None);
    let other = LockAsk { ino: InodeId(6), ..bytes(EXCLUSIVE, 1, 0, 0) };
    assert_eq!(session.lock_here(&other, false), Some(Ok(())), "another file is another matter");
    ticket.cancel();
    waits.await.unwrap_err();
    assert_eq!(session.lock_here(&bytes(None, 1, 15, 19), false), Some(Ok(())));
    // A heartbeat may have come by, and told of the other file.
    let of_this = |said: Vec<String>| said.into_iter().filter(|said| said != "of 6: 0").collect::<Vec<_>>();
    assert_eq!(fake.with(|world| of_this(said(world))), ["of 5: 15 10", "ask 15"]);
}

#[tokio::test]
async fn the_server_is_told_before_it_needs_to_know() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    let until = async |count: usize| fake.until(|world| Some(said(world)).filter(|said| said.len() >= count)).await;
    session.lock_here(&bytes(EXCLUSIVE, 1, 10, 19), false).unwrap().unwrap();
    session.query_lock(bytes(EXCLUSIVE, 2, 11, 11)).await.unwrap();
    assert_eq!(until(2).await, ["of 5: 10", "query 11"]);
    session.lock_here(&bytes(EXCLUSIVE, 1, 20, 29), false).unwrap().unwrap();
    session.lock_here(&bytes(None, 1, 10, 12), false).unwrap().unwrap();
    fake.say(&Answer::Describe(v1::Describe { id: 9 }));
    assert_eq!(until(4).await[2..], ["of 5: 13", "description"]);
    session.lock_here(&bytes(None, 1, 0, 99), false).unwrap().unwrap();
    let left = Some(Mode::Shared);
    session.give_back(&GiveBack { target: Target::Inode(FILE), left, seen: GrantNo(1), kept: Vec::new() });
    assert_eq!(until(6).await[4..], ["of 5: ", "back"]);
    // What was told is not told again; what nobody asks about is told in time.
    session.lock_here(&bytes(EXCLUSIVE, 1, 40, 40), false).unwrap().unwrap();
    assert_eq!(until(7).await[6..], ["of 5: 40"]);
}

#[tokio::test]
async fn a_session_that_comes_back_claims_what_it_has_granted() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    session.lock_here(&bytes(EXCLUSIVE, 1, 10, 19), false).unwrap().unwrap();
    fake.cheer(|mood| mood.refuse = Some(ErrorKind::Unavailable));
    fake.cut();
    soon(|| !session.stats().connected).await;
    assert_eq!(session.lock_here(&bytes(EXCLUSIVE, 1, 20, 29), false), None, "there is no stream");
    fake.cheer(|mood| mood.refuse = None);
    session.sync().await.unwrap();
    let claimed = fake.with(|world| hellos(world)).pop().unwrap().held_locks;
    assert_eq!(claimed.iter().map(|held| held.lock.unwrap().start).collect::<Vec<_>>(), [10]);
    assert_eq!(session.lock_here(&bytes(EXCLUSIVE, 1, 20, 29), false), Some(Ok(())));
}

#[tokio::test]
async fn a_server_that_cannot_be_told_is_asked() {
    let fake = Fake::start().await;
    fake.cheer(|mood| mood.protocol = Some(2));
    let session = open(&fake).await;
    assert_eq!(session.lock_here(&bytes(EXCLUSIVE, 1, 10, 19), false), None);
    session.lock(bytes(EXCLUSIVE, 1, 10, 19), false).1.await.unwrap();
    assert_eq!(session.query_lock_here(&bytes(EXCLUSIVE, 2, 10, 19)), None);
    assert_eq!(fake.with(|world| said(world)), ["ask 10"]);
}

#[tokio::test]
async fn more_locks_than_can_be_told_are_the_servers_matter() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    let granted = (0..).take_while(|&at| session.lock_here(&bytes(EXCLUSIVE, 1, at * 10, at * 10), false).is_some());
    assert_eq!(granted.count(), 1024);
    session.lock(bytes(EXCLUSIVE, 1, 5, 5), false).1.await.unwrap();
    assert_eq!(fake.with(|world| said(world).len()), 2, "all were told in one message");
}
