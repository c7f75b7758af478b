//! A host: name spaces of its own for network, mounts, processes, host name and IPC.
//!
//! The name spaces have no names: nothing has to be cleaned up, and two demos cannot meet. They
//! last as long as their first process, which dies with this one (`setpriv --pdeathsig`).

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::host_init::READY;
use super::program::{SHORT, Verbosity, how, line_of, program, run};
use crate::failure::{During, Failure, Result};

/// The private network; it exists only inside the demo's name spaces.
const PREFIX_BITS: u8 = 24;

/// One host.
#[derive(Debug)]
pub(super) struct Host {
    name: &'static str,
    address: &'static str,
    /// `unshare`, whose only child is the host's first process.
    keeper: Child,
    keeper_pid: u32,
    /// The host's first process.
    init: Pid,
    verbosity: Verbosity,
}

impl Host {
    /// Starts a host, not yet connected.
    ///
    /// # Errors
    /// The kernel has no such name spaces, or not for us.
    pub(super) async fn start(
        name: &'static str,
        address: &'static str,
        holdfast: &Path,
        verbosity: Verbosity,
    ) -> Result<Self> {
        let mut command = program("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork"]);
        // What is unmounted on this machine goes here too; what is mounted here stays here.
        command.args(["--kill-child=KILL", "--mount-proc", "--propagation", "slave"]);
        command.arg(holdfast).args(["demo", "host-init", name]);
        command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut keeper = command.spawn().during(|| format!("start {}", line_of(&command)))?;
        let keeper_pid = keeper.id().ok_or_else(|| Failure::new(format!("host {name} ended at once")))?;
        let stdout = keeper.stdout.take().ok_or_else(|| Failure::new("no pipe from the host's first process"))?;
        let mut lines = BufReader::new(stdout).lines();
        match tokio::time::timeout(SHORT, lines.next_line()).await {
            Ok(Ok(Some(line))) if line == READY => {}
            _ => {
                return Err(Failure::new(format!("host {name} did not start"))
                    .hint("the kernel must allow name spaces for network, mounts, processes, host names and IPC"));
            }
        }
        let init = only_child(&mut keeper, name).await?;
        let host = Self { name, address, keeper, keeper_pid, init, verbosity };
        host.ip("link set lo up").await?;
        Ok(host)
    }

    /// Its name.
    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// Its address on the private network.
    pub(super) const fn address(&self) -> &'static str {
        self.address
    }

    /// Makes this host the switch of the network, with an address of its own.
    ///
    /// # Errors
    /// The kernel has no bridges.
    pub(super) async fn become_switch(&self) -> Result<()> {
        self.ip("link add name switch0 type bridge").await?;
        self.ip(&format!("address add {}/{PREFIX_BITS} dev switch0", self.address)).await?;
        self.ip("link set dev switch0 up").await
    }

    /// Plugs another host into this one's switch, through a pair of virtual network cards.
    ///
    /// # Errors
    /// The kernel has no such pairs.
    pub(super) async fn plug_in(&self, other: &Self, port: &str) -> Result<()> {
        self.ip(&format!("link add name {port} type veth peer name eth0 netns {}", other.keeper_pid)).await?;
        self.ip(&format!("link set dev {port} master switch0 up")).await?;
        other.ip(&format!("address add {}/{PREFIX_BITS} dev eth0", other.address)).await?;
        other.ip("link set dev eth0 up").await
    }

    /// ip(8) in the host's network, but among our processes, so that ours can be named.
    async fn ip(&self, arguments: &str) -> Result<()> {
        let mut command = program("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.keeper_pid)).args(["--", "ip"]).args(arguments.split(' '));
        run(command, SHORT, self.verbosity).await.map(drop)
    }

    /// A program on this host.
    pub(super) fn program(&self, name: &Path) -> Command {
        let mut command = program("nsenter");
        for space in ["net", "mnt", "uts", "ipc"] {
            let flag = if space == "mnt" { "mount" } else { space };
            command.arg(format!("--{flag}=/proc/{}/ns/{space}", self.keeper_pid));
        }
        command.arg(format!("--pid=/proc/{}/ns/pid_for_children", self.keeper_pid)).arg("--").arg(name);
        command
    }

    /// Ends everything on the host, and the host.
    pub(super) async fn stop(mut self) {
        // Already gone is what is wanted.
        let _gone = self.keeper.start_kill();
        let _ended = tokio::time::timeout(SHORT, self.keeper.wait()).await;
        // The kernel ends the first process after all others, and lets go of mounts with it.
        for _ in 0..500 {
            if kill(self.init, None).is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A program that goes on while the demo does, on some host.
#[derive(Debug)]
pub(super) struct Member {
    what: String,
    /// `nsenter`, which waits for the program and ends as it does.
    waiter: Child,
    pid: Pid,
}

impl Member {
    /// Starts a command that [`Host::program`] made.
    ///
    /// # Errors
    /// It cannot be started, or ends at once.
    pub(super) async fn start(mut command: Command, what: &str) -> Result<(Self, Pipes)> {
        let mut waiter = command.spawn().during(|| format!("start {what}"))?;
        let pipes = Pipes { stdin: waiter.stdin.take(), stdout: waiter.stdout.take() };
        let pid = only_child(&mut waiter, what).await?;
        Ok((Self { what: what.to_owned(), waiter, pid }, pipes))
    }

    /// Sends the program a signal.
    pub(super) fn signal(&self, signal: Signal) {
        // It may have ended already, which the next wait tells.
        let _gone = kill(self.pid, signal);
    }

    /// Whether it has ended, and how.
    pub(super) fn ended(&mut self) -> Option<String> {
        self.waiter.try_wait().ok().flatten().map(how)
    }

    /// Waits for its end, not for long.
    pub(super) async fn ends_within(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.waiter.wait()).await.is_ok()
    }

    /// Waits for its end; kills it at the deadline.
    ///
    /// # Errors
    /// It did not end in time.
    pub(super) async fn wait(&mut self, deadline: Duration) -> Result<std::process::ExitStatus> {
        let Ok(status) = tokio::time::timeout(deadline, self.waiter.wait()).await else {
            self.signal(Signal::SIGKILL);
            let _killed = tokio::time::timeout(SHORT, self.waiter.wait()).await;
            return Err(Failure::new(format!(
                "{} did not end within {} s and was killed",
                self.what,
                deadline.as_secs()
            )));
        };
        status.during(|| format!("wait for {}", self.what))
    }
}

/// The pipes to a program, where it has any.
#[derive(Debug)]
pub(super) struct Pipes {
    /// To its standard input.
    pub(super) stdin: Option<tokio::process::ChildStdin>,
    /// From its standard output.
    pub(super) stdout: Option<tokio::process::ChildStdout>,
}

/// `nsenter` makes one child, the program itself.
async fn only_child(waiter: &mut Child, what: &str) -> Result<Pid> {
    for _ in 0..500 {
        let Some(waiter_pid) = waiter.id() else { break };
        let path = format!("/proc/{waiter_pid}/task/{waiter_pid}/children");
        let children = std::fs::read_to_string(&path).during(|| format!("read {path}"))?;
        if let Some(pid) = children.split_whitespace().next().and_then(|pid| pid.parse().ok()) {
            return Ok(Pid::from_raw(pid));
        }
        if let Ok(Some(status)) = waiter.try_wait() {
            return Err(Failure::new(format!("{what} {} at once", how(status))));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(Failure::new(format!("{what} did not start")))
}
