#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;

use super::*;
use crate::id::InodeId;
use crate::name::FileName;

#[test]
fn numbers_and_words_are_of_one_kind_each() {
    let words: BTreeSet<&str> = FindingKind::ALL.iter().map(|kind| kind.word()).collect();
    assert_eq!(words.len(), FindingKind::ALL.len());
    for kind in FindingKind::ALL {
        assert_eq!(FindingKind::of_number(kind.number()), Some(*kind));
    }
    for fault in Fault::ALL {
        assert_eq!(Fault::of_number(fault.number()), Some(*fault));
    }
    assert_eq!((FindingKind::of_number(0), Fault::of_number(0)), (None, None));
}

#[test]
fn a_finding_reads_as_a_sentence() {
    let finding = Finding::new(FindingKind::LinkCount, Subject::Inode(InodeId(7))).figures(3, 2);
    assert_eq!(finding.to_string(), "inode 7 counts another number of names than it has: 3 is stored, 2 is true");
    let name = FileName::new(&b"a\xff"[..]).unwrap();
    let finding = Finding::new(FindingKind::EntryToNothing, Subject::Name { directory: InodeId(1), name });
    assert_eq!(
        finding.detail("inode 9").to_string(),
        "the name \"a\\xff\" in directory 1 leads to an inode that is not there (inode 9)"
    );
}
