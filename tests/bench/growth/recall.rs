//! Row `recall`: many hold what one changes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use holdfast_client::session::{InvalidateDone, SessionEvents};
use holdfast_client::{Endpoint, Invalidation, LeaseEvents, Session, SessionOptions, Token, VolumeRef};
use holdfast_core::attr::{Mode, SetAttr};
use holdfast_core::error::PosixError;
use holdfast_core::id::InodeId;
use holdfast_core::op::Caller;
use holdfast_fuse::fs::{FileSystem, Node, Reply, Thread};
use holdfast_fuse::memory::Memory;
use holdfast_tests::cluster::Cluster;
use tokio::runtime::Runtime;

use crate::figures::{memory, within};
use crate::report::Report;

const VOLUME: &str = "held";
const CALLER: Caller = Caller { uid: 0, gid: 0 };

/// Who hears what a session says and does nothing about it.
#[derive(Debug)]
pub(crate) struct Deaf;

impl SessionEvents for Deaf {
    fn invalidate(&self, _what: Invalidation, done: InvalidateDone) {
        done.confirm();
    }

    fn session_lost(&self, _lost: &[InodeId]) {}
}

/// Who remembers under leases, as a mount does.
struct Remembers(Arc<Memory>);

impl SessionEvents for Remembers {
    fn invalidate(&self, _what: Invalidation, done: InvalidateDone) {
        done.confirm();
    }

    fn leases(&self) -> &dyn LeaseEvents {
        &*self.0
    }

    fn session_lost(&self, _lost: &[InodeId]) {
        self.0.lost();
    }
}

/// Where a cluster's server is.
pub(crate) fn endpoint(cluster: &Cluster) -> Result<Endpoint> {
    let mut endpoint = Endpoint::plain(cluster.address().parse()?);
    endpoint.token = Some(Token::new(std::fs::read_to_string(cluster.token_file())?)?);
    Ok(endpoint)
}

/// Where clients run.
pub(crate) fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// A volume, and sessions on it.
struct Sessions {
    runtime: Runtime,
    endpoint: Endpoint,
    volume: VolumeRef,
}

impl Sessions {
    /// A mount without a kernel.
    fn open(&self) -> Result<FileSystem> {
        let remembered = Arc::<Memory>::default();
        let events = Arc::new(Remembers(Arc::clone(&remembered)));
        let session = Session::open(&self.endpoint, &self.volume, SessionOptions::default(), events);
        Ok(FileSystem::new(self.runtime.block_on(session)?, InodeId::ROOT, remembered))
    }

    fn wait<T: Send + 'static>(&self, reply: Reply<T>) -> Result<T> {
        self.runtime.block_on(reply.wait()).map_err(|error: PosixError| anyhow!("a call failed: {error:?}"))
    }
}

/// What is changed, each of them once: what was recalled twice within a second is not lent for a while.
fn name(round: u64) -> String {
    format!("d{round}")
}

/// Measures with so many holders.
pub(crate) fn run(report: &mut Report, mut cluster: Cluster, number: u64, rounds: u64) -> Result<()> {
    cluster.volume(VOLUME);
    let volume = VolumeRef::Name(VOLUME.parse().context("a volume's name")?);
    let sessions = Sessions { runtime: runtime()?, endpoint: endpoint(&cluster)?, volume };
    let changer = sessions.open()?;
    let make =
        |round| sessions.wait(changer.mkdir(CALLER, Node::ROOT, name(round).as_bytes(), Mode::from_bits(0o755).into()));
    let made: Vec<Node> = (0..rounds).map(|round| Ok(make(round)?.node)).collect::<Result<_>>()?;
    let (alone, _) = memory(cluster.server().pid())?;
    let holders: Vec<FileSystem> = (0..number).map(|_| sessions.open()).collect::<Result<_>>()?;
    let (together, _) = memory(cluster.server().pid())?;
    for holder in &holders {
        for round in 0..rounds {
            sessions.wait(holder.lookup(Node::ROOT, name(round).as_bytes()))?;
        }
    }
    let (lent, _) = memory(cluster.server().pid())?;
    let mut times: Vec<Duration> = Vec::new();
    for &node in &made {
        let set = SetAttr { mode: Some(Mode::from_bits(0o700)), ..SetAttr::default() };
        let thread = Thread(nix::unistd::gettid().as_raw().unsigned_abs());
        let begun = Instant::now();
        sessions.wait(changer.setattr(CALLER, thread, node, set))?;
        times.push(begun.elapsed());
    }
    let recalls: u64 = holders.iter().map(|holder| holder.session().stats().recalls).sum();
    let line = vec![
        ("holders", number as f64),
        ("p50 ms", within(&mut times, 50)),
        ("p99 ms", within(&mut times, 99)),
        ("most ms", within(&mut times, 100)),
        ("recalls a change", recalls as f64 / rounds as f64),
        ("server kB a session", (together - alone) * 1e3 / number as f64),
        ("server bytes a lease", (lent - together) * 1e6 / (number * rounds) as f64),
    ];
    report.add("From a change to its answer, while sessions hold what it changes", line);
    for one in holders.iter().chain([&changer]) {
        ensure!(one.session().stats().losses == 0, "a session was lost");
        sessions.runtime.block_on(one.session().clone().close())?;
    }
    Ok(())
}
