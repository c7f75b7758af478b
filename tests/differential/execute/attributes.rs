//! Attributes: mode, owner, times, what stat(2) shows, access(2), statfs(2).

use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, UtimensatFlags, fchmod, fchmodat, fstat, fstatat, futimens, umask, utimensat,
};
use nix::sys::statfs::statfs;
use nix::sys::time::TimeSpec;
use nix::unistd::{AccessFlags, Gid, Uid, faccessat, fchown, fchownat};

use super::{Facts, Process, Stop, nothing};
use crate::call::Call;
use crate::outcome::{Fact, Value};
use crate::word::{As, Follow, Id, Time};

impl Process {
    pub(super) fn attributes(&self, call: &Call) -> Facts {
        match call {
            Call::Chmod { at, mode } => {
                let (path, mode) = (at.path.bytes(), Mode::from_bits_retain(mode.0));
                nothing(fchmodat(self.base(at)?, path.as_slice(), mode, FchmodatFlags::FollowSymlink))
            }
            Call::Fchmod { slot, mode } => nothing(fchmod(&self.handle(*slot)?.fd, Mode::from_bits_retain(mode.0))),
            Call::Chown { at, uid, gid, follow } => {
                let flags = if *follow == Follow::Yes { AtFlags::empty() } else { AtFlags::AT_SYMLINK_NOFOLLOW };
                nothing(fchownat(self.base(at)?, at.path.bytes().as_slice(), user(*uid), group(*gid), flags))
            }
            Call::Fchown { slot, uid, gid } => nothing(fchown(&self.handle(*slot)?.fd, user(*uid), group(*gid))),
            Call::Utimens { at, atime, mtime, follow } => {
                let follow = match follow {
                    Follow::Yes => UtimensatFlags::FollowSymlink,
                    Follow::No => UtimensatFlags::NoFollowSymlink,
                };
                let path = at.path.bytes();
                nothing(utimensat(self.base(at)?, path.as_slice(), &spec(*atime), &spec(*mtime), follow))
            }
            Call::Futimens { slot, atime, mtime } => {
                nothing(futimens(&self.handle(*slot)?.fd, &spec(*atime), &spec(*mtime)))
            }
            Call::Stat { at, follow } => {
                let flags = if *follow == Follow::Yes { AtFlags::empty() } else { AtFlags::AT_SYMLINK_NOFOLLOW };
                Ok(stat_facts(&fstatat(self.base(at)?, at.path.bytes().as_slice(), flags)?))
            }
            Call::Fstat { slot } => Ok(stat_facts(&fstat(&self.handle(*slot)?.fd)?)),
            Call::Access { at, mode, identity } => {
                let flags = if *identity == As::Effective { AtFlags::AT_EACCESS } else { AtFlags::empty() };
                let mode = AccessFlags::from_bits_retain(mode.0);
                nothing(faccessat(self.base(at)?, at.path.bytes().as_slice(), mode, flags))
            }
            Call::Statfs { path } => plausible(path.bytes().as_slice()),
            Call::Umask { mask } => {
                let before = umask(Mode::from_bits_retain(mask.0));
                Ok(vec![("before", Value::text(format!("{:04o}", before.bits())))])
            }
            _ => Err(Stop::Skipped("not about attributes")),
        }
    }
}

fn user(id: Id) -> Option<Uid> {
    id.0.map(Uid::from_raw)
}

fn group(id: Id) -> Option<Gid> {
    id.0.map(Gid::from_raw)
}

fn spec(time: Time) -> TimeSpec {
    match time {
        Time::Now => TimeSpec::UTIME_NOW,
        Time::Omit => TimeSpec::UTIME_OMIT,
        Time::Exact(seconds, nanos) => TimeSpec::new(seconds, nanos),
    }
}

/// What stat(2) told, without what is a file system's own business: inode and device numbers,
/// blocks, the size of a directory.
fn stat_facts(stat: &FileStat) -> Vec<Fact> {
    let kind = stat.st_mode & libc::S_IFMT;
    let mut facts = vec![
        ("kind", Value::text(super::handles::kind_name(kind))),
        ("mode", Value::text(format!("{:04o}", stat.st_mode & 0o7777))),
        ("nlink", Value::number(stat.st_nlink)),
        ("uid", Value::number(stat.st_uid)),
        ("gid", Value::number(stat.st_gid)),
    ];
    if kind != libc::S_IFDIR {
        facts.push(("size", Value::number(stat.st_size)));
    }
    if matches!(kind, libc::S_IFCHR | libc::S_IFBLK) {
        facts.push(("rdev", Value::text(format!("{:x}", stat.st_rdev))));
    }
    facts.push(("atime", Value::text(time_text(stat.st_atime, stat.st_atime_nsec))));
    facts.push(("mtime", Value::text(time_text(stat.st_mtime, stat.st_mtime_nsec))));
    facts.push(("ctime", Value::text(time_text(stat.st_ctime, stat.st_ctime_nsec))));
    facts
}

/// A time as it is, or `now` for one within a day of now: scripts set no such times, so it is
/// one that the file system gave.
pub(crate) fn time_text(seconds: i64, nanos: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let is_near = i64::try_from(now).is_ok_and(|now| (now - seconds).abs() < 86_400);
    if is_near { "now".to_owned() } else { format!("{seconds}.{nanos:09}") }
}

/// Inode, times of change of content and of attributes, of what a path or handle leads to
/// (symbolic links themselves).
pub(crate) type Times = Result<(u64, [(i64, i64); 2]), Errno>;

/// The times of a path (`None`: of a handle).
pub(crate) fn times_of(process: &Process, what: &crate::run::Watched) -> Times {
    let stat = match what {
        crate::run::Watched::Path(path) => fstatat(AT_FDCWD, path.as_slice(), AtFlags::AT_SYMLINK_NOFOLLOW)?,
        crate::run::Watched::Handle(slot) => fstat(&process.handle(*slot).map_err(|_| Errno::EBADF)?.fd)?,
    };
    Ok((stat.st_ino, [(stat.st_mtime, stat.st_mtime_nsec), (stat.st_ctime, stat.st_ctime_nsec)]))
}

/// Which times of a file a call changed; not the access time, whose clock is coarse.
pub(crate) fn changed_times(before: &Times, after: &Times) -> String {
    match (before, after) {
        (Err(_), Err(_)) => "absent".to_owned(),
        (Err(_), Ok(_)) => "new".to_owned(),
        (Ok(_), Err(_)) => "gone".to_owned(),
        (Ok((ino, _)), Ok((other, _))) if ino != other => "another".to_owned(),
        (Ok((_, before)), Ok((_, after))) => {
            let changed = [0, 1].map(|at| before[at] != after[at]);
            match changed {
                [false, false] => "unchanged",
                [true, false] => "mtime",
                [false, true] => "ctime",
                [true, true] => "mtime+ctime",
            }
            .to_owned()
        }
    }
}

fn plausible(path: &[u8]) -> Facts {
    let told = statfs(path)?;
    let space = told.blocks_free() <= told.blocks() && told.blocks_available() <= told.blocks_free();
    let files = told.files_free() <= told.files() && told.files() > 0;
    let verdict = |sound: bool| Value::text(if sound { "sound" } else { "not sound" });
    Ok(vec![
        ("name length", Value::number(told.maximum_name_length())),
        ("space", verdict(space && told.block_size() > 0 && told.blocks() > 0)),
        ("files", verdict(files)),
    ])
}
