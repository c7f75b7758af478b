#![expect(clippy::unwrap_used, reason = "a test may stop")]

use bytes::Bytes;
use holdfast_core::error::ErrorKind;
use holdfast_core::hash::FrameHash;
use proptest::prelude::*;

use super::{Piece, ReadData};
use crate::v1;

fn piece(offset: u64, data: &[u8]) -> v1::ReadPiece {
    Piece { offset, data: Bytes::copy_from_slice(data) }.to_wire(&FrameHash::of(data))
}

fn answer(pieces: Vec<v1::ReadPiece>, len: u32) -> v1::ReadResponse {
    v1::ReadResponse { pieces, len, size: 1000, data_version: 1, epoch: 1 }
}

proptest! {
    #[test]
    fn pieces_and_holes_make_one_row(stretches in prop::collection::vec((0..50_usize, 1..50_usize), 0..8), tail in 0..50_usize) {
        let mut whole = Vec::new();
        let mut pieces = Vec::new();
        for (gap, len) in stretches {
            whole.resize(whole.len() + gap, 0);
            let data: Vec<u8> = (0..len).map(|byte| u8::try_from(byte).unwrap() + 1).collect();
            pieces.push(piece(100 + whole.len() as u64, &data));
            whole.extend(data);
        }
        whole.resize(whole.len() + tail, 0);
        let len = u32::try_from(whole.len()).unwrap();
        let read = ReadData::from_wire(answer(pieces, len), 100, len).unwrap();
        prop_assert_eq!(&read.into_bytes()[..], &whole[..]);
    }
}

#[test]
fn one_piece_is_not_copied() {
    let wire = piece(7, b"data");
    let at = wire.data.as_ptr();
    let bytes = ReadData::from_wire(answer(vec![wire], 4), 7, 100).unwrap().into_bytes();
    assert_eq!((bytes.as_ptr(), &bytes[..]), (at, &b"data"[..]));
}

#[test]
fn a_piece_that_does_not_match_is_damage() {
    let mut wire = piece(0, b"data");
    wire.data = Bytes::from_static(b"dato");
    let error = ReadData::from_wire(answer(vec![wire], 4), 0, 4).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
}

#[test]
fn answers_that_do_not_fit_the_question_are_refused() {
    let short_hash = v1::ReadPiece { blake3: Bytes::from_static(b"short"), ..piece(10, b"data") };
    for (pieces, len) in [
        (vec![piece(9, b"data")], 4),
        (vec![piece(11, b"data")], 4),
        (vec![piece(10, b"data"), piece(13, b"x")], 8),
        (vec![piece(12, b"x"), piece(10, b"x")], 8),
        (vec![piece(u64::MAX, b"data")], 4),
        (vec![short_hash], 4),
        (Vec::new(), 9),
        (Vec::new(), u32::MAX),
    ] {
        let error = ReadData::from_wire(answer(pieces, len), 10, 8).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}
