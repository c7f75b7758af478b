//! What the tests share: servers, hosts and mounts that clean up after themselves, and the
//! reference model of a file system.
//!
//! Rules that everything here keeps: every wait has a deadline; everything that is started is
//! stopped, also when a test panics and when the test program is killed; nothing is left on the
//! machine; randomness comes from one seed, which is printed.

pub mod bins;
pub mod cgroup;
pub mod clocks;
pub mod cluster;
pub mod command;
pub mod hears;
pub mod host;
pub mod journal;
pub mod linear;
pub mod lossy;
pub mod manifest;
pub mod model;
pub mod mount;
pub mod offline;
pub mod process;
pub mod random;
pub mod report;
pub mod scratch;
pub mod sys;
pub mod wait;
