//! A bound on the memory of a process, and what it came to: a control group of the memory controller, of
//! version 1 or 2.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// Names of the files of one version: of the bound, of the highest use, and of the count of kills.
struct Files {
    limit: &'static str,
    peak: &'static str,
    kills: &'static str,
}

const V1: Files =
    Files { limit: "memory.limit_in_bytes", peak: "memory.max_usage_in_bytes", kills: "memory.oom_control" };
const V2: Files = Files { limit: "memory.max", peak: "memory.peak", kills: "memory.events" };

/// A group with a bound. Its processes must be gone before it is dropped.
#[derive(Debug)]
pub struct MemoryGroup {
    path: PathBuf,
    files: &'static Files,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.limit)
    }
}

impl MemoryGroup {
    /// A new group below this program's own, or below the root.
    ///
    /// # Panics
    /// When the machine has no memory controller that this program may use.
    #[must_use]
    pub fn new(limit_bytes: u64) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (root, files) = hierarchy();
        let name = format!("holdfast-test-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = root.join(name);
        fs::create_dir(&path).unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        let group = Self { path, files };
        group.write(files.limit, &limit_bytes.to_string());
        group
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path.join(file);
        fs::write(&path, text).unwrap_or_else(|error| panic!("cannot write {text} to {}: {error}", path.display()));
    }

    fn read(&self, file: &str) -> String {
        let path = self.path.join(file);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
    }

    /// Takes a process in, with all that it allocates from here on.
    ///
    /// # Panics
    /// When it is gone.
    pub fn take(&self, pid: i32) {
        self.write("cgroup.procs", &pid.to_string());
    }

    /// The most that was in use at one time, in bytes.
    ///
    /// # Panics
    /// When the kernel does not tell.
    #[must_use]
    pub fn peak(&self) -> u64 {
        let text = self.read(self.files.peak);
        text.trim().parse().unwrap_or_else(|error| panic!("{}: {error}", text.trim()))
    }

    /// How many processes were killed because of the bound.
    #[must_use]
    pub fn kills(&self) -> u64 {
        let text = self.read(self.files.kills);
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // A process that has just ended stays for a moment.
        for _ in 0..200 {
            if fs::remove_dir(&self.path).is_ok() || !self.path.exists() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        eprintln!("{} is left", self.path.display());
    }
}

/// Where groups of the memory controller are made.
fn hierarchy() -> (PathBuf, &'static Files) {
    let old = Path::new("/sys/fs/cgroup/memory");
    let (root, files, own) = if old.join(V1.limit).exists() {
        (old, &V1, own_group("memory"))
    } else {
        (Path::new("/sys/fs/cgroup"), &V2, None)
    };
    // Below its own group, what a test takes counts for whoever bounds the tests.
    let below = own.map(|own| root.join(own.trim_start_matches('/'))).filter(|path| path.join(files.limit).exists());
    (below.unwrap_or_else(|| root.to_owned()), files)
}

/// This program's group in the hierarchy of a controller (version 1).
fn own_group(controller: &str) -> Option<String> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let has = fields.next()?.split(',').any(|name| name == controller);
        has.then(|| fields.next().map(str::to_owned))?
    })
}
