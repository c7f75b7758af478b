//! The language and the rules of Holdfast.
//!
//! Everything here is a value or a pure function: no IO, no async, no clock, no randomness, no
//! wire format. Time and random bytes come in as arguments. The server, the client, the mount and
//! the tests all speak these types, so a rule written here holds on every side.
//!
//! This crate never knows about gRPC, FUSE, RocksDB or files on disk.

pub mod acl;
pub mod attr;
pub mod buffers;
pub mod derive;
pub mod error;
pub mod hash;
pub mod id;
pub mod integrity;
pub mod lease;
pub mod limits;
pub mod lock;
pub mod name;
pub mod op;
pub mod predict;
pub mod range;
pub mod relatime;
pub mod session;
pub mod size;
pub mod time;
pub mod volume;
