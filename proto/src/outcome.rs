//! Outcomes of operations.
//!
//! What an outcome tells depends on its operation, so it is read together with it; and it is
//! checked against it, so that a server cannot answer one question with the answer to another.

use holdfast_core::attr::Attr;
use holdfast_core::error::Result;
use holdfast_core::id::{CommitSeq, InodeId, Seq};
use holdfast_core::op::{AppliedOp, COPY_BYTES_MAX, NewNode, Op, OpReply, WriteAt, WriteData};

use crate::attr::required;
use crate::error::{invalid, posix_error};
use crate::v1;

impl From<&AppliedOp> for v1::OpOutcome {
    fn from(applied: &AppliedOp) -> Self {
        let mut wire = Self { seq: applied.seq.0, commit: applied.commit.0, ..Self::default() };
        match &applied.result {
            Err(error) => wire.set_error((*error).into()),
            Ok(OpReply::Done) => {}
            Ok(OpReply::Attr(attr)) => wire.attr = Some(attr.into()),
            Ok(OpReply::Written { offset, len, attr }) => {
                wire.attr = Some(attr.into());
                wire.offset = *offset;
                wire.len = (*len).into();
            }
            Ok(OpReply::Copied { len, attr }) => {
                wire.attr = Some(attr.into());
                wire.len = *len;
            }
        }
        wire
    }
}

/// Reads the outcome of `op`.
///
/// # Errors
/// `Invalid` when it cannot be an outcome of this operation.
pub fn applied_op(wire: v1::OpOutcome, op: &Op) -> Result<AppliedOp> {
    let (seq, commit) = (Seq(wire.seq), CommitSeq(wire.commit));
    let result = match posix_error(wire.error) {
        Some(error) => Err(error),
        None => Ok(reply(wire, op)?),
    };
    Ok(AppliedOp { seq, commit, result })
}

fn reply(wire: v1::OpOutcome, op: &Op) -> Result<OpReply> {
    Ok(match op {
        Op::Unlink { .. }
        | Op::Rmdir { .. }
        | Op::Rename { .. }
        | Op::SetXattr { .. }
        | Op::RemoveXattr { .. }
        | Op::Close { .. } => OpReply::Done,
        Op::Create { node, .. } => OpReply::Attr(created(wire.attr, node)?),
        Op::CreateUnnamed { .. } => OpReply::Attr(created(wire.attr, &NewNode::File { open: true })?),
        Op::Link { ino, .. }
        | Op::SetAttr { ino, .. }
        | Op::Touch { ino }
        | Op::Allocate { ino, .. }
        | Op::Open { ino, .. } => OpReply::Attr(attr_of(wire.attr, *ino)?),
        Op::Write { ino, at, data, .. } => {
            let asked = match data {
                WriteData::Inline(data) => data.len() as u64,
                WriteData::Staged { len, .. } => (*len).into(),
            };
            let moved = matches!(at, WriteAt::Offset(offset) | WriteAt::Mapped(offset) if *offset != wire.offset);
            let len = u32::try_from(wire.len).ok().filter(|_| wire.len == asked && !moved).ok_or_else(|| {
                invalid(format!("a write of {asked} bytes was answered as {} bytes at {}", wire.len, wire.offset))
            })?;
            OpReply::Written { offset: wire.offset, len, attr: attr_of(wire.attr, *ino)? }
        }
        Op::Copy { to, len, .. } => {
            if wire.len > (*len).min(COPY_BYTES_MAX) {
                return Err(invalid(format!("a copy of {len} bytes was answered as {} bytes", wire.len)));
            }
            OpReply::Copied { len: wire.len, attr: attr_of(wire.attr, *to)? }
        }
    })
}

fn attr_of(wire: Option<v1::Attr>, ino: InodeId) -> Result<Attr> {
    let attr = required(wire)?;
    if attr.ino == ino {
        Ok(attr)
    } else {
        Err(invalid(format!("an operation on inode {ino} was answered with inode {}", attr.ino)))
    }
}

fn created(wire: Option<v1::Attr>, node: &NewNode) -> Result<Attr> {
    use holdfast_core::attr::FileKind;
    let attr = required(wire)?;
    let kind = match node {
        NewNode::File { .. } => FileKind::Regular,
        NewNode::Directory => FileKind::Directory,
        NewNode::Symlink { .. } => FileKind::Symlink,
        NewNode::Special { kind, .. } => *kind,
    };
    if attr.kind == kind && attr.ino != InodeId::ROOT {
        Ok(attr)
    } else {
        Err(invalid(format!("a new {kind:?} inode was answered with inode {}, {:?}", attr.ino, attr.kind)))
    }
}

#[cfg(test)]
mod tests;
