use std::collections::HashSet;

use super::*;

const ALL: [PosixError; 29] = [
    PosixError::NoEntry,
    PosixError::Exists,
    PosixError::NotDirectory,
    PosixError::IsDirectory,
    PosixError::NotEmpty,
    PosixError::NameTooLong,
    PosixError::Invalid,
    PosixError::NotPermitted,
    PosixError::AccessDenied,
    PosixError::FileTooLarge,
    PosixError::NoSpace,
    PosixError::QuotaExceeded,
    PosixError::ReadOnly,
    PosixError::CrossDevice,
    PosixError::TooManyLinks,
    PosixError::NoAttribute,
    PosixError::TooBig,
    PosixError::OutOfRange,
    PosixError::NotSupported,
    PosixError::NoData,
    PosixError::Deadlock,
    PosixError::WouldBlock,
    PosixError::Interrupted,
    PosixError::BadHandle,
    PosixError::Busy,
    PosixError::TextBusy,
    PosixError::NoLocks,
    PosixError::Io,
    PosixError::Retry,
];

#[test]
fn every_answer_has_a_number_of_its_own() {
    let numbers: HashSet<i32> = ALL.iter().map(|error| errno(*error) as i32).collect();
    assert_eq!(numbers.len(), ALL.len());
    assert!(!numbers.contains(&0));
}

#[test]
fn the_documented_names_are_the_numbers_that_are_used() {
    // The doc comment of each variant names its errno; a few that are easy to mistake.
    assert_eq!(errno(PosixError::NotSupported) as i32, libc::EOPNOTSUPP);
    assert_eq!(errno(PosixError::NoAttribute) as i32, libc::ENODATA);
    assert_eq!(errno(PosixError::NoData) as i32, libc::ENXIO);
    assert_eq!(errno(PosixError::QuotaExceeded) as i32, libc::EDQUOT);
    assert_eq!(errno(PosixError::WouldBlock) as i32, libc::EWOULDBLOCK);
}

#[test]
fn the_file_systems_own_answer_passes_unchanged() {
    for error in ALL {
        assert_eq!(posix(ErrorKind::Posix(error)), error);
    }
    assert_eq!(posix(ErrorKind::Timeout), PosixError::Io);
}
