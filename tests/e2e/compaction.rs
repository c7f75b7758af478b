//! Compaction: what is deleted in scattered places gives its space back, through kills of the server.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::time::Duration;

use holdfast_tests::cluster::{Cluster, Options};
use holdfast_tests::mount::Mount;
use holdfast_tests::random::{self, Random};
use holdfast_tests::wait::{self, Watchdog};
use nix::fcntl::{FallocateFlags, PosixFadviseAdvice, fallocate, posix_fadvise};
use serde_json::Value;

const MIB: u64 = 1 << 20;
const BLOCK: usize = 64 << 10;
const BLOCKS: usize = 64;
/// Files of 4 MiB: more than one segment.
const FILES: usize = 72;
/// Long enough for compaction, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What files take up on the disk below a directory.
fn disk_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).unwrap().flatten();
    // What goes meanwhile takes up nothing.
    let bytes = entries.filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        Some(if metadata.is_dir() { disk_bytes(&entry.path()) } else { metadata.blocks() * 512 })
    });
    bytes.sum()
}

fn segments_of(cluster: &Cluster) -> std::path::PathBuf {
    let volume = fs::read_dir(cluster.data().join("volumes")).unwrap().next().unwrap().unwrap().path();
    volume.join("store/segments")
}

fn shown(cluster: &Cluster) -> Value {
    let text = cluster.holdfast(&["volume", "show", "v", "--json"]).ok();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("no {name} in {value:#}"))
}

/// Writes the files, and takes most of it away again: whole files, blocks of others, parts of blocks.
fn scatter(mount: &Mount, random: &mut Random) -> BTreeMap<String, Vec<u8>> {
    let mut left = BTreeMap::new();
    for number in 0..FILES {
        let name = format!("f{number}");
        let content = random.bytes(BLOCKS * BLOCK);
        fs::write(mount.at(&name), &content).unwrap();
        left.insert(name, content);
    }
    let whole: Vec<String> = left.keys().cloned().collect();
    for (number, name) in whole.iter().enumerate() {
        if number % 4 != 0 {
            fs::remove_file(mount.at(name)).unwrap();
            left.remove(name);
            continue;
        }
        let file = OpenOptions::new().write(true).open(mount.at(name)).unwrap();
        let content = left.get_mut(name).unwrap();
        for block in (0..BLOCKS).filter(|block| block % 3 != 0) {
            let (at, len) = (block * BLOCK, if block % 3 == 1 { BLOCK } else { BLOCK - 4096 });
            let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            fallocate(file.as_fd(), flags, i64::try_from(at).unwrap(), i64::try_from(len).unwrap()).unwrap();
            content[at..at + len].fill(0);
        }
        file.sync_all().unwrap();
    }
    File::open(&mount.path).unwrap().sync_all().unwrap();
    left
}

fn verify(mount: &Mount, left: &BTreeMap<String, Vec<u8>>) {
    for (name, content) in left {
        let mut file = File::open(mount.at(name)).unwrap();
        // What the kernel has of it proves nothing.
        posix_fadvise(file.as_fd(), 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
        let mut read = Vec::with_capacity(content.len());
        file.read_to_end(&mut read).unwrap();
        assert!(read == *content, "{name} is not what was written");
    }
    assert_eq!(fs::read_dir(&mount.path).unwrap().count(), left.len());
}

#[test]
fn what_is_deleted_in_scattered_places_gives_its_space_back() {
    let _watchdog = Watchdog::start("compaction", Duration::from_secs(400));
    let mut options = Options::default();
    // Slow enough to be met by a kill.
    options.words.extend(["--compact-interval=200ms", "--compact-rate=8MiB"].map(str::to_owned));
    let mut cluster = Cluster::one_host_with(options);
    cluster.volume("v");
    let mount = cluster.mount(0, "v");
    let mut random = Random::new(random::seed("compaction"));
    let mut left = scatter(&mount, &mut random);
    let segments = segments_of(&cluster);
    let before = disk_bytes(&segments);

    for kill in 1..=2 {
        let enough = random.below(6 * MIB);
        let work = || Some(shown(&cluster)["compaction"].clone()).filter(|done| number(done, "moved_bytes") > enough);
        let met = wait::until("compaction at work", PATIENCE, work);
        assert_eq!(met["running"], true, "killed too late: {met:#}");
        cluster.kill();
        cluster.start();
        verify(&mount, &left);
        eprintln!("compaction: kill {kill} after {} bytes were moved", number(&met, "moved_bytes"));
    }

    // Writes and reads beside it.
    let last = left.last_entry().unwrap().key().clone();
    let file = OpenOptions::new().write(true).open(mount.at(&last)).unwrap();
    let changed = random.bytes(BLOCK);
    for block in [1, 7, 30] {
        file.write_all_at(&changed, (block * BLOCK + 1000) as u64).unwrap();
        let at = block * BLOCK + 1000;
        left.get_mut(&last).unwrap()[at..at + BLOCK].copy_from_slice(&changed);
    }
    file.sync_all().unwrap();
    drop(file);
    verify(&mount, &left);

    let done = wait::until("the space to come back", PATIENCE, || {
        let shown = shown(&cluster);
        let (data, done) = (&shown["data"], &shown["compaction"]);
        let is_near = number(data, "disk_bytes") <= number(data, "live_bytes") * 11 / 10 + 2 * MIB;
        (is_near && done["running"] == false).then_some(shown)
    });
    verify(&mount, &left);
    let after = disk_bytes(&segments);
    let live = number(&done["data"], "live_bytes");
    assert!(after <= live * 11 / 10 + 2 * MIB, "{after} bytes on the disk, {live} in use");
    assert!(after * 5 < before, "{before} bytes before, {after} after");
    assert_eq!(done["compaction"]["last_failure"], Value::Null, "{done:#}");
    assert!(number(&done["compaction"], "freed_bytes") > 0, "{done:#}");
    let _ = cluster.holdfast(&["volume", "check", "v"]).ok();
    let _ = cluster.holdfast(&["volume", "scrub", "v", "--rate", "4GiB"]).ok();
    eprintln!(
        "compaction: {} MiB of segments before, {} MiB after, {} MiB in use; {} MiB in the whole data directory",
        before / MIB,
        after / MIB,
        live / MIB,
        disk_bytes(&cluster.data()) / MIB
    );
    // What is on the disk is all there is.
    mount.unmount(&cluster, 0);
    cluster.kill();
    cluster.start();
    let mount = cluster.mount(0, "v");
    verify(&mount, &left);
}
