//! A host of a simulation with a mount: a session, what it remembers under its leases, and the file system
//! above, without a kernel.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use holdfast_client::session::{Session, SessionOptions};
use holdfast_client::{BootClock, Client, Clock, Endpoint, ServerAddress, VolumeRef};
use holdfast_core::error::Result;
use holdfast_core::id::InodeId;
use holdfast_core::name::VolumeName;
use holdfast_core::session::BootTime;
use holdfast_core::volume::{MountPolicy, Quota, VolumeSpec};
use holdfast_fuse::fs::FileSystem;
use holdfast_tests::hears::Hears;

use crate::net::{FromHost, Net};

/// The volume of a simulation.
fn volume() -> VolumeName {
    "v".parse().unwrap()
}

/// The boot-time clock of one host.
#[derive(Debug, Default)]
pub(crate) struct HostClock(Mutex<Skew>);

#[derive(Clone, Copy, Debug, Default)]
struct Skew {
    ahead: Duration,
    stands_at: Option<BootTime>,
}

impl HostClock {
    /// The host slept, and its clock went on.
    pub(crate) fn jump(&self, by: Duration) {
        self.0.lock().unwrap().ahead += by;
    }

    /// It stands still from now on: which no boot-time clock does, and leases rely on that.
    pub(crate) fn stop(&self) {
        let now = self.now();
        self.0.lock().unwrap().stands_at = Some(now);
    }
}

impl Clock for HostClock {
    fn now(&self) -> BootTime {
        let Skew { ahead, stands_at } = *self.0.lock().unwrap();
        stands_at.unwrap_or_else(|| BootTime(BootClock.now().0 + ahead))
    }
}

/// A host with a mount.
pub(crate) struct Host {
    pub(crate) fs: FileSystem,
    pub(crate) clock: Arc<HostClock>,
    losses: Arc<AtomicUsize>,
}

fn endpoint(net: &Net, host: usize) -> Endpoint {
    let network = Arc::new(FromHost { net: net.clone(), host });
    Endpoint { network: Some(network), ..Endpoint::plain(ServerAddress::local()) }
}

/// Makes the volume.
///
/// # Errors
/// The server's.
pub(crate) async fn make_volume(net: &Net, host: usize) -> Result<()> {
    let (quota, labels) = (Quota { bytes: None, inodes: None }, [].into());
    let policy = MountPolicy { allow_suid: false, allow_dev: false };
    let spec = VolumeSpec { name: volume(), quota, labels, policy };
    Client::connect(&endpoint(net, host)).await?.create_volume(&spec).await.map(|_| ())
}

impl Host {
    /// Mounts the volume.
    ///
    /// # Errors
    /// Why there is no session.
    pub(crate) async fn mount(net: &Net, host: usize) -> Result<Self> {
        let (hears, clock) = (Hears::default(), Arc::new(HostClock::default()));
        let (memory, losses) = (Arc::clone(&hears.memory), Arc::clone(&hears.losses));
        let options = SessionOptions {
            host: format!("h{host}"),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ..SessionOptions::default()
        };
        let volume = VolumeRef::Name(volume());
        let session = Session::open(&endpoint(net, host), &volume, options, Arc::new(hears)).await?;
        Ok(Self { fs: FileSystem::new(session, InodeId::ROOT, memory), clock, losses })
    }

    /// How often its session was lost.
    pub(crate) fn losses(&self) -> usize {
        self.losses.load(Ordering::Relaxed)
    }

    /// Unmounts.
    ///
    /// # Errors
    /// When something may be lost.
    pub(crate) async fn unmount(self) -> Result<()> {
        let session = self.fs.session().clone();
        drop(self.fs);
        session.close().await
    }
}
