//! An OCI runtime that puts Holdfast volumes into containers, and leaves the rest to runc or crun.
//!
//! It is called as engines call runc. For `create` and `run` it reads the bundle's `config.json`,
//! acquires the volumes that it asks for, replaces them by bind mounts, and hands over. `delete`
//! lets them go. Every other command goes straight through.
//!
//! It fails closed: a container whose volume cannot be had does not start, and the reason is where
//! the engine looks for it. It never mounts anything itself: that is `holdfast_plugin`'s.

pub mod args;
pub mod bundle;
pub mod config;
pub mod delegate;
pub mod log;
pub mod settings;
pub mod spec;
pub mod supervise;

mod handover;
mod run;

pub use run::run;
