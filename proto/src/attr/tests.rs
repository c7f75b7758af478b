#![expect(clippy::unwrap_used, reason = "a test may stop")]

use holdfast_core::attr::{Attr, FileKind, Mode};
use holdfast_core::error::ErrorKind;
use holdfast_core::id::{DataVersion, InodeId};
use holdfast_core::limits::FILE_BYTES_MAX;
use holdfast_core::time::Timestamp;
use proptest::prelude::*;

use crate::v1;

pub(crate) fn kinds() -> impl Strategy<Value = FileKind> {
    prop::sample::select(vec![
        FileKind::Regular,
        FileKind::Directory,
        FileKind::Symlink,
        FileKind::Fifo,
        FileKind::Socket,
        FileKind::CharDevice,
        FileKind::BlockDevice,
    ])
}

pub(crate) fn times() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), 0..1_000_000_000_u32).prop_map(|(secs, nanos)| Timestamp { secs, nanos })
}

pub(crate) fn attrs() -> impl Strategy<Value = Attr> {
    let numbers = (1..=u64::MAX, 0..=0o7777_u32, any::<[u32; 4]>(), 0..=FILE_BYTES_MAX, any::<u64>(), any::<u64>());
    (numbers, kinds(), [times(), times(), times(), times()]).prop_map(|(numbers, kind, times)| {
        let (ino, mode, [nlink, uid, gid, rdev], size, allocated, version) = numbers;
        let [atime, mtime, ctime, btime] = times;
        Attr {
            ino: InodeId(ino),
            kind,
            mode: Mode::from_bits(mode),
            nlink,
            uid,
            gid,
            rdev,
            size,
            allocated,
            atime,
            mtime,
            ctime,
            btime,
            data_version: DataVersion(version),
            no_xattrs: version % 2 == 0,
        }
    })
}

proptest! {
    #[test]
    fn attributes_come_back(attr in attrs()) {
        prop_assert_eq!(Attr::try_from(v1::Attr::from(&attr)).unwrap(), attr);
    }

    #[test]
    fn kinds_come_back(kind in kinds()) {
        prop_assert_eq!(super::file_kind(v1::FileKind::from(kind).into()).unwrap(), kind);
    }

    #[test]
    fn no_kind_but_the_known(number in any::<i32>()) {
        prop_assert_eq!(super::file_kind(number).is_ok(), (1..=7).contains(&number));
    }
}

#[test]
fn attributes_that_cannot_be_are_refused() {
    let time = Some(v1::Timestamp { secs: 1, nanos: 2 });
    let good = v1::Attr { ino: 1, kind: 1, atime: time, mtime: time, ctime: time, btime: time, ..v1::Attr::default() };
    assert!(Attr::try_from(good).is_ok());
    let bad = [
        v1::Attr { ino: 0, ..good },
        v1::Attr { kind: 0, ..good },
        v1::Attr { kind: 8, ..good },
        v1::Attr { kind: -1, ..good },
        v1::Attr { mode: 0o10000, ..good },
        v1::Attr { size: FILE_BYTES_MAX + 1, ..good },
        v1::Attr { atime: None, ..good },
        v1::Attr { btime: Some(v1::Timestamp { secs: 0, nanos: 1_000_000_000 }), ..good },
    ];
    for wire in bad {
        assert_eq!(Attr::try_from(wire).unwrap_err().kind(), ErrorKind::Invalid, "{wire:?}");
    }
}
