//! What can go wrong, told by what the caller should do next.
//!
//! Two kinds, which never mix: [`PosixError`] is the answer of a file system to an operation (a
//! program expects it and handles it); [`Error`] says that a request to a server could not be
//! served. `fuse-client` holds the one match to errno, `proto` the one match to gRPC status.

use std::fmt;

/// The file system's answer to an operation that it understood and will not do. Each is one errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PosixError {
    /// `ENOENT`
    #[error("no such file or directory")]
    NoEntry,
    /// `EEXIST`
    #[error("file exists")]
    Exists,
    /// `ENOTDIR`
    #[error("not a directory")]
    NotDirectory,
    /// `EISDIR`
    #[error("is a directory")]
    IsDirectory,
    /// `ENOTEMPTY`
    #[error("directory not empty")]
    NotEmpty,
    /// `ENAMETOOLONG`
    #[error("file name too long")]
    NameTooLong,
    /// `EINVAL`
    #[error("invalid argument")]
    Invalid,
    /// `EPERM`
    #[error("operation not permitted")]
    NotPermitted,
    /// `EACCES`
    #[error("permission denied")]
    AccessDenied,
    /// `EFBIG`
    #[error("file too large")]
    FileTooLarge,
    /// `ENOSPC`
    #[error("no space left in the volume")]
    NoSpace,
    /// `EDQUOT`
    #[error("quota exceeded")]
    QuotaExceeded,
    /// `EROFS`
    #[error("read-only file system")]
    ReadOnly,
    /// `EXDEV`
    #[error("invalid cross-device link")]
    CrossDevice,
    /// `EMLINK`
    #[error("too many links")]
    TooManyLinks,
    /// `ENODATA`
    #[error("no such attribute")]
    NoAttribute,
    /// `E2BIG`
    #[error("argument too long")]
    TooBig,
    /// `ERANGE`
    #[error("result too large for the buffer")]
    OutOfRange,
    /// `EOPNOTSUPP`
    #[error("operation not supported")]
    NotSupported,
    /// `ENXIO` (lseek past the last data)
    #[error("no data from there on")]
    NoData,
    /// `EDEADLK`
    #[error("waiting would be a deadlock")]
    Deadlock,
    /// `EAGAIN`
    #[error("would block")]
    WouldBlock,
    /// `EINTR`
    #[error("interrupted")]
    Interrupted,
    /// `EBADF`
    #[error("bad file handle")]
    BadHandle,
    /// `EBUSY`
    #[error("busy")]
    Busy,
    /// `ETXTBSY`
    #[error("the program is running")]
    TextBusy,
    /// `ENOLCK`
    #[error("no locks left")]
    NoLocks,
    /// The operation took no effect, and is to be done again behind what the session is asked to give
    /// back. The session does that; no caller ever sees it.
    #[error("to be done again")]
    Retry,
    /// `EIO`: the data is damaged, or a change was lost; the log names what.
    #[error("input/output error")]
    Io,
}

/// What the caller of a server should do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong; mend it. Nothing was changed.
    Invalid,
    /// There is no such volume, inode or session record.
    NotFound,
    /// It exists already, and differs from what was asked for.
    AlreadyExists,
    /// It is in use, or in a state that forbids this; free it first.
    InUse,
    /// There is no room: disk, quota, or a limit on how many.
    NoSpace,
    /// No or a wrong certificate or token.
    Unauthenticated,
    /// Known, but not allowed.
    Denied,
    /// The session is over (fenced or expired): what it had not synced is lost. Start a new one.
    SessionLost,
    /// The other side speaks another version; upgrade one of the two.
    Version,
    /// The server cannot be reached or is not ready; try again.
    Unavailable,
    /// It took longer than the caller allows.
    Timeout,
    /// Stored data does not match its checksum.
    Damaged,
    /// The file system's own answer.
    Posix(PosixError),
    /// A defect of ours.
    Internal,
}

/// A failure with its kind, a sentence for a person, and where there is one, its cause.
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Shorthand for results that fail with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failure: what happened, to which thing, and what to do next.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same, with the failure that it came from.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What the caller should do.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence for a person, without its cause.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<PosixError> for Error {
    fn from(error: PosixError) -> Self {
        Self::new(ErrorKind::Posix(error), error.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)?;
        match &self.source {
            Some(source) => write!(f, " ({source})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
