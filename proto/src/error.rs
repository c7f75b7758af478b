//! The one match between error kinds and gRPC status, and between POSIX errors and their wire
//! numbers.
//!
//! A status code alone is too coarse, so the kind travels as [`v1::ErrorDetail`] in binary
//! metadata ([`DETAIL_KEY`]). A status without it comes from gRPC itself (a broken connection, an
//! unknown method): then the code decides.

use bytes::Bytes;
use holdfast_core::error::{Error, ErrorKind, PosixError};
use prost::Message as _;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

use crate::v1;

/// Metadata of a failed call: a [`v1::ErrorDetail`].
pub const DETAIL_KEY: &str = "holdfast-error-bin";

/// Longest message of a status, in bytes; gRPC puts it into a header.
const MESSAGE_BYTES_MAX: usize = 2048;

/// An error of kind `Invalid`.
pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// Writes an error as a gRPC status. Its cause is not sent: it may name what is the server's own.
#[must_use]
pub fn to_status(error: &Error) -> Status {
    let (code, _) = code_of(error.kind());
    let mut metadata = MetadataMap::new();
    metadata.insert_bin(DETAIL_KEY, MetadataValue::from_bytes(&error_detail(error).encode_to_vec()));
    let message = error.message();
    let end = message.floor_char_boundary(MESSAGE_BYTES_MAX);
    Status::with_details_and_metadata(code, &message[..end], Bytes::new(), metadata)
}

/// What a caller should do about an error, for the wire; its message goes beside it.
pub(crate) fn error_detail(error: &Error) -> v1::ErrorDetail {
    let (_, kind) = code_of(error.kind());
    let posix = match error.kind() {
        ErrorKind::Posix(posix) => v1::PosixError::from(posix),
        _ => v1::PosixError::Unspecified,
    };
    v1::ErrorDetail { kind: kind.into(), posix: posix.into() }
}

/// Reads an error that came as a message. A kind that this side does not know is `Internal`.
pub(crate) fn from_detail(detail: &v1::ErrorDetail, message: String) -> Error {
    let kind = kind_from_wire(detail.kind(), detail.posix).unwrap_or(ErrorKind::Internal);
    Error::new(kind, message.chars().take(MESSAGE_BYTES_MAX).collect::<String>())
}

/// Reads a gRPC status.
#[must_use]
pub fn from_status(status: Status) -> Error {
    let kind = detail_of(&status).unwrap_or_else(|| kind_of(status.code()));
    let message = match (kind, deepest_cause(&status)) {
        (ErrorKind::Unavailable, Some(cause)) => format!("the connection to the server failed: {cause}"),
        _ if status.message().is_empty() => format!("the server answered {}", status.code()),
        _ => status.message().chars().take(MESSAGE_BYTES_MAX).collect(),
    };
    Error::new(kind, message).because(status)
}

fn deepest_cause(status: &Status) -> Option<String> {
    let mut cause = std::error::Error::source(status)?;
    while let Some(next) = cause.source() {
        cause = next;
    }
    Some(cause.to_string())
}

fn detail_of(status: &Status) -> Option<ErrorKind> {
    let bytes = status.metadata().get_bin(DETAIL_KEY)?.to_bytes().ok()?;
    let detail = v1::ErrorDetail::decode(bytes).ok()?;
    kind_from_wire(detail.kind(), detail.posix)
}

/// One row a kind: its gRPC code and its wire number.
const fn code_of(kind: ErrorKind) -> (Code, v1::ErrorKind) {
    match kind {
        ErrorKind::Invalid => (Code::InvalidArgument, v1::ErrorKind::Invalid),
        ErrorKind::NotFound => (Code::NotFound, v1::ErrorKind::NotFound),
        ErrorKind::AlreadyExists => (Code::AlreadyExists, v1::ErrorKind::AlreadyExists),
        ErrorKind::InUse => (Code::FailedPrecondition, v1::ErrorKind::InUse),
        ErrorKind::NoSpace => (Code::ResourceExhausted, v1::ErrorKind::NoSpace),
        ErrorKind::Unauthenticated => (Code::Unauthenticated, v1::ErrorKind::Unauthenticated),
        ErrorKind::Denied => (Code::PermissionDenied, v1::ErrorKind::Denied),
        ErrorKind::SessionLost => (Code::Aborted, v1::ErrorKind::SessionLost),
        ErrorKind::Version => (Code::Unimplemented, v1::ErrorKind::Version),
        ErrorKind::Unavailable => (Code::Unavailable, v1::ErrorKind::Unavailable),
        ErrorKind::Timeout => (Code::DeadlineExceeded, v1::ErrorKind::Timeout),
        ErrorKind::Damaged => (Code::DataLoss, v1::ErrorKind::Damaged),
        ErrorKind::Posix(_) => (Code::FailedPrecondition, v1::ErrorKind::Posix),
        ErrorKind::Internal => (Code::Internal, v1::ErrorKind::Internal),
    }
}

fn kind_from_wire(kind: v1::ErrorKind, posix: i32) -> Option<ErrorKind> {
    Some(match kind {
        v1::ErrorKind::Unspecified => return None,
        v1::ErrorKind::Invalid => ErrorKind::Invalid,
        v1::ErrorKind::NotFound => ErrorKind::NotFound,
        v1::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
        v1::ErrorKind::InUse => ErrorKind::InUse,
        v1::ErrorKind::NoSpace => ErrorKind::NoSpace,
        v1::ErrorKind::Unauthenticated => ErrorKind::Unauthenticated,
        v1::ErrorKind::Denied => ErrorKind::Denied,
        v1::ErrorKind::SessionLost => ErrorKind::SessionLost,
        v1::ErrorKind::Version => ErrorKind::Version,
        v1::ErrorKind::Unavailable => ErrorKind::Unavailable,
        v1::ErrorKind::Timeout => ErrorKind::Timeout,
        v1::ErrorKind::Damaged => ErrorKind::Damaged,
        v1::ErrorKind::Posix => ErrorKind::Posix(posix_error(posix).unwrap_or(PosixError::Io)),
        v1::ErrorKind::Internal => ErrorKind::Internal,
    })
}

/// The kind of a status that bears no detail: gRPC's own, or a stranger's.
const fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::InvalidArgument | Code::OutOfRange => ErrorKind::Invalid,
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::FailedPrecondition => ErrorKind::InUse,
        Code::Unauthenticated => ErrorKind::Unauthenticated,
        Code::PermissionDenied => ErrorKind::Denied,
        Code::Unimplemented => ErrorKind::Version,
        Code::DeadlineExceeded => ErrorKind::Timeout,
        Code::DataLoss => ErrorKind::Damaged,
        // Broken connections come as any of these, and so does a server that sheds load.
        Code::Ok
        | Code::Unavailable
        | Code::Unknown
        | Code::Cancelled
        | Code::Aborted
        | Code::Internal
        | Code::ResourceExhausted => ErrorKind::Unavailable,
    }
}

/// Makes the two directions of one table.
macro_rules! posix_errors {
    ($($name:ident),+ $(,)?) => {
        impl From<PosixError> for v1::PosixError {
            fn from(error: PosixError) -> Self {
                match error { $(PosixError::$name => Self::$name,)+ }
            }
        }

        /// The POSIX error of a wire number: `None` for 0 (no error), [`PosixError::Io`] for a
        /// number that this side does not know.
        #[must_use]
        pub fn posix_error(number: i32) -> Option<PosixError> {
            match v1::PosixError::try_from(number) {
                Ok(v1::PosixError::Unspecified) => None,
                $(Ok(v1::PosixError::$name) => Some(PosixError::$name),)+
                Err(_) => Some(PosixError::Io),
            }
        }

        #[cfg(test)]
        const ALL_POSIX_ERRORS: &[PosixError] = &[$(PosixError::$name),+];
    };
}

posix_errors! {
    NoEntry, Exists, NotDirectory, IsDirectory, NotEmpty, NameTooLong, Invalid, NotPermitted,
    AccessDenied, FileTooLarge, NoSpace, QuotaExceeded, ReadOnly, CrossDevice, TooManyLinks,
    NoAttribute, TooBig, OutOfRange, NotSupported, NoData, Deadlock, WouldBlock, Interrupted,
    BadHandle, Busy, TextBusy, NoLocks, Io, Retry,
}

#[cfg(test)]
mod tests;
