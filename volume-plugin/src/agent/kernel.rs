//! The things that need `unsafe`: asking a mount for life without being caught by it, the
//! immutable flag of a directory, and the number of a mount namespace.
#![expect(unsafe_code, reason = "fork, ioctl: neither has a safe wrapper; nothing else in the crate needs unsafe")]

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::thread;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, pipe2};

use super::deadline::Deadline;

/// What a mount answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is alive; the type of its file system, as statfs(2) has it.
    Alive(i64),
    /// The call failed at once.
    Failed(Errno),
    /// No answer in time.
    Silent,
}

/// Asks the file system at a path for its statistics.
///
/// A child does it: a FUSE mount whose process hangs keeps its caller in the kernel, where not even
/// SIGKILL reaches it, and the caller could not exit any more.
///
/// # Errors
/// When no child or pipe can be had.
pub(super) fn probe(path: &Path, deadline: Deadline) -> io::Result<Answer> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    let out = write.as_raw_fd();
    // SAFETY: the child calls only async-signal-safe functions (statfs, write, _exit) on memory
    // that exists already, so it does not matter which threads and locks the fork left behind.
    let pid = match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => probe_child(&path, out),
        pid => Pid::from_raw(pid),
    };
    drop(write);

    let mut fds = [PollFd::new(read.as_fd(), PollFlags::POLLIN)];
    let ready = loop {
        let wait = PollTimeout::try_from(deadline.left()).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, wait) {
            Err(Errno::EINTR) => {}
            Err(errno) => break Err(errno),
            Ok(count) => break Ok(count > 0),
        }
    };
    if ready != Ok(true) {
        abandon(pid);
        return ready.map(|_| Answer::Silent).map_err(io::Error::from);
    }
    let mut bytes = [0; 12];
    let answered = File::from(read).read_exact(&mut bytes);
    reap(pid);
    answered?;
    let (errno, kind) = bytes.split_at(4);
    let errno = i32::from_ne_bytes(errno.try_into().unwrap_or_default());
    let kind = i64::from_ne_bytes(kind.try_into().unwrap_or_default());
    Ok(if errno == 0 { Answer::Alive(kind) } else { Answer::Failed(Errno::from_raw(errno)) })
}

/// The child: one call, its result into the pipe, gone.
fn probe_child(path: &CString, out: i32) -> ! {
    let mut stat = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: `path` ends with NUL, `stat` has room for the answer and is read only after success;
    // errno is the calling thread's own.
    let (errno, kind) = unsafe {
        if libc::statfs(path.as_ptr(), stat.as_mut_ptr()) == 0 {
            (0, stat.assume_init().f_type)
        } else {
            (*libc::__errno_location(), 0)
        }
    };
    let mut bytes = [0_u8; 12];
    bytes[..4].copy_from_slice(&errno.to_ne_bytes());
    bytes[4..].copy_from_slice(&kind.to_ne_bytes());
    // SAFETY: writes from an array of that length, fewer bytes than PIPE_BUF, so whole or not at
    // all; _exit runs no handlers of the parent's.
    unsafe {
        libc::write(out, bytes.as_ptr().cast(), bytes.len());
        libc::_exit(0)
    }
}

/// Waits for a child that is about to be gone.
fn reap(pid: Pid) {
    while waitpid(pid, None) == Err(Errno::EINTR) {}
}

/// Kills a child that hangs in the kernel. It goes when the mount answers or is aborted; a thread
/// waits for that, so that a long-lived process gathers no zombies. It holds nothing but the pid.
fn abandon(pid: Pid) {
    if let Err(errno) = kill(pid, Signal::SIGKILL) {
        tracing::warn!(%pid, %errno, "cannot kill a probe that hangs");
    }
    if waitpid(pid, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive) {
        let reaper = thread::Builder::new().name("holdfast-reap".into()).spawn(move || reap(pid));
        if let Err(error) = reaper {
            tracing::warn!(%pid, %error, "cannot wait for a probe that hangs; it stays as a zombie");
        }
    }
}

nix::ioctl_read!(get_flags, b'f', 1, libc::c_long);
nix::ioctl_write_ptr!(set_flags, b'f', 2, libc::c_long);

/// `FS_IMMUTABLE_FL` of ioctl_iflags(2).
const IMMUTABLE: libc::c_long = 0x10;

/// Sets or clears the immutable flag, as chattr(1) does with `i`.
///
/// # Errors
/// `ENOTTY` or `EOPNOTSUPP` where the file system has no such flag, `EPERM` without the capability.
pub(super) fn set_immutable(file: BorrowedFd<'_>, immutable: bool) -> Result<(), Errno> {
    let mut flags: libc::c_long = 0;
    // SAFETY: the descriptor is open; the kernel writes an int into a long of ours.
    unsafe { get_flags(file.as_raw_fd(), &raw mut flags) }?;
    let wanted = if immutable { flags | IMMUTABLE } else { flags & !IMMUTABLE };
    if wanted != flags {
        // SAFETY: the descriptor is open; the kernel reads an int from a long of ours.
        unsafe { set_flags(file.as_raw_fd(), &raw const wanted) }?;
    }
    Ok(())
}

nix::ioctl_read!(get_mount_namespace_id, 0xb7, 5, u64);

/// The number of a mount namespace, which no other one gets until the machine boots again
/// (`NS_GET_MNTNS_ID` of ioctl_nsfs(2), Linux 6.11).
///
/// # Errors
/// `ENOTTY` on older kernels.
pub(super) fn mount_namespace_id(namespace: BorrowedFd<'_>) -> Result<u64, Errno> {
    let mut id = 0;
    // SAFETY: the descriptor is open; the kernel writes a u64 into one of ours.
    unsafe { get_mount_namespace_id(namespace.as_raw_fd(), &raw mut id) }?;
    Ok(id)
}
