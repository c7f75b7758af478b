//! `holdfast demo`: the whole path on one machine, for real, with its figures and a verdict.
//!
//! A storage server and two hosts, each with network, mounts, processes and a host name of its own,
//! on a private network that exists in no name space but theirs. A container on each host, a volume
//! in both. Real programs do the work: tar, sha256sum, flock, a shell. Every answer is compared
//! with what the local disk says; one difference and the demo fails.
//!
//! It leaves nothing behind, whatever happens: the hosts die with this process, and with them their
//! programs, mounts and networks. Several demos run beside each other without meeting.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{During, Failure, Result};
use crate::output::Output;

mod account;
mod audit;
mod container;
mod host;
mod host_init;
mod input;
mod needs;
mod program;
mod rootfs;
mod scratch;
mod server;
mod story;
mod world;

use account::Account;
use world::World;

/// `holdfast demo`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DemoArgs {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    plan: Plan,
}

/// How much of everything, and what to keep.
#[derive(Clone, Debug, Args)]
pub struct Plan {
    /// Source files that the first container unpacks, at least
    #[arg(long, default_value_t = 6000, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    files: u32,
    /// Lines that each container appends to the shared log
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    lines: u32,
    /// Turns that each container takes under the lock
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    turns: u32,
    /// Directory for everything that the demo writes [default: a new one in TMPDIR or /var/tmp]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Keep that directory: data, logs, certificates
    #[arg(long)]
    keep: bool,
    /// Show every program that is run
    #[arg(long, short)]
    verbose: bool,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// First process of a host (the demo starts it itself)
    #[command(hide = true)]
    HostInit {
        /// Name of the host
        name: String,
    },
}

/// Longest time for all of it.
const DEADLINE: Duration = Duration::from_secs(30 * 60);

/// Runs the command.
///
/// # Errors
/// Something is missing on this machine, something did not work, a check found a difference, or it
/// was interrupted. Everything is cleaned up all the same.
pub fn run(args: DemoArgs, output: &mut Output) -> Result<()> {
    if let Some(Part::HostInit { name }) = args.part {
        return host_init::run(&name);
    }
    let plan = args.plan;
    let tools = needs::check()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.during(|| "start the asynchronous runtime".into())?;
    runtime.block_on(async {
        let mut account = Account::begin(output, plan.verbose);
        let mut world = World::new(&plan, tools, account.verbosity())?;
        let told = tell(&mut world, &plan, &mut account).await;
        let evidence = match &told {
            Err(failure) if failure.kind() != "interrupted" => Some(world.evidence().await),
            _ => None,
        };
        let cleaned = world.close(plan.keep).await;
        account.end(told, cleaned, evidence)
    })
}

/// The story, until it ends, takes too long or somebody interrupts it.
async fn tell(world: &mut World, plan: &Plan, account: &mut Account<'_>) -> Result<()> {
    let begun = Instant::now();
    tokio::select! {
        told = story::tell(world, plan, account) => told,
        interrupted = interruption() => {
            Err(Failure::interrupted(format!("interrupted by {} after {:.1} s", interrupted?, begun.elapsed().as_secs_f64())))
        }
        () = tokio::time::sleep(DEADLINE) => {
            Err(Failure::new(format!("the demo did not end within {} minutes", DEADLINE.as_secs() / 60)))
        }
    }
}

async fn interruption() -> Result<&'static str> {
    let listen = |kind: SignalKind| signal(kind).during(|| "listen for signals".into());
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
        _ = hangup.recv() => "SIGHUP",
    })
}
