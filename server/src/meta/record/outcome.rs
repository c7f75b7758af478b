//! The outcome of an operation, kept until its client has it: a part of a session's record.

use holdfast_core::attr::Attr;
use holdfast_core::error::PosixError;
use holdfast_core::id::{CommitSeq, DataVersion, InodeId, Seq};
use holdfast_core::op::{AppliedOp, OpReply};

use super::Malformed;
use super::codec::{Decoder, Encoder};
use super::inode::{kind_code, kind_of, mode_of};

/// Bytes of an encoded outcome, at most.
pub(super) const ENCODED_BYTES_MAX: usize = 160;

const DONE: u8 = 0;
const ATTR: u8 = 1;
const WRITTEN: u8 = 2;
const COPIED: u8 = 3;
const FAILED: u8 = 4;

/// Every error with its stored number; a number is never given another meaning.
pub(super) const ERRORS: [(PosixError, u8); 28] = [
    (PosixError::NoEntry, 1),
    (PosixError::Exists, 2),
    (PosixError::NotDirectory, 3),
    (PosixError::IsDirectory, 4),
    (PosixError::NotEmpty, 5),
    (PosixError::NameTooLong, 6),
    (PosixError::Invalid, 7),
    (PosixError::NotPermitted, 8),
    (PosixError::AccessDenied, 9),
    (PosixError::FileTooLarge, 10),
    (PosixError::NoSpace, 11),
    (PosixError::QuotaExceeded, 12),
    (PosixError::ReadOnly, 13),
    (PosixError::CrossDevice, 14),
    (PosixError::TooManyLinks, 15),
    (PosixError::NoAttribute, 16),
    (PosixError::TooBig, 17),
    (PosixError::OutOfRange, 18),
    (PosixError::NotSupported, 19),
    (PosixError::NoData, 20),
    (PosixError::Deadlock, 21),
    (PosixError::WouldBlock, 22),
    (PosixError::Interrupted, 23),
    (PosixError::BadHandle, 24),
    (PosixError::Busy, 25),
    (PosixError::NoLocks, 26),
    (PosixError::Io, 27),
    (PosixError::Retry, 28),
];

pub(super) fn encode(to: &mut Encoder, outcome: &AppliedOp) {
    to.u64(outcome.seq.0);
    to.u64(outcome.commit.0);
    match &outcome.result {
        Ok(OpReply::Done) => to.u8(DONE),
        Ok(OpReply::Attr(attr)) => {
            to.u8(ATTR);
            encode_attr(to, attr);
        }
        Ok(OpReply::Written { offset, len, attr }) => {
            to.u8(WRITTEN);
            to.u64(*offset);
            to.u32(*len);
            encode_attr(to, attr);
        }
        Ok(OpReply::Copied { len, attr }) => {
            to.u8(COPIED);
            to.u64(*len);
            encode_attr(to, attr);
        }
        Err(error) => {
            to.u8(FAILED);
            let known = ERRORS.iter().find(|(known, _)| known == error);
            debug_assert!(known.is_some(), "every error has a number");
            to.u8(known.map_or(0, |(_, code)| *code));
        }
    }
}

pub(super) fn decode(from: &mut Decoder<'_>) -> Result<AppliedOp, Malformed> {
    let seq = Seq(from.u64()?);
    let commit = CommitSeq(from.u64()?);
    let result = match from.u8()? {
        DONE => Ok(OpReply::Done),
        ATTR => Ok(OpReply::Attr(decode_attr(from)?)),
        WRITTEN => Ok(OpReply::Written { offset: from.u64()?, len: from.u32()?, attr: decode_attr(from)? }),
        COPIED => Ok(OpReply::Copied { len: from.u64()?, attr: decode_attr(from)? }),
        FAILED => {
            let code = from.u8()?;
            let known = ERRORS.iter().find(|(_, known)| *known == code);
            Err(known.ok_or(Malformed("it has an unknown error"))?.0)
        }
        _ => return Err(Malformed("it has an unknown kind of outcome")),
    };
    Ok(AppliedOp { seq, commit, result })
}

fn encode_attr(to: &mut Encoder, attr: &Attr) {
    to.u64(attr.ino.0);
    to.u8(kind_code(attr.kind));
    to.u16(attr.mode.bits());
    to.u32(attr.nlink);
    to.u32(attr.uid);
    to.u32(attr.gid);
    to.u32(attr.rdev);
    to.u64(attr.size);
    to.u64(attr.allocated);
    for time in [attr.atime, attr.mtime, attr.ctime, attr.btime] {
        to.time(time);
    }
    to.u64(attr.data_version.0);
}

fn decode_attr(from: &mut Decoder<'_>) -> Result<Attr, Malformed> {
    Ok(Attr {
        ino: InodeId(from.u64()?),
        kind: kind_of(from.u8()?)?,
        mode: mode_of(from.u16()?)?,
        nlink: from.u32()?,
        uid: from.u32()?,
        gid: from.u32()?,
        rdev: from.u32()?,
        size: from.u64()?,
        allocated: from.u64()?,
        atime: from.time()?,
        mtime: from.time()?,
        ctime: from.time()?,
        btime: from.time()?,
        data_version: DataVersion(from.u64()?),
        // Not kept: that there may be some is never wrong.
        no_xattrs: false,
    })
}
