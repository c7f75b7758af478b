//! The values of a volume's metadata as bytes: encoded by hand, decoded strictly.
//!
//! Every value begins with the version of its layout. A decoder accepts exactly what an encoder
//! can have written: a wrong version, a byte too few or too many, or a figure out of its range is
//! damage, reported with the key, and never a panic. docs/FORMAT.md has every byte.

use bytes::Bytes;
use holdfast_core::error::{Error, ErrorKind, Result};

use super::keys::describe;

pub mod codec;
pub mod entry;
pub mod extent;
pub mod header;
pub mod inode;
pub mod outcome;
pub mod segment;
pub mod session;
pub mod text;

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// A value that is kept in the engine.
pub trait Record: Sized {
    /// Its bytes.
    fn encode(&self) -> Bytes;

    /// The value of these bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    fn decode(bytes: &Bytes) -> std::result::Result<Self, Malformed>;
}

/// Decodes the value of a key.
///
/// # Errors
/// `Damaged`, naming the key and what is wrong with its value.
pub fn decode<R: Record>(key: &[u8], value: &Bytes) -> Result<R> {
    R::decode(value).map_err(|Malformed(why)| damaged(key, why))
}

/// The failure of a key whose value, or absence, cannot be right.
#[must_use]
pub fn damaged(key: &[u8], why: &str) -> Error {
    Error::new(ErrorKind::Damaged, format!("metadata record {} is damaged: {why}", describe(key)))
}

#[cfg(test)]
mod tests;
