//! One simulation: a server and three hosts with two programs each, some faults, and what came of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use holdfast_core::error::Error;
use holdfast_tests::random::Random;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use crate::determinism::simulate;
use crate::disk::Disk;
use crate::host::{Host, make_volume};
use crate::log::{Log, PROGRAMS};
use crate::net::Net;
use crate::program::{self, Fence, Program};
use crate::server::{End, LEASE, ServerHost};

/// Hosts with programs; one more makes the volume, and looks at it in the end.
const HOSTS: usize = 3;
/// Calls of a program.
const CALLS: usize = 24;
/// Nothing takes longer than this, whatever is broken and healed.
const TIME_MAX: Duration = Duration::from_secs(300);
/// What the clock of a host jumps by that has slept.
const SLEEP: Duration = Duration::from_secs(3600);

/// A defect that is built in, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// The clock that a host's leases are timed with stands still.
    ClockStands,
    /// The server's disk does not sync its segments.
    DiskLies,
}

/// What came of a simulation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// What happened, in short, for people.
    pub(crate) faults: Vec<String>,
    pub(crate) answered: usize,
    /// Sessions that were given up.
    pub(crate) losses: usize,
    pub(crate) violations: Vec<String>,
    /// How long it took, on its own clock.
    pub(crate) lasted: Duration,
    /// Bytes that travelled, and a figure that differs as soon as one of them does, or its time.
    pub(crate) trace: (u64, u64),
}

/// What can happen.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Server(End),
    Disk,
    Cut,
    CutForLong,
    Reset,
    Sleep,
    Death { silent: bool },
}

/// Runs the simulation of a seed. The server may use an empty directory.
pub(crate) fn run(seed: u64, defect: Option<Defect>, dir: PathBuf) -> Outcome {
    simulate(seed, move || async move {
        let begun = Instant::now();
        let mut world = World::new(seed, defect, dir);
        let ended = timeout(TIME_MAX, world.play()).await;
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(why)) => world.outcome.violations.push(why),
            Err(_) => world.outcome.violations.push(format!("it hangs: not over after {TIME_MAX:?}")),
        }
        let (answered, wrong) = world.log.judge();
        world.outcome.answered = answered;
        world.outcome.violations.extend(wrong);
        world.outcome.lasted = begun.elapsed();
        world.outcome.trace = world.net.trace();
        std::mem::take(&mut world.outcome)
    })
}

struct World {
    defect: Option<Defect>,
    random: Random,
    net: Net,
    server: ServerHost,
    hosts: Vec<Option<Host>>,
    /// The host that may be given up.
    victim: usize,
    fence: Arc<Fence>,
    log: Log,
    outcome: Outcome,
}

fn because(what: &'static str) -> impl Fn(Error) -> String {
    move |error| format!("{what}: {error}")
}

impl World {
    fn new(seed: u64, defect: Option<Defect>, dir: PathBuf) -> Self {
        let mut random = Random::new(seed);
        let net = Net::new(HOSTS + 1, Random::new(random.bits()));
        let disk = if defect == Some(Defect::DiskLies) { Disk::that_lies() } else { Disk::default() };
        let server = ServerHost::new(&net, Random::new(random.bits()), dir, disk);
        let victim = random.index(HOSTS);
        let (hosts, fence, log, outcome) = (Vec::new(), Arc::default(), Log::default(), Outcome::default());
        Self { defect, random, net, server, hosts, victim, fence, log, outcome }
    }

    async fn play(&mut self) -> Result<(), String> {
        self.server.start().await.map_err(because("the server does not start"))?;
        make_volume(&self.net, HOSTS).await.map_err(because("the volume cannot be made"))?;
        // It was also asked how much room there is, and that is the machine's.
        self.net.begin_trace();
        for host in 0..HOSTS {
            let mounted = Host::mount(&self.net, host).await.map_err(because("a mount fails"))?;
            self.hosts.push(Some(mounted));
        }
        if let Some(first) = &self.hosts[0] {
            program::prepare(&first.fs).await.map_err(|error| format!("nothing can be made: {error}"))?;
        }
        let mut programs = JoinSet::new();
        let mut of_victim = Vec::new();
        for host in 0..HOSTS {
            for number in 0..PROGRAMS {
                let program = self.program(host, host * PROGRAMS + number).await?;
                let handle = programs.spawn(program.run(CALLS));
                of_victim.extend((host == self.victim).then_some(handle));
            }
        }
        for _ in 0..=self.random.below(3) {
            sleep(Duration::from_millis(self.random.below(600))).await;
            self.fault(&of_victim).await?;
        }
        self.fence.over.store(self.log.now(), Ordering::Relaxed);
        while let Some(ended) = programs.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                return Err(format!("a program broke: {error}"));
            }
        }
        self.finish().await
    }

    async fn program(&mut self, host: usize, number: usize) -> Result<Program, String> {
        let mounted = self.hosts[host].as_ref().ok_or("the host is gone")?;
        let fs = mounted.fs.clone();
        let fence = (host == self.victim).then(|| Arc::clone(&self.fence));
        let dirs = program::directories(&fs).await.map_err(|error| format!("nothing is to be found: {error}"))?;
        let (log, mut random) = (self.log.clone(), Random::new(self.random.bits()));
        let glances = random.percent(30);
        Ok(Program { number, fs, log, random, fence, dirs, open: [].into(), last: 0, glances })
    }

    /// Unmounts everything, and looks at what is left: through a new mount, and at rest.
    async fn finish(&mut self) -> Result<(), String> {
        for (host, mounted) in std::mem::take(&mut self.hosts).into_iter().enumerate() {
            let Some(mounted) = mounted else { continue };
            self.outcome.losses += mounted.losses();
            if host != self.victim && mounted.losses() > 0 {
                self.outcome.violations.push(format!("host {host} was given up, and nothing was wrong with it"));
            }
            if let Err(error) = mounted.unmount().await
                && host != self.victim
            {
                self.outcome.violations.push(format!("host {host} cannot unmount: {error}"));
            }
        }
        // Who died in silence is waited for.
        sleep(LEASE * 2).await;
        if self.random.percent(50) {
            self.server.end(End::PowerLost).await.map_err(because("the server does not end"))?;
            self.server.start().await.map_err(because("the server does not start again"))?;
        }
        let last = Host::mount(&self.net, HOSTS).await.map_err(because("the last mount fails"))?;
        self.hosts.push(Some(last));
        let fs = self.hosts[0].as_ref().map(|host| host.fs.clone()).ok_or("the host is gone")?;
        let dirs = program::directories(&fs).await.map_err(|error| format!("nothing is left: {error}"))?;
        let (log, random) = (self.log.clone(), Random::new(self.random.bits()));
        let number = HOSTS * PROGRAMS;
        Program { number, fs, log, random, fence: None, dirs, open: [].into(), last: 0, glances: false }
            .read_all()
            .await;
        if let Some(last) = self.hosts.pop().flatten() {
            last.unmount().await.map_err(because("the last mount does not end"))?;
        }
        let how = if self.random.percent(50) { End::Stopped } else { End::PowerLost };
        self.server.end(how).await.map_err(because("the server does not end"))?;
        let findings = self.server.findings().map_err(because("the volume cannot be opened"))?;
        self.outcome.violations.extend(findings.into_iter().map(|finding| format!("at rest: {finding}")));
        Ok(())
    }

    fn pick(&mut self) -> Fault {
        let victim_lives = self.hosts[self.victim].is_some();
        match self.defect {
            Some(Defect::ClockStands) => return Fault::CutForLong,
            Some(Defect::DiskLies) => return Fault::Server(End::PowerLost),
            None => {}
        }
        match self.random.below(if victim_lives { 12 } else { 6 }) {
            0 => Fault::Server(End::Stopped),
            1 => Fault::Server(End::Killed),
            2 => Fault::Server(End::PowerLost),
            3 => Fault::Disk,
            4 => Fault::Cut,
            5 => Fault::Reset,
            6..=8 => Fault::CutForLong,
            9 | 10 => Fault::Sleep,
            _ => Fault::Death { silent: self.random.percent(50) },
        }
    }

    async fn fault(&mut self, of_victim: &[AbortHandle]) -> Result<(), String> {
        let fault = self.pick();
        self.outcome.faults.push(format!("{fault:?}"));
        self.net.note(&format!("{fault:?}"));
        match fault {
            Fault::Server(how) => self.restart(how).await?,
            Fault::Disk => {
                self.server.fail_disk().await;
                let how = if self.random.percent(50) { End::Killed } else { End::PowerLost };
                self.restart(how).await?;
            }
            Fault::Cut => {
                let host = self.random.index(HOSTS);
                self.cut(host, LEASE / 4).await;
            }
            Fault::CutForLong => {
                self.begin_fence();
                let stands = self.defect == Some(Defect::ClockStands);
                self.hosts[self.victim].iter().filter(|_| stands).for_each(|host| host.clock.stop());
                self.cut(self.victim, LEASE * 2).await;
            }
            Fault::Reset => {
                let host = self.random.index(HOSTS);
                self.net.reset(host);
            }
            Fault::Sleep => {
                self.begin_fence();
                self.net.cut(self.victim);
                if let Some(host) = &self.hosts[self.victim] {
                    host.clock.jump(SLEEP);
                }
                sleep(Duration::from_millis(self.random.below(4_000))).await;
                self.net.heal(self.victim);
            }
            Fault::Death { silent } => {
                self.begin_fence();
                of_victim.iter().for_each(AbortHandle::abort);
                self.net.lose(self.victim, silent);
                self.hosts[self.victim] = None;
            }
        }
        Ok(())
    }

    fn begin_fence(&self) {
        let now = self.log.now();
        let _ = self.fence.begun.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    async fn cut(&mut self, host: usize, about: Duration) {
        self.net.cut(host);
        let half = u64::try_from(about.as_millis()).unwrap_or(0) / 2;
        sleep(Duration::from_millis(half + self.random.below(half * 2))).await;
        self.net.heal(host);
    }

    async fn restart(&mut self, how: End) -> Result<(), String> {
        self.server.end(how).await.map_err(because("the server does not end"))?;
        let away = if self.random.percent(20) { self.random.below(5_000) } else { self.random.below(300) };
        sleep(Duration::from_millis(away)).await;
        self.server.start().await.map_err(because("the server does not start again"))
    }
}
