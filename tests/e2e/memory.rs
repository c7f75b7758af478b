//! A mount in 256 MiB, whatever is done through it: writes faster than its network takes them, more files than
//! it remembers, large reads, many open files.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use holdfast_tests::cgroup::MemoryGroup;
use holdfast_tests::cluster::{Cluster, Options};
use holdfast_tests::mount::Mount;
use holdfast_tests::random::{Random, seed, torture};
use holdfast_tests::wait::Watchdog;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::network::Stop;
use crate::stats::stats_on;

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 256 * MIB;
/// What the host's network takes while it is slow.
const SLOW: &str = "rate 400mbit burst 256kb latency 50ms";
const WRITERS: usize = 4;
/// Together more than the limit.
const WRITTEN: u64 = 80 * MIB;
/// More than a mount remembers inodes (96 Ki).
const FILES: usize = 120_000;
const FILES_OF_A_DIRECTORY: usize = 1000;
const OPEN: usize = 20_000;
const OPEN_MIN: usize = 2000;
/// Bytes of changes that have to wait for the server at some moment, or nobody was held back.
const HELD_BACK: u64 = 12 * MIB;
/// More than that may never wait: what a session keeps, and one write of each writer.
const KEPT_MAX: u64 = 64 * MIB;

/// Runs this for each number, several at a time.
fn in_parallel(numbers: usize, work: impl Fn(usize) -> io::Result<()> + Sync) {
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                while let Some(number) =
                    usize::try_from(next.fetch_add(1, Ordering::Relaxed)).ok().filter(|n| *n < numbers)
                {
                    work(number).unwrap();
                }
            });
        }
    });
}

/// What a mount keeps for the server, at most at any moment until `over`.
fn watch_pending(cluster: &Cluster, mount: &Mount, over: &AtomicBool) -> u64 {
    let mut most = 0;
    while !over.load(Ordering::Relaxed) {
        most = most.max(stats_on(cluster, 0, mount)["session"]["pending_bytes"].as_u64().unwrap());
        thread::sleep(Duration::from_millis(50));
    }
    most
}

/// Large files faster than the network takes them; the most that was kept back.
fn write_large(cluster: &Cluster, mount: &Mount, written: u64) -> u64 {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| watch_pending(cluster, mount, &over));
        let enough = Stop(&over);
        in_parallel(WRITERS, |number| {
            let mut file = File::create(mount.at(&format!("large-{number}")))?;
            let block = vec![u8::try_from(number).unwrap() + 1; 1 << 20];
            for _ in 0..written / MIB {
                file.write_all(&block)?;
            }
            file.sync_all()
        });
        drop(enough);
        watching.join().unwrap()
    })
}

fn make_small(mount: &Mount, files: usize) {
    in_parallel(files / FILES_OF_A_DIRECTORY, |number| {
        let dir = mount.at(&format!("d{number}"));
        fs::create_dir(&dir)?;
        (0..FILES_OF_A_DIRECTORY)
            .try_for_each(|file| fs::write(dir.join(format!("{file}")), format!("{number} {file}")))
    });
}

/// Every name with its attributes.
fn walk(dir: &Path) -> io::Result<usize> {
    let mut found = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        found += 1;
        if entry.metadata()?.is_dir() {
            found += walk(&entry.path())?;
        }
    }
    Ok(found)
}

/// In sequence and at random places, all at once.
fn read_large(mount: &Mount, written: u64, seed: u64) {
    in_parallel(2 * WRITERS, |number| {
        let (large, mut random) = (number % WRITERS, Random::new(seed + number as u64));
        let mut file = File::open(mount.at(&format!("large-{large}")))?;
        let mut buffer = vec![0; 1 << 20];
        let is_right = |bytes: &[u8]| assert!(bytes.iter().all(|&byte| usize::from(byte) == large + 1), "a wrong byte");
        if number < WRITERS {
            let mut total = 0;
            loop {
                let len = file.read(&mut buffer)?;
                is_right(&buffer[..len]);
                total += len as u64;
                if len == 0 {
                    break;
                }
            }
            assert_eq!(total, written);
        } else {
            for _ in 0..500 {
                let len = 1 + random.index(buffer.len() / 4);
                file.read_exact_at(&mut buffer[..len], random.below(written - MIB))?;
                is_right(&buffer[..len]);
            }
        }
        Ok(())
    });
}

/// So many files open at once, or as many as the machine lets this program have; how many.
fn hold_open(mount: &Mount, files: usize) -> usize {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let files = usize::try_from(hard).unwrap_or(usize::MAX).saturating_sub(1000).min(files);
    assert!(files >= OPEN_MIN, "this program may have {hard} files open: too few to show anything");
    let path =
        |number: usize| mount.at(&format!("d{}/{}", number / FILES_OF_A_DIRECTORY, number % FILES_OF_A_DIRECTORY));
    let open: Vec<File> =
        (0..files).map(|number| File::options().read(true).write(true).open(path(number)).unwrap()).collect();
    for (number, file) in open.iter().enumerate().step_by(97) {
        file.write_all_at(b"open", 0).unwrap();
        fs::remove_file(path(number)).unwrap();
    }
    let mut bytes = [0; 4];
    for file in open.iter().step_by(97) {
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"open");
    }
    files
}

#[test]
fn a_mount_in_256_mib_survives_any_load() {
    let _watchdog = Watchdog::start("memory", Duration::from_secs(if torture() { 3600 } else { 240 }));
    let more = if torture() { 5 } else { 1 };
    let group = MemoryGroup::new(LIMIT);
    let cluster = Cluster::lan_with(&["host"], Options::default());
    cluster.volume("v");
    let mut mount = cluster.mount(0, "v");
    group.take(mount.process.pid());
    let host = cluster.host(0);
    let begun = Instant::now();
    let told = |what: &str, mount: &mut Mount| {
        eprintln!("{what}: {:.1} s, at most {} MiB so far", begun.elapsed().as_secs_f64(), group.peak() / MIB);
        assert_eq!(group.kills(), 0, "the mount was killed for its memory: {what}");
        assert!(mount.process.ended().is_none(), "the mount ended: {what}: {}", mount.process.output());
    };
    let _ = host.sh(&format!("tc qdisc add dev eth0 root tbf {SLOW}")).ok();
    let (written, files) = (WRITTEN * more, FILES * usize::try_from(more).unwrap());
    let kept = write_large(&cluster, &mount, written);
    let _ = host.sh("tc qdisc del dev eth0 root").ok();
    told(
        &format!("{} MiB written, {} MiB waited for the server", WRITERS as u64 * written / MIB, kept / MIB),
        &mut mount,
    );
    assert!(
        kept >= HELD_BACK,
        "only {kept} bytes waited at any moment: nobody was held back, so this run proves nothing"
    );
    assert!(kept <= KEPT_MAX, "{kept} bytes waited for the server");
    make_small(&mount, files);
    told(&format!("{files} files made"), &mut mount);
    let found = walk(&mount.path).unwrap();
    assert_eq!(found, WRITERS + files + files / FILES_OF_A_DIRECTORY);
    told(&format!("{found} names seen"), &mut mount);
    read_large(&mount, written, seed("memory"));
    told("large files read", &mut mount);
    let open = hold_open(&mount, OPEN);
    told(&format!("{open} files open"), &mut mount);
    let stats = stats_on(&cluster, 0, &mount);
    eprintln!("memory of a mount: at most {} of {} MiB; {}", group.peak() / MIB, LIMIT / MIB, stats["memory"]);
    mount.unmount(&cluster, 0);
}
