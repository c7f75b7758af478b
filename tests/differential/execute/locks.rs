//! Locks: flock(2), and record locks of fcntl(2) of both kinds. Never waits.

use std::os::fd::AsFd as _;

use nix::fcntl::{FcntlArg, fcntl};

use super::{Facts, Process, Stop, nothing};
use crate::call::Call;
use crate::outcome::Value;
use crate::sys;
use crate::word::{Flock, LockKind, LockSpace};

fn record(kind: LockKind, start: i64, len: i64) -> libc::flock {
    let kind = match kind {
        LockKind::Read => libc::F_RDLCK,
        LockKind::Write => libc::F_WRLCK,
        LockKind::Unlock => libc::F_UNLCK,
    };
    #[expect(clippy::cast_possible_truncation, reason = "the constants of libc are wider than its struct's fields")]
    libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: start, l_len: len, l_pid: 0 }
}

impl Process {
    pub(super) fn locks(&self, call: &Call) -> Facts {
        let (Call::Flock { slot, .. } | Call::SetLock { slot, .. } | Call::GetLock { slot, .. }) = call else {
            return Err(Stop::Skipped("not about locks"));
        };
        let handle = self.handle(*slot)?;
        if !handle.is_file {
            return Err(Stop::Skipped("a lock on a directory"));
        }
        match call {
            Call::Flock { lock, .. } => {
                let operation = match lock {
                    Flock::Shared => libc::LOCK_SH,
                    Flock::Exclusive => libc::LOCK_EX,
                    Flock::Unlock => libc::LOCK_UN,
                };
                nothing(sys::flock(handle.fd.as_fd(), operation | libc::LOCK_NB))
            }
            Call::SetLock { space, kind, start, len, .. } => {
                let lock = record(*kind, *start, *len);
                let set = match space {
                    LockSpace::Posix => FcntlArg::F_SETLK(&lock),
                    LockSpace::Ofd => FcntlArg::F_OFD_SETLK(&lock),
                };
                nothing(fcntl(&handle.fd, set).map(drop))
            }
            Call::GetLock { space, kind, start, len, .. } => {
                let mut lock = record(*kind, *start, *len);
                let get = match space {
                    LockSpace::Posix => FcntlArg::F_GETLK(&mut lock),
                    LockSpace::Ofd => FcntlArg::F_OFD_GETLK(&mut lock),
                };
                fcntl(&handle.fd, get)?;
                Ok(vec![("lock", Value::text(told(&lock, *kind, *start, *len)))])
            }
            _ => Err(Stop::Skipped("not about locks")),
        }
    }
}

/// Any one of several locks in the way may be told, so all that counts is that it is in the way.
fn told(lock: &libc::flock, asked: LockKind, start: i64, len: i64) -> String {
    let kind = i32::from(lock.l_type);
    if kind == libc::F_UNLCK {
        return "none".to_owned();
    }
    let end = |start: i64, len: i64| if len == 0 { i64::MAX } else { start.saturating_add(len) };
    let (from, until) = if len < 0 { (start + len, start) } else { (start, end(start, len)) };
    let overlaps = lock.l_start < until && from < end(lock.l_start, lock.l_len);
    let excludes = asked == LockKind::Write || kind == libc::F_WRLCK;
    let whence = i32::from(lock.l_whence) == libc::SEEK_SET;
    match overlaps && excludes && whence {
        true => "one in the way".to_owned(),
        false => format!("one not in the way: type {kind}, {} bytes from {}", lock.l_len, lock.l_start),
    }
}
