//! A server on a scratch directory, and a client that says exactly what it is told to.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::error::{Error, ErrorKind, PosixError};
use holdfast_core::hash::Framed;
use holdfast_proto::data::frame_hashes_to_wire;
use holdfast_proto::error::{from_status, posix_error};
use holdfast_proto::metadata::{SESSION_KEY, session_value};
use holdfast_proto::v1::client_message::Message as Say;
use holdfast_proto::v1::server_message::Message as Hear;
use holdfast_proto::v1::{self, op::Op};
use holdfast_proto::version::{PROTOCOL_NEWEST, PROTOCOL_OLDEST};
use holdfast_server::Fatal;
use holdfast_server::clock::{Clock, ManualClock, SystemClock};
use holdfast_server::config::{Config, LeaseTimes};
use holdfast_server::run::{Components, Server, run};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Streaming};

/// Longest wait for anything that must come.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long something is awaited that must not come.
const MOMENT: Duration = Duration::from_millis(150);

/// A server of this process.
pub(crate) struct Rig {
    pub(crate) dir: Arc<tempfile::TempDir>,
    pub(crate) clock: ManualClock,
    pub(crate) server: Server,
    pub(crate) channel: Channel,
}

pub(crate) fn config(dir: &Path) -> Config {
    let mut config = Config::local(dir);
    config.lease = LeaseTimes { lease: Duration::from_secs(1), heartbeat: Duration::from_millis(200) };
    config
}

/// A server that says so when its disk fails, and goes silent. (Its directory may vanish under it
/// at the end of a test.)
pub(crate) async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Server, Error> {
    let fatal = Fatal::with(|why| eprintln!("the server would have stopped: {why}"));
    run(config, Components { clock, fatal, ..Components::default() }).await
}

async fn connect(server: &Server) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{}", server.address())).unwrap();
    endpoint.connect().await.unwrap()
}

impl Rig {
    /// A server with a clock that stands still, and leases of a second.
    pub(crate) async fn new() -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let clock = ManualClock::default();
        let server = start(config(dir.path()), Arc::new(clock.clone())).await.unwrap();
        let channel = connect(&server).await;
        Self { dir, clock, server, channel }
    }

    /// Another server on the same directory, after this one was killed.
    pub(crate) async fn killed(self) -> Self {
        self.server.abandon().await;
        Self::again(self.dir, self.clock).await
    }

    /// Another server on the same directory, after this one was stopped.
    pub(crate) async fn restarted(self) -> Self {
        self.server.stop().await.unwrap();
        Self::again(self.dir, self.clock).await
    }

    async fn again(dir: Arc<tempfile::TempDir>, clock: ManualClock) -> Self {
        let server = start(config(dir.path()), Arc::new(clock.clone())).await.unwrap();
        let channel = connect(&server).await;
        Self { dir, clock, server, channel }
    }

    /// Lets a lease pass: less than what a server takes for a pause of its own.
    pub(crate) fn let_lease_pass(&self) {
        self.clock.advance(Duration::from_millis(1600));
    }

    pub(crate) fn volumes(&self) -> v1::volumes_client::VolumesClient<Channel> {
        v1::volumes_client::VolumesClient::new(self.channel.clone())
    }

    /// Makes a volume; its id.
    pub(crate) async fn volume(&self, name: &str) -> String {
        self.volume_with(name, v1::Quota::default()).await
    }

    pub(crate) async fn volume_with(&self, name: &str, quota: v1::Quota) -> String {
        let spec = v1::VolumeSpec { name: name.into(), quota: Some(quota), ..v1::VolumeSpec::default() };
        let request = v1::CreateVolumeRequest { spec: Some(spec) };
        self.volumes().create_volume(request).await.unwrap().into_inner().volume.unwrap().id
    }

    /// A new session.
    pub(crate) async fn session(&self, volume: &str, number: u8) -> Peer {
        let (mut peer, welcome) = self.hello(hello(volume, number)).await.unwrap();
        assert!(!welcome.resumed);
        peer.epoch = welcome.epoch;
        peer
    }

    /// Says this Hello.
    pub(crate) async fn hello(&self, hello: v1::Hello) -> Result<(Peer, v1::Welcome), Error> {
        let session = holdfast_core::id::SessionId::try_from(&hello.session_id[..]).unwrap_or(SESSIONLESS);
        let mut peer = self.open_stream(session).await;
        peer.say(Say::Hello(hello)).await;
        match peer.hear().await? {
            Hear::Welcome(welcome) => Ok((peer, welcome)),
            other => panic!("a welcome was due, this came: {other:?}"),
        }
    }

    /// A stream on which nothing was said yet.
    pub(crate) async fn open_stream(&self, session: holdfast_core::id::SessionId) -> Peer {
        let (sender, receiver) = mpsc::channel(64);
        let mut client = v1::session_client::SessionClient::new(self.channel.clone());
        let stream = client.control(ReceiverStream::new(receiver)).await.unwrap().into_inner();
        Peer { session, sender, stream, channel: self.channel.clone(), next: 1, epoch: 0 }
    }
}

const SESSIONLESS: holdfast_core::id::SessionId = holdfast_core::id::SessionId([0; 16]);

/// A Hello of a new session.
pub(crate) fn hello(volume: &str, number: u8) -> v1::Hello {
    v1::Hello {
        protocol: PROTOCOL_NEWEST,
        protocol_oldest: PROTOCOL_OLDEST,
        volume_id: volume.into(),
        session_id: Bytes::from(vec![number; 16]),
        host: format!("host-{number}"),
        pid: number.into(),
        program: "test".into(),
        ..v1::Hello::default()
    }
}

/// A session that says what the test says.
pub(crate) struct Peer {
    pub(crate) session: holdfast_core::id::SessionId,
    sender: mpsc::Sender<v1::ClientMessage>,
    stream: Streaming<v1::ServerMessage>,
    channel: Channel,
    /// Number of the next operation.
    pub(crate) next: u64,
    pub(crate) epoch: u64,
}

impl Peer {
    pub(crate) async fn say(&self, message: Say) {
        self.sender.send(v1::ClientMessage { message: Some(message) }).await.unwrap();
    }

    /// The next message, whatever it is.
    pub(crate) async fn hear(&mut self) -> Result<Hear, Error> {
        let message = tokio::time::timeout(PATIENCE, self.stream.message()).await.expect("the server is silent");
        match message.map_err(from_status)? {
            Some(message) => Ok(message.message.expect("an empty message")),
            None => Err(Error::new(ErrorKind::Unavailable, "the stream has ended")),
        }
    }

    /// Whether nothing comes for a moment.
    pub(crate) async fn hears_nothing(&mut self) -> bool {
        tokio::time::timeout(MOMENT, self.stream.message()).await.is_err()
    }

    /// Whether nothing but `Durable` comes for a moment.
    pub(crate) async fn hears_only_durable(&mut self) -> bool {
        let other = async {
            loop {
                match self.hear().await {
                    Ok(Hear::Durable(_)) => {}
                    other => return other,
                }
            }
        };
        tokio::time::timeout(MOMENT, other).await.is_err()
    }

    /// The error that ends the stream.
    pub(crate) async fn hear_end(&mut self) -> Error {
        loop {
            match self.hear().await {
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    }

    /// Sends operations under these numbers.
    pub(crate) async fn send_at(&self, first_seq: u64, ops: Vec<Op>) {
        let ops = ops.into_iter().map(|op| v1::Op { op: Some(op), ..v1::Op::default() }).collect();
        self.send_batch(v1::OpBatch { first_seq, ops, received_seq: 0 }).await;
    }

    pub(crate) async fn send_batch(&self, batch: v1::OpBatch) {
        self.say(Say::Ops(batch)).await;
    }

    /// Sends the next operations.
    pub(crate) async fn send(&mut self, ops: Vec<Op>) {
        let first = self.next;
        self.next += ops.len() as u64;
        self.send_at(first, ops).await;
    }

    /// The next so many outcomes; other messages but `Durable` must not come.
    pub(crate) async fn outcomes(&mut self, count: usize) -> Vec<v1::OpOutcome> {
        let mut outcomes = Vec::new();
        while outcomes.len() < count {
            match self.hear().await.unwrap() {
                Hear::Applied(applied) => outcomes.extend(applied.outcomes),
                Hear::Durable(_) => {}
                other => panic!("outcomes were due, this came: {other:?}"),
            }
        }
        assert_eq!(outcomes.len(), count);
        outcomes
    }

    /// Does one operation.
    pub(crate) async fn act(&mut self, op: Op) -> Result<v1::OpOutcome, PosixError> {
        self.send(vec![op]).await;
        let outcome = self.outcomes(1).await.remove(0);
        assert_eq!(outcome.seq + 1, self.next);
        posix_error(outcome.error).map_or(Ok(outcome), Err)
    }

    /// Makes everything durable.
    pub(crate) async fn sync(&mut self) {
        let seq = self.next - 1;
        self.say(Say::Sync(v1::SyncRequest { seq, id: 1 })).await;
        loop {
            match self.hear().await.unwrap() {
                Hear::Durable(durable) if durable.sync_id == 1 => {
                    assert!(durable.seq >= seq);
                    return;
                }
                Hear::Durable(_) => {}
                other => panic!("only Durable was due, this came: {other:?}"),
            }
        }
    }

    pub(crate) async fn heartbeat(&mut self) {
        self.say(Say::Heartbeat(v1::Heartbeat { id: 7 })).await;
        loop {
            match self.hear().await.unwrap() {
                Hear::Heartbeat(answer) => return assert_eq!(answer.id, 7),
                Hear::Durable(_) => {}
                other => panic!("a heartbeat was due, this came: {other:?}"),
            }
        }
    }

    /// Renews the session; the error, if that is over.
    pub(crate) async fn heartbeat_or_end(&mut self) -> Option<Error> {
        self.say(Say::Heartbeat(v1::Heartbeat { id: 7 })).await;
        loop {
            match self.hear().await {
                Ok(Hear::Heartbeat(_)) => return None,
                Ok(_) => {}
                Err(error) => return Some(error),
            }
        }
    }

    /// The next message but `Durable`, which must be about a lock: its error.
    pub(crate) async fn lock_answer(&mut self, id: u64) -> Option<PosixError> {
        loop {
            match self.hear().await.unwrap() {
                Hear::Lock(answer) => {
                    assert_eq!(answer.id, id);
                    return posix_error(answer.error);
                }
                Hear::Durable(_) => {}
                other => panic!("an answer about a lock was due, this came: {other:?}"),
            }
        }
    }

    /// The next invalidation.
    pub(crate) async fn invalidation(&mut self) -> v1::Invalidate {
        loop {
            match self.hear().await.unwrap() {
                Hear::Invalidate(what) => return what,
                Hear::Durable(_) => {}
                other => panic!("an invalidation was due, this came: {other:?}"),
            }
        }
    }

    pub(crate) async fn confirm(&self, what: &v1::Invalidate) {
        self.say(Say::InvalidateDone(v1::InvalidateDone { id: what.id })).await;
    }

    /// Drops the stream, as a broken connection does.
    pub(crate) fn cut(self) -> u64 {
        self.next
    }

    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert_bin(SESSION_KEY, session_value(self.session));
        request
    }

    pub(crate) fn namespace(&self) -> v1::namespace_client::NamespaceClient<Channel> {
        v1::namespace_client::NamespaceClient::new(self.channel.clone())
    }

    pub(crate) fn data(&self) -> v1::data_client::DataClient<Channel> {
        v1::data_client::DataClient::new(self.channel.clone())
    }

    pub(crate) async fn lookup(&self, name: &str) -> Result<v1::Attr, Error> {
        let request = self.request(v1::LookupRequest { parent: 1, name: Bytes::copy_from_slice(name.as_bytes()) });
        let answer = self.namespace().lookup(request).await.map_err(from_status)?;
        Ok(answer.into_inner().attr.unwrap())
    }

    pub(crate) async fn getattr(&self, ino: u64) -> Result<v1::Attr, Error> {
        let request = self.request(v1::GetAttrRequest { ino });
        let answer = self.namespace().get_attr(request).await.map_err(from_status)?;
        Ok(answer.into_inner().attr.unwrap())
    }

    pub(crate) async fn names(&self) -> Vec<String> {
        let request = self.request(v1::ReadDirRequest { ino: 1, ..v1::ReadDirRequest::default() });
        let page = self.namespace().read_dir(request).await.unwrap().into_inner();
        assert!(page.end);
        page.entries.iter().map(|entry| String::from_utf8(entry.name.to_vec()).unwrap()).collect()
    }

    /// Inodes in use.
    pub(crate) async fn stat_inodes(&self) -> u64 {
        let stat = self.namespace().stat_fs(self.request(v1::StatFsRequest {})).await.unwrap().into_inner();
        stat.inodes_total - stat.inodes_free
    }

    /// Everything in a file.
    pub(crate) async fn content(&self, ino: u64) -> Vec<u8> {
        let request = self.request(v1::ReadRequest { ino, offset: 0, len: 1 << 20 });
        let read = self.data().read(request).await.unwrap().into_inner();
        let read = holdfast_proto::data::ReadData::from_wire(read, 0, 1 << 20).unwrap();
        read.into_bytes().to_vec()
    }

    pub(crate) async fn stage(&self, stage_id: u64, data: &[u8]) -> Result<(), Error> {
        let data = Bytes::copy_from_slice(data);
        let blake3 = frame_hashes_to_wire(Framed::from(data.clone()).hashes());
        let request = v1::StageRequest { stage_id, data, blake3 };
        self.data().stage(self.request(request)).await.map(drop).map_err(from_status)
    }
}

/// An empty file in the root directory.
pub(crate) fn create(name: &str) -> Op {
    Op::Create(v1::Create {
        parent: 1,
        name: Bytes::copy_from_slice(name.as_bytes()),
        kind: v1::FileKind::Regular.into(),
        mode: 0o644,
        ..v1::Create::default()
    })
}

pub(crate) fn open(ino: u64) -> Op {
    Op::Open(v1::Open { ino, ..v1::Open::default() })
}

pub(crate) fn close(ino: u64) -> Op {
    Op::Close(v1::Close { ino })
}

pub(crate) fn unlink(name: &str) -> Op {
    Op::Unlink(v1::Unlink { parent: 1, name: Bytes::copy_from_slice(name.as_bytes()) })
}

pub(crate) fn append(ino: u64, data: &[u8]) -> Op {
    Op::Write(v1::Write { ino, data: Bytes::copy_from_slice(data), ..v1::Write::default() })
}

pub(crate) fn write_staged(ino: u64, offset: u64, stage_id: u64, stage_len: u32) -> Op {
    Op::Write(v1::Write { ino, offset: Some(offset), stage_id, stage_len, ..v1::Write::default() })
}

/// A server with the machine's clock.
pub(crate) async fn start_plain(config: Config) -> Result<Server, Error> {
    start(config, Arc::new(SystemClock)).await
}
