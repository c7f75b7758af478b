#![expect(clippy::unwrap_used, reason = "tests")]

use holdfast_core::id::{DirCookie, InodeId};
use holdfast_core::name::FileName;

use super::*;

#[test]
fn keys_sort_as_their_numbers_do() {
    let ends = [1, 255, 256, 65_536, u64::MAX - 1];
    let keys: Vec<Key> = ends.iter().map(|end| extent(DataId(7), *end)).collect();
    assert!(keys.is_sorted());
    assert!(inode(InodeId(255)) < inode(InodeId(256)));
}

#[test]
fn a_range_has_its_keys_and_no_others() {
    let holds = |range: &KeyRange, key: &Key| range.from <= *key && *key < range.to;
    let range = extents_past(DataId(7), 100);
    assert!(holds(&range, &extent(DataId(7), 101)));
    assert!(holds(&range, &extent(DataId(7), u64::MAX)));
    assert!(!holds(&range, &extent(DataId(7), 100)));
    assert!(!holds(&range, &extent(DataId(8), 101)));
    let listing = entries_after(InodeId(255), DirCookie(3));
    assert!(holds(&listing, &cookie(InodeId(255), DirCookie(4))));
    assert!(!holds(&listing, &cookie(InodeId(255), DirCookie(3))));
    assert!(!holds(&listing, &cookie(InodeId(256), DirCookie(4))));
    assert!(entries_after(InodeId(1), DirCookie(u64::MAX)).from < entries_after(InodeId(1), DirCookie(0)).to);
}

#[test]
fn the_successor_follows_every_key_with_the_prefix() {
    assert_eq!(successor(b"ab"), b"ac");
    assert_eq!(successor(&[b'a', 255]), b"b");
    assert!(successor(&[255, 255]) > vec![255, 255, 0]);
}

#[test]
fn descriptions_name_what_is_in_a_key() {
    assert_eq!(describe(&inode(InodeId(12))), "I 12");
    assert_eq!(describe(&entry(InodeId(1), &FileName::new("a\nb").unwrap())), "D 1 \"a\\nb\"");
    assert_eq!(describe(&extent(DataId(7), 65_536)), "E 7 65536");
    assert_eq!(describe(b"I12"), "I 12");
    assert_eq!(describe(b""), "an empty key");
    assert_eq!(split_pair(&extent(DataId(7), 9)), Some((7, 9)));
    assert_eq!(split_pair(b"E short"), None);
}
