use super::*;

#[test]
fn random_ids_round_trip_as_text() {
    let id = VolumeId([0x01, 0xab, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff]);
    assert_eq!(id.to_string(), "01ab00000000000000000000000000ff");
    assert_eq!(id.to_string().parse(), Ok(id));
}

#[test]
fn ids_of_other_shapes_are_refused() {
    for text in ["", "01AB00000000000000000000000000FF", "01ab", "01ab00000000000000000000000000fg", "../../etc/passwd"]
    {
        assert_eq!(text.parse::<VolumeId>(), Err(ParseIdError), "{text:?}");
    }
    assert!(SessionId::try_from(&[0; 15][..]).is_err());
}
