//! The `Session` service: the control stream.
//!
//! The stream of answers reads the client's messages itself, whenever it is polled: a message is
//! applied and answered on the task and thread that received it, with no hop to another. Dropping
//! the stream, whoever does it, is the end of the link.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use holdfast_core::error::{self, Error, ErrorKind};
use holdfast_core::id::{InodeId, Seq, SessionId};
use holdfast_core::limits::NAME_BYTES_MAX;
use holdfast_proto::error::to_status;
use holdfast_proto::lease::{Question, give_back, grant_to_wire, held, recall_to_wire};
use holdfast_proto::lock::{claimed, held_in_file, held_to_wire, required};
use holdfast_proto::op::OpBatch;
use holdfast_proto::v1::client_message::Message as FromClient;
use holdfast_proto::v1::server_message::Message as ToClient;
use holdfast_proto::v1::{self, ClientMessage, ServerMessage};
use holdfast_proto::version::{Peer, negotiate};
use holdfast_proto::volume::volume_id;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::{Service, status};
use crate::config::invalid;
use crate::registry::Registry;
use crate::session::{Hello, Link, LockAnswer, OpAnswer, Outbound, Sync, Welcome};

/// Time for the first message of a stream.
const HELLO_TIME_MAX: Duration = Duration::from_secs(10);
/// Messages that are taken up before their answers go out.
const MESSAGES_A_POLL: usize = 64;
/// Open files and locks that a Hello may name.
const HELLO_ITEMS_MAX: usize = 1_000_000;
/// A volume that is closed just as somebody comes is opened again so often.
const OPEN_TRIES: usize = 5;

type Handshake = Pin<Box<dyn Future<Output = Result<(Streaming<ClientMessage>, Link), Status>> + Send>>;

/// The server's half of a control stream.
pub(crate) struct Control(State);

enum State {
    Hello(Handshake),
    Live(Box<Streaming<ClientMessage>>, Link),
    Over,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Control(..)")
    }
}

#[tonic::async_trait]
impl v1::session_server::Session for Service {
    type ControlStream = Control;

    async fn control(&self, request: Request<Streaming<ClientMessage>>) -> Result<Response<Control>, Status> {
        let handshake = handshake(Arc::clone(&self.registry), request.into_inner());
        Ok(Response::new(Control(State::Hello(Box::pin(handshake)))))
    }
}

impl Stream for Control {
    type Item = Result<ServerMessage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.0 {
                State::Hello(handshake) => match std::task::ready!(handshake.as_mut().poll(cx)) {
                    Ok((inbound, link)) => self.0 = State::Live(Box::new(inbound), link),
                    Err(status) => {
                        self.0 = State::Over;
                        return Poll::Ready(Some(Err(status)));
                    }
                },
                State::Live(inbound, link) => match poll_live(inbound, link, cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Next::Message(message)) => return Poll::Ready(Some(Ok(message))),
                    Poll::Ready(Next::Last(message)) => {
                        self.0 = State::Over;
                        return Poll::Ready(Some(Ok(message)));
                    }
                    Poll::Ready(Next::Failed(status)) => {
                        self.0 = State::Over;
                        return Poll::Ready(Some(Err(status)));
                    }
                    Poll::Ready(Next::Gone) => self.0 = State::Over,
                },
                State::Over => return Poll::Ready(None),
            }
        }
    }
}

/// What a live stream has for its client.
enum Next {
    Message(ServerMessage),
    /// The last message.
    Last(ServerMessage),
    Failed(Status),
    /// The client has gone.
    Gone,
}

fn poll_live(inbound: &mut Streaming<ClientMessage>, link: &mut Link, cx: &mut Context<'_>) -> Poll<Next> {
    for turn in 0.. {
        if turn == MESSAGES_A_POLL {
            cx.waker().wake_by_ref();
            break;
        }
        match Pin::new(&mut *inbound).poll_next(cx) {
            Poll::Ready(Some(Ok(message))) => {
                if let Err(error) = dispatch(link, message) {
                    // A stream that was ended from the other side has the better reason.
                    return Poll::Ready(Next::Failed(ended(link).unwrap_or_else(|| to_status(&error))));
                }
            }
            Poll::Ready(Some(Err(status))) => return Poll::Ready(Next::Failed(status)),
            Poll::Ready(None) => return Poll::Ready(Next::Gone),
            Poll::Pending => break,
        }
    }
    link.settle();
    match link.outbound.poll_recv(cx) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Some(Outbound::End(error))) => Poll::Ready(Next::Failed(to_status(&error))),
        Poll::Ready(Some(Outbound::Farewell)) => {
            let farewell = v1::Farewell { reason: String::new() };
            Poll::Ready(Next::Last(message(ToClient::Farewell(farewell))))
        }
        Poll::Ready(Some(outbound)) => Poll::Ready(Next::Message(message(to_wire(outbound)))),
        Poll::Ready(None) => Poll::Ready(Next::Failed(to_status(&Error::new(
            ErrorKind::Unavailable,
            "the stream was cut off: its client does not read what it is sent",
        )))),
    }
}

fn ended(link: &mut Link) -> Option<Status> {
    while let Ok(message) = link.outbound.try_recv() {
        if let Outbound::End(error) = message {
            return Some(to_status(&error));
        }
    }
    None
}

async fn handshake(
    registry: Arc<Registry>,
    mut inbound: Streaming<ClientMessage>,
) -> Result<(Streaming<ClientMessage>, Link), Status> {
    let first = tokio::time::timeout(HELLO_TIME_MAX, inbound.next()).await;
    let first = first.map_err(|_| status(Error::new(ErrorKind::Timeout, "no Hello came in time")))?;
    let Some(FromClient::Hello(hello)) = first.transpose()?.and_then(|first| first.message) else {
        return Err(status(invalid("the first message of a control stream is Hello")));
    };
    let volume = volume_id(&hello.volume_id).map_err(status)?;
    let hello = read_hello(hello).map_err(status)?;
    let mut tries = 0;
    loop {
        let owner = registry.open(volume).await.map_err(status)?;
        if owner.must_wait(&hello) {
            owner.ready().await.map_err(status)?;
        }
        match owner.hello(&hello) {
            Ok(link) => return Ok((inbound, link)),
            Err(error) if error.kind() == ErrorKind::Unavailable && tries < OPEN_TRIES => {
                tries += 1;
                drop(owner);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => return Err(status(error)),
        }
    }
}

fn read_hello(wire: v1::Hello) -> error::Result<Hello> {
    let protocol = negotiate(Peer::Client, wire.protocol_oldest, wire.protocol)?;
    let session = SessionId::try_from(&wire.session_id[..])
        .map_err(|_| invalid(format!("a session id of {} bytes; it has 16", wire.session_id.len())))?;
    if wire.host.len() > NAME_BYTES_MAX || wire.program.len() > NAME_BYTES_MAX {
        return Err(invalid(format!("host and program have at most {NAME_BYTES_MAX} bytes each")));
    }
    let items = [wire.open_inodes.len(), wire.held_locks.len(), wire.held_leases.len()];
    if items.iter().any(|&count| count > HELLO_ITEMS_MAX) {
        return Err(invalid(format!("a session has at most {HELLO_ITEMS_MAX} open files, locks and leases")));
    }
    let locks: Vec<_> = wire.held_locks.into_iter().map(claimed).collect::<error::Result<_>>()?;
    Ok(Hello {
        protocol,
        session,
        host: wire.host,
        pid: wire.pid,
        program: wire.program,
        read_only: wire.read_only,
        exclusive: wire.exclusive,
        resume: wire.resume,
        opens: wire
            .open_inodes
            .into_iter()
            .map(holdfast_proto::attr::inode)
            .collect::<error::Result<Vec<InodeId>>>()?,
        locks: locks.into_iter().flatten().collect(),
        leases: wire.held_leases.iter().map(held).collect::<error::Result<_>>()?,
        next: Seq(wire.next_seq),
        pending_until: Seq(wire.pending_until),
    })
}

fn dispatch(link: &mut Link, message: ClientMessage) -> error::Result<()> {
    if link.leaving {
        // It may take a while until everything is on the disk; what else it says does not count any more.
        if let Some(FromClient::Heartbeat(heartbeat)) = message.message {
            let _gone = link.heartbeat(heartbeat.id);
        }
        return Ok(());
    }
    match message.message {
        Some(FromClient::Ops(batch)) => link.ops(OpBatch::try_from(batch)?),
        Some(FromClient::Sync(sync)) => link.sync(Sync { seq: Seq(sync.seq), id: sync.id }),
        Some(FromClient::Heartbeat(heartbeat)) => link.heartbeat(heartbeat.id),
        Some(FromClient::Lock(lock)) => link.lock(lock.id, required(lock.lock)?, lock.wait),
        Some(FromClient::LockCancel(cancel)) => link.lock_cancel(cancel.id),
        Some(FromClient::LockQuery(query)) => link.lock_query(query.id, required(query.lock)?),
        Some(FromClient::LocksOf(locks)) => {
            let (ino, held) = held_in_file(locks)?;
            link.locks_of(ino, &held)
        }
        Some(FromClient::InvalidateDone(done)) => link.invalidate_done(done.id),
        Some(FromClient::Description(description)) => link.described(description.id, description.try_into()?),
        Some(FromClient::Goodbye(v1::Goodbye {})) => link.goodbye(),
        Some(FromClient::Question(question)) => link.question(question.id, Question::from_wire(question)?),
        Some(FromClient::GiveBack(back)) => link.give_back(give_back(&back)?),
        Some(FromClient::Hello(_)) => Err(invalid("a second Hello on one stream; open another")),
        None => Err(Error::new(ErrorKind::Version, "a message that this server does not know; upgrade the server")),
    }
}

fn message(message: ToClient) -> ServerMessage {
    ServerMessage { message: Some(message) }
}

fn to_wire(outbound: Outbound) -> ToClient {
    match outbound {
        Outbound::Welcome(welcome) => ToClient::Welcome(welcome_to_wire(&welcome)),
        Outbound::Applied(applied) => {
            ToClient::Applied(v1::Applied { outcomes: applied.iter().map(outcome_to_wire).collect() })
        }
        Outbound::Durable { seq, sync_id } => ToClient::Durable(v1::Durable { seq: seq.0, sync_id }),
        Outbound::Heartbeat { id, now } => ToClient::Heartbeat(v1::HeartbeatAnswer { id, now: Some(now.into()) }),
        Outbound::Lock { id, answer } => ToClient::Lock(lock_to_wire(id, answer)),
        Outbound::Invalidate { id, what } => ToClient::Invalidate(what.to_wire(id)),
        Outbound::Answer { id, answered } => ToClient::Answer(answered.to_wire(id)),
        Outbound::Recall(recall) => ToClient::Recall(recall_to_wire(&recall)),
        Outbound::Touched { ino, atime } => ToClient::Touched(v1::Touched { ino: ino.0, atime: Some(atime.into()) }),
        Outbound::Describe(id) => ToClient::Describe(v1::Describe { id }),
        Outbound::Farewell => ToClient::Farewell(v1::Farewell { reason: String::new() }),
        Outbound::End(error) => ToClient::Farewell(v1::Farewell { reason: error.message().to_owned() }),
    }
}

fn outcome_to_wire(answer: &OpAnswer) -> v1::OpOutcome {
    let mut wire = v1::OpOutcome::from(&answer.applied);
    wire.grants = answer.grants.iter().map(grant_to_wire).collect();
    wire.changed = answer.changed.iter().map(|ino| ino.0).collect();
    wire
}

fn welcome_to_wire(welcome: &Welcome) -> v1::Welcome {
    let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    let (first_inode, inode_count) = welcome.block.left();
    v1::Welcome {
        protocol: welcome.protocol,
        epoch: welcome.epoch.0,
        applied_seq: welcome.applied.0,
        durable_seq: welcome.durable.0,
        lease_ms: millis(welcome.times.lease),
        heartbeat_ms: millis(welcome.times.heartbeat),
        root_ino: InodeId::ROOT.0,
        policy: Some(welcome.policy.into()),
        resumed: welcome.resumed,
        now: Some(welcome.now.into()),
        first_inode,
        inode_count,
    }
}

fn lock_to_wire(id: u64, answer: LockAnswer) -> v1::LockAnswer {
    let mut wire = v1::LockAnswer { id, ..v1::LockAnswer::default() };
    match answer {
        LockAnswer::Done | LockAnswer::Conflict(None) => {}
        LockAnswer::Refused(error) => wire.set_error(error.into()),
        LockAnswer::Conflict(Some((ino, held))) => wire.conflict = Some(held_to_wire(&held, ino)),
    }
    wire
}
