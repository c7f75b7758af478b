//! Taking a mount away: never hangs, also when its server or its process is dead.
//!
//! Order: unmount(2), then wait for the process that served it, which makes everything durable. If
//! the deadline passes and force is asked for, the kernel's connection is aborted, so that everything
//! that waits fails, and the process is stopped. What could not be made durable is told.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use holdfast_core::error::{Error, ErrorKind, Result};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::mount::record::MountRecord;
use crate::mount::table::{self, MountEntry};

/// Where the kernel shows FUSE connections.
const CONNECTIONS: &str = "/sys/fs/fuse/connections";
/// How often the process of a mount is looked at.
const POLL: Duration = Duration::from_millis(20);
/// How long the process of a mount may take to note that the kernel's side is gone.
const NOTE: Duration = Duration::from_secs(2);
/// How long to look for who uses a mount.
const USERS_TIME_MAX: Duration = Duration::from_secs(2);
/// How long an aborted connection and a stopped process may take to go.
const AFTER_ABORT: Duration = Duration::from_secs(10);

/// How to take a mount away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnmountOptions {
    /// After the deadline, abort: programs get errors, and what was not durable is lost. Also for
    /// a mount that programs use.
    pub force: bool,
    /// Take it out of the tree at once; it ends when the last program lets its files go.
    pub lazy: bool,
    /// How long to wait until everything is durable.
    pub deadline: Duration,
}

impl Default for UnmountOptions {
    fn default() -> Self {
        Self { force: false, lazy: false, deadline: Duration::from_secs(60) }
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmounted {
    /// Everything is durable, and the mount's process is gone.
    Clean,
    /// It is out of the tree; programs, or other mounts of the same file system (bind mounts,
    /// containers), still use it.
    Detached,
    /// It is gone, and something that programs were told was not durable: what a person should know.
    Lost(String),
    /// It is gone. No process is known that served it, so nothing can be said about its changes.
    Unserved,
}

/// Takes the mount on a directory away.
///
/// # Errors
/// `NotFound`: nothing of ours is mounted there. `InUse`: programs use it; the message names some.
/// `Timeout`: not durable within the deadline, and no force; the mount's process goes on trying.
pub fn unmount(dir: &Path, run_dir: &Path, options: UnmountOptions) -> Result<Unmounted> {
    let mount = find(dir)?;
    let record = MountRecord::read(run_dir, mount.minor).filter(|record| record.point == mount.point);
    let end = Instant::now() + options.deadline;
    match umount2(&mount.point, options.lazy, options.deadline) {
        Ok(()) => {}
        Err(Errno::EBUSY) if options.force => {
            abort(mount.minor);
            detach(&mount)?;
        }
        Err(Errno::EBUSY) => return Err(in_use(&mount)),
        Err(Errno::ETIMEDOUT) if options.force => {
            abort(mount.minor);
            detach(&mount)?;
        }
        Err(Errno::ETIMEDOUT) => return Err(too_slow(&mount, options.deadline)),
        Err(Errno::EPERM) => {
            return Err(Error::new(
                ErrorKind::Denied,
                format!("cannot unmount {}: it needs root", mount.point.display()),
            ));
        }
        Err(errno) => {
            let message = format!("cannot unmount {}: {errno}", mount.point.display());
            return Err(Error::new(ErrorKind::Unavailable, message).because(errno));
        }
    }
    let Some(record) = record else { return Ok(Unmounted::Unserved) };
    // As soon as nothing uses it the kernel lets its process go, which notes that it is closing.
    let note_end = Instant::now() + NOTE;
    let closing = || MountRecord::read(run_dir, mount.minor).is_none_or(|now| now.closing || now.pid != record.pid);
    while record.is_alive() && !closing() {
        if Instant::now() >= note_end {
            if !options.force {
                return Ok(Unmounted::Detached);
            }
            abort(mount.minor);
            break;
        }
        thread::sleep(POLL);
    }
    if wait_gone(&record, end).is_err() {
        if !options.force {
            return Err(too_slow(&mount, options.deadline));
        }
        stop(&record);
        record.remove(run_dir);
        let what = format!(
            "{} was taken away by force while its process waited for the server; changes that were not synced are lost",
            mount.point.display()
        );
        return Ok(Unmounted::Lost(what));
    }
    // The process removes its record when all is well, and leaves its last words otherwise.
    match MountRecord::read(run_dir, mount.minor).filter(|left| left.pid == record.pid) {
        None => Ok(Unmounted::Clean),
        Some(left) => {
            left.remove(run_dir);
            let died = || {
                format!(
                    "the process that served {} died; changes that were not synced may be lost",
                    mount.point.display()
                )
            };
            Ok(Unmounted::Lost(left.lost.unwrap_or_else(died)))
        }
    }
}

/// Aborts a FUSE connection: everything that waits on it fails at once. The file system for it is
/// mounted if need be.
pub(crate) fn abort(minor: u32) {
    let file = PathBuf::from(CONNECTIONS).join(minor.to_string()).join("abort");
    if std::fs::write(&file, "1").is_ok() {
        return;
    }
    if !Path::new(CONNECTIONS).join(minor.to_string()).exists() {
        let none: Option<&str> = None;
        let control = nix::mount::mount(Some("fusectl"), CONNECTIONS, Some("fusectl"), MsFlags::empty(), none);
        if let Err(error) = control {
            tracing::debug!(%error, "cannot mount the file system of FUSE connections");
        }
        // Without it there, the connection is gone already.
        if let Err(error) = std::fs::write(&file, "1") {
            tracing::debug!(minor, %error, "no connection to abort");
        }
    }
}

/// The mount at a directory, without touching the mounted file system.
pub(crate) fn find(dir: &Path) -> Result<MountEntry> {
    let shown = dir.display();
    let unreadable = |error: std::io::Error| {
        Error::new(ErrorKind::Unavailable, "cannot read the list of mounts in /proc; is /proc mounted?").because(error)
    };
    let absolute = std::path::absolute(dir).map_err(unreadable)?;
    // Links above are resolved, the directory itself is not looked at: it may hang.
    let point = match (absolute.parent().map(Path::canonicalize), absolute.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => absolute.clone(),
    };
    let mounts = table::read().map_err(unreadable)?;
    let found = mounts.iter().rfind(|mount| mount.point == point || mount.point == absolute).cloned();
    let found = found.or_else(|| {
        // A link to the mount point.
        let link = std::fs::read_link(&absolute).ok()?;
        let target = point.parent()?.join(link);
        mounts.iter().rfind(|mount| mount.point == target).cloned()
    });
    match found {
        Some(mount) if mount.is_holdfast() => Ok(mount),
        Some(mount) => Err(Error::new(
            ErrorKind::Invalid,
            format!("{shown} is a mount of type {}, not a holdfast mount", mount.kind),
        )),
        None => Err(Error::new(ErrorKind::NotFound, format!("nothing is mounted on {shown}"))),
    }
}

/// umount2(2) with a deadline: it may wait for pages to be written. `ETIMEDOUT`: it still waits.
fn umount2(point: &Path, lazy: bool, deadline: Duration) -> nix::Result<()> {
    let flags = MntFlags::UMOUNT_NOFOLLOW | if lazy { MntFlags::MNT_DETACH } else { MntFlags::empty() };
    let (sender, done) = mpsc::sync_channel(1);
    let point = point.to_owned();
    let started = thread::Builder::new().name("umount".to_owned()).spawn(move || {
        // Nobody waits any more after the deadline.
        let _ = sender.send(nix::mount::umount2(&point, flags));
    });
    if started.is_err() {
        return Err(Errno::EAGAIN);
    }
    done.recv_timeout(deadline).unwrap_or(Err(Errno::ETIMEDOUT))
}

fn detach(mount: &MountEntry) -> Result<()> {
    match umount2(&mount.point, true, AFTER_ABORT) {
        // Gone meanwhile: the umount that hung has gone through after the abort.
        Ok(()) | Err(Errno::EINVAL) => Ok(()),
        Err(errno) => {
            let message = format!("cannot unmount {} even by force: {errno}", mount.point.display());
            Err(Error::new(ErrorKind::Unavailable, message).because(errno))
        }
    }
}

struct StillThere;

fn wait_gone(record: &MountRecord, end: Instant) -> std::result::Result<(), StillThere> {
    while record.is_alive() {
        if Instant::now() >= end {
            return Err(StillThere);
        }
        thread::sleep(POLL);
    }
    Ok(())
}

fn stop(record: &MountRecord) {
    let Ok(pid) = i32::try_from(record.pid).map(Pid::from_raw) else { return };
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        if !record.is_alive() {
            return;
        }
        if let Err(error) = kill(pid, signal) {
            tracing::debug!(pid = record.pid, %error, "the mount's process cannot be stopped");
        }
        if wait_gone(record, Instant::now() + AFTER_ABORT / 4).is_ok() {
            return;
        }
    }
}

fn in_use(mount: &MountEntry) -> Error {
    let users = users_soon(&mount.point);
    let by = if users.is_empty() { String::new() } else { format!(" by {}", users.join(", ")) };
    Error::new(
        ErrorKind::InUse,
        format!("{} is in use{by}; end what uses it, or unmount with --lazy or --force", mount.point.display()),
    )
}

fn too_slow(mount: &MountEntry, deadline: Duration) -> Error {
    Error::new(
        ErrorKind::Timeout,
        format!(
            "{} is not unmounted after {} s because its server does not answer; its process goes on trying. Give up what \
             was not synced with --force",
            mount.point.display(),
            deadline.as_secs()
        ),
    )
}

/// As [`users`], if that is to be had soon: what `/proc` tells of a process that begins a program waits for
/// that, and so for whatever it waits for.
fn users_soon(point: &Path) -> Vec<String> {
    let (sender, found) = mpsc::channel();
    let point = point.to_owned();
    // Left alone when it takes too long.
    let looks = thread::Builder::new().name("users".to_owned()).spawn(move || _ = sender.send(users(&point)));
    looks.ok().and_then(|_| found.recv_timeout(USERS_TIME_MAX).ok()).unwrap_or_default()
}

/// Some processes with a file or directory of the mount open. Reads links in `/proc` only, which
/// touch no file system.
fn users(point: &Path) -> Vec<String> {
    const SHOWN: usize = 5;
    let below = |link: PathBuf| {
        std::fs::read_link(link).is_ok_and(|target| {
            let (target, point) = (target.as_os_str().as_bytes(), point.as_os_str().as_bytes());
            target.strip_prefix(point).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        })
    };
    let uses = |process: &Path| {
        below(process.join("cwd"))
            || below(process.join("root"))
            || below(process.join("exe"))
            || std::fs::read_dir(process.join("fd")).is_ok_and(|fds| fds.flatten().any(|fd| below(fd.path())))
    };
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter(|entry| entry.file_name().as_bytes().iter().all(u8::is_ascii_digit));
    let users = pids.filter(|entry| uses(&entry.path())).map(|entry| {
        let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        format!("{} (pid {})", name.trim(), entry.file_name().to_string_lossy())
    });
    users.take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
    use super::*;

    #[test]
    fn only_mounts_of_ours_are_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        let options = UnmountOptions::default();
        let error = unmount(dir.path(), dir.path(), options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = unmount(Path::new("/proc"), dir.path(), options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("type proc"));
    }

    #[test]
    fn users_of_a_directory_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        assert!(users(&path).is_empty());
        let _open = std::fs::File::create(path.join("file")).unwrap();
        assert!(users(&path).iter().any(|user| user.contains(&std::process::id().to_string())));
    }
}
