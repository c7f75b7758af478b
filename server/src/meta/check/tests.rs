#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use holdfast_core::integrity::Mending;

use super::mend::decide;
use super::*;
use crate::store::fixture::{ROOT, Volume, noise, xattr};

fn finding(kind: FindingKind, subject: Subject) -> Finding {
    Finding::new(kind, subject)
}

fn decided(mut findings: Vec<Finding>, cut: bool) -> Vec<(FindingKind, bool)> {
    decide(&mut findings, cut);
    findings.iter().map(|finding| (finding.kind, finding.mending == Mending::Safe)).collect()
}

#[test]
fn only_what_follows_from_other_records_is_safe() {
    let told = [
        FindingKind::Unreadable,
        FindingKind::NoRoot,
        FindingKind::EntryToNothing,
        FindingKind::EntryType,
        FindingKind::EntryOutside,
        FindingKind::ListedWrongly,
        FindingKind::Nameless,
        FindingKind::ManyNames,
        FindingKind::DirectoryPlace,
        FindingKind::Detached,
        FindingKind::StrayXattrs,
        FindingKind::Target,
        FindingKind::DataPastSize,
        FindingKind::ExtentOverlap,
        FindingKind::DataShared,
        FindingKind::DataDoomed,
    ];
    for &kind in FindingKind::ALL {
        let safe = decided(vec![finding(kind, Subject::Inode(InodeId(5)))], false)[0].1;
        assert_eq!(safe, !told.contains(&kind), "{}", kind.word());
    }
}

#[test]
fn nothing_is_safe_while_something_is_not_known() {
    let count = || finding(FindingKind::EntryCount, Subject::Inode(ROOT));
    let unreadable = finding(FindingKind::Unreadable, Subject::Record("I 7".into()));
    assert_eq!(decided(vec![count(), unreadable], false)[0], (FindingKind::EntryCount, false));
    assert_eq!(decided(vec![count()], true)[0], (FindingKind::EntryCount, false));
    // What seems to be nobody's may be that of an inode that is missing.
    let nobody = finding(FindingKind::DataOfNobody, Subject::Data(3));
    let missing = finding(FindingKind::EntryToNothing, Subject::Inode(InodeId(9)));
    let both = decided(vec![nobody, count(), missing], false);
    assert_eq!(both[..2], [(FindingKind::DataOfNobody, false), (FindingKind::EntryCount, true)]);
}

#[test]
fn a_name_comes_back_before_anything_is_counted() {
    let lost = finding(
        FindingKind::NameLost,
        Subject::Place { directory: InodeId(4), cookie: holdfast_core::id::DirCookie(8) },
    );
    let here = finding(FindingKind::EntryCount, Subject::Inode(InodeId(4)));
    let elsewhere = finding(FindingKind::EntryCount, Subject::Inode(InodeId(5)));
    let links = finding(FindingKind::LinkCount, Subject::Inode(InodeId(6)));
    let safe: Vec<bool> = decided(vec![lost, here, elsewhere, links], false).iter().map(|(_, safe)| *safe).collect();
    assert_eq!(safe, [true, false, true, false]);
}

/// A volume with something of each kind in it.
fn volume() -> Volume {
    let volume = Volume::new();
    let mut parent = ROOT;
    for depth in 0..5 {
        parent = volume.dir(parent, &format!("d{depth}")).unwrap();
        for number in 0..7 {
            let file = volume.file(parent, &format!("f{number}")).unwrap();
            volume.write_staged(file, 0, &noise(number, 70_000)).unwrap();
            volume.link(file, ROOT, &format!("l{depth}-{number}")).unwrap();
        }
    }
    let (name, value) = (xattr("user.a"), bytes::Bytes::from_static(b"v"));
    let mode = holdfast_core::op::XattrMode::Either;
    let op = holdfast_core::op::Op::SetXattr { ino: parent, name, value, mode, kill_setgid: false };
    volume.apply(op).unwrap();
    volume.commit();
    volume
}

#[test]
fn little_memory_gives_the_same_answer() {
    let volume = volume();
    let small = Bounds { inodes: 3, owners: 2, findings: 100, orphans: 10 };
    let mut calls = 0;
    let checked = volume
        .store
        .check(small, &mut |_| {
            calls += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(checked.findings, Vec::new());
    let whole = volume.store.check(Bounds::default(), &mut |_| Ok(())).unwrap();
    assert_eq!(whole.findings, Vec::new());
    assert_eq!(checked.counted, whole.counted);
    assert_eq!((whole.counted.inodes, whole.counted.names, whole.counted.extents), (41, 75, 70));
    assert!(calls > 3, "it says where it stands");
}

#[test]
fn an_observer_ends_it() {
    let volume = volume();
    let over = || holdfast_core::error::Error::new(holdfast_core::error::ErrorKind::Unavailable, "over");
    let error = volume.store.check(Bounds::default(), &mut |_| Err(over())).unwrap_err();
    assert_eq!(error.message(), "over");
}
