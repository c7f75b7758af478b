//! A mount on a host: `holdfast mount` in the foreground, seen from the test program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::clocks::Clocks;
use crate::cluster::Cluster;
use crate::command::{program, run_limited};
use crate::host::Host;
use crate::process::Process;
use crate::wait;

/// A mounted volume.
#[derive(Debug)]
pub struct Mount {
    /// The process that serves it.
    pub process: Process,
    /// Where it is on its host.
    pub inside: PathBuf,
    /// The same directory as the test program sees it.
    pub path: PathBuf,
    /// What unmounts on its host, and its host's table of mounts.
    enter: Vec<String>,
    table: PathBuf,
}

impl Mount {
    pub(crate) fn new(cluster: &Cluster, host: usize, volume: &str, options: &str, clocks: Option<&Clocks>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("m{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let host_of = cluster.host(host);
        let inside = host_of.dir(&name);
        let mut command = cluster.command(host, "holdfast");
        command.args(["mount", &format!("{}/{volume}", cluster.address())]).arg(&inside);
        command.args(["-o", "fg"]);
        if !options.is_empty() {
            command.args(["-o", options]);
        }
        if let Some(clocks) = clocks {
            clocks.give(&mut command);
        }
        let mut process = Process::start(&format!("mount {name} on {}", host_of.name), command, &host_of.log(&name));
        wait::until_true("the mount", wait::SOON, || {
            assert!(process.ended().is_none(), "the mount ended: {}", process.output());
            is_mounted(host_of, &inside)
        });
        let enter: Vec<&str> = vec!["umount", "--lazy"];
        let enter = words(&host_of.program(&enter));
        Self { process, path: host_of.see(&inside), inside, enter, table: host_of.mountinfo() }
    }

    /// A path in it.
    #[must_use]
    pub fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Unmounts it as a person does, and waits until its process has ended.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn unmount(mut self, cluster: &Cluster, host: usize) {
        let mut command = cluster.command(host, "holdfast");
        command.arg("umount").arg(&self.inside);
        let _ = run_limited(command, Duration::from_secs(60)).ok();
        let status = self.process.wait(wait::SOON);
        assert!(status.success(), "the mount ended with {status}: {}", self.process.output());
    }

    /// SIGKILL to its process: the host forgets everything that was not sent.
    pub fn kill(mut self) {
        self.process.kill();
    }
}

/// Whether something is mounted at this place of the host.
#[must_use]
pub fn is_mounted(host: &Host, inside: &Path) -> bool {
    lists(&fs::read_to_string(host.mountinfo()).unwrap_or_default(), inside)
}

fn lists(table: &str, inside: &Path) -> bool {
    let inside = inside.to_string_lossy();
    table.lines().any(|line| line.split(' ').nth(4) == Some(&inside))
}

fn words(command: &Command) -> Vec<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    [program].into_iter().chain(command.get_args().map(|word| word.to_string_lossy().into_owned())).collect()
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.process.signal(nix::sys::signal::Signal::SIGTERM);
        for _ in 0..400 {
            if self.process.ended().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let table = fs::read_to_string(&self.table).unwrap_or_default();
        if !lists(&table, &self.inside) {
            return;
        }
        let mut line: Vec<&str> = self.enter.iter().map(String::as_str).collect();
        let inside = self.inside.to_string_lossy().into_owned();
        line.push(&inside);
        let _ = run_limited(program(&line), Duration::from_secs(20));
    }
}
