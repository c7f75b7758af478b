//! Versions of the protocol, and how two sides agree on one.
//!
//! | version | since | what |
//! |---|---|---|
//! | 1 | | operations, reads, locks, invalidation |
//! | 2 | 0.1.0 | leases, access times, files read ahead; staged data has a checksum for each frame |
//! | 3 | 0.1.0 | a session says which locks it has granted by itself |
//! | 4 | 0.1.0 | a session may have the volume to itself; blocks of a file are named without their data, answers to reads bear the owner's epoch |
//!
//! New fields that an old receiver may ignore need no new version. A message that it must not
//! ignore does.

use holdfast_core::error::{Error, ErrorKind, Result};

/// Newest version that this program speaks.
pub const PROTOCOL_NEWEST: u32 = 4;
/// The version since which a session may grant locks by itself.
pub const PROTOCOL_LOCAL_LOCKS: u32 = 3;
/// The version since which a session may have the volume to itself.
pub const PROTOCOL_EXCLUSIVE: u32 = 4;
/// The version since which blocks of files are named.
pub const PROTOCOL_BLOCKS: u32 = 4;
/// Oldest version that this program speaks.
pub const PROTOCOL_OLDEST: u32 = 2;

/// Which side of a connection the other one is, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// We are the server.
    Client,
    /// We are the client.
    Server,
}

/// The newest version that both sides speak.
///
/// # Errors
/// `Version` when there is none: the message says which side to upgrade.
pub fn negotiate(peer: Peer, theirs_oldest: u32, theirs_newest: u32) -> Result<u32> {
    let (them, us) = match peer {
        Peer::Client => ("client", "server"),
        Peer::Server => ("server", "client"),
    };
    let version = |message| Err(Error::new(ErrorKind::Version, message));
    let ranges = format!(
        "the {them} speaks protocol {theirs_oldest} to {theirs_newest}, this {us} {PROTOCOL_OLDEST} to {PROTOCOL_NEWEST}"
    );
    if theirs_newest == 0 || theirs_oldest > theirs_newest {
        version(format!("{ranges}: that is no range of versions; is it a holdfast {them}?"))
    } else if theirs_newest < PROTOCOL_OLDEST {
        version(format!("{ranges}: upgrade the {them}"))
    } else if theirs_oldest > PROTOCOL_NEWEST {
        version(format!("{ranges}: upgrade the {us}"))
    } else {
        Ok(theirs_newest.min(PROTOCOL_NEWEST))
    }
}

#[cfg(test)]
mod tests;
