//! Runs a program in our place although we stay: signals go through, and its end is ours.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, pipe2};

mod death;

/// What is passed on. The others either cannot be caught or mean this process alone.
const FORWARDED: [Signal; 8] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGWINCH,
];

/// `SI_KERNEL` of sigaction(2): the terminal sent it, to the whole foreground group.
const SI_KERNEL: i32 = 0x80;
/// How often a program with a time limit is looked at.
const PAUSE: Duration = Duration::from_millis(2);

/// Starts a command, passes signals on to it, and waits for its end.
///
/// The command gets an empty signal mask, and the parent-death signal that we have, if any. What
/// the terminal sends reaches it without us, and is not sent twice. To be called before the
/// process has other threads: a signal that one of them does not block ends the process.
///
/// # Errors
/// When it cannot be started or waited for.
pub fn run(command: &mut Command) -> io::Result<ExitStatus> {
    let caught: SigSet = FORWARDED.into_iter().collect();
    let before = caught.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let result = run_masked(command, &caught);
    before.thread_set_mask()?;
    result
}

fn run_masked(command: &mut Command, caught: &SigSet) -> io::Result<ExitStatus> {
    let signals = SignalFd::with_flags(caught, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    if let Some(signal) = prctl::get_pdeathsig()? {
        death::set(command, signal);
    }
    let (ended, tell_end) = pipe2(OFlag::O_CLOEXEC)?;
    let mut child = command.spawn()?;
    let pid = pid(&child);
    // The end of the child closes the pipe. It stays a zombie until we collect it below, so that
    // its number cannot become another process's while signals are passed on.
    let waiter = thread::Builder::new().name("holdfast-wait".into()).spawn(move || {
        while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
        drop(tell_end);
    })?;
    let passed = pass_on(pid, &signals, ended.as_fd());
    // Not before the child has ended, however passing on ended.
    let status = child.wait();
    drop(waiter.join());
    passed.and(status)
}

/// Passes signals on until the other end of `ended` is closed.
fn pass_on(child: Pid, signals: &SignalFd, ended: BorrowedFd<'_>) -> io::Result<()> {
    loop {
        let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN), PollFd::new(ended, PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        let over = fds[1].any().unwrap_or(true);
        while let Some(info) = signals.read_signal()? {
            forward(child, info.ssi_signo, info.ssi_code)?;
        }
        if over {
            return Ok(());
        }
    }
}

fn forward(child: Pid, number: u32, code: i32) -> io::Result<()> {
    let signal = i32::try_from(number).ok().and_then(|number| Signal::try_from(number).ok());
    match signal {
        Some(signal) if FORWARDED.contains(&signal) && code != SI_KERNEL => match kill(child, signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        },
        _ => Ok(()),
    }
}

fn pid(child: &Child) -> Pid {
    // Process numbers have 22 bits at most.
    Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX))
}

/// Runs a command to its end. `None`: it cannot be started, or took too long and was killed.
pub(crate) fn finishes(command: &mut Command, limit: Duration) -> Option<ExitStatus> {
    let mut child = command.spawn().ok()?;
    let end = Instant::now() + limit;
    while Instant::now() < end {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) => thread::sleep(PAUSE),
            Err(_) => break,
        }
    }
    // Both fail only when the child is gone already.
    drop(child.kill());
    drop(child.wait());
    None
}

/// The exit code of a program as a shell has it: 128 and the signal's number when one ended it.
#[must_use]
pub fn exit_code(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;
    let number = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(number.and_then(|number| u8::try_from(number).ok()).unwrap_or(1))
}

#[cfg(test)]
mod tests;
