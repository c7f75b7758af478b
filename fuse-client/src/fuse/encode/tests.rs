use holdfast_core::attr::Mode;
use holdfast_core::id::{DataVersion, InodeId};

use super::*;

fn attr() -> Attr {
    let time = Timestamp { secs: -5, nanos: 7 };
    Attr {
        ino: InodeId(9),
        kind: FileKind::CharDevice,
        mode: Mode::from_bits(0o4755),
        nlink: 2,
        uid: 1,
        gid: 2,
        rdev: 0x0010_0301,
        size: 513,
        allocated: 513,
        atime: time,
        mtime: time,
        ctime: time,
        btime: time,
        data_version: DataVersion(3),
        no_xattrs: true,
    }
}

#[test]
fn structures_have_the_length_that_the_kernel_expects() {
    let mut out = Output::default();
    assert_eq!(out.attr_out(9, &attr(), Ttl::default()).bytes().len(), 104);
    let mut out = Output::default();
    assert_eq!(out.entry_out(9, 9, &attr(), Ttl::default()).bytes().len(), abi::ENTRY_OUT);
    let mut out = Output::default();
    assert_eq!(out.statx_out(9, &attr(), Ttl::default()).bytes().len(), 288);
    let mut out = Output::default();
    assert_eq!(out.open_out(1, 2).bytes().len(), 16);
}

#[test]
fn entries_are_aligned_and_stop_where_the_room_ends() {
    let mut out = Output::default();
    assert!(out.dirent(64, 9, 1, FileKind::Directory, b"abc"));
    assert_eq!(out.bytes().len(), 32);
    assert_eq!(out.bytes()[20], 4);
    assert!(out.dirent(64, 9, 2, FileKind::Regular, b"12345678"));
    assert!(!out.dirent(64, 9, 3, FileKind::Regular, b"x"));
    assert_eq!(out.bytes().len(), 64);
    let attr = attr();
    let entry = PlusEntry { id: 9, node: 9, offset: 1, kind: FileKind::Regular, name: b"x", attr: Some(&attr) };
    let mut out = Output::default();
    assert!(!out.dirent_plus(159, entry, Ttl::default()));
    assert!(out.bytes().is_empty());
    assert!(out.dirent_plus(160, entry, Ttl::default()));
    assert_eq!(out.bytes().len(), 160);
}

#[test]
fn kinds_go_there_and_back() {
    for bits in
        [libc::S_IFREG, libc::S_IFDIR, libc::S_IFLNK, libc::S_IFIFO, libc::S_IFSOCK, libc::S_IFCHR, libc::S_IFBLK]
    {
        assert_eq!(kind_of_bits(bits | 0o644).map(type_bits), Some(bits));
    }
    assert_eq!(kind_of_bits(0o644), Some(FileKind::Regular));
    assert_eq!(kind_of_bits(0o030_000), None);
    assert_eq!(split_device(attr().rdev), (3, 0x101));
}
