//! Processes that cannot outlive the tests.
//!
//! Each is started by one thread that lives as long as the program, with a parent-death signal,
//! so that a killed test program leaves nothing; each is killed when it is dropped.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait;

/// Every process that runs now.
static RUNNING: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

type Answer = Sender<io::Result<Child>>;
/// The death signal goes by the thread that started the child: this one never ends.
static SPAWNER: LazyLock<Sender<(Command, Answer)>> = LazyLock::new(|| {
    let (ask, asked) = channel::<(Command, Answer)>();
    thread::spawn(move || {
        for (mut command, answer) in asked {
            let _ = answer.send(command.spawn());
        }
    });
    ask
});

fn spawn(command: Command) -> io::Result<Child> {
    let (answer, answered) = channel();
    SPAWNER.send((command, answer)).map_err(|_| io::Error::other("the spawner is gone"))?;
    answered.recv().map_err(|_| io::Error::other("the spawner is gone"))?
}

/// The command, to be killed when this program dies. What this program was told in `HOLDFAST_*`
/// variables is not for those that it starts.
#[must_use]
pub fn mortal(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HOLDFAST_") {
            command.env_remove(name);
        }
    }
    command
}

fn running() -> std::sync::MutexGuard<'static, BTreeSet<i32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills every process that the tests started and that still runs.
pub fn kill_all() {
    for pid in running().iter() {
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
}

/// A process with its output in a file.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    status: Option<ExitStatus>,
    log: PathBuf,
}

impl Process {
    /// Starts a command made with [`mortal`]; what it prints is appended to `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(name: &str, mut command: Command, log: &Path) -> Self {
        let open =
            || File::options().create(true).append(true).open(log).unwrap_or_else(|e| panic!("{}: {e}", log.display()));
        command.stdin(Stdio::null()).stdout(open()).stderr(open());
        let child = spawn(command).unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        running().insert(child.id().cast_signed());
        Self { name: name.to_owned(), child, status: None, log: log.to_owned() }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Its exit status, when it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            running().remove(&self.pid());
            self.status = Some(status);
        }
        self.status
    }

    /// Sends a signal, if it still runs.
    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            let _ = kill(Pid::from_raw(self.pid()), signal);
        }
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) -> ExitStatus {
        self.signal(Signal::SIGKILL);
        self.wait(wait::SOON)
    }

    /// SIGTERM, and waits for the end.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait(wait::SOON)
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When it has not ended after `limit`.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let name = self.name.clone();
        wait::until(&format!("the end of {name}"), limit, || self.ended())
    }

    /// What it printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Prints the end of its log: for a test that fails.
    pub fn show_log(&self) {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        eprintln!("--- {} ({}), last lines of {}", self.name, describe(self.status), lines.len());
        for line in &lines[lines.len().saturating_sub(40)..] {
            eprintln!("    {line}");
        }
    }
}

fn describe(status: Option<ExitStatus>) -> String {
    match status {
        None => "running".into(),
        Some(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or(0)),
        },
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            self.ended();
            self.show_log();
        }
        if self.ended().is_none() {
            let _ = kill(Pid::from_raw(self.pid()), Signal::SIGKILL);
            for _ in 0..1000 {
                if self.ended().is_some() {
                    break;
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        running().remove(&self.pid());
    }
}
