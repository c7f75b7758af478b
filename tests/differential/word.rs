//! The words of a script: what the arguments of a call look like as text, there and back.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// A handle of a process: `h0` to `h7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(pub u8);

/// A mapping of a process: `m0` to `m3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapSlot(pub u8);

/// Handles that a process has.
pub(crate) const SLOTS: u8 = 8;
/// Mappings that a process has.
pub(crate) const MAPS: u8 = 4;

macro_rules! numbered {
    ($($type:ident $letter:literal $limit:ident;)*) => {$(
        impl Display for $type {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $letter, self.0)
            }
        }
        impl FromStr for $type {
            type Err = String;
            fn from_str(word: &str) -> Result<Self, String> {
                let number = word.strip_prefix($letter).and_then(|number| number.parse().ok());
                number.filter(|number| *number < $limit).map(Self).ok_or_else(|| format!("{word:?} is not {}0 to {0}{}", $letter, $limit - 1))
            }
        }
    )*};
}
numbered! {
    Slot 'h' SLOTS;
    MapSlot 'm' MAPS;
}

/// A path or a name as bytes; as text `<>` is the empty one, `<n*255>` a letter repeated, and
/// `<ff>` one byte in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Text(pub String);

impl Text {
    /// The bytes that it stands for.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (mut bytes, mut rest) = (Vec::new(), self.0.as_str());
        while let Some((before, after)) = rest.split_once('<') {
            bytes.extend(before.bytes());
            let (token, after) = after.split_once('>').unwrap_or((after, ""));
            rest = after;
            match token.split_once('*').and_then(|(letter, count)| Some((letter.bytes().next()?, count.parse().ok()?)))
            {
                Some((letter, count)) => bytes.extend(std::iter::repeat_n(letter, count)),
                None => bytes.extend(u8::from_str_radix(token, 16).ok()),
            }
        }
        bytes.extend(rest.bytes());
        bytes
    }
}

impl Display for Text {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "<>" } else { &self.0 })
    }
}

impl FromStr for Text {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        Ok(Self(if word == "<>" { String::new() } else { word.to_owned() }))
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// A path, from the root of the sequence or, as `h3:path`, from an open directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At {
    /// The open directory.
    pub base: Option<Slot>,
    /// The path.
    pub path: Text,
}

impl Display for At {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.base.map_or(Ok(()), |base| write!(f, "{base}:"))?;
        self.path.fmt(f)
    }
}

impl FromStr for At {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        match word.split_once(':') {
            Some((base, path)) => Ok(Self { base: Some(base.parse()?), path: path.parse()? }),
            None => Ok(Self { base: None, path: word.parse()? }),
        }
    }
}

/// Permission bits, in octal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Perm(pub u32);

impl Display for Perm {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl FromStr for Perm {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        u32::from_str_radix(word, 8).map(Self).map_err(|_| format!("{word:?} is not an octal mode"))
    }
}

/// A user or group, or `-`: as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id(pub Option<u32>);

impl Display for Id {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => id.fmt(f),
            None => f.write_str("-"),
        }
    }
}

impl FromStr for Id {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "-" => Ok(Self(None)),
            _ => word.parse().map(|id| Self(Some(id))).map_err(|_| format!("{word:?} is not an id")),
        }
    }
}

/// A time to set: `now`, `omit`, or seconds and nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    /// `UTIME_NOW`
    Now,
    /// `UTIME_OMIT`
    Omit,
    /// Exactly this.
    Exact(i64, i64),
}

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("now"),
            Self::Omit => f.write_str("omit"),
            Self::Exact(seconds, nanos) => write!(f, "{seconds}.{nanos:09}"),
        }
    }
}

impl FromStr for Time {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        let exact = |(seconds, nanos): (&str, &str)| Some(Self::Exact(seconds.parse().ok()?, nanos.parse().ok()?));
        match word {
            "now" => Ok(Self::Now),
            "omit" => Ok(Self::Omit),
            _ => word.split_once('.').and_then(exact).ok_or_else(|| format!("{word:?} is not a time")),
        }
    }
}

/// The value of an extended attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum XattrValue {
    /// `LEN*SEED`: bytes made from the seed.
    Filled(usize, u64),
    /// `capability`: a valid `security.capability` (`CAP_NET_BIND_SERVICE`, effective).
    Capability,
}

impl Display for XattrValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filled(len, seed) => write!(f, "{len}*{seed}"),
            Self::Capability => f.write_str("capability"),
        }
    }
}

impl FromStr for XattrValue {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        let filled = |(len, seed): (&str, &str)| Some(Self::Filled(len.parse().ok()?, seed.parse().ok()?));
        match word {
            "capability" => Ok(Self::Capability),
            _ => word.split_once('*').and_then(filled).ok_or_else(|| format!("{word:?} is not LEN*SEED")),
        }
    }
}

/// An access control list: `u:rw-,u1000:r--,g:r--,g2000:r-x,m:rwx,o:---`, in the order in which
/// it is handed to the kernel; `none` is a list without entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acl(pub String);

impl Acl {
    /// The value of the xattr (`linux/posix_acl_xattr.h`).
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = 2_u32.to_le_bytes().to_vec();
        for entry in self.0.split(',').filter(|entry| *entry != "none") {
            let (who, rights) = entry.split_once(':').unwrap_or((entry, ""));
            let (letter, id) = who.split_at(1.min(who.len()));
            let tag: u16 = match (letter, id) {
                ("u", "") => 1,
                ("u", _) => 2,
                ("g", "") => 4,
                ("g", _) => 8,
                ("m", _) => 16,
                ("o", _) => 32,
                _ => 64,
            };
            let rights: u16 = rights
                .bytes()
                .map(|c| match c {
                    b'r' => 4,
                    b'w' => 2,
                    b'x' => 1,
                    b'!' => 8,
                    _ => 0,
                })
                .sum();
            bytes.extend(tag.to_le_bytes());
            bytes.extend(rights.to_le_bytes());
            bytes.extend(id.parse().unwrap_or(u32::MAX).to_le_bytes());
        }
        bytes
    }
}

impl Display for Acl {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Acl {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        Ok(Self(word.to_owned()))
    }
}

/// Enums whose variants are one word each.
macro_rules! named {
    ($($(#[$doc:meta])* $type:ident { $($variant:ident $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $type { $(#[doc = $word] $variant,)* }
        impl $type {
            /// Every one of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)*];
        }
        impl Display for $type {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word,)* })
            }
        }
        impl FromStr for $type {
            type Err = String;
            fn from_str(word: &str) -> Result<Self, String> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(format!("{word:?} is not one of {}", [$($word),*].join(", "))),
                }
            }
        }
    )*};
}

named! {
    /// Whether a symbolic link at the end of a path is followed.
    Follow { Yes "follow", No "nofollow", }
    /// lseek(2).
    Whence { Set "set", Current "cur", End "end", Data "data", Hole "hole", }
    /// fallocate(2).
    Allocate {
        Reserve "reserve", ReserveKeep "reserve+keep", Punch "punch+keep", PunchAlone "punch",
        Zero "zero", ZeroKeep "zero+keep", Both "punch+zero+keep",
    }
    /// renameat2(2).
    Rename { Plain "replace", NoReplace "noreplace", Exchange "exchange", Whiteout "whiteout", Both "noreplace+exchange", }
    /// setxattr(2).
    XattrMode { Either "any", Create "create", Replace "replace", Both "create+replace", }
    /// Which access control list.
    AclKind { Access "access", Default "default", }
    /// mknod(2).
    NodeKind { Regular "regular", Fifo "fifo", Socket "socket", Char "char", Block "block", Directory "directory", }
    /// Whose identity access(2) checks.
    As { Real "real", Effective "effective", }
    /// flock(2), never waiting.
    Flock { Shared "shared", Exclusive "exclusive", Unlock "unlock", }
    /// Which kind of record lock of fcntl(2).
    LockSpace { Posix "posix", Ofd "ofd", }
    /// What a record lock does.
    LockKind { Read "read", Write "write", Unlock "unlock", }
    /// mmap(2).
    MapKind { SharedRead "shared-read", Shared "shared-write", Private "private-write", }
    /// fcntl(2) `F_SETFL`.
    SetFlag { Append "append", Plain "plain", }
}

/// Sets of flags, joined with `+`.
macro_rules! flags {
    ($($(#[$doc:meta])* $type:ident { $($word:literal $bits:expr,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) struct $type(pub i32);
        impl Display for $type {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                let mut left = self.0;
                let mut words = Vec::new();
                $(if $bits != 0 && left & $bits == $bits { left &= !$bits; words.push($word); })*
                $(if $bits == 0 && words.is_empty() { words.push($word); })*
                f.write_str(&words.join("+"))
            }
        }
        impl FromStr for $type {
            type Err = String;
            fn from_str(word: &str) -> Result<Self, String> {
                let bits = word.split('+').map(|word| match word {
                    $($word => Ok($bits),)*
                    _ => Err(format!("{word:?} is not one of {}", [$($word),*].join(", "))),
                });
                bits.sum::<Result<i32, String>>().map(Self)
            }
        }
    )*};
}

flags! {
    /// open(2). The longer names come first, since their bits contain others'.
    OpenFlags {
        "tmpfile" libc::O_TMPFILE,
        "sync" libc::O_SYNC,
        "dsync" libc::O_DSYNC,
        "rdwr" libc::O_RDWR,
        "wronly" libc::O_WRONLY,
        "creat" libc::O_CREAT,
        "excl" libc::O_EXCL,
        "trunc" libc::O_TRUNC,
        "append" libc::O_APPEND,
        "directory" libc::O_DIRECTORY,
        "nofollow" libc::O_NOFOLLOW,
        "path" libc::O_PATH,
        "direct" libc::O_DIRECT,
        "noatime" libc::O_NOATIME,
        "rdonly" libc::O_RDONLY,
    }
    /// access(2).
    AccessMode {
        "read" libc::R_OK,
        "write" libc::W_OK,
        "execute" libc::X_OK,
        "exists" libc::F_OK,
    }
}
