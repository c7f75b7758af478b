//! The one task of a session: it owns the control stream, reads what the server says, keeps the
//! session alive, and makes a new stream when one breaks.
//!
//! A broken stream is no error of anybody's call: what was kept is said again. Only the server's
//! word that the session is over loses it. The patience of a soft mount is that of its calls: when it
//! ends they fail, and the session waits on.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::id::{Epoch, InodeBlock, InodeId, Seq};
use holdfast_core::limits::HELLO_BYTES_MAX;
use holdfast_core::time::Timestamp;
use holdfast_proto::attr::inode;
use holdfast_proto::error::{from_status, posix_error};
use holdfast_proto::invalidate::Invalidation;
use holdfast_proto::lease::{Answered, recall};
use holdfast_proto::lock::LockConflict;
use holdfast_proto::v1::{self, client_message, server_message::Message, session_client::SessionClient};
use holdfast_proto::version::{PROTOCOL_EXCLUSIVE, Peer, negotiate};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::Stream;
use tonic::Streaming;

use crate::admin::distrust;
use crate::channel::{Purpose, limited};
use crate::session::backoff::Backoff;
use crate::session::describe::DescribeDone;
use crate::session::invalidate::InvalidateDone;
use crate::session::options::Patience;
use crate::session::shared::{Channels, Shared};
use crate::session::state::{Introduction, StageJob, State, Terms};

/// How long the server may take to answer Hello. Waiting for other sessions after a restart comes
/// later: they are welcomed at once.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(30);
/// A stream that lived this long was a success: the next attempt does not wait.
const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// How long an operation that nobody waits for may wait for company.
const IDLE_MAX: Duration = Duration::from_millis(5);
/// How often it is looked whether the session is still trusted.
const LOOK_AT_TRUST: Duration = Duration::from_millis(250);
/// Heartbeats are not sent more often than this.
const BEAT_MIN: Duration = Duration::from_millis(10);
/// Longest lease and heartbeat that make sense.
const LEASE_MS_MAX: u32 = 3_600_000;

/// A stream on which the server said Welcome.
pub(crate) struct Established {
    inbound: Streaming<v1::ServerMessage>,
    heartbeat: Duration,
    since: Instant,
    generation: u64,
}

/// Why a stream ended.
enum End {
    /// It broke.
    Broken(Error),
    /// The session is closed, or must stop.
    Finished,
}

/// What we say: drawn from the state whenever the connection can take more, so that everything
/// that came together meanwhile goes out together.
struct Outbound {
    shared: Arc<Shared>,
    generation: u64,
}

impl Stream for Outbound {
    type Item = v1::ClientMessage;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Not `update`: drawing a message is not news for the one who draws.
        self.shared.poll_message(self.generation, cx).map(|message: Option<client_message::Message>| {
            message.map(|message| v1::ClientMessage { message: Some(message) })
        })
    }
}

/// Connects and says Hello.
pub(crate) async fn establish(shared: &Arc<Shared>) -> Result<Established> {
    let control = shared.connector.connect().await?;
    let data = (0..shared.options.data_connections).map(|_| shared.connector.connect_later(Purpose::Data));
    shared.replace_channels(Channels::new(control.clone(), data.collect()));
    let leases = shared.events.leases().held();
    let (host, program) = (&shared.options.host, &shared.options.program);
    let exclusive = shared.options.exclusive;
    let who = Introduction { host, program, exclusive, leases: &leases, now: shared.now() };
    let generation = shared.turn(|state| state.begin_stream(who));
    let outbound = Outbound { shared: Arc::clone(shared), generation };
    let hello_sent = shared.now();
    let greet = async {
        let mut client = limited!(SessionClient::new(control)).max_encoding_message_size(HELLO_BYTES_MAX);
        let request = shared.connector.request(outbound);
        let mut inbound = client.control(request).await.map_err(from_status)?.into_inner();
        let first = inbound.message().await.map_err(from_status)?;
        Ok::<_, Error>((inbound, first))
    };
    let greeted = tokio::time::timeout(WELCOME_TIMEOUT, greet).await.map_err(|_| {
        Error::new(ErrorKind::Unavailable, format!("the server did not answer Hello within {WELCOME_TIMEOUT:?}"))
    })?;
    let (inbound, first) = greeted.map_err(|error| shared.connector.explain(error))?;
    let welcome = match first.and_then(|message| message.message) {
        Some(Message::Welcome(welcome)) => welcome,
        Some(Message::Farewell(farewell)) => {
            return Err(Error::new(ErrorKind::Unavailable, format!("the server said farewell: {}", farewell.reason)));
        }
        Some(_) => return Err(distrust("answer to Hello", "it is no Welcome")),
        None => return Err(Error::new(ErrorKind::Unavailable, "the server ended the stream in place of a welcome")),
    };
    shared.note_heard();
    let terms = read_terms(&welcome)?;
    if exclusive && terms.protocol < PROTOCOL_EXCLUSIVE {
        let message = "the server is too old to give a volume to one session alone; upgrade it, or leave exclusive out";
        return Err(Error::new(ErrorKind::Version, message));
    }
    shared.events.leases().welcomed(terms.epoch);
    let jobs: Vec<StageJob> = shared.turn(|state| state.welcome(&welcome, terms, hello_sent))?;
    if let Some(server) = terms.now {
        shared.update(|state| state.set_clock(server, shared.now()));
    }
    shared.stage(jobs);
    Ok(Established { inbound, heartbeat: terms.heartbeat, since: Instant::now(), generation })
}

fn read_terms(welcome: &v1::Welcome) -> Result<Terms> {
    negotiate(Peer::Server, welcome.protocol, welcome.protocol)?;
    let sensible =
        (1..=LEASE_MS_MAX).contains(&welcome.lease_ms) && (1..welcome.lease_ms).contains(&welcome.heartbeat_ms);
    if !sensible {
        let why = format!("a lease of {} ms with heartbeats every {} ms", welcome.lease_ms, welcome.heartbeat_ms);
        return Err(distrust("welcome", &why));
    }
    Ok(Terms {
        root: inode(welcome.root_ino).map_err(|error| distrust("welcome", error.message()))?,
        policy: welcome.policy.unwrap_or_default().into(),
        epoch: Epoch(welcome.epoch),
        protocol: welcome.protocol,
        lease: Duration::from_millis(welcome.lease_ms.into()),
        heartbeat: Duration::from_millis(welcome.heartbeat_ms.into()),
        now: welcome.now.map(Timestamp::try_from).transpose().map_err(|error| distrust("welcome", error.message()))?,
        block: InodeBlock::new(welcome.first_inode, welcome.inode_count)
            .ok_or_else(|| distrust("welcome", "it gives inode numbers that are not a session's"))?,
    })
}

/// Runs the session until it is over.
pub(crate) async fn run(shared: Arc<Shared>, first: Established) {
    // Also when the task dies of a defect, or with its runtime: nobody must wait for ever.
    let _end = EndsWithTask(Arc::clone(&shared));
    let mut stop = shared.stop.subscribe();
    let work = async {
        let mut stream = first;
        let mut backoff = Backoff::new();
        loop {
            let since = stream.since;
            let end = serve(&shared, stream).await;
            shared.turn(State::disconnect);
            shared.events.leases().broken();
            let error = match end {
                End::Finished => return,
                End::Broken(error) => error,
            };
            report(&error, "the connection to the server broke; making a new one");
            let settled = since.elapsed() >= SETTLED_AFTER;
            if settled {
                backoff = Backoff::new();
            }
            stream = match again(&shared, &mut backoff, error, !settled).await {
                Some(stream) => stream,
                None => return,
            };
            shared.counters.reconnects.fetch_add(1, Ordering::Relaxed);
        }
    };
    tokio::select! {
        () = work => {}
        () = tell_distrust(&shared) => {}
        // The sender lives in `shared`, so the wait ends only by a stop.
        _ = stop.wait_for(|&stop| stop) => {}
    }
}

/// Tells each time that the session is not trusted any more. Timers stand still while the machine sleeps,
/// so it is looked again and again: after a sleep it is told that much later at most.
async fn tell_distrust(shared: &Shared) {
    let mut trusted = true;
    loop {
        tokio::time::sleep(LOOK_AT_TRUST).await;
        let before = std::mem::replace(&mut trusted, shared.is_trusted());
        if before && !trusted {
            shared.events.leases().distrusted();
        }
    }
}

/// Ends the session when its task ends, however that comes.
struct EndsWithTask(Arc<Shared>);

impl Drop for EndsWithTask {
    fn drop(&mut self) {
        if !self.0.look(State::is_over) {
            self.0.end(&Error::new(ErrorKind::SessionLost, "the session was closed"));
        }
    }
}

/// Makes a new stream, however long it takes; none: the session is over.
async fn again(shared: &Arc<Shared>, backoff: &mut Backoff, mut error: Error, mut wait: bool) -> Option<Established> {
    let mut reported = error.kind();
    loop {
        match error.kind() {
            ErrorKind::SessionLost if !loses(shared, &error) => return None,
            // Nothing to come back to.
            ErrorKind::NotFound => {
                shared.end(&Error::new(ErrorKind::NotFound, format!("the volume is gone: {}", error.message())));
                return None;
            }
            _ => {}
        }
        let delay = if wait { backoff.next_delay() } else { Duration::ZERO };
        wait = true;
        let attempt = async {
            tokio::time::sleep(delay).await;
            establish(shared).await
        };
        error = match attempt.await {
            Ok(stream) => return Some(stream),
            Err(error) => error,
        };
        if error.kind() == reported {
            tracing::debug!(%error, "no connection to the server yet");
        } else {
            report(&error, "no connection to the server yet");
            reported = error.kind();
        }
    }
}

/// The session is lost. Whether a new one begins in its place.
fn loses(shared: &Shared, cause: &Error) -> bool {
    if cause.kind() == ErrorKind::SessionLost && shared.turn(State::had_left) {
        return false;
    }
    if shared.options.exclusive {
        shared.lose_for_good(cause);
        return false;
    }
    let begun = shared.lose(cause);
    if let Err(error) = &begun {
        shared.end(error);
    }
    begun.is_ok()
}

/// Logs why there is no stream: a server that is away comes back, anything else needs somebody.
fn report(error: &Error, what: &str) {
    match error.kind() {
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::SessionLost => tracing::warn!(%error, "{what}"),
        _ => tracing::error!(%error, "{what}"),
    }
}

/// Listens until the stream ends.
async fn serve(shared: &Arc<Shared>, stream: Established) -> End {
    let Established { mut inbound, heartbeat, generation, .. } = stream;
    // A server that is there must be heard of more often than patience ends.
    let often = match shared.options.patience {
        Patience::Hard => heartbeat,
        Patience::Soft(patience) => heartbeat.min(patience / 3).max(BEAT_MIN),
    };
    let mut ticks = tokio::time::interval(often);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut hurry = std::pin::pin!(tokio::time::sleep(IDLE_MAX));
    let mut idle = false;
    // A wish for a new stream that came while there was none is fulfilled.
    tokio::select! {
        biased;
        () = shared.kick.notified() => {}
        () = std::future::ready(()) => {}
    }
    if shared.look(|state| state.generation) != generation {
        return End::Broken(Error::new(ErrorKind::Unavailable, "a new stream was asked for"));
    }
    loop {
        let result = tokio::select! {
            biased;
            message = inbound.message() => match message {
                Ok(Some(v1::ServerMessage { message: Some(message) })) => {
                    shared.note_heard();
                    heard(shared, message)
                }
                // A message of a kind that came after this version, and may be ignored.
                Ok(Some(v1::ServerMessage { message: None })) => Ok(false),
                Ok(None) => Err(Error::new(ErrorKind::Unavailable, "the server ended the stream")),
                Err(status) => Err(from_status(status)),
            },
            () = shared.idle.notified(), if !idle => {
                hurry.as_mut().reset(Instant::now() + IDLE_MAX);
                idle = true;
                Ok(false)
            }
            () = &mut hurry, if idle => {
                idle = false;
                shared.update(State::hurry);
                Ok(false)
            }
            _ = ticks.tick() => shared.update(|state| state.heartbeat(shared.now())).map(|()| false),
            () = shared.kick.notified() => Err(Error::new(ErrorKind::Unavailable, "a new stream was asked for")),
        };
        match result {
            Ok(false) => {}
            Ok(true) => return End::Finished,
            Err(error) => return End::Broken(error),
        }
    }
}

/// One message of the server's; `true`: that was the last.
fn heard(shared: &Arc<Shared>, message: Message) -> Result<bool> {
    match message {
        Message::Applied(applied) => {
            let outcomes = shared.look(|state| state.read_outcomes(applied.outcomes))?;
            for applied in outcomes.iter().filter_map(|outcome| outcome.applied.as_ref()) {
                shared.events.leases().applied(applied);
            }
            let effects = shared.update(|state| state.applied(outcomes));
            shared.carry_out(effects);
        }
        Message::Durable(durable) => {
            let effects = shared.update(|state| state.durable(Seq(durable.seq), durable.sync_id))?;
            shared.carry_out(effects);
        }
        Message::Heartbeat(answer) => {
            let now = shared.now();
            let server = answer.now.map(Timestamp::try_from).transpose();
            let server = server.map_err(|error| distrust("heartbeat", error.message()))?;
            shared.update(|state| state.heartbeat_answered(answer.id, server, now));
        }
        Message::Lock(answer) => {
            let result = match posix_error(answer.error) {
                Some(error) => Err(error),
                None => Ok(answer
                    .conflict
                    .map(LockConflict::try_from)
                    .transpose()
                    .map_err(|error| distrust("answer about a lock", error.message()))?),
            };
            let now = shared.now();
            shared.update(|state| state.lock_answered(answer.id, result, now));
        }
        Message::Invalidate(wire) => {
            let what = Invalidation::try_from(&wire).map_err(|error| distrust("invalidation", error.message()))?;
            let (session, epoch) =
                shared.look(|state| (state.session, state.terms.map_or(Epoch(0), |terms| terms.epoch)));
            shared.events.invalidate(what, InvalidateDone::new(Arc::downgrade(shared), session, epoch, wire.id));
        }
        Message::Describe(v1::Describe { id }) => {
            let session = shared.look(|state| state.session);
            shared.events.describe(DescribeDone::new(Arc::downgrade(shared), session, id));
        }
        Message::Answer(wire) => {
            let id = wire.id;
            let asked = shared.look(|state| state.question(id).map(|(question, behind)| (question.clone(), behind)));
            let Some((question, behind)) = asked else {
                return Err(distrust("answer", "nothing was asked under its number"));
            };
            let answered = Answered::from_wire(wire, &question);
            let answered = answered.map_err(|error| distrust("answer", error.message()))?;
            shared.events.leases().answered(&question, behind, &answered);
            shared.update(|state| state.answered(id, answered.result));
        }
        Message::Recall(wire) => {
            let (ino, keep) = recall(&wire).map_err(|error| distrust("recall", error.message()))?;
            shared.counters.recalls.fetch_add(1, Ordering::Relaxed);
            shared.update(|state| state.recalled(ino));
            shared.events.leases().recalled(ino, keep);
        }
        Message::Touched(v1::Touched { ino, atime }) => {
            let atime = atime.map(Timestamp::try_from).transpose();
            let atime = atime.map_err(|error| distrust("access time", error.message()))?;
            shared.events.leases().touched(InodeId(ino), atime);
        }
        Message::Farewell(farewell) => {
            if shared.look(|state| state.has_said_goodbye()) {
                shared.turn(State::left);
                return Ok(true);
            }
            // Whether the session is over, or the server only restarts, the next Hello will tell.
            return Err(Error::new(ErrorKind::Unavailable, format!("the server said farewell: {}", farewell.reason)));
        }
        Message::Welcome(_) => return Err(distrust("message", "a second Welcome")),
    }
    Ok(false)
}
