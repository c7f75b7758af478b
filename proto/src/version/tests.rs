#![expect(clippy::unwrap_used, reason = "a test may stop")]

use holdfast_core::error::ErrorKind;

use super::{PROTOCOL_NEWEST, PROTOCOL_OLDEST, Peer, negotiate};

#[test]
fn the_newest_common_version_wins() {
    assert_eq!(negotiate(Peer::Client, PROTOCOL_OLDEST, PROTOCOL_NEWEST + 5).unwrap(), PROTOCOL_NEWEST);
    assert_eq!(negotiate(Peer::Server, PROTOCOL_OLDEST, PROTOCOL_OLDEST).unwrap(), PROTOCOL_OLDEST);
}

#[test]
fn the_message_says_which_side_is_behind() {
    let newer = negotiate(Peer::Server, PROTOCOL_NEWEST + 1, PROTOCOL_NEWEST + 2).unwrap_err();
    assert_eq!(newer.kind(), ErrorKind::Version);
    assert!(newer.message().ends_with("upgrade the client"), "{newer}");
    let newer = negotiate(Peer::Client, PROTOCOL_NEWEST + 1, PROTOCOL_NEWEST + 2).unwrap_err();
    assert!(newer.message().ends_with("upgrade the server"), "{newer}");
}

#[test]
fn no_range_is_no_version() {
    assert!(negotiate(Peer::Client, 0, 0).unwrap_err().message().contains("is it a holdfast client?"));
    assert!(negotiate(Peer::Client, 3, 2).is_err());
}
