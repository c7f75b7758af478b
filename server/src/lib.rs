//! The storage server: keeps volumes on its disk and serves them to sessions.

/// The program's version, for people.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

pub mod clock;
mod compaction;
pub mod config;
mod data_dir;
pub mod dump;
pub mod failpoint;
mod fatal;
mod integrity;
pub mod meta;
mod offload;
mod registry;
mod rpc;
pub mod run;
pub mod segment;
mod session;
pub mod store;
pub mod stores;
mod tls;
mod volume;

pub use fatal::Fatal;
