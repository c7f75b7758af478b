//! A mount in a process of its own, that outlives the command that asked for it.
//!
//! The command starts its own program again and waits for one line on a pipe: that the mount works,
//! or why not. The pipe is the child's standard output, so no descriptor has to be handed over in
//! another way, and a child that dies says so by closing it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use holdfast_core::error::{Error, ErrorKind, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const READY: &str = "ready";
/// Longest message of a child that is read, in bytes.
const MESSAGE_BYTES_MAX: usize = 16 << 10;

/// Kinds of failure that a child can tell its parent, by the names on the pipe.
const KINDS: [ErrorKind; 10] = [
    ErrorKind::Invalid,
    ErrorKind::NotFound,
    ErrorKind::AlreadyExists,
    ErrorKind::InUse,
    ErrorKind::NoSpace,
    ErrorKind::Unauthenticated,
    ErrorKind::Denied,
    ErrorKind::Version,
    ErrorKind::Unavailable,
    ErrorKind::Timeout,
];

/// Starts a daemon and waits until its mount works.
///
/// `command` is this program with arguments that make it call [`Daemon::begin`] and mount. Its
/// output goes to `log`. When the deadline passes, the child is stopped.
///
/// # Errors
/// The child's own failure; `Timeout`; `Internal` when it cannot be started or dies without a word.
pub fn spawn_daemon(mut command: Command, log: &Path, deadline: Duration) -> Result<Child> {
    let failed = |what: &str, error: io::Error| {
        Error::new(ErrorKind::Internal, format!("cannot start the mount's process: {what}: {error}")).because(error)
    };
    if let Some(dir) = log.parent() {
        std::fs::create_dir_all(dir).map_err(|error| failed(&format!("log directory {}", dir.display()), error))?;
    }
    let log_file = OpenOptions::new().append(true).create(true).mode(0o640).open(log);
    let log_file = log_file.map_err(|error| failed(&format!("log {}", log.display()), error))?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log_file);
    let mut child = command.spawn().map_err(|error| failed("exec", error))?;
    match wait_ready(&mut child, deadline, log) {
        Ok(()) => Ok(child),
        Err(error) => {
            // It may have ended by itself; in any case it is reaped here.
            let _ = child.kill();
            let _ = child.wait();
            Err(error)
        }
    }
}

fn wait_ready(child: &mut Child, deadline: Duration, log: &Path) -> Result<()> {
    let broken = |message: String| Error::new(ErrorKind::Internal, message);
    let mut pipe = child.stdout.take().ok_or_else(|| broken("the mount's process has no pipe".to_owned()))?;
    let end = Instant::now() + deadline;
    let mut said = Vec::new();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let millis = u16::try_from(left.as_millis()).unwrap_or(u16::MAX);
        let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::from(millis)) {
            Ok(0) if left.is_zero() => {
                let message = format!("the mount is not ready after {} s; see {}", deadline.as_secs(), log.display());
                return Err(Error::new(ErrorKind::Timeout, message));
            }
            Ok(0) | Err(nix::errno::Errno::EINTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(broken(format!("cannot wait for the mount's process: {error}"))),
        }
        let mut part = [0; 4096];
        let len =
            pipe.read(&mut part).map_err(|error| broken(format!("cannot read from the mount's process: {error}")))?;
        said.extend_from_slice(&part[..len]);
        if said.ends_with(b"\n") && said.starts_with(READY.as_bytes()) {
            return Ok(());
        }
        if len == 0 || said.len() > MESSAGE_BYTES_MAX {
            return Err(parse_failure(&String::from_utf8_lossy(&said), log));
        }
    }
}

fn parse_failure(said: &str, log: &Path) -> Error {
    let told = said.trim_end().split_once(' ').and_then(|(name, message)| {
        let kind = KINDS.into_iter().find(|kind| format!("{kind:?}") == name);
        kind.or((name == "Internal").then_some(ErrorKind::Internal)).map(|kind| Error::new(kind, message))
    });
    told.unwrap_or_else(|| {
        Error::new(ErrorKind::Internal, format!("the mount's process ended without a word; see {}", log.display()))
    })
}

/// The child's side: a process that belongs to no terminal, and owes its parent one line.
#[derive(Debug)]
pub struct Daemon(());

impl Daemon {
    /// Leaves the parent's session and directory. Call it first thing in the child, and print
    /// nothing to standard output.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn begin() -> io::Result<Self> {
        // Fails when this process leads a group already: then it has no terminal to leave.
        match nix::unistd::setsid() {
            Ok(_) | Err(nix::errno::Errno::EPERM) => {}
            Err(error) => return Err(error.into()),
        }
        std::env::set_current_dir("/")?;
        Ok(Self(()))
    }

    /// Tells the parent that the mount works, and lets it go.
    pub fn ready(self) {
        Self::say(READY);
    }

    /// Tells the parent why it does not.
    pub fn failed(self, error: &Error) {
        let kind = if KINDS.contains(&error.kind()) { format!("{:?}", error.kind()) } else { "Internal".to_owned() };
        Self::say(&format!("{kind} {}", error.to_string().replace('\n', " ")));
    }

    fn say(line: &str) {
        let mut out = io::stdout().lock();
        // The parent may be gone; the mount does not depend on it.
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
        if let Ok(null) = File::options().write(true).open("/dev/null") {
            let _ = nix::unistd::dup2_stdout(null.as_fd());
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
    use super::*;

    fn run(script: &str, deadline: Duration) -> Result<Child> {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        spawn_daemon(command, &dir.path().join("logs/log"), deadline)
    }

    #[test]
    fn a_child_that_is_ready_goes_on() {
        let mut child = run("echo ready; exec sleep 100 >/dev/null", Duration::from_secs(20)).unwrap();
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_childs_failure_is_passed_on() {
        let error = run("echo NotFound volume x does not exist; exit 1", Duration::from_secs(20)).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::NotFound, "volume x does not exist"));
        let error = run("exit 1", Duration::from_secs(20)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(error.message().contains("without a word"));
    }

    #[test]
    fn a_child_that_hangs_is_stopped() {
        let error = run("sleep 100", Duration::from_millis(200)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }
}
