#![expect(clippy::unwrap_used, reason = "a test may stop")]

use bytes::Bytes;
use holdfast_core::attr::FileKind;
use holdfast_core::id::{DirCookie, InodeId};
use holdfast_core::name::FileName;

use super::{DirEntry, DirPage, FsStat, symlink_target, xattr_names, xattr_value};
use crate::v1;

fn page() -> DirPage {
    let entry = |name: &str, cookie| DirEntry {
        name: FileName::new(name.to_owned()).unwrap(),
        ino: InodeId(cookie + 10),
        kind: FileKind::Regular,
        cookie: DirCookie(cookie),
        attr: None,
    };
    DirPage { entries: vec![entry("a", 3), entry("b", 5)], end: false, parent: InodeId(1) }
}

#[test]
fn pages_come_back() {
    assert_eq!(DirPage::from_wire((&page()).into(), DirCookie(2)).unwrap(), page());
}

#[test]
fn pages_that_cannot_be_are_refused() {
    let refused = |bend: &dyn Fn(&mut v1::ReadDirResponse)| {
        let mut wire = v1::ReadDirResponse::from(&page());
        bend(&mut wire);
        assert!(DirPage::from_wire(wire, DirCookie(0)).is_err());
    };
    for name in [&b".."[..], b".", b"", b"a/../../etc", b"nul\0", &[b'x'; 256]] {
        refused(&|wire| wire.entries[1].name = Bytes::copy_from_slice(name));
    }
    refused(&|wire| wire.entries[1].cookie = 3);
    refused(&|wire| wire.entries[0].cookie = 0);
    refused(&|wire| wire.entries[0].ino = 0);
    refused(&|wire| wire.entries[0].kind = 77);
    refused(&|wire| wire.parent = 0);
    refused(&|wire| wire.entries.clear());
    // Attributes of another inode.
    refused(&|wire| {
        let time = Some(v1::Timestamp::default());
        let attr =
            v1::Attr { ino: 1, kind: 1, atime: time, mtime: time, ctime: time, btime: time, ..v1::Attr::default() };
        wire.entries[0].attr = Some(attr);
    });
    refused(&|wire| {
        let entry = wire.entries[0].clone();
        wire.entries = (1..=4097).map(|cookie| v1::DirEntry { cookie, ..entry.clone() }).collect();
    });
}

#[test]
fn lists_and_values_have_bounds() {
    assert!(xattr_value(vec![0; 65_536].into()).is_ok());
    assert!(xattr_value(vec![0; 65_537].into()).is_err());
    let names = |count| v1::ListXattrResponse { names: vec![vec![b'n'; 255].into(); count] };
    assert_eq!(xattr_names(names(256)).unwrap().len(), 256);
    assert!(xattr_names(names(257)).is_err());
    assert!(symlink_target(vec![b'a'; 4095].into()).is_ok());
    assert!(symlink_target(vec![b'a'; 4096].into()).is_err());
    assert!(symlink_target(Bytes::new()).is_err());
}

#[test]
fn no_more_is_free_than_there_is() {
    let wire = v1::StatFsResponse { bytes_total: 5, bytes_free: 9, inodes_total: 1, inodes_free: 0 };
    assert_eq!(FsStat::from(wire).bytes_free, 5);
}
