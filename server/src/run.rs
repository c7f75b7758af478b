//! The composition root: settings in, a running server out.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::error::{Error, ErrorKind, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tonic::transport::server::{Connected, Router};
use tracing::{info, warn};

use crate::clock::{Clock, SystemClock};
use crate::compaction;
use crate::config::{Config, TICK};
use crate::data_dir::{DataDir, replace_file};
use crate::fatal::Fatal;
use crate::integrity::schedule;
use crate::offload::blocking;
use crate::registry::Registry;
use crate::rpc::{self, About, Incoming};
use crate::stores::{Committer, DiskStores, Stores};

/// How long connections may take to end when the server stops.
const CONNECTIONS_END_TIME_MAX: Duration = Duration::from_secs(3);

/// What a server is built from, beside its settings.
#[derive(Clone, Debug)]
pub struct Components {
    /// Where it reads the time.
    pub clock: Arc<dyn Clock>,
    /// What it does when it must not go on.
    pub fatal: Fatal,
    /// What keeps its volumes.
    pub stores: Arc<dyn Stores>,
    /// Who commits for them.
    pub committer: Committer,
}

impl Default for Components {
    /// The machine's clocks and disk; the process ends.
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            fatal: Fatal::abort(),
            stores: Arc::new(DiskStores),
            committer: Committer::Thread,
        }
    }
}

/// A server that runs. Stop it with [`Server::stop`]; dropped, it goes on until the runtime ends.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    registry: Arc<Registry>,
    stopping: watch::Sender<bool>,
    serving: JoinHandle<Result<()>>,
    ticking: JoinHandle<()>,
    scrubbing: JoinHandle<()>,
    compacting: JoinHandle<()>,
}

/// Starts a server: takes the data directory, listens, serves.
///
/// # Errors
/// `Invalid` for settings that cannot be; `InUse` for a data directory or address that somebody
/// else has; `Version` for a data directory of another version.
pub async fn run(config: Config, components: Components) -> Result<Server> {
    let prepared = Prepared::new(&config, components).await?;
    let listener = TcpListener::bind(config.listen).await.map_err(|error| cannot_listen(config.listen, error))?;
    let address = listener.local_addr().map_err(|error| cannot_listen(config.listen, error))?;
    if let Some(path) = &config.port_file {
        write_port_file(path, address)?;
    }
    let incoming = Incoming::new(listener, config.limits.connections);
    Ok(prepared.serve(&config, address, incoming))
}

/// The same with connections that come from elsewhere, for a simulated network. What `listen` says is its
/// address, and nothing listens there.
///
/// # Errors
/// As for [`run`].
pub async fn run_on<S, C>(config: Config, components: Components, connections: S) -> Result<Server>
where
    S: Stream<Item = io::Result<C>> + Send + 'static,
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    C::ConnectInfo: Clone + Send + Sync + 'static,
{
    let prepared = Prepared::new(&config, components).await?;
    Ok(prepared.serve(&config, config.listen, connections))
}

/// A server that has its data directory and serves nobody yet.
struct Prepared {
    registry: Arc<Registry>,
    router: Router,
}

impl Prepared {
    async fn new(config: &Config, components: Components) -> Result<Self> {
        config.check()?;
        let started = components.clock.now();
        let (data, times, commit, limits) = (config.data.clone(), config.lease, config.commit, config.limits);
        let registry = blocking(move || {
            let data = DataDir::open(&data)?;
            Registry::load(data, times, commit, limits, components)
        });
        let registry = Arc::new(registry.await?);
        let about = About { started, tls: config.tls.is_some(), scrub_rate: config.scrub.bytes_per_second };
        let router = rpc::router(config, &registry, about)?;
        Ok(Self { registry, router })
    }

    fn serve<S, C>(self, config: &Config, address: SocketAddr, connections: S) -> Server
    where
        S: Stream<Item = io::Result<C>> + Send + 'static,
        C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
        C::ConnectInfo: Clone + Send + Sync + 'static,
    {
        let Self { registry, router } = self;
        info!(
            %address,
            data = %config.data.display(),
            volumes = registry.len(),
            tls = config.tls.is_some(),
            token = config.token.is_some(),
            lease = ?config.lease.lease,
            version = crate::VERSION,
            "serving"
        );
        let (stopping, stop) = watch::channel(false);
        let mut stop_serving = stop.clone();
        let serving = tokio::spawn(async move {
            let stopped = async move {
                // An error means that the server's handle is gone: then it runs as long as the runtime.
                if stop_serving.wait_for(|stop| *stop).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            router
                .serve_with_incoming_shutdown(connections, stopped)
                .await
                .map_err(|error| Error::new(ErrorKind::Internal, "serving connections failed").because(error))
        });
        let ticking = tokio::spawn(tick(Arc::clone(&registry), stop.clone()));
        let scrubbing = tokio::spawn(schedule::run(Arc::clone(&registry), config.scrub, stop.clone()));
        let compacting = tokio::spawn(compaction::schedule::run(Arc::clone(&registry), config.compact, stop));
        Server { address, registry, stopping, serving, ticking, scrubbing, compacting }
    }
}

async fn tick(registry: Arc<Registry>, stop: watch::Receiver<bool>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !*stop.borrow() {
        interval.tick().await;
        registry.tick();
    }
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops: no new connections, streams end, everything applied becomes durable, and each volume
    /// is marked as left in order.
    ///
    /// # Errors
    /// When something could not be made durable.
    pub async fn stop(self) -> Result<()> {
        self.stopping.send_replace(true);
        let closed = self.registry.stop().await;
        let mut serving = self.serving;
        if tokio::time::timeout(CONNECTIONS_END_TIME_MAX, &mut serving).await.is_err() {
            warn!("some connections did not end in time and are cut");
            serving.abort();
            let _ = serving.await;
        }
        let _ = self.ticking.await;
        // What they were at has ended with its volume.
        let _ = self.scrubbing.await;
        let _ = self.compacting.await;
        closed
    }

    /// Stops at once and commits nothing, as `kill -9` would: for tests.
    pub async fn abandon(self) {
        self.serving.abort();
        self.ticking.abort();
        self.scrubbing.abort();
        self.compacting.abort();
        let _ = self.serving.await;
        let _ = self.ticking.await;
        let _ = self.scrubbing.await;
        let _ = self.compacting.await;
        self.registry.abandon().await;
    }
}

fn cannot_listen(address: SocketAddr, error: io::Error) -> Error {
    let (kind, advice) = match error.kind() {
        io::ErrorKind::AddrInUse => (ErrorKind::InUse, "; stop who uses it, or choose another with --listen"),
        io::ErrorKind::PermissionDenied => (ErrorKind::Denied, "; choose a port from 1024 on"),
        _ => (ErrorKind::Invalid, "; choose an address of this machine with --listen"),
    };
    Error::new(kind, format!("cannot listen on {address}: {error}{advice}")).because(error)
}

fn write_port_file(path: &Path, address: SocketAddr) -> Result<()> {
    replace_file(path, format!("{address}\n").as_bytes())
}
