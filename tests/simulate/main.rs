//! Server, hosts, network, disk and time in one program and on one thread: a seed is a history.
//!
//! What runs is what users run, from the file system of a mount down to the volume's store: sessions, leases,
//! gRPC, owners, commits, recovery. In place of the machine's are the network ([`net`]), the disk under the
//! server ([`disk`]), clocks and randomness ([`determinism`]); there is no kernel above. Programs call, faults
//! happen, and what was seen must be explained by one order of the calls of each object; no host may meet an
//! error that nothing was wrong with, nothing may hang, and the volume at rest must be in order.
//!
//! One process plays one seed, since some things count through the life of a process. `tests/sim` plays many;
//! by hand, `simulate SEED` plays one, with the log of everybody when `RUST_LOG` says so, on the simulation's
//! own time. `HOLDFAST_FAILPOINTS` has the server leave something out, as `holdfastd` does; a second argument
//! builds a defect into what is below it.
//!
//! Prints one line of JSON. Ends with 0: no violation; 1: there is one; 2: it was asked for something else.
#![expect(clippy::unwrap_used, reason = "a failed step of a test fails the test")]

mod determinism;
mod disk;
mod host;
mod log;
mod net;
mod program;
mod server;
mod world;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use tracing_subscriber::EnvFilter;

use world::{Defect, run};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (seed, defect) = match &arguments[..] {
        [seed] => (seed, None),
        [seed, defect] if defect == "clock-stands" => (seed, Some(Defect::ClockStands)),
        [seed, defect] if defect == "disk-lies" => (seed, Some(Defect::DiskLies)),
        _ => return usage(),
    };
    let Ok(seed) = seed.parse() else { return usage() };
    tracing_subscriber::fmt().with_env_filter(EnvFilter::from_default_env()).with_writer(std::io::stderr).init();
    if let Ok(failpoints) = env::var(holdfast_server::failpoint::VARIABLE)
        && let Err(error) = holdfast_server::failpoint::arm(&failpoints)
    {
        eprintln!("simulate: {error}");
        return ExitCode::from(2);
    }
    // Made here, where randomness is the machine's: the same seed may be played beside this. In memory, where
    // that is, syncing a few small files is quick.
    let place = PathBuf::from("/dev/shm");
    let place = if place.is_dir() { place } else { env::temp_dir() };
    let dir = tempfile::Builder::new().prefix("holdfast-sim-").tempdir_in(place).unwrap();
    let outcome = run(seed, defect, dir.path().to_owned());
    drop(dir);
    let line = json!({
        "seed": seed,
        "faults": outcome.faults,
        "answered": outcome.answered,
        "losses": outcome.losses,
        "violations": outcome.violations,
        "lasted_ms": u64::try_from(outcome.lasted.as_millis()).unwrap_or(u64::MAX),
        "bytes": outcome.trace.0,
        "trace": format!("{:016x}", outcome.trace.1),
    });
    println!("{line}");
    ExitCode::from(u8::from(!outcome.violations.is_empty()))
}

fn usage() -> ExitCode {
    eprintln!("usage: simulate SEED [clock-stands|disk-lies]");
    ExitCode::from(2)
}
