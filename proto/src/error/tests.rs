use holdfast_core::error::{Error, ErrorKind, PosixError};
use tonic::{Code, Status};

use super::{ALL_POSIX_ERRORS, from_status, posix_error, to_status};
use crate::v1;

#[test]
fn every_kind_comes_back() {
    let kinds = [
        ErrorKind::Invalid,
        ErrorKind::NotFound,
        ErrorKind::AlreadyExists,
        ErrorKind::InUse,
        ErrorKind::NoSpace,
        ErrorKind::Unauthenticated,
        ErrorKind::Denied,
        ErrorKind::SessionLost,
        ErrorKind::Version,
        ErrorKind::Unavailable,
        ErrorKind::Timeout,
        ErrorKind::Damaged,
        ErrorKind::Internal,
    ];
    let posix = ALL_POSIX_ERRORS.iter().map(|&error| ErrorKind::Posix(error));
    for kind in kinds.into_iter().chain(posix) {
        let error = from_status(to_status(&Error::new(kind, "what happened")));
        assert_eq!((error.kind(), error.message()), (kind, "what happened"));
    }
}

#[test]
fn every_posix_error_comes_back() {
    assert_eq!(ALL_POSIX_ERRORS.len(), 29);
    for &error in ALL_POSIX_ERRORS {
        assert_eq!(posix_error(v1::PosixError::from(error).into()), Some(error));
    }
    assert_eq!(posix_error(0), None);
    assert_eq!(posix_error(9999), Some(PosixError::Io));
    assert_eq!(posix_error(-1), Some(PosixError::Io));
}

#[test]
fn a_status_of_grpc_itself_is_understood() {
    assert_eq!(from_status(Status::unavailable("")).kind(), ErrorKind::Unavailable);
    assert_eq!(from_status(Status::unknown("h2 broke")).kind(), ErrorKind::Unavailable);
    assert_eq!(from_status(Status::unimplemented("")).kind(), ErrorKind::Version);
    assert_eq!(from_status(Status::out_of_range("message too large")).kind(), ErrorKind::Invalid);
}

#[test]
fn a_garbled_detail_leaves_the_code() {
    let mut status = Status::new(Code::NotFound, "gone");
    let garbage = tonic::metadata::MetadataValue::from_bytes(&[0xff; 40]);
    status.metadata_mut().insert_bin(super::DETAIL_KEY, garbage);
    assert_eq!(from_status(status).kind(), ErrorKind::NotFound);
}

#[test]
fn long_messages_are_cut_where_a_character_ends() {
    let status = to_status(&Error::new(ErrorKind::Invalid, "ä".repeat(5000)));
    assert!(status.message().len() <= 2048 && status.message().chars().all(|letter| letter == 'ä'));
}

#[test]
fn causes_stay_with_the_server() {
    let error = Error::new(ErrorKind::Internal, "it broke").because("/var/lib/secret");
    assert!(!format!("{:?}", to_status(&error)).contains("secret"));
}
