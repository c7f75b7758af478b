//! Hosts as name spaces: each has its own network, mounts and host name.
//!
//! A [`Lan`] is one storage host with a bridge, to which each other host is wired. Nothing of it
//! is in the machine's own name spaces, so tests cannot disturb each other or the machine, and
//! all of it is gone when the processes that hold it are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bins;
use crate::command::{Outcome, program, run, run_limited};
use crate::process::{Process, mortal};
use crate::scratch::Scratch;
use crate::wait;

/// Address of the storage host.
pub const STORAGE: &str = "10.77.0.1";

/// One host.
#[derive(Debug)]
pub struct Host {
    /// Its name, also its host name.
    pub name: String,
    /// Its address in the [`Lan`].
    pub address: String,
    holder: Process,
    scratch: Scratch,
}

/// A storage host and the hosts wired to it.
#[derive(Debug)]
pub struct Lan {
    /// Where the server runs.
    pub storage: Host,
    /// The others.
    pub hosts: Vec<Host>,
}

impl Lan {
    /// A storage host and `names.len()` hosts.
    ///
    /// # Panics
    /// When the machine has no name spaces, bridge or veth, or this is not root.
    #[must_use]
    pub fn new(names: &[&str]) -> Self {
        let storage = Host::new("storage", STORAGE);
        storage.ip("link add hf0 type bridge");
        storage.ip(&format!("addr add {STORAGE}/24 dev hf0"));
        storage.ip("link set hf0 up");
        let wire = |(index, name): (usize, &&str)| {
            let host = Host::new(name, &format!("10.77.0.{}", index + 11));
            let (port, pid) = (format!("veth-{index}"), host.holder.pid());
            storage.ip(&format!("link add {port} type veth peer name eth0 netns {pid}"));
            storage.ip(&format!("link set {port} master hf0 up"));
            host.ip(&format!("addr add {}/24 dev eth0", host.address));
            host.ip("link set eth0 up");
            host
        };
        let hosts = names.iter().enumerate().map(wire).collect();
        Self { storage, hosts }
    }
}

impl Host {
    fn new(name: &str, address: &str) -> Self {
        let scratch = Scratch::new(name);
        let mut command = mortal("unshare");
        command.args(["--net", "--mount", "--uts", "--propagation", "private", "--", "sleep", "infinity"]);
        let mut holder = Process::start(&format!("host {name}"), command, &scratch.path().join("holder.log"));
        wait::until_true("a host's name spaces", wait::SOON, || {
            assert!(holder.ended().is_none(), "no name spaces (are you root?): {}", holder.output());
            fs::read_to_string(format!("/proc/{}/comm", holder.pid())).is_ok_and(|comm| comm.trim() == "sleep")
        });
        let host = Self { name: name.to_owned(), address: address.to_owned(), holder, scratch };
        let _ = run(host.program(&["hostname", name])).ok();
        host.ip("link set lo up");
        host
    }

    fn ip(&self, words: &str) {
        let words: Vec<&str> = ["ip"].into_iter().chain(words.split(' ')).collect();
        let _ = run(self.program(&words)).ok();
    }

    /// A command that runs on this host; add arguments and environment to it.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = mortal("nsenter");
        let target = format!("--target={}", self.holder.pid());
        command.args([&target, "--net", "--mount", "--uts", "--"]).arg(program);
        command
    }

    /// A program with its arguments, on this host.
    #[must_use]
    pub fn program(&self, words: &[&str]) -> Command {
        let mut command = self.command(words[0]);
        command.args(&words[1..]);
        command
    }

    /// A line of shell, on this host.
    #[track_caller]
    #[must_use]
    pub fn sh(&self, script: &str) -> Outcome {
        run(self.program(&["sh", "-c", script]))
    }

    /// The same with another time limit.
    #[track_caller]
    #[must_use]
    pub fn sh_limited(&self, script: &str, limit: Duration) -> Outcome {
        run_limited(self.program(&["sh", "-c", script]), limit)
    }

    /// Installs mount(8)'s helper, under the names that `make install` gives it, on this host only.
    ///
    /// # Panics
    /// When that fails.
    pub fn install_mount_helper(&self) {
        let install = self.dir("install");
        for name in ["mount.holdfast", "mount.fuse.holdfast"] {
            std::os::unix::fs::symlink(bins::ours("holdfast"), install.join(name))
                .unwrap_or_else(|error| panic!("cannot install {name}: {error}"));
        }
        let sbin = "$(readlink -f /sbin)";
        let _ = self.sh(&format!("mount -t overlay none -o lowerdir={}:{sbin} {sbin}", install.display())).ok();
    }

    /// A path of this host, as the test program sees it from outside.
    #[must_use]
    pub fn see(&self, path: &Path) -> PathBuf {
        let relative = path.strip_prefix("/").unwrap_or(path);
        PathBuf::from(format!("/proc/{}/root", self.holder.pid())).join(relative)
    }

    /// Its table of mounts.
    #[must_use]
    pub fn mountinfo(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/mountinfo", self.holder.pid()))
    }

    /// A directory of this host's own.
    #[must_use]
    pub fn dir(&self, name: &str) -> PathBuf {
        self.scratch.dir(name)
    }

    /// Where its logs go.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.scratch.path().join(format!("{name}.log"))
    }

    /// Cuts its network: packets vanish, as when a cable is pulled.
    pub fn cut(&self) {
        let chain = |name, hook, device| {
            format!("  chain {name} {{\n    type filter hook {hook} priority 0\n    {device} \"eth0\" drop\n  }}\n")
        };
        let (inward, outward) = (chain("in_", "input", "iifname"), chain("out_", "output", "oifname"));
        self.nft(&format!("table inet cut {{\n{inward}{outward}}}\n"));
    }

    /// Wires it again.
    pub fn heal(&self) {
        self.nft("delete table inet cut");
    }

    /// Kills the TCP connections that it has with the storage host, as a middlebox may.
    pub fn reset_connections(&self) {
        let _ = self.sh(&format!("ss --kill --tcp dst {STORAGE}")).ok();
    }

    fn nft(&self, rules: &str) {
        let rules_file = self.scratch.path().join("rules.nft");
        fs::write(&rules_file, rules).unwrap_or_else(|error| panic!("cannot write rules: {error}"));
        let _ = run(self.program(&["nft", "-f", &rules_file.to_string_lossy()])).ok();
    }

    /// Every process in its mount name space, its holder left out, and their children.
    fn processes(&self) -> Vec<i32> {
        let space = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
        let own = space(&self.holder.pid().to_string());
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.parse::<i32>().is_ok());
        let pids: Vec<String> = pids.collect();
        let parent = |pid: &str| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat.rsplit(") ").next()?.split(' ').nth(1)?.parse::<i32>().ok()
        };
        let mut found: Vec<i32> = Vec::new();
        for pid in pids.iter().filter(|pid| own.is_some() && space(pid) == own) {
            found.extend(pid.parse::<i32>().ok());
        }
        loop {
            let more: Vec<i32> = pids
                .iter()
                .filter(|pid| parent(pid).is_some_and(|parent| found.contains(&parent)))
                .filter_map(|pid| pid.parse().ok())
                .filter(|pid| !found.contains(pid))
                .collect();
            if more.is_empty() {
                break;
            }
            found.extend(more);
        }
        found.retain(|pid| *pid != self.holder.pid());
        found
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for _ in 0..200 {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            for pid in left {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            thread::sleep(Duration::from_millis(10));
        }
        eprintln!("host {}: processes are left: {:?}", self.name, self.processes());
    }
}

/// A program on the machine itself.
#[must_use]
pub fn local(words: &[&str]) -> Command {
    program(words)
}
