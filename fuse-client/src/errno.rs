//! The one place where failures become error numbers: [`ErrorKind`] -> [`PosixError`] -> errno.
//!
//! Both matches are exhaustive on purpose: a new kind does not compile until somebody has chosen
//! what a program should see.

use holdfast_core::error::{Error, ErrorKind, PosixError};
use nix::errno::Errno;

/// The error number of a file system's answer (errno(3)).
#[must_use]
pub const fn errno(error: PosixError) -> Errno {
    match error {
        PosixError::NoEntry => Errno::ENOENT,
        PosixError::Exists => Errno::EEXIST,
        PosixError::NotDirectory => Errno::ENOTDIR,
        PosixError::IsDirectory => Errno::EISDIR,
        PosixError::NotEmpty => Errno::ENOTEMPTY,
        PosixError::NameTooLong => Errno::ENAMETOOLONG,
        PosixError::Invalid => Errno::EINVAL,
        PosixError::NotPermitted => Errno::EPERM,
        PosixError::AccessDenied => Errno::EACCES,
        PosixError::FileTooLarge => Errno::EFBIG,
        PosixError::NoSpace => Errno::ENOSPC,
        PosixError::QuotaExceeded => Errno::EDQUOT,
        PosixError::ReadOnly => Errno::EROFS,
        PosixError::CrossDevice => Errno::EXDEV,
        PosixError::TooManyLinks => Errno::EMLINK,
        PosixError::NoAttribute => Errno::ENODATA,
        PosixError::TooBig => Errno::E2BIG,
        PosixError::OutOfRange => Errno::ERANGE,
        PosixError::NotSupported => Errno::EOPNOTSUPP,
        PosixError::NoData => Errno::ENXIO,
        PosixError::Deadlock => Errno::EDEADLK,
        PosixError::WouldBlock => Errno::EAGAIN,
        PosixError::Interrupted => Errno::EINTR,
        PosixError::BadHandle => Errno::EBADF,
        PosixError::Busy => Errno::EBUSY,
        PosixError::TextBusy => Errno::ETXTBSY,
        PosixError::NoLocks => Errno::ENOLCK,
        PosixError::Io => Errno::EIO,
        PosixError::Retry => Errno::ERESTART,
    }
}

/// What a program sees when the request could not be served.
#[must_use]
pub const fn posix(kind: ErrorKind) -> PosixError {
    match kind {
        ErrorKind::Posix(error) => error,
        ErrorKind::Invalid => PosixError::Invalid,
        // An inode number is never used again, so what is not found is gone.
        ErrorKind::NotFound => PosixError::NoEntry,
        ErrorKind::AlreadyExists => PosixError::Exists,
        ErrorKind::InUse => PosixError::Busy,
        ErrorKind::NoSpace => PosixError::NoSpace,
        ErrorKind::Unauthenticated | ErrorKind::Denied => PosixError::AccessDenied,
        // A soft mount that gave up says what a disk says that does not answer.
        ErrorKind::SessionLost
        | ErrorKind::Version
        | ErrorKind::Unavailable
        | ErrorKind::Timeout
        | ErrorKind::Damaged
        | ErrorKind::Internal => PosixError::Io,
    }
}

/// Translates a failure for a program, and logs what the program will not see.
pub(crate) fn answer(error: &Error) -> PosixError {
    let answer = posix(error.kind());
    match error.kind() {
        ErrorKind::Posix(PosixError::Io) | ErrorKind::Damaged | ErrorKind::Internal => {
            tracing::error!(error = ?error, "a request of a program failed");
        }
        ErrorKind::Posix(_) => {}
        _ => tracing::warn!(error = ?error, "a request of a program failed"),
    }
    answer
}

#[cfg(test)]
mod tests;
