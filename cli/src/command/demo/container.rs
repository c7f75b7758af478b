//! A container on a host, made by `holdfast run` (and so by holdfast-runtime and runc), with a
//! shell in it that does one thing after the other.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout, Command};

use super::host::{Host, Member};
use super::program::{SHORT, Verbosity, run};
use crate::failure::{During, Failure, Result};

/// Says in the shell's output that a script is over, followed by its exit status. No file of the
/// demo contains it.
const OVER: &str = "::holdfast-demo-script-is-over::";
/// Time for a container to end and its volume to be let go: everything that was written is on the
/// server then.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the volume is in every container.
pub(super) const VOLUME_PATH: &str = "/data";

/// What a container is made of.
#[derive(Debug)]
pub(super) struct Recipe<'a> {
    /// This program.
    pub(super) holdfast: &'a Path,
    /// Its root file system.
    pub(super) rootfs: &'a Path,
    /// The volume.
    pub(super) volume: &'a str,
    /// Its name among this machine's containers.
    pub(super) id: String,
    /// Its name on the network, and in the log's name.
    pub(super) hostname: &'a str,
    /// Variables that tell `holdfast run` where the server is.
    pub(super) environment: &'a [(String, String)],
    /// Directory for its log.
    pub(super) logs: &'a Path,
}

/// A running container.
#[derive(Debug)]
pub(super) struct Container {
    name: String,
    member: Member,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    log: PathBuf,
    verbosity: Verbosity,
}

/// What a script in a container left.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its output, errors included.
    pub(super) output: String,
    /// How long it took.
    pub(super) took: Duration,
}

impl Container {
    /// Starts a container and waits for its shell.
    ///
    /// # Errors
    /// It does not start: the log's last lines are told.
    pub(super) async fn start(host: &Host, recipe: &Recipe<'_>, verbosity: Verbosity) -> Result<Self> {
        let name = format!("the container on {}", host.name());
        let log = recipe.logs.join(format!("{}.log", recipe.hostname));
        let errors = File::options().create(true).append(true).open(&log);
        let errors = errors.during(|| format!("open {}", log.display()))?;
        let mut command = host.program(recipe.holdfast);
        command.envs(recipe.environment.iter().map(|(name, value)| (name, value)));
        command.arg("run").arg("--rootfs").arg(recipe.rootfs);
        command.args(["--volume", &format!("{}:{VOLUME_PATH}", recipe.volume)]);
        command.args(["--name", &recipe.id, "--hostname", recipe.hostname, "--memory", "512m", "--", "/bin/sh"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::from(errors));
        let (member, pipes) = Member::start(command, &name).await?;
        let (Some(stdin), Some(stdout)) = (pipes.stdin, pipes.stdout) else {
            return Err(Failure::new(format!("no pipes to {name}")));
        };
        let stdout = BufReader::new(stdout);
        let mut container = Self { name, member, stdin: Some(stdin), stdout, log, verbosity };
        container.sh("true", SHORT).await?;
        Ok(container)
    }

    /// Runs a script in the container's shell.
    ///
    /// # Errors
    /// It fails (its output is told), takes longer than `deadline`, or the container ends.
    pub(super) async fn sh(&mut self, script: &str, deadline: Duration) -> Result<Answer> {
        if self.verbosity == Verbosity::EachProgram {
            tracing::warn!(target: "demo", container = %self.name, %script, "runs");
        }
        let begun = Instant::now();
        let exchange = tokio::time::timeout(deadline, self.exchange(script));
        let Ok(exchanged) = exchange.await else {
            return Err(Failure::new(format!(
                "in {}, this did not end within {} s: {script}",
                self.name,
                deadline.as_secs()
            )));
        };
        let (output, status) = exchanged?;
        if status != "0" {
            let output = output.trim();
            return Err(Failure::new(format!("in {}, this ended with status {status}: {script}\n{output}", self.name)));
        }
        Ok(Answer { output, took: begun.elapsed() })
    }

    async fn exchange(&mut self, script: &str) -> Result<(String, String)> {
        let request = format!("( {script}\n) </dev/null 2>&1; printf '\\n{OVER} %s\\n' $?\n");
        let Some(stdin) = &mut self.stdin else {
            return Err(Failure::new(format!("{} was stopped", self.name)));
        };
        let sent = async {
            stdin.write_all(request.as_bytes()).await?;
            stdin.flush().await
        };
        if sent.await.is_err() {
            return Err(self.gone().await);
        }
        let mut output = Vec::new();
        loop {
            let mut line = Vec::new();
            let read = self.stdout.read_until(b'\n', &mut line).await;
            if read.during(|| format!("read from {}", self.name))? == 0 {
                return Err(self.gone().await);
            }
            if let Some(status) = line.strip_prefix(OVER.as_bytes()) {
                // The line feed before the mark is ours.
                output.pop();
                let status = String::from_utf8_lossy(status).trim().to_owned();
                return Ok((String::from_utf8_lossy(&output).into_owned(), status));
            }
            output.extend_from_slice(&line);
        }
    }

    /// The container ended by itself; its log says why.
    async fn gone(&mut self) -> Failure {
        let how = match self.member.wait(SHORT).await {
            Ok(status) => super::program::how(status),
            Err(_) => "does not answer".into(),
        };
        Failure::new(format!("{} {how}\n{}", self.name, last_lines(&self.log, 8)))
    }

    /// Lets the shell end, and with it the container; its volume is let go in order.
    ///
    /// # Errors
    /// The shell or `holdfast run` fails, or takes too long.
    pub(super) async fn stop(mut self) -> Result<()> {
        drop(self.stdin.take());
        let status = self.member.wait(PATIENCE).await?;
        if !status.success() {
            let log = last_lines(&self.log, 8);
            return Err(Failure::new(format!(
                "{} {} when it was stopped\n{log}",
                self.name,
                super::program::how(status)
            )));
        }
        Ok(())
    }

    /// Ends it whatever state it is in. `kill` is the runtime's command for it.
    pub(super) async fn abandon(mut self, kill: Command) {
        drop(self.stdin.take());
        self.member.signal(Signal::SIGTERM);
        if self.member.ends_within(Duration::from_secs(1)).await {
            return;
        }
        // A shell that is the first process of its container has no ear for SIGTERM. What does not
        // end now ends with its host.
        let _killed = run(kill, SHORT, self.verbosity).await;
        let _ended = self.member.wait(Duration::from_secs(10)).await;
    }
}

/// The end of a log, for an error message.
pub(super) fn last_lines(path: &Path, lines: usize) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
