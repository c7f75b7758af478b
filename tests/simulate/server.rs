//! The server of a simulation: starts, ends in order, is killed, loses its power, and dies of its disk.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::error::Result;
use holdfast_server::Fatal;
use holdfast_server::clock::SystemClock;
use holdfast_server::config::{Config, LeaseTimes};
use holdfast_server::run::{Components, Server, run_on};
use holdfast_server::store::{SharedMemory, StoreOptions};
use holdfast_server::stores::Committer;
use holdfast_tests::random::Random;
use std::sync::Mutex;
use tokio::sync::watch;
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::disk::{Disk, Plug, Plugged};
use crate::net::Net;

/// Leases of the simulation: everything that waits for them is soon over.
pub(crate) const LEASE: Duration = Duration::from_secs(2);
const HEARTBEAT: Duration = Duration::from_millis(400);

/// A host with a disk, on which a server runs or not.
pub(crate) struct ServerHost {
    net: Net,
    disk: Disk,
    dir: PathBuf,
    random: Random,
    running: Option<Running>,
}

struct Running {
    server: Server,
    plug: Arc<Plug>,
    died: watch::Receiver<bool>,
}

/// How a server goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As SIGTERM does.
    Stopped,
    /// As SIGKILL does.
    Killed,
    /// What was not synced is gone with it.
    PowerLost,
}

impl ServerHost {
    /// A host with an empty disk. What the server keeps beside its volumes, a few small files, is in `dir`.
    pub(crate) fn new(net: &Net, random: Random, dir: PathBuf, disk: Disk) -> Self {
        Self { net: net.clone(), disk, dir, random, running: None }
    }

    /// Starts a server, which then takes connections.
    ///
    /// # Errors
    /// The server's.
    pub(crate) async fn start(&mut self) -> Result<()> {
        let plug = Plug::new(&self.disk);
        let (died, dies) = watch::channel(false);
        let fatal = {
            let (plug, net) = (Arc::clone(&plug), self.net.clone());
            Fatal::with(move |_| {
                plug.pull();
                net.end_server();
                died.send_replace(true);
            })
        };
        let latency = Mutex::new(Random::new(self.random.bits()));
        let committer = Committer::Task(Arc::new(move || {
            let random = &mut latency.lock().unwrap();
            Duration::from_millis(if random.percent(5) { random.below(150) } else { random.below(4) })
        }));
        let stores = Arc::new(Plugged(Arc::clone(&plug)));
        let components = Components { clock: Arc::new(SystemClock), fatal, stores, committer };
        let mut config = Config::local(&self.dir);
        config.lease = LeaseTimes { lease: LEASE, heartbeat: HEARTBEAT };
        // Others are shown what is durable, and lent that: with an early commit there are leases, with a late one
        // there is something to lose.
        if self.random.percent(50) {
            config.commit.age_max = Duration::from_millis(2);
        }
        let server = run_on(config, components, UnboundedReceiverStream::new(self.net.listen())).await?;
        self.running = Some(Running { server, plug, died: dies });
        Ok(())
    }

    /// Ends the server that runs, if one does.
    ///
    /// # Errors
    /// When it could not end in order.
    pub(crate) async fn end(&mut self, how: End) -> Result<()> {
        let Some(Running { server, plug, .. }) = self.running.take() else { return Ok(()) };
        let ended = match how {
            End::Stopped => server.stop().await,
            End::Killed | End::PowerLost => {
                plug.pull();
                self.net.end_server();
                server.abandon().await;
                Ok(())
            }
        };
        plug.pull();
        self.net.end_server();
        if how == End::PowerLost {
            self.disk.lose_power();
        }
        ended
    }

    /// Has the disk fail at one of its next steps, and waits until the server has died of it.
    pub(crate) async fn fail_disk(&mut self) {
        let (steps, done_though) = (self.random.below(6), self.random.percent(50));
        let Some(running) = &mut self.running else { return };
        running.plug.fail_after(u32::try_from(steps).unwrap_or(0), done_though);
        // It fails only if somebody needs it.
        let died = tokio::time::timeout(LEASE, running.died.wait_for(|died| *died)).await;
        tracing::debug!(died = died.is_ok(), "the disk was told to fail");
    }

    /// What a metadata check of the disk finds wrong, opened by nobody.
    ///
    /// # Errors
    /// The store's.
    pub(crate) fn findings(&self) -> Result<Vec<String>> {
        self.disk.findings(&StoreOptions {
            memory: SharedMemory::new(9 << 20, 8 << 20),
            disk_reserve_bytes: 0,
            segment_bytes_max: 256 << 20,
            engine_files_max: 16,
        })
    }
}
