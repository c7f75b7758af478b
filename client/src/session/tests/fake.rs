//! A server for tests: it keeps sessions as the real one promises to, and breaks on demand.
//!
//! It applies operations in order and exactly once, but to nothing: attributes are made up. What
//! it heard is kept for the test to look at.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::error::{Error, ErrorKind};
use holdfast_core::hash::Framed;
use holdfast_core::id::SessionId;
use holdfast_core::limits::HELLO_BYTES_MAX;
use holdfast_proto::data::frame_hashes_to_wire;
use holdfast_proto::error::to_status;
use holdfast_proto::metadata::{bearer_of, session_of};
use holdfast_proto::v1::client_message::Message as Said;
use holdfast_proto::v1::data_server::{Data, DataServer};
use holdfast_proto::v1::namespace_server::NamespaceServer;
use holdfast_proto::v1::server_message::Message as Answer;
use holdfast_proto::v1::session_server::{Session as SessionService, SessionServer};
use holdfast_proto::v1::{self, op};
use holdfast_proto::version::PROTOCOL_NEWEST;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use super::content::{beginning, blocks, content, of_range};
use crate::endpoint::{Endpoint, ServerAddress};

mod names;

/// Long, so that a busy machine does not look like a silent server.
pub(super) const LEASE_MS: u32 = 10_000;
pub(super) const HEARTBEAT_MS: u32 = 20;
/// Data of this file comes damaged when several are read.
pub(super) const DAMAGED: u64 = 66;
/// Creating this name fails.
pub(super) const TAKEN: &[u8] = b"taken";

type Line = mpsc::Sender<Result<v1::ServerMessage, Status>>;

/// What the fake does, changed by tests.
#[derive(Debug, Default)]
pub(super) struct Mood {
    /// Operations are applied and not answered.
    pub(super) mute: bool,
    /// Operations are not even applied.
    pub(super) deaf: bool,
    /// Sync requests are not answered.
    pub(super) no_sync: bool,
    /// Heartbeats are not answered.
    pub(super) dead: bool,
    /// Every call and stream is refused so.
    pub(super) refuse: Option<ErrorKind>,
    /// Staging is refused so.
    pub(super) refuse_stage: Option<ErrorKind>,
    /// Reads answer with bytes that do not match, so many times.
    pub(super) damaged_reads: usize,
    /// Outcomes are about another inode.
    pub(super) confused: bool,
    /// Lock requests that wait are not answered until they are cancelled.
    pub(super) locks_wait: bool,
    /// Cancelled locks are not answered.
    pub(super) deaf_to_cancels: bool,
    /// Questions are not answered.
    pub(super) silent: bool,
    /// So many operations are to be done again.
    pub(super) retries: usize,
    /// Another lease than [`LEASE_MS`].
    pub(super) lease_ms: Option<u32>,
    /// An older version that is spoken.
    pub(super) protocol: Option<u32>,
    /// Every call must bear this token.
    pub(super) token: Option<String>,
}

/// A session as the fake keeps it.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) applied: Vec<v1::Op>,
    pub(super) durable: u64,
    pub(super) stages: HashSet<u64>,
    outcomes: BTreeMap<u64, v1::OpOutcome>,
    waiting: Vec<(u64, v1::Op)>,
    syncs: Vec<v1::SyncRequest>,
    line: Option<Line>,
}

#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) mood: Mood,
    pub(super) sessions: HashMap<SessionId, Kept>,
    pub(super) heard: Vec<Said>,
    pub(super) stagings: usize,
    pub(super) reads: usize,
    /// How many ranges each read of several had.
    pub(super) together: Vec<usize>,
    pub(super) epoch: u64,
    commit: u64,
}

/// A running fake.
#[derive(Debug)]
pub(super) struct Fake {
    pub(super) endpoint: Endpoint,
    world: Arc<Mutex<World>>,
    changed: watch::Sender<u64>,
    _stop: watch::Sender<()>,
}

#[derive(Clone, Debug)]
struct Service {
    world: Arc<Mutex<World>>,
    changed: watch::Sender<u64>,
}

impl Fake {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: ServerAddress = listener.local_addr().unwrap().to_string().parse().unwrap();
        let world = Arc::new(Mutex::new(World { epoch: 1, ..World::default() }));
        let changed = watch::Sender::new(0);
        let (stop, mut stopped) = watch::channel(());
        let service = Service { world: Arc::clone(&world), changed: changed.clone() };
        let max = crate::channel::MESSAGE_MAX;
        let server = tonic::transport::Server::builder()
            .add_service(SessionServer::new(service.clone()).max_decoding_message_size(HELLO_BYTES_MAX))
            .add_service(NamespaceServer::new(service.clone()))
            .add_service(DataServer::new(service).max_decoding_message_size(max).max_encoding_message_size(max))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async move {
                let _ = stopped.changed().await;
            });
        tokio::spawn(server);
        Self { endpoint: Endpoint::plain(address), world, changed, _stop: stop }
    }

    pub(super) fn with<R>(&self, act: impl FnOnce(&mut World) -> R) -> R {
        act(&mut self.world.lock())
    }

    /// Waits until something is so; a test that waits too long fails.
    pub(super) async fn until<R>(&self, so: impl Fn(&World) -> Option<R>) -> R {
        let mut changed = self.changed.subscribe();
        let wait = async {
            loop {
                changed.borrow_and_update();
                if let Some(result) = so(&self.world.lock()) {
                    return result;
                }
                changed.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(5), wait).await.expect("the fake never got there")
    }

    /// Changes the mood, then does for every session what it had held back.
    pub(super) fn cheer(&self, act: impl FnOnce(&mut Mood)) {
        let mut world = self.world.lock();
        act(&mut world.mood);
        let sessions: Vec<SessionId> = world.sessions.keys().copied().collect();
        for session in sessions {
            world.work(session);
        }
        drop(world);
        self.changed.send_modify(|count| *count += 1);
    }

    /// Cuts every control stream.
    pub(super) fn cut(&self) {
        for kept in self.world.lock().sessions.values_mut() {
            kept.line = None;
        }
    }

    /// Dies and comes back: what was not durable is forgotten.
    pub(super) fn crash(&self) {
        let mut world = self.world.lock();
        world.epoch += 1;
        for kept in world.sessions.values_mut() {
            let durable = usize::try_from(kept.durable).unwrap();
            kept.line = None;
            kept.applied.truncate(durable);
            kept.waiting.clear();
            kept.stages.clear();
            kept.outcomes.retain(|&seq, _| seq <= durable as u64);
        }
    }

    /// Gives every session up.
    pub(super) fn fence(&self) {
        self.world.lock().sessions.clear();
    }

    /// Says something to every session.
    pub(super) fn say(&self, message: &Answer) {
        for kept in self.world.lock().sessions.values_mut() {
            kept.say(message.clone());
        }
    }
}

impl Kept {
    fn say(&mut self, message: Answer) {
        if let Some(line) = &self.line
            && line.try_send(Ok(v1::ServerMessage { message: Some(message) })).is_err()
        {
            self.line = None;
        }
    }
}

impl World {
    /// Applies what can be applied.
    fn work(&mut self, session: SessionId) {
        let Some(kept) = self.sessions.get_mut(&session) else { return };
        let mut outcomes = Vec::new();
        if !self.mood.deaf {
            kept.waiting.sort_by_key(|(seq, _)| *seq);
            let mut waiting = std::mem::take(&mut kept.waiting).into_iter().peekable();
            while let Some((seq, op)) = waiting.peek() {
                let applied = kept.applied.len() as u64;
                if *seq <= applied {
                    outcomes.extend(kept.outcomes.get(seq).cloned());
                } else if *seq == applied + 1 && staged(kept, op) {
                    self.commit += 1;
                    let mut outcome = outcome(*seq, self.commit, op, self.mood.confused);
                    if self.mood.retries > 0 {
                        self.mood.retries -= 1;
                        outcome = v1::OpOutcome { seq: *seq, commit: self.commit, ..v1::OpOutcome::default() };
                        outcome.set_error(v1::PosixError::Retry);
                    }
                    kept.applied.push(op.clone());
                    kept.outcomes.insert(*seq, outcome.clone());
                    outcomes.push(outcome);
                } else {
                    break;
                }
                waiting.next();
            }
            kept.waiting = waiting.collect();
        }
        if self.mood.mute {
            return;
        }
        if !outcomes.is_empty() {
            kept.say(Answer::Applied(v1::Applied { outcomes }));
        }
        let applied = kept.applied.len() as u64;
        if let Some(sync) = kept.syncs.iter().filter(|sync| sync.seq <= applied).max_by_key(|sync| sync.id).copied() {
            kept.syncs.retain(|waiting| waiting.id > sync.id);
            kept.durable = applied;
            kept.say(Answer::Durable(v1::Durable { seq: applied, sync_id: sync.id }));
        }
    }

    fn hear(&mut self, session: SessionId, message: Said) {
        self.heard.push(message.clone());
        let (epoch, mood_sync) = (self.epoch, !self.mood.no_sync);
        let deaf_to_cancels = self.mood.deaf_to_cancels;
        let (dead, locks_wait, lease_ms) = (self.mood.dead, self.mood.locks_wait, self.mood.lease_ms);
        let (silent, protocol) = (self.mood.silent, self.mood.protocol.unwrap_or(PROTOCOL_NEWEST));
        let Some(kept) = self.sessions.get_mut(&session) else { return };
        match message {
            Said::Hello(hello) => {
                let applied = kept.applied.len() as u64;
                kept.waiting.clear();
                kept.syncs.clear();
                kept.say(Answer::Welcome(v1::Welcome {
                    protocol,
                    epoch,
                    applied_seq: applied,
                    durable_seq: kept.durable,
                    lease_ms: lease_ms.unwrap_or(LEASE_MS),
                    heartbeat_ms: HEARTBEAT_MS,
                    root_ino: 1,
                    policy: Some(v1::MountPolicy::default()),
                    resumed: hello.resume,
                    now: Some(v1::Timestamp { secs: 1_800_000_000, nanos: 0 }),
                    first_inode: 1 << 56,
                    inode_count: 1 << 28,
                }));
            }
            Said::Ops(batch) => {
                kept.waiting.extend((batch.first_seq..).zip(batch.ops));
                self.work(session);
            }
            Said::Sync(sync) if mood_sync => {
                kept.syncs.push(sync);
                self.work(session);
            }
            Said::Heartbeat(heartbeat) if !dead => {
                kept.say(Answer::Heartbeat(v1::HeartbeatAnswer { id: heartbeat.id, now: None }));
            }
            Said::Lock(lock) if !(lock.wait && locks_wait) => {
                kept.say(Answer::Lock(v1::LockAnswer { id: lock.id, ..v1::LockAnswer::default() }));
            }
            Said::LockCancel(cancel) if !deaf_to_cancels => {
                let mut answer = v1::LockAnswer { id: cancel.id, ..v1::LockAnswer::default() };
                answer.set_error(v1::PosixError::Interrupted);
                kept.say(Answer::Lock(answer));
            }
            Said::LockQuery(query) => {
                kept.say(Answer::Lock(v1::LockAnswer {
                    id: query.id,
                    conflict: query.lock,
                    ..v1::LockAnswer::default()
                }));
            }
            Said::Question(question) if !silent => kept.say(Answer::Answer(answer(&question))),
            Said::Goodbye(_) => {
                kept.durable = kept.applied.len() as u64;
                kept.say(Answer::Farewell(v1::Farewell::default()));
            }
            Said::Sync(_) | Said::Heartbeat(_) | Said::Lock(_) | Said::LocksOf(_) | Said::InvalidateDone(_) => {}
            Said::Description(_) | Said::LockCancel(_) | Said::Question(_) | Said::GiveBack(_) => {}
        }
    }
}

/// Attributes of the inode that is asked for, or of 9, and a lease on it.
fn answer(question: &v1::Question) -> v1::Answer {
    use v1::answer::Answer as Reply;
    let ino = match question.question {
        Some(v1::question::Question::GetAttr(ask)) => ask.ino,
        _ => 9,
    };
    let grant = v1::Grant { ino, mode: v1::LeaseMode::Shared.into(), number: question.id };
    let attr = Some(attr(ino));
    let reply = match question.question {
        Some(v1::question::Question::Lookup(_)) => Reply::Lookup(v1::LookupResponse { attr }),
        _ => Reply::GetAttr(v1::GetAttrResponse { attr }),
    };
    v1::Answer { id: question.id, answer: Some(reply), grants: vec![grant], ..v1::Answer::default() }
}

fn staged(kept: &Kept, op: &v1::Op) -> bool {
    match &op.op {
        Some(op::Op::Write(write)) if write.stage_id != 0 => kept.stages.contains(&write.stage_id),
        _ => true,
    }
}

pub(super) fn attr(ino: u64) -> v1::Attr {
    let time = Some(v1::Timestamp::default());
    let mut attr =
        v1::Attr { ino, nlink: 1, atime: time, mtime: time, ctime: time, btime: time, ..v1::Attr::default() };
    attr.set_kind(v1::FileKind::Regular);
    attr
}

fn outcome(seq: u64, commit: u64, op: &v1::Op, confused: bool) -> v1::OpOutcome {
    let mut outcome = v1::OpOutcome { seq, commit, ..v1::OpOutcome::default() };
    match &op.op {
        Some(op::Op::Create(create)) if create.name == TAKEN => outcome.set_error(v1::PosixError::Exists),
        Some(op::Op::Create(_)) => outcome.attr = Some(attr(1000 + seq)),
        Some(op::Op::Write(write)) => {
            outcome.attr = Some(attr(if confused { write.ino + 1 } else { write.ino }));
            outcome.offset = write.offset.unwrap_or(7);
            outcome.len = write.data.len() as u64 + u64::from(write.stage_len);
        }
        Some(op::Op::Open(open)) => outcome.attr = Some(attr(open.ino)),
        Some(op::Op::SetAttr(set)) => outcome.attr = Some(attr(set.ino)),
        _ => {}
    }
    outcome
}

impl Service {
    fn admit(&self, metadata: &tonic::metadata::MetadataMap) -> Result<(), Status> {
        let world = self.world.lock();
        let refused = |kind| Err(to_status(&Error::new(kind, "the fake refuses")));
        match (world.mood.refuse, &world.mood.token) {
            (Some(kind), _) => refused(kind),
            (None, Some(token)) if bearer_of(metadata).ok() != Some(token) => refused(ErrorKind::Unauthenticated),
            _ => Ok(()),
        }
    }

    /// The session of a call; lost unless it is kept.
    fn session<T>(&self, request: &Request<T>) -> Result<SessionId, Status> {
        self.admit(request.metadata())?;
        let session = session_of(request.metadata()).map_err(|error| to_status(&error))?;
        if self.world.lock().sessions.contains_key(&session) {
            Ok(session)
        } else {
            Err(to_status(&Error::new(ErrorKind::SessionLost, "the fake does not know the session")))
        }
    }

    fn noticed(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

#[tonic::async_trait]
impl SessionService for Service {
    type ControlStream = Pin<Box<ReceiverStream<Result<v1::ServerMessage, Status>>>>;

    async fn control(
        &self,
        request: Request<Streaming<v1::ClientMessage>>,
    ) -> Result<Response<Self::ControlStream>, Status> {
        self.admit(request.metadata())?;
        let mut inbound = request.into_inner();
        let first = inbound.message().await?.and_then(|message| message.message);
        let Some(Said::Hello(hello)) = first else { return Err(Status::invalid_argument("no hello")) };
        let session = SessionId::try_from(&hello.session_id[..]).unwrap();
        let (line, outbound) = mpsc::channel(1024);
        {
            let mut world = self.world.lock();
            if hello.resume && !world.sessions.contains_key(&session) {
                world.heard.push(Said::Hello(hello));
                return Err(to_status(&Error::new(ErrorKind::SessionLost, "the fake gave the session up")));
            }
            world.sessions.entry(session).or_default().line = Some(line.clone());
            world.hear(session, Said::Hello(hello));
        }
        self.noticed();
        let service = self.clone();
        let line = line.downgrade();
        tokio::spawn(async move {
            while let Ok(Some(message)) = inbound.message().await {
                // A stream that was cut hears nothing more.
                if line.upgrade().is_none() {
                    break;
                }
                if let Some(message) = message.message {
                    service.world.lock().hear(session, message);
                    service.noticed();
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outbound))))
    }
}

#[tonic::async_trait]
impl Data for Service {
    async fn read(&self, request: Request<v1::ReadRequest>) -> Result<Response<v1::ReadResponse>, Status> {
        self.session(&request)?;
        let read = request.into_inner();
        let mut world = self.world.lock();
        world.reads += 1;
        let damaged = world.mood.damaged_reads > 0;
        world.mood.damaged_reads -= usize::from(damaged);
        Ok(Response::new(content(read.offset, vec![b'x'; read.len as usize], 1 << 20, damaged)))
    }

    async fn blocks(&self, request: Request<v1::BlocksRequest>) -> Result<Response<v1::BlocksResponse>, Status> {
        self.session(&request)?;
        Ok(Response::new(blocks(request.get_ref())))
    }

    async fn read_ranges(
        &self,
        request: Request<v1::ReadRangesRequest>,
    ) -> Result<Response<v1::ReadRangesResponse>, Status> {
        self.session(&request)?;
        let ranges = request.into_inner().ranges;
        self.world.lock().together.push(ranges.len());
        let sound = (0..).zip(ranges).filter(|(_, range)| range.ino != DAMAGED);
        let contents = sound.map(|(index, range)| v1::RangeContent { index, content: Some(of_range(&range)) });
        Ok(Response::new(v1::ReadRangesResponse { contents: contents.collect() }))
    }

    async fn read_files(
        &self,
        request: Request<v1::ReadFilesRequest>,
    ) -> Result<Response<v1::ReadFilesResponse>, Status> {
        self.session(&request)?;
        let files = request.into_inner().inos.into_iter().map(|ino| beginning(ino, ino == DAMAGED));
        Ok(Response::new(v1::ReadFilesResponse { files: files.collect() }))
    }

    async fn stage(&self, request: Request<v1::StageRequest>) -> Result<Response<v1::StageResponse>, Status> {
        let session = self.session(&request)?;
        let stage = request.into_inner();
        assert_eq!(stage.blake3, frame_hashes_to_wire(Framed::from(stage.data.clone()).hashes()));
        let mut world = self.world.lock();
        world.stagings += 1;
        if let Some(kind) = world.mood.refuse_stage {
            drop(world);
            self.noticed();
            return Err(to_status(&Error::new(kind, "the fake has no room")));
        }
        world.sessions.entry(session).or_default().stages.insert(stage.stage_id);
        world.work(session);
        drop(world);
        self.noticed();
        Ok(Response::new(v1::StageResponse {}))
    }

    async fn seek(&self, request: Request<v1::SeekRequest>) -> Result<Response<v1::SeekResponse>, Status> {
        self.session(&request)?;
        Ok(Response::new(v1::SeekResponse { offset: request.into_inner().offset }))
    }
}
