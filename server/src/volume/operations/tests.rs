#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use bytes::Bytes;
use holdfast_core::attr::{Attr, FileKind, Mode, SetAttr};
use holdfast_core::error::PosixError;
use holdfast_core::id::{DataVersion, InodeId};
use holdfast_core::op::{WriteAt, WriteData};
use holdfast_core::range::ByteRange;
use holdfast_core::time::Timestamp;

use super::*;

const INO: InodeId = InodeId(5);

fn attr() -> Attr {
    let time = Timestamp::default();
    Attr {
        ino: INO,
        kind: FileKind::Regular,
        mode: Mode::from_bits(0o644),
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        size: 100,
        allocated: 100,
        atime: time,
        mtime: time,
        ctime: time,
        btime: time,
        data_version: DataVersion(9),
        no_xattrs: true,
    }
}

fn dropped(op: &Op, reply: OpReply) -> Option<(u64, Option<u64>)> {
    let what = changed(op, &Ok(reply))?;
    assert_eq!((what.ino, what.data_version), (INO, DataVersion(9)));
    Some((what.offset, what.len))
}

#[test]
fn others_drop_exactly_what_changed() {
    let data = WriteData::Inline(Bytes::from_static(b"abc"));
    let write = Op::Write { ino: INO, at: WriteAt::End, data, kill_privileges: false };
    assert_eq!(dropped(&write, OpReply::Written { offset: 97, len: 3, attr: attr() }), Some((97, Some(3))));
    assert_eq!(changed(&write, &Err(PosixError::NoSpace)), None);

    let set = SetAttr { size: Some(40), ..SetAttr::default() };
    assert_eq!(dropped(&Op::SetAttr { ino: INO, set }, OpReply::Attr(attr())), Some((40, None)));
    let set = SetAttr { mode: Some(Mode::from_bits(0o600)), ..SetAttr::default() };
    assert_eq!(dropped(&Op::SetAttr { ino: INO, set }, OpReply::Attr(attr())), None);

    let open = |truncate| Op::Open { ino: INO, truncate, kill_privileges: false };
    assert_eq!(dropped(&open(true), OpReply::Attr(attr())), Some((0, None)));
    assert_eq!(dropped(&open(false), OpReply::Attr(attr())), None);

    let range = ByteRange::new(10, 20).unwrap();
    let allocate = |mode| Op::Allocate { ino: INO, range, mode };
    assert_eq!(dropped(&allocate(AllocateMode::PunchHole), OpReply::Attr(attr())), Some((10, Some(20))));
    let reserve = allocate(AllocateMode::Reserve { keep_size: false });
    assert_eq!(dropped(&reserve, OpReply::Attr(attr())), Some((30, None)));

    let copy = Op::Copy { from: InodeId(4), from_offset: 0, to: INO, to_offset: 7, len: 50 };
    assert_eq!(dropped(&copy, OpReply::Copied { len: 5, attr: attr() }), Some((7, Some(5))));
    assert_eq!(dropped(&copy, OpReply::Copied { len: 0, attr: attr() }), None, "nothing was copied");
}
