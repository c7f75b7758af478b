//! fsx: one file under random operations, each read compared with what was written; on one mount, and
//! on two that it meets by turns.
//!
//! fsx opens its file again and again by one path. Between two mounts that path is a symbolic link
//! which is turned from one mount to the other all the time, so each opening is on either host.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use holdfast_tests::bins;
use holdfast_tests::cluster::Cluster;
use holdfast_tests::process::{Process, mortal};
use holdfast_tests::random::{self, size};
use holdfast_tests::scratch::Scratch;
use holdfast_tests::wait::Watchdog;

/// What fsx does, and how often; what waits for the server's disk (writing through a mapping is
/// followed by msync(2)) less often than the rest. No operation has no bytes: fsx takes `EINVAL` of such a
/// posix_fallocate(3) for a file system that has none.
const CONFIG: &str = "
flen = 262144
[opsize]
min = 1
max = 65536
[weights]
close_open = OPENS
invalidate = 1.0
mapread = 10.0
mapwrite = 2.0
read = 20.0
write = 20.0
truncate = 5.0
fsync = 0.2
fdatasync = 0.2
posix_fallocate = 3.0
punch_hole = 5.0
sendfile = 5.0
copy_file_range = 5.0
posix_fadvise = 1.0
";

/// Operations of one process of fsx. It never unmaps what it has read through a mapping, and the kernel
/// gives a process 65,530 mappings (`vm.max_map_count`), which it has used up after about 600,000.
const PART: usize = 100_000;

/// fsx takes seeds below this.
const SEEDS: u64 = 1 << 31;

/// What one process of fsx does.
#[derive(Clone, Copy)]
struct Part {
    seed: u64,
    operations: usize,
}

/// One run of fsx.
struct Fsx {
    seed: u64,
    operations: usize,
    limit: Duration,
    scratch: Scratch,
    _watchdog: Watchdog,
}

impl Fsx {
    fn new(name: &str) -> Self {
        let operations = size("HOLDFAST_FSX_OPS", 50_000, 1_000_000);
        let limit = Duration::from_secs(if random::torture() { 4 * 3600 } else { 480 });
        let watchdog = Watchdog::start(name, limit + Duration::from_secs(30));
        let seed = random::seed(name) % SEEDS;
        Self { seed, operations, limit, scratch: Scratch::new("fsx"), _watchdog: watchdog }
    }

    /// On this file; `opens`: how often it is opened anew, among about a hundred operations.
    fn command(&self, part: Part, opens: u32, file: &Path) -> Command {
        let config = self.scratch.path().join("fsx.toml");
        fs::write(&config, CONFIG.replace("OPENS", &format!("{opens}.0"))).unwrap();
        let mut command = mortal(bins::tool("fsx", "cargo install fsx --version 0.3.2 --locked"));
        command.arg("-f").arg(&config).arg("-P").arg(self.scratch.path());
        command.args(["-N", &part.operations.to_string(), "-S", &part.seed.to_string()]).arg(file);
        command
    }

    /// The processes that make all of its operations, one after the other.
    fn parts(&self) -> Vec<Part> {
        let begins = (0..self.operations).step_by(PART);
        let part = |(number, begin): (usize, usize)| Part {
            seed: (self.seed + number as u64) % SEEDS,
            operations: PART.min(self.operations - begin),
        };
        begins.enumerate().map(part).collect()
    }

    fn start(&self, part: Part, opens: u32, file: &Path) -> Process {
        Process::start("fsx", self.command(part, opens, file), &self.scratch.path().join("log"))
    }

    fn judge(part: Part, process: &Process, status: ExitStatus, file: &Path) {
        let text = process.output();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(40)..].join("\n");
        assert!(status.success(), "fsx with seed {} ended with {status}:\n{tail}", part.seed);
        assert!(text.contains("All operations completed"), "it does not say that it did all:\n{tail}");
        assert!(fs::metadata(file).is_ok(), "there is no file: did it run?");
        eprintln!("fsx: {} operations with seed {}, no difference", part.operations, part.seed);
    }
}

#[test]
fn fsx_on_one_mount() {
    run_on_one_mount("fsx", "");
}

#[test]
fn fsx_on_an_exclusive_mount() {
    run_on_one_mount("fsx alone", "exclusive");
}

fn run_on_one_mount(name: &str, options: &str) {
    let fsx = Fsx::new(name);
    let cluster = Cluster::one_host();
    cluster.volume("fsx");
    let mount = cluster.mount_with(0, "fsx", options);
    let path = mount.at("file");
    for part in fsx.parts() {
        let mut process = fsx.start(part, 1, &path);
        let status = process.wait(fsx.limit);
        Fsx::judge(part, &process, status, &path);
    }
}

#[test]
fn fsx_between_two_mounts() {
    let fsx = Fsx::new("fsx between two mounts");
    let cluster = Cluster::lan(&["host-a", "host-b"]);
    cluster.volume("fsx");
    let mounts = [cluster.mount(0, "fsx"), cluster.mount(1, "fsx")];
    let (path, next) = (fsx.scratch.path().join("file"), fsx.scratch.path().join("next"));
    symlink(mounts[0].at("file"), &path).unwrap();
    let start = Instant::now();
    for part in fsx.parts() {
        let mut process = fsx.start(part, 10, &path);
        let (mut seen, mut turns) = (BTreeSet::new(), 0_usize);
        let status = loop {
            if let Some(status) = process.ended() {
                break status;
            }
            assert!(start.elapsed() < fsx.limit, "fsx does not end");
            turns += 1;
            symlink(mounts[turns % 2].at("file"), &next).unwrap();
            fs::rename(&next, &path).unwrap();
            seen.extend(mounts_in_use(process.pid()));
            std::thread::sleep(Duration::from_millis(1));
        };
        Fsx::judge(part, &process, status, &path);
        assert!(seen.len() >= 2, "it had its file open on {} mounts, in {turns} turns", seen.len());
    }
}

/// The numbers of the mounts on which a process has a file of this name open.
fn mounts_in_use(pid: i32) -> Vec<String> {
    let Ok(handles) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let of_file = |number: &str| {
        let link = fs::read_link(format!("/proc/{pid}/fd/{number}")).ok()?;
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).ok()?;
        let mount = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?;
        link.ends_with("file").then(|| mount.trim().to_owned())
    };
    let numbers = handles.filter_map(|handle| handle.ok()?.file_name().into_string().ok());
    numbers.filter_map(|number| of_file(&number)).collect()
}
