//! Suites of others, run against a mount: pjdfstest (POSIX calls and their errors) and fsx (one
//! file under random reads, writes, mappings, truncations; on one mount and between two).
#![expect(clippy::unwrap_used, reason = "a failed step of a test fails the test")]

mod exerciser;
mod posix;
