//! The archive of a volume: a POSIX pax tar that describes itself and ends with a checksum.
//!
//! [`Writer`] and [`Reader`] turn members into bytes and back; [`walk`] turns a [`walk::Source`],
//! whatever it is, into an archive. docs/ARCHIVE.md has the format.
//!
//! This crate never knows servers, sessions or engines, never reads a clock, and trusts nothing
//! that it reads: a name out of an archive is bytes until [`path::components`] has checked it.

mod acl_text;
pub mod file;
mod header;
pub mod label;
pub mod member;
pub mod path;
mod pax;
pub mod progress;
mod read;
pub mod sparse;
mod stamp;
pub mod walk;
mod write;

pub use self::label::{Ending, Label};
pub use self::member::{Kind, Member};
pub use self::read::{Finish, Reader};
pub use self::write::Writer;
