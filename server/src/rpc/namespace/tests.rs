use super::*;

#[test]
fn space_is_what_the_quota_or_the_disk_leaves() {
    let usage = Usage { bytes: 300, inodes: 3 };
    let stat = fs_stat(Quota { bytes: Some(1000), inodes: Some(5) }, usage, 1 << 20);
    assert_eq!((stat.bytes_total, stat.bytes_free, stat.inodes_total, stat.inodes_free), (1000, 700, 5, 2));
    let stat = fs_stat(Quota { bytes: Some(1000), inodes: None }, usage, 512);
    assert_eq!((stat.bytes_total, stat.bytes_free, stat.inodes_total, stat.inodes_free), (1000, 512, 4, 1));
    let stat = fs_stat(Quota::default(), usage, 1024);
    assert_eq!((stat.bytes_total, stat.bytes_free), (1324, 1024));
    let over = fs_stat(Quota { bytes: Some(100), inodes: Some(1) }, usage, 1 << 20);
    assert_eq!((over.bytes_free, over.inodes_free), (0, 0));
}

#[test]
fn a_page_that_is_too_long_for_a_message_goes_on_later() {
    let entry = |cookie: u64| store::DirEntry {
        name: FileName::new(vec![b'n'; 255]).expect("a name"),
        ino: InodeId(cookie + 10),
        kind: holdfast_core::attr::FileKind::Regular,
        cookie: DirCookie(cookie),
        attr: None,
    };
    let page = |count| store::DirPage { entries: (1..=count).map(entry).collect(), end: true, parent: InodeId::ROOT };
    let short = page_to_wire(page(3));
    assert!(short.end && short.entries.len() == 3);
    let long = page_to_wire(page(4096));
    assert!(!long.end && !long.entries.is_empty() && long.entries.len() < 4096);
}

#[test]
fn names_that_no_entry_can_have_are_answered_by_errno() {
    assert_eq!(looked_up(Bytes::from(vec![b'x'; 256])), Err(PosixError::NameTooLong));
    assert_eq!(looked_up(Bytes::from_static(b"a/b")), Err(PosixError::Invalid));
    assert!(looked_up(Bytes::from_static(b"ok")).is_ok());
}
