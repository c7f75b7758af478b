//! Makes sequences up, step by step: random, but with an eye on what ext4 answered so far, so
//! that many calls meet something that is there. Few names and few users, so that they collide.

mod known;
mod pick;

use holdfast_tests::random::Random;

use crate::call::{Actor, Call, Step};
use crate::outcome::Outcome;
use crate::run::Source;
use crate::word::{
    AccessMode, AclKind, Allocate, As, Flock, Follow, LockKind, LockSpace, MapKind, NodeKind, OpenFlags, Perm, Rename,
    SetFlag, Slot, Whence, XattrMode, XattrValue,
};
use known::{Kind, Known};

/// A source of random steps.
#[derive(Debug)]
pub(crate) struct Generator<'a> {
    random: Random,
    known: Known,
    left: usize,
    /// Kinds of call that are left out.
    without: &'a [String],
    actor: Actor,
}

type Make = fn(&mut Generator<'_>) -> Call;

/// How often each kind of call comes, and what makes it.
const CALLS: &[(u32, Make)] = &[
    (110, |g| g.open()),
    (25, |g| Call::Close { slot: g.slot() }),
    (6, |g| Call::Dup { slot: g.slot(), to: g.any_slot() }),
    (6, |g| Call::SetFl { slot: g.file_slot(), flag: *g.random.pick(SetFlag::ALL) }),
    (40, |g| Call::Read { slot: g.file_slot(), len: g.len() }),
    (40, |g| Call::Pread { slot: g.file_slot(), offset: g.offset(), len: g.len() }),
    (45, |g| Call::Write { slot: g.file_slot(), len: g.len(), seed: g.seed() }),
    (45, |g| Call::Pwrite { slot: g.file_slot(), offset: g.offset(), len: g.len(), seed: g.seed() }),
    (30, |g| Call::Lseek { slot: g.file_slot(), whence: *g.random.pick(Whence::ALL), offset: g.position() }),
    (20, |g| Call::Ftruncate { slot: g.file_slot(), len: g.offset() }),
    (20, |g| Call::Truncate { path: g.path(Kind::File), len: g.offset() }),
    (28, |g| Call::Fallocate {
        slot: g.file_slot(),
        mode: g.allocate(),
        offset: g.small_offset(),
        len: g.small_offset(),
    }),
    (20, |g| Call::CopyRange {
        from: g.file_slot(),
        from_offset: g.small_offset(),
        to: g.file_slot(),
        to_offset: g.small_offset(),
        len: g.len(),
    }),
    (12, |g| Call::Sendfile { from: g.file_slot(), from_offset: g.small_offset(), to: g.file_slot(), len: g.len() }),
    (10, |g| Call::Fsync { slot: g.slot() }),
    (8, |g| Call::Fdatasync { slot: g.slot() }),
    (1, |g| Call::Syncfs { slot: g.slot() }),
    (40, |g| Call::Mkdir { at: g.at_new(), mode: g.directory_perm() }),
    (22, |g| Call::Rmdir { at: g.at(Kind::Directory) }),
    (35, |g| Call::Unlink { at: g.at_any() }),
    (28, |g| Call::Link { from: g.at(Kind::File), to: g.at_new(), follow: *g.random.pick(Follow::ALL) }),
    (12, |g| Call::LinkHandle { slot: g.file_slot(), to: g.at_new() }),
    (25, |g| Call::Symlink { target: g.target(), at: g.at_new() }),
    (12, |g| Call::Readlink { at: g.at(Kind::Link) }),
    (50, |g| Call::Rename { from: g.at_any(), to: g.at_any_or_new(), mode: g.rename() }),
    (20, |g| {
        let (major, minor) = *g.random.pick(&[(1, 3), (0, 0), (259, 70_000)]);
        Call::Mknod { at: g.at_new(), kind: *g.random.pick(NodeKind::ALL), mode: g.perm(), major, minor }
    }),
    (40, |g| Call::Chmod { at: g.at_any(), mode: g.perm_of_any() }),
    (15, |g| Call::Fchmod { slot: g.slot(), mode: g.perm_of_any() }),
    (40, |g| Call::Chown { at: g.at_any(), uid: g.uid(), gid: g.gid(), follow: *g.random.pick(Follow::ALL) }),
    (12, |g| Call::Fchown { slot: g.slot(), uid: g.uid(), gid: g.gid() }),
    (25, |g| Call::Utimens { at: g.at_any(), atime: g.time(), mtime: g.time(), follow: *g.random.pick(Follow::ALL) }),
    (12, |g| Call::Futimens { slot: g.slot(), atime: g.time(), mtime: g.time() }),
    (40, |g| Call::Stat { at: g.at_any(), follow: *g.random.pick(Follow::ALL) }),
    (25, |g| Call::Fstat { slot: g.slot() }),
    (25, |g| {
        let mode = AccessMode(i32::try_from(g.random.below(8)).unwrap_or(0));
        Call::Access { at: g.at_any(), mode, identity: *g.random.pick(As::ALL) }
    }),
    (18, |g| Call::List { at: g.at(Kind::Directory) }),
    (12, |g| Call::Getdents { slot: g.directory_slot() }),
    (4, |g| Call::Statfs { path: g.path(Kind::Directory) }),
    (28, |g| {
        let (name, value) = g.xattr();
        Call::SetXattr { path: g.path_of_node(), name, value, mode: g.xattr_mode(), follow: g.mostly_follow() }
    }),
    (14, |g| {
        let (name, value) = g.xattr();
        Call::FsetXattr { slot: g.slot(), name, value, mode: g.xattr_mode() }
    }),
    (20, |g| {
        let ((path, name), buffer) = (g.path_and_xattr(), *g.random.pick(&[0, 3, 65_536, 65_536]));
        Call::GetXattr { path, name, buffer, follow: g.mostly_follow() }
    }),
    (10, |g| Call::FgetXattr { slot: g.slot(), name: g.xattr().0, buffer: 65_536 }),
    (14, |g| {
        let buffer = *g.random.pick(&[0, 8, 65_536, 65_536]);
        Call::ListXattr { path: g.path_any(), buffer, follow: g.mostly_follow() }
    }),
    (8, |g| Call::FlistXattr { slot: g.slot() }),
    (16, |g| {
        let (path, name) = g.path_and_xattr();
        Call::RemoveXattr { path, name, follow: g.mostly_follow() }
    }),
    (6, |g| Call::FremoveXattr { slot: g.slot(), name: g.xattr().0 }),
    (30, |g| {
        let kind = *g.random.pick(AclKind::ALL);
        let is_default = kind == AclKind::Default && g.random.percent(85);
        let path = if is_default { g.path(Kind::Directory) } else { g.path_of_node() };
        Call::SetAcl { path, kind, acl: g.acl() }
    }),
    (14, |g| Call::GetAcl { path: g.path_of_node(), kind: *g.random.pick(AclKind::ALL) }),
    (6, |g| Call::RemoveAcl { path: g.path_of_node(), kind: *g.random.pick(AclKind::ALL) }),
    (28, |g| Call::Flock { slot: g.file_slot(), lock: *g.random.pick(Flock::ALL) }),
    (40, |g| {
        let (start, len) = g.lock_range();
        let (space, kind) = (*g.random.pick(LockSpace::ALL), *g.random.pick(LockKind::ALL));
        Call::SetLock { slot: g.file_slot(), space, kind, start, len }
    }),
    (18, |g| {
        let (start, len) = g.lock_range();
        let kind = *g.random.pick(&[LockKind::Read, LockKind::Write]);
        Call::GetLock { slot: g.file_slot(), space: *g.random.pick(LockSpace::ALL), kind, start, len }
    }),
    (30, |g| {
        let offset = *g.random.pick(&[0, 0, 0, 0, 0, 4096, 65_536, 100]);
        let len = *g.random.pick(&[1, 4096, 10_000, 70_000, 0]);
        let kind = *g.random.pick(MapKind::ALL);
        Call::Map { slot: g.file_slot(), map: g.any_map(), kind, offset, len }
    }),
    (22, |g| Call::MapRead { map: g.map(), at: g.in_map(), len: g.in_map() }),
    (22, |g| Call::MapWrite { map: g.map(), at: g.in_map(), len: g.in_map(), seed: g.seed() }),
    (4, |g| Call::Unmap { map: g.map() }),
    (10, |g| Call::Umask { mask: Perm(*g.random.pick(&[0o022, 0o022, 0, 0o077, 0o027, 0o777])) }),
];

impl<'a> Generator<'a> {
    /// A sequence of this many steps, without these kinds of call.
    pub(crate) fn new(seed: u64, steps: usize, without: &'a [String]) -> Self {
        let actor = Actor { mount: 0, process: 0, user: 0 };
        Self { random: Random::new(seed), known: Known::default(), left: steps, without, actor }
    }

    fn someone(&mut self) -> Actor {
        let user = match self.random.below(100) {
            0..50 => 0,
            50..80 => 1,
            _ => 2,
        };
        Actor { mount: self.random.index(2), process: usize::from(self.random.percent(20)), user }
    }

    /// Mostly one with something open.
    fn open(&mut self) -> Call {
        let access = *self.random.pick(&[libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR, libc::O_RDWR, libc::O_RDWR]);
        let (create, exists) = (self.random.percent(60), self.random.percent(60));
        let mut flags = access;
        let some = [
            (8, libc::O_EXCL),
            (12, libc::O_TRUNC),
            (15, libc::O_APPEND),
            (5, libc::O_NOFOLLOW),
            (3, libc::O_SYNC),
            (3, libc::O_DSYNC),
            (4, libc::O_DIRECT),
            (2, libc::O_NOATIME),
            (2, libc::O_DIRECTORY),
        ];
        for (percent, flag) in some {
            flags |= if self.random.percent(percent) { flag } else { 0 };
        }
        if flags & libc::O_APPEND != 0 {
            // Where it goes is not known before, and so neither whether that is aligned.
            flags &= !libc::O_DIRECT;
        }
        let slot = self.free_slot();
        let at = match self.random.below(100) {
            0..12 => {
                flags = (flags & !libc::O_ACCMODE & !libc::O_TRUNC & !libc::O_APPEND) | libc::O_DIRECTORY;
                self.at(Kind::Directory)
            }
            12..20 if !self.without.iter().any(|kind| kind == "tmpfile") => {
                flags = (flags & !libc::O_PATH) | libc::O_TMPFILE;
                flags |= if flags & libc::O_ACCMODE == 0 { libc::O_RDWR } else { 0 };
                self.at(Kind::Directory)
            }
            _ if create => {
                flags |= libc::O_CREAT;
                if exists { self.at(Kind::File) } else { self.at_new() }
            }
            _ if self.random.percent(85) => self.at(Kind::File),
            _ => self.at_any(),
        };
        let mode = if self.random.percent(70) { Perm(*self.random.pick(&[0o644, 0o666, 0o600])) } else { self.perm() };
        Call::Open { slot, at, flags: OpenFlags(flags), mode }
    }

    fn rename(&mut self) -> Rename {
        let mode = if self.random.percent(55) { Rename::Plain } else { *self.random.pick(Rename::ALL) };
        let left_out = mode == Rename::Whiteout && self.without.iter().any(|kind| kind == "whiteout");
        if left_out { Rename::Exchange } else { mode }
    }

    fn xattr(&mut self) -> (crate::word::Text, XattrValue) {
        let names = [
            ("user.a", 20),
            ("user.b", 20),
            ("user.<n*250>", 3),
            ("user.<n*251>", 1),
            ("trusted.t", 10),
            ("security.s", 6),
            ("security.capability", 12),
            ("user.", 1),
            ("system.other", 1),
            ("nonsense", 1),
            ("<>", 1),
        ];
        let mut at = self.random.below(names.iter().map(|(_, weight)| weight).sum());
        let name = names.iter().find(|(_, weight)| {
            let found = at < *weight;
            at = at.saturating_sub(*weight);
            found
        });
        let name = name.map_or("user.a", |(name, _)| *name);
        let len = if self.random.percent(2) { 65_537 } else { *self.random.pick(&[0, 1, 10, 100, 300]) };
        let value = match name {
            "security.capability" if self.random.percent(90) => XattrValue::Capability,
            _ => XattrValue::Filled(len, self.random.below(1000)),
        };
        ((if name == "<>" { "" } else { name }).into(), value)
    }

    fn allocate(&mut self) -> Allocate {
        let right = [Allocate::Reserve, Allocate::ReserveKeep, Allocate::Punch, Allocate::Zero, Allocate::ZeroKeep];
        if self.random.percent(15) { *self.random.pick(Allocate::ALL) } else { *self.random.pick(&right) }
    }

    fn xattr_mode(&mut self) -> XattrMode {
        if self.random.percent(60) { XattrMode::Either } else { *self.random.pick(XattrMode::ALL) }
    }

    fn any_slot(&mut self) -> Slot {
        Slot(u8::try_from(self.random.below(u64::from(crate::word::SLOTS))).unwrap_or(0))
    }
}

impl Source for Generator<'_> {
    fn next(&mut self) -> Option<Step> {
        self.left = self.left.checked_sub(1)?;
        self.actor = self.someone();
        let total: u32 = CALLS.iter().map(|(weight, _)| weight).sum();
        loop {
            let mut at = u32::try_from(self.random.below(u64::from(total))).unwrap_or(0);
            let make = CALLS.iter().find(|(weight, _)| {
                let found = at < *weight;
                at = at.saturating_sub(*weight);
                found
            });
            // Without anything open most calls would have nothing to work on.
            let nothing_open = self.known.with_handle(&[Some(Kind::File)]).is_empty() && self.random.percent(50);
            let (_, make) = make.filter(|_| !nothing_open).unwrap_or(&CALLS[0]);
            let call = make(self);
            if !self.without.iter().any(|kind| kind == call.kind()) {
                return Some(Step { actor: self.actor, watch: self.random.percent(25), call });
            }
        }
    }

    fn learn(&mut self, step: &Step, outcome: &Outcome) {
        self.known.learn(step, outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_call_is_made_up_and_survives_as_text() {
        let mut generator = Generator::new(7, 60_000, &[]);
        let mut kinds = std::collections::BTreeSet::new();
        while let Some(step) = generator.next() {
            let text = step.to_string();
            assert_eq!(text.parse::<Step>().as_ref(), Ok(&step), "{text}");
            kinds.insert(step.call.kind());
        }
        let missing: Vec<_> = Call::KINDS.iter().filter(|kind| !kinds.contains(*kind)).collect();
        assert!(missing.is_empty(), "never made: {missing:?}");
    }
}
