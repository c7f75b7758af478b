#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::io::Read as _;

use super::*;

#[test]
fn no_byte_can_be_fetched() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let device = Device::of(writer.into());
    // A pipe takes what it can fetch: everything but the byte.
    let result = Unreadable::new().unwrap().grow(&device, 7, 4097);
    drop(device);
    let mut told = Vec::new();
    reader.read_to_end(&mut told).unwrap();
    assert_eq!(result, Ok(()));
    assert!(told.len() <= abi::OUT_HEADER + 24, "{} bytes could be fetched", told.len());
}

#[test]
fn an_empty_file_is_not_longer_than_before() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let device = Device::of(writer.into());
    Unreadable::new().unwrap().grow(&device, 7, 0).unwrap();
    drop(device);
    assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
}
