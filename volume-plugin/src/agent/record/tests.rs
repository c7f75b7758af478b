#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;

fn records() -> (tempfile::TempDir, Records) {
    let dir = tempfile::tempdir().unwrap();
    let records = Records::at(dir.path().join("state"));
    let volume = RemoteVolume { server: "h:1".parse().unwrap(), volume: "v".parse().unwrap() };
    records.begin(&volume, true).unwrap();
    assert_eq!(records.volume().unwrap(), Some((volume, true)));
    (dir, records)
}

#[test]
fn what_is_written_is_read() {
    let (_dir, records) = records();
    let mut reference = Reference::new("c".parse().unwrap(), Some("/run/runc/c".into()));
    assert!(reference.add(None) && !reference.add(None));
    let subdir = "a/b".parse().unwrap();
    assert!(reference.add(Some(&subdir)) && !reference.add(Some(&subdir)));
    records.put(&reference).unwrap();
    assert_eq!(records.get(&reference.id).unwrap(), Some(reference.clone()));
    assert_eq!(records.all().unwrap(), [reference.clone()]);
    records.remove(&reference.id).unwrap();
    records.remove(&reference.id).unwrap();
    assert_eq!(records.get(&reference.id).unwrap(), None);
    records.end().unwrap();
}

#[test]
fn an_earlier_boot_is_over() {
    let (_dir, records) = records();
    let reference = Reference::new("c".parse().unwrap(), None);
    records.put(&reference).unwrap();
    let path = records.path(&reference.id);
    let text = fs::read_to_string(&path).unwrap().replace(&boot_id().unwrap(), "another boot");
    fs::write(&path, text).unwrap();
    assert!(records.has(&reference.id));
    assert_eq!(records.get(&reference.id).unwrap(), None);
    assert_eq!(records.all().unwrap(), []);
}

#[test]
fn a_half_written_file_is_not_seen() {
    let (_dir, records) = records();
    let reference = Reference::new("c".parse().unwrap(), None);
    records.put(&reference).unwrap();
    fs::write(records.path(&reference.id).with_extension("json.new"), "{\"versi").unwrap();
    assert_eq!(records.all().unwrap(), [reference]);
}

#[test]
fn processes_are_told_apart() {
    let own = process_started(std::process::id()).unwrap();
    assert!(own > 0);
    assert_eq!(process_started(u32::MAX), None);
}
