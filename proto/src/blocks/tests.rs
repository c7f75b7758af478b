#![expect(clippy::unwrap_used, reason = "a test may stop")]

use bytes::Bytes;
use holdfast_core::error::ErrorKind;

use super::*;

fn block(offset: u64, len: u32) -> v1::Block {
    v1::Block { offset, len, blake3: Bytes::from_static(&[7; 32]) }
}

fn answer(blocks: Vec<v1::Block>) -> v1::BlocksResponse {
    v1::BlocksResponse { blocks, len: 100, size: 1000, data_version: 3, epoch: 2 }
}

#[test]
fn blocks_are_told_as_a_whole() {
    let unnamed = v1::Block { blake3: Bytes::new(), ..block(180, 5) };
    let map = BlockMap::from_wire(answer(vec![block(60, 50), unnamed, block(190, 300)]), 100, 200).unwrap();
    let shape: Vec<_> = map.blocks.iter().map(|block| (block.offset, block.end(), block.hash.is_some())).collect();
    assert_eq!(shape, [(60, 110, true), (180, 185, false), (190, 490, true)]);
    assert_eq!((map.end(), map.data_version, map.epoch), (200, DataVersion(3), Epoch(2)));
}

#[test]
fn answers_that_do_not_fit_the_question_are_refused() {
    let short_hash = v1::Block { blake3: Bytes::from_static(b"short"), ..block(100, 5) };
    for blocks in [
        vec![block(90, 10)],
        vec![block(200, 10)],
        vec![block(100, 10), block(109, 10)],
        vec![block(120, 10), block(100, 10)],
        vec![block(100, 0)],
        vec![block(150, 70_000)],
        vec![block(150, 900)],
        vec![short_hash],
    ] {
        let error = BlockMap::from_wire(answer(blocks.clone()), 100, 200).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{blocks:?}");
    }
    assert!(BlockMap::from_wire(answer(Vec::new()), 100, 99).is_err());
}
