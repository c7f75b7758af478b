//! One suite, every engine.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use holdfast_core::error::ErrorKind;

use super::Engine;
use super::memory::MemoryEngine;
use super::rocksdb::{Presence, RocksEngine, SharedMemory};
use crate::meta::keys;
use crate::meta::view::Changes;

/// An engine that can be stopped and started again.
trait Backend {
    fn start(&self) -> Box<dyn Engine>;
    fn start_copy(&self, dir: &Path) -> Box<dyn Engine>;
}

struct Memory(MemoryEngine);

impl Backend for Memory {
    fn start(&self) -> Box<dyn Engine> {
        Box::new(self.0.clone())
    }

    fn start_copy(&self, dir: &Path) -> Box<dyn Engine> {
        Box::new(MemoryEngine::load(dir).unwrap())
    }
}

struct Rocks(PathBuf);

fn memory() -> SharedMemory {
    SharedMemory::new(8 << 20, 8 << 20)
}

impl Backend for Rocks {
    fn start(&self) -> Box<dyn Engine> {
        let presence = if self.0.join("CURRENT").exists() { Presence::Existing } else { Presence::New };
        Box::new(RocksEngine::open(&self.0, presence, &memory(), 64).unwrap())
    }

    fn start_copy(&self, dir: &Path) -> Box<dyn Engine> {
        Box::new(RocksEngine::open(dir, Presence::Existing, &memory(), 64).unwrap())
    }
}

fn on_every_engine(test: impl Fn(&dyn Backend, &Path)) {
    let dir = tempfile::tempdir().unwrap();
    test(&Memory(MemoryEngine::new()), &dir.path().join("memory-copy"));
    test(&Rocks(dir.path().join("rocks")), &dir.path().join("rocks-copy"));
}

fn changes(entries: &[(&str, Option<&str>)]) -> Changes {
    let mut changes = Changes::default();
    for (key, value) in entries {
        match value {
            Some(value) => changes.put(key.as_bytes().to_vec(), Bytes::copy_from_slice(value.as_bytes())),
            None => changes.delete(key.as_bytes().to_vec()),
        }
    }
    changes
}

fn get(engine: &dyn Engine, key: &str) -> Option<String> {
    engine.get(key.as_bytes()).unwrap().map(|value| String::from_utf8(value.to_vec()).unwrap())
}

fn scan(engine: &dyn Engine, from: &[u8], to: &[u8], max: usize) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    engine
        .scan(from, to, &mut |key, _| {
            keys.push(key.to_vec());
            if keys.len() < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .unwrap();
    keys
}

#[test]
fn a_batch_is_there_after_a_restart() {
    on_every_engine(|backend, _| {
        let engine = backend.start();
        engine.write(&changes(&[("a", Some("1")), ("b", Some("2"))])).unwrap();
        engine.write(&changes(&[("a", None), ("b", Some("3")), ("c", Some(""))])).unwrap();
        drop(engine);
        let engine = backend.start();
        assert_eq!(get(&*engine, "a"), None);
        assert_eq!(get(&*engine, "b").as_deref(), Some("3"));
        assert_eq!(get(&*engine, "c").as_deref(), Some(""));
    });
}

#[test]
fn scans_are_sorted_bounded_and_can_be_broken_off() {
    on_every_engine(|backend, _| {
        let engine = backend.start();
        let mut all = Changes::default();
        for data in [3, 1, 2] {
            for end in [70_000, 5, 300] {
                all.put(keys::extent(keys::DataId(data), end), Bytes::from_static(b"x"));
            }
        }
        all.put(keys::header(), Bytes::from_static(b"h"));
        engine.write(&all).unwrap();
        // Once from memory, once from the files that a restart leaves.
        drop(engine);
        let engine = backend.start();
        let within = keys::extents_past(keys::DataId(2), 5);
        let expected = vec![keys::extent(keys::DataId(2), 300), keys::extent(keys::DataId(2), 70_000)];
        assert_eq!(scan(&*engine, &within.from, &within.to, 10), expected);
        assert_eq!(scan(&*engine, &within.from, &within.to, 1), expected[..1]);
        let every = keys::all(keys::tag::EXTENT);
        let found = scan(&*engine, &every.from, &every.to, 100);
        assert_eq!(found.len(), 9);
        assert!(found.is_sorted());
        assert_eq!(scan(&*engine, &[0], &[255], 100).len(), 10);
        assert!(scan(&*engine, b"Z", b"A", 100).is_empty());
        assert!(scan(&*engine, b"B", b"B", 100).is_empty());
    });
}

#[test]
fn a_checkpoint_is_a_whole_copy_that_later_writes_do_not_touch() {
    on_every_engine(|backend, copy| {
        let engine = backend.start();
        engine.write(&changes(&[("a", Some("1")), ("b", Some("2"))])).unwrap();
        engine.checkpoint(copy).unwrap();
        engine.write(&changes(&[("a", Some("9")), ("b", None)])).unwrap();
        let copied = backend.start_copy(copy);
        assert_eq!(get(&*copied, "a").as_deref(), Some("1"));
        assert_eq!(get(&*copied, "b").as_deref(), Some("2"));
        assert!(engine.checkpoint(copy).is_err(), "a copy never goes over another");
    });
}

#[test]
fn a_snapshot_stays_as_it_was() {
    on_every_engine(|backend, _| {
        let engine = backend.start();
        engine.write(&changes(&[("a", Some("1")), ("b", Some("2"))])).unwrap();
        let snapshot = engine.snapshot();
        engine.write(&changes(&[("a", Some("9")), ("b", None), ("c", Some("3"))])).unwrap();
        let mut seen = Vec::new();
        let take = &mut |key: &[u8], value: &[u8]| {
            seen.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        };
        snapshot.scan(b"a", b"z", take).unwrap();
        assert_eq!(seen, [(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), b"2".to_vec())]);
        assert_eq!(snapshot.get(b"b").unwrap().as_deref(), Some(&b"2"[..]));
        assert_eq!(snapshot.get(b"c").unwrap(), None);
        assert_eq!(get(&*engine, "a").as_deref(), Some("9"));
    });
}

#[test]
fn readers_may_read_while_a_batch_is_written() {
    on_every_engine(|backend, _| {
        let engine = backend.start();
        let version = |number: u32| number.to_string();
        engine.write(&changes(&[("a", Some("0")), ("b", Some("0"))])).unwrap();
        std::thread::scope(|threads| {
            threads.spawn(|| {
                for number in 1..100 {
                    let value = version(number);
                    engine.write(&changes(&[("a", Some(&value)), ("b", Some(&value))])).unwrap();
                }
            });
            for _ in 0..1000 {
                let mut seen = Vec::new();
                engine
                    .scan(b"a", b"c", &mut |_, value| {
                        seen.push(value.to_vec());
                        ControlFlow::Continue(())
                    })
                    .unwrap();
                assert_eq!(seen[0], seen[1], "a batch is visible as a whole or not at all");
            }
        });
    });
}

#[test]
fn a_database_has_one_owner_and_is_not_made_twice() {
    let dir = tempfile::tempdir().unwrap();
    let open = |presence| RocksEngine::open(&dir.path().join("db"), presence, &memory(), 64);
    assert_eq!(open(Presence::Existing).unwrap_err().kind(), ErrorKind::NotFound);
    let engine = open(Presence::New).unwrap();
    assert_eq!(open(Presence::Existing).unwrap_err().kind(), ErrorKind::InUse);
    drop(engine);
    assert_eq!(open(Presence::New).unwrap_err().kind(), ErrorKind::AlreadyExists);
    open(Presence::Existing).unwrap();
}

#[test]
fn a_database_that_lost_a_file_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("db");
    let engine = RocksEngine::open(&db, Presence::New, &memory(), 64).unwrap();
    engine.write(&changes(&[("a", Some("1"))])).unwrap();
    drop(engine);
    for entry in std::fs::read_dir(&db).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("MANIFEST") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let error = RocksEngine::open(&db, Presence::Existing, &memory(), 64).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Unavailable), "{error:?}");
}
