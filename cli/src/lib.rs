//! What a person types: the `holdfast` command, which is also mount(8)'s helper `mount.holdfast`.
//!
//! Commands live in `command/`, one file each. They return a report or a failure; only `output`
//! prints. This crate never knows the server's code: it speaks to one through `holdfast-client`,
//! and the demo starts the `holdfastd` that stands beside this program.

pub mod args;
pub mod command;
pub mod connect;
pub mod date;
pub mod failure;
pub mod mount_helper;
pub mod output;
pub mod tls;

mod start;

pub use start::run;
