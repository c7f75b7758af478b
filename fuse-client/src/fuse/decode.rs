//! Requests of the kernel, from bytes to values.
//!
//! Pure. Every length is checked: a message that is too short is [`Malformed`], never a panic.

use holdfast_core::attr::{Mode, SetAttr, SetTime};
use holdfast_core::derive::AskedMode;
use holdfast_core::lock::LockMode;
use holdfast_core::time::Timestamp;

use super::abi::{self, Opcode, fattr};

/// The message is shorter than its opcode needs, or a field has a value that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// What stands before every request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// Length of the whole message in bytes.
    pub(super) len: u32,
    /// Number of the operation.
    pub(super) opcode: u32,
    /// Names this request in its answer.
    pub(super) unique: u64,
    /// The inode that it is about.
    pub(super) node: u64,
    /// Who asks; all ones where the kernel does not tell.
    pub(super) uid: u32,
    /// Who asks.
    pub(super) gid: u32,
    /// The thread that asks, in the mounter's pid namespace; 0: not visible there.
    pub(super) pid: u32,
}

/// Fields of a message, one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = tail;
        Ok(head)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.take(4)?.try_into().map(u32::from_ne_bytes).map_err(|_| Malformed)
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        self.take(8)?.try_into().map(u64::from_ne_bytes).map_err(|_| Malformed)
    }

    fn i64(&mut self) -> Result<i64, Malformed> {
        self.take(8)?.try_into().map(i64::from_ne_bytes).map_err(|_| Malformed)
    }

    /// Bytes up to a NUL, which goes too.
    fn name(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.0.iter().position(|byte| *byte == 0).ok_or(Malformed)?;
        let name = self.take(len)?;
        self.take(1)?;
        Ok(name)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

/// Splits a message into its header and what follows.
pub(super) fn header(message: &[u8]) -> Result<(Header, Input<'_>), Malformed> {
    let mut input = Input(message);
    let header = Header {
        len: input.u32()?,
        opcode: input.u32()?,
        unique: input.u64()?,
        node: input.u64()?,
        uid: input.u32()?,
        gid: input.u32()?,
        pid: input.u32()?,
    };
    input.take(4)?;
    if header.len as usize != message.len() {
        return Err(Malformed);
    }
    Ok((header, input))
}

/// The thread that a message is of; 0: it is not visible here, or there is none.
pub(super) fn requester(message: &[u8]) -> u32 {
    header(message).map_or(0, |(header, _)| header.pid)
}

/// A request for a lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lock {
    pub(super) handle: u64,
    pub(super) owner: u64,
    pub(super) start: u64,
    pub(super) end: u64,
    /// `None`: unlock.
    pub(super) mode: Option<LockMode>,
    pub(super) pid: u32,
    pub(super) flock: bool,
}

/// How a write comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// By a call.
    Call,
    /// By a call of somebody who may not leave set-user-id and set-group-id behind.
    CallWithoutRights,
    /// Through a mapping.
    Mapped,
}

/// A request, decoded. Names are without their NUL.
#[derive(Clone, Copy, Debug)]
pub(super) enum Request<'a> {
    Lookup {
        name: &'a [u8],
    },
    Forget {
        times: u64,
    },
    /// Nodes, and how often each; sixteen bytes a pair.
    BatchForget {
        pairs: &'a [u8],
    },
    GetAttr,
    StatX,
    SetAttr {
        set: SetAttr,
    },
    ReadLink,
    Symlink {
        name: &'a [u8],
        target: &'a [u8],
    },
    MkNod {
        name: &'a [u8],
        mode: u32,
        umask: u32,
        rdev: u32,
    },
    MkDir {
        name: &'a [u8],
        mode: AskedMode,
    },
    Unlink {
        name: &'a [u8],
    },
    RmDir {
        name: &'a [u8],
    },
    Rename {
        name: &'a [u8],
        new_parent: u64,
        new_name: &'a [u8],
        flags: u32,
    },
    Link {
        node: u64,
        name: &'a [u8],
    },
    Open {
        flags: i32,
        kill_privileges: bool,
    },
    Create {
        name: &'a [u8],
        mode: AskedMode,
        flags: i32,
    },
    TmpFile {
        mode: AskedMode,
        flags: i32,
    },
    Read {
        offset: u64,
        len: u32,
        flags: i32,
    },
    Write {
        handle: u64,
        offset: u64,
        data: &'a [u8],
        flags: i32,
        kind: Writing,
    },
    StatFs,
    Release {
        handle: u64,
        /// A flock(2) may be held through it.
        flocked: bool,
    },
    FSync,
    Flush {
        owner: u64,
    },
    SetXattr {
        name: &'a [u8],
        value: &'a [u8],
        flags: i32,
        kill_setgid: bool,
    },
    GetXattr {
        name: &'a [u8],
        room: u32,
    },
    ListXattr {
        room: u32,
    },
    RemoveXattr {
        name: &'a [u8],
    },
    Init {
        major: u32,
        minor: u32,
        max_readahead: u32,
        flags: u64,
    },
    OpenDir,
    ReadDir {
        handle: u64,
        offset: u64,
        room: u32,
        flags: i32,
        plus: bool,
    },
    ReleaseDir {
        handle: u64,
    },
    FSyncDir,
    GetLk(Lock),
    SetLk {
        lock: Lock,
        wait: bool,
    },
    Interrupt {
        unique: u64,
    },
    FAllocate {
        handle: u64,
        offset: u64,
        len: u64,
        mode: i32,
    },
    LSeek {
        offset: u64,
        whence: u32,
    },
    Copy {
        from: u64,
        from_offset: u64,
        to: u64,
        to_offset: u64,
        len: u64,
        flags: u64,
        wide: bool,
    },
    Destroy,
    /// Known to the kernel's header, not served here.
    Unsupported(Opcode),
}

#[expect(clippy::cast_possible_wrap, reason = "flags of open(2) and fallocate(2) are C ints on the wire")]
const fn int(bits: u32) -> i32 {
    bits as i32
}

/// Permissions as they are asked for, and the caller's umask.
pub(super) const fn asked(mode: u32, umask: u32) -> AskedMode {
    AskedMode { mode: Mode::from_bits(mode), umask: Mode::from_bits(umask) }
}

/// Decodes what follows the header of a request with this opcode.
pub(super) fn request(opcode: Opcode, mut input: Input<'_>) -> Result<Request<'_>, Malformed> {
    let i = &mut input;
    Ok(match opcode {
        Opcode::Lookup => Request::Lookup { name: i.name()? },
        Opcode::Forget => Request::Forget { times: i.u64()? },
        Opcode::BatchForget => batch_forget(i)?,
        Opcode::GetAttr => Request::GetAttr,
        Opcode::StatX => Request::StatX,
        Opcode::SetAttr => setattr(i)?,
        Opcode::ReadLink => Request::ReadLink,
        Opcode::Symlink => Request::Symlink { name: i.name()?, target: i.name()? },
        Opcode::MkNod => {
            let (mode, rdev, umask) = (i.u32()?, i.u32()?, i.u32()?);
            i.take(4)?;
            Request::MkNod { name: i.name()?, mode, umask, rdev }
        }
        Opcode::MkDir => {
            let mode = asked(i.u32()?, i.u32()?);
            Request::MkDir { name: i.name()?, mode }
        }
        Opcode::Unlink => Request::Unlink { name: i.name()? },
        Opcode::RmDir => Request::RmDir { name: i.name()? },
        Opcode::Rename => Request::Rename { new_parent: i.u64()?, flags: 0, name: i.name()?, new_name: i.name()? },
        Opcode::Rename2 => {
            let (new_parent, flags) = (i.u64()?, i.u32()?);
            i.take(4)?;
            Request::Rename { name: i.name()?, new_parent, new_name: i.name()?, flags }
        }
        Opcode::Link => Request::Link { node: i.u64()?, name: i.name()? },
        Opcode::Open => Request::Open { flags: int(i.u32()?), kill_privileges: i.u32()? & abi::OPEN_KILL_SUIDGID != 0 },
        Opcode::Create => {
            let (flags, mode) = (int(i.u32()?), asked(i.u32()?, i.u32()?));
            i.take(4)?;
            Request::Create { name: i.name()?, mode, flags }
        }
        Opcode::TmpFile => Request::TmpFile { flags: int(i.u32()?), mode: asked(i.u32()?, i.u32()?) },
        Opcode::Read => {
            i.take(8)?;
            let (offset, len) = (i.u64()?, i.u32()?);
            Request::Read { offset, len, flags: handle_flags(i)? }
        }
        Opcode::Write => write(i)?,
        Opcode::StatFs => Request::StatFs,
        Opcode::Release => release(i)?,
        Opcode::ReleaseDir => Request::ReleaseDir { handle: i.u64()? },
        Opcode::FSync => Request::FSync,
        Opcode::FSyncDir => Request::FSyncDir,
        Opcode::Flush => {
            i.take(16)?;
            Request::Flush { owner: i.u64()? }
        }
        Opcode::SetXattr => {
            let (len, flags, more) = (i.u32()? as usize, int(i.u32()?), i.u32()?);
            i.take(4)?;
            let kill_setgid = more & abi::SETXATTR_ACL_KILL_SGID != 0;
            Request::SetXattr { name: i.name()?, value: i.take(len)?, flags, kill_setgid }
        }
        Opcode::GetXattr => {
            let room = i.u32()?;
            i.take(4)?;
            Request::GetXattr { room, name: i.name()? }
        }
        Opcode::ListXattr => Request::ListXattr { room: i.u32()? },
        Opcode::RemoveXattr => Request::RemoveXattr { name: i.name()? },
        Opcode::Init => init(i)?,
        Opcode::OpenDir => Request::OpenDir,
        Opcode::ReadDir | Opcode::ReadDirPlus => {
            let (handle, offset, room) = (i.u64()?, i.u64()?, i.u32()?);
            Request::ReadDir { handle, offset, room, flags: handle_flags(i)?, plus: opcode == Opcode::ReadDirPlus }
        }
        Opcode::GetLk => Request::GetLk(lock(i)?),
        Opcode::SetLk => Request::SetLk { lock: lock(i)?, wait: false },
        Opcode::SetLkW => Request::SetLk { lock: lock(i)?, wait: true },
        Opcode::Interrupt => Request::Interrupt { unique: i.u64()? },
        Opcode::FAllocate => {
            Request::FAllocate { handle: i.u64()?, offset: i.u64()?, len: i.u64()?, mode: int(i.u32()?) }
        }
        Opcode::LSeek => {
            i.take(8)?;
            Request::LSeek { offset: i.u64()?, whence: i.u32()? }
        }
        Opcode::CopyFileRange | Opcode::CopyFileRange64 => {
            let (from, from_offset) = (i.u64()?, i.u64()?);
            i.take(8)?;
            let wide = opcode == Opcode::CopyFileRange64;
            Request::Copy { from, from_offset, to: i.u64()?, to_offset: i.u64()?, len: i.u64()?, flags: i.u64()?, wide }
        }
        Opcode::Destroy => Request::Destroy,
        Opcode::Access | Opcode::BMap | Opcode::Ioctl | Opcode::Poll | Opcode::NotifyReply | Opcode::SyncFs => {
            Request::Unsupported(opcode)
        }
    })
}

fn batch_forget<'a>(i: &mut Input<'a>) -> Result<Request<'a>, Malformed> {
    let count = i.u32()? as usize;
    i.take(4)?;
    Ok(Request::BatchForget { pairs: i.take(count.checked_mul(16).ok_or(Malformed)?)? })
}

/// The pairs of a batch of forgets: node and times.
pub(super) fn forgets(pairs: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
    pairs.chunks_exact(16).map(move |pair| (number(&pair[..8]), number(&pair[8..])))
}

fn setattr<'a>(i: &mut Input<'a>) -> Result<Request<'a>, Malformed> {
    let valid = i.u32()?;
    i.take(4)?;
    i.take(8)?;
    let size = i.u64()?;
    i.take(8)?;
    let (atime, mtime) = (i.i64()?, i.i64()?);
    let ctime = i.i64()?;
    let (atime_nanos, mtime_nanos, ctime_nanos) = (i.u32()?, i.u32()?, i.u32()?);
    let mode = i.u32()?;
    i.take(4)?;
    let (uid, gid) = (i.u32()?, i.u32()?);
    let has = |bit| valid & bit != 0;
    let time = |bit, now, secs, nanos| match (has(bit), has(now)) {
        (false, _) => Ok(None),
        (true, true) => Ok(Some(SetTime::Now)),
        (true, false) => Timestamp::new(secs, nanos).map(|at| Some(SetTime::To(at))).ok_or(Malformed),
    };
    let set = SetAttr {
        mode: has(fattr::MODE).then(|| Mode::from_bits(mode)),
        uid: has(fattr::UID).then_some(uid),
        gid: has(fattr::GID).then_some(gid),
        size: has(fattr::SIZE).then_some(size),
        atime: time(fattr::ATIME, fattr::ATIME_NOW, atime, atime_nanos)?,
        mtime: time(fattr::MTIME, fattr::MTIME_NOW, mtime, mtime_nanos)?,
        ctime: has(fattr::CTIME).then(|| Timestamp::new(ctime, ctime_nanos).ok_or(Malformed)).transpose()?,
        kill_privileges: has(fattr::KILL_SUIDGID),
        keep_setgid: false,
    };
    Ok(Request::SetAttr { set })
}

/// The rest of `fuse_read_in` behind the length: the flags that the handle has at this moment.
fn handle_flags(i: &mut Input<'_>) -> Result<i32, Malformed> {
    i.take(12)?;
    Ok(int(i.u32()?))
}

fn write<'a>(i: &mut Input<'a>) -> Result<Request<'a>, Malformed> {
    let (handle, offset, len, how) = (i.u64()?, i.u64()?, i.u32()? as usize, i.u32()?);
    i.take(8)?;
    let flags = int(i.u32()?);
    i.take(4)?;
    let data = i.rest();
    if data.len() != len {
        return Err(Malformed);
    }
    let kind = match how {
        how if how & abi::WRITE_CACHE != 0 => Writing::Mapped,
        how if how & abi::WRITE_KILL_SUIDGID != 0 => Writing::CallWithoutRights,
        _ => Writing::Call,
    };
    Ok(Request::Write { handle, offset, data, flags, kind })
}

fn release<'a>(i: &mut Input<'a>) -> Result<Request<'a>, Malformed> {
    let handle = i.u64()?;
    i.take(4)?;
    let flags = i.u32()?;
    let _owner = i.u64()?;
    Ok(Request::Release { handle, flocked: flags & abi::RELEASE_FLOCK_UNLOCK != 0 })
}

fn init<'a>(i: &mut Input<'a>) -> Result<Request<'a>, Malformed> {
    let (major, minor) = (i.u32()?, i.u32()?);
    let (max_readahead, low) = (i.u32()?, u64::from(i.u32()?));
    let high = if low & abi::init::INIT_EXT != 0 { u64::from(i.u32()?) } else { 0 };
    Ok(Request::Init { major, minor, max_readahead, flags: high << 32 | low })
}

fn lock(i: &mut Input<'_>) -> Result<Lock, Malformed> {
    let (handle, owner, start, end) = (i.u64()?, i.u64()?, i.u64()?, i.u64()?);
    let (kind, pid, flags) = (int(i.u32()?), i.u32()?, i.u32()?);
    let mode = match kind {
        libc::F_RDLCK => Some(LockMode::Shared),
        libc::F_WRLCK => Some(LockMode::Exclusive),
        libc::F_UNLCK => None,
        _ => return Err(Malformed),
    };
    Ok(Lock { handle, owner, start, end, mode, pid, flock: flags & abi::LK_FLOCK != 0 })
}

#[cfg(test)]
mod tests;
