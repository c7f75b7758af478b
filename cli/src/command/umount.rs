//! `holdfast umount`: take a mount away, and say whether everything reached the server.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use holdfast_fuse::mount::default_run_dir;
use holdfast_fuse::unmount::{UnmountOptions, Unmounted, unmount};
use serde::Serialize;

use crate::failure::{Failure, Result};
use crate::output::{Output, Report};

/// `holdfast umount`
#[derive(Debug, Args)]
pub struct UmountArgs {
    /// The directory that is mounted on
    dir: PathBuf,
    /// Give up what did not reach the server within the timeout; programs that use it get errors
    #[arg(long, short)]
    force: bool,
    /// Take it out of the tree now, although programs use it; it ends with the last of them
    #[arg(long, short)]
    lazy: bool,
    /// How long to wait until everything is on the server's disk, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 55, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    timeout: u32,
}

#[derive(Debug, Serialize)]
struct Taken {
    directory: PathBuf,
    state: &'static str,
}

impl Report for Taken {
    fn text(&self) -> String {
        let what = match self.state {
            "unmounted" => "unmounted, everything is on the server's disk",
            "detached" => "out of the tree; it ends when the last program lets its files go",
            _ => "unmounted; its process was gone already, so nothing is known about its last changes",
        };
        format!("{}: {what}\n", self.directory.display())
    }
}

/// Runs the command.
///
/// # Errors
/// Nothing of ours is mounted there, it is in use, the server does not answer in time, or
/// something that programs were told was lost.
pub fn run(args: UmountArgs, output: &mut Output) -> Result<()> {
    let options =
        UnmountOptions { force: args.force, lazy: args.lazy, deadline: Duration::from_secs(args.timeout.into()) };
    let shown = args.dir.display().to_string();
    let ended = unmount(&args.dir, &default_run_dir(), options)
        .map_err(|error| Failure::of(&format!("cannot unmount {shown}"), &error))?;
    let state = match ended {
        Unmounted::Clean => "unmounted",
        Unmounted::Detached => "detached",
        Unmounted::Unserved => "unserved",
        Unmounted::Lost(what) => return Err(Failure::new(format!("unmounted {shown}, with loss: {what}"))),
    };
    output.report(&Taken { directory: args.dir, state })
}
