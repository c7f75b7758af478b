//! The parent-death signal of a child.
#![expect(unsafe_code, reason = "only code between fork and exec can set it")]

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, raise};
use nix::unistd::{Pid, getppid};

/// Makes the child get `signal` when this thread ends, as this process does when its parent ends.
pub(super) fn set(command: &mut Command, signal: Signal) {
    let parent = Pid::this();
    let arrange = move || {
        set_pdeathsig(signal)?;
        // Too late for the kernel to tell when the parent is gone already.
        if getppid() != parent {
            raise(signal)?;
        }
        Ok::<(), io::Error>(())
    };
    // SAFETY: prctl, getppid and raise are async-signal-safe, and nothing is allocated: an errno
    // becomes an io::Error without that.
    unsafe { command.pre_exec(arrange) };
}
