//! The network of a simulation: streams of bytes between hosts and one server, with delays from a seed, cut
//! and healed by host. What was sent over a host that is cut arrives when it is healed, as TCP would have it;
//! what was sent to a server that is gone is answered with a reset.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher as _};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::BoxFuture;
use holdfast_client::{Network, ServerAddress, Wire};
use holdfast_tests::random::Random;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tonic::transport::server::Connected;

/// Bytes on the way that a writer may be ahead of its reader.
const AHEAD_MAX: usize = 256 << 10;

/// The network. All clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Net(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    random: Random,
    hosts: Vec<watch::Sender<bool>>,
    server: Option<mpsc::UnboundedSender<io::Result<Socket>>>,
    pipes: Vec<(usize, Weak<Pipe>)>,
    begun: Instant,
    trace: DefaultHasher,
    bytes: u64,
}

impl Net {
    pub(crate) fn new(hosts: usize, random: Random) -> Self {
        let hosts = (0..hosts).map(|_| watch::Sender::new(false)).collect();
        let (server, pipes, begun) = (None, Vec::new(), Instant::now());
        let state = State { random, hosts, server, pipes, begun, trace: DefaultHasher::new(), bytes: 0 };
        Self(Arc::new(Mutex::new(state)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server is there: its connections, as they come.
    pub(crate) fn listen(&self) -> mpsc::UnboundedReceiver<io::Result<Socket>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.lock().server = Some(sender);
        receiver
    }

    /// The server is gone: whoever talks to it hears so.
    pub(crate) fn end_server(&self) {
        self.lock().server = None;
        self.each(None, |half| half.broken = true);
    }

    /// All connections of a host are reset, as by a host that has started again.
    pub(crate) fn reset(&self, host: usize) {
        self.each(Some(host), |half| half.broken = true);
    }

    /// A host is gone for good: in silence, or so that the server hears of it.
    pub(crate) fn lose(&self, host: usize, silent: bool) {
        self.cut(host);
        if !silent {
            self.each(Some(host), |half| (half.held, half.broken) = (false, true));
        }
    }

    /// Nothing of this host arrives anywhere, and nothing at it.
    pub(crate) fn cut(&self, host: usize) {
        self.lock().hosts[host].send_replace(true);
        self.each(Some(host), |half| half.held = true);
    }

    /// It all arrives.
    pub(crate) fn heal(&self, host: usize) {
        self.lock().hosts[host].send_replace(false);
        self.each(Some(host), |half| half.held = false);
    }

    /// What has arrived until now does not count.
    pub(crate) fn begin_trace(&self) {
        let mut state = self.lock();
        state.bytes = 0;
        state.trace = DefaultHasher::new();
    }

    /// Bytes that have arrived, and a figure that is another one when anything else has, or at another time.
    pub(crate) fn trace(&self) -> (u64, u64) {
        let state = self.lock();
        (state.bytes, state.trace.finish())
    }

    /// Mixes something else into that figure.
    pub(crate) fn note(&self, what: &str) {
        self.lock().trace.write(what.as_bytes());
    }

    /// Changes all directions of all connections, or of those of a host.
    fn each(&self, host: Option<usize>, change: impl Fn(&mut Half)) {
        let mut state = self.lock();
        state.pipes.retain(|(_, pipe)| pipe.strong_count() > 0);
        let meant = state.pipes.iter().filter(|(of, _)| host.is_none_or(|host| host == *of));
        let pipes: Vec<Arc<Pipe>> = meant.filter_map(|(_, pipe)| pipe.upgrade()).collect();
        drop(state);
        pipes.iter().for_each(|pipe| pipe.update(&change));
    }

    /// How long something is on its way.
    fn delay(&self) -> Duration {
        let random = &mut self.lock().random;
        Duration::from_millis(if random.percent(4) { 5 + random.below(60) } else { random.below(3) })
    }

    fn arrived(&self, bytes: &[u8]) {
        let mut state = self.lock();
        let at = state.begun.elapsed();
        state.bytes += bytes.len() as u64;
        state.trace.write(bytes);
        state.trace.write_u128(at.as_nanos());
    }

    async fn connect(self, host: usize) -> io::Result<Socket> {
        let mut cut = self.lock().hosts[host].subscribe();
        let gone = || io::Error::from(io::ErrorKind::ConnectionRefused);
        for _ in 0..2 {
            cut.wait_for(|cut| !cut).await.map_err(|_| gone())?;
            sleep(self.delay()).await;
        }
        let mut state = self.lock();
        let (to, from) = (Arc::new(Pipe::default()), Arc::new(Pipe::default()));
        let socket = |read: &Arc<Pipe>, write: &Arc<Pipe>| Socket {
            net: self.clone(),
            read: Arc::clone(read),
            write: Arc::clone(write),
            timer: Box::pin(sleep(Duration::ZERO)),
        };
        let (ours, theirs) = (socket(&from, &to), socket(&to, &from));
        let server = state.server.clone().ok_or_else(gone)?;
        let held = *state.hosts[host].borrow();
        for pipe in [&to, &from] {
            pipe.lock().held = held;
            state.pipes.push((host, Arc::downgrade(pipe)));
        }
        drop(state);
        server.send(Ok(theirs)).map_err(|_| gone())?;
        Ok(ours)
    }
}

/// The network as one host sees it.
#[derive(Debug)]
pub(crate) struct FromHost {
    pub(crate) net: Net,
    pub(crate) host: usize,
}

impl Network for FromHost {
    fn connect(&self, _to: &ServerAddress) -> BoxFuture<'static, io::Result<Box<dyn Wire>>> {
        let connected = self.net.clone().connect(self.host);
        Box::pin(async move { connected.await.map(|socket| Box::new(socket) as Box<dyn Wire>) })
    }
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Pipe(Mutex<Half>);

#[derive(Debug, Default)]
struct Half {
    /// What is on its way, each with the time at which it arrives.
    queue: VecDeque<(Instant, VecDeque<u8>)>,
    bytes: usize,
    /// Nothing more will be sent.
    ended: bool,
    /// Nobody reads.
    deaf: bool,
    broken: bool,
    held: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, Half> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl Fn(&mut Half)) {
        let mut half = self.lock();
        change(&mut half);
        let woken = [half.reader.take(), half.writer.take()];
        drop(half);
        woken.into_iter().flatten().for_each(Waker::wake);
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Socket {
    net: Net,
    read: Arc<Pipe>,
    write: Arc<Pipe>,
    timer: Pin<Box<Sleep>>,
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let pipe = Arc::clone(&self.read);
            let mut half = pipe.lock();
            half.reader = Some(cx.waker().clone());
            if half.held {
                return Poll::Pending;
            }
            if half.broken {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            let Some((due, bytes)) = half.queue.front_mut() else {
                return if half.ended { Poll::Ready(Ok(())) } else { Poll::Pending };
            };
            if *due > Instant::now() {
                let due = *due;
                drop(half);
                self.timer.set(sleep_until(due));
                std::task::ready!(self.timer.as_mut().poll(cx));
                continue;
            }
            let len = bytes.len().min(buf.remaining());
            let taken: Vec<u8> = bytes.drain(..len).collect();
            if bytes.is_empty() {
                half.queue.pop_front();
            }
            half.bytes -= len;
            let writer = half.writer.take();
            drop(half);
            writer.into_iter().for_each(Waker::wake);
            self.net.arrived(&taken);
            buf.put_slice(&taken);
            return Poll::Ready(Ok(()));
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let delay = self.net.delay();
        let mut half = self.write.lock();
        if half.broken && !half.held {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if half.deaf {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if half.bytes >= AHEAD_MAX {
            half.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let due = Instant::now() + delay;
        let due = half.queue.back().map_or(due, |(last, _)| due.max(*last));
        half.queue.push_back((due, bytes.iter().copied().collect()));
        half.bytes += bytes.len();
        let reader = half.reader.take();
        drop(half);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write.update(|half| half.ended = true);
        Poll::Ready(Ok(()))
    }
}

impl Connected for Socket {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.write.update(|half| half.ended = true);
        self.read.update(|half| half.deaf = true);
    }
}
