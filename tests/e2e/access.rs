//! Access times: moved by reads as with relatime, and seen by the other host.

use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use holdfast_tests::cluster::Cluster;
use holdfast_tests::mount::Mount;
use holdfast_tests::wait::{self, Watchdog};

use crate::Pair;

type Time = (i64, i64);

/// Access, change of content, change of attributes.
fn times(path: &Path) -> (Time, Time, Time) {
    let stat = fs::symlink_metadata(path).unwrap();
    ((stat.atime(), stat.atime_nsec()), (stat.mtime(), stat.mtime_nsec()), (stat.ctime(), stat.ctime_nsec()))
}

fn read(path: &Path, flags: i32) {
    let mut content = String::new();
    OpenOptions::new().read(true).custom_flags(flags).open(path).unwrap().read_to_string(&mut content).unwrap();
    assert_eq!(content, "content");
}

fn read_direct(path: &Path) {
    let mut page = [0; 4096];
    let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path).unwrap();
    assert_eq!(file.read_at(&mut page, 0).unwrap(), "content".len());
}

/// What a mount has to say is at the server. Reads nothing.
fn settle(mount: &Mount) {
    File::open(&mount.path).unwrap().sync_all().unwrap();
}

#[test]
fn a_read_moves_the_access_time_once_and_the_other_host_sees_it() {
    let pair = Pair::new("access times");
    let (at_a, at_b) = (pair.a.at("f"), pair.b.at("f"));
    fs::write(&at_a, "content").unwrap();
    let made = times(&at_a);
    assert_eq!(times(&at_b), made);
    read(&at_b, 0);
    let once = times(&at_b);
    assert!(once.0 > made.0 && (once.1, once.2) == (made.1, made.2), "{once:?} after {made:?}");
    wait::until_true("the other host to see it", wait::SOON, || times(&at_a) == once);
    for _ in 0..3 {
        read(&at_a, 0);
        read(&at_b, 0);
        settle(&pair.a);
        settle(&pair.b);
        assert_eq!((times(&at_a), times(&at_b)), (once, once), "it was read since it changed");
    }
    // Past the kernel's pages also on the host that wrote.
    fs::write(&at_a, "content").unwrap();
    let changed = times(&at_a);
    assert!(changed.0 <= changed.1, "{changed:?}");
    wait::until_true("a read after a write to be seen", wait::SOON, || {
        read_direct(&at_a);
        times(&at_b).0 > changed.0
    });
    let again = times(&at_a);
    assert_eq!((again.1, again.2), (changed.1, changed.2));
    // Attributes count too.
    fs::set_permissions(&at_b, fs::Permissions::from_mode(0o600)).unwrap();
    // While the file is under dispute between the two, reads need not count.
    wait::until_true("a read after chmod to be seen", wait::SOON, || {
        read_direct(&at_b);
        times(&at_a).0 > again.0
    });
}

#[test]
fn who_does_not_want_it_moves_no_access_time() {
    let watchdog = Watchdog::start("no access times", Duration::from_secs(120));
    let cluster = Cluster::one_host();
    cluster.volume("v");
    let writer = cluster.mount(0, "v");
    fs::write(writer.at("f"), "content").unwrap();
    let made = times(&writer.at("f"));
    read(&writer.at("f"), libc::O_NOATIME);
    for options in ["noatime", "ro"] {
        let mount = cluster.mount_with(0, "v", options);
        read(&mount.at("f"), 0);
        assert_eq!(fs::read_dir(&mount.path).unwrap().count(), 1);
        assert_eq!(times(&mount.at("f")), made, "{options}");
        mount.unmount(&cluster, 0);
    }
    settle(&writer);
    assert_eq!(times(&writer.at("f")), made);
    // A remount counts within a second.
    let host = cluster.host(0);
    host.install_mount_helper();
    let other = cluster.mount(0, "v");
    let remount = |how: &str| host.sh(&format!("mount -o remount,{how} {}", other.inside.display())).ok();
    let _ = remount("noatime");
    read(&other.at("f"), 0);
    settle(&other);
    assert_eq!(times(&other.at("f")), made);
    let _ = remount("relatime,atime");
    wait::until_true("reads to count again", wait::SOON, || {
        read_direct(&other.at("f"));
        times(&other.at("f")).0 > made.0
    });
    let point = host.dir("strict").to_string_lossy().into_owned();
    let volume = format!("{}/v", cluster.address());
    cluster.holdfast(&["mount", &volume, &point, "-o", "strictatime"]).refused(&["strictatime", "relatime"]);
    drop(watchdog);
}

#[test]
fn a_listing_moves_the_access_time_of_a_directory() {
    let watchdog = Watchdog::start("access times of directories", Duration::from_secs(120));
    let cluster = Cluster::one_host();
    cluster.volume("v");
    let (a, b) = (cluster.mount(0, "v"), cluster.mount_with(0, "v", "nodiratime"));
    fs::create_dir(a.at("d")).unwrap();
    fs::write(a.at("d/f"), "content").unwrap();
    std::os::unix::fs::symlink("f", a.at("d/link")).unwrap();
    let made = times(&a.at("d"));
    let _ = fs::metadata(b.at("d/f")).unwrap();
    assert_eq!(fs::read_dir(b.at("d")).unwrap().count(), 2);
    settle(&b);
    assert_eq!((times(&a.at("d")), times(&b.at("d"))), (made, made));
    assert_eq!(fs::read_dir(a.at("d")).unwrap().count(), 2);
    let listed = times(&a.at("d"));
    assert!(listed.0 > made.0 && (listed.1, listed.2) == (made.1, made.2), "{listed:?} after {made:?}");
    wait::until_true("the other mount to see it", wait::SOON, || times(&b.at("d")) == listed);
    let link = times(&b.at("d/link"));
    assert_eq!(fs::read_link(b.at("d/link")).unwrap(), Path::new("f"));
    assert!(times(&b.at("d/link")).0 > link.0);
    wait::until_true("a read link to be seen", wait::SOON, || times(&a.at("d/link")).0 > link.0);
    drop(watchdog);
}
