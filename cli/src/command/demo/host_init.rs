//! The first process of a host: it gives the host its name and a /run of its own, then buries the
//! dead until it is killed itself. With it everything on the host ends; the kernel sees to that.

use std::io::{self, Write as _};

use nix::mount::{MsFlags, mount};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use crate::failure::{During, Result};

/// What is written once the host is ready.
pub(super) const READY: &str = "ready";

/// Runs until it is killed.
///
/// # Errors
/// The host could not be set up.
pub(super) fn run(name: &str) -> Result<()> {
    nix::unistd::sethostname(name).during(|| format!("name the host {name}"))?;
    // State of runtimes and mounts belongs to one host, though all see the same disk.
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=755"))
        .during(|| "give the host a /run of its own".into())?;
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    children.thread_block().during(|| "wait for SIGCHLD".into())?;
    let mut out = io::stdout();
    writeln!(out, "{READY}").and_then(|()| out.flush()).during(|| "say that the host is ready".into())?;
    loop {
        children.wait().during(|| "wait for SIGCHLD".into())?;
        while !matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive) | Err(_)) {}
    }
}
