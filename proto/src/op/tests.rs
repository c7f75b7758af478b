#![expect(clippy::unwrap_used, reason = "a test may stop")]

use bytes::Bytes;
use holdfast_core::attr::{FileKind, Mode, SetAttr, SetTime};
use holdfast_core::derive::AskedMode;
use holdfast_core::error::ErrorKind;
use holdfast_core::id::{CommitSeq, InodeId, Seq, StageId};
use holdfast_core::limits::{BATCH_OPS_MAX, FILE_BYTES_MAX, INLINE_BYTES_MAX, IO_BYTES_MAX};
use holdfast_core::name::{FileName, XattrName};
use holdfast_core::op::{AllocateMode, Caller, LoggedOp, NewNode, Op, RenameMode, WriteAt, WriteData, XattrMode};
use holdfast_core::range::ByteRange;
use proptest::prelude::*;
use prost::Message as _;

use super::{OpBatch, logged_op};
use crate::attr::tests::times;
use crate::v1;

fn inodes() -> impl Strategy<Value = InodeId> {
    (1..=u64::MAX).prop_map(InodeId)
}

fn names() -> impl Strategy<Value = FileName> {
    prop::collection::vec(any::<u8>(), 1..=255).prop_filter_map("no file name", |bytes| FileName::new(bytes).ok())
}

fn xattr_names() -> impl Strategy<Value = XattrName> {
    prop::collection::vec(1..=u8::MAX, 1..=255).prop_map(|bytes| XattrName::new(bytes).unwrap())
}

fn modes() -> impl Strategy<Value = Mode> {
    (0..=0o7777_u32).prop_map(Mode::from_bits)
}

fn asked_modes() -> impl Strategy<Value = AskedMode> {
    (modes(), modes()).prop_map(|(mode, umask)| AskedMode { mode, umask })
}

fn bytes(len: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), len).prop_map(Bytes::from)
}

fn nodes() -> impl Strategy<Value = NewNode> {
    let target = prop::collection::vec(1..=u8::MAX, 1..=100).prop_map(Bytes::from);
    prop_oneof![
        any::<bool>().prop_map(|open| NewNode::File { open }),
        Just(NewNode::Directory),
        target.prop_map(|target| NewNode::Symlink { target }),
        Just(NewNode::Special { kind: FileKind::Fifo, rdev: 0 }),
        Just(NewNode::Special { kind: FileKind::Socket, rdev: 0 }),
        any::<u32>().prop_map(|rdev| NewNode::Special { kind: FileKind::CharDevice, rdev }),
        any::<u32>().prop_map(|rdev| NewNode::Special { kind: FileKind::BlockDevice, rdev }),
    ]
}

fn set_times() -> impl Strategy<Value = Option<SetTime>> {
    prop_oneof![Just(None), Just(Some(SetTime::Now)), times().prop_map(|time| Some(SetTime::To(time)))]
}

fn set_attrs() -> impl Strategy<Value = SetAttr> {
    let owner = || prop::option::of(0..u32::MAX);
    (
        prop::option::of(modes()),
        owner(),
        owner(),
        any::<Option<u64>>(),
        set_times(),
        set_times(),
        prop::option::of(times()),
        any::<(bool, bool)>(),
    )
        .prop_map(|(mode, uid, gid, size, atime, mtime, ctime, (kill_privileges, keep_setgid))| SetAttr {
            mode,
            uid,
            gid,
            size,
            atime,
            mtime,
            ctime,
            kill_privileges,
            keep_setgid,
        })
}

fn write_data() -> impl Strategy<Value = WriteData> {
    let len = 1..=u32::try_from(IO_BYTES_MAX).unwrap();
    prop_oneof![
        bytes(1..=300).prop_map(WriteData::Inline),
        (1..=u64::MAX, len).prop_map(|(stage, len)| WriteData::Staged { stage: StageId(stage), len }),
    ]
}

fn ranges() -> impl Strategy<Value = ByteRange> {
    (0..FILE_BYTES_MAX, 1..=FILE_BYTES_MAX)
        .prop_filter_map("past the largest file", |(start, len)| ByteRange::new(start, len))
}

const RENAME_MODES: [RenameMode; 5] = [
    RenameMode::Replace,
    RenameMode::NoReplace,
    RenameMode::Exchange,
    RenameMode::Whiteout,
    RenameMode::WhiteoutNoReplace,
];
const XATTR_MODES: [XattrMode; 4] = [XattrMode::Either, XattrMode::Create, XattrMode::Replace, XattrMode::Both];

fn renames() -> impl Strategy<Value = Op> {
    let modes = prop::sample::select(RENAME_MODES.to_vec());
    (inodes(), names(), inodes(), names(), modes).prop_map(|(parent, name, new_parent, new_name, mode)| Op::Rename {
        parent,
        name,
        new_parent,
        new_name,
        mode,
    })
}

fn allocates() -> impl Strategy<Value = Op> {
    let modes = (any::<bool>(), 0..3).prop_map(|(keep_size, which)| match which {
        0 => AllocateMode::Reserve { keep_size },
        1 => AllocateMode::Zero { keep_size },
        _ => AllocateMode::PunchHole,
    });
    (inodes(), ranges(), modes).prop_map(|(ino, range, mode)| Op::Allocate { ino, range, mode })
}

pub(crate) fn ops() -> impl Strategy<Value = Op> {
    let at = prop_oneof![
        any::<u64>().prop_map(WriteAt::Offset),
        any::<u64>().prop_map(WriteAt::Mapped),
        any::<u64>().prop_map(WriteAt::WrittenBack),
        Just(WriteAt::End),
    ];
    let xattr_mode = prop::sample::select(XATTR_MODES.to_vec());
    let values = bytes(0..=100);
    prop_oneof![
        (inodes(), names(), nodes(), asked_modes(), proptest::option::of(inodes()))
            .prop_map(|(parent, name, node, mode, ino)| Op::Create { parent, name, node, mode, ino }),
        (inodes(), asked_modes()).prop_map(|(parent, mode)| Op::CreateUnnamed { parent, mode }),
        (inodes(), inodes(), names()).prop_map(|(ino, parent, name)| Op::Link { ino, parent, name }),
        (inodes(), names()).prop_map(|(parent, name)| Op::Unlink { parent, name }),
        (inodes(), names()).prop_map(|(parent, name)| Op::Rmdir { parent, name }),
        renames(),
        (inodes(), set_attrs()).prop_map(|(ino, set)| Op::SetAttr { ino, set }),
        inodes().prop_map(|ino| Op::Touch { ino }),
        (inodes(), xattr_names(), values, xattr_mode, any::<bool>())
            .prop_map(|(ino, name, value, mode, kill_setgid)| Op::SetXattr { ino, name, value, mode, kill_setgid }),
        (inodes(), xattr_names()).prop_map(|(ino, name)| Op::RemoveXattr { ino, name }),
        (inodes(), at, write_data(), any::<bool>()).prop_map(|(ino, at, data, kill_privileges)| Op::Write {
            ino,
            at,
            data,
            kill_privileges
        }),
        allocates(),
        (inodes(), any::<u64>(), inodes(), any::<u64>(), any::<u64>())
            .prop_map(|(from, from_offset, to, to_offset, len)| Op::Copy { from, from_offset, to, to_offset, len }),
        (inodes(), any::<bool>(), any::<bool>()).prop_map(|(ino, truncate, kill_privileges)| Op::Open {
            ino,
            truncate,
            kill_privileges
        }),
        inodes().prop_map(|ino| Op::Close { ino }),
    ]
}

fn logged() -> impl Strategy<Value = LoggedOp> {
    let commits = prop::option::of((1..=u64::MAX).prop_map(CommitSeq));
    (any::<u32>(), any::<u32>(), prop::option::of(times()), commits, ops()).prop_map(
        |(uid, gid, time, replay_of, op)| LoggedOp { seq: Seq(0), caller: Caller { uid, gid }, time, replay_of, op },
    )
}

proptest! {
    #[test]
    fn batches_come_back(first in 1..(1_u64 << 60), ops in prop::collection::vec(logged(), 0..20), received in any::<u64>()) {
        let seqs = (first..).map(Seq);
        let ops = ops.into_iter().zip(seqs).map(|(op, seq)| LoggedOp { seq, ..op }).collect();
        let batch = OpBatch { ops, received: Seq(received) };
        let bytes = v1::OpBatch::from(&batch).encode_to_vec();
        let wire = v1::OpBatch::decode(&bytes[..]).unwrap();
        prop_assert_eq!(OpBatch::try_from(wire).unwrap(), batch);
    }

    /// Whatever comes: an operation that holds its own rules, or a clear error; never a panic.
    #[test]
    fn garbage_is_refused_or_sound(garbage in prop::collection::vec(any::<u8>(), 0..200)) {
        let Ok(wire) = v1::OpBatch::decode(&garbage[..]) else { return Ok(()) };
        match OpBatch::try_from(wire) {
            Ok(batch) => prop_assert_eq!(OpBatch::try_from(v1::OpBatch::from(&batch)).unwrap(), batch),
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Invalid),
        }
    }

    /// An operation with some byte of it changed.
    #[test]
    fn bent_operations_are_refused_or_sound(op in logged(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = v1::Op::from(&op).encode_to_vec();
        prop_assume!(!bytes.is_empty());
        let index = at.index(bytes.len());
        bytes[index] = byte;
        let Ok(wire) = v1::Op::decode(&bytes[..]) else { return Ok(()) };
        match logged_op(wire, Seq(9)) {
            Ok(op) => prop_assert_eq!(logged_op(v1::Op::from(&op), Seq(9)).unwrap(), op),
            Err(error) => prop_assert!(error.message().starts_with("operation 9: "), "{}", error),
        }
    }
}

fn refused(op: v1::op::Op) {
    let wire = v1::Op { op: Some(op.clone()), ..v1::Op::default() };
    let error = logged_op(wire, Seq(1)).expect_err(&format!("{op:?}"));
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn names_that_no_entry_can_have_are_refused() {
    for name in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0", &[b'n'; 256]] {
        let name = Bytes::copy_from_slice(name);
        refused(v1::op::Op::Create(v1::Create { parent: 1, name: name.clone(), kind: 1, ..v1::Create::default() }));
        refused(v1::op::Op::Unlink(v1::Unlink { parent: 1, name: name.clone() }));
        refused(v1::op::Op::Rmdir(v1::Rmdir { parent: 1, name: name.clone() }));
        refused(v1::op::Op::Link(v1::Link { ino: 2, parent: 1, name: name.clone() }));
        let good = Bytes::from_static(b"good");
        refused(v1::op::Op::Rename(v1::Rename { parent: 1, name: good, new_parent: 1, new_name: name, mode: 0 }));
    }
}

#[test]
fn creations_that_cannot_be_are_refused() {
    let good = v1::Create { parent: 1, name: Bytes::from_static(b"a"), kind: 1, ..v1::Create::default() };
    let bad = [
        v1::Create { kind: 0, ..good.clone() },
        v1::Create { kind: 99, ..good.clone() },
        v1::Create { parent: 0, ..good.clone() },
        v1::Create { mode: 0o10_0644, ..good.clone() },
        v1::Create { kind: 2, open: true, ..good.clone() },
        v1::Create { kind: 3, ..good.clone() },
        v1::Create { kind: 3, symlink_target: vec![b'a'; 4096].into(), ..good.clone() },
        v1::Create { kind: 3, symlink_target: Bytes::from_static(b"a\0b"), ..good.clone() },
        v1::Create { symlink_target: Bytes::from_static(b"a"), ..good.clone() },
        v1::Create { kind: 4, rdev: 1, ..good },
    ];
    for create in bad {
        refused(v1::op::Op::Create(create));
    }
}

#[test]
fn writes_that_cannot_be_are_refused() {
    let len = u32::try_from(IO_BYTES_MAX).unwrap();
    let good = v1::Write { ino: 1, data: Bytes::from_static(b"x"), ..v1::Write::default() };
    let staged = v1::Write { ino: 1, stage_id: 1, stage_len: len, ..v1::Write::default() };
    for wire in [&good, &staged] {
        let wire = v1::Op { op: Some(v1::op::Op::Write(wire.clone())), ..v1::Op::default() };
        logged_op(wire, Seq(1)).unwrap();
    }
    let bad = [
        v1::Write { ino: 0, ..good.clone() },
        v1::Write { data: Bytes::new(), ..good.clone() },
        v1::Write { data: vec![0; INLINE_BYTES_MAX + 1].into(), ..good.clone() },
        v1::Write { stage_id: 1, stage_len: 1, ..good },
        v1::Write { stage_id: 0, ..staged.clone() },
        v1::Write { stage_len: 0, ..staged.clone() },
        v1::Write { stage_len: len + 1, ..staged },
    ];
    for write in bad {
        refused(v1::op::Op::Write(write));
    }
}

#[test]
fn ranges_modes_and_owners_that_cannot_be_are_refused() {
    let allocate = v1::Allocate { ino: 1, offset: 0, len: 1, mode: 0, keep_size: false };
    refused(v1::op::Op::Allocate(v1::Allocate { len: 0, ..allocate }));
    refused(v1::op::Op::Allocate(v1::Allocate { offset: u64::MAX, ..allocate }));
    refused(v1::op::Op::Allocate(v1::Allocate { len: FILE_BYTES_MAX + 1, ..allocate }));
    refused(v1::op::Op::Allocate(v1::Allocate { mode: 3, ..allocate }));
    let set = v1::SetAttr { ino: 1, ..v1::SetAttr::default() };
    refused(v1::op::Op::SetAttr(v1::SetAttr { mode: Some(0o10000), ..set }));
    refused(v1::op::Op::SetAttr(v1::SetAttr { uid: Some(u32::MAX), ..set }));
    let late = v1::SetTime { to: Some(v1::Timestamp { secs: 0, nanos: u32::MAX }) };
    refused(v1::op::Op::SetAttr(v1::SetAttr { atime: Some(late), ..set }));
    let xattr = v1::SetXattr { ino: 1, name: Bytes::from_static(b"user.a"), ..v1::SetXattr::default() };
    refused(v1::op::Op::SetXattr(v1::SetXattr { value: vec![0; 65_537].into(), ..xattr.clone() }));
    refused(v1::op::Op::SetXattr(v1::SetXattr { mode: 7, ..xattr }));
    assert!(logged_op(v1::Op::default(), Seq(1)).unwrap_err().message().contains("upgrade the server"));
}

#[test]
fn batches_that_cannot_be_are_refused() {
    let close = v1::Op { op: Some(v1::op::Op::Close(v1::Close { ino: 1 })), ..v1::Op::default() };
    let batch = |first_seq, count| v1::OpBatch { first_seq, ops: vec![close.clone(); count], received_seq: 0 };
    assert!(OpBatch::try_from(batch(1, BATCH_OPS_MAX)).is_ok());
    assert!(OpBatch::try_from(batch(0, 0)).is_ok());
    assert!(OpBatch::try_from(batch(0, 1)).is_err());
    assert!(OpBatch::try_from(batch(1, BATCH_OPS_MAX + 1)).is_err());
    assert!(OpBatch::try_from(batch(u64::MAX, 2)).is_err());
    assert!(OpBatch::try_from(batch(u64::MAX, 1)).is_err());
}
