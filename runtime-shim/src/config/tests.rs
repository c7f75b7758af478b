#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::os::unix::fs::symlink;

use serde_json::json;

use super::*;

#[test]
fn mode_owner_and_links_stay() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    let link = dir.path().join("link.json");
    fs::write(&path, "{}").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let owner = if nix::unistd::Uid::effective().is_root() { 4711 } else { fs::metadata(&path).unwrap().uid() };
    std::os::unix::fs::chown(&path, Some(owner), None).unwrap();
    symlink(&path, &link).unwrap();

    write(&link, &json!({"a": u64::MAX})).unwrap();
    let meta = fs::symlink_metadata(&path).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o640, owner));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(read(&path).unwrap(), json!({"a": u64::MAX}));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn what_is_no_specification() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    assert_eq!(read(&path).unwrap_err().kind(), ErrorKind::NotFound);
    for text in ["", "{", "{} {}", &"[".repeat(100_000)] {
        fs::write(&path, text).unwrap();
        assert_eq!(read(&path).unwrap_err().kind(), ErrorKind::Invalid);
    }
    File::create(&path).unwrap().set_len(CONFIG_BYTES_MAX + 1).unwrap();
    assert!(read(&path).unwrap_err().message().contains("too long"));
}
