#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use super::*;

#[test]
fn an_absent_directory_is_made_and_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b");
    drop(DataDir::open(&path).unwrap());
    let again = DataDir::open(&path).unwrap();
    assert!(again.volumes().is_dir() && again.trash().is_dir());
    assert_eq!(fs::read_to_string(path.join("format")).unwrap(), "holdfast data 1\n");
}

#[test]
fn a_second_user_is_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let _first = DataDir::open(dir.path()).unwrap();
    let error = DataDir::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    assert!(error.message().contains(&format!("pid {}", std::process::id())), "{error}");
}

#[test]
fn another_version_and_other_things_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("letter.txt"), "dear").unwrap();
    assert_eq!(DataDir::open(dir.path()).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

    let newer = tempfile::tempdir().unwrap();
    fs::write(newer.path().join("format"), "holdfast data 2\n").unwrap();
    let error = DataDir::open(newer.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Version);
    assert!(error.message().contains("format 2"), "{error}");
    fs::write(newer.path().join("format"), "something\n").unwrap();
    assert_eq!(DataDir::open(newer.path()).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_first_start_that_was_cut_short_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("lock"), "").unwrap();
    fs::write(dir.path().join("format.new"), "holdf").unwrap();
    drop(DataDir::open(dir.path()).unwrap());
    assert_eq!(fs::read_to_string(dir.path().join("format")).unwrap(), "holdfast data 1\n");
    assert!(!dir.path().join("format.new").exists());
}
