#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::os::unix::fs::PermissionsExt as _;

use nix::unistd::Uid;

use super::*;

#[test]
fn nothing_can_be_written_under_a_mount() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("t");
    prepare(&target).unwrap();
    prepare(&target).unwrap();
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0);

    let probe = File::open(&target).and_then(|dir| set_immutable(dir.as_fd(), true).map_err(Into::into));
    if Uid::effective().is_root() && probe.is_ok() {
        assert_eq!(fs::write(target.join("x"), "x").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
    discard(&target).unwrap();
    discard(&target).unwrap();
    assert!(!target.exists());
}

#[test]
fn content_is_never_covered() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("t");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("x"), "x").unwrap();
    assert_eq!(prepare(&target).unwrap_err().kind(), ErrorKind::InUse);
}

#[test]
fn a_link_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("t");
    std::os::unix::fs::symlink("/etc", &target).unwrap();
    assert!(prepare(&target).is_err());
    assert!(discard(&target).is_err());
}
