#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;

use super::image::Slot;
use super::*;
use crate::random::Random;

const A: NodeId = NodeId(2);
const D: NodeId = NodeId(3);

fn root(name: &str) -> Slot {
    (NodeId::ROOT, name.to_owned())
}

fn create(name: &str) -> Change {
    Change::Create(root(name), A)
}

fn write(offset: u64, bytes: &[u8]) -> Change {
    Change::Write(A, offset, bytes.into())
}

const SYNC: Change = Change::SyncFile(A);
const SYNC_ROOT: Change = Change::SyncDirectory(NodeId::ROOT);

fn after(loss: Loss, record: &[Change]) -> Image {
    loss.after(&Image::default(), record, &mut Random::new(1))
}

fn content(image: &Image, name: &str) -> Option<Vec<u8>> {
    image.find(&root(name)).ok().map(|node| image.content(node).unwrap().to_vec())
}

#[test]
fn a_synced_file_without_a_synced_name_is_gone() {
    let record = [create("a"), write(0, b"x"), SYNC];
    assert_eq!(content(&after(Loss::Least, &record), "a"), None);
    assert_eq!(content(&after(Loss::Most, &record), "a").unwrap(), b"x");
}

#[test]
fn a_synced_name_does_not_bring_the_content() {
    let record = [create("a"), SYNC_ROOT, write(0, b"xyz")];
    assert_eq!(content(&after(Loss::Least, &record), "a").unwrap(), b"");
    assert_eq!(content(&after(Loss::NamesAndSizes, &record), "a").unwrap(), [0; 3]);
    assert_eq!(content(&after(Loss::Bytes, &record), "a").unwrap(), b"xyz");
}

#[test]
fn what_was_synced_is_there_whatever_is_lost() {
    let record = [create("a"), write(0, &[1; 3000]), SYNC, SYNC_ROOT, write(3000, &[2; 3000]), write(100, &[3; 9])];
    for seed in 0..300 {
        for loss in Loss::ALL {
            let image = loss.after(&Image::default(), &record, &mut Random::new(seed));
            let left = content(&image, "a").unwrap();
            assert!(left.len() >= 3000 && left[..100] == [1; 100], "{loss:?}");
            assert!(left[109..3000].iter().all(|byte| *byte == 1), "{loss:?}");
        }
    }
}

#[test]
fn a_torn_write_ends_at_a_sector_and_may_leave_anything_behind_it() {
    let record = [create("a"), SYNC_ROOT, write(0, &[7; 2000])];
    let (mut lengths, mut zeros, mut garbage) = (std::collections::BTreeSet::new(), 0, 0);
    for seed in 0..300 {
        let image = Loss::Torn.after(&Image::default(), &record, &mut Random::new(seed));
        let left = content(&image, "a").unwrap();
        let written = left.iter().take_while(|byte| **byte == 7).count();
        let rest = &left[written..];
        lengths.insert(left.len());
        zeros += usize::from(!rest.is_empty() && rest.iter().all(|byte| *byte == 0));
        garbage += usize::from(rest.iter().any(|byte| *byte != 0));
        assert!([512, 1024, 1536, 2000].contains(&written) || !rest.is_empty(), "{written} of {}", left.len());
    }
    assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [512, 1024, 1536, 2000]);
    assert!(zeros > 10 && garbage > 10, "{zeros} with zeros, {garbage} with garbage");
}

#[test]
fn a_rename_is_whole_and_brings_what_it_moved() {
    let record = [create("new"), write(0, b"x"), SYNC, Change::Rename(root("new"), root("a"))];
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let image = Loss::Scattered.after(&Image::default(), &record, &mut Random::new(seed));
        let names: Vec<String> = image.entries(NodeId::ROOT).unwrap().keys().cloned().collect();
        assert!(names.len() <= 1, "{names:?}");
        seen.insert(names);
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
    let synced = [&record[..], &[SYNC_ROOT]].concat();
    assert_eq!(content(&after(Loss::Least, &synced), "a").unwrap(), b"x");
}

#[test]
fn each_directory_keeps_its_names_in_their_order() {
    let name = |directory, name: &str, node| Change::Create((directory, name.to_owned()), NodeId(node));
    let made = [Change::MakeDirectory(root("d"), D), SYNC_ROOT];
    let record = [&made[..], &[name(D, "x", 4), name(NodeId::ROOT, "y", 5), name(D, "z", 6)]].concat();
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let image = Loss::Scattered.after(&Image::default(), &record, &mut Random::new(seed));
        seen.insert((image.entries(D).unwrap().len(), image.find(&root("y")).is_ok()));
        assert!(image.find(&(D, "x".to_owned())).is_ok() || image.find(&(D, "z".to_owned())).is_err());
    }
    assert_eq!(seen.len(), 6, "{seen:?}");
}

#[test]
fn a_directory_without_a_name_takes_everything_with_it() {
    let inner = (D, "a".to_owned());
    let record = [
        Change::MakeDirectory(root("d"), D),
        Change::Create(inner.clone(), A),
        write(0, b"x"),
        SYNC,
        Change::SyncDirectory(D),
    ];
    assert_eq!(after(Loss::Least, &record), Image::default());
    let synced = [&record[..], &[SYNC_ROOT]].concat();
    assert_eq!(after(Loss::Least, &synced).find(&inner), Ok(A));
}

#[test]
fn what_was_removed_may_be_back_until_the_directory_is_synced() {
    let record = [create("a"), write(0, b"x"), SYNC, SYNC_ROOT, Change::Remove(root("a"))];
    assert_eq!(content(&after(Loss::Least, &record), "a").unwrap(), b"x");
    let synced = [&record[..], &[SYNC_ROOT]].concat();
    assert!(Loss::ALL.iter().all(|loss| content(&after(*loss, &synced), "a").is_none()));
}

#[test]
fn a_mounted_disk_records_what_programs_do_and_shows_it() {
    let disk = Lossy::mount(Image::default());
    let at = |name: &str| disk.path().join(name);
    fs::create_dir(at("d")).unwrap();
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(at("d/new")).unwrap();
    file.write_all(b"hello").unwrap();
    file.sync_data().unwrap();
    file.write_all_at(b"J", 0).unwrap();
    file.set_len(3).unwrap();
    fs::rename(at("d/new"), at("d/a")).unwrap();
    File::open(at("d")).unwrap().sync_all().unwrap();
    fs::hard_link(at("d/a"), at("b")).unwrap();
    assert_eq!(fs::read(at("b")).unwrap(), b"Jel");
    fs::remove_file(at("b")).unwrap();
    let (d, node) = (NodeId(2), NodeId(3));
    let inner = |name: &str| (d, name.to_owned());
    let wanted = vec![
        Change::MakeDirectory(root("d"), d),
        Change::Create(inner("new"), node),
        Change::Write(node, 0, b"hello"[..].into()),
        Change::SyncFile(node),
        Change::Write(node, 0, b"J"[..].into()),
        Change::Resize(node, 3),
        Change::Rename(inner("new"), inner("a")),
        Change::SyncDirectory(d),
        Change::Link(root("b"), node),
        Change::Remove(root("b")),
    ];
    assert_eq!(disk.record(), wanted);
    drop(file);
    // A disk that lost its power is a disk again.
    let left = Loss::NamesAndSizes.after(&Image::default(), &disk.record(), &mut Random::new(1));
    let again = Lossy::mount(left);
    assert_eq!(fs::read(again.path().join("d/a")).unwrap(), b"hel");
}
