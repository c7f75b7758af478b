//! Settings of `holdfastd`, read from the command line, the environment and a file, and checked.
//!
//! The first of these that says something wins: flag, environment variable, file, default. Nothing
//! here opens a socket or changes a file.

mod args;
mod compact;
mod duration;
mod file;

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::session::{HEARTBEAT_DEFAULT, LEASE_DEFAULT};

use crate::store::Pending;

/// How often leases and deadlines are looked at.
pub(crate) const TICK: Duration = Duration::from_millis(50);

pub use args::{Args, Command, DumpArgs};
pub use compact::CompactPolicy;

/// Where a server listens unless told otherwise.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:7440";

/// Everything that a server is told, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data directory.
    pub data: PathBuf,
    /// Where it listens; port 0: any free one.
    pub listen: SocketAddr,
    /// Certificates; there must be some unless `listen` is a loopback address.
    pub tls: Option<TlsFiles>,
    /// What every call must bear.
    pub token: Option<Token>,
    /// Where the chosen address is written once the server listens.
    pub port_file: Option<PathBuf>,
    /// How sessions are kept.
    pub lease: LeaseTimes,
    /// When applied operations are made durable.
    pub commit: CommitPolicy,
    /// When volumes are scrubbed though nobody asks for it.
    pub scrub: ScrubPolicy,
    /// When volumes are compacted.
    pub compact: CompactPolicy,
    /// How much of everything.
    pub limits: Limits,
    /// How it logs.
    pub log: LogSettings,
}

/// Files for TLS with certificates on both sides, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authority that signs clients' certificates.
    pub ca: PathBuf,
    /// The server's certificate, and those between it and the authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A secret that clients share with the server. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A checked token: 16 to 1024 printable ASCII characters without spaces.
    ///
    /// # Errors
    /// `Invalid`, which does not repeat it.
    pub fn new(text: &str) -> Result<Self> {
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        if printable && (16..=1024).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(invalid("a token has 16 to 1024 printable ASCII characters without spaces"))
        }
    }

    /// Whether this is it. Takes the same time wherever they differ.
    #[must_use]
    pub fn matches(&self, offered: &str) -> bool {
        let (mine, theirs) = (self.0.as_bytes(), offered.as_bytes());
        let differences = mine
            .iter()
            .enumerate()
            .fold(0u8, |seen, (at, byte)| seen | (byte ^ theirs.get(at).copied().unwrap_or(!byte)));
        std::hint::black_box(differences) == 0 && mine.len() == theirs.len()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// How long sessions are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    /// Length without renewal, 200 ms to 5 minutes.
    pub lease: Duration,
    /// Between two heartbeats: a fifth of it.
    pub heartbeat: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self { lease: LEASE_DEFAULT, heartbeat: HEARTBEAT_DEFAULT }
    }
}

/// When applied operations are made durable though nobody asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitPolicy {
    /// At the latest so long after they were applied.
    pub age_max: Duration,
    /// As soon as they take so many bytes of memory.
    pub bytes: u64,
    /// As soon as they name so many bytes of staged data: what its writer keeps until it is durable.
    pub data_bytes: u64,
    /// Operations wait while so many bytes are applied and not durable.
    pub backlog_bytes_max: u64,
}

impl CommitPolicy {
    /// Whether looking at the age with each tick of the server is often enough, so that no thread need be
    /// woken for it.
    #[must_use]
    pub fn is_due_by_ticks(&self) -> bool {
        self.age_max >= 2 * TICK
    }

    /// Whether there is enough to commit, however young it is.
    #[must_use]
    pub const fn is_due(&self, pending: &Pending) -> bool {
        pending.uncommitted_bytes >= self.bytes || pending.uncommitted_data_bytes >= self.data_bytes
    }
}

impl Default for CommitPolicy {
    fn default() -> Self {
        Self { age_max: Duration::from_millis(100), bytes: 8 << 20, data_bytes: 16 << 20, backlog_bytes_max: 32 << 20 }
    }
}

/// When volumes are scrubbed though nobody asks for it, and how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubPolicy {
    /// So long after the last one, or after the volume was made; `None`: never.
    pub interval: Option<Duration>,
    /// Bytes a second that a scrub reads, also one that is asked for and names no rate.
    pub bytes_per_second: u64,
}

impl Default for ScrubPolicy {
    fn default() -> Self {
        Self { interval: Some(Duration::from_secs(30 * 86_400)), bytes_per_second: 32 << 20 }
    }
}

/// How much of everything a server allows and takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Volumes on the server.
    pub volumes: usize,
    /// Sessions of one volume.
    pub sessions_per_volume: usize,
    /// Connections at a time.
    pub connections: usize,
    /// Memory for the engines' block cache and write buffers, bytes, over all volumes.
    pub cache_bytes: usize,
    /// Of it, what the write buffers take at most.
    pub write_buffer_bytes: usize,
    /// Free bytes of the disk below which operations that need space are refused.
    pub disk_reserve_bytes: u64,
    /// A volume without sessions is closed after this.
    pub idle_close: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            volumes: 100_000,
            sessions_per_volume: 10_000,
            connections: 16_384,
            cache_bytes: 96 << 20,
            write_buffer_bytes: 48 << 20,
            disk_reserve_bytes: 256 << 20,
            idle_close: Duration::from_secs(30),
        }
    }
}

/// How a server logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// For people or for machines.
    pub format: LogFormat,
    /// What is shown, as `tracing_subscriber`'s `EnvFilter` reads it.
    pub filter: Option<String>,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// A server on a loopback port of the system's choice, with every setting at its default.
    #[must_use]
    pub fn local(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: None,
            token: None,
            port_file: None,
            lease: LeaseTimes::default(),
            commit: CommitPolicy::default(),
            scrub: ScrubPolicy::default(),
            compact: CompactPolicy::default(),
            limits: Limits::default(),
            log: LogSettings::default(),
        }
    }

    /// Reads and checks what the command line, the environment and the file say.
    ///
    /// # Errors
    /// `Invalid`, naming the setting and what is allowed.
    pub fn read(args: Args) -> Result<Self> {
        let file = match &args.config {
            Some(path) => file::read(path)?,
            None => file::Settings::default(),
        };
        let listen = args.listen.or(file.listen).unwrap_or_else(|| LISTEN_DEFAULT.to_owned());
        let data = args.data.or(file.data).ok_or_else(no_data)?;
        let lease = setting("lease", args.lease.or(file.lease), LEASE_DEFAULT, duration::parse)?;
        let commit = CommitPolicy::default();
        let age = args.commit_interval.or(file.commit_interval);
        let limits = Limits::default();
        let reserve = args.disk_reserve.or(file.disk_reserve);
        let cache_bytes = memory("cache", args.cache.or(file.cache), limits.cache_bytes)?;
        let config = Self {
            data,
            listen: address(&listen)?,
            tls: tls_files(
                args.tls_ca.or(file.tls_ca),
                args.tls_cert.or(file.tls_cert),
                args.tls_key.or(file.tls_key),
            )?,
            token: args.token_file.or(file.token_file).as_deref().map(token).transpose()?,
            port_file: args.port_file,
            lease: LeaseTimes { lease, heartbeat: lease / 5 },
            commit: CommitPolicy {
                age_max: setting("commit interval", age, commit.age_max, duration::parse)?,
                ..commit
            },
            scrub: scrub(args.scrub_interval.or(file.scrub_interval), args.scrub_rate.or(file.scrub_rate))?,
            compact: CompactPolicy::read(
                args.compact_interval.or(file.compact_interval),
                args.compact_dead.or(file.compact_dead),
                args.compact_rate.or(file.compact_rate),
            )?,
            limits: Limits {
                volumes: args.max_volumes.or(file.max_volumes).unwrap_or(limits.volumes),
                sessions_per_volume: args.max_sessions.or(file.max_sessions).unwrap_or(limits.sessions_per_volume),
                connections: args.max_connections.or(file.max_connections).unwrap_or(limits.connections),
                cache_bytes,
                write_buffer_bytes: write_buffer(args.write_buffer.or(file.write_buffer), cache_bytes)?,
                disk_reserve_bytes: setting("disk reserve", reserve, limits.disk_reserve_bytes, size)?,
                ..limits
            },
            log: LogSettings {
                format: args.log_format.or(file.log_format).unwrap_or_default(),
                filter: args.log.or(file.log),
            },
        };
        config.check()?;
        Ok(config)
    }

    /// The data directory that the command line, the environment and the file name, for work without a server.
    ///
    /// # Errors
    /// `Invalid`: none does, or the file cannot be read.
    pub fn data_of(args: Args) -> Result<PathBuf> {
        let file = args.config.as_deref().map(file::read).transpose()?.unwrap_or_default();
        args.data.or(file.data).ok_or_else(no_data)
    }

    /// Checks what the types leave open.
    ///
    /// # Errors
    /// `Invalid`, naming the setting and what is allowed.
    pub fn check(&self) -> Result<()> {
        if self.tls.is_none() && !self.listen.ip().is_loopback() {
            return Err(invalid(format!(
                "will not listen on {} without TLS: whoever reaches that address could read and change every volume; \
                 make certificates with `holdfast tls init --server-name NAME` and give --tls-ca, --tls-cert and \
                 --tls-key, or listen on {LISTEN_DEFAULT}",
                self.listen
            )));
        }
        let lease = Duration::from_millis(200)..=Duration::from_secs(300);
        let age = Duration::from_millis(1)..=Duration::from_secs(60);
        if !lease.contains(&self.lease.lease) {
            return Err(invalid(format!("a lease of {:?} is not allowed; 200ms to 5m", self.lease.lease)));
        }
        if !age.contains(&self.commit.age_max) {
            return Err(invalid(format!("a commit interval of {:?} is not allowed; 1ms to 1m", self.commit.age_max)));
        }
        if self.scrub.interval.is_some_and(|interval| interval < Duration::from_secs(1)) {
            return Err(invalid("a scrub interval under 1s is not allowed; write 30d, 12h or off"));
        }
        if self.scrub.bytes_per_second < SCRUB_RATE_MIN {
            return Err(invalid("a scrub rate under 64KiB a second is not allowed: it would never end"));
        }
        self.compact.check()?;
        let limits = [
            ("volumes", self.limits.volumes),
            ("sessions", self.limits.sessions_per_volume),
            ("connections", self.limits.connections),
        ];
        match limits.into_iter().find(|(_, limit)| *limit == 0) {
            Some((what, _)) => Err(invalid(format!("a limit of 0 {what} is not allowed; at least 1"))),
            None => Ok(()),
        }
    }
}

/// Slowest scrub, in bytes a second.
pub const SCRUB_RATE_MIN: u64 = 64 << 10;

/// When volumes are scrubbed, as people write it.
fn scrub(interval: Option<String>, rate: Option<String>) -> Result<ScrubPolicy> {
    let default = ScrubPolicy::default();
    let interval = match interval.as_deref() {
        Some("off") => None,
        _ => setting("scrub interval", interval, default.interval, |text| duration::parse(text).map(Some))?,
    };
    let bytes_per_second = setting("scrub rate", rate, default.bytes_per_second, size)?;
    Ok(ScrubPolicy { interval, bytes_per_second })
}

fn no_data() -> Error {
    invalid("no data directory is given; use --data DIR (or HOLDFAST_DATA, or `data` in the config file)")
}

pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

fn address(text: &str) -> Result<SocketAddr> {
    let wrong = || invalid(format!("{text:?} is not an address to listen on; use HOST:PORT, such as {LISTEN_DEFAULT}"));
    let mut found = text.to_socket_addrs().map_err(|error| wrong().because(error))?;
    found.next().ok_or_else(wrong)
}

fn setting<T>(what: &str, text: Option<String>, default: T, parse: fn(&str) -> Option<T>) -> Result<T> {
    match text {
        None => Ok(default),
        Some(text) => parse(&text).ok_or_else(|| {
            invalid(format!(
                "{what}: {text:?} is not understood; write durations as 100ms, 10s, 2m or 30d, sizes as 256MiB"
            ))
        }),
    }
}

fn size(text: &str) -> Option<u64> {
    text.parse::<holdfast_core::size::ByteSize>().ok().map(holdfast_core::size::ByteSize::bytes)
}

/// Smallest amount of memory that can be set, in bytes.
const MEMORY_MIN: usize = 8 << 20;

fn memory(what: &str, text: Option<String>, default: usize) -> Result<usize> {
    let bytes = setting(what, text, default as u64, size)?;
    match usize::try_from(bytes) {
        Ok(bytes) if (MEMORY_MIN..=1 << 40).contains(&bytes) => Ok(bytes),
        _ => Err(invalid(format!("{what}: {bytes} bytes are not allowed; 8MiB to 1TiB"))),
    }
}

/// Part of the cache's memory: by default at most half of it.
fn write_buffer(text: Option<String>, cache_bytes: usize) -> Result<usize> {
    let bytes =
        memory("write buffer", text, Limits::default().write_buffer_bytes.min(cache_bytes / 2).max(MEMORY_MIN))?;
    if bytes > cache_bytes {
        return Err(invalid(format!(
            "write buffer: {bytes} bytes do not fit in the cache, of which they are a part and which has {cache_bytes}"
        )));
    }
    Ok(bytes)
}

fn tls_files(ca: Option<PathBuf>, cert: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<TlsFiles>> {
    match (ca, cert, key) {
        (None, None, None) => Ok(None),
        (Some(ca), Some(cert), Some(key)) => Ok(Some(TlsFiles { ca, cert, key })),
        (ca, cert, key) => {
            let missing = [("--tls-ca", ca.is_none()), ("--tls-cert", cert.is_none()), ("--tls-key", key.is_none())];
            let missing: Vec<&str> = missing.into_iter().filter(|(_, absent)| *absent).map(|(name, _)| name).collect();
            Err(invalid(format!("TLS needs three files; {} missing", missing.join(" and "))))
        }
    }
}

fn token(path: &Path) -> Result<Token> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| invalid(format!("cannot read the token file {}: {error}", path.display())).because(error))?;
    Token::new(text.trim()).map_err(|error| invalid(format!("token file {}: {}", path.display(), error.message())))
}

#[cfg(test)]
mod tests;
