//! Operations and batches of them.

use holdfast_core::attr::{FileKind, SetAttr, SetTime};
use holdfast_core::derive::AskedMode;
use holdfast_core::error::{Error, Result};
use holdfast_core::id::{CommitSeq, InodeId, Seq, StageId};
use holdfast_core::limits::{BATCH_OPS_MAX, INLINE_BYTES_MAX, IO_BYTES_MAX};
use holdfast_core::op::{AllocateMode, Caller, LoggedOp, NewNode, Op, RenameMode, WriteAt, WriteData, XattrMode};
use holdfast_core::range::ByteRange;
use holdfast_core::time::Timestamp;

use crate::attr::{file_kind, inode, mode};
use crate::error::invalid;
use crate::namespace::{file_name, symlink_target, xattr_name, xattr_value};
use crate::v1;

/// Operations with consecutive numbers, and what the client has received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpBatch {
    /// The operations, in order of `seq`, without gaps. May be empty: then only `received` counts.
    pub ops: Vec<LoggedOp>,
    /// Every outcome up to here has reached the client.
    pub received: Seq,
}

impl From<&OpBatch> for v1::OpBatch {
    fn from(batch: &OpBatch) -> Self {
        Self {
            first_seq: batch.ops.first().map_or(0, |op| op.seq.0),
            ops: batch.ops.iter().map(Into::into).collect(),
            received_seq: batch.received.0,
        }
    }
}

impl TryFrom<v1::OpBatch> for OpBatch {
    type Error = Error;

    fn try_from(wire: v1::OpBatch) -> Result<Self> {
        let count = wire.ops.len();
        if count > BATCH_OPS_MAX {
            return Err(invalid(format!("a batch of {count} operations is too long; at most {BATCH_OPS_MAX}")));
        }
        let numbered = wire.first_seq >= 1 && wire.first_seq.checked_add(count as u64).is_some();
        if count > 0 && !numbered {
            return Err(invalid(format!("a batch of {count} operations cannot begin at number {}", wire.first_seq)));
        }
        let seqs = (wire.first_seq..).map(Seq);
        let ops = wire.ops.into_iter().zip(seqs).map(|(op, seq)| logged_op(op, seq));
        Ok(Self { ops: ops.collect::<Result<_>>()?, received: Seq(wire.received_seq) })
    }
}

impl From<&LoggedOp> for v1::Op {
    fn from(logged: &LoggedOp) -> Self {
        to_wire(logged.caller, logged.time, logged.replay_of, &logged.op)
    }
}

/// An operation for the wire. Its number is that of its place in its batch.
#[must_use]
pub fn to_wire(caller: Caller, time: Option<Timestamp>, replay_of: Option<CommitSeq>, op: &Op) -> v1::Op {
    v1::Op {
        uid: caller.uid,
        gid: caller.gid,
        time: time.map(Into::into),
        replay_of: replay_of.map_or(0, |commit| commit.0),
        op: Some(op_to_wire(op)),
    }
}

/// An operation under the number that its place in its batch gives it.
///
/// # Errors
/// `Invalid`, naming the operation and what is wrong with it.
pub fn logged_op(wire: v1::Op, seq: Seq) -> Result<LoggedOp> {
    let named = |error: Error| invalid(format!("operation {seq}: {}", error.message()));
    let op = wire.op.ok_or_else(|| invalid("it is of a kind that this server does not know; upgrade the server"));
    Ok(LoggedOp {
        seq,
        caller: Caller { uid: wire.uid, gid: wire.gid },
        time: wire.time.map(Timestamp::try_from).transpose().map_err(named)?,
        replay_of: (wire.replay_of != 0).then_some(CommitSeq(wire.replay_of)),
        op: op.and_then(op_from_wire).map_err(named)?,
    })
}

fn op_to_wire(op: &Op) -> v1::op::Op {
    use v1::op::Op as Wire;
    match op {
        Op::Create { parent, name, node, mode, ino } => {
            let mut create = v1::Create {
                parent: parent.0,
                name: name.clone().into_bytes(),
                mode: mode.mode.bits().into(),
                umask: mode.umask.bits().into(),
                ino: ino.map_or(0, |ino| ino.0),
                ..v1::Create::default()
            };
            let kind = match node {
                NewNode::File { open } => {
                    create.open = *open;
                    FileKind::Regular
                }
                NewNode::Directory => FileKind::Directory,
                NewNode::Symlink { target } => {
                    create.symlink_target = target.clone();
                    FileKind::Symlink
                }
                NewNode::Special { kind, rdev } => {
                    create.rdev = *rdev;
                    *kind
                }
            };
            create.set_kind(kind.into());
            Wire::Create(create)
        }
        Op::CreateUnnamed { parent, mode } => Wire::CreateUnnamed(v1::CreateUnnamed {
            parent: parent.0,
            mode: mode.mode.bits().into(),
            umask: mode.umask.bits().into(),
        }),
        Op::Link { ino, parent, name } => {
            Wire::Link(v1::Link { ino: ino.0, parent: parent.0, name: name.clone().into_bytes() })
        }
        Op::Unlink { parent, name } => Wire::Unlink(v1::Unlink { parent: parent.0, name: name.clone().into_bytes() }),
        Op::Rmdir { parent, name } => Wire::Rmdir(v1::Rmdir { parent: parent.0, name: name.clone().into_bytes() }),
        Op::Rename { parent, name, new_parent, new_name, mode } => Wire::Rename(v1::Rename {
            parent: parent.0,
            name: name.clone().into_bytes(),
            new_parent: new_parent.0,
            new_name: new_name.clone().into_bytes(),
            mode: v1::RenameMode::from(*mode).into(),
        }),
        Op::SetAttr { ino, set } => Wire::SetAttr(v1::SetAttr {
            ino: ino.0,
            mode: set.mode.map(|mode| mode.bits().into()),
            uid: set.uid,
            gid: set.gid,
            size: set.size,
            atime: set.atime.map(Into::into),
            mtime: set.mtime.map(Into::into),
            ctime: set.ctime.map(Into::into),
            kill_privileges: set.kill_privileges,
            keep_setgid: set.keep_setgid,
        }),
        Op::Touch { ino } => Wire::Touch(v1::Touch { ino: ino.0 }),
        Op::SetXattr { ino, name, value, mode, kill_setgid } => Wire::SetXattr(v1::SetXattr {
            ino: ino.0,
            name: name.clone().into_bytes(),
            value: value.clone(),
            mode: v1::XattrMode::from(*mode).into(),
            kill_setgid: *kill_setgid,
        }),
        Op::RemoveXattr { ino, name } => {
            Wire::RemoveXattr(v1::RemoveXattr { ino: ino.0, name: name.clone().into_bytes() })
        }
        Op::Write { ino, at, data, kill_privileges } => Wire::Write(write_to_wire(*ino, *at, data, *kill_privileges)),
        Op::Allocate { ino, range, mode } => Wire::Allocate(allocate_to_wire(*ino, *range, *mode)),
        Op::Copy { from, from_offset, to, to_offset, len } => {
            Wire::Copy(v1::Copy { from: from.0, from_offset: *from_offset, to: to.0, to_offset: *to_offset, len: *len })
        }
        Op::Open { ino, truncate, kill_privileges } => {
            Wire::Open(v1::Open { ino: ino.0, truncate: *truncate, kill_privileges: *kill_privileges })
        }
        Op::Close { ino } => Wire::Close(v1::Close { ino: ino.0 }),
    }
}

fn write_to_wire(ino: InodeId, at: WriteAt, data: &WriteData, kill_privileges: bool) -> v1::Write {
    let mut write = v1::Write { ino: ino.0, kill_privileges, ..v1::Write::default() };
    write.offset = at.offset();
    write.mapped = matches!(at, WriteAt::Mapped(_));
    write.written_back = matches!(at, WriteAt::WrittenBack(_));
    match data {
        WriteData::Inline(data) => write.data = data.clone(),
        WriteData::Staged { stage, len } => {
            write.stage_id = stage.0;
            write.stage_len = *len;
        }
    }
    write
}

fn allocate_to_wire(ino: InodeId, range: ByteRange, mode: AllocateMode) -> v1::Allocate {
    let (mode, keep_size) = match mode {
        AllocateMode::Reserve { keep_size } => (v1::AllocateMode::Reserve, keep_size),
        AllocateMode::PunchHole => (v1::AllocateMode::PunchHole, true),
        AllocateMode::Zero { keep_size } => (v1::AllocateMode::Zero, keep_size),
    };
    v1::Allocate { ino: ino.0, offset: range.start(), len: range.len(), mode: mode.into(), keep_size }
}

fn op_from_wire(wire: v1::op::Op) -> Result<Op> {
    use v1::op::Op as Wire;
    Ok(match wire {
        Wire::Create(create) => create_from_wire(create)?,
        Wire::CreateUnnamed(create) => {
            Op::CreateUnnamed { parent: inode(create.parent)?, mode: asked_mode(create.mode, create.umask)? }
        }
        Wire::Link(link) => {
            Op::Link { ino: inode(link.ino)?, parent: inode(link.parent)?, name: file_name(link.name)? }
        }
        Wire::Unlink(unlink) => Op::Unlink { parent: inode(unlink.parent)?, name: file_name(unlink.name)? },
        Wire::Rmdir(rmdir) => Op::Rmdir { parent: inode(rmdir.parent)?, name: file_name(rmdir.name)? },
        Wire::Rename(rename) => Op::Rename {
            parent: inode(rename.parent)?,
            name: file_name(rename.name)?,
            new_parent: inode(rename.new_parent)?,
            new_name: file_name(rename.new_name)?,
            mode: rename_mode(rename.mode)?,
        },
        Wire::SetAttr(set) => Op::SetAttr { ino: inode(set.ino)?, set: set_attr(&set)? },
        Wire::Touch(touch) => Op::Touch { ino: inode(touch.ino)? },
        Wire::SetXattr(set) => Op::SetXattr {
            ino: inode(set.ino)?,
            name: xattr_name(set.name)?,
            value: xattr_value(set.value)?,
            mode: xattr_mode(set.mode)?,
            kill_setgid: set.kill_setgid,
        },
        Wire::RemoveXattr(remove) => Op::RemoveXattr { ino: inode(remove.ino)?, name: xattr_name(remove.name)? },
        Wire::Write(write) => Op::Write {
            ino: inode(write.ino)?,
            at: match write.offset {
                None => WriteAt::End,
                Some(offset) if write.mapped => WriteAt::Mapped(offset),
                Some(offset) if write.written_back => WriteAt::WrittenBack(offset),
                Some(offset) => WriteAt::Offset(offset),
            },
            kill_privileges: write.kill_privileges,
            data: write_data(write)?,
        },
        Wire::Allocate(allocate) => allocate_from_wire(allocate)?,
        Wire::Copy(copy) => Op::Copy {
            from: inode(copy.from)?,
            from_offset: copy.from_offset,
            to: inode(copy.to)?,
            to_offset: copy.to_offset,
            len: copy.len,
        },
        Wire::Open(open) => {
            Op::Open { ino: inode(open.ino)?, truncate: open.truncate, kill_privileges: open.kill_privileges }
        }
        Wire::Close(close) => Op::Close { ino: inode(close.ino)? },
    })
}

fn create_from_wire(create: v1::Create) -> Result<Op> {
    let kind = file_kind(create.kind)?;
    let stray = (create.open && kind != FileKind::Regular)
        || (!create.symlink_target.is_empty() && kind != FileKind::Symlink)
        || (create.rdev != 0 && !matches!(kind, FileKind::CharDevice | FileKind::BlockDevice));
    if stray {
        return Err(invalid(format!("a new {kind:?} inode cannot have what this one is given (open, target or rdev)")));
    }
    let node = match kind {
        FileKind::Regular => NewNode::File { open: create.open },
        FileKind::Directory => NewNode::Directory,
        FileKind::Symlink => NewNode::Symlink { target: symlink_target(create.symlink_target)? },
        FileKind::Fifo | FileKind::Socket | FileKind::CharDevice | FileKind::BlockDevice => {
            NewNode::Special { kind, rdev: create.rdev }
        }
    };
    let asked = asked_mode(create.mode, create.umask)?;
    let ino = (create.ino != 0).then_some(InodeId(create.ino));
    Ok(Op::Create { parent: inode(create.parent)?, name: file_name(create.name)?, node, mode: asked, ino })
}

fn asked_mode(bits: u32, umask: u32) -> Result<AskedMode> {
    Ok(AskedMode { mode: mode(bits)?, umask: mode(umask)? })
}

fn set_attr(wire: &v1::SetAttr) -> Result<SetAttr> {
    if wire.uid == Some(u32::MAX) || wire.gid == Some(u32::MAX) {
        return Err(invalid("user and group 4294967295 mean \"unchanged\" and cannot own a file"));
    }
    Ok(SetAttr {
        mode: wire.mode.map(mode).transpose()?,
        uid: wire.uid,
        gid: wire.gid,
        size: wire.size,
        atime: wire.atime.map(SetTime::try_from).transpose()?,
        mtime: wire.mtime.map(SetTime::try_from).transpose()?,
        ctime: wire.ctime.map(Timestamp::try_from).transpose()?,
        kill_privileges: wire.kill_privileges,
        keep_setgid: wire.keep_setgid,
    })
}

fn write_data(write: v1::Write) -> Result<WriteData> {
    let staged = write.stage_id != 0 || write.stage_len != 0;
    match (write.data.len(), staged) {
        (0, false) => Err(invalid("a write of no bytes")),
        (0, true) if write.stage_id == 0 => Err(invalid("staged data has number 0")),
        (0, true) if !(1..=IO_BYTES_MAX).contains(&(write.stage_len as usize)) => {
            Err(invalid(format!("a write of {} staged bytes; 1 to {IO_BYTES_MAX} are allowed", write.stage_len)))
        }
        (0, true) => Ok(WriteData::Staged { stage: StageId(write.stage_id), len: write.stage_len }),
        (_, true) => Err(invalid("a write has both data of its own and staged data")),
        (len, false) if len > INLINE_BYTES_MAX => {
            Err(invalid(format!("a write of {len} bytes inside its operation; at most {INLINE_BYTES_MAX}, stage more")))
        }
        (_, false) => Ok(WriteData::Inline(write.data)),
    }
}

fn allocate_from_wire(wire: v1::Allocate) -> Result<Op> {
    let range = ByteRange::new(wire.offset, wire.len)
        .filter(|range| !range.is_empty())
        .ok_or_else(|| invalid(format!("{} bytes at offset {} cannot be allocated", wire.len, wire.offset)))?;
    let mode = match v1::AllocateMode::try_from(wire.mode) {
        Ok(v1::AllocateMode::Reserve) => AllocateMode::Reserve { keep_size: wire.keep_size },
        Ok(v1::AllocateMode::PunchHole) => AllocateMode::PunchHole,
        Ok(v1::AllocateMode::Zero) => AllocateMode::Zero { keep_size: wire.keep_size },
        Err(_) => return Err(invalid(format!("there is no allocate mode {}", wire.mode))),
    };
    Ok(Op::Allocate { ino: inode(wire.ino)?, range, mode })
}

impl From<RenameMode> for v1::RenameMode {
    fn from(mode: RenameMode) -> Self {
        match mode {
            RenameMode::Replace => Self::Replace,
            RenameMode::NoReplace => Self::NoReplace,
            RenameMode::Exchange => Self::Exchange,
            RenameMode::Whiteout => Self::Whiteout,
            RenameMode::WhiteoutNoReplace => Self::WhiteoutNoReplace,
        }
    }
}

fn rename_mode(number: i32) -> Result<RenameMode> {
    match v1::RenameMode::try_from(number) {
        Ok(v1::RenameMode::Replace) => Ok(RenameMode::Replace),
        Ok(v1::RenameMode::NoReplace) => Ok(RenameMode::NoReplace),
        Ok(v1::RenameMode::Exchange) => Ok(RenameMode::Exchange),
        Ok(v1::RenameMode::Whiteout) => Ok(RenameMode::Whiteout),
        Ok(v1::RenameMode::WhiteoutNoReplace) => Ok(RenameMode::WhiteoutNoReplace),
        Err(_) => Err(invalid(format!("there is no rename mode {number}"))),
    }
}

impl From<XattrMode> for v1::XattrMode {
    fn from(mode: XattrMode) -> Self {
        match mode {
            XattrMode::Either => Self::Either,
            XattrMode::Create => Self::Create,
            XattrMode::Replace => Self::Replace,
            XattrMode::Both => Self::Both,
        }
    }
}

fn xattr_mode(number: i32) -> Result<XattrMode> {
    match v1::XattrMode::try_from(number) {
        Ok(v1::XattrMode::Either) => Ok(XattrMode::Either),
        Ok(v1::XattrMode::Create) => Ok(XattrMode::Create),
        Ok(v1::XattrMode::Replace) => Ok(XattrMode::Replace),
        Ok(v1::XattrMode::Both) => Ok(XattrMode::Both),
        Err(_) => Err(invalid(format!("there is no xattr mode {number}"))),
    }
}

#[cfg(test)]
pub(crate) mod tests;
