//! One file per command: arguments in, a report out.

pub mod bench;
pub mod completions;
pub mod demo;
pub mod inspect;
pub mod mount;
pub mod run;
pub mod stats;
pub mod status;
pub mod tls;
pub mod umount;
pub mod version;
pub mod volume;
