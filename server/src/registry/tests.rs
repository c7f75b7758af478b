#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeMap;
use std::time::Instant;

use holdfast_core::time::Timestamp;
use holdfast_core::volume::MountPolicy;

use super::*;

fn load(dir: &Path) -> Result<Registry> {
    let data = DataDir::open(dir)?;
    let fatal = Fatal::with(|why| panic!("{why}"));
    let components = Components { fatal, ..Components::default() };
    Registry::load(data, LeaseTimes::default(), CommitPolicy::default(), Limits::default(), components)
}

fn record(name: &str) -> Record {
    let spec = VolumeSpec {
        name: name.parse().unwrap(),
        quota: Quota { bytes: Some(1 << 30), inodes: None },
        labels: BTreeMap::from([("team".to_owned(), "näher".to_owned())]),
        policy: MountPolicy { allow_suid: true, allow_dev: false },
    };
    Record { spec, created: Timestamp { secs: 1, nanos: 2 }, usage: Usage { bytes: 3, inodes: 4 } }
}

fn put(dir: &Path, id: u8, record: &Record) -> PathBuf {
    let path = dir.join("volumes").join(VolumeId([id; 16]).to_string());
    std::fs::create_dir_all(&path).unwrap();
    record::write(&path, record).unwrap();
    path
}

#[test]
fn a_record_comes_back_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(record::read(dir.path()).unwrap(), None);
    record::write(dir.path(), &record("v")).unwrap();
    assert_eq!(record::read(dir.path()).unwrap(), Some(record("v")));
    std::fs::write(dir.path().join("volume.json"), "{\"version\": 1, \"name\"").unwrap();
    let error = record::read(dir.path()).unwrap_err();
    assert!(error.kind() == ErrorKind::Damaged && error.message().contains("volume.json"), "{error:?}");
}

#[test]
fn a_record_of_another_version_is_not_guessed_at() {
    let dir = tempfile::tempdir().unwrap();
    record::write(dir.path(), &record("v")).unwrap();
    let path = dir.path().join("volume.json");
    let text = std::fs::read_to_string(&path).unwrap().replace("\"version\": 1", "\"version\": 2");
    std::fs::write(&path, text).unwrap();
    assert_eq!(record::read(dir.path()).unwrap_err().kind(), ErrorKind::Version);
}

#[test]
fn what_was_never_finished_is_removed_and_strangers_are_left() {
    let dir = tempfile::tempdir().unwrap();
    drop(load(dir.path()).unwrap());
    put(dir.path(), 1, &record("good"));
    let half = dir.path().join("volumes").join(VolumeId([2; 16]).to_string());
    std::fs::create_dir_all(half.join("store")).unwrap();
    std::fs::create_dir(dir.path().join("volumes/lost+found")).unwrap();
    let registry = load(dir.path()).unwrap();
    assert_eq!(registry.len(), 1);
    assert!(!half.exists());
    assert!(dir.path().join("volumes/lost+found").exists());
}

#[test]
fn two_volumes_of_one_name_stop_the_start() {
    let dir = tempfile::tempdir().unwrap();
    drop(load(dir.path()).unwrap());
    put(dir.path(), 1, &record("same"));
    put(dir.path(), 2, &record("same"));
    let error = load(dir.path()).unwrap_err();
    assert!(error.kind() == ErrorKind::Damaged && error.message().contains("same"), "{error:?}");
}

#[test]
fn ten_thousand_volumes_are_listed_quickly() {
    let dir = tempfile::tempdir().unwrap();
    drop(load(dir.path()).unwrap());
    for number in 0..10_000u32 {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let path = dir.path().join("volumes").join(VolumeId(id).to_string());
        std::fs::create_dir(&path).unwrap();
        // Not durable, unlike `record::write`: only this test's own time is saved by it.
        let text = format!(
            "{{\"version\":1,\"name\":\"v{number:05}\",\"quota_bytes\":null,\"quota_inodes\":null,\"created_secs\":0,\
             \"created_nanos\":0,\"used_bytes\":0,\"used_inodes\":1}}"
        );
        std::fs::write(path.join("volume.json"), text).unwrap();
    }
    let registry = load(dir.path()).unwrap();
    assert_eq!(registry.len(), 10_000);
    let began = Instant::now();
    let (mut after, mut seen, mut pages) = (None, 0, 0);
    loop {
        let (infos, next) = registry.list(1000, after.as_ref());
        seen += infos.len();
        pages += 1;
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((seen, pages), (10_000, 10));
    // Generous: some milliseconds on an idle machine.
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
}
