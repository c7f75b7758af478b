//! Advisory locks: flock(2), and fcntl(2) record locks (POSIX and open-file-description).
//!
//! [`LockTable`] is the lock state of one file and a pure state machine.
