//! The disk cache: what was read comes from it, whatever happened since, and is never anything else than
//! what the server would give.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_tests::cluster::Cluster;
use holdfast_tests::model::step::Disturb;
use holdfast_tests::mount::Mount;
use holdfast_tests::random::{Random, seed, size};
use holdfast_tests::wait::{self, Watchdog};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use serde_json::Value;

const MIB: usize = 1 << 20;
/// Blocks of the file that is read: frames of 64 KiB.
const BLOCKS: u64 = 128;
/// The smallest that a cache may be.
const CACHE_BYTES: u64 = 64 << 20;

fn one_host(name: &str) -> (Watchdog, Cluster, PathBuf) {
    let watchdog = Watchdog::start(name, Duration::from_secs(240));
    let cluster = Cluster::one_host();
    cluster.volume("v");
    let cache = cluster.host(0).dir("cache");
    (watchdog, cluster, cache)
}

/// With room for all that a test reads: each 256th of a cache has room of its own, so that one of 64 MiB may let
/// a block go of 128, by their names.
fn mount(cluster: &Cluster, cache: &Path) -> Mount {
    mount_of(cluster, cache, "1GiB")
}

fn mount_of(cluster: &Cluster, cache: &Path, size: &str) -> Mount {
    cluster.mount_with(0, "v", &format!("cache={},cache-size={size}", cache.display()))
}

/// What the cache, and the session, say of themselves.
fn figures(cluster: &Cluster, mount: &Mount) -> impl Fn(&str) -> u64 + use<> {
    let text = cluster.holdfast(&["stats", "--json", &mount.inside.to_string_lossy()]).ok();
    let json: Value = serde_json::from_str(&text).unwrap();
    move |name| {
        let (part, name) = name.split_once('.').unwrap_or(("cache", name));
        json[part][name].as_u64().unwrap_or_else(|| panic!("no {part}.{name} in {json:#}"))
    }
}

/// Reads a file as if the kernel had nothing of it.
fn read(path: &Path) -> Vec<u8> {
    let file = File::open(path).unwrap();
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
    fs::read(path).unwrap()
}

/// Waits until what was read is on the disk.
fn settle(cluster: &Cluster, mount: &Mount, stored: u64) {
    wait::until_true("the blocks to be written", wait::SOON, || {
        let figures = figures(cluster, mount);
        assert_eq!(figures("skipped"), 0);
        figures("stored") >= stored
    });
}

fn write(path: &Path, content: &[u8]) {
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path).unwrap();
    // What is longer the kernel would part where pages of ours begin, and frames with it.
    for (number, part) in (0..).zip(content.chunks(MIB / 2)) {
        file.write_all_at(part, number * MIB as u64 / 2).unwrap();
    }
    file.sync_all().unwrap();
}

/// Every block in the directory.
fn blocks(cache: &Path) -> Vec<PathBuf> {
    let shelves = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap());
    let shelves = shelves.filter(|entry| entry.file_name().len() == 2).map(|entry| entry.path());
    shelves.flat_map(|shelf| fs::read_dir(shelf).unwrap().map(|entry| entry.unwrap().path())).collect()
}

#[test]
fn what_was_read_comes_from_the_disk_and_is_what_the_server_has() {
    let (_watchdog, mut cluster, cache) = one_host("disk cache");
    let mut random = Random::new(seed("disk cache"));
    let mut content = random.bytes(8 * MIB);
    let a = cluster.mount(0, "v");
    write(&a.at("f"), &content);
    let b = mount(&cluster, &cache);
    assert!(read(&b.at("f")) == content);
    settle(&cluster, &b, BLOCKS);
    assert_eq!(blocks(&cache).len() as u64, BLOCKS);

    let before = figures(&cluster, &b);
    assert!(read(&b.at("f")) == content);
    let after = figures(&cluster, &b);
    assert_eq!((after("hits") - before("hits"), after("misses")), (BLOCKS, before("misses")));
    assert_eq!(after("session.bytes_read"), before("session.bytes_read"), "nothing is read from the server");

    // Another host changes it: within blocks, over some, and its length.
    let changed = random.bytes(150_000);
    for offset in [3 * MIB + 5000, 8 * MIB - 1000] {
        OpenOptions::new().write(true).open(a.at("f")).unwrap().write_all_at(&changed, offset as u64).unwrap();
        content.resize(content.len().max(offset + changed.len()), 0);
        content[offset..offset + changed.len()].copy_from_slice(&changed);
        assert!(fs::read(b.at("f")).unwrap() == content, "at once");
        let before = figures(&cluster, &b);
        assert!(read(&b.at("f")) == content);
        assert!(figures(&cluster, &b)("hits") - before("hits") > BLOCKS - 8, "all but what was changed");
    }

    // Its names are forgotten with the server's epoch, its blocks are not.
    for disturb in [Disturb::Restart, Disturb::Kill] {
        cluster.disturb(disturb);
        let before = figures(&cluster, &b);
        assert!(read(&b.at("f")) == content, "{disturb:?}");
        assert!(figures(&cluster, &b)("hits") - before("hits") > BLOCKS - 8);
    }

    b.unmount(&cluster, 0);
    let (b, c) = (mount(&cluster, &cache), mount(&cluster, &cache));
    for mount in [&b, &c] {
        assert!(read(&mount.at("f")) == content, "after a remount");
        let figures = figures(&cluster, mount);
        assert!(figures("hits") > BLOCKS - 8 && figures("session.bytes_read") < MIB as u64);
    }

    // One block is damaged.
    let hash = holdfast_core::hash::FrameHash::of(&content[64 << 10..128 << 10]).to_string();
    let block = cache.join(&hash[..2]).join(&hash);
    OpenOptions::new().write(true).open(&block).unwrap().write_all_at(b"damage", 1000).unwrap();
    let before = figures(&cluster, &b);
    assert!(read(&b.at("f")) == content);
    let after = figures(&cluster, &b);
    assert_eq!((before("bad"), after("bad")), (0, 1));
    assert!(b.process.output().contains(&hash), "the log names it: {}", b.process.output());
    wait::until_true("the block to be there again", wait::SOON, || block.try_exists().unwrap());
    assert!(read(&b.at("f")) == content);
    assert_eq!(figures(&cluster, &b)("bad"), 1);
}

#[test]
fn two_mounts_that_change_a_file_by_turns_read_what_is_in_it() {
    let (_watchdog, cluster, cache) = one_host("disk cache turns");
    let mut random = Random::new(seed("disk cache turns"));
    let mounts = [mount(&cluster, &cache), mount(&cluster, &cache)];
    let mut content = random.bytes(5 * MIB);
    write(&mounts[0].at("f"), &content);
    let open = |mount: &Mount| OpenOptions::new().read(true).write(true).open(mount.at("f")).unwrap();
    let files = mounts.each_ref().map(open);
    for round in 0..size("HOLDFAST_ROUNDS", 400, 20_000) {
        let file = random.pick(&files);
        let at = if random.percent(50) { random.index(5 * MIB) } else { random.index(80) * (64 << 10) };
        match random.below(10) {
            0 => {
                file.set_len(at as u64).unwrap();
                content.resize(at, 0);
            }
            1..4 => {
                let len = 1 + *random.pick(&[4000, (64 << 10) - 1, 200_000]);
                let changed = random.bytes(len);
                file.write_all_at(&changed, at as u64).unwrap();
                content.resize(content.len().max(at + len), 0);
                content[at..at + len].copy_from_slice(&changed);
            }
            _ => {
                posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
                let end = content.len().min(at + random.pick(&[4096, 100_000, 2 * MIB]));
                let mut read = vec![0; end.saturating_sub(at)];
                file.read_exact_at(&mut read, at as u64).unwrap();
                assert!(read == content[at.min(end)..end], "round {round}: {} bytes at {at}", read.len());
            }
        }
    }
    let hits = mounts.each_ref().map(|mount| figures(&cluster, mount)("hits"));
    assert!(hits.iter().all(|hits| *hits > 0), "{hits:?}");
}

#[test]
fn it_takes_what_it_may_and_no_more() {
    let (_watchdog, cluster, cache) = one_host("disk cache size");
    let mut random = Random::new(seed("disk cache size"));
    let (a, b) = (cluster.mount(0, "v"), mount_of(&cluster, &cache, "64MiB"));
    let contents: Vec<Vec<u8>> = (0..6).map(|_| random.bytes(16 * MIB)).collect();
    for (number, content) in contents.iter().enumerate() {
        write(&a.at(&format!("f{number}")), content);
        assert!(read(&b.at(&format!("f{number}"))) == *content);
        let usage: u64 = blocks(&cache).iter().filter_map(|block| Some(block.metadata().ok()?.len())).sum();
        assert!(usage <= CACHE_BYTES, "{usage} bytes");
    }
    wait::until_true("room to be made", wait::SOON, || figures(&cluster, &b)("evictions") > 0);
    let figures = figures(&cluster, &b);
    assert!((CACHE_BYTES / 4..=CACHE_BYTES).contains(&figures("bytes_held")) && figures("bytes_max") == CACHE_BYTES);
    for (number, content) in contents.iter().enumerate() {
        assert!(read(&b.at(&format!("f{number}"))) == *content);
    }
    let text = cluster.holdfast(&["stats", &b.inside.to_string_lossy()]).ok();
    assert!(text.contains("cache:  ") && text.contains("of 64 MiB in"), "{text}");
}

#[test]
fn a_directory_that_cannot_hold_it_is_refused() {
    let (_watchdog, cluster, cache) = one_host("disk cache refused");
    fs::write(cache.join("diary"), "dear").unwrap();
    let other = cluster.mount(0, "v");
    let point = cluster.host(0).dir("point");
    let source = format!("{}/v", cluster.address());
    let refused = |dir: &Path, why: &[&str]| {
        let option = format!("cache={}", dir.display());
        cluster.holdfast(&["mount", &source, &point.to_string_lossy(), "-o", &option]).refused(why);
    };
    refused(&cache, &["cannot mount", "cache directory", "holds something else"]);
    refused(&cache.join("diary"), &["no directory"]);
    refused(&cache.join("no/such"), &["cannot be made"]);
    refused(&other.inside, &["FUSE"]);
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 1);
}
