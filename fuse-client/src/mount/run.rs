//! The life of a mount in this process: checks, session, mount(2), serving, and the end, at which
//! everything that programs were told is made durable.

use std::num::NonZero;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use holdfast_client::{Endpoint, Session, SessionOptions};
use holdfast_core::attr::FileKind;
use holdfast_core::error::{Error, ErrorKind, PosixError, Result};
use holdfast_core::id::InodeId;
use holdfast_core::volume::MountPolicy;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use super::access::MountAccess;
use super::events::MountEvents;
use super::figures::{self, Served};
use super::options::MountOptions;
use super::point::MountPoint;
use super::record::MountRecord;
use super::source::MountSource;
use super::{readahead, table};
use crate::disk::DiskCache;
use crate::fs::FileSystem;
use crate::fuse::{Connection, Device, Ended, Notifier, Settings};
use crate::stats::{MountFigures, SessionFigures, Stats};
use crate::unmount;

/// How long the end of a mount waits for the server to have everything on disk.
pub const CLOSE_DEADLINE: Duration = Duration::from_secs(60);
/// How long a mount that was told to stop waits for programs to let its files go.
const BUSY_DEADLINE: Duration = Duration::from_secs(5);

/// What to mount, where and how.
#[derive(Clone, Debug)]
pub struct MountConfig {
    /// What. Its server is not used: the endpoint says where that is.
    pub source: MountSource,
    /// Where.
    pub point: PathBuf,
    /// How.
    pub options: MountOptions,
    /// This host's name, for people and logs.
    pub host: String,
    /// This program's name, for people and logs.
    pub program: String,
    /// Where the host keeps records of its mounts; `None`: none is kept.
    pub run_dir: Option<PathBuf>,
}

/// A mount that works.
#[derive(Debug)]
pub struct Mount {
    fs: FileSystem,
    connection: Connection,
    /// The kernel's side is gone; its number may be another mount's by now.
    over: bool,
    point: PathBuf,
    minor: u32,
    stats: Arc<Stats>,
    record: Option<(MountRecord, PathBuf)>,
    /// Tells people how the mount does.
    figures: Option<Served>,
}

/// Mounts and serves in the foreground, with a runtime of its own. Returns when the mount was
/// unmounted, or after SIGTERM or SIGINT, and everything is durable. `ready` is called when the
/// mount works.
///
/// # Errors
/// Those of [`Mount::start`] and [`Mount::finish`].
pub fn run_mount(endpoint: &Endpoint, config: &MountConfig, ready: impl FnOnce(&Mount)) -> Result<()> {
    holdfast_client::allocator::expect_messages();
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let runtime = threads("holdfast", if processors > 4 { 2 } else { 1 })?;
    let bulk = threads("bulk", (processors / 2).max(1))?;
    let ended = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(|error| internal("cannot watch signals", error))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| internal("cannot watch signals", error))?;
        let mut mount = tokio::select! {
            mount = Mount::start(endpoint, config, bulk.handle()) => mount?,
            _ = terminate.recv() => return Err(stopped()),
            _ = interrupt.recv() => return Err(stopped()),
        };
        ready(&mount);
        tokio::select! {
            _ = mount.ended() => {}
            _ = terminate.recv() => mount.detach().await,
            _ = interrupt.recv() => mount.detach().await,
        }
        mount.finish(CLOSE_DEADLINE).await
    });
    // Requests that still wait belong to an aborted connection: nobody waits for them.
    runtime.shutdown_timeout(Duration::from_secs(1));
    bulk.shutdown_timeout(Duration::from_secs(1));
    ended
}

/// Threads for tasks. As few as do: one that wakes another is a detour on the way of each message.
fn threads(name: &str, count: usize) -> Result<Runtime> {
    let runtime = Builder::new_multi_thread().enable_all().worker_threads(count).thread_name(name).build();
    runtime.map_err(|error| internal("cannot start threads", error))
}

impl Mount {
    /// Checks everything, opens a session and mounts. The current runtime serves it, and `bulk` carries
    /// bytes of files.
    ///
    /// # Errors
    /// `NotFound`: no such volume, subdirectory or mount point. `InUse`: the mount point is busy.
    /// `Unavailable`: no `/dev/fuse`, or the server cannot be reached. `Denied`: not root, or the
    /// volume's policy forbids `suid` or `dev`. As [`DiskCache::open`], and others as in [`Session::open`].
    pub async fn start(endpoint: &Endpoint, config: &MountConfig, bulk: &Handle) -> Result<Self> {
        let point = MountPoint::check(&config.point)?;
        let device = Device::open().map_err(|error| no_device(&error).because(error))?;
        let size = config.options.cache_size;
        let disk = config.options.cache.as_ref().map(|dir| DiskCache::open(dir, size, bulk.clone())).transpose()?;
        let events = Arc::new(MountEvents::default());
        let options = SessionOptions {
            host: config.host.clone(),
            program: config.program.clone(),
            read_only: config.options.read_only,
            exclusive: config.options.exclusive,
            patience: config.options.patience,
            bulk: Some(bulk.clone()),
            ..SessionOptions::default()
        };
        let opened = Session::open(endpoint, &config.source.volume, options, Arc::clone(&events) as _);
        let session = opened.await?;
        let mounted = Self::mount(endpoint, config, &point, device, (session.clone(), disk), &events).await;
        if mounted.is_err() {
            // The reason why it could not be mounted counts, not how the session ends.
            let _ = tokio::time::timeout(BUSY_DEADLINE, session.close()).await;
        }
        mounted
    }

    async fn mount(
        endpoint: &Endpoint,
        config: &MountConfig,
        point: &MountPoint,
        device: Device,
        (session, disk): (Session, Option<Arc<DiskCache>>),
        events: &MountEvents,
    ) -> Result<Self> {
        let info = session.info();
        let flags = flags(&config.options, info.policy)?;
        let root = find_root(&session, info.root, &config.source).await?;
        let source = MountSource { server: Some(endpoint.address.clone()), ..config.source.clone() }.to_string();
        mount_kernel(&device, &source, point.path(), flags)?;
        let fs = FileSystem::with_versions(session, root, Arc::clone(&events.memory), Arc::clone(&events.versions));
        if let Some(disk) = disk {
            fs.read_through(disk);
        }
        let stats = Arc::new(Stats::default());
        let mut settings = Settings::default();
        settings.alone = config.options.exclusive;
        settings.threads = config.options.threads.unwrap_or(settings.threads);
        let started = Connection::start(device, fs.clone(), Handle::current(), settings, Arc::clone(&stats));
        let connection = started.map_err(|error| {
            detach(point.path());
            Error::new(ErrorKind::Unavailable, format!("cannot talk to the kernel's FUSE: {error}")).because(error)
        })?;
        events.attach(fs.clone(), connection.notifier().clone(), Handle::current());
        let minor = match table::at(point.path()) {
            Ok(Some(mount)) if mount.is_holdfast() => mount.minor,
            _ => {
                detach(point.path());
                let message = format!("the mount on {} was taken away as soon as it was made", point.path().display());
                return Err(Error::new(ErrorKind::Unavailable, message));
            }
        };
        if config.options.exclusive {
            events.alone(minor);
        }
        readahead::set(minor, config.options.readahead);
        fs.move_access_times(MountAccess::new(minor, point.path().to_owned()));
        let record = config.run_dir.as_ref().map(|run_dir| {
            let record = MountRecord::of_this_process(minor, point.path(), source.clone());
            if let Err(error) = record.write(run_dir) {
                tracing::warn!(run_dir = %run_dir.display(), %error, "cannot record the mount; umount will not wait for it");
            }
            (record, run_dir.clone())
        });
        let figures = record.as_ref().and_then(|(record, run_dir)| {
            let tell = tell_figures(fs.clone(), Arc::clone(&stats), record.clone());
            let served = figures::serve(run_dir, record, tell);
            let failed =
                |error| tracing::warn!(run_dir = %run_dir.display(), %error, "holdfast stats cannot ask this mount");
            served.map_err(failed).ok()
        });
        tracing::info!(source, point = %point.path().display(), read_only = config.options.read_only, "mounted");
        Ok(Self { fs, connection, over: false, point: point.path().to_owned(), minor, stats, record, figures })
    }

    /// The file system that is mounted.
    #[must_use]
    pub const fn fs(&self) -> &FileSystem {
        &self.fs
    }

    /// Where it is mounted.
    #[must_use]
    pub fn point(&self) -> &Path {
        &self.point
    }

    /// What it has counted.
    #[must_use]
    pub const fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Tells the kernel to drop what it caches.
    #[must_use]
    pub fn notifier(&self) -> &Notifier {
        self.connection.notifier()
    }

    /// Waits until it is unmounted, by whomever.
    pub async fn ended(&mut self) -> Ended {
        let ended = self.connection.ended().await;
        self.over = true;
        ended
    }

    /// Takes it out of the tree of files at once, and waits a little for programs that still use it.
    pub async fn detach(&mut self) {
        detach(&self.point);
        if tokio::time::timeout(BUSY_DEADLINE, self.ended()).await.is_err() {
            tracing::warn!(point = %self.point.display(), "programs still use files of the mount; they will get errors");
        }
    }

    /// Ends the session: everything is made durable. Then nothing of the mount is left.
    ///
    /// # Errors
    /// `Timeout` when the server does not answer within the deadline: what was not durable is lost,
    /// and the message says how much.
    pub async fn finish(mut self, deadline: Duration) -> Result<()> {
        let session = self.fs.session().clone();
        self.figures = None;
        self.write_record(|record| record.closing = true);
        let closed = match tokio::time::timeout(deadline, session.clone().close()).await {
            Ok(closed) => closed,
            Err(_) => Err(Error::new(ErrorKind::Timeout, "the server does not answer")),
        };
        let pending = session.stats().pending_ops;
        if !self.over {
            // For programs that still hold files: an error is better than a wait without end.
            unmount::abort(self.minor);
        }
        self.connection.notifier().stop();
        let ended = closed.map_err(|error| {
            let what =
                if pending == 0 { String::new() } else { format!("; {pending} changes that were not synced are lost") };
            let message = format!("the mount on {} ended without its server: {error}{what}", self.point.display());
            Error::new(error.kind(), message).because(error)
        });
        match (&ended, &self.record) {
            (Ok(()), Some((record, run_dir))) => record.remove(run_dir),
            (Err(error), _) => self.write_record(|record| {
                record.closing = true;
                record.lost = Some(error.to_string());
            }),
            (Ok(()), None) => {}
        }
        match &ended {
            Ok(()) => tracing::info!(point = %self.point.display(), "unmounted; everything is durable"),
            Err(error) => tracing::error!(%error, "unmounted"),
        }
        ended
    }

    fn write_record(&self, change: impl FnOnce(&mut MountRecord)) {
        let Some((record, run_dir)) = &self.record else { return };
        let mut record = record.clone();
        change(&mut record);
        if let Err(error) = record.write(run_dir) {
            tracing::warn!(run_dir = %run_dir.display(), %error, "cannot record the state of the mount");
        }
    }
}

/// What a mount says of itself, at any time.
fn tell_figures(fs: FileSystem, stats: Arc<Stats>, record: MountRecord) -> impl Fn() -> MountFigures + Send + 'static {
    let begun = Instant::now();
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    move || {
        let session = fs.session().stats();
        MountFigures {
            source: record.source.clone(),
            point: record.point.clone(),
            pid: record.pid,
            age_us: micros(begun.elapsed()),
            requests: stats.snapshot(),
            memory: fs.memory_figures(),
            cache: fs.cache_figures(),
            session: SessionFigures {
                connected: session.connected,
                reconnects: session.reconnects,
                losses: session.losses,
                heartbeat_us: session.heartbeat_rtt.map(micros),
                recalls: session.recalls,
                changes: session.ops,
                pending_changes: session.pending_ops as u64,
                pending_bytes: session.pending_bytes as u64,
                bytes_read: session.bytes_read,
                bytes_written: session.bytes_written,
            },
        }
    }
}

/// Mount flags: safe unless the volume's policy and the options agree on less.
fn flags(options: &MountOptions, policy: MountPolicy) -> Result<MsFlags> {
    let mut flags = options.flags;
    let choose = |asked: Option<bool>, allowed: bool, name: &str| match asked {
        Some(true) if !allowed => Err(Error::new(
            ErrorKind::Denied,
            format!(
                "mount option {name} is not allowed by the volume's policy; leave it out, or make the volume with {name} allowed"
            ),
        )),
        asked => Ok(asked.unwrap_or(allowed)),
    };
    flags.set(MsFlags::MS_NOSUID, !choose(options.suid, policy.allow_suid, "suid")?);
    flags.set(MsFlags::MS_NODEV, !choose(options.dev, policy.allow_dev, "dev")?);
    flags.set(MsFlags::MS_RDONLY, options.read_only);
    Ok(flags)
}

async fn find_root(session: &Session, root: InodeId, source: &MountSource) -> Result<InodeId> {
    let mut ino = root;
    for name in source.subdir.names() {
        let missing = |why: &str| {
            Error::new(
                ErrorKind::NotFound,
                format!("volume {} has no directory {} ({name} {why}); make it first", source.volume, source.subdir),
            )
        };
        let attr = session.lookup(ino, name).await.map_err(|error| match error.kind() {
            ErrorKind::Posix(PosixError::NoEntry) => missing("is not there"),
            ErrorKind::Posix(PosixError::NotDirectory) => missing("has no directory above it"),
            _ => error,
        })?;
        if attr.kind != FileKind::Directory {
            return Err(missing("is not a directory"));
        }
        ino = attr.ino;
    }
    Ok(ino)
}

fn mount_kernel(device: &Device, source: &str, point: &Path, flags: MsFlags) -> Result<()> {
    let fd = device.as_fd().as_raw_fd();
    let data = format!("fd={fd},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other,subtype=holdfast");
    nix::mount::mount(Some(source), point, Some("fuse"), flags, Some(data.as_str())).map_err(|errno| {
        let (kind, hint) = match errno {
            Errno::EPERM | Errno::EACCES => (ErrorKind::Denied, "; mounting needs root (CAP_SYS_ADMIN)"),
            Errno::EBUSY => (ErrorKind::InUse, "; something else is being mounted there"),
            Errno::ENODEV => (ErrorKind::Unavailable, "; the kernel has no FUSE: try modprobe fuse"),
            _ => (ErrorKind::Unavailable, ""),
        };
        Error::new(kind, format!("cannot mount on {}: {errno}{hint}", point.display())).because(errno)
    })
}

fn detach(point: &Path) {
    match nix::mount::umount2(point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
        Err(error) => tracing::warn!(point = %point.display(), %error, "cannot unmount"),
    }
}

fn no_device(error: &std::io::Error) -> Error {
    let hint = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) => {
            "it does not exist; load the kernel's FUSE with modprobe fuse, or give the container the device"
        }
        Some(Errno::EPERM | Errno::EACCES) => "this user may not open it; run as root",
        _ => "load the kernel's FUSE with modprobe fuse",
    };
    Error::new(ErrorKind::Unavailable, format!("cannot open /dev/fuse ({error}): {hint}"))
}

fn internal(what: &str, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("{what}: {error}")).because(error)
}

fn stopped() -> Error {
    Error::new(ErrorKind::Unavailable, "stopped by a signal before the mount was ready")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
    use super::*;

    #[test]
    fn mounts_are_nosuid_and_nodev_unless_the_volume_allows_them() {
        let strict = MountPolicy::default();
        let loose = MountPolicy { allow_suid: true, allow_dev: true };
        let parse = |list| MountOptions::parse(list).unwrap();
        let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        assert_eq!(flags(&parse(""), strict).unwrap(), safe);
        assert_eq!(flags(&parse("ro,noexec"), strict).unwrap(), safe | MsFlags::MS_RDONLY | MsFlags::MS_NOEXEC);
        assert_eq!(flags(&parse(""), loose).unwrap(), MsFlags::empty());
        assert_eq!(flags(&parse("nosuid,nodev"), loose).unwrap(), safe);
        let error = flags(&parse("suid"), strict).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.to_string().contains("suid"));
    }
}
