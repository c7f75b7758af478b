//! What the parts of a session have in common: its state, its connections, its user's wishes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use holdfast_core::error::{Error, ErrorKind, PosixError, Result};
use holdfast_core::id::{InodeId, SessionId};
use holdfast_core::session::BootTime;
use holdfast_proto::v1::client_message::Message;
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tonic::transport::Channel;

use crate::channel::Connector;
use crate::session::options::{SessionEvents, SessionInfo, SessionOptions, SessionStats};
use crate::session::ranges::ShortReads;
use crate::session::state::{Effects, StageJob, State};

/// Connections of one stream's time.
#[derive(Debug)]
pub(crate) struct Channels {
    pub(crate) control: Channel,
    data: Vec<Channel>,
    turn: AtomicUsize,
}

impl Channels {
    pub(crate) const fn new(control: Channel, data: Vec<Channel>) -> Self {
        Self { control, data, turn: AtomicUsize::new(0) }
    }

    /// The next connection for bytes of files, in turn.
    pub(crate) fn data(&self) -> Channel {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        match self.data.len() {
            0 => self.control.clone(),
            count => self.data[turn % count].clone(),
        }
    }
}

/// Where the session stands, for those who wait for a change of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkView {
    pub(crate) session: SessionId,
    pub(crate) generation: u64,
    pub(crate) up: bool,
    pub(crate) over: bool,
}

/// Figures that grow.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) ops: AtomicU64,
    pub(crate) bytes_written: AtomicU64,
    pub(crate) bytes_read: AtomicU64,
    pub(crate) reconnects: AtomicU64,
    pub(crate) losses: AtomicU64,
    pub(crate) recalls: AtomicU64,
}

/// See the module.
pub(crate) struct Shared {
    pub(crate) connector: Connector,
    pub(crate) options: SessionOptions,
    pub(crate) events: Arc<dyn SessionEvents>,
    /// Where bytes of files travel.
    pub(crate) runtime: Handle,
    pub(crate) link: watch::Sender<LinkView>,
    /// Asks the link to begin a new stream.
    pub(crate) kick: Notify,
    /// Tells the link that there is something that nobody waits for.
    pub(crate) idle: Notify,
    /// True: the link's task must end, whatever it does.
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) counters: Counters,
    pub(crate) short_reads: ShortReads,
    state: Mutex<State>,
    channels: RwLock<Arc<Channels>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("link", &*self.link.borrow()).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(
        connector: Connector,
        options: SessionOptions,
        events: Arc<dyn SessionEvents>,
        state: State,
        channels: Channels,
    ) -> Self {
        let runtime = options.bulk.clone().unwrap_or_else(Handle::current);
        Self {
            connector: connector.carrying_bytes_on(&runtime),
            options,
            events,
            runtime,
            link: watch::Sender::new(view(&state)),
            kick: Notify::new(),
            idle: Notify::new(),
            stop: watch::Sender::new(false),
            counters: Counters::default(),
            short_reads: ShortReads::default(),
            state: Mutex::new(state),
            channels: RwLock::new(Arc::new(channels)),
        }
    }

    pub(crate) fn now(&self) -> BootTime {
        self.options.clock.now()
    }

    /// Whether the server certainly still keeps the session.
    pub(crate) fn is_trusted(&self) -> bool {
        let now = self.now();
        self.look(|state| !state.is_over() && now < state.trusted_until)
    }

    /// Looks at the state.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.state.lock())
    }

    /// Changes the state, then wakes the stream if there is something for it.
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let (result, waker) = {
            let mut state = self.state.lock();
            let result = change(&mut state);
            (result, state.take_waker())
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    /// The next message for a stream. No news for anybody, so nobody is woken.
    pub(crate) fn poll_message(&self, generation: u64, cx: &Context<'_>) -> Poll<Option<Message>> {
        self.state.lock().poll_message(generation, cx)
    }

    /// Changes where the session stands, and tells those who wait for that.
    pub(crate) fn turn<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        self.update(|state| {
            let result = change(state);
            let now = view(state);
            self.link.send_if_modified(|last| std::mem::replace(last, now) != now);
            result
        })
    }

    pub(crate) fn channels(&self) -> Arc<Channels> {
        Arc::clone(&self.channels.read())
    }

    pub(crate) fn replace_channels(&self, channels: Channels) {
        *self.channels.write() = Arc::new(channels);
    }

    pub(crate) fn info(&self) -> SessionInfo {
        let (volume, terms) = self.look(|state| (state.volume, state.last_terms));
        SessionInfo { volume, root: terms.root, policy: terms.policy, epoch: terms.epoch, lease: terms.lease }
    }

    pub(crate) fn stats(&self) -> SessionStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.look(|state| SessionStats {
            ops: count(&self.counters.ops) + state.opens_told,
            bytes_written: count(&self.counters.bytes_written),
            bytes_read: count(&self.counters.bytes_read),
            reconnects: count(&self.counters.reconnects),
            losses: count(&self.counters.losses),
            recalls: count(&self.counters.recalls),
            pending_ops: state.log.len(),
            pending_bytes: state.log.weight(),
            heartbeat_rtt: state.rtt(),
            connected: state.is_up(),
        })
    }

    /// Carries out what a change of the state asks for.
    pub(crate) fn carry_out(self: &Arc<Self>, effects: Effects) {
        for op in &effects.misread {
            self.events.leases().misread(op);
        }
        for (waiter, result) in effects.ops {
            // A send fails where nobody waits any more.
            let _ = waiter.send(result);
        }
        for waiter in effects.syncs {
            let _ = waiter.send(Ok(()));
        }
        self.stage(effects.stages);
        if !effects.lost.is_empty() {
            tracing::error!(inodes = ?effects.lost, "changes that were answered are lost: the server could not carry them out, or not repeat them after it was restarted");
        }
    }

    /// Sends data that operations name.
    pub(crate) fn stage(self: &Arc<Self>, jobs: Vec<StageJob>) {
        for job in jobs {
            // Supervised by the log: the operation waits for its data, and is taken back if this fails.
            self.runtime.spawn(crate::session::stage::stage(Arc::clone(self), job));
        }
    }

    /// The session is lost: tells everybody, and begins a new one under the same handle.
    pub(crate) fn lose(&self, cause: &Error) -> Result<()> {
        let session = new_session_id()?;
        let error =
            || Error::new(ErrorKind::Posix(PosixError::Io), format!("the session was lost: {}", cause.message()));
        let lost: Vec<InodeId> = self.turn(|state| state.lose(session, &error));
        self.counters.losses.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(error = %cause, inodes = lost.len(), "session lost; a new one begins");
        self.events.session_lost(&lost);
        Ok(())
    }

    /// The session is lost, and none begins in its place.
    pub(crate) fn lose_for_good(&self, cause: &Error) {
        let message = format!("the session was lost: {}", cause.message());
        let lost = self.turn(|state| state.end(ErrorKind::Posix(PosixError::Io), message));
        self.counters.losses.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(error = %cause, inodes = lost.len(), "session lost, for good");
        self.events.session_lost(&lost);
    }

    /// The session is over for good.
    pub(crate) fn end(&self, error: &Error) {
        let lost = self.turn(|state| state.end(error.kind(), error.message().to_owned()));
        if !lost.is_empty() {
            self.events.session_lost(&lost);
        }
    }
}

fn view(state: &State) -> LinkView {
    LinkView { session: state.session, generation: state.generation, up: state.is_up(), over: state.is_over() }
}

/// 128 random bits.
pub(crate) fn new_session_id() -> Result<SessionId> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("the system gives no random bytes: {error}")))?;
    Ok(SessionId(bytes))
}
