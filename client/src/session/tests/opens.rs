//! Opens that the server need not hear of, and when it does.

use holdfast_core::lease::{GiveBack, GrantNo, Target};

use super::*;

const OPEN: Op = Op::open(FILE);

/// What was applied, in order, and when leases were given back.
fn done(world: &World) -> Vec<&'static str> {
    let said = world.heard.iter().flat_map(|said| match said {
        Said::Ops(batch) => batch.ops.iter().filter_map(|op| op.op.as_ref()).map(kind).collect(),
        Said::GiveBack(_) => vec!["back"],
        _ => Vec::new(),
    });
    said.collect()
}

fn kind(op: &v1::op::Op) -> &'static str {
    match op {
        v1::op::Op::Open(_) => "open",
        v1::op::Op::Close(_) => "close",
        v1::op::Op::Touch(_) => "touch",
        v1::op::Op::Create(_) => "create",
        _ => "other",
    }
}

async fn until(fake: &Fake, wanted: &[&str]) {
    fake.until(|world| (done(world) == wanted).then_some(())).await;
}

#[tokio::test]
async fn what_is_closed_at_once_is_not_told() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    for ino in 10..200 {
        session.open_idly(Caller::default(), InodeId(ino));
        session.close_idly(InodeId(ino));
    }
    submit(&session, create(b"a")).await.unwrap();
    session.close_idly(FILE);
    until(&fake, &["create", "close"]).await;
}

#[tokio::test]
async fn what_stays_open_is_told_in_a_moment() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    session.open_idly(Caller::default(), FILE);
    until(&fake, &["open"]).await;
    session.close_idly(FILE);
    until(&fake, &["open", "close"]).await;
}

#[tokio::test]
async fn an_open_is_told_before_its_lease_goes_and_before_what_may_free_the_inode() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    session.open_idly(Caller::default(), FILE);
    session.give_back(&GiveBack { target: Target::Inode(FILE), left: None, seen: GrantNo(1), kept: Vec::new() });
    until(&fake, &["open", "back"]).await;
    session.close_idly(FILE);
    session.open_idly(Caller::default(), InodeId(6));
    // It was only read.
    session.submit_idly(Caller::default(), Op::Touch { ino: InodeId(6) }).unwrap();
    session.close_idly(InodeId(6));
    session.open_idly(Caller::default(), InodeId(7));
    submit(&session, create(b"a")).await.unwrap();
    until(&fake, &["open", "back", "close", "touch", "open", "create"]).await;
    session.close_idly(InodeId(7));
    until(&fake, &["open", "back", "close", "touch", "open", "create", "close"]).await;
}

#[tokio::test]
async fn who_is_told_of_an_open_hears_of_the_close() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    session.open_idly(Caller::default(), FILE);
    // Another open of the same file, which is sent.
    submit(&session, OPEN).await.unwrap();
    session.close_idly(FILE);
    until(&fake, &["open", "close"]).await;
}

#[tokio::test]
async fn what_is_open_when_the_stream_breaks_is_told_on_the_next() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    submit(&session, create(b"a")).await.unwrap();
    fake.cheer(|mood| mood.refuse = Some(ErrorKind::Unavailable));
    session.open_idly(Caller::default(), FILE);
    fake.cut();
    soon(|| !session.stats().connected).await;
    session.open_idly(Caller::default(), InodeId(6));
    session.close_idly(InodeId(6));
    fake.cheer(|mood| mood.refuse = None);
    fake.until(|world| done(world).ends_with(&["open", "open", "close"]).then_some(())).await;
}
