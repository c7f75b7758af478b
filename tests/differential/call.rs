//! A step of a sequence: who calls what. As text one line each, there and back.

use std::fmt::{self, Display, Formatter};
use std::str::{FromStr, SplitWhitespace};

use crate::word::{
    AccessMode, Acl, AclKind, Allocate, As, At, Flock, Follow, Id, LockKind, LockSpace, MapKind, MapSlot, NodeKind,
    OpenFlags, Perm, Rename, SetFlag, Slot, Text, Time, Whence, XattrMode, XattrValue,
};

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident $word:literal { $($field:ident: $type:ty),* })*) => {
        /// A system call with its arguments. Where one has no form that takes a directory its
        /// path is a [`Text`].
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) enum Call { $($(#[$doc])* $name { $($field: $type),* },)* }

        impl Call {
            /// The word of every kind of call.
            pub(crate) const KINDS: &[&str] = &[$($word),*];

            /// The word of this call.
            pub(crate) fn kind(&self) -> &'static str {
                match self { $(Self::$name { .. } => $word,)* }
            }
        }

        impl Display for Call {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name { $($field),* } => {
                        f.write_str($word)?;
                        $(write!(f, " {}", $field)?;)*
                        Ok(())
                    })*
                }
            }
        }

        impl FromStr for Call {
            type Err = String;
            fn from_str(line: &str) -> Result<Self, String> {
                let mut words = line.split_whitespace();
                let call = match words.next() {
                    $(Some($word) => Self::$name { $($field: argument(&mut words, stringify!($field))?),* },)*
                    other => return Err(format!("no call {other:?}")),
                };
                words.next().map_or(Ok(call), |word| Err(format!("{word:?} is too much")))
            }
        }
    };
}

fn argument<T: FromStr>(words: &mut SplitWhitespace<'_>, name: &str) -> Result<T, String>
where
    T::Err: Display,
{
    let word = words.next().ok_or_else(|| format!("{name} is missing"))?;
    word.parse().map_err(|error| format!("{name}: {error}"))
}

calls! {
    /// openat(2), never waiting; what is neither file nor directory is closed at once.
    Open "open" { slot: Slot, at: At, flags: OpenFlags, mode: Perm }
    /// close(2)
    Close "close" { slot: Slot }
    /// dup(2): a second handle with one open file description
    Dup "dup" { slot: Slot, to: Slot }
    /// fcntl(2) `F_SETFL`
    SetFl "setfl" { slot: Slot, flag: SetFlag }
    /// read(2)
    Read "read" { slot: Slot, len: usize }
    /// pread(2)
    Pread "pread" { slot: Slot, offset: i64, len: usize }
    /// write(2)
    Write "write" { slot: Slot, len: usize, seed: u64 }
    /// pwrite(2)
    Pwrite "pwrite" { slot: Slot, offset: i64, len: usize, seed: u64 }
    /// lseek(2)
    Lseek "lseek" { slot: Slot, whence: Whence, offset: i64 }
    /// ftruncate(2)
    Ftruncate "ftruncate" { slot: Slot, len: i64 }
    /// truncate(2)
    Truncate "truncate" { path: Text, len: i64 }
    /// fallocate(2)
    Fallocate "fallocate" { slot: Slot, mode: Allocate, offset: i64, len: i64 }
    /// copy_file_range(2)
    CopyRange "copy_file_range" { from: Slot, from_offset: i64, to: Slot, to_offset: i64, len: usize }
    /// sendfile(2)
    Sendfile "sendfile" { from: Slot, from_offset: i64, to: Slot, len: usize }
    /// fsync(2)
    Fsync "fsync" { slot: Slot }
    /// fdatasync(2)
    Fdatasync "fdatasync" { slot: Slot }
    /// syncfs(2)
    Syncfs "syncfs" { slot: Slot }
    /// mkdirat(2)
    Mkdir "mkdir" { at: At, mode: Perm }
    /// rmdir(2)
    Rmdir "rmdir" { at: At }
    /// unlinkat(2)
    Unlink "unlink" { at: At }
    /// linkat(2)
    Link "link" { from: At, to: At, follow: Follow }
    /// linkat(2) of a handle (`AT_EMPTY_PATH`)
    LinkHandle "linkhandle" { slot: Slot, to: At }
    /// symlinkat(2)
    Symlink "symlink" { target: Text, at: At }
    /// readlinkat(2)
    Readlink "readlink" { at: At }
    /// renameat2(2)
    Rename "rename" { from: At, to: At, mode: Rename }
    /// mknodat(2)
    Mknod "mknod" { at: At, kind: NodeKind, mode: Perm, major: u32, minor: u32 }
    /// fchmodat(2)
    Chmod "chmod" { at: At, mode: Perm }
    /// fchmod(2)
    Fchmod "fchmod" { slot: Slot, mode: Perm }
    /// fchownat(2)
    Chown "chown" { at: At, uid: Id, gid: Id, follow: Follow }
    /// fchown(2)
    Fchown "fchown" { slot: Slot, uid: Id, gid: Id }
    /// utimensat(2)
    Utimens "utimens" { at: At, atime: Time, mtime: Time, follow: Follow }
    /// futimens(3)
    Futimens "futimens" { slot: Slot, atime: Time, mtime: Time }
    /// fstatat(2)
    Stat "stat" { at: At, follow: Follow }
    /// fstat(2)
    Fstat "fstat" { slot: Slot }
    /// faccessat2(2)
    Access "access" { at: At, mode: AccessMode, identity: As }
    /// Opens, lists and closes a directory
    List "list" { at: At }
    /// Lists an open directory from its start
    Getdents "getdents" { slot: Slot }
    /// statfs(2), what is plausible about it
    Statfs "statfs" { path: Text }
    /// setxattr(2), lsetxattr(2)
    SetXattr "setxattr" { path: Text, name: Text, value: XattrValue, mode: XattrMode, follow: Follow }
    /// fsetxattr(2)
    FsetXattr "fsetxattr" { slot: Slot, name: Text, value: XattrValue, mode: XattrMode }
    /// getxattr(2), lgetxattr(2) with a buffer of this length
    GetXattr "getxattr" { path: Text, name: Text, buffer: usize, follow: Follow }
    /// fgetxattr(2)
    FgetXattr "fgetxattr" { slot: Slot, name: Text, buffer: usize }
    /// listxattr(2), llistxattr(2)
    ListXattr "listxattr" { path: Text, buffer: usize, follow: Follow }
    /// flistxattr(2)
    FlistXattr "flistxattr" { slot: Slot }
    /// removexattr(2), lremovexattr(2)
    RemoveXattr "removexattr" { path: Text, name: Text, follow: Follow }
    /// fremovexattr(2)
    FremoveXattr "fremovexattr" { slot: Slot, name: Text }
    /// setxattr(2) of a list of acl(5)
    SetAcl "setacl" { path: Text, kind: AclKind, acl: Acl }
    /// getxattr(2) of a list
    GetAcl "getacl" { path: Text, kind: AclKind }
    /// removexattr(2) of a list
    RemoveAcl "removeacl" { path: Text, kind: AclKind }
    /// flock(2) with `LOCK_NB`
    Flock "flock" { slot: Slot, lock: Flock }
    /// fcntl(2) `F_SETLK`, `F_OFD_SETLK`
    SetLock "setlk" { slot: Slot, space: LockSpace, kind: LockKind, start: i64, len: i64 }
    /// fcntl(2) `F_GETLK`, `F_OFD_GETLK`
    GetLock "getlk" { slot: Slot, space: LockSpace, kind: LockKind, start: i64, len: i64 }
    /// mmap(2)
    Map "mmap" { slot: Slot, map: MapSlot, kind: MapKind, offset: i64, len: usize }
    /// Reads through a mapping
    MapRead "mapread" { map: MapSlot, at: usize, len: usize }
    /// Writes through a mapping, then msync(2) with `MS_SYNC`
    MapWrite "mapwrite" { map: MapSlot, at: usize, len: usize, seed: u64 }
    /// munmap(2)
    Unmap "munmap" { map: MapSlot }
    /// umask(2) of the caller
    Umask "umask" { mask: Perm }
}

/// Who a caller is: `A0/root`. Two mounts, two processes on each (they share no handles), three
/// users in each process (they do share them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Actor {
    /// 0 is A, 1 is B.
    pub mount: usize,
    /// 0 or 1.
    pub process: usize,
    /// Index into [`USERS`].
    pub user: usize,
}

/// A user of the sequences.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    /// What scripts call it.
    pub name: &'static str,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Further groups.
    pub groups: &'static [u32],
}

/// The users: with capabilities, in several groups, in one group of those.
pub(crate) const USERS: [User; 3] = [
    User { name: "root", uid: 0, gid: 0, groups: &[] },
    User { name: "alice", uid: 1000, gid: 1000, groups: &[2000, 3000] },
    User { name: "bob", uid: 1001, gid: 1001, groups: &[3000] },
];
/// Processes on each mount.
pub(crate) const PROCESSES: usize = 2;

impl Display for Actor {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", ["A", "B"][self.mount], self.process, USERS[self.user].name)
    }
}

impl FromStr for Actor {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        let wrong = || format!("{word:?} is not an actor such as A0/root");
        let (place, name) = word.split_once('/').ok_or_else(wrong)?;
        let (mount, process) = match place {
            "A0" => (0, 0),
            "A1" => (0, 1),
            "B0" => (1, 0),
            "B1" => (1, 1),
            _ => return Err(wrong()),
        };
        let user = USERS.iter().position(|user| user.name == name).ok_or_else(wrong)?;
        Ok(Self { mount, process, user })
    }
}

/// One step: `A0/alice unlink a/b`; with `?` behind the actor it is also watched which times of
/// the files that it names it changes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    /// Who.
    pub actor: Actor,
    /// Whether the times are watched.
    pub watch: bool,
    /// What.
    pub call: Call,
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{} {}", self.actor, if self.watch { "?" } else { "" }, self.call)
    }
}

impl FromStr for Step {
    type Err = String;
    fn from_str(line: &str) -> Result<Self, String> {
        let (who, call) = line.trim().split_once(' ').ok_or_else(|| format!("{line:?} is not a step"))?;
        let (who, watch) = who.strip_suffix('?').map_or((who, false), |who| (who, true));
        Ok(Self { actor: who.parse()?, watch, call: call.parse()? })
    }
}

/// Reads a script: one step a line; empty lines, and what follows `#`, say nothing.
pub(crate) fn parse(script: &str) -> Result<Vec<Step>, String> {
    let lines = script.lines().enumerate().map(|(at, line)| (at + 1, line.split('#').next().unwrap_or("").trim()));
    let steps = lines.filter(|(_, line)| !line.is_empty());
    steps.map(|(number, line)| line.parse().map_err(|error| format!("line {number}: {error}"))).collect()
}

/// A script as text.
pub(crate) fn print(steps: &[Step]) -> String {
    steps.iter().map(|step| format!("{step}\n")).collect()
}
