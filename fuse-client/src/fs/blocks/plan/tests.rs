#![expect(clippy::unwrap_used, reason = "a test may stop")]

use proptest::prelude::*;

use super::*;

const FRAME: u64 = FRAME_BYTES_MAX as u64;

/// A file: its bytes, and what it consists of. Holes are zeros.
#[derive(Clone, Debug)]
struct File {
    bytes: Vec<u8>,
    blocks: Vec<Block>,
}

impl File {
    /// Stretches: what kind, and how long.
    fn new(stretches: &[(u8, u32)]) -> Self {
        let (mut bytes, mut blocks) = (Vec::new(), Vec::new());
        for (number, &(kind, len)) in stretches.iter().enumerate() {
            let offset = bytes.len() as u64;
            let content = vec![u8::try_from(number % 250).unwrap() + 1; len as usize];
            match kind {
                0 => bytes.resize(bytes.len() + len as usize, 0),
                1 => blocks.push(Block { offset, len, hash: None }),
                _ => blocks.push(Block { offset, len, hash: Some(FrameHash::of(&content)) }),
            }
            if kind > 0 {
                bytes.extend(content);
            }
        }
        Self { bytes, blocks }
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn part(&self, start: u64, end: u64) -> Bytes {
        Bytes::copy_from_slice(&self.bytes[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()])
    }

    fn map(&self) -> BlockMap {
        BlockMap {
            offset: 0,
            blocks: self.blocks.clone(),
            len: u32::try_from(self.size()).unwrap(),
            size: self.size(),
            data_version: DataVersion(3),
            epoch: Epoch(1),
        }
    }

    /// As the server answers a read.
    fn read(&self, offset: u64, len: u32) -> ReadData {
        let end = (offset + u64::from(len)).min(self.size());
        let pieces = self.blocks.iter().filter_map(|block| {
            let (start, end) = (block.offset.max(offset), block.end().min(end));
            (start < end).then(|| Piece { offset: start, data: self.part(start, end) })
        });
        let pieces = pieces.collect();
        let len = u32::try_from(end.saturating_sub(offset)).unwrap();
        ReadData { offset, pieces, len, size: self.size(), data_version: DataVersion(3), epoch: Epoch(1) }
    }
}

proptest! {
    #[test]
    fn whatever_the_disk_has_the_answer_is_the_same(
        stretches in prop::collection::vec((0..4_u8, prop_oneof![Just(65_536_u32), 1..65_536_u32]), 1..40),
        start in 0.0..1.0_f64,
        len in prop_oneof![1..5000_u32, Just(1 << 20), 1..(1_u32 << 20)],
        disk in any::<u64>(),
    ) {
        let file = File::new(&stretches);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the file")]
        let offset = (file.size() as f64 * start) as u64;
        let Some(plan) = Plan::new(&file.map(), offset, len) else { return Ok(()) };
        let wanted = plan.wanted();
        let named = file.blocks.iter().filter(|block| block.hash.is_some());
        let here: Vec<Option<Bytes>> = wanted
            .iter()
            .enumerate()
            .map(|(number, wanted)| {
                let block = named.clone().find(|block| block.hash == Some(wanted.hash)).unwrap();
                (disk >> (number % 64) & 1 == 1).then(|| file.part(block.offset, block.end()))
            })
            .collect();
        let found = plan.found(here.clone());
        let missing = plan.missing(&found);
        let rest: Vec<ReadData> = missing.iter().map(|&(offset, len)| file.read(offset, len)).collect();
        for (read, (_, len)) in rest.iter().zip(&missing) {
            prop_assert!(read.len == *len && *len as usize <= IO_BYTES_MAX, "{read:?} of {len}");
            for (hash, data) in plan.whole(&found, read) {
                prop_assert!(hash.matches(&data));
                let place = wanted.iter().position(|wanted| wanted.hash == hash).unwrap();
                prop_assert!(here[place].is_none());
            }
        }
        if here.iter().all(Option::is_some) && plan.blocks.len() == wanted.len() {
            prop_assert!(missing.is_empty());
        }
        let expected = file.read(offset, len);
        let answer = plan.together(found, rest);
        prop_assert_eq!((answer.offset, answer.len, answer.size), (expected.offset, expected.len, expected.size));
        prop_assert!(answer.into_bytes() == expected.into_bytes());
    }
}

fn frames(count: u64) -> File {
    File::new(&vec![(2, FRAME_BYTES_MAX.try_into().unwrap()); usize::try_from(count).unwrap()])
}

/// What is read of the server, where the disk has these of all frames.
fn missing(offset: u64, len: u64, here: &[usize]) -> Vec<(u64, u64)> {
    let plan = Plan::new(&frames(64).map(), offset, u32::try_from(len).unwrap()).unwrap();
    let first = usize::try_from(offset / FRAME).unwrap();
    let blocks = (0..plan.wanted().len()).map(|number| here.contains(&(first + number)).then(Bytes::new));
    let found = plan.found(blocks.collect());
    plan.missing(&found).into_iter().map(|(offset, len)| (offset, len.into())).collect()
}

#[test]
fn long_reads_bring_whole_blocks_and_short_ones_what_was_asked_for() {
    assert_eq!(missing(0, FRAME, &[]), [(0, FRAME)]);
    assert_eq!(missing(1000, 2 * FRAME, &[]), [(0, 3 * FRAME)]);
    assert_eq!(missing(1000, 4096, &[]), [(1000, 4096)]);
    // As long as a read can be, and the rest.
    let longest = IO_BYTES_MAX as u64;
    assert_eq!(missing(FRAME / 2, longest, &[]), [(0, longest), (longest, FRAME)]);
}

#[test]
fn what_lies_between_is_read_again_where_that_is_less_than_a_call() {
    assert_eq!(missing(0, 8 * FRAME, &[0, 1, 7]), [(2 * FRAME, 5 * FRAME)]);
    assert_eq!(missing(0, 8 * FRAME, &[1, 2]), [(0, 8 * FRAME)]);
    assert_eq!(missing(0, 8 * FRAME, &[1, 2, 3]), [(0, FRAME), (4 * FRAME, 4 * FRAME)]);
    assert_eq!(missing(0, 8 * FRAME, &[0, 1, 2, 3, 4, 5, 6, 7]), []);
}

#[test]
fn a_map_that_does_not_tell_enough_is_of_no_use() {
    let mut map = frames(4).map();
    map.len = 1000;
    assert!(Plan::new(&map, 0, 1000).is_some());
    assert!(Plan::new(&map, 0, 1001).is_none());
    map.offset = 10;
    assert!(Plan::new(&map, 0, 100).is_none());
    let unnamed = File::new(&[(1, 1000), (0, 5000)]).map();
    assert!(Plan::new(&unnamed, 0, 6000).is_none());
}
