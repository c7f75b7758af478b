use super::*;
use crate::attr::FileKind;
use crate::id::{DataVersion, InodeId};
use crate::time::Timestamp;

/// A list from (wire tag, rights, id).
fn value(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut out = VERSION.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&rights.to_le_bytes());
        out.extend_from_slice(&id.to_le_bytes());
    }
    out
}

fn mode(bits: u32) -> Mode {
    Mode::from_bits(bits)
}

const MINIMAL: [(u16, u16, u32); 3] = [(1, 7, NO_ID), (4, 5, NO_ID), (0x20, 4, NO_ID)];
const NAMED: [(u16, u16, u32); 5] = [(1, 6, NO_ID), (2, 7, 1000), (4, 4, NO_ID), (0x10, 6, NO_ID), (0x20, 0, NO_ID)];

pub(crate) fn named() -> Acl {
    Acl::from_xattr(&value(&NAMED)).expect("valid").expect("not empty")
}

#[test]
fn a_list_that_says_no_more_than_a_mode_becomes_one() {
    let acl = Acl::from_xattr(&value(&MINIMAL)).expect("valid").expect("not empty");
    assert_eq!(acl.set_on(mode(0o4600)), Access { mode: mode(0o4754), acl: None });
}

#[test]
fn the_group_bits_of_the_mode_are_the_mask() {
    assert_eq!(named().set_on(mode(0)), Access { mode: mode(0o660), acl: Some(named()) });
}

#[test]
fn chmod_changes_the_mask_and_not_the_group() {
    let acl = named().after_chmod(mode(0o751));
    assert_eq!(acl.rights(Tag::Owner), 7);
    assert_eq!(acl.rights(Tag::Mask), 5);
    assert_eq!(acl.rights(Tag::Group), 4);
    assert_eq!(acl.rights(Tag::Other), 1);
    assert_eq!(acl.rights(Tag::User(1000)), 7);
}

#[test]
fn an_entry_inherits_no_more_than_was_asked_for() {
    let access = named().inherited(mode(0o640));
    assert_eq!(access.mode, mode(0o640));
    let acl = access.acl.expect("more than a mode");
    assert_eq!(acl.rights(Tag::Mask), 4);
    assert_eq!(acl.rights(Tag::User(1000)), 7);
}

#[test]
fn lists_round_trip_and_are_sorted() {
    let mut shuffled = NAMED;
    shuffled.reverse();
    let acl = Acl::from_xattr(&value(&shuffled)).expect("valid").expect("not empty");
    assert_eq!(acl.to_xattr(), value(&NAMED));
}

#[test]
fn an_empty_list_removes() {
    assert_eq!(Acl::from_xattr(&value(&[])), Ok(None));
}

#[test]
fn others_are_refused() {
    let bad = [
        value(&MINIMAL[..2]),
        value(&[MINIMAL[0], MINIMAL[1], MINIMAL[2], MINIMAL[2]]),
        value(&[NAMED[0], NAMED[1], NAMED[2], NAMED[4]]),
        value(&[NAMED[0], NAMED[1], NAMED[2], NAMED[3], NAMED[3], NAMED[4]]),
        value(&[(1, 8, NO_ID), MINIMAL[1], MINIMAL[2]]),
        value(&[(3, 7, NO_ID), MINIMAL[1], MINIMAL[2]]),
        value(&[MINIMAL[0], (2, 7, NO_ID), MINIMAL[1], NAMED[3], MINIMAL[2]]),
        value(&MINIMAL)[..27].to_vec(),
        vec![1, 0, 0, 0],
        vec![],
    ];
    for value in bad {
        assert_eq!(Acl::from_xattr(&value), Err(InvalidAcl), "{value:?}");
    }
}

#[test]
fn rights_are_given_by_the_first_of_owner_user_groups_and_others_that_fits() {
    let time = Timestamp::default();
    let file = |bits| Attr {
        ino: InodeId(7),
        kind: FileKind::Regular,
        mode: mode(bits),
        nlink: 1,
        uid: 5,
        gid: 50,
        rdev: 0,
        size: 0,
        allocated: 0,
        atime: time,
        mtime: time,
        ctime: time,
        btime: time,
        data_version: DataVersion(1),
        no_xattrs: false,
    };
    let may =
        |uid, groups: &[u32], wanted, bits, list: Option<&Acl>| Subject { uid, groups }.may(wanted, &file(bits), list);
    assert!(may(5, &[], 6, 0o600, None) && !may(5, &[50], 2, 0o077, None));
    assert!(may(6, &[1, 50], 2, 0o020, None) && !may(6, &[50], 2, 0o702, None));
    assert!(may(6, &[], 2, 0o002, None) && !may(6, &[], 3, 0o002, None));
    // user::rw-, user:1000:rwx, group::r--, mask::rw-, other::---
    let list = named();
    let list = Some(&list);
    assert!(may(1000, &[], 6, 0o660, list) && !may(1000, &[], 7, 0o660, list));
    assert!(may(6, &[50], 4, 0o660, list) && !may(6, &[50], 2, 0o660, list));
    assert!(!may(6, &[], 4, 0o660, list));
    // With nothing in the mask the mode alone counts.
    assert!(may(1000, &[], 4, 0o604, list));
    let groups = [(1, 6, NO_ID), (4, 4, NO_ID), (8, 2, 60), (0x10, 7, NO_ID), (0x20, 7, NO_ID)];
    let groups = Acl::from_xattr(&value(&groups)).expect("valid").expect("not empty");
    let groups = Some(&groups);
    assert!(may(6, &[60], 2, 0o677, groups) && may(6, &[50, 60], 4, 0o677, groups));
    assert!(!may(6, &[50, 60], 6, 0o677, groups), "one of them has to give all");
}
