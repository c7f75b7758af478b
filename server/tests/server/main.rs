//! A whole server in this process, and clients that speak the bare protocol to it.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod compaction;
mod daemon;
mod edge;
mod inspect;
mod leases;
mod locks;
mod maintenance;
mod operations;
mod recovery;
mod rig;
mod sessions;
mod tls;
mod volumes;
