#![expect(clippy::unwrap_used, reason = "a test may stop")]

use bytes::Bytes;
use holdfast_core::attr::{Attr, FileKind};
use holdfast_core::error::{ErrorKind, PosixError};
use holdfast_core::id::{CommitSeq, InodeId, Seq};
use holdfast_core::op::{AppliedOp, COPY_BYTES_MAX, NewNode, Op, OpReply, WriteAt, WriteData};
use proptest::prelude::*;

use super::applied_op;
use crate::attr::tests::attrs;
use crate::op::tests::ops;
use crate::v1;

/// What a sound server answers to an operation.
fn reply(op: &Op, attr: Attr) -> OpReply {
    let of = |ino: InodeId| Attr { ino, ..attr };
    match op {
        Op::Create { node, .. } => {
            let kind = match node {
                NewNode::File { .. } => FileKind::Regular,
                NewNode::Directory => FileKind::Directory,
                NewNode::Symlink { .. } => FileKind::Symlink,
                NewNode::Special { kind, .. } => *kind,
            };
            OpReply::Attr(Attr { ino: InodeId(attr.ino.0.max(2)), kind, ..attr })
        }
        Op::CreateUnnamed { .. } => {
            OpReply::Attr(Attr { ino: InodeId(attr.ino.0.max(2)), kind: FileKind::Regular, ..attr })
        }
        Op::Link { ino, .. }
        | Op::SetAttr { ino, .. }
        | Op::Touch { ino }
        | Op::Allocate { ino, .. }
        | Op::Open { ino, .. } => OpReply::Attr(of(*ino)),
        Op::Write { ino, at, data, .. } => {
            let len = match data {
                WriteData::Inline(data) => u32::try_from(data.len()).unwrap(),
                WriteData::Staged { len, .. } => *len,
            };
            let offset = at.offset().unwrap_or(attr.size);
            OpReply::Written { offset, len, attr: of(*ino) }
        }
        Op::Copy { to, len, .. } => OpReply::Copied { len: (*len).min(COPY_BYTES_MAX), attr: of(*to) },
        Op::Unlink { .. } | Op::Rmdir { .. } | Op::Rename { .. } | Op::SetXattr { .. } => OpReply::Done,
        Op::RemoveXattr { .. } | Op::Close { .. } => OpReply::Done,
    }
}

proptest! {
    #[test]
    fn outcomes_come_back(op in ops(), attr in attrs(), seq in any::<u64>(), commit in any::<u64>()) {
        let applied = AppliedOp { seq: Seq(seq), commit: CommitSeq(commit), result: Ok(reply(&op, attr)) };
        prop_assert_eq!(applied_op(v1::OpOutcome::from(&applied), &op).unwrap(), applied);
    }

    #[test]
    fn refusals_come_back(op in ops(), seq in any::<u64>()) {
        let applied = AppliedOp { seq: Seq(seq), commit: CommitSeq(1), result: Err(PosixError::NoSpace) };
        prop_assert_eq!(applied_op(v1::OpOutcome::from(&applied), &op).unwrap(), applied);
    }

    /// The answer to one operation is not taken for the answer to another on another inode.
    #[test]
    fn mixed_up_answers_never_name_another_inode(op in ops(), other in ops(), attr in attrs()) {
        let applied = AppliedOp { seq: Seq(1), commit: CommitSeq(1), result: Ok(reply(&other, attr)) };
        let Ok(read) = applied_op(v1::OpOutcome::from(&applied), &op) else { return Ok(()) };
        let ino = match &op {
            Op::Link { ino, .. } | Op::SetAttr { ino, .. } | Op::Allocate { ino, .. } => Some(*ino),
            Op::Open { ino, .. } | Op::Write { ino, .. } | Op::Copy { to: ino, .. } => Some(*ino),
            _ => None,
        };
        match (read.result.unwrap(), ino) {
            (OpReply::Attr(attr) | OpReply::Written { attr, .. } | OpReply::Copied { attr, .. }, Some(ino)) => {
                prop_assert_eq!(attr.ino, ino);
            }
            (OpReply::Done, Some(_)) => prop_assert!(false, "an answer without attributes was taken"),
            _ => {}
        }
    }
}

#[test]
fn short_writes_and_long_copies_are_refused() {
    let time = Some(v1::Timestamp::default());
    let attr = v1::Attr { ino: 5, kind: 1, atime: time, mtime: time, ctime: time, btime: time, ..v1::Attr::default() };
    let write = Op::Write {
        ino: InodeId(5),
        at: WriteAt::Offset(10),
        data: WriteData::Inline(Bytes::from_static(b"four")),
        kill_privileges: false,
    };
    let outcome = v1::OpOutcome { seq: 1, commit: 1, attr: Some(attr), offset: 10, len: 4, ..v1::OpOutcome::default() };
    assert!(applied_op(outcome.clone(), &write).is_ok());
    for wrong in [
        v1::OpOutcome { len: 3, ..outcome.clone() },
        v1::OpOutcome { len: u64::MAX, ..outcome.clone() },
        v1::OpOutcome { offset: 11, ..outcome.clone() },
        v1::OpOutcome { attr: None, ..outcome.clone() },
    ] {
        assert_eq!(applied_op(wrong, &write).unwrap_err().kind(), ErrorKind::Invalid);
    }
    let copy = Op::Copy { from: InodeId(4), from_offset: 0, to: InodeId(5), to_offset: 0, len: 4 };
    assert!(applied_op(outcome.clone(), &copy).is_ok());
    assert!(applied_op(v1::OpOutcome { len: 5, ..outcome.clone() }, &copy).is_err());
}
