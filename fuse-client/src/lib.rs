//! The mount: a Holdfast volume as a Linux file system.
//!
//! - [`fs`]: the file system without a kernel.
//! - [`memory`]: what is remembered of the server's answers, under leases.
//! - [`fuse`]: the transport between the kernel and [`fs`]; the only module that speaks FUSE.
//! - [`disk`]: blocks of files on a local disk.
//! - [`mount`]: options, checks, the mount's life in the foreground or as a daemon.
//! - [`unmount`]: taking a mount away, also when nobody answers.
//! - [`errno`]: failures as error numbers, the only such table.
//! - [`stats`]: what a mount counts.
//!
//! This crate never prints and never decides what is true: the server does, through
//! `holdfast_client`.

pub mod disk;
pub mod errno;
pub mod fs;
pub mod fuse;
pub mod memory;
pub mod mount;
mod process;
pub mod stats;
pub mod unmount;
