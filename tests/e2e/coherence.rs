//! Every host sees what every other one has done, as soon as the call that did it has returned.

use std::collections::HashSet;
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use holdfast_tests::random::{self, Random, size};
use holdfast_tests::sys::{self, Mapping};

use crate::Pair;

fn rounds() -> usize {
    size("HOLDFAST_ROUNDS", 40, 2000)
}

fn missing(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

#[test]
fn a_write_is_seen_through_a_file_that_is_open_elsewhere() {
    let pair = Pair::new("write");
    fs::write(pair.a.at("f"), [0; 8192]).unwrap();
    let writer = OpenOptions::new().write(true).open(pair.a.at("f")).unwrap();
    let reader = File::open(pair.b.at("f")).unwrap();
    for round in 1..=rounds() as u64 {
        let bytes = round.to_le_bytes();
        writer.write_all_at(&bytes, 4000).unwrap();
        let mut seen = [0; 8];
        reader.read_exact_at(&mut seen, 4000).unwrap();
        assert_eq!(u64::from_le_bytes(seen), round);
    }
}

#[test]
fn a_new_size_is_seen_at_once() {
    let pair = Pair::new("size");
    let mut writer = OpenOptions::new().append(true).create(true).open(pair.a.at("log")).unwrap();
    let reader = File::open(pair.b.at("log")).unwrap();
    for round in 1..=rounds() as u64 {
        writer.write_all(&[7; 10]).unwrap();
        assert_eq!(reader.metadata().unwrap().len(), 10 * round);
        assert_eq!(fs::metadata(pair.b.at("log")).unwrap().len(), 10 * round);
    }
    OpenOptions::new().write(true).open(pair.a.at("log")).unwrap().set_len(3).unwrap();
    let mut rest = Vec::new();
    (&reader).read_to_end(&mut rest).unwrap();
    assert_eq!(rest, [7; 3]);
}

#[test]
fn a_mapping_shows_what_another_host_wrote() {
    let pair = Pair::new("mapping");
    fs::write(pair.a.at("m"), [1; 4096]).unwrap();
    let writer = OpenOptions::new().write(true).open(pair.a.at("m")).unwrap();
    let reader = File::open(pair.b.at("m")).unwrap();
    let mapping = Mapping::new(&reader, 4096, false).unwrap();
    assert_eq!(mapping.read(), [1; 4096]);
    for round in 2..=20 {
        writer.write_all_at(&[round; 4096], 0).unwrap();
        assert_eq!(mapping.read(), [round; 4096]);
    }
}

#[test]
fn what_a_mapping_writes_is_seen_after_msync() {
    let pair = Pair::new("msync");
    fs::write(pair.a.at("m"), [1; 4096]).unwrap();
    let file = OpenOptions::new().read(true).write(true).open(pair.a.at("m")).unwrap();
    let mapping = Mapping::new(&file, 4096, true).unwrap();
    let reader = File::open(pair.b.at("m")).unwrap();
    for round in 2..=20 {
        mapping.write(100, &[round; 50]);
        mapping.sync().unwrap();
        let mut seen = [0; 50];
        reader.read_exact_at(&mut seen, 100).unwrap();
        assert_eq!(seen, [round; 50]);
    }
}

#[test]
fn names_are_seen_at_once() {
    let pair = Pair::new("names");
    fs::create_dir(pair.a.at("d")).unwrap();
    for round in 0..rounds() {
        let (old, new) = (format!("d/old-{round}"), format!("d/new-{round}"));
        assert!(missing(&pair.b.at(&old)), "not there yet, and remembered as missing");
        fs::write(pair.a.at(&old), b"x").unwrap();
        assert_eq!(fs::metadata(pair.b.at(&old)).unwrap().len(), 1, "created");
        fs::rename(pair.a.at(&old), pair.a.at(&new)).unwrap();
        assert!(missing(&pair.b.at(&old)), "renamed away");
        assert_eq!(fs::read(pair.b.at(&new)).unwrap(), b"x", "renamed to");
        fs::remove_file(pair.b.at(&new)).unwrap();
        assert!(missing(&pair.a.at(&new)), "unlinked");
        assert_eq!(fs::read_dir(pair.a.at("d")).unwrap().count(), 0, "and gone from the listing");
    }
}

#[test]
fn a_listing_is_complete_while_the_directory_changes() {
    let stay = size("HOLDFAST_LISTING_ENTRIES", 2500, 1_000_000);
    let pair = Pair::new("listing");
    let stays = |number: usize| format!("d/stays-{number}");
    fs::create_dir(pair.a.at("d")).unwrap();
    for number in 0..stay {
        File::create(pair.a.at(&stays(number))).unwrap();
    }
    let (mut seen, mut came) = (HashSet::new(), 0);
    for (at, entry) in fs::read_dir(pair.b.at("d")).unwrap().enumerate() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(seen.insert(name.clone()), "{name} came twice");
        came += usize::from(name.starts_with("stays-"));
        if at % 50 == 0 {
            let _ = fs::remove_file(pair.a.at(&format!("d/new-{}", at.saturating_sub(50))));
            File::create(pair.a.at(&format!("d/new-{at}"))).unwrap();
        }
    }
    assert_eq!(came, stay, "each entry that was there all the time");
    // Each of the two removes every other one.
    for number in 0..stay {
        let mount = if number % 2 == 0 { &pair.b } else { &pair.a };
        fs::remove_file(mount.at(&stays(number))).unwrap();
    }
    let left: Vec<_> = fs::read_dir(pair.a.at("d")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.to_string_lossy().starts_with("new-")), "{left:?}");
}

#[test]
fn attributes_are_seen_at_once() {
    let pair = Pair::new("attributes");
    File::create(pair.a.at("f")).unwrap();
    for round in 0..10_u32 {
        let mode = 0o600 + round % 8;
        fs::set_permissions(pair.a.at("f"), fs::Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::lchown(pair.a.at("f"), Some(round), Some(round + 1)).unwrap();
        sys::set_xattr(&pair.a.at("f"), "user.round", &round.to_le_bytes(), 0).unwrap();
        let meta = fs::metadata(pair.b.at("f")).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid()), (mode, round, round + 1));
        assert_eq!(sys::get_xattr(&pair.b.at("f"), "user.round").unwrap(), round.to_le_bytes());
        fs::hard_link(pair.b.at("f"), pair.b.at(&format!("link-{round}"))).unwrap();
        assert_eq!(fs::metadata(pair.a.at("f")).unwrap().nlink(), u64::from(round) + 2);
    }
}

/// A file whose content changed but whose size and times did not: only a version can tell.
#[test]
fn a_restored_time_does_not_hide_a_change() {
    let pair = Pair::new("restored time");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    for round in 0..10_u8 {
        let mut writer = File::create(pair.a.at("f")).unwrap();
        writer.write_all(&[round; 5000]).unwrap();
        writer.set_times(FileTimes::new().set_modified(time).set_accessed(time)).unwrap();
        drop(writer);
        assert_eq!(fs::metadata(pair.b.at("f")).unwrap().modified().unwrap(), time);
        assert_eq!(fs::read(pair.b.at("f")).unwrap(), [round; 5000]);
        let writer = OpenOptions::new().write(true).open(pair.a.at("f")).unwrap();
        writer.write_all_at(&[100 + round; 10], 2000).unwrap();
        writer.set_times(FileTimes::new().set_modified(time).set_accessed(time)).unwrap();
        assert_eq!(fs::read(pair.b.at("f")).unwrap()[2000..2010], [100 + round; 10]);
    }
}

#[test]
fn a_file_that_was_replaced_is_the_new_one() {
    let pair = Pair::new("replaced");
    for round in 0..rounds() {
        let text = format!("version {round}");
        fs::write(pair.a.at("new"), &text).unwrap();
        fs::rename(pair.a.at("new"), pair.a.at("current")).unwrap();
        assert_eq!(fs::read_to_string(pair.b.at("current")).unwrap(), text);
    }
}

#[test]
fn random_places_of_a_large_file_agree() {
    let pair = Pair::new("large file");
    let mut random = Random::new(random::seed("large file"));
    let mut expected = random.bytes(3 << 20);
    fs::write(pair.a.at("f"), &expected).unwrap();
    let files = [&pair.a, &pair.b].map(|mount| OpenOptions::new().read(true).write(true).open(mount.at("f")).unwrap());
    for round in 0..rounds() {
        let len = 1 + random.index(200_000);
        let at = random.index(expected.len() - len);
        let bytes = random.bytes(len);
        files[round % 2].write_all_at(&bytes, at as u64).unwrap();
        expected[at..at + len].copy_from_slice(&bytes);
        let mut seen = vec![0; len + 20_000];
        let from = at.saturating_sub(10_000);
        let count = files[(round + 1) % 2].read_at(&mut seen, from as u64).unwrap();
        assert!(seen[..count] == expected[from..from + count], "round {round}: other bytes at {from}");
    }
    assert!(fs::read(pair.b.at("f")).unwrap() == expected, "the whole file");
}

/// The kernel of a host knows a directory by one path. When another host has moved it, the first
/// call that meets it at its new place may be any, also a rename between two directories: while the
/// kernel holds the lock of that it cannot give a directory a new place by itself.
#[test]
fn a_directory_that_another_host_moved_is_met_by_any_call() {
    let pair = Pair::new("moved directory");
    for dir in ["from", "to", "third"] {
        fs::create_dir(pair.a.at(dir)).unwrap();
    }
    let errno = |result: io::Result<()>| result.err().and_then(|error| error.raw_os_error());
    let rename = |old: &Path, new: &Path| errno(fs::rename(old, new));
    for round in 0..12 {
        let (old, new) = (format!("from/d{round}"), format!("to/d{round}"));
        let (file, free) = (pair.b.at(&format!("third/f{round}")), pair.b.at(&format!("third/moved-{round}")));
        fs::create_dir(pair.a.at(&old)).unwrap();
        fs::write(pair.a.at(&old).join("inside"), b"x").unwrap();
        fs::write(&file, b"y").unwrap();
        assert!(pair.b.at(&old).join("inside").exists(), "known by its old path");
        fs::rename(pair.a.at(&old), pair.a.at(&new)).unwrap();
        let moved = pair.b.at(&new);
        let (error, wanted) = match round % 6 {
            0 => (rename(&file, &moved), Some(libc::EISDIR)),
            1 => (rename(&moved, &free), None),
            2 => (errno(fs::remove_file(&moved)), Some(libc::EISDIR)),
            3 => (errno(fs::create_dir(&moved)), Some(libc::EEXIST)),
            4 => (errno(fs::rename(&moved, pair.b.at(&format!("to/beside-{round}")))), None),
            _ => (errno(fs::metadata(&moved).map(|_| ())), None),
        };
        assert_eq!(error, wanted, "round {round}");
        assert!(missing(&pair.b.at(&old)), "round {round}: still at its old path");
    }
}
