//! Limits are exact, told at the call, and what is deleted is free again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use holdfast_tests::cluster::{Cluster, Options};
use holdfast_tests::wait::{self, Watchdog};
use nix::sys::statvfs::statvfs;

use std::time::Duration;

const MIB: u64 = 1 << 20;

fn one_host(name: &str, words: &[&str]) -> (Watchdog, Cluster) {
    let watchdog = Watchdog::start(name, Duration::from_secs(240));
    let cluster = Cluster::one_host();
    let line: Vec<&str> = ["volume", "create", "v"].into_iter().chain(words.iter().copied()).collect();
    let _ = cluster.holdfast(&line).ok();
    (watchdog, cluster)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
}

/// Writes until there is no room; answers how many bytes went in.
fn fill(path: &Path, most: u64) -> u64 {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    let block = [5; 100_000];
    for _ in 0..=most / 100_000 {
        if let Err(error) = file.write_all(&block) {
            assert!(is_full(&error), "{error}");
            return file.metadata().unwrap().len();
        }
    }
    panic!("no limit after {most} bytes");
}

#[test]
fn a_quota_of_bytes_is_told_at_the_write() {
    let (_watchdog, cluster) = one_host("quota", &["--size", "16MiB"]);
    let mount = cluster.mount(0, "v");
    let written = fill(&mount.at("f"), 64 * MIB);
    assert!((15 * MIB..=16 * MIB).contains(&written), "{written} bytes went in");
    File::open(mount.at("f")).unwrap().sync_all().unwrap();
    assert!(is_full(&fs::write(mount.at("g"), vec![1; 1_000_000]).unwrap_err()));
    assert_eq!(fs::metadata(mount.at("f")).unwrap().len(), written, "what was written stays");
    OpenOptions::new().write(true).open(mount.at("f")).unwrap().set_len(MIB).unwrap();
    fs::write(mount.at("g"), vec![1; 4_000_000]).unwrap();
    fs::remove_file(mount.at("f")).unwrap();
    fs::write(mount.at("h"), vec![1; 8_000_000]).unwrap();
    assert_eq!(fs::read(mount.at("g")).unwrap(), vec![1; 4_000_000]);
}

#[test]
fn a_quota_of_inodes_is_told_at_the_create() {
    let (_watchdog, cluster) = one_host("inodes", &["--inodes", "50"]);
    let mount = cluster.mount(0, "v");
    for number in 0..49 {
        File::create(mount.at(&format!("f{number}"))).unwrap();
    }
    assert!(is_full(&File::create(mount.at("more")).unwrap_err()));
    assert!(is_full(&fs::create_dir(mount.at("more")).unwrap_err()));
    fs::hard_link(mount.at("f0"), mount.at("another name is no inode")).unwrap();
    fs::remove_file(mount.at("f1")).unwrap();
    File::create(mount.at("more")).unwrap();
    assert_eq!(cluster.show("v").inodes, 50);
}

#[test]
fn statfs_shows_the_quota_and_what_is_left() {
    let (_watchdog, cluster) = one_host("statfs", &["--size", "64MiB", "--inodes", "1000"]);
    let mount = cluster.mount(0, "v");
    let before = statvfs(&mount.path).unwrap();
    assert_eq!(before.blocks() * before.fragment_size(), 64 * MIB);
    assert_eq!((before.files(), before.files_free()), (1000, 999));
    fs::write(mount.at("f"), vec![1; 8 << 20]).unwrap();
    let after = statvfs(&mount.path).unwrap();
    let used = (before.blocks_available() - after.blocks_available()) * after.fragment_size();
    assert!((8 * MIB..9 * MIB).contains(&used), "{used} bytes used");
    let _ = cluster.holdfast(&["volume", "expand", "v", "--size", "128MiB"]).ok();
    let more = statvfs(&mount.path).unwrap();
    assert_eq!(more.blocks() * more.fragment_size(), 128 * MIB);
}

/// A volume holds the bytes that are written, holes excluded, and so does each file.
#[test]
fn accounting_is_exact() {
    let (_watchdog, cluster) = one_host("accounting", &[]);
    let mount = cluster.mount(0, "v");
    fs::create_dir(mount.at("d")).unwrap();
    for size in [0, 1, 4096, 4097, 70_000, 1_000_000] {
        fs::write(mount.at(&format!("d/{size}")), vec![1; size]).unwrap();
    }
    let sparse = File::create(mount.at("sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", (1 << 40) - 3).unwrap();
    fs::hard_link(mount.at("d/4096"), mount.at("d/link")).unwrap();
    fs::write(mount.at("d/4097"), b"shorter").unwrap();
    sparse.sync_all().unwrap();
    let content = 1 + 4096 + 7 + 70_000 + 1_000_000 + 3;
    let usage = cluster.show("v");
    assert_eq!((usage.bytes, usage.inodes), (content, 9), "root, d, six files, sparse");
    // stat(2) counts blocks of 512 bytes, the volume counts bytes.
    let mut blocks = 0;
    for path in [mount.at("d"), mount.path.clone()] {
        for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
            let meta = entry.metadata().unwrap();
            if meta.is_file() && entry.file_name() != "link" {
                blocks += meta.blocks();
            }
        }
    }
    assert!((content..content + 7 * 512).contains(&(blocks * 512)), "{blocks} blocks");
    fs::remove_dir_all(mount.at("d")).unwrap();
    fs::remove_file(mount.at("sparse")).unwrap();
    drop(sparse);
    wait::until_eq("usage of an empty volume", wait::SOON, &(0, 1), || {
        let usage = cluster.show("v");
        (usage.bytes, usage.inodes)
    });
}

/// The server's own disk is full: writes are refused, nothing that was there is lost, deleting
/// works, and after it writing does.
#[test]
fn a_full_disk_refuses_writes_and_recovers() {
    let _watchdog = Watchdog::start("full disk", Duration::from_secs(240));
    let mut options = Options::default();
    let disk = holdfast_tests::scratch::Scratch::new("disk");
    let (image, point) = (disk.path().join("image"), disk.dir("mounted"));
    let make = format!(
        "truncate -s 64M {0} && mkfs.ext4 -q -F {0} && mount -o loop {0} {1}",
        image.display(),
        point.display()
    );
    let _ = holdfast_tests::command::run(holdfast_tests::command::shell(&make)).ok();
    options.data = Some(point.join("data"));
    options.words.push("--disk-reserve=4MiB".into());
    {
        let mut cluster = Cluster::one_host_with(options);
        cluster.volume("v");
        let mount = cluster.mount(0, "v");
        fs::write(mount.at("kept"), vec![3; 50_000]).unwrap();
        File::open(mount.at("kept")).unwrap().sync_all().unwrap();
        for round in 0..2 {
            let written = fill(&mount.at("f"), 128 * MIB);
            assert!(written > MIB, "round {round}: only {written} bytes went in");
            assert!(cluster.server().ended().is_none(), "the server died of a full disk");
            assert_eq!(fs::read(mount.at("kept")).unwrap(), vec![3; 50_000]);
            fs::remove_file(mount.at("f")).unwrap();
            wait::until_true("room after deleting", Duration::from_secs(60), || {
                fs::write(mount.at("small"), vec![4; 300_000]).is_ok()
            });
        }
        assert_eq!(fs::read(mount.at("small")).unwrap(), vec![4; 300_000]);
    }
    let _ = holdfast_tests::command::run(holdfast_tests::command::shell(&format!("umount {}", point.display()))).ok();
}
