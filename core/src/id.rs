//! Every identifier, each a type of its own so that two of them cannot be mixed up.
//!
//! Numbers start at 1 where zero has a meaning of "none"; inode numbers are never used twice in
//! the life of a volume, so a stale number finds nothing rather than the wrong file.

use std::fmt;
use std::str::FromStr;

/// A 64-bit number that names one kind of thing.
macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// The number that follows; saturates at the last one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

/// 128 random bits, written as 32 lower-case hexadecimal digits.
macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_hex(text).map(Self).ok_or(ParseIdError)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = ParseIdError;

            fn try_from(bytes: &[u8]) -> Result<Self, ParseIdError> {
                bytes.try_into().map(Self).map_err(|_| ParseIdError)
            }
        }
    };
}

/// The text or bytes are not an identifier: 16 bytes, or 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is 16 bytes, written as 32 lower-case hexadecimal digits")]
pub struct ParseIdError;

fn parse_hex(text: &str) -> Option<[u8; 16]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 16];
    if digits.len() != 32 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
    }
    Some(bytes)
}

const fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

random_id! {
    /// A volume, for ever: a name may change or be used again, an id never.
    VolumeId
}
random_id! {
    /// A client's session with the owner of one volume. Chosen by the client at random and told to
    /// nobody else: who knows it may resume the session.
    SessionId
}

number_id! {
    /// An inode of one volume; [`InodeId::ROOT`] is its root directory. Never used again.
    InodeId
}
number_id! {
    /// Position of an operation in its session's log, from 1. Zero: none yet.
    Seq
}
number_id! {
    /// Position of an operation in the volume's one order over all sessions, from 1.
    CommitSeq
}
number_id! {
    /// Authority of a volume's owner; raised each time a server opens the volume.
    Epoch
}
number_id! {
    /// A data segment of one volume, from 1.
    SegmentId
}
number_id! {
    /// Large data that a session sent ahead of the operation that uses it; unique in the session.
    StageId
}
number_id! {
    /// Position of an entry in its directory: rises with each insertion, never used again, so a
    /// listing can go on from it whatever changed meanwhile. Zero: before the first entry.
    DirCookie
}
number_id! {
    /// Counts the changes of a file's content (data and size), from 0.
    DataVersion
}
number_id! {
    /// Who holds a lock, as the client's kernel names it; only unique within a session.
    LockOwner
}

impl InodeId {
    /// The root directory of every volume (also FUSE's number for the root of a mount).
    pub const ROOT: Self = Self(1);
}

/// Inode numbers that one session gives to what it makes under its leases, before the server knows
/// of it. The server gives each session a block that it gives to no other one, ever; the numbers of
/// all blocks lie above those that it gives itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InodeBlock {
    next: u64,
    end: u64,
}

/// Where the blocks begin: the server's own numbers are those of operations, and stay far below.
const BLOCKS_FROM: u64 = 1 << 56;
/// Numbers in a block.
const BLOCK_LEN: u64 = 1 << 28;
/// Blocks that there are.
const BLOCKS_MAX: u64 = 1 << 28;

impl InodeBlock {
    /// The block of this index, from 0; `None`: there is none.
    #[must_use]
    pub const fn of(index: u64) -> Option<Self> {
        if index >= BLOCKS_MAX {
            return None;
        }
        let first = BLOCKS_FROM + index * BLOCK_LEN;
        Some(Self { next: first, end: first + BLOCK_LEN })
    }

    /// What is left of a block: the first number, and how many there are.
    #[must_use]
    pub const fn left(&self) -> (u64, u64) {
        (self.next, self.end - self.next)
    }

    /// A block as the server has said it: the first number, and how many there are. `None`: they are
    /// no numbers that a session may give.
    #[must_use]
    pub fn new(first: u64, count: u64) -> Option<Self> {
        let end = first.checked_add(count)?;
        let fits = count == 0 || (first >= BLOCKS_FROM && end <= BLOCKS_FROM + BLOCKS_MAX * BLOCK_LEN);
        fits.then_some(Self { next: first, end })
    }

    /// The next number; `None`: all are given.
    pub const fn take(&mut self) -> Option<InodeId> {
        if self.next >= self.end {
            return None;
        }
        self.next += 1;
        Some(InodeId(self.next - 1))
    }

    /// Whether a number lies in one of the first `blocks` blocks.
    #[must_use]
    pub const fn is_of_first(blocks: u64, ino: InodeId) -> bool {
        ino.0 >= BLOCKS_FROM && (ino.0 - BLOCKS_FROM) / BLOCK_LEN < blocks
    }
}

#[cfg(test)]
mod tests;
