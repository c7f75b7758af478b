//! How threads are scheduled: their class, the processors that they may run on, and what the kernel
//! counts of them. Linux only.
#![expect(unsafe_code, reason = "sched_setscheduler(2) has no safe wrapper")]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// A scheduling class (sched(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// `SCHED_OTHER`.
    Normal,
    /// `SCHED_IDLE`: a processor that runs nothing else counts as idle.
    Idle,
}

/// Puts a thread into a class.
///
/// # Errors
/// `EPERM`: back from `Idle` needs `CAP_SYS_NICE`. `ESRCH`: it is gone.
pub(super) fn set_class(thread: Pid, class: Class) -> nix::Result<()> {
    let policy = match class {
        Class::Normal => libc::SCHED_OTHER,
        Class::Idle => libc::SCHED_IDLE,
    };
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: the kernel reads one `sched_param`, which outlives the call.
    let result = unsafe { libc::sched_setscheduler(thread.as_raw(), policy, &raw const parameter) };
    nix::errno::Errno::result(result).map(drop)
}

/// The processors that a thread may run on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Processors(CpuSet);

impl Processors {
    /// Those of the calling thread.
    pub(super) fn mine() -> nix::Result<Self> {
        sched_getaffinity(Pid::from_raw(0)).map(Self)
    }

    /// How many they are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        (0..CpuSet::count()).filter(|&processor| self.0.is_set(processor).unwrap_or(false)).count()
    }

    /// Just this one, if it is among them.
    pub(super) fn only(&self, processor: usize) -> Option<Self> {
        let mut one = CpuSet::new();
        let among = self.0.is_set(processor).unwrap_or(false) && one.set(processor).is_ok();
        among.then_some(Self(one))
    }

    /// Lets a thread run on these and no others.
    pub(super) fn give(&self, thread: Pid) -> nix::Result<()> {
        sched_setaffinity(thread, &self.0)
    }
}

/// The last processor of a thread, as often as it is asked for (proc_pid_stat(5)).
#[derive(Debug)]
pub(super) struct WhereRuns(File);

impl WhereRuns {
    /// `thread`: as numbered in our pid namespace.
    pub(super) fn of(thread: u32) -> io::Result<Self> {
        File::open(format!("/proc/{thread}/stat")).map(Self)
    }

    /// `None`: the thread is gone.
    pub(super) fn processor(&self) -> Option<usize> {
        let mut text = [0; 1024];
        let len = self.0.read_at(&mut text, 0).ok()?;
        processor_in(text.get(..len)?)
    }
}

/// Field 39. The second one is a name in parentheses, which may hold anything.
fn processor_in(stat: &[u8]) -> Option<usize> {
    let name_ends = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(stat.get(name_ends + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(36)?.parse().ok()
}

/// What a thread has had of the processors, in nanoseconds (Documentation/scheduler/sched-stats).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    /// It ran.
    pub(super) ran: u64,
    /// It could have run, and others did.
    pub(super) delayed: u64,
}

/// The times of a thread of this process.
#[derive(Debug)]
pub(super) struct TimesOf(File);

impl TimesOf {
    pub(super) fn of(thread: Pid) -> io::Result<Self> {
        File::open(format!("/proc/self/task/{thread}/schedstat")).map(Self)
    }

    /// `None`: the thread is gone.
    pub(super) fn read(&self) -> Option<Times> {
        let mut text = [0; 128];
        let len = self.0.read_at(&mut text, 0).ok()?;
        let mut fields = std::str::from_utf8(text.get(..len)?).ok()?.split_ascii_whitespace();
        Some(Times { ran: fields.next()?.parse().ok()?, delayed: fields.next()?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests;
