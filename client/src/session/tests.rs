#![expect(clippy::unwrap_used, reason = "a test may stop")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::attr::{Attr, FileKind, Mode};
use holdfast_core::error::{ErrorKind, PosixError};
use holdfast_core::id::{DataVersion, DirCookie, Epoch, InodeId, LockOwner, Seq, VolumeId};
use holdfast_core::lease::Mode as LeaseMode;
use holdfast_core::lock::{LockAsk, LockMode, LockRange, LockSpace};
use holdfast_core::name::FileName;
use holdfast_core::op::{Caller, NewNode, Op, OpReply, WriteAt};
use holdfast_proto::invalidate::Invalidation;
use holdfast_proto::lease::{Answered, Question, Reply};
use holdfast_proto::v1;
use holdfast_proto::v1::client_message::Message as Said;
use holdfast_proto::v1::server_message::Message as Answer;
use holdfast_proto::volume::VolumeRef;
use parking_lot::Mutex;

use super::{Applied, Foretold, InvalidateDone, LeaseEvents, Patience, Session, SessionEvents, SessionOptions};
use fake::{Fake, World};

mod breaks;
mod content;
mod fake;
mod files;
mod leases;
mod locks;
mod loss;
mod opens;
mod patience;

const FILE: InodeId = InodeId(5);

/// What a session told its user.
#[derive(Debug, Default)]
struct Told {
    invalidations: Mutex<Vec<(Invalidation, InvalidateDone)>>,
    lost: Mutex<Vec<Vec<InodeId>>>,
    recalled: Mutex<Vec<InodeId>>,
    /// Leases beside the one on [`FILE`].
    more_leases: Mutex<Vec<(InodeId, LeaseMode)>>,
    /// What was said of leases, in order.
    leases: Mutex<Vec<String>>,
}

impl SessionEvents for Told {
    fn invalidate(&self, what: Invalidation, done: InvalidateDone) {
        self.invalidations.lock().push((what, done));
    }

    fn session_lost(&self, lost: &[InodeId]) {
        self.lost.lock().push(lost.to_vec());
    }

    fn leases(&self) -> &dyn LeaseEvents {
        self
    }
}

impl LeaseEvents for Told {
    fn held(&self) -> Vec<(InodeId, LeaseMode)> {
        let mut held = self.more_leases.lock().clone();
        held.push((FILE, LeaseMode::Shared));
        held
    }

    fn welcomed(&self, _epoch: Epoch) {}

    fn broken(&self) {
        self.leases.lock().push("broken".to_owned());
    }

    fn distrusted(&self) {
        self.leases.lock().push("distrusted".to_owned());
    }

    fn misread(&self, _op: &Op) {
        self.leases.lock().push("misread".to_owned());
    }

    fn answered(&self, _question: &Question, _behind: Seq, answered: &Answered) {
        self.leases.lock().push(format!("answered {}", answered.grants.len()));
    }

    fn applied(&self, applied: &Applied) {
        self.leases.lock().push(format!("applied {}", applied.result.is_ok()));
    }

    fn recalled(&self, ino: InodeId, _keep: Option<LeaseMode>) {
        self.recalled.lock().push(ino);
    }
}

async fn open_with(fake: &Fake, options: SessionOptions) -> (Session, Arc<Told>) {
    let told = Arc::new(Told::default());
    let volume = VolumeRef::Id(VolumeId([7; 16]));
    let events: Arc<dyn SessionEvents> = Arc::clone(&told) as _;
    (Session::open(&fake.endpoint, &volume, options, events).await.unwrap(), told)
}

async fn open(fake: &Fake) -> Session {
    open_with(fake, SessionOptions::default()).await.0
}

fn create(name: &[u8]) -> Op {
    Op::Create {
        parent: InodeId::ROOT,
        name: FileName::new(name.to_vec()).unwrap(),
        node: NewNode::File { open: false },
        mode: Mode::from_bits(0o644).into(),
        ino: None,
    }
}

fn submit(session: &Session, op: Op) -> impl Future<Output = holdfast_core::error::Result<OpReply>> + Send + use<> {
    session.submit(Caller { uid: 1, gid: 2 }, op)
}

fn write(session: &Session, len: usize) -> impl Future<Output = holdfast_core::error::Result<OpReply>> + Send + use<> {
    session.write(Caller::default(), FILE, WriteAt::End, Bytes::from(vec![1; len]), false)
}

fn lock_ask(mode: Option<LockMode>) -> LockAsk {
    LockAsk {
        ino: FILE,
        space: LockSpace::Record,
        owner: LockOwner(4),
        mode,
        range: LockRange::WHOLE,
        pid: 1,
        open_file: false,
    }
}

/// Names that were created, in the order in which the fake applied them.
fn created(world: &World) -> Vec<Vec<u8>> {
    let ops = world.sessions.values().flat_map(|kept| &kept.applied);
    ops.filter_map(|op| match &op.op {
        Some(v1::op::Op::Create(create)) => Some(create.name.to_vec()),
        _ => None,
    })
    .collect()
}

fn hellos(world: &World) -> Vec<v1::Hello> {
    let hello = |said: &Said| if let Said::Hello(hello) = said { Some(hello.clone()) } else { None };
    world.heard.iter().filter_map(hello).collect()
}

/// Waits for something that the session does by itself.
async fn soon(mut so: impl FnMut() -> bool) {
    for _ in 0..500 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came");
}

#[tokio::test]
async fn operations_keep_the_order_of_their_calls() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    let names: Vec<Vec<u8>> = (0..3000).map(|number| format!("file{number}").into_bytes()).collect();
    let mut outcomes: Vec<_> = names.iter().map(|name| submit(&session, create(name))).collect();
    outcomes.reverse();
    for outcome in outcomes {
        outcome.await.unwrap();
    }
    assert_eq!(fake.with(|world| created(world)), names);
    let batches = fake.with(|world| world.heard.iter().filter(|said| matches!(said, Said::Ops(_))).count());
    assert!(batches < 100, "{batches} batches for 3000 operations that came at once");
}

#[tokio::test]
async fn a_file_systems_answer_passes_through() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    let error = submit(&session, create(fake::TAKEN)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Posix(PosixError::Exists));
    // And nothing is left over of it.
    session.sync().await.unwrap();
    assert_eq!(session.stats().pending_ops, 0);
}

#[tokio::test]
async fn a_dropped_future_takes_nothing_back() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    drop(submit(&session, create(b"a")));
    session.sync().await.unwrap();
    assert_eq!(fake.with(|world| created(world)), [b"a"]);
}

#[tokio::test]
async fn sync_counts_only_its_own_answer() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    submit(&session, create(b"a")).await.unwrap();
    session.sync().await.unwrap();
    fake.cheer(|mood| mood.no_sync = true);
    let mut sync = Box::pin(session.sync());
    // An answer to the request before: not this one's.
    fake.say(&Answer::Durable(v1::Durable { seq: 1, sync_id: 1 }));
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut sync).await.is_err());
    let id = fake
        .until(|world| {
            world.heard.iter().rev().find_map(|said| if let Said::Sync(sync) = said { Some(sync.id) } else { None })
        })
        .await;
    fake.say(&Answer::Durable(v1::Durable { seq: 1, sync_id: id }));
    sync.await.unwrap();
}

#[tokio::test]
async fn too_much_that_is_not_durable_waits_and_asks_for_a_sync() {
    let fake = Fake::start().await;
    fake.cheer(|mood| mood.no_sync = true);
    let options = SessionOptions { pending_bytes_max: 100 << 10, ..SessionOptions::default() };
    let (session, _) = open_with(&fake, options).await;
    let outcomes: Vec<_> = (0..10).map(|_| tokio::spawn(write(&session, 40 << 10))).collect();
    // Two fit; the session asks for room by itself.
    fake.until(|world| world.heard.iter().any(|said| matches!(said, Said::Sync(_))).then_some(())).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(fake.with(|world| world.sessions.values().map(|kept| kept.applied.len()).sum::<usize>()), 2);
    assert_eq!(session.stats().pending_ops, 10);
    fake.cheer(|mood| mood.no_sync = false);
    // The request that was not answered is said again on the next stream.
    fake.cut();
    for outcome in outcomes {
        outcome.await.unwrap().unwrap();
    }
    session.sync().await.unwrap();
    assert_eq!(session.stats().pending_bytes, 0);
}

#[tokio::test]
async fn one_operation_larger_than_the_limit_passes() {
    let fake = Fake::start().await;
    let options = SessionOptions { pending_bytes_max: 10, ..SessionOptions::default() };
    let (session, _) = open_with(&fake, options).await;
    for _ in 0..3 {
        write(&session, 1 << 10).await.unwrap();
    }
}

#[tokio::test]
async fn a_read_only_session_changes_nothing() {
    let fake = Fake::start().await;
    let options = SessionOptions { read_only: true, ..SessionOptions::default() };
    let (session, _) = open_with(&fake, options).await;
    assert_eq!(submit(&session, create(b"a")).await.unwrap_err().kind(), ErrorKind::Posix(PosixError::ReadOnly));
    assert_eq!(write(&session, 100_000).await.unwrap_err().kind(), ErrorKind::Posix(PosixError::ReadOnly));
    submit(&session, Op::open(FILE)).await.unwrap();
    submit(&session, Op::Close { ino: FILE }).await.unwrap();
}

#[tokio::test]
async fn writes_have_one_byte_to_one_mebibyte() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    assert_eq!(write(&session, 0).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(write(&session, (1 << 20) + 1).await.unwrap_err().kind(), ErrorKind::Invalid);
    for len in [1, 64 << 10, (64 << 10) + 1, 1 << 20] {
        let OpReply::Written { len: written, offset, .. } = write(&session, len).await.unwrap() else { panic!() };
        assert_eq!((written as usize, offset), (len, 7));
    }
    assert_eq!(fake.with(|world| world.stagings), 2);
}

#[tokio::test]
async fn an_answer_about_another_inode_is_refused() {
    let fake = Fake::start().await;
    fake.cheer(|mood| mood.confused = true);
    let session = open(&fake).await;
    assert_eq!(write(&session, 10).await.unwrap_err().kind(), ErrorKind::Internal);
    fake.cheer(|mood| mood.confused = false);
    write(&session, 10).await.unwrap();
}

#[tokio::test]
async fn close_makes_durable_and_ends() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    let other = session.clone();
    let outcomes: Vec<_> = (0..50).map(|_| write(&session, 100)).collect();
    session.close().await.unwrap();
    for outcome in outcomes {
        outcome.await.unwrap();
    }
    assert_eq!(fake.with(|world| world.sessions.values().map(|kept| kept.durable).sum::<u64>()), 50);
    assert_eq!(submit(&other, create(b"late")).await.unwrap_err().kind(), ErrorKind::SessionLost);
    assert!(other.sync().await.is_err());
    assert!(other.getattr(FILE).await.is_err());
}

#[tokio::test]
async fn dropping_the_last_handle_leaves() {
    let fake = Fake::start().await;
    let session = open(&fake).await;
    let outcome = write(&session, 100);
    drop(session);
    outcome.await.unwrap();
    fake.until(|world| world.heard.iter().any(|said| matches!(said, Said::Goodbye(_))).then_some(())).await;
}

#[tokio::test]
async fn the_token_is_sent_and_never_shown() {
    let mut fake = Fake::start().await;
    fake.cheer(|mood| mood.token = Some("open-sesame".to_owned()));
    let volume = VolumeRef::Id(VolumeId([7; 16]));
    let open = |endpoint| {
        let volume = volume.clone();
        async move { Session::open(&endpoint, &volume, SessionOptions::default(), Arc::new(Told::default())).await }
    };
    assert_eq!(open(fake.endpoint.clone()).await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    fake.endpoint.token = Some(crate::Token::new("open-sesame").unwrap());
    let session = open(fake.endpoint.clone()).await.unwrap();
    session.getattr(FILE).await.unwrap();
    write(&session, 100_000).await.unwrap();
    assert!(!format!("{session:?} {:?}", fake.endpoint).contains("sesame"));
}
