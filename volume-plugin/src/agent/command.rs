//! Mounts by running `holdfast mount` and `holdfast umount`: the mount is a process of its own.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use holdfast_core::error::{Error, ErrorKind, Result};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, killpg};
use nix::sys::statfs::FUSE_SUPER_MAGIC;
use nix::unistd::Pid;

use super::deadline::Deadline;
use super::kernel::{Answer, probe};
use super::layout::broken;
use super::mounter::{LiveMount, MountState, Mounter};
use super::mountinfo;
use super::request::{RemoteVolume, VolumePath};

/// The environment variable that names the `holdfast` binary.
const BIN_VARIABLE: &str = "HOLDFAST_BIN";
/// Where to look for it when `PATH` is not set.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How much of a command's words goes into an error, in bytes.
const WORDS_BYTES_MAX: u64 = 1024;

/// The [`Mounter`] of real hosts.
#[derive(Clone, Debug)]
pub struct CommandMounter {
    program: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

impl CommandMounter {
    /// With this `holdfast` binary.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self { program, environment: Vec::new() }
    }

    /// The same, with variables that it is given besides this process's own.
    #[must_use]
    pub fn with_environment(mut self, variables: Vec<(OsString, OsString)>) -> Self {
        self.environment.extend(variables);
        self
    }

    /// With the binary that `HOLDFAST_BIN` names, else `holdfast` beside this executable, else in `PATH`.
    ///
    /// `variable` reads the environment.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none.
    pub fn find(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        if let Some(set) = variable(BIN_VARIABLE).filter(|set| !set.is_empty()) {
            let program = PathBuf::from(set);
            return if is_program(&program) {
                Ok(Self::new(program))
            } else {
                let message = format!("{BIN_VARIABLE} names {}, which is no program", program.display());
                Err(Error::new(ErrorKind::NotFound, message))
            };
        }
        let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join("holdfast")));
        let search = variable("PATH").unwrap_or_else(|| PATH_DEFAULT.into());
        let in_path = std::env::split_paths(&search).filter(|dir| dir.is_absolute()).map(|dir| dir.join("holdfast"));
        let found = beside.into_iter().chain(in_path).find(|path| is_program(path));
        found.map(Self::new).ok_or_else(|| {
            let message = format!(
                "cannot find the program 'holdfast', which mounts volumes; install it in PATH or set {BIN_VARIABLE} to it"
            );
            Error::new(ErrorKind::NotFound, message)
        })
    }

    /// Runs one command to its end, with what it says in a log that begins anew.
    fn run(&self, arguments: &[&OsStr], log: &Path, deadline: Deadline) -> Result<Ended> {
        let told = |error| broken("write", log, error);
        let mut file = OpenOptions::new();
        let mut file = file.create(true).truncate(true).read(true).write(true).mode(0o600).open(log).map_err(told)?;
        let (out, err) = (file.try_clone().map_err(told)?, file.try_clone().map_err(told)?);
        let mut child = Command::new(&self.program)
            .args(arguments)
            .current_dir("/")
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .map_err(|error| broken("run", &self.program, error))?;
        let Some(status) =
            deadline.poll(|| child.try_wait()).map_err(|error| broken("wait for", &self.program, error))?
        else {
            stop(&mut child);
            return Ok(Ended { status: None, words: words(&mut file) });
        };
        Ok(Ended { status: Some(status), words: words(&mut file) })
    }
}

/// How a command ended, and what it said.
struct Ended {
    /// `None`: not in time.
    status: Option<ExitStatus>,
    words: String,
}

impl Ended {
    fn check(self, did: &str) -> Result<()> {
        let (kind, late, fallback) = match self.status {
            Some(status) if status.success() => return Ok(()),
            Some(status) => (ErrorKind::Unavailable, "", format!("the command ended with {status}")),
            None => (ErrorKind::Timeout, " in time", "check that the server can be reached".to_owned()),
        };
        let message = match self.words {
            // It says itself what it could not do.
            words if words.starts_with("cannot ") && late.is_empty() => words,
            words if words.is_empty() => format!("cannot {did}{late}: {fallback}"),
            words => format!("cannot {did}{late}: {words}"),
        };
        Err(Error::new(kind, message))
    }
}

impl Mounter for CommandMounter {
    fn inspect(&self, volume: &RemoteVolume, target: &Path, deadline: Deadline) -> Result<MountState> {
        let Some(entry) = mountinfo::at(target)? else {
            return Ok(MountState::Absent);
        };
        let fuse = entry.fs_type == "fuse" || entry.fs_type == "fuse.holdfast";
        if !fuse || !is_source(&entry.source, volume) {
            return Ok(MountState::Foreign(format!("{} of type {}", entry.source.display(), entry.fs_type)));
        }
        let answer = probe(target, deadline).map_err(|error| broken("probe", target, error))?;
        Ok(match answer {
            Answer::Alive(kind) if kind == FUSE_SUPER_MAGIC.0 => MountState::Live(LiveMount {
                device: entry.device,
                nosuid: entry.has("nosuid"),
                nodev: entry.has("nodev"),
            }),
            Answer::Alive(kind) => MountState::Foreign(format!("a file system of type {kind:#x}")),
            Answer::Failed(Errno::ENOTCONN | Errno::ECONNABORTED) => MountState::Dead,
            Answer::Failed(errno) => MountState::Silent(errno.desc().to_lowercase()),
            Answer::Silent => MountState::Silent("no answer in time".into()),
        })
    }

    fn mount(
        &self,
        volume: &RemoteVolume,
        read_only: bool,
        target: &Path,
        log: &Path,
        deadline: Deadline,
    ) -> Result<()> {
        let what = volume.to_string();
        let mut arguments = vec![OsStr::new("mount"), OsStr::new(&what), target.as_os_str()];
        if read_only {
            arguments.extend([OsStr::new("-o"), OsStr::new("ro")]);
        }
        self.run(&arguments, log, deadline)?.check(&format!("mount volume {volume}"))
    }

    fn unmount(&self, target: &Path, deadline: Deadline) -> Result<()> {
        let log = target.with_extension("umount.log");
        let ended = self.run(&[OsStr::new("umount"), target.as_os_str()], &log, deadline);
        if let Err(error) = fs::remove_file(&log)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %log.display(), %error, "cannot remove a log");
        }
        ended?.check(&format!("unmount {}", target.display()))
    }

    fn detach(&self, target: &Path) -> Result<()> {
        umount2(target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
            .map_err(|errno| broken("detach", target, errno.into()))
    }
}

/// Whether a mount's source names the root of the volume, as `SERVER/VOLUME` or `SERVER:/VOLUME`.
fn is_source(source: &OsStr, volume: &RemoteVolume) -> bool {
    let path = source.to_str().and_then(|text| text.parse::<VolumePath>().ok());
    path.is_some_and(|path| {
        path.server.as_ref() == Some(&volume.server) && path.volume == volume.volume && path.subdir.is_none()
    })
}

/// Whether a path is a file that somebody may execute.
fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Ends a command and what it started, and waits for it: SIGKILL is not refused.
fn stop(child: &mut Child) {
    let group = i32::try_from(child.id()).map(Pid::from_raw);
    let killed = group.map_err(|_| Errno::ESRCH).and_then(|group| killpg(group, Signal::SIGKILL));
    if let Err(errno) = killed {
        tracing::warn!(%errno, "cannot kill a command that took too long");
    }
    if let Err(error) = child.wait() {
        tracing::warn!(%error, "cannot wait for a command that took too long");
    }
}

/// The last words of a command, on one line and without `error:`.
fn words(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let length = file.metadata().map_or(0, |meta| meta.len());
    let read = file
        .seek(SeekFrom::Start(length.saturating_sub(WORDS_BYTES_MAX)))
        .and_then(|_| file.take(WORDS_BYTES_MAX).read_to_end(&mut bytes));
    if let Err(error) = read {
        return format!("(its message cannot be read: {error})");
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let text: String = lines.join("; ").chars().filter(|c| !c.is_control()).collect();
    text.strip_prefix("error: ").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests;
