//! What this host's `/proc` tells of the processes that use a mount.
//!
//! Nothing here touches a file system but `/proc`, so nothing here can wait for a mount.

use std::collections::HashMap;
use std::fs;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use holdfast_client::Process;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};
use parking_lot::Mutex;

/// Threads whose process is remembered.
const THREADS_MAX: usize = 1024;
/// For how long; a number may be another thread's by then.
const THREAD_TIME: Duration = Duration::from_secs(10);
/// How exactly the start of a process is known.
const START_SLACK: Duration = Duration::from_secs(1);
/// Flag of a process that is on its way out (Linux `PF_EXITING`).
const EXITING: u64 = 0x4;

/// The process of a thread that just asked for something; the thread itself where `/proc` does not
/// tell. A program opens many files from one thread, so it is remembered for a little.
pub(crate) fn of_thread(thread: u32) -> u32 {
    static KNOWN: LazyLock<Mutex<HashMap<u32, (u32, Instant)>>> = LazyLock::new(Mutex::default);
    if thread == 0 {
        return 0;
    }
    let now = Instant::now();
    if let Some(&(process, read)) = KNOWN.lock().get(&thread)
        && now.duration_since(read) < THREAD_TIME
    {
        return process;
    }
    let status = fs::read_to_string(format!("/proc/{thread}/status"));
    let process = status.ok().and_then(|status| field(&status, "Tgid:")?.parse().ok()).unwrap_or(thread);
    let mut known = KNOWN.lock();
    if known.len() >= THREADS_MAX {
        known.retain(|_, (_, read)| now.duration_since(*read) < THREAD_TIME);
        if known.len() >= THREADS_MAX {
            known.clear();
        }
    }
    known.insert(thread, (process, now));
    process
}

/// A process that was there so long ago.
pub(crate) fn describe(pid: u32, there_for: Duration) -> Process {
    let gone = Process { pid, gone: true, ..Process::default() };
    let Some(stat) = Stat::read(pid) else { return gone };
    if stat.is_dead() || stat.age().is_none_or(|age| age + START_SLACK < there_for) {
        return gone;
    }
    let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let name = String::from_utf8_lossy(&name).trim_end().to_owned();
    Process { pid, name, container: container_of(&cgroup), gone: false }
}

/// Whether a thread is on its way out: it closes its files, and cannot be killed any more.
pub(crate) fn is_exiting(thread: u32) -> bool {
    thread != 0 && Stat::read(thread).is_some_and(|stat| stat.is_dead() || stat.flags & EXITING != 0)
}

/// Whether a thread, which waits for a lock, asked for an open-file-description lock: the kernel
/// does not say so in its request, but what the thread is waiting in is written in `/proc`.
pub(crate) fn awaits_lock_of_open_file(thread: u32) -> bool {
    let text = fs::read_to_string(format!("/proc/{thread}/syscall")).unwrap_or_default();
    let mut words = text.split_ascii_whitespace();
    let call = words.next().and_then(|number| number.parse::<i64>().ok());
    let command = words.nth(1).and_then(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
    call == Some(libc::SYS_fcntl) && command == u64::try_from(libc::F_OFD_SETLKW).ok()
}

/// The calls that rename.
pub(crate) const RENAMES: &[i64] = &[libc::SYS_rename, libc::SYS_renameat, libc::SYS_renameat2];
/// The calls that change an owner.
pub(crate) const CHOWNS: &[i64] = &[libc::SYS_chown, libc::SYS_fchown, libc::SYS_lchown, libc::SYS_fchownat];

/// Whether a thread, which waits for an answer, is in one of these calls. `None`: `/proc` does not
/// tell. It may be a moment before its wait shows.
pub(crate) async fn is_in(thread: u32, calls: &[i64]) -> Option<bool> {
    for _ in 0..5 {
        if let Some(call) = call_of(thread) {
            return Some(calls.contains(&call));
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    None
}

/// The call that a thread waits in; none while it runs.
fn call_of(thread: u32) -> Option<i64> {
    let text = fs::read_to_string(format!("/proc/{thread}/syscall")).ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// proc_pid_stat(5), as far as it matters here.
struct Stat {
    state: u8,
    flags: u64,
    /// In clock ticks since boot.
    started: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The name is in parentheses and may hold anything.
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let number = |at: usize| fields.get(at)?.parse().ok();
        Some(Self { state: *fields.first()?.as_bytes().first()?, flags: number(6)?, started: number(19)? })
    }

    const fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    fn age(&self) -> Option<Duration> {
        let ticks = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok().filter(|ticks| *ticks > 0)?;
        let started = Duration::from_millis(self.started.saturating_mul(1000) / ticks);
        Some(Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?).saturating_sub(started))
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// The container of a process, by the path of its cgroup: the id that docker, containerd, CRI
/// engines and podman put there, or the name of a container of ours.
fn container_of(cgroup: &str) -> Option<String> {
    // `hierarchy:controllers:path`; of several hierarchies the one that says something.
    let paths = cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths.filter_map(container_in).next().map(str::to_owned)
}

fn container_in(path: &str) -> Option<&str> {
    const ENGINES: [&str; 5] = ["docker-", "libpod-", "cri-containerd-", "crio-", "nerdctl-"];
    let ours = path.split("/holdfast/").nth(1).and_then(|rest| rest.split('/').next());
    let is_id = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    // The innermost counts: a container may run an engine itself.
    let theirs = path.rsplit('/').find_map(|part| {
        let part = part.strip_suffix(".scope").unwrap_or(part);
        // With the systemd driver and without a scope: `slice:engine:id`.
        let part = part.rsplit(':').next().unwrap_or(part);
        let id = ENGINES.iter().find_map(|engine| part.strip_prefix(engine)).unwrap_or(part);
        is_id(id).then_some(id)
    });
    theirs.or(ours.filter(|name| !name.is_empty() && name.len() <= 128))
}

#[cfg(test)]
mod tests;
