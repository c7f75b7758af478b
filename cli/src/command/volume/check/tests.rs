#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use holdfast_core::id::InodeId;
use holdfast_core::integrity::{Counted, FindingKind};

use super::*;

fn view(findings: Vec<Finding>, left: u64) -> CheckView {
    let counted = Counted { inodes: 1234, names: 1, extents: 5 };
    CheckView::new(&"v".parse().unwrap(), findings, CheckReport { counted, left, mended: 0, cut: false })
}

fn finding() -> Finding {
    let finding = Finding::new(FindingKind::LinkCount, Subject::Inode(InodeId(7))).figures(3, 2);
    Finding { path: Some(b"/a/b".to_vec()), mending: Mending::Safe, ..finding }
}

#[test]
fn a_sound_volume_is_one_line() {
    assert_eq!(view(Vec::new(), 0).text(), "volume v: 1,234 inodes, 1 name, 5 extents checked: all of it agrees\n");
}

#[test]
fn findings_are_a_table_and_json() {
    let text = view(vec![finding()], 1).text();
    let row =
        "  link-count  safe     /a/b (inode 7)  counts another number of names than it has: 3 is stored, 2 is true";
    assert!(text.lines().any(|line| line == row), "{text}");
    assert!(text.starts_with("volume v: 1,234 inodes") && text.contains("0 mended, 1 left"), "{text}");
    let json = serde_json::to_value(view(vec![finding()], 1)).unwrap();
    let found = &json["findings"][0];
    assert_eq!((&found["kind"], &found["path"], &found["inode"]), (&"link-count".into(), &"/a/b".into(), &7.into()));
    assert_eq!((&found["stored"], &found["true"], &found["mending"]), (&3.into(), &2.into(), &"safe".into()));
}

#[test]
fn the_bar_only_moves_on() {
    let at = |phase, done| share(CheckProgress { phase, done, total: 10 });
    assert!(at(CheckPhase::Names, 0) < at(CheckPhase::Names, 10));
    assert!(at(CheckPhase::Names, 99) <= at(CheckPhase::Inodes, 0));
    assert!(at(CheckPhase::Extents, 10) <= 1.0);
}
