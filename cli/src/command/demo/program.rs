//! Running other programs: each with a deadline, each gone when nobody waits for it any more.

use std::ffi::OsStr;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::process::Command;

use crate::failure::{During, Failure, Result};

/// Time for programs that have little to do.
pub(super) const SHORT: Duration = Duration::from_secs(30);
/// Time for programs that move all the data.
pub(super) const LONG: Duration = Duration::from_secs(10 * 60);

/// Who wants to see which programs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verbosity {
    /// Nobody.
    Quiet,
    /// On standard error.
    EachProgram,
}

/// What a program that succeeded left.
#[derive(Debug)]
pub(super) struct Ran {
    /// Its standard output.
    pub(super) stdout: String,
    /// How long it took.
    pub(super) took: Duration,
}

/// A program of this machine, in no name space but ours. A terminal's Ctrl-C does not reach it:
/// it has a process group of its own, and we end it in order.
pub(super) fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.stdin(Stdio::null()).process_group(0).kill_on_drop(true).env("LC_ALL", "C");
    command
}

/// Runs a program to its end and takes what it prints.
///
/// # Errors
/// It cannot be started, fails (its last words are told), or takes longer than `deadline`.
pub(super) async fn run(mut command: Command, deadline: Duration, verbosity: Verbosity) -> Result<Ran> {
    let line = line_of(&command);
    if verbosity == Verbosity::EachProgram {
        tracing::warn!(target: "demo", program = %line, "runs");
    }
    let begun = Instant::now();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().during(|| format!("start {line}"))?;
    let ended = tokio::time::timeout(deadline, child.wait_with_output()).await;
    let Ok(ended) = ended else {
        return Err(Failure::new(format!("{line} did not end within {} s", deadline.as_secs())));
    };
    let ended = ended.during(|| format!("wait for {line}"))?;
    if !ended.status.success() {
        let words = String::from_utf8_lossy(&ended.stderr);
        return Err(Failure::new(format!("{line} {}: {}", how(ended.status), words.trim())));
    }
    Ok(Ran { stdout: String::from_utf8_lossy(&ended.stdout).into_owned(), took: begun.elapsed() })
}

/// The command as one would type it, without quotes.
pub(super) fn line_of(command: &Command) -> String {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// How a program ended, as a clause.
pub(super) fn how(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".into(),
    }
}
