//! Ways to mount and unmount.

use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::time::Duration;

use holdfast_tests::cluster::Cluster;
use holdfast_tests::command::run;
use holdfast_tests::mount::is_mounted;
use holdfast_tests::wait::{self, Watchdog};

fn one_host(name: &str) -> (Watchdog, Cluster) {
    let watchdog = Watchdog::start(name, Duration::from_secs(120));
    let cluster = Cluster::one_host();
    cluster.volume("v");
    (watchdog, cluster)
}

#[test]
fn a_mount_in_the_background_is_there_when_the_command_returns() {
    let (_watchdog, cluster) = one_host("background");
    let host = cluster.host(0);
    let dir = host.dir("bg");
    let (volume, at) = (format!("{}/v", cluster.address()), dir.to_string_lossy().into_owned());
    let _ = cluster.holdfast(&["mount", &volume, &at]).ok();
    assert!(is_mounted(host, &dir));
    fs::write(host.see(&dir).join("f"), b"x").unwrap();
    let _ = cluster.holdfast(&["umount", &at]).ok();
    assert!(!is_mounted(host, &dir));
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "nothing was written below the mount");
    let again = cluster.mount(0, "v");
    assert_eq!(fs::read(again.at("f")).unwrap(), b"x");
    again.unmount(&cluster, 0);
}

/// fstab(5): `SERVER:/VOLUME DIR holdfast OPTIONS`, through mount(8) and its helper.
#[test]
fn mount_8_works_with_the_helper() {
    let (_watchdog, cluster) = one_host("fstab");
    let host = cluster.host(0);
    let (dir, fstab) = (host.dir("fstab-mount"), host.dir("etc").join("fstab"));
    host.install_mount_helper();
    let line = format!("{}:/v {} holdfast defaults,_netdev,nofail 0 0\n", cluster.address(), dir.display());
    fs::write(&fstab, line).unwrap();
    let mut command = host.program(&["mount", "--fstab", &fstab.to_string_lossy(), &dir.to_string_lossy()]);
    cluster.environment(&mut command);
    let _ = run(command).ok();
    assert!(is_mounted(host, &dir));
    fs::write(host.see(&dir).join("f"), b"x").unwrap();
    let _ = host.sh(&format!("umount {}", dir.display())).ok();
    wait::until_true("the mount to go", wait::SOON, || !is_mounted(host, &dir));
}

#[test]
fn a_read_only_mount_refuses_changes() {
    let (_watchdog, cluster) = one_host("read-only");
    let writer = cluster.mount(0, "v");
    fs::write(writer.at("f"), b"x").unwrap();
    let reader = cluster.mount_with(0, "v", "ro");
    assert_eq!(fs::read(reader.at("f")).unwrap(), b"x");
    let error = fs::write(reader.at("f"), b"y").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EROFS));
    assert_eq!(fs::create_dir(reader.at("d")).unwrap_err().raw_os_error(), Some(libc::EROFS));
    fs::write(writer.at("f"), b"z").unwrap();
    assert_eq!(fs::read(reader.at("f")).unwrap(), b"z");
}

/// `mount -o remount,ro` through mount(8), and what it means for those who use the mount.
#[test]
fn a_mount_can_be_remounted_while_it_is_used() {
    let (_watchdog, cluster) = one_host("remount");
    let host = cluster.host(0);
    host.install_mount_helper();
    let mount = cluster.mount(0, "v");
    fs::write(mount.at("f"), b"x").unwrap();
    let remount = |how: &str| host.sh(&format!("mount -o remount,{how} {}", mount.inside.display()));
    let read_only = |result: std::io::Result<()>| result.is_err_and(|error| error.raw_os_error() == Some(libc::EROFS));
    let writing = File::options().append(true).open(mount.at("f")).unwrap();
    remount("ro").refused(&["busy"]);
    drop(writing);
    let reading = File::open(mount.at("f")).unwrap();
    // The last release reaches the mount a moment after close(2).
    wait::until_true("the remount", wait::SOON, || remount("ro").code == 0);
    assert!(read_only(fs::write(mount.at("f"), b"y")));
    assert!(read_only(fs::create_dir(mount.at("d"))) && read_only(fs::remove_file(mount.at("f"))));
    assert!(read_only(fs::set_permissions(mount.at("f"), fs::Permissions::from_mode(0o600))));
    assert_eq!(std::io::read_to_string(&reading).unwrap(), "x");
    let _ = remount("rw,noexec").ok();
    fs::write(mount.at("f"), b"y").unwrap();
    let table = fs::read_to_string(host.mountinfo()).unwrap();
    let line = table.lines().find(|line| line.contains(&*mount.inside.to_string_lossy())).unwrap();
    assert!(["nosuid", "nodev", "noexec"].iter().all(|option| line.contains(option)), "{line}");
    // One that was mounted read-only begins to write; also after its session was resumed.
    let at = |mount: &holdfast_tests::mount::Mount| mount.inside.to_string_lossy().into_owned();
    cluster.holdfast(&["mount", "v", &at(&mount), "-o", "remount,suid"]).refused(&["suid"]);
    let (volume, other) = (format!("{}/v", cluster.address()), cluster.mount_with(0, "v", "ro"));
    assert!(read_only(fs::write(other.at("g"), b"z")));
    let _ = cluster.holdfast(&["mount", &volume, &at(&other), "-o", "remount,rw"]).ok();
    fs::write(other.at("g"), b"z").unwrap();
    fs::write(other.at("large"), vec![7; 300_000]).unwrap();
    File::open(other.at("large")).unwrap().sync_all().unwrap();
    assert_eq!(fs::read(mount.at("large")).unwrap(), vec![7; 300_000]);
}

#[test]
fn a_subdirectory_can_be_mounted() {
    let (_watchdog, cluster) = one_host("subdirectory");
    let whole = cluster.mount(0, "v");
    fs::create_dir_all(whole.at("deep/er")).unwrap();
    let part = cluster.mount(0, "v/deep/er");
    fs::write(part.at("f"), b"x").unwrap();
    assert_eq!(fs::read(whole.at("deep/er/f")).unwrap(), b"x");
    assert_eq!(fs::read_dir(&part.path).unwrap().count(), 1);
}

#[test]
fn set_user_id_and_devices_do_nothing_unless_the_volume_allows_it() {
    let (_watchdog, cluster) = one_host("nosuid");
    let host = cluster.host(0);
    let mount = cluster.mount(0, "v");
    fs::copy("/usr/bin/id", mount.at("id")).unwrap();
    std::os::unix::fs::chown(mount.at("id"), Some(1234), None).unwrap();
    fs::set_permissions(mount.at("id"), fs::Permissions::from_mode(0o4755)).unwrap();
    assert_eq!(fs::metadata(mount.at("id")).unwrap().mode() & 0o7777, 0o4755, "the bit itself is kept");
    let id = format!("{}/id -u", mount.inside.display());
    assert_eq!(host.sh(&id).ok().trim(), "0");
    let _ = host.sh(&format!("mknod {}/null c 1 3", mount.inside.display())).ok();
    assert!(fs::symlink_metadata(mount.at("null")).unwrap().file_type().is_char_device());
    host.sh(&format!("echo x > {}/null", mount.inside.display())).refused(&["denied"]);
    let _ = cluster.holdfast(&["volume", "create", "free", "--allow-suid", "--allow-dev"]).ok();
    let free = cluster.mount(0, "free");
    fs::copy("/usr/bin/id", free.at("id")).unwrap();
    std::os::unix::fs::chown(free.at("id"), Some(1234), None).unwrap();
    fs::set_permissions(free.at("id"), fs::Permissions::from_mode(0o4755)).unwrap();
    let id = format!("{}/id -u", free.inside.display());
    assert_eq!(host.sh(&id).ok().trim(), "1234");
    let _ = host.sh(&format!("mknod {0}/null c 1 3 && echo x > {0}/null", free.inside.display())).ok();
}

/// Other users are held to the permissions, as on a local disk.
#[test]
fn permissions_hold_for_other_users() {
    let (_watchdog, cluster) = one_host("permissions");
    let host = cluster.host(0);
    let mount = cluster.mount(0, "v");
    fs::set_permissions(&mount.path, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(mount.at("private"), b"x").unwrap();
    fs::set_permissions(mount.at("private"), fs::Permissions::from_mode(0o600)).unwrap();
    let user = "setpriv --reuid 1234 --regid 1234 --clear-groups";
    let at = mount.inside.display();
    host.sh(&format!("{user} cat {at}/private")).refused(&["denied"]);
    let _ = host.sh(&format!("{user} sh -c 'echo mine > {at}/mine'")).ok();
    let meta = fs::metadata(mount.at("mine")).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (1234, 1234));
    host.sh(&format!("{user} chown 0 {at}/mine")).refused(&["not permitted"]);
    File::open(mount.at("mine")).unwrap();
}
